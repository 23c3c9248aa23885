"""Asks the directory: who calls, whom we serve, who answers."""

from __future__ import annotations

import json
from datetime import datetime

from directory.nouns import Caller, Company, Dispatcher, House, Resident
from ivr.store import Row, Store


async def who_calls(store: Store, *, number: str | None, line: str, now: datetime) -> Caller | None:
    """Who calls from `number` (E.164; None: hidden) to the company's `line`; None: nobody's line."""
    row = await store.one("directory.who_calls", phone=number, line=line, now=now)
    return caller(row, number) if row else None


async def residents(store: Store, *, phone: str, company_id: int) -> list[Resident]:
    """Everybody a phone belongs to, for the dispatcher to choose from."""
    rows = await store.all("directory.residents_by_phone", phone=phone, company_id=company_id)
    return [resident(row) for row in rows]


async def companies(store: Store) -> list[Company]:
    """Every company with its lines, by code."""
    return [company(row) for row in await store.all("directory.companies")]


async def dispatchers(store: Store) -> list[Dispatcher]:
    """Every dispatcher with her SIP account, by extension."""
    return [dispatcher(row) for row in await store.all("directory.dispatchers")]


def caller(row: Row, number: str | None) -> Caller:
    """Who calls, out of a row of `who_calls`."""
    return Caller(
        company=Company(
            id=row["company_id"],
            code=row["code"],
            name=row["company_name"],
            greeting=row["greeting"],
            phrases=json.loads(row["phrases"]),
            time_zone=row["company_time_zone"],
            queue=row["queue"],
        ),
        number=number,
        resident=resident(row) if row["resident_id"] is not None else None,
        residents_known=row["residents_known"],
        one_flat=row["one_flat"],
        open_tickets=row["open_tickets"],
        last_ticket=row["last_ticket"],
        calls_lately=row["calls_lately"],
    )


def resident(row: Row) -> Resident:
    """A resident, out of a row of `who_calls` or `residents_by_phone`."""
    return Resident(
        id=row["resident_id"],
        name=row["resident_name"],
        flat=row["flat"],
        house=House(
            id=row["house_id"], address=row["address"], time_zone=row["house_time_zone"], access=row["access"]
        ),
    )


def company(row: Row) -> Company:
    """A company, out of a row of `companies`."""
    return Company(**{**row, "phrases": json.loads(row["phrases"]), "lines": tuple(row["lines"])})


def dispatcher(row: Row) -> Dispatcher:
    """A dispatcher, out of a row of `dispatchers`."""
    return Dispatcher(**{**row, "serves": None if row["serves"] is None else frozenset(row["serves"])})
