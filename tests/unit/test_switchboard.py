from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from directory.nouns import Caller, Company, House, Resident
from directory.phones import to_e164
from ivr.call import Call, Direction, Fact, Kind, Outcome
from ivr.switchboard import REMEMBERED, Numbers, Switchboard, lost
from tests import stories
from tests.fakes import NOON, FakeOutbox
from tests.stories import CALL, CALLBACK, CALLER, DIALLED, facts
from tickets import limits

SEVERNAYA = Company(
    id=7, code="severnaya", name="УК «Северная»", time_zone="Asia/Vladivostok", lines=(DIALLED,)
)


@pytest.fixture
def outbox() -> FakeOutbox:
    return FakeOutbox()


@pytest.fixture
def board(outbox: FakeOutbox) -> Switchboard:
    numbers = Numbers(
        partial(to_e164, region="RU"), lambda dialled: SEVERNAYA if dialled == DIALLED else None
    )
    return Switchboard(outbox, numbers, limits.read(), ZoneInfo("Europe/Moscow"))


def hear(board: Switchboard, story: str) -> Call:
    told = facts(story)
    for fact in told:
        board.take(fact)
    return board.calls[told[0].call]


def note(kind: Kind, key: str, seconds: float = 1, **detail: Any) -> Fact:
    return Fact(CALL, NOON + timedelta(seconds=seconds), kind, key, "resident", detail)


def test_a_new_call_is_written_before_anything_is_said_of_it(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.ARRIVES)
    assert [name for name, _ in outbox.written[:2]] == ["calls.save", "recordings.expect"]
    (row, *_) = outbox.of("calls.save")
    assert (row["id"], row["caller"], row["dialled"]) == (CALL, CALLER, DIALLED)
    assert (row["arrived_at"], row["company_id"]) == (NOON, 7)


def test_the_ring_and_the_conversation_open_one_call(board: Switchboard, outbox: FakeOutbox) -> None:
    opened: list[Call] = []
    board.on_open = opened.append
    call = board.open(CALL, NOON + timedelta(seconds=0.2), CALLER, DIALLED)
    hear(board, stories.ARRIVES)
    assert opened == [call]
    assert call.arrived_at == NOON, "Asterisk's moment is the earlier one"
    assert len(outbox.of("recordings.expect")) == 1


def test_a_hidden_number_is_no_number(board: Switchboard) -> None:
    assert board.open(CALL, NOON, "anonymous", DIALLED).caller is None


def test_a_number_nobody_owns_is_kept_as_it_was_dialled(board: Switchboard) -> None:
    call = board.open(CALL, NOON, CALLER, "900")
    assert (call.dialled, call.company_id) == ("900", None)


def test_every_fact_is_noted_once_in_its_order(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.ANSWERED)
    noted = outbox.of("calls.note")
    assert [each["kind"] for each in noted] == [fact.kind for fact in facts(stories.ANSWERED)]
    assert len({each["key"] for each in noted}) == len(noted)


def test_the_row_is_saved_before_the_fact_that_changed_it(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.ANSWERED)
    for (before, _), (name, _) in zip(outbox.written, outbox.written[1:], strict=False):
        if name == "calls.note":
            assert before == "calls.save"


@pytest.mark.parametrize("story", (stories.ALL | stories.BACK).values(), ids=stories.ALL | stories.BACK)
def test_a_story_told_twice_changes_nothing(board: Switchboard, outbox: FakeOutbox, story: str) -> None:
    hear(board, story)
    written = list(outbox.written)
    hear(board, story)
    assert outbox.written == written


def test_a_dispatcher_who_answers_opens_one_draft(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.ARRIVES)
    board.take(note(Kind.WENT, "incoming/1", category="emergency", priority=20))
    hear(board, stories.BLIND)
    (draft,) = outbox.of("tickets.draft")
    assert (draft["call"], draft["dispatcher"], draft["category"]) == (CALL, "101", "emergency")
    assert draft["registered_at"] == NOON + timedelta(seconds=9.02)
    assert {clock["name"] for clock in draft["clocks"]} == {"tell_terms", "localise", "eliminate"}
    assert all(clock["clause"] for clock in draft["clocks"])


def test_a_call_that_went_nowhere_in_the_menu_is_drafted_as_other(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    hear(board, stories.ANSWERED)
    assert outbox.of("tickets.draft")[0]["category"] == "other"


def test_a_call_nobody_answers_drafts_nothing(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.GIVES_UP)
    assert outbox.of("tickets.draft") == []


def test_a_missed_call_makes_one_promise(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.GIVES_UP)
    (promise,) = outbox.of("promises.open")
    assert promise["due_at"] == NOON + timedelta(minutes=10)
    assert (promise["phone"], promise["reason"], promise["company_id"]) == (
        CALLER,
        Outcome.ABANDONED_IN_QUEUE,
        7,
    )


def test_the_promise_comes_after_the_call_s_last_row(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.GIVES_UP)
    assert outbox.written[-1][0] == "promises.open"
    assert outbox.of("calls.save")[-1]["outcome"] is Outcome.ABANDONED_IN_QUEUE


@pytest.mark.parametrize("story", [stories.ANSWERED, stories.BLIND, stories.ATTENDED])
def test_a_talk_makes_no_promise(board: Switchboard, outbox: FakeOutbox, story: str) -> None:
    hear(board, story)
    assert outbox.of("promises.open") == []


def test_a_call_the_exchange_lost_is_closed_as_cut_off_and_promised(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    call = hear(board, stories.WAITS)
    board.take(lost(call, NOON + timedelta(seconds=30)))
    assert (call.outcome, call.ended_at) == (Outcome.CUT_OFF, NOON + timedelta(seconds=30))
    assert [promise["reason"] for promise in outbox.of("promises.open")] == [Outcome.CUT_OFF]


def test_a_call_held_for_lost_keeps_its_outcome_when_its_end_is_heard_after_all(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    call = hear(board, stories.WAITS)
    board.take(lost(call, NOON + timedelta(seconds=30)))
    hear(board, stories.GIVES_UP)
    assert (call.outcome, call.ended_at) == (Outcome.CUT_OFF, NOON + timedelta(seconds=30))
    assert {promise["reason"] for promise in outbox.of("promises.open")} == {Outcome.CUT_OFF}


def test_a_call_that_had_talked_makes_no_promise_when_it_is_lost(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    board.take(lost(hear(board, stories.TALKS), NOON + timedelta(seconds=30)))
    assert outbox.of("promises.open") == []


def test_a_fact_of_a_call_nobody_knows_is_passed_over(board: Switchboard, outbox: FakeOutbox) -> None:
    board.take(note(Kind.HELD, "held/1"))
    assert not outbox.written and not board.calls


def test_watchers_see_each_fact_once_and_in_force(board: Switchboard) -> None:
    seen: list[tuple[Kind, Outcome | None]] = []
    board.watchers.append(lambda call, fact: seen.append((fact.kind, call.outcome)))
    hear(board, stories.ANSWERED)
    hear(board, stories.ANSWERED)
    assert seen[-1] == (Kind.ENDED, Outcome.TALKED)
    assert len(seen) == len(facts(stories.ANSWERED))


# -- calls back


def test_a_call_back_is_a_call_with_its_direction(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.BACK_TALKED)
    row = outbox.of("calls.save")[-1]
    assert (row["id"], row["direction"], row["outcome"]) == (CALLBACK, Direction.CALLBACK, Outcome.TALKED)
    assert (row["caller"], row["dialled"], row["company_id"]) == (CALLER, DIALLED, 7)
    assert (row["category"], row["priority"], row["answered_by"]) == ("emergency", 20, "101")


def test_a_call_back_is_recorded_from_the_moment_the_resident_picks_up(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    hear(board, stories.RINGS_RESIDENT)
    assert outbox.of("recordings.expect") == []
    hear(board, stories.BACK_TALKED)
    (expected,) = outbox.of("recordings.expect")
    assert (expected["call"], expected["expected_at"]) == (CALLBACK, NOON + timedelta(seconds=10))


def test_a_call_back_that_talks_drafts_a_ticket_as_every_talk_does(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    hear(board, stories.BACK_TALKED)
    (draft,) = outbox.of("tickets.draft")
    assert (draft["call"], draft["dispatcher"], draft["category"]) == (CALLBACK, "101", "emergency")


@pytest.mark.parametrize("story", stories.BACK.values(), ids=stories.BACK)
def test_a_call_back_owes_nobody_another(board: Switchboard, outbox: FakeOutbox, story: str) -> None:
    hear(board, story)
    assert outbox.of("promises.open") == []


def test_a_call_back_the_exchange_lost_is_cut_off_and_owes_nothing(
    board: Switchboard, outbox: FakeOutbox
) -> None:
    call = hear(board, stories.RINGS_RESIDENT)
    board.take(lost(call, NOON + timedelta(seconds=30)))
    assert (call.outcome, outbox.of("promises.open")) == (Outcome.CUT_OFF, [])


def test_a_missed_call_brings_along_what_the_call_back_needs(board: Switchboard, outbox: FakeOutbox) -> None:
    hear(board, stories.ARRIVES)
    board.take(note(Kind.WENT, "incoming/1", category="emergency", priority=20, queue="north"))
    hear(board, stories.GIVES_UP)
    (promise,) = outbox.of("promises.open")
    assert (promise["line"], promise["queue"], promise["priority"]) == (DIALLED, "north", 20)
    assert promise["answer_mark_at"] == NOON + timedelta(minutes=5)


# -- who calls


HOUSE = House(id=3, address="ул. Лесная, д. 15", time_zone="Europe/Moscow")
MARIA = Resident(id=5, name="Иванова Мария Сергеевна", flat="1", house=HOUSE)


def known(**more: Any) -> Caller:
    given: dict[str, Any] = {"resident": MARIA, "residents_known": 1, "one_flat": True, "open_tickets": 2}
    return Caller(company=SEVERNAYA, number=CALLER, **{**given, **more})


def test_a_caller_the_directory_knows_is_on_the_row(board: Switchboard, outbox: FakeOutbox) -> None:
    call = hear(board, stories.ARRIVES)
    board.identify(call, known(), NOON)
    row = outbox.of("calls.save")[-1]
    assert (row["resident_id"], row["house_id"], row["flat"]) == (5, 3, "1")
    assert outbox.of("calls.note")[-1]["detail"]["open_tickets"] == 2


def test_a_phone_of_a_whole_family_names_the_flat_but_nobody(board: Switchboard, outbox: FakeOutbox) -> None:
    call = hear(board, stories.ARRIVES)
    board.identify(call, known(residents_known=2), NOON)
    assert (call.resident_id, call.house_id, call.flat) == (None, 3, "1")
    assert outbox.of("calls.note")[-1]["detail"]["name"] is None


def test_a_phone_of_two_flats_names_neither(board: Switchboard) -> None:
    call = hear(board, stories.ARRIVES)
    board.identify(call, known(residents_known=2, one_flat=False), NOON)
    assert (call.resident_id, call.house_id, call.flat) == (None, None, None)


def test_an_unknown_caller_is_noted_as_unknown(board: Switchboard, outbox: FakeOutbox) -> None:
    call = hear(board, stories.ARRIVES)
    board.identify(call, Caller(company=SEVERNAYA, number=CALLER), NOON)
    assert outbox.of("calls.note")[-1]["detail"]["residents_known"] == 0


def test_the_directory_s_answer_may_come_after_the_call_was_forgotten(board: Switchboard) -> None:
    call = hear(board, stories.GIVES_UP)
    board.sweep(NOON + timedelta(hours=1))
    board.identify(call, known(), NOON)
    assert not board.calls


def test_the_draft_s_clocks_run_in_the_company_s_zone(board: Switchboard) -> None:
    assert board.zone_of(hear(board, stories.ARRIVES)) == ZoneInfo("Asia/Vladivostok")
    assert board.zone_of(Call("x", NOON, dialled="900")) == ZoneInfo("Europe/Moscow")


# -- after a restart, and long after


def test_a_call_taken_up_after_a_restart_goes_on_where_it_was(board: Switchboard, outbox: FakeOutbox) -> None:
    before = facts(stories.TALKS)
    board.resume(Call(CALL, NOON, caller=CALLER, dialled=DIALLED), before)
    hear(board, stories.ANSWERED)  # the log tells it all again
    assert [each["kind"] for each in outbox.of("calls.note")] == [Kind.HUNG_UP, Kind.ENDED]
    assert board.calls[CALL].outcome is Outcome.TALKED
    assert outbox.of("tickets.draft") == [], "drafted before the restart"


def test_going_on_are_those_that_have_not_ended(board: Switchboard) -> None:
    call = hear(board, stories.WAITS)
    assert board.going_on() == [call]
    hear(board, stories.GIVES_UP)
    assert board.going_on() == []


def test_an_ended_call_is_kept_for_a_while_and_then_forgotten(board: Switchboard) -> None:
    call = hear(board, stories.GIVES_UP)
    assert call.ended_at
    board.sweep(call.ended_at + REMEMBERED)
    assert board.calls
    board.sweep(call.ended_at + REMEMBERED + timedelta(seconds=1))
    assert not board.calls and not board._told


def test_a_call_that_goes_on_is_never_forgotten(board: Switchboard) -> None:
    hear(board, stories.WAITS)
    board.sweep(NOON + timedelta(days=1))
    assert board.calls


def test_numbers_are_masked_in_the_log(board: Switchboard, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        hear(board, stories.GIVES_UP)
    for record in caplog.records:
        assert CALLER not in str(record.__dict__), record.getMessage()
