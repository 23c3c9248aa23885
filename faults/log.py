"""Asterisk's own log of channel events, read independently of the product: who called, who talked, who was rung.

Nothing of `ivr/asterisk/cel.py` is used here: two readers must come to the same end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

TRUNK = "from-trunk"
ROBOT = "-survey-"
"""A part of the ids of the robot's calls."""
DISPATCHER = re.compile(r"PJSIP/\d{3}-[0-9a-f]+$")
HARDLY_BEGUN = timedelta(seconds=5)
"""Who is cut off sooner after the answer has been missed."""
UNSURE = timedelta(seconds=1.5)
"""So near to it nobody can say: what was heard last is known only roughly when the exchange dies."""


@dataclass(slots=True)
class LoggedCall:
    """A resident's call, a call back, or one of the robot's, as Asterisk tells it."""

    id: str
    number: str | None
    """The resident, as Asterisk had it; of the robot's calls it tells only the id."""
    direction: Literal["inbound", "callback", "survey"]
    began_at: datetime
    ended_at: datetime | None = None
    """None: nobody saw it end."""
    died_at: datetime | None = None
    """When Asterisk was killed under it."""
    met_at: datetime | None = None
    """A dispatcher and the resident came into one bridge."""
    met_until: datetime | None = None
    handed_over_at: datetime | None = None
    """The robot has let her go to the dispatchers."""

    @property
    def over_at(self) -> datetime | None:
        return self.ended_at or self.died_at

    @property
    def talked(self) -> bool | None:
        """Did she talk as the product must see it? None: too near to the limit to say."""
        if self.met_at is None:
            return False
        if self.ended_at is not None or self.died_at is None:
            return True
        lasted = self.died_at - self.met_at
        return None if abs(lasted - HARDLY_BEGUN) < UNSURE else lasted > HARDLY_BEGUN


@dataclass(slots=True)
class Ring:
    """A leg that rang a resident, for as long as its channel was there."""

    call: str
    number: str | None
    began_at: datetime
    ended_at: datetime | None = None


@dataclass(slots=True)
class Story:
    """All that the log tells."""

    calls: dict[str, LoggedCall] = field(default_factory=dict)
    rings: list[Ring] = field(default_factory=list)


@dataclass(slots=True)
class _Channel:
    name: str
    linkedid: str
    began_at: datetime
    leg: Ring | None = None


@dataclass(slots=True)
class _Reader:
    story: Story = field(default_factory=Story)
    channels: dict[str, _Channel] = field(default_factory=dict)
    bridges: dict[str, set[str]] = field(default_factory=dict)

    def take(self, row: dict[str, str]) -> None:
        at = datetime.fromtimestamp(float(row["eventtime"]), UTC)
        unique, linked = row["uniqueid"], row["linkedid"]
        extra = _extra(row)
        match row["eventenum"]:
            case "CHAN_START":
                self._starts(row, at)
            case "USER_DEFINED" if row["usereventname"] == "Callback":
                number = str(extra.get("extra", "")).split("|")[1]
                self.story.calls[unique] = LoggedCall(unique, number, "callback", at)
            case "USER_DEFINED" if row["usereventname"] == "HandedOver" and unique in self.story.calls:
                self.story.calls[unique].handed_over_at = at
            case "BRIDGE_ENTER":
                self.bridges.setdefault(str(extra["bridge_id"]), set()).add(unique)
                self._meet(self.bridges[str(extra["bridge_id"])], at)
            case "BRIDGE_EXIT":
                self._leave(self.bridges.get(str(extra["bridge_id"]), set()), unique, at)
            case "CHAN_END":
                self._ends(unique, linked, at)

    def _starts(self, row: dict[str, str], at: datetime) -> None:
        unique, linked = row["uniqueid"], row["linkedid"]
        channel = self.channels[unique] = _Channel(row["channame"], linked, at)
        if row["context"] != TRUNK:
            return
        if unique == linked and ROBOT not in unique:
            self.story.calls[unique] = LoggedCall(unique, row["num"], "inbound", at)
            return
        if unique == linked:
            self.story.calls[unique] = LoggedCall(unique, None, "survey", at)
        if linked in self.story.calls:
            channel.leg = Ring(linked, self.story.calls[linked].number, at)
            self.story.rings.append(channel.leg)

    def _resident_of(self, unique: str) -> LoggedCall | None:
        """The call whose resident's channel that is."""
        channel = self.channels.get(unique)
        if channel is not None and channel.leg is not None:
            return self.story.calls.get(channel.leg.call)
        call = self.story.calls.get(unique)
        return call if call is not None and call.direction == "inbound" else None

    def _meet(self, members: set[str], at: datetime) -> None:
        has_dispatcher = any(u in self.channels and DISPATCHER.match(self.channels[u].name) for u in members)
        for unique in members:
            call = self._resident_of(unique)
            if has_dispatcher and call is not None:
                call.met_at = call.met_at or at
                call.met_until = None

    def _leave(self, members: set[str], unique: str, at: datetime) -> None:
        for each in members:
            call = self._resident_of(each)
            if call is not None and call.met_at is not None:
                call.met_until = at
        members.discard(unique)

    def _ends(self, unique: str, linked: str, at: datetime) -> None:
        channel = self.channels.pop(unique, None)
        if channel is None:
            return
        if channel.leg is not None:
            channel.leg.ended_at = at
        call = self.story.calls.get(linked)
        if call is None:
            return
        if call.direction != "callback":
            if unique == call.id:
                call.ended_at = at
        elif not any(c.linkedid == linked for c in self.channels.values()):
            call.ended_at = at


def read(file: Path, deaths: Sequence[datetime]) -> Story:
    """The story of a log; `deaths` are the moments at which Asterisk was killed."""
    return tell(_rows(file), deaths)


def tell(rows: Iterable[dict[str, str]], deaths: Sequence[datetime]) -> Story:
    reader = _Reader()
    left = sorted(deaths)
    for row in rows:
        while left and row["eventenum"] == "CHAN_START" and float(row["eventtime"]) > left[0].timestamp():
            _die(reader, left.pop(0))
        reader.take(row)
    for at in left:
        _die(reader, at)
    return reader.story


def _die(reader: _Reader, at: datetime) -> None:
    """Every channel ended without a word."""
    for unique, channel in reader.channels.items():
        if channel.leg is not None:
            channel.leg.ended_at = at
        call = reader.story.calls.get(channel.linkedid)
        if call is not None and call.ended_at is None and (call.direction == "callback" or call.id == unique):
            call.died_at = at
            if call.met_at is not None and call.met_until is None:
                call.met_until = at
    reader.channels.clear()
    reader.bridges.clear()


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open("rb") as log:
        for line in log:
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut short by a kill


def _extra(row: dict[str, str]) -> dict[str, Any]:
    try:
        extra = json.loads(row.get("eventextra") or "{}")
    except ValueError:
        return {}
    return extra if isinstance(extra, dict) else {}
