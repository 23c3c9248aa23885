from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count, permutations
from random import Random
from typing import Any

import pytest

from ivr.call import (
    DEAD_LINE,
    NOTICED_AFTER,
    Call,
    Direction,
    Fact,
    Kind,
    Outcome,
    Stage,
)
from tests.fakes import NOON

_keys = count()


def fact(kind: Kind, seconds: float = 0, who: str | None = None, **detail: Any) -> Fact:
    return Fact("dozvon-1.0", NOON + timedelta(seconds=seconds), kind, f"{kind}/{next(_keys)}", who, detail)


def after(*facts: Fact, direction: Direction = Direction.INBOUND) -> Call:
    call = Call("dozvon-1.0", NOON, direction=direction)
    for each in facts:
        call.follow(each)
    return call


GREETING = (fact(Kind.ARRIVED), fact(Kind.PICKED_UP, 0.1), fact(Kind.PROMPT, 0.2, prompt="welcome"))
MENU = (*GREETING, fact(Kind.PROMPT, 4, prompt="menu_main", menu=True))
QUEUE = (*MENU, fact(Kind.WENT, 6, category="emergency", priority=20), fact(Kind.QUEUED, 7, queue="dispatch"))
BY_RESIDENT = fact(Kind.HUNG_UP, 60, "resident", cause=16)
ENDED = fact(Kind.ENDED, 60)

STORIES = {
    Outcome.TALKED: (*QUEUE, fact(Kind.RANG, 8, "101"), fact(Kind.ANSWERED, 12, "101"), BY_RESIDENT, ENDED),
    Outcome.ABANDONED_IN_GREETING: (*GREETING, BY_RESIDENT, ENDED),
    Outcome.ABANDONED_IN_MENU: (*MENU, BY_RESIDENT, ENDED),
    Outcome.ABANDONED_IN_QUEUE: (*QUEUE, fact(Kind.RANG, 8, "101"), BY_RESIDENT, ENDED),
    Outcome.QUEUE_TIMED_OUT: (*QUEUE, fact(Kind.LEFT_QUEUE, 50, status="TIMEOUT"), BY_RESIDENT, ENDED),
    Outcome.QUEUE_FULL: (*QUEUE, fact(Kind.LEFT_QUEUE, 8, status="FULL"), BY_RESIDENT, ENDED),
    Outcome.NO_DISPATCHER: (*QUEUE, fact(Kind.LEFT_QUEUE, 8, status="JOINEMPTY"), BY_RESIDENT, ENDED),
    Outcome.VOICEMAIL: (
        *QUEUE,
        fact(Kind.LEFT_QUEUE, 8, status="JOINEMPTY"),
        fact(Kind.MESSAGE, 20),
        BY_RESIDENT,
        ENDED,
    ),
    Outcome.CUT_OFF: (*QUEUE, fact(Kind.HUNG_UP, 60, None, cause=44), ENDED),
    Outcome.INFORMED: (
        *MENU,
        fact(Kind.WENT, 6, place="hang-up"),
        fact(Kind.HUNG_UP, 60, None, cause=16),
        ENDED,
    ),
    Outcome.CALLBACK_ASKED: (*QUEUE, fact(Kind.LEFT_QUEUE, 50, status="CALLBACK"), BY_RESIDENT, ENDED),
}
PLACED = (fact(Kind.ARRIVED), fact(Kind.QUEUED, 0.1, queue="dispatch"), fact(Kind.RANG, 0.2, "101"))
TAKEN = (*PLACED, fact(Kind.ACCEPTED, 3, "101"), fact(Kind.RANG, 4, "resident"))
BACK_TALKS = (*TAKEN, fact(Kind.PICKED_UP, 9), fact(Kind.ANSWERED, 10, "101"))
CALLS_BACK = {
    Outcome.TALKED: (*BACK_TALKS, BY_RESIDENT, ENDED),
    Outcome.BUSY: (*TAKEN, fact(Kind.TRIED, 5, "101", status="BUSY"), ENDED),
    Outcome.NO_ANSWER: (*TAKEN, fact(Kind.TRIED, 35, "101", status="NOANSWER"), ENDED),
    Outcome.UNREACHABLE: (*TAKEN, fact(Kind.TRIED, 5, "101", status="CONGESTION"), ENDED),
    Outcome.MACHINE: (*BACK_TALKS, fact(Kind.MACHINE, 20, "101"), ENDED),
    Outcome.DISPATCHER_GONE: (*TAKEN, ENDED),
    Outcome.TAKEN_BACK: (*PLACED, ENDED),
    Outcome.QUEUE_TIMED_OUT: (*PLACED, fact(Kind.LEFT_QUEUE, 59, status="TIMEOUT"), ENDED),
    Outcome.CUT_OFF: (*TAKEN, fact(Kind.ENDED, 60, lost=True)),
}
RUNG = (fact(Kind.ARRIVED), fact(Kind.RANG, 0, "resident"))
ASKED = (*RUNG, fact(Kind.PICKED_UP, 6))
ASKS_FOR_A_PERSON = (*ASKED, fact(Kind.WENT, 20, place="queue", category="heating", priority=50))
HANDED_OVER = (*ASKS_FOR_A_PERSON, fact(Kind.QUEUED, 21, queue="dispatch"))
SURVEYS = {
    Outcome.SURVEYED: (*ASKED, BY_RESIDENT, ENDED),
    Outcome.BUSY: (*RUNG, fact(Kind.HUNG_UP, 2, "resident", cause=17), ENDED),
    Outcome.NO_ANSWER: (*RUNG, fact(Kind.HUNG_UP, 30, None, cause=19), ENDED),
    Outcome.UNREACHABLE: (*RUNG, fact(Kind.HUNG_UP, 1, None, cause=20), ENDED),
    Outcome.TAKEN_BACK: (*RUNG, fact(Kind.HUNG_UP, 4, None, cause=26), ENDED),
    Outcome.CUT_OFF: (*ASKED, fact(Kind.ENDED, 60, lost=True)),
    Outcome.TALKED: (*HANDED_OVER, fact(Kind.ANSWERED, 25, "101"), BY_RESIDENT, ENDED),
    Outcome.ABANDONED_IN_QUEUE: (*HANDED_OVER, BY_RESIDENT, ENDED),
    Outcome.QUEUE_TIMED_OUT: (*HANDED_OVER, fact(Kind.LEFT_QUEUE, 59, status="TIMEOUT"), ENDED),
}
EVERY = [
    (direction, story)
    for direction, stories in zip(Direction, (STORIES, CALLS_BACK, SURVEYS), strict=True)
    for story in stories.values()
]


def test_every_outcome_has_its_story() -> None:
    assert {*STORIES, *CALLS_BACK, *SURVEYS} == set(Outcome)


@pytest.mark.parametrize("outcome", STORIES)
def test_a_residents_call_ends_as_its_story_says(outcome: Outcome) -> None:
    call = after(*STORIES[outcome])
    assert call.outcome is outcome
    assert (call.stage, call.ended_at) == (Stage.ENDED, NOON + timedelta(seconds=60))


@pytest.mark.parametrize("outcome", CALLS_BACK)
def test_a_call_back_ends_as_its_story_says(outcome: Outcome) -> None:
    call = after(*CALLS_BACK[outcome], direction=Direction.CALLBACK)
    assert call.outcome is outcome
    assert (call.stage, call.ended_at) == (Stage.ENDED, NOON + timedelta(seconds=60))


@pytest.mark.parametrize("outcome", SURVEYS)
def test_a_robots_call_ends_as_its_story_says(outcome: Outcome) -> None:
    call = after(*SURVEYS[outcome], direction=Direction.SURVEY)
    assert call.outcome is outcome
    assert (call.stage, call.ended_at) == (Stage.ENDED, NOON + timedelta(seconds=60))


def test_who_asks_the_robot_for_a_person_has_asked_from_then_on() -> None:
    call = after(*HANDED_OVER, direction=Direction.SURVEY)
    assert call.asked_at == NOON + timedelta(seconds=20)
    assert after(*ASKED, direction=Direction.SURVEY).asked_at is None


@pytest.mark.parametrize(("direction", "story"), EVERY)
def test_facts_told_twice_change_nothing(direction: Direction, story: tuple[Fact, ...]) -> None:
    told = after(*story, direction=direction)
    assert told == after(*(each for each in story for _ in range(2)), direction=direction)
    assert told == after(*story, *story, direction=direction)


@pytest.mark.parametrize(("direction", "story"), EVERY)
def test_the_same_facts_in_the_same_order_make_the_same_call(
    direction: Direction, story: tuple[Fact, ...]
) -> None:
    assert after(*story, direction=direction) == after(*story, direction=direction)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("TIMEOUT", Outcome.QUEUE_TIMED_OUT),
        ("FULL", Outcome.QUEUE_FULL),
        ("JOINEMPTY", Outcome.NO_DISPATCHER),
        ("LEAVEEMPTY", Outcome.NO_DISPATCHER),
        ("JOINUNAVAIL", Outcome.NO_DISPATCHER),
        ("LEAVEUNAVAIL", Outcome.NO_DISPATCHER),
        ("", Outcome.QUEUE_TIMED_OUT),
        ("SOMETHING NEW", Outcome.QUEUE_TIMED_OUT),
        (None, Outcome.QUEUE_TIMED_OUT),
    ],
)
def test_each_way_out_of_the_queue_is_an_outcome(status: str | None, outcome: Outcome) -> None:
    assert after(*QUEUE, fact(Kind.LEFT_QUEUE, 50, status=status), ENDED).outcome is outcome


@pytest.mark.parametrize(("cause", "outcome"), [
    (16, Outcome.ABANDONED_IN_QUEUE), (0, Outcome.ABANDONED_IN_QUEUE), (None, Outcome.ABANDONED_IN_QUEUE),
    (27, Outcome.CUT_OFF), (38, Outcome.CUT_OFF), (44, Outcome.CUT_OFF), (111, Outcome.CUT_OFF),
])  # fmt: skip
def test_the_cause_of_the_hang_up_tells_who_gave_up(cause: int | None, outcome: Outcome) -> None:
    assert after(*QUEUE, fact(Kind.HUNG_UP, 60, None, cause=cause), ENDED).outcome is outcome


def test_a_call_the_exchange_lost_was_cut_off() -> None:
    assert after(*QUEUE, fact(Kind.ENDED, 60, lost=True)).outcome is Outcome.CUT_OFF


def test_a_talk_is_a_talk_even_when_it_was_cut_off() -> None:
    talk = (*QUEUE, fact(Kind.ANSWERED, 12, "101"))
    assert after(*talk, fact(Kind.HUNG_UP, 60, None, cause=38), ENDED).outcome is Outcome.TALKED
    assert after(*talk, fact(Kind.ENDED, 60, lost=True)).outcome is Outcome.TALKED


@pytest.mark.parametrize(("seconds", "outcome"), [(4.9, Outcome.CUT_OFF), (5, Outcome.TALKED)])
def test_who_is_cut_off_as_soon_as_she_is_answered_has_not_talked(seconds: float, outcome: Outcome) -> None:
    talk = (*QUEUE, fact(Kind.ANSWERED, 12, "101"))
    cut = fact(Kind.HUNG_UP, 12 + seconds, None, cause=38)
    assert after(*talk, cut, fact(Kind.ENDED, 12 + seconds)).outcome is outcome
    assert after(*talk, fact(Kind.ENDED, 12 + seconds, lost=True)).outcome is outcome


@pytest.mark.parametrize(("seconds", "outcome"), [(4.9, Outcome.CUT_OFF), (5, Outcome.TALKED)])
def test_the_minute_a_dead_line_is_listened_to_is_no_talk(seconds: float, outcome: Outcome) -> None:
    end = 12 + seconds + NOTICED_AFTER.total_seconds()
    talk = (*QUEUE, fact(Kind.ANSWERED, 12, "101"), fact(Kind.HUNG_UP, end, None, cause=DEAD_LINE))
    assert after(*talk, fact(Kind.ENDED, end)).outcome is outcome


def test_who_hangs_up_at_once_has_talked_all_the_same() -> None:
    talk = (*QUEUE, fact(Kind.ANSWERED, 12, "101"), fact(Kind.HUNG_UP, 13, "resident", cause=16))
    assert after(*talk, fact(Kind.ENDED, 13)).outcome is Outcome.TALKED


def test_who_asked_to_be_called_back_keeps_that_outcome_though_the_line_then_breaks() -> None:
    asked = (*QUEUE, fact(Kind.LEFT_QUEUE, 50, status="CALLBACK"))
    assert after(*asked, fact(Kind.ENDED, 60, lost=True)).outcome is Outcome.CALLBACK_ASKED


def test_who_asked_for_it_and_then_left_a_message_left_a_message() -> None:
    asked = (*QUEUE, fact(Kind.LEFT_QUEUE, 50, status="CALLBACK"), fact(Kind.MESSAGE, 52))
    assert after(*asked, ENDED).outcome is Outcome.VOICEMAIL


def test_a_resident_who_put_the_phone_down_before_she_was_connected_did_not_answer() -> None:
    picked_up = (*TAKEN, fact(Kind.PICKED_UP, 9))
    assert after(*picked_up, ENDED, direction=Direction.CALLBACK).outcome is Outcome.NO_ANSWER


def test_a_machine_is_none_when_nobody_had_answered() -> None:
    said = (*TAKEN, fact(Kind.MACHINE, 9, "101"))
    assert after(*said, ENDED, direction=Direction.CALLBACK).outcome is Outcome.MACHINE


def test_a_call_of_hers_is_judged_as_hers_whatever_was_tried() -> None:
    assert (
        after(*TAKEN, fact(Kind.TRIED, 5, "101", status="BUSY"), ENDED).outcome is Outcome.ABANDONED_IN_QUEUE
    )


def test_what_asterisks_log_tells_of_a_waiting_call_fills_in_what_nobody_heard() -> None:
    told = fact(Kind.QUEUED, 7, queue="dispatch", category="emergency", priority=20)
    call = after(*GREETING, told)
    assert (call.category, call.priority) == ("emergency", 20)
    heard = after(*MENU, fact(Kind.WENT, 6, category="planned", priority=0), told)
    assert (heard.category, heard.priority) == ("planned", 0), "the conversation knows better"


def test_a_hang_up_at_the_tone_is_not_a_message() -> None:
    left = (*QUEUE, fact(Kind.LEFT_QUEUE, 8, status="JOINEMPTY"), fact(Kind.MESSAGE, 20))
    assert after(*left, fact(Kind.ENDED, 21.9)).outcome is Outcome.NO_DISPATCHER
    assert after(*left, fact(Kind.ENDED, 22)).outcome is Outcome.VOICEMAIL


def test_a_message_left_from_the_menu_is_voicemail() -> None:
    assert after(*MENU, fact(Kind.MESSAGE, 20), ENDED).outcome is Outcome.VOICEMAIL


def test_a_call_that_comes_back_from_a_second_queue_is_judged_by_the_last() -> None:
    back = (
        *QUEUE,
        fact(Kind.LEFT_QUEUE, 10, status="TIMEOUT"),
        fact(Kind.QUEUED, 20, queue="dispatch"),
        ENDED,
    )
    assert after(*back).outcome is Outcome.ABANDONED_IN_QUEUE


def test_the_moments_are_those_of_the_first_time() -> None:
    call = after(
        *QUEUE, fact(Kind.QUEUED, 30), fact(Kind.ANSWERED, 40, "101"), fact(Kind.ANSWERED, 50, "102")
    )
    assert call.queued_at == NOON + timedelta(seconds=7)
    assert (call.answered_at, call.answered_by) == (NOON + timedelta(seconds=40), "101")


def test_an_arrival_heard_late_is_still_the_earliest_moment() -> None:
    call = Call("dozvon-1.0", NOON + timedelta(seconds=2))  # the AGI session was quicker
    call.follow(fact(Kind.ARRIVED, 0.5, dialled="+74951230001"))
    assert call.arrived_at == NOON + timedelta(seconds=0.5)
    assert call.dialled == "+74951230001"


def test_where_the_call_went_is_kept() -> None:
    call = after(*QUEUE)
    assert (call.category, call.priority, call.queue) == ("emergency", 20, "dispatch")


def test_a_key_of_the_menu_without_a_category_leaves_the_category() -> None:
    assert after(*QUEUE, fact(Kind.WENT, 8, menu="main", place="x")).category == "emergency"


def test_a_call_that_has_ended_stays_ended_whatever_is_heard_late() -> None:
    call = after(*STORIES[Outcome.TALKED])
    for late in (fact(Kind.QUEUED, 7), fact(Kind.ANSWERED, 12, "101"), fact(Kind.PROMPT, 4, menu=True)):
        call.follow(late)
    assert (call.stage, call.outcome) == (Stage.ENDED, Outcome.TALKED)


def test_the_static_route_is_remembered() -> None:
    assert after(*GREETING, fact(Kind.STATIC_ROUTE, 1)).static_route


def test_what_only_the_timeline_needs_changes_nothing() -> None:
    for kind in (
        Kind.HELD,
        Kind.RESUMED,
        Kind.RANG,
        Kind.JOINED,
        Kind.TRANSFERRED,
        Kind.QUEUE_PLACE,
        Kind.OVERDUE,
        Kind.KEY,
    ):
        assert after(*QUEUE) == after(*QUEUE, fact(kind, 9, "101")), kind


def test_facts_before_the_end_may_come_in_any_order() -> None:
    """The conversation and the event stream race each other; the row must not depend on who wins."""
    middle = (
        fact(Kind.PICKED_UP, 0.1),
        fact(Kind.WENT, 6, category="emergency", priority=20, queue="dispatch"),
        fact(Kind.QUEUED, 7, queue="dispatch"),
        fact(Kind.ANSWERED, 12, "101"),
        fact(Kind.HUNG_UP, 59, "101", cause=16),
    )
    rows = {repr(_row(after(*order, ENDED))) for order in permutations(middle)}
    assert len(rows) == 1


def _row(call: Call) -> tuple[object, ...]:
    moments: list[datetime | None] = [call.picked_up_at, call.queued_at, call.answered_at, call.ended_at]
    return (*moments, call.answered_by, call.category, call.queue, call.outcome, call.hung_up_by)


def test_whatever_is_told_a_call_ends_with_exactly_one_outcome(dice: Random) -> None:
    """2,000 random timelines of either direction: nothing raises, and an end always has an outcome."""
    whats = [kind for kind in Kind if kind is not Kind.ENDED]
    for _ in range(2000):
        story = [
            fact(
                dice.choice(whats),
                second,
                dice.choice(["101", "resident", None]),
                cause=dice.choice([16, 44]),
                status=dice.choice(["BUSY", "TIMEOUT"]),
            )
            for second in range(dice.randrange(12))
        ]
        direction = dice.choice(list(Direction))
        assert after(*story, direction=direction).outcome is None
        call = after(*story, fact(Kind.ENDED, 99), direction=direction)
        assert isinstance(call.outcome, Outcome)
        tries = [each.kind for each in story if each.kind in {Kind.TRIED, Kind.MACHINE}]
        is_machine = tries[-1:] == [Kind.MACHINE]
        answered = any(each.kind is Kind.ANSWERED for each in story)
        left_a_message = any(each.kind is Kind.MESSAGE for each in story)
        assert (call.outcome is Outcome.TALKED) == (answered and not is_machine and not left_a_message)


def test_who_fell_back_into_the_queue_after_a_talk_and_asked_for_a_call_back_is_owed_one() -> None:
    """Handed on to a colleague who did not answer."""
    call = after(
        fact(Kind.ARRIVED, 0),
        fact(Kind.ANSWERED, 10, "101"),
        fact(Kind.QUEUED, 60, queue="dispatch"),
        fact(Kind.LEFT_QUEUE, 90, status="CALLBACK"),
        fact(Kind.ENDED, 99),
    )
    assert call.outcome is Outcome.CALLBACK_ASKED
