"""Waiting for a dispatcher: who comes first, what is heard meanwhile, and what becomes of those nobody answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from demo import sound
from recordings import audio

from .running import (
    DISPATCHER,
    RESIDENT,
    Running,
    connected,
    hears,
    prompts_heard,
    talk,
    to_the_queue,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_emergency_goes_ahead_of_a_planned_call_that_waits_longer(
    house: Running, number: str, another: str
) -> None:
    busy = "+79161112001"
    async with (
        house.dispatcher() as anna,
        house.resident(busy) as first,
        house.resident(number) as planned,
        house.resident(another) as emergency,
    ):
        talking, _ = await connected(first, anna)
        waiting = await to_the_queue(planned, "2")
        await house.call_of(number, queue="dispatch", priority=0)
        await house.happened(number, "queued")
        urgent = await to_the_queue(emergency, "1")
        await house.happened(another, "queued")
        await talking.hang_up()
        ringing = await anna.rings(within=15)
        assert ringing.caller_number == another
        await ringing.answer()
        await talk(urgent, ringing)
        await urgent.hang_up()
        await waiting.hang_up()
    assert (await house.ended(another))["outcome"] == "talked"
    assert (await house.ended(number))["outcome"] == "abandoned_in_queue"
    assert (await house.happened(another, "queue_place"))["detail"]["position"] == "1"


async def test_a_waiting_resident_is_told_her_place_and_hears_music(
    house: Running, number: str, another: str
) -> None:
    spoken = house.home / "spoken"
    await house.console(f"logger add channel {spoken} verbose(3)")

    async def place_is_said() -> bool:
        return spoken.exists() and "Playing 'queue-" in spoken.read_text("utf-8", "replace")

    async with house.dispatcher() as anna, house.resident(number) as one, house.resident(another) as other:
        await connected(one, anna)
        call = await to_the_queue(other, "1")
        await house.happened(another, "queued")
        await house.until(place_is_said, "the place in the queue is said")
        await call.hears_voice(within=5)
        await call.hang_up()
    rules = (house.home / "asterisk" / "etc" / "queues.conf").read_text("utf-8")
    assert "announce-position = yes" in rules
    assert "announce-holdtime = yes" in rules
    assert (await house.ended(another))["outcome"] == "abandoned_in_queue"


async def test_who_hangs_up_in_the_queue_stops_the_ringing_and_is_owed_a_call(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        assert (await house.happened(number, "rang"))["who"] == anna.account
        await call.hang_up()
        await ringing.ended(within=5)
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("abandoned_in_queue", "resident")
    (promise,) = await house.promises(number)
    assert promise["due_at"] == row["arrived_at"] + timedelta(minutes=10)


async def test_who_calls_again_and_again_is_owed_one_call_by_the_first_moment(
    house: Running, number: str
) -> None:
    arrived = []
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        for _ in range(2):
            call = await to_the_queue(ivan)
            ringing = await anna.rings(within=10)
            await call.hang_up()
            await ringing.ended(within=5)
            arrived.append((await house.ended(number))["arrived_at"])
    (promise,) = await house.promises(number)
    assert arrived[0] < arrived[1]
    assert (promise["missed"], promise["due_at"]) == (2, arrived[0] + timedelta(minutes=10))


async def test_a_dispatcher_who_refuses_is_rung_again(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        await (await anna.rings(within=10)).reject()
        again = await anna.rings(within=10)
        await again.answer()
        await talk(call, again)
        await call.hang_up()
    row = await house.ended(number)
    assert row["outcome"] == "talked"
    assert (await house.kinds(row["id"])).count("rang") == 2


async def test_two_dispatchers_are_both_there_for_two_residents(
    house: Running, number: str, another: str
) -> None:
    async with (
        house.dispatcher() as anna,
        house.dispatcher() as vera,
        house.resident(number) as ivan,
        house.resident(another) as oleg,
    ):
        calls = [await to_the_queue(ivan), await to_the_queue(oleg)]
        ringing = [await anna.rings(within=10), await vera.rings(within=10)]
        assert {each.caller_number for each in ringing} == {number, another}
        for each in ringing:
            await each.answer()
        by_number = {each.caller_number: each for each in ringing}
        await talk(calls[0], by_number[number])
        await talk(calls[1], by_number[another])
        for call in calls:
            await call.hang_up()
    answered = {(await house.ended(caller))["answered_by"] for caller in (number, another)}
    assert answered == {anna.account, vera.account}


async def test_where_nobody_is_a_message_can_be_left_and_it_is_owed_a_call(
    house: Running, number: str
) -> None:
    await house.nobody_is_there()
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        for prompt in ("no_dispatcher", "callback_promise", "voicemail_ask"):
            await hears(call, prompt)
        await house.happened(number, "message")
        call.says(sound.tone(RESIDENT, 3))
        await call.has_said_all(within=10)
        await call.press("#")
        await hears(call, "voicemail_thanks")
        await call.ended(within=10)
    row = await house.ended(number)
    assert row["outcome"] == "voicemail"
    (promise,) = await house.promises(number)
    assert promise["reason"] == "voicemail"
    sql = "SELECT path FROM messages WHERE call_id = $1"
    message = await house.until(lambda: house.ledger.fetchval(sql, row["id"]), "the message is attached")
    assert audio.tone_seconds(house.settings.recordings / message, 0, RESIDENT) > 1
    recording = await house.recording(row["id"])
    file = house.settings.recordings / recording["path"]
    assert audio.tone_seconds(file, audio.LEFT, RESIDENT) > 1
    assert audio.tone_seconds(file, audio.LEFT, DISPATCHER) == 0


@pytest.mark.parametrize("prompt", ["no_dispatcher", "callback_promise", "voicemail_ask"])
async def test_who_hangs_up_before_the_tone_found_no_dispatcher(
    house: Running, number: str, prompt: str
) -> None:
    await house.nobody_is_there()
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        await hears(call, prompt)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("no_dispatcher", "resident")
    (promise,) = await house.promises(number)
    assert promise["reason"] == "no_dispatcher"


async def test_who_hangs_up_at_the_tone_left_no_message(house: Running, number: str) -> None:
    await house.nobody_is_there()
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        await house.happened(number, "message")
        await call.hang_up()
        assert "voicemail_ask" in prompts_heard(call)
    assert (await house.ended(number))["outcome"] == "no_dispatcher"
    assert len(await house.promises(number)) == 1
