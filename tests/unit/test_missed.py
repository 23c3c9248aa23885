from __future__ import annotations

from datetime import timedelta

import pytest

from callback.missed import HEARD, HIDDEN, missed
from ivr.call import Call, Direction, Outcome
from tests.fakes import NOON
from tickets import limits

LIMITS = limits.read()


def ended(outcome: Outcome | None, caller: str | None = "+79000000001") -> Call:
    call = Call("dozvon-1.0", NOON, caller=caller, company_id=7, category="emergency", outcome=outcome)
    call.ended_at = NOON + timedelta(minutes=4) if outcome else None
    return call


@pytest.mark.parametrize("outcome", [each for each in Outcome if each not in HEARD])
def test_every_call_without_a_talk_makes_a_promise(outcome: Outcome) -> None:
    promise = missed(ended(outcome), LIMITS)
    assert promise is not None
    assert (promise.reason, promise.phone, promise.company_id) == (outcome, "+79000000001", 7)


def test_a_talk_makes_none() -> None:
    assert missed(ended(Outcome.TALKED), LIMITS) is None


def test_who_heard_what_she_wanted_to_know_is_owed_nothing() -> None:
    assert missed(ended(Outcome.INFORMED), LIMITS) is None


def test_a_call_that_goes_on_makes_none() -> None:
    assert missed(ended(None), LIMITS) is None


@pytest.mark.parametrize("outcome", Outcome)
def test_a_call_back_in_vain_makes_none_of_its_own(outcome: Outcome) -> None:
    call = ended(outcome)
    call.direction = Direction.CALLBACK
    assert missed(call, LIMITS) is None


def test_it_is_due_ten_minutes_after_the_call_arrived_not_after_it_ended() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE), LIMITS)
    assert promise and promise.missed_at == NOON
    assert promise.due_at == NOON + timedelta(minutes=10)


def test_the_time_for_answering_is_over_five_minutes_after_it_arrived() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE), LIMITS)
    assert promise and promise.answer_mark_at == NOON + timedelta(minutes=5)


def test_a_voice_message_is_due_ten_minutes_after_it_was_left() -> None:
    promise = missed(ended(Outcome.VOICEMAIL), LIMITS)
    assert promise and promise.due_at == NOON + timedelta(minutes=14)
    assert (promise.missed_at, promise.answer_mark_at) == (NOON, NOON + timedelta(minutes=5))


def test_it_names_the_clause_that_asks_for_it() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE), LIMITS)
    assert promise and promise.clause == "ПП РФ № 416, п. 13"


def test_it_keeps_what_the_call_back_needs() -> None:
    call = ended(Outcome.ABANDONED_IN_QUEUE)
    call.dialled, call.queue, call.priority = "+74951230001", "north", 20
    promise = missed(call, LIMITS)
    assert promise and (promise.line, promise.queue, promise.priority) == ("+74951230001", "north", 20)


def test_a_call_that_went_nowhere_yet_has_no_priority() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_GREETING), LIMITS)
    assert promise and (promise.queue, promise.priority) == (None, 0)


def test_a_hidden_number_makes_a_promise_that_says_why_it_cannot_be_kept() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE, caller=None), LIMITS)
    assert promise and (promise.phone, promise.why) == (None, HIDDEN)


@pytest.mark.parametrize("outcome", Outcome)
def test_whom_the_robot_has_rung_is_owed_nothing(outcome: Outcome) -> None:
    call = ended(outcome)
    call.direction = Direction.SURVEY
    assert missed(call, LIMITS) is None


def test_unless_she_asked_the_robot_for_a_dispatcher_and_got_none() -> None:
    call = ended(Outcome.ABANDONED_IN_QUEUE)
    call.direction, call.asked_at = Direction.SURVEY, NOON + timedelta(minutes=3)
    promise = missed(call, LIMITS)
    assert promise is not None
    assert (promise.missed_at, promise.due_at) == (NOON + timedelta(minutes=3), NOON + timedelta(minutes=13))
    call.outcome = Outcome.TALKED
    assert missed(call, LIMITS) is None
