"""Follows one Asterisk: its live events while there is a link, its log after a gap."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ivr.asterisk.cel import SURVEY, CallLog, Row, extension, read_log
from ivr.asterisk.manager import Ami, Event
from ivr.call import Call, Direction, Fact, Kind
from ivr.errors import LedgerAway, PeerError
from ivr.settings import Settings
from ivr.store import Store
from ivr.switchboard import Switchboard, lost

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=10)
"""The log is read from a little before the last known moment: what is told twice is remembered once."""
STOCK_RETRY = 2.0
CLOCK_WAS_SET = timedelta(days=1)
PLACED_LATELY = timedelta(seconds=20)
SUBSCRIBER_ABSENT = 20
"""The Q.850 cause for a phone that is not there."""
OVERLAP = 2.0
"""Seconds by which the stream may tell an event later than the log has its moment."""

_HOLD = {"Hold": Kind.HELD, "Unhold": Kind.RESUMED}


class Follower:
    """Turns what Asterisk tells into facts on the switchboard.

    `async with Follower(...)` holds the link. After every login it takes stock: reads Asterisk's own log
    since the last known moment, then closes calls whose channel is gone.
    """

    def __init__(
        self,
        settings: Settings,
        switchboard: Switchboard,
        store: Store,
        cel_file: Path | None,
        now: Callable[[], datetime],
    ) -> None:
        assert settings.ami_secret is not None
        self._name = settings.asterisk_name
        self._spool = settings.spool
        self._switchboard, self._store, self._now = switchboard, store, now
        self._cel_file = cel_file
        self._calls = CallLog()
        self._held_back: list[Event] | None = []
        self._known_until: datetime | None = None
        """Nothing before it is missing; None: everything may be."""
        self._link_lost_at: datetime | None = None
        self._missing: set[str] = set()
        self.took_stock = asyncio.Event()
        """Set once everything that happened before now is known."""
        self.ami = Ami(
            settings.ami_host,
            settings.ami_port,
            settings.ami_user,
            settings.ami_secret,
            on_event=self._heard,
            on_link=self._take_stock,
            on_loss=self._lost_link,
        )

    def _heard(self, event: Event) -> None:
        if self._held_back is not None:
            self._held_back.append(event)  # until the stock is taken
            return
        match event.get("Event"):
            case "CEL":
                self._follow(Row.of_manager(event))
            case "Hold" | "Unhold" as what:
                self._note(event, _HOLD[what], extension(event["Channel"]))
            case "OriginateResponse" if event.get("Response") == "Failure":
                self._never_rang(event.get("Uniqueid", ""))
            case "QueueCallerJoin":
                self._note(event, Kind.QUEUE_PLACE, None, position=event.get("Position"))

    def _follow(self, row: Row) -> None:
        for fact in self._calls.feed(row):
            self._switchboard.take(fact)

    def _never_rang(self, call: str) -> None:
        """The robot's phone could not even be rung: no channel was made, so nothing else tells of it."""
        if SURVEY in call and self._calls.call_of(call) is None:
            at, detail = self._now(), {"cause": SUBSCRIBER_ABSENT}
            self._switchboard.take(Fact(call, at, Kind.HUNG_UP, f"refused/{call}", None, detail))
            self._switchboard.take(Fact(call, at, Kind.ENDED, f"never_rang/{call}"))

    def _note(self, event: Event, kind: Kind, who: str | None, **detail: str | None) -> None:
        call = self._calls.call_of(event.get("Linkedid", ""))
        if call is not None:
            at = self._now()
            self._switchboard.take(Fact(call, at, kind, f"{kind}/{at.timestamp():.6f}", who, detail))

    def _lost_link(self) -> None:
        self._held_back = []
        if self.took_stock.is_set():
            self._known_until = self._link_lost_at = self._now()
        self.took_stock.clear()

    async def remember(self) -> None:
        """What the ledger knows, asked before new calls can be written to it: from there on the log is read.

        Raises LedgerAway.
        """
        known = await self._resume_known()
        last = await self._store.one("calls.last_heard", asterisk=self._name)
        if last is not None:
            is_past = last["at"] <= self._now()  # else the clock was set back: nobody knows how far
            known.append(last["at"] if is_past else self._now() - CLOCK_WAS_SET)
        self._known_until = min(known, default=None)

    async def _take_stock(self) -> None:
        """What happened while nobody listened? Tried until it is known; live events wait meanwhile."""
        while True:
            try:
                read, gone = await self._stock()
                break
            except (PeerError, LedgerAway, OSError) as error:
                log.warning("stock could not be taken, trying again", extra={"why": str(error)})
            except Exception:
                log.exception("stock could not be taken, trying again")
            if not self.ami.linked:
                return
            await asyncio.sleep(STOCK_RETRY)
        held_back, self._held_back = self._held_back or [], None
        for event in _unread(held_back, read):
            self._heard(event)
        last_seen = {row.linkedid: row.at for row in read}
        for call in gone:
            if call.ended_at is None:  # or it ended while stock was taken
                self._switchboard.take(lost(call, self._last_sign_of(call, last_seen)))
        self.took_stock.set()
        log.info("stock taken", extra={"calls": len(self._switchboard.going_on())})

    async def _stock(self) -> tuple[list[Row], list[Call]]:
        """Follows the log since the last known moment; returns what was read, and the calls without a channel."""
        moments = [call.arrived_at for call in self._switchboard.going_on()]
        moments += [self._known_until] if self._known_until else []
        since = min(moments) - MARGIN if moments and self._known_until else datetime.fromtimestamp(0, UTC)
        self._calls = CallLog()
        read = await asyncio.to_thread(self._log_since, since)
        for row in read:
            self._follow(row)
        return read, await self._gone()

    def _last_sign_of(self, call: Call, last_seen: Mapping[str, datetime]) -> datetime:
        """The last moment at which a call that nobody saw end was surely there: in the log, in its recording (it
        is written as long as anybody speaks), or when the link broke that we followed it by."""
        signs = [call.arrived_at]
        if call.id in last_seen:
            signs.append(last_seen[call.id])
        with contextlib.suppress(OSError):
            written = (self._spool / f"{call.id}.raw").stat().st_mtime
            signs.append(datetime.fromtimestamp(written, UTC))
        if self._link_lost_at is not None and call.arrived_at < self._link_lost_at:
            signs.append(self._link_lost_at)
        return max(signs)

    async def sweep(self) -> None:
        """Close calls whose channel has been gone for two looks though nobody told their end."""
        if not self.took_stock.is_set():
            return
        gone = await self._gone()
        for call in gone:
            if call.id in self._missing:
                self._switchboard.take(lost(call, self._now()))
        self._missing = {call.id for call in gone}

    async def _gone(self) -> list[Call]:
        """Calls that go on here but not in Asterisk."""
        before = self._switchboard.going_on()
        alive = await self.alive()
        return [
            call
            for call in before
            if call.id not in alive
            and call.ended_at is None
            and call.id.startswith(f"{self._name}-")
            and not self._may_still_come(call)
        ]

    def _may_still_come(self, call: Call) -> bool:
        """It was ordered just now, and nobody has heard of it yet."""
        is_order = call.direction is not Direction.INBOUND and self._calls.call_of(call.id) is None
        return is_order and self._now() - call.arrived_at < PLACED_LATELY

    async def alive(self) -> set[str]:
        """The ids of the calls that have any channel in Asterisk: each carries the id of the call it belongs to."""
        channels = await self.ami.ask("CoreShowChannels")
        shown = [event for event in channels if event.get("Event") == "CoreShowChannel"]
        return {event[name] for event in shown for name in ("Uniqueid", "Linkedid")}

    async def _resume_known(self) -> list[datetime]:
        """Take up what the ledger knows as going on; returns when those calls arrived."""
        rows = await self._store.all("calls.going_on", asterisk=self._name)
        facts = await self._store.all("calls.facts", calls=[row["id"] for row in rows])
        for row in rows:
            if row["id"] not in self._switchboard.calls:
                call = Call(**{name: row[name] for name in row if name in Call.__slots__})
                call.direction = Direction(call.direction)
                mine = [
                    Fact(f["call_id"], f["at"], Kind(f["kind"]), f["key"], f["who"], f["detail"])
                    for f in facts
                    if f["call_id"] == call.id
                ]
                self._switchboard.resume(call, mine)
        return [row["arrived_at"] for row in rows]

    def _log_since(self, since: datetime) -> list[Row]:
        if self._cel_file is None or not self._cel_file.exists():
            return []
        return list(read_log(self._cel_file, since))


def _unread(held_back: list[Event], read: list[Row]) -> Iterator[Event]:
    """The events that stood not yet in the log: what happens while stock is taken is told by both."""
    moments: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in read:
        moments[row.identity].append(float(row.stamp))
    for event in held_back:
        try:
            row = Row.of_manager(event)
        except (KeyError, ValueError):
            yield event  # a hold, a place in the queue: the log knows nothing of them
            continue
        twins = moments[row.identity]
        twin = next((moment for moment in twins if abs(float(row.stamp) - moment) < OVERLAP), None)
        if twin is None:
            yield event
        else:
            twins.remove(twin)
