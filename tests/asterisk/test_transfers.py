"""A resident is handed on: blind, after a word with the colleague, and to somebody who does not answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from demo.softphone import PhoneCall, PhoneError, Softphone

from .running import Running, talk, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextlib.asynccontextmanager
async def in_a_talk(
    house: Running, number: str
) -> AsyncIterator[tuple[PhoneCall, PhoneCall, Softphone, Softphone]]:
    """The resident's call, the dispatcher's, the dispatcher, and a colleague who came to her phone later."""
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        async with house.dispatcher() as vera:
            await ringing.answer()
            await talk(call, ringing)
            yield call, ringing, anna, vera


async def test_a_blind_transfer_is_followed_to_the_end(house: Running, number: str) -> None:
    async with in_a_talk(house, number) as (call, ringing, anna, vera):
        transfer = asyncio.create_task(ringing.transfer(vera.account))
        third = await vera.rings(within=10)
        assert third.caller_number == number
        await third.answer()
        await transfer
        await talk(call, third)
        await third.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["answered_by"], row["hung_up_by"]) == ("talked", anna.account, vera.account)
    facts = {fact["kind"]: fact for fact in await house.timeline(row["id"])}
    assert facts["transferred"]["who"] == anna.account
    assert facts["transferred"]["detail"] == {"how": "blind", "to": vera.account}
    assert facts["joined"]["who"] == vera.account
    assert await house.promises(number) == []


async def test_an_attended_transfer_is_followed_to_the_end(house: Running, number: str) -> None:
    async with in_a_talk(house, number) as (call, ringing, anna, vera):
        await ringing.hold()
        consult = await anna.dial(vera.account)
        third = await vera.rings(within=10)
        await third.answer()
        await consult.answered(within=5)
        await talk(consult, third)
        await ringing.transfer_to(consult)
        await talk(call, third)
        await call.hang_up()
        await third.ended(within=5)
    row = await house.ended(number)
    assert (row["outcome"], row["answered_by"], row["hung_up_by"]) == ("talked", anna.account, "resident")
    transferred = await house.happened(number, "transferred", how="attended")
    assert (transferred["who"], transferred["detail"]["to"]) == (anna.account, vera.account)
    assert (await house.happened(number, "joined"))["who"] == vera.account
    sql = "SELECT count(*) FROM tickets WHERE call_id = $1"
    assert await house.ledger.fetchval(sql, row["id"]) == 1


async def test_a_colleague_who_refuses_sends_the_resident_back_to_the_front_of_the_queue(
    house: Running, number: str
) -> None:
    async with in_a_talk(house, number) as (call, ringing, anna, vera):
        transfer = asyncio.create_task(ringing.transfer(vera.account))
        await (await vera.rings(within=10)).reject()
        with contextlib.suppress(PhoneError):
            await transfer
        await house.happened(number, "queued", times=2)
        again = await vera.rings(within=20)
        assert again.caller_number == number
        await again.answer()
        await talk(call, again)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["answered_by"]) == ("talked", anna.account)
    assert (await house.happened(number, "joined"))["who"] == vera.account


async def test_a_transfer_to_an_empty_seat_brings_the_resident_back_to_the_queue(
    house: Running, number: str
) -> None:
    async with in_a_talk(house, number) as (call, ringing, _, vera):
        with contextlib.suppress(PhoneError):
            await ringing.transfer("169")
        again = await vera.rings(within=20)
        assert again.caller_number == number
        await call.hang_up()
    row = await house.ended(number)
    assert row["outcome"] == "talked"
    assert (await house.kinds(row["id"])).count("queued") == 2


async def test_dispatchers_call_each_other_and_no_call_of_a_resident_is_made_of_it(house: Running) -> None:
    async with house.dispatcher() as anna, house.dispatcher() as vera:
        before = await house.ledger.fetchval("SELECT count(*) FROM calls")
        call = await anna.dial(vera.account)
        ringing = await vera.rings(within=10)
        await ringing.answer()
        await talk(call, ringing)
        await call.hang_up()
        await ringing.ended(within=5)
    assert await house.ledger.fetchval("SELECT count(*) FROM calls") == before
