"""Whatever is killed when: callers are carried, and afterwards the ledger has every call with its true times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ivr.call import TALK_WORTH_THE_NAME
from recordings import audio

from .running import DISPATCHER, NORTH, RESIDENT, Running, connected, hears, talk, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = timedelta(seconds=1)
TEN_MINUTES = timedelta(minutes=10)


def now() -> datetime:
    return datetime.now(UTC)


async def test_without_a_controller_a_resident_is_greeted_queued_recorded_and_talks(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan, house.without("controller"):
        began = now()
        call = await ivan.dial(NORTH)
        await hears(call, "static_welcome")
        ringing = await anna.rings(within=10)
        assert ringing.caller_number == number
        await ringing.answer()
        answered = now()
        await talk(call, ringing)
        await ringing.hang_up()
        ended = now()
    row = await house.ended(number)
    assert (row["outcome"], row["static_route"], row["answered_by"]) == ("talked", True, anna.account)
    assert (row["hung_up_by"], row["dialled"]) == (anna.account, NORTH)
    for name, moment in (("arrived", began), ("answered", answered), ("ended", ended)):
        assert abs(row[f"{name}_at"] - moment) < SOON
    assert await house.promises(number) == []
    sql = "SELECT count(*) FROM tickets WHERE call_id = $1 AND registered_at = $2"
    assert await house.ledger.fetchval(sql, row["id"], row["answered_at"]) == 1
    recording = await house.recording(row["id"])
    file = house.settings.recordings / recording["path"]
    assert audio.tone_seconds(file, audio.LEFT, RESIDENT) > 0
    assert audio.tone_seconds(file, audio.RIGHT, DISPATCHER) > 0


async def test_who_hung_up_while_there_was_no_controller_is_owed_a_call_since_the_true_moment(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan, house.without("controller"):
        began = now()
        call = await ivan.dial(NORTH)
        ringing = await anna.rings(within=10)
        await call.hang_up()
        await ringing.ended(within=5)
        ended = now()
    row = await house.ended(number)
    assert (row["outcome"], row["static_route"]) == ("abandoned_in_queue", True)
    assert abs(row["arrived_at"] - began) < SOON
    assert abs(row["ended_at"] - ended) < SOON
    assert row["company_id"] is not None
    (promise,) = await house.promises(number)
    assert promise["due_at"] == row["arrived_at"] + TEN_MINUTES
    assert promise["missed"] == 1


@pytest.mark.parametrize("prompt", ["welcome", "menu_main"])
async def test_a_controller_killed_at_a_prompt_leaves_the_caller_to_the_static_route(
    house: Running, number: str, prompt: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        await hears(call, prompt)
        async with house.without("controller"):
            await hears(call, "static_welcome")
            ringing = await anna.rings(within=10)
            await ringing.answer()
            await talk(call, ringing)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["static_route"], row["hung_up_by"]) == ("talked", True, "resident")
    kinds = await house.kinds(row["id"])
    assert kinds.count("arrived") == kinds.count("answered") == kinds.count("ended") == 1
    assert await house.promises(number) == []


async def test_a_controller_killed_while_a_resident_waits_costs_her_nothing(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        await house.happened(number, "rang")
        async with house.without("controller"):
            await ringing.answer()
            answered = now()
            await talk(call, ringing)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["static_route"], row["category"]) == ("talked", False, "emergency")
    assert abs(row["answered_at"] - answered) < SOON
    kinds = await house.kinds(row["id"])
    assert kinds.count("queued") == kinds.count("rang") == kinds.count("answered") == 1


async def test_a_controller_killed_during_a_talk_learns_when_it_ended(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call, ringing = await connected(ivan, anna)
        row = await house.call_of(number, answered_by=anna.account)
        async with house.without("controller"):
            await ringing.hang_up()
            ended = now()
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("talked", anna.account)
    assert abs(row["ended_at"] - ended) < SOON
    assert call.reason is not None
    sql = "SELECT count(*) FROM tickets WHERE call_id = $1"
    assert await house.ledger.fetchval(sql, row["id"]) == 1
    assert await house.promises(number) == []


async def test_asterisk_killed_cuts_the_call_off_and_it_is_owed_a_call(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        await to_the_queue(ivan)
        await anna.rings(within=10)
        await house.happened(number, "rang")
        dead = house.pid("asterisk")
        await house.kill("asterisk")
        ended = now()
        await house.is_back("asterisk", dead)
        row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("cut_off", None)
    assert row["ended_at"] <= ended + SOON
    (promise,) = await house.promises(number)
    assert (promise["reason"], promise["due_at"]) == ("cut_off", row["arrived_at"] + TEN_MINUTES)


async def test_asterisk_killed_during_a_talk_leaves_a_talk_and_its_recording(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call, _ = await connected(ivan, anna)
        await house.call_of(number, answered_by=anna.account)
        await call.hears(seconds=TALK_WORTH_THE_NAME.total_seconds())
        dead = house.pid("asterisk")
        await house.kill("asterisk")
        await house.is_back("asterisk", dead)
        row = await house.ended(number)
    assert row["outcome"] == "talked"
    assert await house.promises(number) == []
    assert (await house.recording(row["id"], within=15))["seconds"] > 0
    async with house.dispatcher() as vera, house.resident(another) as oleg:
        call, _ = await connected(oleg, vera)
        await call.hang_up()
    assert (await house.ended(another))["outcome"] == "talked"


async def test_asterisk_killed_in_the_first_seconds_of_a_talk_leaves_a_promise(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        await connected(ivan, anna)
        await house.call_of(number, answered_by=anna.account)
        dead = house.pid("asterisk")
        await house.kill("asterisk")
        await house.is_back("asterisk", dead)
        row = await house.ended(number)
    assert (row["outcome"], row["answered_by"]) == ("cut_off", anna.account)
    (promise,) = await house.promises(number)
    assert (promise["reason"], promise["due_at"]) == ("cut_off", row["arrived_at"] + TEN_MINUTES)


async def test_postgres_killed_during_a_call_stops_nobody_and_nothing_is_missing(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        await hears(call, "welcome")
        async with house.without("postgres"):
            await call.press("1")
            ringing = await anna.rings(within=10)
            await ringing.answer()
            await talk(call, ringing)
            await call.hang_up()
    row = await house.ended(number, within=20)
    assert (row["outcome"], row["category"], row["answered_by"]) == ("talked", "emergency", anna.account)
    kinds = await house.kinds(row["id"])
    assert kinds.count("arrived") == kinds.count("answered") == kinds.count("ended") == 1
    ticket = await house.until(
        lambda: house.ledger.fetchval("SELECT number FROM tickets WHERE call_id = $1", row["id"]),
        "the draft is written",
    )
    assert ticket
    assert (await house.recording(row["id"]))["seconds"] > 0
    assert not (house.home / "parked.jsonl").exists()
