"""A missed call is a promise, and it is kept: the chase on the real Asterisk, seen from the phones and the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.native import Native
from demo import sound
from demo.softphone import PhoneCall, Softphone
from recordings import audio

from .running import DISPATCHER, NORTH, RESIDENT, Running, connected, hears, talk, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODYS = "169"
"""An extension nobody is logged in with."""
LONG_ENOUGH = 2.5
"""Seconds, more than the `talk` of these promises."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path]) -> AsyncIterator[Running]:
    async with Running(native, new_home("chase"), calls_back=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nobody_is_owed(house: Running) -> AsyncIterator[None]:
    """What a test leaves open rings no dispatcher of the next one."""
    yield
    await house.ledger.execute(
        "UPDATE promises SET closed_at = now(), status = 'withdrawn', next_attempt_at = NULL WHERE closed_at IS NULL"
    )
    await house.console("channel request hangup all")
    await house.until(
        lambda: house.ledger.fetchval("SELECT bool_and(ended_at IS NOT NULL) FROM calls"),
        "every call has ended",
        40,
    )


async def missed(house: Running, ivan: Softphone, number: str, key: str = "1") -> None:
    """He calls, gives up while he waits, and is promised a call."""
    call = await to_the_queue(ivan, key)
    await house.happened(number, "queued")
    await call.hang_up()
    await house.promise(number)


async def accepted(anna: Softphone) -> PhoneCall:
    ringing = await anna.rings(within=15)
    await ringing.answer()
    return ringing


async def called_back(ivan: Softphone, anna: Softphone) -> tuple[PhoneCall, PhoneCall]:
    """Dispatcher and resident in a talk that we began."""
    at_anna = await accepted(anna)
    at_ivan = await ivan.rings(within=10)
    await at_ivan.answer()
    await hears(at_ivan, "callback_greeting")
    await talk(at_ivan, at_anna)
    return at_ivan, at_anna


async def long_enough(call: PhoneCall) -> None:
    await call.hears(seconds=LONG_ENOUGH)


async def test_who_hung_up_in_the_queue_is_called_back_and_the_promise_is_kept(
    house: Running, number: str
) -> None:
    async with house.resident(number) as ivan:
        await missed(house, ivan, number)
        promise = await house.promise(number, status="open")
        async with house.dispatcher() as anna:
            ringing = await anna.rings(within=10)
            assert ringing.caller_number == number
            assert "Перезвон" in ringing.caller_name
            await ringing.answer()
            await hears(ringing, "callback_accepted")
            back = await ivan.rings(within=10)
            assert back.caller_number == NORTH
            await back.answer()
            await hears(back, "callback_greeting")
            await talk(back, ringing)
            await long_enough(back)
            await back.hang_up()
            await ringing.ended(within=5)
    kept = await house.promise(number, status="kept")
    call = await house.ended(number)
    assert (call["direction"], call["outcome"], call["answered_by"]) == ("callback", "talked", anna.account)
    assert (kept["reached_by"], kept["reached_at"]) == (call["id"], call["answered_at"])
    assert promise["missed_at"] < kept["reached_at"] < kept["due_at"]
    ticket = await house.ledger.fetchrow("SELECT * FROM tickets WHERE call_id = $1", call["id"])
    assert ticket["phone"] == number
    assert ticket["category"] == "emergency"


async def test_a_call_back_is_recorded_the_resident_on_the_left(house: Running, number: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        at_ivan, at_anna = await called_back(ivan, anna)
        at_ivan.says(sound.tone(RESIDENT, 2))
        await at_ivan.has_said_all(within=5)
        await at_anna.hang_up()
    call = await house.ended(number)
    recording = await house.recording(call["id"])
    file = house.settings.recordings / recording["path"]
    assert audio.tone_seconds(file, audio.LEFT, RESIDENT) > 1
    assert audio.tone_seconds(file, audio.RIGHT, DISPATCHER) > 0.5


@pytest.mark.parametrize("why", ["busy", "no_answer"])
async def test_who_is_not_reached_is_tried_again_until_she_is(house: Running, number: str, why: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        first = await accepted(anna)
        back = await ivan.rings(within=10)
        if why == "busy":
            await back.reject()
        await hears(first, f"callback_{why}")
        await first.ended(within=5)
        at_ivan, _ = await called_back(ivan, anna)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
        await house.promise(number, status="kept")
    await house.ended(number)
    outcomes = await house.ledger.fetch(
        "SELECT outcome::text FROM calls WHERE caller = $1 AND direction = 'callback' ORDER BY arrived_at",
        number,
    )
    assert [row["outcome"] for row in outcomes] == [why, "talked"]


async def test_a_dispatcher_who_hangs_up_too_soon_is_rung_again(house: Running, number: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        first = await accepted(anna)
        await ivan.rings(within=10)
        await first.hang_up()
        assert (await house.ended(number))["outcome"] == "dispatcher_gone"
        at_ivan, _ = await called_back(ivan, anna)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
        await house.promise(number, status="kept")


async def test_an_answering_machine_keeps_no_promise(house: Running, number: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        at_ivan, at_anna = await called_back(ivan, anna)
        await at_anna.press("*9")
        await house.happened(number, "machine")
        await at_anna.hang_up()
        await at_ivan.ended(within=5)
        assert (await house.ended(number))["outcome"] == "machine"
        assert (await house.promises(number))[-1]["status"] == "open"
        at_ivan, _ = await called_back(ivan, anna)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
        await house.promise(number, status="kept")


async def test_a_talk_of_a_moment_keeps_no_promise(house: Running, number: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        await accepted(anna)
        back = await ivan.rings(within=10)
        await back.answer()
        await house.happened(number, "answered")
        await back.hang_up()
        assert (await house.ended(number))["outcome"] == "talked"
        at_ivan, _ = await called_back(ivan, anna)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
        await house.promise(number, status="kept")


async def test_who_calls_again_and_talks_is_not_called_back(house: Running, number: str) -> None:
    await house.nobody_is_there()
    async with house.resident(number) as ivan:
        await missed(house, ivan, number)
        await house.promise(number, status="open")
        call = await ivan.dial(NORTH)
        await call.answered(within=5)
        async with house.dispatcher() as anna:
            await call.press("1")
            ringing = await anna.rings(within=10)
            assert "Перезвон" not in ringing.caller_name
            await ringing.answer()
            await talk(call, ringing)
            kept = await house.promise(number, status="kept")
            assert kept["reached_by"] == (await house.call_of(number))["id"]
            await call.hang_up()
    callbacks = "SELECT count(*) FROM calls WHERE caller = $1 AND direction = 'callback'"
    assert await house.ledger.fetchval(callbacks, number) == 0


async def test_a_call_back_that_waits_is_taken_back_when_the_resident_calls_herself(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        await missed(house, ivan, number)
        waiting = await house.call_of(number, direction="callback")
        assert waiting["ended_at"] is None
        call = await to_the_queue(ivan)
        ended = await house.until(lambda: _ended(house, waiting["id"]), "the call back is taken back")
        assert ended == "taken_back"
        await talking.hang_up()
        ringing = await accepted(anna)
        await talk(call, ringing)
        await house.promise(number, status="kept")
        await call.hang_up()


async def test_an_emergency_that_is_owed_goes_before_a_planned_call_that_waits(
    house: Running, number: str, another: str
) -> None:
    busy = "+79161113001"
    async with (
        house.dispatcher() as anna,
        house.resident(busy) as first,
        house.resident(another) as planned,
        house.resident(number) as ivan,
    ):
        talking, _ = await connected(first, anna)
        waits = await to_the_queue(planned, "2")
        await house.happened(another, "queued")
        await missed(house, ivan, number, "1")
        await house.call_of(number, direction="callback")
        await house.happened(number, "queued")
        await talking.hang_up()
        ringing = await anna.rings(within=15)
        assert ringing.caller_number == number
        await ringing.answer()
        at_ivan = await ivan.rings(within=10)
        await at_ivan.answer()
        await talk(at_ivan, ringing)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
        await house.promise(number, status="kept")
        await (await accepted(anna)).hang_up()
        await waits.ended(within=5)


async def test_one_dispatcher_has_never_more_than_one_call_back_in_the_queue(house: Running) -> None:
    numbers = [f"+7916111400{n}" for n in range(4)]
    await house.nobody_is_there()
    for number in numbers:
        async with house.resident(number) as ivan:
            await missed(house, ivan, number, "1")
    waiting = "SELECT count(*) FROM calls WHERE direction = 'callback' AND ended_at IS NULL"
    async with house.dispatcher() as anna:
        async with asyncio.timeout(30):
            for _ in numbers:
                ringing = await accepted(anna)
                assert await house.ledger.fetchval(waiting) == 1
                await ringing.ended(within=15)  # nobody is at the residents' phones
    outcomes = await house.ledger.fetch("SELECT DISTINCT caller FROM calls WHERE direction = 'callback'")
    assert {row["caller"] for row in outcomes} >= set(numbers)


async def test_a_call_back_handed_on_to_a_colleague_is_one_talk(house: Running, number: str) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna, house.dispatcher() as vera:
        await missed(house, ivan, number)
        ringing = [asyncio.create_task(phone.rings(within=15)) for phone in (anna, vera)]
        done, waiting = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        at_first = done.pop().result()
        second = vera if at_first.phone is anna else anna
        await at_first.answer()
        at_ivan = await ivan.rings(within=10)
        await at_ivan.answer()
        await talk(at_ivan, at_first)
        await at_first.transfer(second.account)
        at_second = await accepted(second)
        await talk(at_ivan, at_second)
        assert at_second.caller_number == number
        assert (await house.call_of(number))["ended_at"] is None
        await long_enough(at_ivan)
        await at_ivan.hang_up()
    call = await house.ended(number)
    assert call["outcome"] == "talked"
    await house.promise(number, status="kept")
    assert {"transferred", "joined"} <= set(await house.kinds(call["id"]))


async def test_who_is_handed_on_to_a_colleague_who_is_not_there_goes_back_to_the_queue(
    house: Running, number: str
) -> None:
    async with house.resident(number) as ivan, house.dispatcher() as anna:
        await missed(house, ivan, number)
        at_ivan, at_anna = await called_back(ivan, anna)
        await at_anna.transfer(NOBODYS)
        again = await accepted(anna)
        await talk(at_ivan, again)
        await long_enough(at_ivan)
        await at_ivan.hang_up()
    assert (await house.ended(number))["outcome"] == "talked"
    await house.promise(number, status="kept")


async def _ended(house: Running, call: str) -> str | None:
    return await house.ledger.fetchval(
        "SELECT outcome::text FROM calls WHERE id = $1 AND ended_at IS NOT NULL", call
    )
