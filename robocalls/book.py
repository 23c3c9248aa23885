"""What people see of surveys and what they do about them: cancelled, brought forward, numbers that opt out for ever.

Every move is legal from named statuses only; another is refused here with words and in SQL for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from callback.book import Cannot
from callback.report import Period
from callback.words import Words
from callback.words import read as read_words
from directory.phones import to_e164, why_not
from ivr.errors import Refused, did_you_mean
from ivr.store import Row, Store
from robocalls.nouns import Result, Status

MOVES = {"cancel": (Status.PLANNED,), "bring_forward": (Status.PLANNED,)}
"""Which statuses a move is legal from."""

WORDS = tuple(Path(__file__).with_name(name) for name in ("words.toml", "book.toml"))
LONGEST_TEXT = 500
MOST = 500
HOW = ("word", "key", "panel", "cli")
"""How a number opts out."""

Serves = Sequence[int] | None
"""Ids of the companies somebody may see; None: all of them."""


def words(language: str = "ru") -> Words:
    """What the codes of surveys are called."""
    return Words(
        language, {room: codes for file in WORDS for room, codes in read_words(language, file).rooms.items()}
    )


@dataclass(frozen=True, slots=True)
class Survey:
    """A survey with everything that belongs to it, as the CLI and the panel show it."""

    row: Row
    calls: list[Row]
    """The robot's calls."""
    answers: list[Row]
    """What was answered in them, each with its evidence; the last one of a call counts."""
    facts: list[Row]
    """What the robot heard."""
    history: list[Row]
    """The ticket's, since it was closed."""

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.row,
            "calls": [dict(call) for call in self.calls],
            "answers": [dict(answer) for answer in self.answers],
            "facts": [dict(fact) for fact in self.facts],
            "history": [dict(entry) for entry in self.history],
        }


async def show(store: Store, id: int, serves: Serves = None) -> Survey:
    """Raises Refused when there is no such survey, or it is of a company that is none of `serves`."""
    row = await store.one("survey_book.show", id=id, serves=serves) if 0 < id < 2**63 else None
    if row is None:
        raise Refused(f"no survey {id}")
    return Survey(
        row,
        await store.all("survey_book.calls", id=id),
        await store.all("survey_book.answers", id=id),
        await store.all("survey_book.facts", id=id),
        await store.all("survey_book.history", id=id),
    )


async def surveys(
    store: Store,
    *,
    status: str | None = None,
    result: str | None = None,
    ticket: int | None = None,
    phone: str | None = None,
    period: Period | None = None,
    answered: bool = False,
    serves: Serves = None,
    most: int = 50,
) -> list[Row]:
    """The latest first; those answered or settled within a period, if one is given; `answered`: the former only."""
    for name, word, known in (("status", status, Status), ("result", result, Result)):
        if word is not None and word not in list(known):
            raise Refused(f"{name} = {word!r}: one of {', '.join(known)}{did_you_mean(word, known)}")
    return await store.all(
        "survey_book.list",
        status=status,
        result=result,
        ticket=ticket,
        phone=phone,
        since=period.since if period else None,
        before=period.before if period else None,
        answered=answered,
        serves=serves,
        most=max(1, min(most, MOST)),
    )


async def on_the_board(store: Store, now: datetime, zone: ZoneInfo, serves: Serves = None) -> dict[str, Any]:
    """What a dispatcher has before her: whom the robot hands over and why, and the latest of today."""
    today = whole_day(now.astimezone(zone).date(), zone)
    counts = await store.one("survey_book.counts", since=today.since, serves=serves)
    return {
        "now": now,
        "handed_over": await store.all("survey_book.handed_over", serves=serves),
        "latest": await surveys(store, period=today, answered=True, serves=serves, most=20),
        "counts": dict(counts or {}),
    }


async def cancel(
    store: Store, id: int, who: str, now: datetime, reason: str, serves: Serves = None
) -> Survey:
    """She need not be asked about this job. Raises Refused once she is being rung, or was."""
    reason = _said("reason", reason, "say why she need not be asked")
    survey = await show(store, id, serves)
    moved = await store.all(
        "survey_book.cancel", id=id, who=_said("who", who, "say who does it"), now=now, reason=reason,
        legal=list(MOVES["cancel"]),
    )  # fmt: skip
    if not moved:
        raise Cannot("survey_state", f"survey {id} is {survey.row['status']}: it cannot cancel")
    return await show(store, id, serves)


async def bring_forward(store: Store, ids: Sequence[int], now: datetime) -> list[int]:
    """Ask these as soon as a line is free, and wake whoever calls. What was agreed with her stays as agreed."""
    moved = await store.all(
        "survey_book.bring_forward", ids=list(ids), now=now, legal=list(MOVES["bring_forward"])
    )
    await store.one("survey_book.wake")
    return [row["id"] for row in moved]


async def is_anybody_calling(store: Store) -> bool:
    """Does a controller listen on this ledger? Nobody else rings."""
    row = await store.one("survey_book.listeners")
    return bool(row and row["count"])


async def progress(store: Store, since: datetime, now: datetime, ids: Sequence[int] | None = None) -> Row:
    """How far these have come since a moment; None: all that are due or under way."""
    row = await store.one(
        "survey_book.progress", since=since, now=now, ids=None if ids is None else list(ids)
    )
    assert row is not None
    return row


def number_of(text: str, *, region: str = "RU", area_code: str = "495") -> str:
    """A phone number in any form as E.164. Raises Refused with the near miss."""
    number = to_e164(text, region=region, area_code=area_code)
    if number is None:
        why = why_not(text[:40], region=region, area_code=area_code)
        raise Cannot("no_number", f"phone = {text[:40]!r}: {why}")
    return number


async def opt_out(
    store: Store, phone: str, how: str, who: str, now: datetime, reason: str | None = None
) -> Row:
    """The robot never rings `phone` (E.164) again. `new` is False when it had opted out before; nothing changes then.

    `cancelled` is how many planned surveys that ends.
    """
    assert how in HOW
    values = {
        "phone": phone,
        "how": how,
        "who": _said("who", who, "say who does it"),
        "now": now,
        "reason": _bounded("reason", reason or "") or None,
    }
    row = await store.one("survey_book.opt_out", **values)
    if row is None:  # somebody else has entered it in this very moment: now it is seen
        row = await store.one("survey_book.opt_out", **values)
    assert row is not None
    return row


async def opt_outs(
    store: Store, *, phone: str | None = None, serves: Serves = None, who: str = "", most: int = 50
) -> list[Row]:
    """The latest first. Who serves some companies sees their residents', and those she (`who`) entered herself."""
    return await store.all(
        "survey_book.opt_outs", phone=phone, serves=serves, who=who, most=max(1, min(most, MOST))
    )


def whole_day(day: date, zone: ZoneInfo) -> Period:
    """A day as a period. Raises Refused for one that no calendar here has."""
    if not 2000 <= day.year < 3000:
        raise Refused(f"day = {day}: from 2000 on")
    return Period(day, day, zone)


def _said(name: str, text: str, wanted: str) -> str:
    if not text.strip():
        raise Refused(f"{name}: {wanted}")
    return _bounded(name, text)


def _bounded(name: str, text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST_TEXT:
        raise Refused(f"{name}: {len(text)} characters, at most {LONGEST_TEXT}")
    return text
