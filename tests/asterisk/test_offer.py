"""The offer made to who waits: to be called back and keep the place, or to leave a message; and who is told."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.native import Native
from demo import sound
from demo.softphone import HIDDEN, HUNG_UP_THERE, PhoneCall
from recordings import audio

from .running import (
    NORTH,
    RESIDENT,
    Row,
    Running,
    connected,
    hears,
    prompts_heard,
    talk,
    times_heard,
    to_the_queue,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFFER_AFTER = 2.0
"""Seconds of waiting, here."""
TEN_MINUTES = timedelta(minutes=10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path]) -> AsyncIterator[Running]:
    async with Running(native, new_home("house"), offer_after=OFFER_AFTER) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outage(house: Running) -> None:
    """An outage is told of: the shipped example is taken into force, as its comment says, under key 5."""
    for file, begins in (("phrases/ru.toml", "# outage_notice"), ("menus.toml", "# [outage]")):
        mark, path = house.mark(), house.dialplan / file
        before, _, example = path.read_text("utf-8").partition(begins)
        text = before + uncommented(begins + example)
        path.write_text(text.replace("[main.keys]\n", '[main.keys]\n5 = "menu:outage"\n'), "utf-8")
        await house.says("the edit of the dialplan is in force", since=mark)


def uncommented(text: str) -> str:
    """With the first block of # lines taken into force."""
    lines = text.splitlines()
    ends = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join([line.removeprefix("#").removeprefix(" ") for line in lines[:ends]] + lines[ends:])


async def promise_of(house: Running, call: str) -> Row:
    """The promise of that call, once there is one; a hidden number's, too."""
    sql = "SELECT p.* FROM promises p JOIN promise_calls ON promise_id = p.id WHERE call_id = $1"
    (promise,) = await house.ledger.fetch(sql, call)
    return dict(promise)


async def heard_times(house: Running, call: PhoneCall, prompt: str, times: int) -> None:
    async def look() -> bool:
        return len(times_heard(call, prompt)) >= times

    await house.until(look, f"{prompt} is heard {times} times", within=20, every=0.2)


async def message_of(house: Running, call: str) -> Row:
    """The message left in that call, once it is attached."""
    sql = "SELECT * FROM messages WHERE call_id = $1"
    return dict(await house.until(lambda: house.ledger.fetchrow(sql, call), f"the message of {call}"))


async def tone_has_sounded(house: Running, number: str | None) -> Path:
    """Wait until Asterisk writes down what that caller says; the file."""
    row = await house.call_of(number, outcome=None)
    file = house.settings.spool / "messages" / f"{row['id']}.wav"

    async def look() -> bool:
        return file.exists()

    await house.until(look, f"the message of {row['id']} has begun")
    return file


async def leaves_a_message(house: Running, number: str | None, call: PhoneCall, seconds: float = 3) -> None:
    await tone_has_sounded(house, number)
    call.says(sound.tone(RESIDENT, seconds))
    await call.has_said_all(within=seconds + 5)
    await call.press("#")


async def test_who_waits_first_while_nobody_is_free_hears_the_offer_again_and_again_and_music_between(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await heard_times(house, call, "queue_offer", 3)
        assert (await house.happened(number, "queue_place"))["detail"]["position"] == "1"
        await call.hang_up()
        await talking.hang_up()
    for (_, end), (begins_again, _) in pairwise(times_heard(call, "queue_offer")):
        assert begins_again - end >= OFFER_AFTER - 0.3
        between = call.heard[round((end + 0.2) * sound.RATE) : round((begins_again - 0.2) * sound.RATE)]
        assert sound.has_voice(between), "the music did not go on"
    assert (await house.ended(number))["outcome"] == "abandoned_in_queue"


async def test_who_asks_to_be_called_back_is_promised_it_and_the_line_hangs_up(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await hears(call, "queue_offer")
        await call.press("1")
        await hears(call, "place_kept")
        assert await call.ended(within=5) == HUNG_UP_THERE
        row = await house.ended(number)
        await talking.hang_up()
    assert (row["outcome"], row["category"], row["priority"]) == ("callback_asked", "emergency", 20)
    promise = await promise_of(house, row["id"])
    assert (promise["reason"], promise["phone"]) == ("callback_asked", number)
    assert (promise["category"], promise["priority"]) == ("emergency", 20)
    assert promise["due_at"] == row["arrived_at"] + TEN_MINUTES


async def test_who_hangs_up_while_she_is_promised_a_call_has_asked_for_it_all_the_same(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await hears(call, "queue_offer")
        await call.press("1")
        await hears(call, "place_kept")
        await call.hang_up()
        row = await house.ended(number)
        await talking.hang_up()
    assert row["outcome"] == "callback_asked"
    assert len(await house.promises(number)) == 1


async def test_who_would_rather_leave_a_message_has_it_attached_and_its_own_ten_minutes(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await hears(call, "queue_offer")
        await call.press("2")
        await hears(call, "voicemail_ask")
        await leaves_a_message(house, number, call)
        await hears(call, "voicemail_thanks")
        await call.ended(within=10)
        row = await house.ended(number)
        await talking.hang_up()
    assert row["outcome"] == "voicemail"
    promise = await promise_of(house, row["id"])
    assert promise["reason"] == "voicemail"
    assert promise["due_at"] == row["ended_at"] + TEN_MINUTES
    message = await message_of(house, row["id"])
    file = house.settings.recordings / message["path"]
    assert message["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert message["voiced"] > 2
    assert audio.tone_seconds(file, 0, RESIDENT) > 2
    assert not list((house.settings.spool / "messages").glob(f"{row['id']}*"))


async def test_who_says_one_word_and_hangs_up_is_heard_all_the_same(
    house: Running, number: str, another: str
) -> None:
    """Too short to be called a message, perhaps; what she said is kept."""
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await hears(call, "queue_offer")
        await call.press("2")
        file = await tone_has_sounded(house, number)
        call.says(sound.tone(RESIDENT, 0.8))

        async def is_written() -> bool:
            return file.stat().st_size > 0.6 * 2 * sound.RATE

        await house.until(is_written, "what she said is written down")
        await call.hang_up()
        row = await house.ended(number)
        await talking.hang_up()
    assert len(await house.promises(number)) == 1
    message = await message_of(house, row["id"])
    assert 0.3 < message["voiced"] < 1.5


async def test_other_keys_change_nothing(house: Running, number: str, another: str) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(number) as ivan:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(ivan)
        await hears(call, "queue_offer")
        await call.press("3")
        await call.hears_voice(within=5)
        await call.press("0#*9")
        await heard_times(house, call, "queue_offer", 2)
        await talking.hang_up()
        ringing = await anna.rings(within=15)
        await ringing.answer()
        await talk(call, ringing)
        await call.hang_up()
    row = await house.ended(number)
    assert row["outcome"] == "talked"
    kinds = await house.kinds(row["id"])
    assert kinds.count("queued") == 1
    assert "left_queue" not in kinds


async def test_a_hidden_number_is_told_that_nobody_can_ring_it_and_offered_a_message(
    house: Running, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(another) as oleg, house.resident(HIDDEN) as nobody:
        talking, _ = await connected(oleg, anna)
        call = await to_the_queue(nobody)
        await hears(call, "queue_offer")
        await call.press("1")
        await hears(call, "number_hidden")
        await hears(call, "voicemail_ask")
        await leaves_a_message(house, None, call)
        await call.ended(within=10)
        row = await house.ended(None)
        await talking.hang_up()
    assert "place_kept" not in prompts_heard(call)
    assert row["outcome"] == "voicemail"
    promise = await promise_of(house, row["id"])
    assert (promise["phone"], promise["reason"]) == (None, "voicemail")
    assert promise["why"]
    assert (await message_of(house, row["id"]))["voiced"] > 2


async def test_a_controller_killed_while_they_wait_takes_neither_key_away(
    house: Running, number: str, another: str
) -> None:
    busy = "+79161113001"
    async with (
        house.dispatcher() as anna,
        house.resident(busy) as oleg,
        house.resident(number) as ivan,
        house.resident(another) as vera,
    ):
        talking, _ = await connected(oleg, anna)
        callback, message = await to_the_queue(ivan), await to_the_queue(vera, "2")
        await house.happened(number, "queued")
        await house.happened(another, "queued")
        async with house.without("controller"):
            await hears(callback, "queue_offer")
            await callback.press("1")
            await hears(callback, "place_kept")
            assert await callback.ended(within=5) == HUNG_UP_THERE
            await message.press("2")
            await hears(message, "voicemail_ask")
            await leaves_a_message(house, another, message)
            await hears(message, "voicemail_thanks")
            await message.ended(within=10)
        asked, spoke = await house.ended(number), await house.ended(another)
        await talking.hang_up()
    assert (asked["outcome"], asked["priority"]) == ("callback_asked", 20)
    assert (await promise_of(house, asked["id"]))["due_at"] == asked["arrived_at"] + TEN_MINUTES
    assert spoke["outcome"] == "voicemail"
    assert (await promise_of(house, spoke["id"]))["due_at"] == spoke["ended_at"] + TEN_MINUTES
    assert (await message_of(house, spoke["id"]))["voiced"] > 2


async def test_who_calls_while_there_is_no_controller_is_called_back_if_she_can_be(
    house: Running, number: str, another: str
) -> None:
    async with (
        house.dispatcher() as anna,
        house.resident(another) as oleg,
        house.resident(number) as ivan,
        house.resident(HIDDEN) as nobody,
    ):
        talking, _ = await connected(oleg, anna)
        async with house.without("controller"):
            known, hidden = await ivan.dial(NORTH), await nobody.dial(NORTH)
            for call, says in ((known, "place_kept"), (hidden, "number_hidden")):
                await hears(call, "queue_offer")
                await call.press("1")
                await hears(call, says)
            assert await known.ended(within=5) == HUNG_UP_THERE
            await hears(hidden, "voicemail_ask")
            await hidden.hang_up()
        row = await house.ended(number)
        await talking.hang_up()
    assert (row["outcome"], row["static_route"]) == ("callback_asked", True)
    promise = await promise_of(house, row["id"])
    assert (promise["reason"], promise["due_at"]) == ("callback_asked", row["arrived_at"] + TEN_MINUTES)
    assert "place_kept" not in prompts_heard(hidden)


async def test_who_has_heard_of_the_outage_and_is_content_is_owed_nothing(
    house: Running, outage: None, number: str
) -> None:
    """The notice is the example in menus.toml, uncommented; she may hang up at the goodbye."""
    for leaves_early in (False, True):
        async with house.resident(number) as ivan:
            call = await ivan.dial(NORTH)
            await hears(call, "menu_main")
            await call.press("5")
            await hears(call, "outage_notice")
            await call.press("1")
            await hears(call, "goodbye")
            if leaves_early:
                await call.hang_up()
            await call.ended(within=5)
        row = await house.ended(number)
        assert row["outcome"] == "informed"
    assert await house.promises(number) == []


async def test_who_hangs_up_during_the_notice_is_called_back(
    house: Running, outage: None, number: str
) -> None:
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan, "5")
        await hears(call, "outage_notice")
        await call.hang_up()
    assert (await house.ended(number))["outcome"] == "abandoned_in_menu"
    assert len(await house.promises(number)) == 1
