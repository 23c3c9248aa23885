"""What people see of promises and what they do with them: kept by another way, postponed, withdrawn, reopened.

Every move is legal from named statuses only; another is refused here with words and in SQL for certain. None
of them moves the law's due moment, and none makes a broken promise anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from callback.missed import HIDDEN
from ivr.errors import Refused, did_you_mean
from ivr.store import Row, Store


class Status(StrEnum):
    """The same words are the SQL enum `promise_status`."""

    OPEN = "open"
    KEPT = "kept"
    BROKEN = "broken"
    """Nobody talked with them in time. Final for the report; chased on all the same."""
    WITHDRAWN = "withdrawn"


MOVES = {
    "keep": (Status.OPEN, Status.BROKEN),
    "postpone": (Status.OPEN, Status.BROKEN),
    "withdraw": (Status.OPEN, Status.BROKEN),
    "reopen": (Status.KEPT, Status.BROKEN, Status.WITHDRAWN),
}
"""Which statuses a move is legal from."""

ORDERS = ("turn", "due")
LATE = "late"
LONGEST_TEXT = 500
LONGEST_WAIT = timedelta(days=7)
MOST = 500


class Cannot(Refused):
    """A refusal that people at the page meet; `code` is its name in `words.toml`."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


Serves = Sequence[int] | None
"""Ids of the companies somebody may see; None: all of them."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise with everything that belongs to it, as the CLI and the panel show it."""

    row: Row
    calls: list[Row]
    """The missed calls behind it."""
    attempts: list[Row]
    """The calls back."""
    history: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.row,
            "calls": [dict(call) for call in self.calls],
            "tried": [dict(attempt) for attempt in self.attempts],
            "history": [dict(entry) for entry in self.history],
        }


async def show(store: Store, id: int, serves: Serves = None) -> Promise:
    """Raises Refused when there is no such promise, or it is of a company that is none of `serves`."""
    row = await store.one("moves.show", id=id, serves=serves) if 0 < id < 2**63 else None
    if row is None:
        raise Refused(f"no promise {id}")
    return Promise(
        row,
        await store.all("moves.calls", id=id),
        await store.all("moves.attempts", id=id),
        await store.all("moves.history", id=id),
    )


async def promises(
    store: Store,
    *,
    status: str | None = None,
    day: date | None = None,
    zone: ZoneInfo | None = None,
    by: str = "turn",
    serves: Serves = None,
    most: int = 50,
) -> list[Row]:
    """Who is owed a call now, `by` "turn" (as they are chased) or "due"; or all of a status, or of a day.

    A promise is of the day its first call was missed on, in `zone`.
    """
    if status is not None and status not in list(Status):
        raise Refused(f"status = {status!r}: one of {', '.join(Status)}{did_you_mean(status, Status)}")
    if by not in ORDERS:
        raise Refused(f"by = {by!r}: one of {', '.join(ORDERS)}{did_you_mean(by, ORDERS)}")
    since, until = _day(day, zone) if day else (None, None)
    return await store.all(
        "moves.list",
        status=status,
        since=since,
        until=until,
        by=by,
        serves=serves,
        most=max(1, min(most, MOST)),
    )


async def on_the_board(store: Store, now: datetime, zone: ZoneInfo, serves: Serves = None) -> dict[str, Any]:
    """What a dispatcher has before her: the living promises, with whom each is being tried, and how many."""
    rows = await store.all("moves.now", serves=serves, most=MOST // 2)
    counts = await store.one("moves.counts", since=_day(now.astimezone(zone).date(), zone)[0], serves=serves)
    left = [{**row, "left_s": round((row["due_at"] - now).total_seconds())} for row in rows]
    return {"now": now, "promises": left, "counts": dict(counts or {})}


async def keep(store: Store, id: int, who: str, now: datetime, how: str) -> Promise:
    """They have talked by another way: at the door, by her own mobile, a message listened to and answered.

    Settles everything else that is owed to the number, as any talk does. Kept when it is not too late.
    """
    how = _words("how", how, "say how they were spoken with")
    promise = await show(store, id)
    if promise.row["reached_at"] is not None:
        raise Cannot("talked", f"promise {id} is {_state(promise)}: it cannot keep, they have talked already")
    moved = await store.all(
        "moves.keep", id=id, who=_who(who), now=now, how=how, late=LATE, legal=list(MOVES["keep"])
    )
    return await _moved(store, moved, "keep", promise)


async def postpone(store: Store, id: int, who: str, now: datetime, until: datetime, reason: str) -> Promise:
    """They want the call then. The law's due moment stands: after it the promise is broken, and that is why."""
    reason = _words("reason", reason, "say why it waits")
    if until <= now:
        raise Cannot("past", f"until = {until.isoformat()}: that is in the past")
    if until - now > LONGEST_WAIT:
        raise Cannot("far", f"until = {until.isoformat()}: at most {LONGEST_WAIT.days} days from now")
    promise = await show(store, id)
    if promise.row["phone"] is None:
        raise Cannot("hidden", f"promise {id} has no number: there is nobody to ring later")
    moved = await store.all(
        "moves.postpone",
        id=id,
        who=_who(who),
        now=now,
        until=until,
        reason=reason,
        legal=list(MOVES["postpone"]),
    )
    return await _moved(store, moved, "postpone", promise)


async def withdraw(store: Store, id: int, who: str, now: datetime, reason: str) -> Promise:
    """Nobody need be rung: a wrong number, a joke. What was broken stays so, and is only chased no longer."""
    reason = _words("reason", reason, "say why nobody need be rung")
    promise = await show(store, id)
    moved = await store.all(
        "moves.withdraw", id=id, who=_who(who), now=now, reason=reason, legal=list(MOVES["withdraw"])
    )
    return await _moved(store, moved, "withdraw", promise)


async def reopen(store: Store, id: int, who: str, now: datetime, reason: str) -> Promise:
    """It was closed by mistake ("that was an answering machine"): chased again at once.

    The call that closed it counts as no talk from now on; whatever else it had settled is owed again, too.
    """
    reason = _words("reason", reason, "say why it was no talk")
    promise = await show(store, id)
    async with store.transaction() as one:
        await one.run("moves.stand_still")
        other = await one.one("moves.other_open", id=id)
        if other is not None and promise.row["status"] != Status.BROKEN and now < promise.row["due_at"]:
            why = f"promise {other['id']} of this number is open already"
            raise Cannot("twin", f"promise {id} cannot reopen: {why}")
        if promise.row["reached_by"] is not None:
            marked = await one.one("moves.not_a_talk", id=id, who=_who(who), now=now)
            if marked is None:
                why = "the call that closed it is still on; hang up first"
                raise Cannot("still_on", f"promise {id} cannot reopen: {why}")
        moved = await one.all(
            "moves.reopen",
            id=id,
            who=_who(who),
            now=now,
            reason=reason,
            hidden=HIDDEN,
            late=LATE,
            legal=list(MOVES["reopen"]),
        )
        if not moved:
            raise _refusal("reopen", promise)
    return await show(store, id)


async def _moved(store: Store, rows: list[Row], move: str, before: Promise) -> Promise:
    if not rows:
        raise _refusal(move, before)
    return await show(store, before.row["id"])


def _refusal(move: str, promise: Promise) -> Cannot:
    return Cannot("state", f"promise {promise.row['id']} is {_state(promise)}: it cannot {move}")


def _state(promise: Promise) -> str:
    """Broken alone does not say whether it is still chased."""
    status, closed = str(promise.row["status"]), promise.row["closed_at"] is not None
    return f"{status} and {'closed' if closed else 'still chased'}" if status == Status.BROKEN else status


def _words(name: str, text: str, wanted: str) -> str:
    text = text.strip()
    if not text:
        raise Refused(f"{name}: {wanted}")
    if len(text) > LONGEST_TEXT:
        raise Refused(f"{name}: {len(text)} characters, at most {LONGEST_TEXT}")
    return text


def _who(who: str) -> str:
    return _words("who", who, "say who does it")


def _day(day: date, zone: ZoneInfo | None) -> tuple[datetime, datetime]:
    """From midnight to midnight: 23 to 25 hours."""
    if not 2000 <= day.year < 3000:
        raise Refused(f"day = {day}: from 2000 on")
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)
