from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count, permutations
from random import Random
from typing import Any

import pytest

from ivr.call import Call, Fact, Kind, Outcome, Stage
from tests.fakes import NOON

_keys = count()


def fact(kind: Kind, seconds: float = 0, who: str | None = None, **detail: Any) -> Fact:
    return Fact("dozvon-1.0", NOON + timedelta(seconds=seconds), kind, f"{kind}/{next(_keys)}", who, detail)


def after(*facts: Fact) -> Call:
    call = Call("dozvon-1.0", NOON)
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
}


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_story(outcome: Outcome) -> None:
    call = after(*STORIES[outcome])
    assert call.outcome is outcome
    assert (call.stage, call.ended_at) == (Stage.ENDED, NOON + timedelta(seconds=60))


@pytest.mark.parametrize("outcome", Outcome)
def test_facts_told_twice_change_nothing(outcome: Outcome) -> None:
    once, twice = STORIES[outcome], [each for each in STORIES[outcome] for _ in range(2)]
    assert after(*once) == after(*twice) == after(*once, *once)


@pytest.mark.parametrize("outcome", Outcome)
def test_the_same_facts_in_the_same_order_make_the_same_call(outcome: Outcome) -> None:
    assert after(*STORIES[outcome]) == after(*STORIES[outcome])


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
    assert after(*talk, fact(Kind.HUNG_UP, 60, None, cause=44), ENDED).outcome is Outcome.TALKED
    assert after(*talk, fact(Kind.ENDED, 60, lost=True)).outcome is Outcome.TALKED


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
    """2,000 random timelines: nothing raises, and an end always has an outcome."""
    whats = [kind for kind in Kind if kind is not Kind.ENDED]
    for _ in range(2000):
        story = [
            fact(
                dice.choice(whats),
                second,
                dice.choice(["101", "resident", None]),
                cause=dice.choice([16, 44]),
            )
            for second in range(dice.randrange(12))
        ]
        assert after(*story).outcome is None
        call = after(*story, fact(Kind.ENDED, 99))
        assert isinstance(call.outcome, Outcome)
        assert (call.outcome is Outcome.TALKED) == any(each.kind is Kind.ANSWERED for each in story)
