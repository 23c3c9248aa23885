"""The lists of blocked numbers on a real Postgres."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from directory import blocked
from ivr.errors import Refused
from ivr.ledger import Ledger

from .calls import MISSED, NOON, switchboard, tell

HOUR = timedelta(hours=1)


async def block(ledger: Ledger, pattern: str, at: datetime = NOON - HOUR) -> int:
    row = await blocked.add(ledger, pattern, reason="звонит роботом", author="Анна", now=at)
    number: int = row["id"]
    return number


async def promised(ledger: Ledger) -> list[dict[str, Any]]:
    await ledger.settled()
    return [
        dict(row) for row in await ledger.pool.fetch("SELECT phone, status, missed FROM promises ORDER BY id")
    ]


async def test_a_blocked_number_is_promised_nothing(ledger: Ledger) -> None:
    await block(ledger, blocked.pattern_of("8 (916) 123-45-67"))
    board = switchboard(ledger)
    tell(board, *MISSED, caller="+79161234567")
    tell(board, *MISSED, caller="+79161234568")
    assert [promise["phone"] for promise in await promised(ledger)] == ["+79161234568"]


async def test_a_prefix_blocks_all_that_begin_so_and_no_other(ledger: Ledger) -> None:
    await block(ledger, "+7916*")
    board = switchboard(ledger)
    tell(board, *MISSED, caller="+79161234567")
    tell(board, *MISSED, caller="+79171234567")
    assert [promise["phone"] for promise in await promised(ledger)] == ["+79171234567"]


async def test_promises_made_before_stand(ledger: Ledger) -> None:
    tell(switchboard(ledger), *MISSED)
    await ledger.settled()
    await block(ledger, "+79161234567", NOON + HOUR)
    tell(switchboard(ledger), *MISSED, at=NOON + 2 * HOUR)
    assert await promised(ledger) == [{"phone": "+79161234567", "status": "open", "missed": 1}]


async def test_who_is_lifted_is_owed_calls_again(ledger: Ledger) -> None:
    number = await block(ledger, "+79161234567")
    await blocked.lift(ledger, number, author="Борис", now=NOON - timedelta(minutes=1))
    tell(switchboard(ledger), *MISSED)
    assert len(await promised(ledger)) == 1


async def test_the_list_says_who_and_why_and_keeps_what_was_lifted(ledger: Ledger) -> None:
    first = await block(ledger, "+7900*")
    second = await block(ledger, "+79161234567", NOON)
    await blocked.lift(ledger, first, author="Борис", now=NOON)
    (row,) = await blocked.listed(ledger)
    assert (row["id"], row["pattern"], row["reason"], row["author"]) == (
        second, "+79161234567", "звонит роботом", "Анна",
    )  # fmt: skip
    rows = await blocked.listed(ledger, lifted_too=True)
    assert [(row["id"], row["lifted_by"], row["lifted_at"]) for row in rows] == [
        (second, None, None),
        (first, "Борис", NOON),
    ]


async def test_the_same_pattern_twice_is_refused_with_who_has_it(ledger: Ledger) -> None:
    number = await block(ledger, "+7900*")
    with pytest.raises(Refused, match=rf"blocked already by Анна \(number {number} "):
        await block(ledger, "+7900*")
    await blocked.lift(ledger, number, author="Анна", now=NOON)
    assert await block(ledger, "+7900*", NOON) != number


async def test_what_is_not_in_force_cannot_be_lifted(ledger: Ledger) -> None:
    number = await block(ledger, "+7900*")
    await blocked.lift(ledger, number, author="Борис", now=NOON)
    with pytest.raises(Refused, match="lifted already by Борис"):
        await blocked.lift(ledger, number, author="Анна", now=NOON)
    for unknown in (number + 1, 0, -1, 2**70):
        with pytest.raises(Refused, match="no blocked number"):
            await blocked.lift(ledger, unknown, author="Анна", now=NOON)


async def test_how_many_residents_a_pattern_covers_is_known(ledger: Ledger) -> None:
    await ledger.pool.execute("""
        WITH c AS (INSERT INTO companies (code, name) VALUES ('sever', 'Север') RETURNING id),
             h AS (INSERT INTO houses (company_id, address) SELECT id, 'Дом 1' FROM c RETURNING id, company_id),
             f AS (INSERT INTO flats (company_id, house_id, number) SELECT company_id, id, '1' FROM h
                   RETURNING id, company_id),
             r AS (INSERT INTO residents (company_id, flat_id, name)
                   SELECT company_id, id, n FROM f, unnest(ARRAY['Иванов', 'Петров']) AS n RETURNING id, company_id)
        INSERT INTO resident_phones (phone, company_id, resident_id) SELECT '+79161234567', company_id, id FROM r
    """)
    assert await blocked.residents_under(ledger, "+7916*") == 1
    assert await blocked.residents_under(ledger, "+79161234567") == 1
    assert await blocked.residents_under(ledger, "+7917*") == 0
