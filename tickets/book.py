"""The tickets' life: drafted when a dispatcher answers, completed, its clocks met, closed, opened again.

Every move is legal from named statuses only; another is refused here with words and in SQL for certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from ivr.call import Call
from ivr.errors import Refused, did_you_mean
from ivr.store import Outbox, Row, Store
from tickets.limits import Limits


class Status(StrEnum):
    """The same words are the SQL enum `ticket_status`."""

    DRAFT = "draft"
    REGISTERED = "registered"
    CLOSED = "closed"


MOVES = {
    "complete": (Status.DRAFT, Status.REGISTERED),
    "close": (Status.DRAFT, Status.REGISTERED),
    "meet": (Status.DRAFT, Status.REGISTERED),
    "reopen": (Status.CLOSED,),
}
"""Which statuses a move is legal from."""

LONGEST_TEXT = 4000
FURTHEST_SURVEY = timedelta(days=14)
"""How long after the closing an hour for the robot's question may be agreed."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket with everything that belongs to it, as the CLI and the API show it."""

    row: Row
    clocks: list[Row]
    history: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.row,
            "clocks": [dict(clock) for clock in self.clocks],
            "history": [dict(entry) for entry in self.history],
        }


def draft(outbox: Outbox, call: Call, limits: Limits, zone: ZoneInfo) -> None:
    """A dispatcher has answered: leave a draft with the call's facts, registered at that moment."""
    assert call.answered_at is not None
    category = call.category or "other"
    clocks = limits.start(category, call.answered_at, zone)
    outbox.write(
        "tickets.draft",
        call=call.id,
        company_id=call.company_id,
        house_id=call.house_id,
        flat=call.flat,
        resident_id=call.resident_id,
        phone=call.caller,
        category=category,
        dispatcher=call.answered_by,
        registered_at=call.answered_at,
        clocks=[{**asdict(clock), "due_at": clock.due_at.isoformat()} for clock in clocks],
    )


async def show(store: Store, number: int) -> Ticket:
    """Raises Refused when there is no such ticket."""
    row = await store.one("tickets.show", number=number)
    if row is None:
        raise Refused(f"no ticket {number}")
    clocks = await store.all("tickets.clocks", number=number)
    return Ticket(row, clocks, await store.all("tickets.history", number=number))


async def complete(
    store: Store, limits: Limits, number: int, who: str, now: datetime, *, content: str, **more: Any
) -> Ticket:
    """Say what is wrong: `content` as told, and optionally `category`, `house_id`, `flat`, `damage_at`.

    The ticket is registered since the dispatcher answered; a new category or damage sets its clocks anew
    from that moment. Raises Refused naming what does not fit.
    """
    ticket = await show(store, number)
    category = more.pop("category", None) or str(ticket.row["category"])
    _check(content, category, limits, more)
    damage_at: datetime | None = more.get("damage_at") or ticket.row["damage_at"]
    if damage_at is not None and damage_at > now:
        raise Refused(f"damage_at = {damage_at.isoformat()}: the damage cannot begin in the future")
    house = await _house(store, more.get("house_id"), ticket)
    async with store.transaction() as one:
        moved = await one.one(
            "tickets.complete",
            number=number,
            content=content.strip(),
            category=category,
            house_id=more.get("house_id"),
            flat=more.get("flat"),
            damage_at=damage_at,
            legal=list(MOVES["complete"]),
        )
        _moved(moved, "complete", ticket)
        await one.run("tickets.drop_clocks", number=number)
        zone = ZoneInfo(str((house or ticket.row)["zone"] or "UTC"))
        for clock in limits.start(category, ticket.row["registered_at"], zone, damage_at):
            await one.run("tickets.set_clock", number=number, **asdict(clock))
        changed = {
            "content": content.strip(),
            "category": category,
            **{k: str(v) for k, v in more.items() if v is not None},
        }
        await one.run("tickets.remember", number=number, at=now, who=who, what="completed", detail=changed)
    return await show(store, number)


async def meet(store: Store, number: int, clock: str, who: str, now: datetime) -> Ticket:
    """A clock's duty is done: the damage is localised, the terms are told."""
    ticket = await show(store, number)
    names = [str(row["name"]) for row in ticket.clocks]
    if clock not in names:
        raise Refused(f"ticket {number} has no clock {clock!r}{did_you_mean(clock, names)}")
    if ticket.row["status"] not in MOVES["meet"]:
        raise Refused(f"ticket {number} is {ticket.row['status']}: its clocks do not run any more")
    async with store.transaction() as one:
        met = await one.one("tickets.meet_clock", number=number, name=clock, met_at=now)
        if met is None:
            raise Refused(f"clock {clock!r} of ticket {number} was met already")
        await one.run("tickets.remember", number=number, at=now, who=who, what="met", detail={"clock": clock})
    return await show(store, number)


async def close(
    store: Store, number: int, who: str, now: datetime, result: str, survey_at: datetime | None = None
) -> Ticket:
    """The job is done, or there is none; `survey_at` is the hour agreed for the robot's question.

    Raises Refused when it is closed already, and when no such hour can be kept.
    """
    ticket = await show(store, number)
    result = _text("result", result, "say what was done")
    if survey_at is not None and not now <= survey_at <= now + FURTHEST_SURVEY:
        raise Refused(
            f"survey_at = {survey_at.isoformat()}: from now on, and within {FURTHEST_SURVEY.days} days"
        )
    async with store.transaction() as one:
        moved = await one.one(
            "tickets.close",
            number=number,
            closed_at=now,
            result=result,
            survey_at=survey_at,
            legal=list(MOVES["close"]),
        )
        _moved(moved, "close", ticket)
        detail = {"result": result} | ({"survey_at": survey_at.isoformat()} if survey_at else {})
        await one.run("tickets.remember", number=number, at=now, who=who, what="closed", detail=detail)
    return await show(store, number)


async def reopen(store: Store, number: int, who: str, now: datetime, why: str) -> Ticket:
    """The job was not done after all: registered again, or a draft if nobody had said what is wrong.

    Its clocks run on from where they stood: the law counts from the registration and the damage, and an end that was
    none has bought no time. What was met stays met. Raises Refused when it is not closed.
    """
    ticket = await show(store, number)
    why = _text("why", why, "say what was not done")
    async with store.transaction() as one:
        moved = await one.one("tickets.reopen", number=number, legal=list(MOVES["reopen"]))
        _moved(moved, "reopen", ticket)
        await one.run(
            "tickets.remember", number=number, at=now, who=who, what="reopened", detail={"why": why}
        )
    return await show(store, number)


async def tickets(store: Store, **filters: Any) -> list[Row]:
    """Newest first: `status`, `company` (its code), `before` (a number, for paging), `most`."""
    status = filters.get("status")
    if status is not None and status not in list(Status):
        raise Refused(f"status = {status!r}: one of {', '.join(Status)}{did_you_mean(status, Status)}")
    return await store.all(
        "tickets.list",
        status=status,
        company=filters.get("company"),
        before=filters.get("before"),
        most=min(int(filters.get("most") or 50), 500),
    )


async def _house(store: Store, house_id: int | None, ticket: Ticket) -> Row | None:
    """The house that is given; Refused when nobody knows it or another company looks after it."""
    if house_id is None:
        return None
    house = await store.one("tickets.house", id=house_id) if 0 < house_id < 2**63 else None
    if house is None or ticket.row["company_id"] not in {None, house["company_id"]}:
        raise Refused(f"house_id = {house_id}: no such house of this company")
    return house


def _text(name: str, text: str, wanted: str) -> str:
    if not text.strip():
        raise Refused(f"{name}: {wanted}")
    if len(text) > LONGEST_TEXT:
        raise Refused(f"{name}: {len(text)} characters, at most {LONGEST_TEXT}")
    return text.strip()


def _check(content: str, category: str, limits: Limits, more: Mapping[str, Any]) -> None:
    _text("content", content, "say what the resident told")
    if category not in limits.categories:
        near = did_you_mean(category, limits.categories)
        raise Refused(f"category = {category!r}: no such category{near}; {', '.join(limits.categories)}")
    unknown = set(more) - {"house_id", "flat", "damage_at"}
    if unknown:
        raise Refused(f"{', '.join(sorted(unknown))}: a ticket has no such field")


def _moved(row: Row | None, move: str, ticket: Ticket) -> None:
    if row is None:
        raise Refused(f"ticket {ticket.row['number']} is {ticket.row['status']}: it cannot {move}")
