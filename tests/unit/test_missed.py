from __future__ import annotations

from datetime import timedelta

import pytest

from callback.missed import HIDDEN, missed
from ivr.call import Call, Outcome
from tests.fakes import NOON
from tickets import limits

LIMIT = limits.read().callback


def ended(outcome: Outcome | None, caller: str | None = "+79000000001") -> Call:
    call = Call("dozvon-1.0", NOON, caller=caller, company_id=7, category="emergency", outcome=outcome)
    call.ended_at = NOON + timedelta(minutes=4) if outcome else None
    return call


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.TALKED])
def test_every_call_without_a_talk_makes_a_promise(outcome: Outcome) -> None:
    promise = missed(ended(outcome), LIMIT)
    assert promise is not None
    assert (promise.reason, promise.phone, promise.company_id) == (outcome, "+79000000001", 7)


def test_a_talk_makes_none() -> None:
    assert missed(ended(Outcome.TALKED), LIMIT) is None


def test_a_call_that_goes_on_makes_none() -> None:
    assert missed(ended(None), LIMIT) is None


def test_it_is_due_ten_minutes_after_the_call_arrived_not_after_it_ended() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE), LIMIT)
    assert promise and promise.missed_at == NOON
    assert promise.due_at == NOON + timedelta(minutes=10)


def test_it_names_the_clause_that_asks_for_it() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE), LIMIT)
    assert promise and promise.clause == "ПП РФ № 416, п. 13"


def test_a_hidden_number_makes_a_promise_that_says_why_it_cannot_be_kept() -> None:
    promise = missed(ended(Outcome.ABANDONED_IN_QUEUE, caller=None), LIMIT)
    assert promise and (promise.phone, promise.why) == (None, HIDDEN)
