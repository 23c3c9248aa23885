"""Whose turn it is: the one order of residents who wait in the line and residents who are owed a call. Pure.

1. The higher priority goes first, live or owed: an emergency before everything else.
2. Within a priority whoever came first: a missed call keeps the place its caller had.
3. But a promise that is broken already, or whose resident was rung in vain, lets those go first who wait at
   the phone with the same priority: callbacks do not starve live callers.

A promise goes to the queue when its place is one of the next that the dispatchers will take: there are never
more calls back in the queue than dispatchers at their phones, and `Queue()` rings only those who are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that stands in Asterisk's queue."""

    priority: int
    since: datetime | None
    """When the resident's call arrived; None: a call back, whose place is decided already."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as Asterisk has it now."""

    dispatchers: int
    """How many are at their phones, free or not."""
    waiting: Sequence[Waiting] = ()
    """In the order in which they will be answered."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A promise to be tried now."""

    promise: int
    priority: int
    missed_at: datetime
    yields: bool = False
    """It is broken, or the resident was rung in vain already."""


@dataclass(frozen=True, slots=True)
class Turn:
    """This promise goes to the queue now."""

    promise: int
    position: int | None
    """Its place there, from 1; None: behind all who are there with its priority."""


def turns(queue: Queue, owed: Sequence[Owed]) -> Iterator[Turn]:
    """Which promises go to the queue now, and where to, the most urgent first."""
    line = list(queue.waiting)
    for one in sorted(owed, key=lambda o: (-o.priority, o.yields, o.missed_at, o.promise)):
        place = next((at for at, each in enumerate(line) if _goes_before(one, each)), len(line))
        if place >= queue.dispatchers:
            continue
        yield Turn(one.promise, place + 1 if place < len(line) else None)
        line.insert(place, Waiting(one.priority, None))


def _goes_before(one: Owed, other: Waiting) -> bool:
    if one.priority != other.priority:
        return one.priority > other.priority
    return not one.yields and other.since is not None and one.missed_at < other.since
