"""A call from the first ring to the ticket: residents and dispatchers are softphones, everything else is real."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import pytest

from demo.softphone import HIDDEN, HUNG_UP_THERE
from recordings import audio

from .running import (
    DISPATCHER,
    NORTH,
    NOTICE,
    RESIDENT,
    RIVER,
    RIVER_WELCOME,
    Running,
    connected,
    hears,
    prompts_heard,
    seconds_heard,
    talk,
    to_the_queue,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARGIN = timedelta(seconds=2)


async def test_a_resident_is_greeted_chooses_waits_talks_and_has_a_ticket(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        for prompt in ("welcome", "recording_notice", "menu_main"):
            await hears(call, prompt)
        await call.press("1")
        await hears(call, "emergency_hold")
        ringing = await anna.rings(within=5)
        assert ringing.caller_number == number
        await ringing.answer()
        await talk(call, ringing)
        await call.hang_up()
        assert await ringing.ended(within=5) == HUNG_UP_THERE

    row = await house.ended(number)
    assert (row["outcome"], row["category"], row["priority"]) == ("talked", "emergency", 20)
    assert (row["answered_by"], row["hung_up_by"], row["dialled"]) == (anna.account, "resident", NORTH)
    assert row["static_route"] is False
    moments = [row[f"{name}_at"] for name in ("arrived", "picked_up", "queued", "answered", "ended")]
    assert moments == sorted(moments)
    kinds = [kind for kind in await house.kinds(row["id"]) if kind not in {"identified", "queue_place"}]
    assert kinds == [
        "arrived", "picked_up", "prompt", "prompt", "prompt", "key", "went", "went", "prompt",
        "queued", "rang", "answered", "hung_up", "ended",
    ]  # fmt: skip
    assert await house.promises(number) == []

    recording = await house.recording(row["id"])
    file = house.settings.recordings / recording["path"]
    assert recording["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    for channel, own, other in ((audio.LEFT, RESIDENT, DISPATCHER), (audio.RIGHT, DISPATCHER, RESIDENT)):
        assert audio.tone_seconds(file, channel, own) >= 0.2
        assert audio.tone_seconds(file, channel, other) == 0

    async with house.http.get("/api/tickets?status=draft&most=1") as answer:
        listed = (await answer.json())["tickets"][0]
    assert (listed["call_id"], listed["phone"], listed["dispatcher"]) == (row["id"], number, anna.account)
    async with house.http.get(f"/api/tickets/{listed['number']}") as answer:
        ticket = await answer.json()
    assert {clock["name"] for clock in ticket["clocks"]} == {"tell_terms", "localise", "eliminate"}
    assert all("ПП РФ № 416" in clock["clause"] for clock in ticket["clocks"])
    assert ticket["registered_at"] == row["answered_at"].isoformat()
    assert ticket["recording_sha256"] == recording["sha256"]


async def test_a_ticket_is_completed_and_closed_over_http(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call, _ = await connected(ivan, anna)
        row = await house.call_of(number, outcome=None)
        ticket = await house.until(
            lambda: house.ledger.fetchval("SELECT number FROM tickets WHERE call_id = $1", row["id"]),
            "a draft is open while they talk",
        )
        await call.hang_up()
    path = f"/api/tickets/{ticket}"
    body = {"content": "Засор на кухне", "category": "sewer", "flat": "12"}
    async with house.http.put(path, json=body) as answer:
        assert answer.status == 200
        completed = await answer.json()
    assert (completed["status"], completed["flat"]) == ("registered", "12")
    assert {clock["name"] for clock in completed["clocks"]} == {"tell_terms", "localise", "unblock_sewer"}
    async with house.http.post(f"{path}/clocks/localise") as answer:
        assert answer.status == 200
    async with house.http.post(f"{path}/close", json={"result": "Прочищено"}) as answer:
        assert (await answer.json())["status"] == "closed"
    async with house.http.post(f"{path}/close", json={"result": "ещё раз"}) as answer:
        assert answer.status == 409
    async with house.http.get(path, headers={"Authorization": "Bearer guessed"}) as answer:
        assert answer.status == 401


async def test_the_notice_of_recording_is_heard_in_full_whatever_is_pressed(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        await hears(call, "recording_notice")
        await call.press("1")
        await anna.rings(within=5)
        assert seconds_heard(call, "recording_notice") >= NOTICE - 0.15
        assert "menu_main" not in prompts_heard(call)
        await call.hang_up()
    assert (await house.ended(number))["category"] == "emergency"


async def test_a_key_during_the_greeting_ends_it_and_is_not_lost(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan, "2")
        await anna.rings(within=5)
        assert prompts_heard(call)[-2:] == ["recording_notice", "hold"]
        await call.hang_up()
    assert (await house.ended(number))["category"] == "planned"


async def test_the_synthesised_voice_speaks_where_nothing_is_recorded(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan, "4")
        await house.happened(number, "prompt", prompt="danger_hold")
        await call.hears_voice(within=5)
        await call.hears(seconds=1)
        await call.hears_voice(within=1)
        await call.hang_up()
    assert (await house.ended(number))["outcome"] == "abandoned_in_menu"


async def test_who_smelt_gas_and_hung_up_at_the_warning_is_called_back_as_a_danger(
    house: Running, number: str
) -> None:
    async with house.resident(number) as ivan:
        call = await to_the_queue(ivan, "4")
        await house.happened(number, "prompt", prompt="danger_hold")
        await call.hang_up()
    row = await house.ended(number)
    (promise,) = await house.promises(number)
    assert row["category"] == promise["category"] == "danger"


async def test_hold_and_resume_are_in_the_timeline(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call, ringing = await connected(ivan, anna)
        await ringing.hold()
        assert (await house.happened(number, "held"))["who"] == anna.account
        await ringing.resume()
        await house.happened(number, "resumed")
        await talk(call, ringing)
        await ringing.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("talked", anna.account)


async def test_each_company_greets_in_its_own_name(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        call = await ivan.dial(RIVER)
        await call.hears_tone(RIVER_WELCOME, within=5)
        await hears(call, "recording_notice")
        await call.hang_up()
    row = await house.ended(number)
    assert (
        await house.ledger.fetchval("SELECT code FROM companies WHERE id = $1", row["company_id"])
        == "rechnoy"
    )
    (promise,) = await house.promises(number)
    assert promise["company_id"] == row["company_id"]


async def test_a_line_nobody_owns_is_carried_all_the_same(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial("+74959999999")
        await hears(call, "welcome")
        await call.press("1")
        ringing = await anna.rings(within=5)
        await ringing.answer()
        await talk(call, ringing)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["company_id"], row["dialled"]) == ("talked", None, "+74959999999")


async def test_a_hidden_number_is_carried_and_its_promise_says_why_it_cannot_be_kept(house: Running) -> None:
    async with house.resident(HIDDEN) as nobody:
        call = await nobody.dial(NORTH)
        await hears(call, "menu_main")
        await call.hang_up()
    row = await house.ended(None)
    assert row["outcome"] == "abandoned_in_menu"
    sql = "SELECT p.* FROM promises p JOIN promise_calls ON promise_id = p.id WHERE call_id = $1"
    (promise,) = await house.ledger.fetch(sql, row["id"])
    assert promise["phone"] is None
    assert "hidden" in promise["why"]


async def test_a_known_resident_is_known_on_the_call_and_on_the_ticket(house: Running) -> None:
    oleg = "+79000000002"
    async with house.dispatcher() as anna, house.resident(oleg) as phone:
        first = await phone.dial(NORTH)
        await hears(first, "welcome")
        await first.hang_up()
        assert (await house.happened(oleg, "identified"))["detail"]["calls_lately"] == 0
        await house.ended(oleg)
        call, _ = await connected(phone, anna)
        known = await house.happened(oleg, "identified", calls_lately=1)
        await call.hang_up()
    assert known["detail"]["name"] == "Смирнов Олег Павлович"
    assert (known["detail"]["flat"], known["detail"]["open_tickets"]) == ("12", 0)
    row = await house.ended(oleg)
    sql = "SELECT t.*, h.address FROM tickets t JOIN houses h ON h.id = t.house_id WHERE call_id = $1"
    ticket = await house.ledger.fetchrow(sql, row["id"])
    assert ticket is not None
    assert row["flat"] == ticket["flat"] == "12"
    assert row["resident_id"] == ticket["resident_id"] is not None
    assert "Лесная" in ticket["address"]


@pytest.mark.parametrize(
    ("prompt", "outcome"),
    [
        ("welcome", "abandoned_in_greeting"),
        ("recording_notice", "abandoned_in_greeting"),
        ("menu_main", "abandoned_in_menu"),
        ("wrong_key", "abandoned_in_menu"),
        ("no_input", "abandoned_in_menu"),
        ("hold", "abandoned_in_menu"),
    ],
)
async def test_who_hangs_up_at_a_prompt_leaves_a_closed_row_and_one_promise(
    house: Running, number: str, prompt: str, outcome: str
) -> None:
    async with house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        if prompt in {"wrong_key", "hold"}:
            await hears(call, "menu_main")
            await call.press("7" if prompt == "wrong_key" else "0")
        await hears(call, prompt)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == (outcome, "resident")
    (promise,) = await house.promises(number)
    assert promise["due_at"] == row["arrived_at"] + timedelta(minutes=10)
    assert (promise["reason"], promise["clause"]) == (outcome, "ПП РФ № 416, п. 13")


async def test_wrong_keys_end_with_a_human(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        for _ in range(3):
            await hears(call, "menu_main")
            await call.press("8")
            await hears(call, "wrong_key")
        await (await anna.rings(within=10)).answer()
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["category"]) == ("talked", "other")
    assert (await house.kinds(row["id"])).count("wrong_key") == 3


async def test_silence_ends_with_a_human(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        await (await anna.rings(within=20)).answer()
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["category"]) == ("talked", "other")
    assert (await house.kinds(row["id"])).count("silence") == 3


async def test_ten_residents_at_once_have_ten_rows_and_ten_promises(house: Running) -> None:
    callers = [f"+7916111000{digit}" for digit in range(10)]

    async def call_and_leave(caller: str) -> None:
        async with house.resident(caller) as phone:
            call = await phone.dial(NORTH)
            await hears(call, "menu_main")
            await call.hang_up()

    await asyncio.gather(*map(call_and_leave, callers))
    for caller in callers:
        assert (await house.ended(caller))["outcome"] == "abandoned_in_menu"
        assert len(await house.promises(caller)) == 1
