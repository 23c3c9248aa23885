"""The admin edits the rules while the hotline runs; and what the rules say of closed hours and long waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.native import Native
from demo import sound

from .running import NORTH, RESIDENT, Running, hears, prompts_heard, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 4.0
"""Seconds the line holds a resident here."""
IN_FORCE = "the edit of the dialplan is in force"
REFUSED = "the edit of the dialplan is refused, the old rules stay"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path]) -> AsyncIterator[Running]:
    async with Running(native, new_home("house"), queue_limit=LIMIT) as running:
        yield running


@asynccontextmanager
async def edited(house: Running, old: str, new: str, says: str = IN_FORCE) -> AsyncIterator[None]:
    """The menus say `new` instead of `old` meanwhile, and the log says what became of the edit."""
    mark = house.mark()
    house.set_menu(old, new)
    try:
        await house.says(says, since=mark)
        yield
    finally:
        mark = house.mark()
        house.set_menu(new, old)
        await house.says(IN_FORCE, since=mark)


@asynccontextmanager
async def closed(house: Running) -> AsyncIterator[None]:
    """The office is closed meanwhile."""
    mark = house.mark()
    house.set_hours(is_open=False)
    try:
        await house.says(IN_FORCE, since=mark)
        yield
    finally:
        mark = house.mark()
        house.set_hours(is_open=True)
        await house.says(IN_FORCE, since=mark)


async def test_an_edit_is_taken_up_with_the_next_call_and_leaves_the_one_that_is_on(
    house: Running, number: str, another: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan, house.resident(another) as oleg:
        old = await ivan.dial(NORTH)
        await hears(old, "menu_main")
        async with edited(house, '1 = "queue:emergency"', '5 = "queue:emergency"'):
            await old.press("1")
            await (await anna.rings(within=10)).answer()
            await old.hang_up()
            new = await oleg.dial(NORTH)
            await hears(new, "menu_main")
            await new.press("1")
            await hears(new, "wrong_key")
            await hears(new, "menu_main")
            await new.press("5")
            await house.call_of(another, category="emergency")
            await new.hang_up()
    assert (await house.ended(number))["category"] == "emergency"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ('1 = "queue:emergensy"', "did you mean 'queue:emergency'?"),
        ('1 = "queue:emergency', "menus.toml"),
        ('"1a" = "queue:emergency"', "is not a key of a phone"),
    ],
)
async def test_a_broken_edit_is_refused_said_and_the_old_rules_stay(
    house: Running, number: str, broken: str, why: str
) -> None:
    mark = house.mark()
    async with edited(house, '1 = "queue:emergency"\n', f"{broken}\n", REFUSED):
        await house.says(why, since=mark)
        assert "refused" in (await house.health())["dialplan"]
        assert (await house.health())["well"] is True
        async with house.resident(number) as ivan:
            call = await to_the_queue(ivan)
            await house.call_of(number, category="emergency")
            await call.hang_up()
    assert (await house.health())["dialplan"] == "ok"


async def test_an_edit_that_names_a_prompt_nobody_wrote_is_refused_as_well(
    house: Running, number: str
) -> None:
    mark = house.mark()
    async with edited(house, 'prompt = "menu_main"', 'prompt = "menu_mian"', REFUSED):
        await house.says("menu_mian", since=mark)
        assert "refused" in (await house.health())["dialplan"]
        async with house.resident(number) as ivan:
            call = await ivan.dial(NORTH)
            await hears(call, "menu_main")
            await call.hang_up()
    assert (await house.health())["dialplan"] == "ok"


async def test_outside_the_hours_planned_work_is_told_so_and_a_human_is_one_key_away(
    house: Running, number: str, another: str
) -> None:
    async with (
        closed(house),
        house.dispatcher() as anna,
        house.resident(number) as ivan,
        house.resident(another) as oleg,
    ):
        call = await to_the_queue(ivan, "2")
        await hears(call, "menu_after_hours")
        await call.press("0")
        await (await anna.rings(within=10)).answer()
        await call.hang_up()
        call = await to_the_queue(oleg, "1")
        await hears(call, "emergency_hold")
        assert "menu_after_hours" not in prompts_heard(call)
        await call.hang_up()
    assert (await house.ended(number))["category"] == "other"
    assert (await house.ended(another))["category"] == "emergency"


async def test_outside_the_hours_a_message_may_be_left(house: Running, number: str) -> None:
    async with closed(house), house.resident(number) as ivan:
        call = await to_the_queue(ivan, "3")
        await hears(call, "menu_after_hours")
        await call.press("1")
        await house.happened(number, "message")
        call.says(sound.tone(RESIDENT, 2.5))
        await call.has_said_all(within=10)
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["queued_at"]) == ("voicemail", None)
    (promise,) = await house.promises(number)
    assert promise["reason"] == "voicemail"


async def test_who_waits_too_long_is_promised_a_call_and_asked_for_a_message(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        await hears(call, "all_busy", within=LIMIT + 5)
        await ringing.ended(within=5)
        await hears(call, "callback_promise")
        await call.hang_up()
    row = await house.ended(number)
    assert row["outcome"] == "queue_timed_out"
    (promise,) = await house.promises(number)
    assert promise["reason"] == "queue_timed_out"
