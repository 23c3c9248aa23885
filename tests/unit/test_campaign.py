"""One look of the campaign, with a store and a robot in memory: what is asked of whom, and who may fail."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ivr.errors import Disconnected, LedgerAway, MissingPart, PeerError
from robocalls import rules
from robocalls.allowed import LOOKED_BACK
from robocalls.campaign import LAPSED, LATELY, LEASE, PLACED_WITHIN, Campaign
from robocalls.nouns import Job
from tests.fake_robot import FakeRobot
from tests.fakes import NOON, FakeStore

RULES = rules.read()
MOSCOW = ZoneInfo("Europe/Moscow")


def phone(survey: int) -> str:
    return f"+791612345{survey:02}"


def standing(survey: int, **changed: Any) -> dict[str, Any]:
    row = {
        "id": survey, "status": "planned", "phone": phone(survey), "closed_at": NOON, "agreed_at": None,
        "category": "water", "has_content": True, "stands": True, "zone": "Europe/Moscow", "consented": True,
        "opted_out": False, "blocked": False, "on_a_call": False, "owed": False, "has_emergency": False, "rung": [],
    }  # fmt: skip
    return row | changed


def job(survey: int) -> dict[str, Any]:
    return {
        "survey": survey, "call": f"dozvon-survey-{survey}-1", "ticket": 1, "phone": phone(survey), "company_id": 1,
        "line": None, "category": "water", "queue": "dispatch", "registered_at": NOON, "attempt": 1, "address": None,
        "flat": None, "name": None,
    }  # fmt: skip


class Room:
    """Surveys that are due, each as `standing` has it."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.by_id = {row["id"]: row for row in rows}
        self.under_way = {"everywhere": 0, "here": 0, "owed": 0}
        self.store = FakeStore(
            {
                "surveys.due": [{"id": survey} for survey in self.by_id],
                "surveys.standing": lambda values: [self.by_id[survey] for survey in values["surveys"]],
                "surveys.under_way": lambda values: [self.under_way],
                "surveys.claim": lambda values: [{"call": f"dozvon-survey-{values['survey']}-1"}],
                "surveys.job": lambda values: [job(int(values["call"].split("-")[2]))],
            }
        )
        self.robot = FakeRobot()
        self.campaign = Campaign(self.store, self.robot, RULES, "host:1", MOSCOW, "dispatch")

    def asked(self, statement: str) -> list[dict[str, Any]]:
        return [values for name, values in self.store.asked if name == statement]

    @property
    def rung(self) -> list[int]:
        return [one.survey for one in self.robot.rung]


async def test_a_look_in_vain_asks_for_little() -> None:
    room = Room()
    await room.campaign.plan(NOON)
    await room.campaign.settle(NOON)
    await room.campaign.call_due(NOON)
    assert [name for name, _ in room.store.asked] == [
        "surveys.plan", "surveys.outdated", "surveys.lapsed", "surveys.over", "surveys.due",
    ]  # fmt: skip


async def test_the_moment_of_a_look_is_the_one_it_is_given() -> None:
    room = Room(standing(1))
    await room.campaign.plan(NOON)
    await room.campaign.settle(NOON)
    await room.campaign.call_due(NOON)
    assert {values["now"] for _, values in room.store.asked if "now" in values} == {NOON}
    assert room.asked("surveys.lapsed")[0]["before"] == NOON - LAPSED
    assert room.asked("surveys.standing")[0]["since"] == NOON - LOOKED_BACK
    assert room.asked("surveys.claim")[0]["lease_until"] == NOON + LEASE
    assert room.robot.place_by == NOON + PLACED_WITHIN


async def test_all_closings_are_looked_at_now_and_then_and_the_last_ones_always() -> None:
    room = Room()
    moments = [0, 1, 30, 31, 60, 62, -3600, -3599]
    for second in moments:
        await room.campaign.plan(NOON + timedelta(seconds=second))
    back = [
        NOON + timedelta(seconds=second) - values["since"]
        for second, values in zip(moments, room.asked("surveys.plan"), strict=True)
    ]
    assert [span > timedelta(days=1) for span in back] == [
        True, False, False, True, False, True, True, False,
    ], "all of them again when the clock is set back"  # fmt: skip
    assert set(back) == {LATELY, max(back)}
    assert len(room.asked("surveys.outdated")) == 4


async def test_everything_is_looked_at_again_in_the_claim() -> None:
    """Between the look and the claim she has called."""
    room = Room(standing(1))
    rows = iter([standing(1), standing(1, on_a_call=True)])
    room.store.rows["surveys.standing"] = lambda values: [next(rows)]
    await room.campaign.call_due(NOON)
    assert not room.asked("surveys.claim") and not room.rung


async def test_who_waits_and_who_is_asked_no_more_is_written_down_at_once() -> None:
    room = Room(standing(1, owed=True), standing(2, consented=False), standing(3), standing(4, rung=[NOON]))
    await room.campaign.call_due(NOON)
    (waits,), (never,) = room.asked("surveys.wait"), room.asked("surveys.never")
    assert (waits["surveys"], waits["whys"]) == ([1, 4], ["owed", "a_day"])
    assert waits["untils"] == [NOON + RULES.pause, datetime(2026, 11, 19, 8, tzinfo=MOSCOW)]
    assert (never["surveys"], never["statuses"], never["whys"]) == ([2], ["cancelled"], ["no_consent"])
    assert room.rung == [3]


async def test_no_more_are_rung_than_there_is_room_and_the_first_are_first() -> None:
    room = Room(*(standing(survey) for survey in (5, 3, 9, 1)))
    room.robot.carries = 2
    await room.campaign.call_due(NOON)
    assert room.rung == [5, 3]
    assert [values["survey"] for values in room.asked("surveys.claim")] == [5, 3]


async def test_what_another_controller_has_started_meanwhile_leaves_less_room() -> None:
    room = Room(standing(1), standing(2))
    counts = iter([0, RULES.at_once - 1, RULES.at_once])
    room.store.rows["surveys.under_way"] = lambda values: [{"everywhere": next(counts), "here": 0, "owed": 0}]
    await room.campaign.call_due(NOON)
    assert room.rung == [1]


async def test_with_no_room_nobody_is_looked_at_closely() -> None:
    room = Room(standing(1))
    room.robot.carries = 0
    await room.campaign.call_due(NOON)
    assert room.campaign.held == "full"
    assert not room.asked("surveys.standing")


async def test_why_the_robot_rings_nobody_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(standing(1))
    room.robot.waiting = 99
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await room.campaign.call_due(NOON)
    assert [record.__dict__["held"] for record in caplog.records] == ["waiting"]
    room.robot.waiting = 0
    await room.campaign.call_due(NOON)
    assert room.campaign.held is None and room.rung == [1]


async def test_no_number_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(standing(1), standing(2))
    room.robot.refuses = PeerError("refused")
    with caplog.at_level(logging.DEBUG):
        await room.campaign.call_due(NOON)
    assert caplog.records
    assert phone(1) not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "error", [PeerError("no such context"), MissingPart("voice", "not there", "unpack it")]
)
async def test_who_could_not_be_rung_was_not_called(error: Exception) -> None:
    room = Room(standing(1))
    room.robot.refuses = error
    await room.campaign.call_due(NOON)
    assert room.asked("surveys.not_placed") == [{"calls": ["dozvon-survey-1-1"], "now": NOON}]


async def test_who_may_have_been_rung_is_left_to_a_later_look() -> None:
    room = Room(standing(1))
    room.robot.refuses = Disconnected("no answer within 5 s")
    await room.campaign.call_due(NOON)
    assert not room.asked("surveys.not_placed")


async def test_prompts_that_take_long_keep_nobody_else_waiting() -> None:
    room = Room(standing(1), standing(2))
    other_was_rung = asyncio.Event()

    async def first_waits_for_the_second(one: Job) -> None:
        if one.survey == 1:
            async with asyncio.timeout(5):
                await other_was_rung.wait()
        other_was_rung.set()

    room.robot.watch = first_waits_for_the_second
    await room.campaign.call_due(NOON)
    assert room.rung == [2, 1]


async def test_a_ledger_that_is_away_is_told_to_whoever_ticks() -> None:
    room = Room(standing(1))

    def away(_: dict[str, Any]) -> Any:
        raise LedgerAway("Postgres does not answer")

    room.store.rows["surveys.standing"] = away
    with pytest.raises(LedgerAway):
        await room.campaign.call_due(NOON)
    assert not room.rung


async def test_of_our_calls_those_alive_are_renewed_and_those_never_heard_of_are_over() -> None:
    room = Room()
    old, new = NOON - 3 * PLACED_WITHIN, NOON - PLACED_WITHIN
    room.store.rows["surveys.attempts_on"] = [
        {"call_id": "alive", "placed_at": old, "heard_of": False},
        {"call_id": "heard of", "placed_at": old, "heard_of": True},
        {"call_id": "fresh", "placed_at": new, "heard_of": False},
        {"call_id": "void", "placed_at": old, "heard_of": False},
    ]
    await room.campaign.look_after({"alive"}, NOON)
    assert room.asked("surveys.renew") == [{"calls": ["alive"], "lease_until": NOON + LEASE}]
    assert room.asked("surveys.not_placed") == [{"calls": ["void"], "now": NOON}]
