"""May the robot ring her, and what follows from how its call went: pure, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ivr.call import Outcome
from robocalls import rules
from robocalls.allowed import (
    Again,
    Ended,
    Go,
    Never,
    Settled,
    Standing,
    Wait,
    Why,
    after,
    allowed,
    first_moment,
    last_moment,
)
from robocalls.nouns import Result, Status
from tests.fakes import NOON

RULES = rules.read()
MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
"""NOON is a Wednesday, 12:00 in Moscow."""


def it(**changed: Any) -> Standing:
    return Standing(**{"category": "water", "has_content": True, "closed_at": NOON - HOUR, **changed})


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def moscow(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MOSCOW)


def first(standing: Standing, earliest: datetime, zone: ZoneInfo = MOSCOW, **changed: Any) -> datetime:
    return first_moment(standing, replace(RULES, **changed), earliest, zone)[0]


# -- who


def test_whom_nothing_forbids_may_be_rung() -> None:
    assert allowed(it(), RULES, NOON, MOSCOW) == Go()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"stands": False}, Why.REOPENED),
        ({"category": "consultation"}, Why.CATEGORY),
        ({"opted_out": True}, Why.OPTED_OUT),
        ({"blocked": True}, Why.BLOCKED),
        ({"consented": False}, Why.NO_CONSENT),
    ],
)
def test_what_forbids_it_forbids_it_at_any_hour(changed: dict[str, Any], why: Why) -> None:
    for hour in (0, 12):
        assert allowed(it(**changed), RULES, at(hour), MOSCOW) == Never(why)


def test_an_agreed_hour_stands_above_no_refusal() -> None:
    for changed in ({"opted_out": True}, {"consented": False}, {"stands": False}):
        assert isinstance(allowed(it(agreed_at=NOON, **changed), RULES, NOON, MOSCOW), Never)


def test_without_the_rule_no_consent_is_asked_for() -> None:
    assert allowed(it(consented=False), replace(RULES, consent=False), NOON, MOSCOW) == Go()


def test_a_draft_is_asked_about_where_the_rules_say_so() -> None:
    draft = it(has_content=False)
    assert allowed(draft, replace(RULES, drafts=True), NOON, MOSCOW) == Go()
    assert allowed(draft, replace(RULES, drafts=False), NOON, MOSCOW) == Never(Why.DRAFT)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"on_a_call": True}, Why.ON_A_CALL),
        ({"owed": True}, Why.OWED),
        ({"has_emergency": True}, Why.EMERGENCY),
        ({"on_a_call": True, "has_emergency": True}, Why.ON_A_CALL),
    ],
)
def test_at_a_bad_moment_it_waits_a_little(changed: dict[str, Any], why: Why) -> None:
    assert allowed(it(**changed), RULES, NOON, MOSCOW) == Wait(NOON + RULES.pause, why)
    assert allowed(it(agreed_at=NOON, **changed), RULES, NOON, MOSCOW) == Wait(NOON + RULES.pause, why)


def test_after_its_last_moment_it_is_given_up() -> None:
    last = last_moment(it(), RULES)
    assert last == NOON - HOUR + RULES.give_up
    assert allowed(it(), RULES, last, MOSCOW) == Go()
    late = allowed(it(), RULES, last + timedelta(seconds=1), MOSCOW)
    assert late == Never(Why.TOO_LATE, Status.GIVEN_UP)


def test_what_can_only_come_too_late_is_given_up_at_once() -> None:
    rung = (at(-30), at(-40))
    assert allowed(it(rung=rung), RULES, NOON, MOSCOW) == Never(Why.TOO_LATE, Status.GIVEN_UP)
    assert isinstance(allowed(it(rung=rung), replace(RULES, give_up=8 * DAY), NOON, MOSCOW), Wait)


def test_an_hour_agreed_for_later_moves_the_last_moment() -> None:
    agreed = NOON + 10 * DAY
    assert allowed(it(agreed_at=agreed), RULES, NOON, MOSCOW) == Wait(agreed, Why.AGREED)
    assert allowed(it(agreed_at=agreed), RULES, agreed, MOSCOW) == Go()


# -- when


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-18 07:59:59", "2026-11-18 08:00"),  # a Wednesday
        ("2026-11-18 08:00", None),
        ("2026-11-18 21:59:59", None),
        ("2026-11-18 22:00", "2026-11-19 08:00"),
        ("2026-11-20 23:00", "2026-11-21 09:00"),  # a Friday, then a Saturday
        ("2026-11-21 08:30", "2026-11-21 09:00"),
        ("2026-11-21 19:59", None),
        ("2026-11-21 20:00", "2026-11-22 09:00"),
        ("2026-11-22 20:00", "2026-11-23 08:00"),  # a Sunday, then a Monday
        ("2026-12-31 22:30", "2027-01-01 09:00"),  # a Friday that is a holiday
        ("2027-01-04 08:30", "2027-01-04 09:00"),  # a Monday that is one
    ],
)
def test_by_day_she_may_be_rung_and_by_night_not(moment: str, opens: str | None) -> None:
    now = moscow(moment)
    standing = it(closed_at=now - HOUR)
    if opens is None:
        assert allowed(standing, RULES, now, MOSCOW) == Go()
    else:
        assert allowed(standing, RULES, now, MOSCOW) == Wait(moscow(opens), Why.QUIET_HOURS)


def test_the_night_is_the_one_where_she_lives() -> None:
    vladivostok = ZoneInfo("Asia/Vladivostok")
    assert allowed(it(), RULES, NOON, vladivostok) == Go()
    assert allowed(it(), RULES, at(3.5), MOSCOW) == Go()
    assert allowed(it(), RULES, at(3.5), vladivostok) == Wait(at(13), Why.QUIET_HOURS)


def test_days_without_a_window_are_passed_over(tmp_path: Any) -> None:
    friday = moscow("2026-11-20 22:30")
    workdays = replace(RULES, weekends=rules.NEVER)
    assert first_moment(it(closed_at=friday), workdays, friday, MOSCOW)[0] == moscow("2026-11-23 08:00")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        # Berlin skips 02:00-03:00 on 29 March 2026, and has 02:00-03:00 twice on 25 October 2026
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), datetime(2026, 3, 29, 7, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), datetime(2026, 10, 25, 8, 0, tzinfo=UTC)),
    ],
)
def test_a_window_opens_by_the_wall_clock_when_the_clocks_are_changed(now: datetime, opens: datetime) -> None:
    assert allowed(it(closed_at=now), RULES, now, BERLIN) == Wait(opens, Why.QUIET_HOURS)


def window(text: str) -> rules.Window:
    begins, _, ends = text.partition("-")
    return rules.Window(*(datetime.strptime(part, "%H:%M").time() for part in (begins, ends)))  # noqa: DTZ007


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        (datetime(2026, 3, 29, 0, 0, tzinfo=UTC), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (datetime(2026, 10, 24, 23, 50, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (datetime(2026, 10, 25, 1, 10, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
    ids=["an hour that does not come", "that comes twice", "the second time"],
)
def test_a_window_may_open_in_the_very_hour_that_is_changed(now: datetime, opens: datetime) -> None:
    changed = {"weekdays": window("02:30-05:00"), "weekends": window("02:30-05:00")}
    assert first(it(closed_at=now), now, BERLIN, **changed) == opens


@pytest.mark.parametrize(
    "zone", ["Europe/Moscow", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kamchatka"]
)
def test_the_first_moment_is_allowed_and_no_minute_before_it_is(dice: Random, zone: str) -> None:
    """Over the changes of the clocks of 2026, by trying every minute."""
    here = ZoneInfo(zone)
    for _ in range(40):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=dice.randrange(366 * 24 * 60))
        agreed = now + timedelta(minutes=dice.randrange(3000)) if dice.random() < 0.3 else None
        rung = tuple(now - timedelta(minutes=dice.randrange(9 * 24 * 60)) for _ in range(dice.randrange(3)))
        standing = it(closed_at=now, agreed_at=agreed, rung=rung)
        made = replace(RULES, give_up=20 * DAY)
        moment, _ = first_moment(standing, made, now, here)
        assert isinstance(allowed(standing, made, moment, here), Go)
        minute = now
        while minute < moment:
            verdict = allowed(standing, made, minute, here)
            assert isinstance(verdict, Wait) and verdict.until > minute, (minute, moment)
            minute += timedelta(minutes=1 if moment - minute < timedelta(hours=30) else 60)


def test_an_agreed_hour_is_not_anticipated() -> None:
    assert allowed(it(agreed_at=at(5)), RULES, NOON, MOSCOW) == Wait(at(5), Why.AGREED)
    assert allowed(it(agreed_at=at(5)), RULES, at(5), MOSCOW) == Go()


def test_an_agreed_hour_at_night_is_her_wish_and_says_so() -> None:
    night = it(agreed_at=at(11))  # 23:00
    assert allowed(night, RULES, at(0), MOSCOW) == Wait(at(11), Why.AGREED)
    assert allowed(night, RULES, at(11), MOSCOW) == Go(Why.AGREED)
    assert allowed(night, RULES, at(11) + RULES.agreed, MOSCOW) == Go(Why.AGREED)
    missed = at(11) + RULES.agreed + timedelta(seconds=1)
    assert allowed(night, RULES, missed, MOSCOW) == Wait(at(20), Why.QUIET_HOURS)


def test_an_agreed_hour_does_not_stand_above_the_counts() -> None:
    night = it(agreed_at=at(11), rung=(at(1),))
    assert allowed(night, RULES, at(11), MOSCOW) == Wait(at(20), Why.A_DAY)


# -- how often


def test_a_day_is_one_of_her_calendar() -> None:
    rung = moscow("2026-11-18 21:50")
    standing = it(rung=(rung,))
    assert first(standing, rung + HOUR / 6) == moscow("2026-11-19 08:00")
    assert allowed(standing, RULES, moscow("2026-11-19 08:00"), MOSCOW) == Go()
    early = it(rung=(moscow("2026-11-18 08:00"),))
    assert first(early, moscow("2026-11-18 21:00")) == moscow("2026-11-19 08:00")


def test_the_calendar_is_hers_not_ours() -> None:
    """23:00 in Moscow is the next day in Kamchatka."""
    kamchatka = ZoneInfo("Asia/Kamchatka")
    rung = moscow("2026-11-18 23:30")  # 08:30 on the 19th there
    standing = it(rung=(rung,))
    assert first(standing, rung + HOUR, kamchatka) == datetime(2026, 11, 20, 8, 0, tzinfo=kamchatka)


def test_a_day_is_one_of_the_calendar_also_when_it_has_23_hours() -> None:
    rung = datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN)
    now = datetime(2026, 3, 28, 19, 0, tzinfo=BERLIN)
    assert first(it(closed_at=now, rung=(rung,)), now, BERLIN) == datetime(2026, 3, 29, 9, 0, tzinfo=BERLIN)


def test_a_week_is_any_seven_days() -> None:
    rung = (at(-24 * 6), at(-24 * 2))
    standing = it(rung=rung)
    assert first(standing, NOON, give_up=20 * DAY) == at(24)
    just = at(24) - timedelta(microseconds=1)
    assert isinstance(allowed(standing, replace(RULES, give_up=20 * DAY), just, MOSCOW), Wait)
    assert allowed(standing, replace(RULES, give_up=20 * DAY), at(24), MOSCOW) == Go()


def test_more_calls_than_a_week_may_have_wait_for_all_that_are_too_many() -> None:
    rung = tuple(at(-24 * days) for days in (6, 5, 4, 3))
    assert first(it(rung=rung), NOON, give_up=20 * DAY) == at(24 * 3)


def test_the_counts_are_settings() -> None:
    rung = (at(-1), at(-2))
    assert allowed(it(rung=rung), replace(RULES, a_day=3, a_week=3), NOON, MOSCOW) == Go()


def test_why_it_waits_is_the_first_of_the_reasons() -> None:
    """Rung today, she waits for the morning: not because it is night by then."""
    assert allowed(it(rung=(at(-1),)), RULES, NOON, MOSCOW) == Wait(at(20), Why.A_DAY)
    assert allowed(it(rung=(at(10),)), RULES, at(11), MOSCOW) == Wait(at(20), Why.QUIET_HOURS)


# -- what follows


def ended(outcome: Outcome = Outcome.SURVEYED, result: Result | None = None, **more: Any) -> Ended:
    in_vain = outcome in {Outcome.BUSY, Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.CUT_OFF}
    defaults = {"in_vain": int(in_vain), "talks": int(outcome is Outcome.SURVEYED)}
    return Ended(outcome=outcome, at=NOON, result=result, **{**defaults, **more})


FREE = replace(RULES, a_day=9, a_week=9, ladder=(HOUR, 2 * HOUR), later=3 * HOUR)


@pytest.mark.parametrize(
    "result",
    [
        Result.NOT_DONE, Result.REFUSED, Result.OPTED_OUT, Result.HUMAN, Result.WRONG_NUMBER, Result.FAX,
        Result.TONE, Result.NOT_UNDERSTOOD, Result.FOREIGN,
    ],
)  # fmt: skip
@pytest.mark.parametrize("outcome", [Outcome.SURVEYED, Outcome.CUT_OFF, Outcome.TALKED])
def test_what_was_answered_settles_it_however_the_call_ended(result: Result, outcome: Outcome) -> None:
    assert after(ended(outcome, result), it(), FREE, MOSCOW) == Settled(Status.DONE, result)


def test_a_rating_settles_it_though_the_ticket_is_open_again() -> None:
    rated = ended(Outcome.SURVEYED, Result.RATED, rating=2)
    assert after(rated, it(stands=False), FREE, MOSCOW) == Settled(Status.DONE, Result.RATED, 2)


@pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.CUT_OFF])
def test_a_call_in_vain_goes_up_the_ladder_and_is_given_up_at_its_end(outcome: Outcome) -> None:
    for place, step in enumerate(FREE.ladder, 1):
        assert after(ended(outcome, in_vain=place), it(), FREE, MOSCOW) == Again(NOON + step, outcome)
    last = ended(outcome, in_vain=len(FREE.ladder) + 1)
    assert after(last, it(), FREE, MOSCOW) == Settled(Status.GIVEN_UP, Result.UNREACHED, why=outcome)


def test_a_machine_goes_up_the_ladder_too_however_it_was_noticed() -> None:
    for call in (
        ended(Outcome.SURVEYED, Result.MACHINE, in_vain=1),
        ended(Outcome.CUT_OFF, Result.MACHINE, in_vain=1),
        ended(Outcome.MACHINE, in_vain=1),
    ):
        assert after(call, it(), FREE, MOSCOW) == Again(NOON + HOUR, "machine")
        assert after(replace(call, in_vain=3), it(), FREE, MOSCOW) == Settled(
            Status.GIVEN_UP, Result.MACHINE, why="machine"
        )


def test_a_call_that_never_was_takes_no_step_of_the_ladder() -> None:
    never = ended(Outcome.TAKEN_BACK, in_vain=5)
    assert after(never, it(), FREE, MOSCOW) == Again(NOON + RULES.pause, "taken_back")


def test_later_is_as_late_as_the_rules_say_and_the_windows_allow() -> None:
    later = ended(Outcome.SURVEYED, Result.LATER)
    assert after(later, it(), FREE, MOSCOW) == Again(at(3), Why.LATER)
    at_night = replace(later, at=at(9))
    assert after(at_night, it(), FREE, MOSCOW) == Again(at(20), Why.LATER)


def test_the_next_call_keeps_the_counts() -> None:
    busy = ended(Outcome.BUSY)
    assert after(busy, it(rung=(at(-1),)), RULES, MOSCOW) == Again(at(20), "busy")


@pytest.mark.parametrize("result", [Result.SILENT, Result.CHILD])
def test_some_answers_are_worth_a_second_call_but_no_third(result: Result) -> None:
    assert after(ended(result=result), it(), FREE, MOSCOW) == Again(NOON + HOUR, Why.ONCE_MORE)
    assert after(ended(result=result, talks=2), it(), FREE, MOSCOW) == Settled(Status.DONE, result)


def test_which_answers_are_worth_it_is_a_setting() -> None:
    none = replace(FREE, once_more=frozenset())
    assert after(ended(result=Result.SILENT), it(), none, MOSCOW) == Settled(Status.DONE, Result.SILENT)
    hung_up = replace(FREE, once_more=frozenset({Result.HUNG_UP}))
    assert after(ended(), it(), hung_up, MOSCOW) == Again(NOON + HOUR, Why.ONCE_MORE)


def test_without_a_ladder_a_second_call_comes_after_the_pause_of_later() -> None:
    one_only = replace(FREE, ladder=())
    assert after(ended(result=Result.SILENT), it(), one_only, MOSCOW) == Again(at(3), Why.ONCE_MORE)
    gave_up = Settled(Status.GIVEN_UP, Result.UNREACHED, why="busy")
    assert after(ended(Outcome.BUSY), it(), one_only, MOSCOW) == gave_up


def test_who_hung_up_before_an_answer_is_left_alone() -> None:
    assert after(ended(), it(), FREE, MOSCOW) == Settled(Status.DONE, Result.HUNG_UP)


@pytest.mark.parametrize("result", [None, Result.HUNG_UP])
def test_a_line_that_we_broke_is_no_hanging_up(result: Result | None) -> None:
    broken = ended(result=result, hung_up_by_her=False, in_vain=1)
    assert after(broken, it(), FREE, MOSCOW) == Again(NOON + HOUR, "cut_off")
    answered = ended(result=Result.RATED, rating=4, hung_up_by_her=False)
    assert after(answered, it(), FREE, MOSCOW) == Settled(Status.DONE, Result.RATED, 4)


def test_who_went_to_a_dispatcher_wanted_a_person() -> None:
    for outcome in (Outcome.TALKED, Outcome.ABANDONED_IN_QUEUE, Outcome.NO_DISPATCHER):
        call = ended(outcome, handed_over=True)
        assert after(call, it(), FREE, MOSCOW) == Settled(Status.DONE, Result.HUMAN)


def test_nobody_is_rung_again_about_a_ticket_that_was_opened_again() -> None:
    for call in (ended(Outcome.BUSY), ended(result=Result.LATER), ended(Outcome.TAKEN_BACK)):
        reopened = Settled(Status.CANCELLED, None, why=Why.REOPENED)
        assert after(call, it(stands=False), FREE, MOSCOW) == reopened


def test_a_next_call_that_would_come_too_late_is_none() -> None:
    late = {"closed_at": NOON - RULES.give_up + HOUR}
    for call, result in (
        (ended(Outcome.BUSY, in_vain=2), Result.UNREACHED),
        (ended(Outcome.SURVEYED, Result.MACHINE, in_vain=2), Result.MACHINE),
        (ended(result=Result.LATER), Result.LATER),
    ):
        assert after(call, it(**late), FREE, MOSCOW) == Settled(Status.GIVEN_UP, result, why=Why.TOO_LATE)
