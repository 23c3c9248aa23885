"""Whose turn it is: the one order of residents who wait in the line and residents who are owed a call. Pure.

1. The higher priority goes first, live or owed: an emergency before everything else.
2. Within a priority whoever came first: a missed call keeps the place its caller had.
3. A broken promise lets those go first who wait at the phone with the same priority; and while anybody waits there,
   only one broken promise of the queue is tried at a time.
4. A promise whose resident was rung in vain since she last called goes behind everybody, whatever its priority:
   nobody waits for the unreachable, and no promise that was never tried waits for its next try.

So callbacks do not starve live callers. A promise goes to the queue when its place is one of the next that the
dispatchers will take, and `Queue()` rings only those who are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

LAST = 0
"""The priority of who lets everybody go first."""


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
    calling_back: int = 0
    """How many calls back go on, in the queue or out of it."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A promise to be tried now."""

    promise: int
    priority: int
    missed_at: datetime
    broken: bool = False
    in_vain: bool = False
    """The resident was rung, and was not reached, since she last called."""


@dataclass(frozen=True, slots=True)
class Turn:
    """This promise goes to the queue now."""

    promise: int
    priority: int
    position: int | None
    """Its place there, from 1; None: behind all who are there with its priority."""


def turns(queue: Queue, owed: Sequence[Owed]) -> Iterator[Turn]:
    """Which promises go to the queue now, and where to, the most urgent first."""
    line, calling_back = list(queue.waiting), queue.calling_back
    somebody_waits = any(each.since is not None for each in line)
    for one in sorted(owed, key=lambda o: (o.in_vain, -o.priority, o.broken, o.missed_at, o.promise)):
        if one.broken and somebody_waits and calling_back:
            continue
        place = next((at for at, each in enumerate(line) if _goes_before(one, each)), len(line))
        if place >= queue.dispatchers:
            continue
        priority = LAST if one.in_vain else one.priority
        yield Turn(one.promise, priority, place + 1 if place < len(line) else None)
        line.insert(place, Waiting(priority, None))
        calling_back += 1


def _goes_before(one: Owed, other: Waiting) -> bool:
    if one.in_vain:
        return False
    if one.priority != other.priority:
        return one.priority > other.priority
    return not one.broken and other.since is not None and one.missed_at < other.since
