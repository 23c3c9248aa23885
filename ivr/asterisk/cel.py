"""Asterisk's channel-event log (CEL) turned into facts: one vocabulary for the live stream and for the file.

Asterisk tells every event twice, in the same order: to the manager's stream, which is followed live, and to
a JSON-lines file (cel_custom), which is read after a gap. Both go through `CallLog`. A fact's key says which
event of which channel it is ("the second JOINED of this one"), so that what is heard twice is remembered once.

Source: https://docs.asterisk.org/Configuration/Reporting/Channel-Event-Logging-CEL/
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ivr.call import Direction, Fact, Kind

INBOUND = "from-trunk"
"""The trunk's context: residents' calls arrive in it, and the leg that rings a resident begins in it."""
SURVEY = "-survey-"
"""A part of the id of the robot's calls: they begin with the leg that rings the resident."""

# The file's names of the fields (cel_custom.conf) by the manager's.
_MANAGER = {
    "EventName": "eventenum",
    "Timestamp": "eventtime",  # the stream's EventTime knows only seconds
    "UserDefType": "usereventname",
    "CallerIDnum": "num",
    "Exten": "exten",
    "Context": "context",
    "Channel": "channame",
    "Application": "appname",
    "AppData": "appdata",
    "UniqueID": "uniqueid",
    "LinkedID": "linkedid",
    "Extra": "eventextra",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One channel event."""

    event: str
    stamp: str
    """Seconds since the epoch with microseconds."""
    channel: str
    """PJSIP/101-0000002a"""
    uniqueid: str
    linkedid: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Row:
        """Raises KeyError or ValueError when it is no channel event."""
        return cls(
            event=fields["eventenum"],
            stamp=_stamp(fields["eventtime"]),
            channel=fields["channame"],
            uniqueid=fields["uniqueid"],
            linkedid=fields["linkedid"],
            fields=fields,
        )

    @classmethod
    def of_manager(cls, event: Mapping[str, str]) -> Row:
        return cls.of({ours: event[theirs] for theirs, ours in _MANAGER.items() if theirs in event})

    @property
    def is_first(self) -> bool:
        """Does a call begin with this channel? A leg dialled for another carries that one's linked id."""
        return self.uniqueid == self.linkedid

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(float(self.stamp), UTC)

    @property
    def identity(self) -> tuple[str, ...]:
        """What stream and file say alike of one event; their moments differ by milliseconds."""
        told = (self.fields.get(name, "") for name in ("usereventname", "appname", "eventextra"))
        return (self.event, self.uniqueid, self.linkedid, *told)

    @property
    def extra(self) -> dict[str, Any]:
        """What Asterisk adds as JSON: cause of the hang-up, id of the bridge, who transferred to whom."""
        try:
            extra = json.loads(self.fields.get("eventextra") or "{}")
        except ValueError:
            return {}
        return extra if isinstance(extra, dict) else {}


def _stamp(text: str) -> str:
    try:
        datetime.fromtimestamp(float(text), UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is no moment") from error
    return text


def extension(channel: str) -> str:
    """ "101" of "PJSIP/101-0000002a"."""
    return channel.partition("/")[2].rpartition("-")[0]


@dataclass(slots=True)
class _Followed:
    """What is remembered of a call between its events."""

    linkedid: str
    resident: str | None
    """The unique id of the resident's channel; a call back has none until she is rung."""
    channel: str = ""
    """Its name."""
    going_on: set[str] = field(default_factory=set)
    """The channels that must end before the call has ended."""
    direction: Direction = Direction.INBOUND
    went: Mapping[str, Any] = field(default_factory=dict)
    whose: Mapping[str, Any] = field(default_factory=dict)
    """Whom the robot has on the line, told when she goes to a dispatcher."""
    bridge: str | None = None
    answered: bool = False
    with_whom: str | None = None
    told: Counter[tuple[Kind, str]] = field(default_factory=Counter)


class CallLog:
    """Feed it channel events in their order; it gives the facts they mean for residents' calls."""

    def __init__(self) -> None:
        self._calls: dict[str, _Followed] = {}
        self._own: dict[str, str] = {}
        """Which call a resident's channel, or her stand-in's, belongs to."""
        self._linked: dict[str, str] = {}
        self._bridges: dict[str, dict[str, str]] = {}

    def feed(self, row: Row) -> Iterator[Fact]:
        """The facts of one event; none for what does not concern a resident's call."""
        call_id = self._own.get(row.uniqueid)
        if call_id is not None:
            call = self._calls[call_id]
            if row.uniqueid == call.resident:
                yield from self._of_resident(row, call_id, call)
            else:
                yield from self._of_stand_in(row, call_id)
            if row.event == "CHAN_END":
                yield from self._ended(row, call_id, call)
        elif row.event == "CHAN_START" and row.fields.get("context") == INBOUND and row.is_first:
            yield from self._rung_by_robot(row) if SURVEY in row.uniqueid else self._arrived(row)
        elif row.event == "USER_DEFINED" and row.fields.get("usereventname") == "Callback" and row.is_first:
            yield from self._placed(row)
        else:
            yield from self._of_others(row)

    def call_of(self, linkedid: str) -> str | None:
        """The resident's call that a channel belongs to."""
        return self._linked.get(linkedid)

    def _follow(self, row: Row, call: _Followed) -> None:
        self._calls[row.uniqueid] = call
        self._linked[row.linkedid] = row.uniqueid
        self._owns(row.uniqueid, call, row.uniqueid)

    def _owns(self, call_id: str, call: _Followed, channel: str) -> None:
        self._own[channel] = call_id
        call.going_on.add(channel)

    def _arrived(self, row: Row) -> Iterator[Fact]:
        self._follow(row, _Followed(row.linkedid, row.uniqueid, row.channel))
        detail = {"caller": row.fields.get("num", ""), "dialled": row.fields.get("exten", "")}
        yield self._fact(row.uniqueid, row, Kind.ARRIVED, **detail)

    def _rung_by_robot(self, row: Row) -> Iterator[Fact]:
        """Whom, and about what, says the row that was written before the phone rang."""
        self._follow(row, _Followed(row.linkedid, row.uniqueid, row.channel, direction=Direction.SURVEY))
        yield self._fact(row.uniqueid, row, Kind.ARRIVED, direction=Direction.SURVEY)
        yield self._fact(row.uniqueid, row, Kind.RANG, "resident")

    def _placed(self, row: Row) -> Iterator[Fact]:
        """We call back: PROMISE|PHONE|LINE|CATEGORY|PRIORITY, as `ivr.asterisk.desk` has written it."""
        self._follow(row, _Followed(row.linkedid, None, direction=Direction.CALLBACK))
        promise, caller, dialled, category, priority = (
            str(row.extra.get("extra", "")).split("|") + [""] * 5
        )[:5]
        yield self._fact(
            row.uniqueid,
            row,
            Kind.ARRIVED,
            direction=Direction.CALLBACK,
            promise=promise,
            caller=caller,
            dialled=dialled,
            category=category or None,
            priority=int(priority) if priority.isdigit() else 0,
        )

    def _of_resident(self, row: Row, call_id: str, call: _Followed) -> Iterator[Fact]:
        match row.event:
            case "ANSWER":
                yield self._fact(call_id, row, Kind.PICKED_UP)
            case "APP_START" if row.fields.get("appname") == "Record":
                yield self._fact(call_id, row, Kind.MESSAGE)
            case "USER_DEFINED" if row.fields.get("usereventname") == "StaticRoute":
                yield self._fact(call_id, row, Kind.STATIC_ROUTE)
            case "USER_DEFINED" if row.fields.get("usereventname") == "HandedOver":
                phone, _, line = str(row.extra.get("extra", "")).partition("|")
                call.whose = {"caller": phone, "dialled": line}
            case "USER_DEFINED" if row.fields.get("usereventname") == "Went":
                call.went = _went(row)
            case "BRIDGE_ENTER":
                call.bridge = self._enter(row)
                yield from self._met(call_id, row, call)
            case "BRIDGE_EXIT":
                self._leave(row)
                call.bridge = None
            case "BLINDTRANSFER" | "ATTENDEDTRANSFER":
                yield from self._transferred(row)
            case "HANGUP" if call.answered or call.direction is not Direction.CALLBACK:
                cause = row.extra.get("hangupcause")
                yield self._fact(call_id, row, Kind.HUNG_UP, _by(row, call), cause=cause)
            case _:
                yield from self._in_queue(row, call_id, call)

    def _of_stand_in(self, row: Row, call_id: str) -> Iterator[Fact]:
        yield from self._in_queue(row, call_id, self._calls[call_id])

    def _in_queue(self, row: Row, call_id: str, call: _Followed) -> Iterator[Fact]:
        match row.event:
            case "APP_START" if row.fields.get("appname") == "Queue":
                queue = row.fields.get("appdata", "").partition(",")[0]
                yield self._fact(call_id, row, Kind.QUEUED, queue=queue, **call.went, **call.whose)
            case "USER_DEFINED" if row.fields.get("usereventname") == "LeftQueue":
                yield self._fact(call_id, row, Kind.LEFT_QUEUE, status=row.extra.get("extra", ""))

    def _ended(self, row: Row, call_id: str, call: _Followed) -> Iterator[Fact]:
        """A call back ends with the later of the resident's channel and her stand-in's."""
        call.going_on.discard(row.uniqueid)
        del self._own[row.uniqueid]
        if not call.going_on:
            yield self._fact(call_id, row, Kind.ENDED)
            self._forget(call_id)

    def _of_others(self, row: Row) -> Iterator[Fact]:
        call_id = self._linked.get(row.linkedid)
        match row.event:
            case "CHAN_START" if call_id and row.channel.startswith("PJSIP/"):
                yield from self._rang(row, call_id, self._calls[call_id])
            case "USER_DEFINED" if call_id:
                yield from self._told_by_dispatcher(row, call_id)
            case "BRIDGE_ENTER":
                bridge = self._enter(row)
                for met, call in self._calls.items():
                    if call.bridge == bridge:
                        yield from self._met(met, row, call)
            case "BRIDGE_EXIT":
                self._leave(row)
            case "BLINDTRANSFER" | "ATTENDEDTRANSFER":
                yield from self._transferred(row)

    def _rang(self, row: Row, call_id: str, call: _Followed) -> Iterator[Fact]:
        if row.fields.get("context") != INBOUND:
            yield self._fact(call_id, row, Kind.RANG, extension(row.channel))
        elif call.direction is Direction.CALLBACK:
            call.resident, call.channel = row.uniqueid, row.channel
            self._owns(call_id, call, row.uniqueid)
            yield self._fact(call_id, row, Kind.RANG, "resident")

    def _told_by_dispatcher(self, row: Row, call_id: str) -> Iterator[Fact]:
        who = extension(row.channel)
        match row.fields.get("usereventname"):
            case "Accepted":
                yield self._fact(call_id, row, Kind.ACCEPTED, who)
            case "Tried":
                yield self._fact(call_id, row, Kind.TRIED, who, status=row.extra.get("extra", ""))
            case "Machine":
                yield self._fact(call_id, row, Kind.MACHINE, who)

    def _enter(self, row: Row) -> str:
        bridge = str(row.extra.get("bridge_id", ""))
        self._bridges.setdefault(bridge, {})[row.uniqueid] = row.channel
        return bridge

    def _leave(self, row: Row) -> None:
        bridge = str(row.extra.get("bridge_id", ""))
        members = self._bridges.get(bridge, {})
        members.pop(row.uniqueid, None)
        if not members:
            self._bridges.pop(bridge, None)

    def _met(self, call_id: str, row: Row, call: _Followed) -> Iterator[Fact]:
        """The resident shares a bridge with somebody: the first time she is answered, then she is joined."""
        members = self._bridges.get(call.bridge or "", {})
        others = [extension(channel) for unique, channel in members.items() if unique != call.resident]
        if not others or others[-1] == call.with_whom:
            return
        call.with_whom = others[-1]
        yield self._fact(call_id, row, Kind.JOINED if call.answered else Kind.ANSWERED, call.with_whom)
        call.answered = True

    def _transferred(self, row: Row) -> Iterator[Fact]:
        """Whose channel, or whose bridge, does the event name? She may have left the bridge already."""
        extra = row.extra
        parties = {extra.get(f"{who}_channel_uniqueid") for who in ("transferee", "transfer_target")}
        bridges = {extra.get(name) for name in ("bridge_id", "bridge1_id", "bridge2_id")}
        how = "blind" if row.event == "BLINDTRANSFER" else "attended"
        target = extra.get("extension") or extension(str(extra.get("transfer_target_channel_name", "")))
        for call_id, call in self._calls.items():
            if call.resident in parties or (call.bridge is not None and call.bridge in bridges):
                yield self._fact(call_id, row, Kind.TRANSFERRED, extension(row.channel), how=how, to=target)

    def _fact(self, call_id: str, row: Row, kind: Kind, who: str | None = None, **detail: Any) -> Fact:
        told, which = self._calls[call_id].told, (kind, row.uniqueid)
        told[which] += 1
        return Fact(call_id, row.at, kind, key_of(kind, row.uniqueid, told[which]), who, detail)

    def _forget(self, call_id: str) -> None:
        call = self._calls.pop(call_id)
        self._linked.pop(call.linkedid, None)


def key_of(kind: Kind, channel: str, time: int = 1) -> str:
    """Of what happened to a channel for the first time, the second …"""
    return f"{kind}/{channel}/{time}"


def _went(row: Row) -> dict[str, Any]:
    """CATEGORY|PRIORITY of a call that goes to the queue; empty where the controller said nothing."""
    category, _, priority = str(row.extra.get("extra", "")).partition("|")
    return {"category": category, "priority": int(priority)} if category and priority.isdigit() else {}


def _by(row: Row, call: _Followed) -> str | None:
    source = str(row.extra.get("hangupsource", ""))
    if source == call.channel:
        return "resident"
    return extension(source) or None  # "dialplan/builtin" is nobody


def read_log(path: Path, since: datetime) -> Iterator[Row]:
    """The events of Asterisk's own file from `since` on, in their order; broken lines are passed over.

    The file is in the order of time, so the first event is found by halving, not by reading it all.
    """
    with path.open("rb") as file:
        file.seek(_offset(file, path.stat().st_size, since.timestamp()))
        for line in file:
            row = _row(line)
            if row is not None and float(row.stamp) >= since.timestamp():
                yield row


def _row(line: bytes) -> Row | None:
    try:
        fields = json.loads(line)
        return Row.of({str(name): str(value) for name, value in fields.items()})
    except (ValueError, KeyError, AttributeError):
        return None


def _offset(file: Any, size: int, moment: float) -> int:
    low, high = 0, size
    while high - low > 65_536:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        row = next((r for r in map(_row, iter(file.readline, b"")) if r is not None), None)
        if row is not None and float(row.stamp) < moment:
            low = middle
        else:
            high = middle
    file.seek(low)
    if low:
        file.readline()
    return int(file.tell())
