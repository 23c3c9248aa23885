from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from ivr.dialplan import rules
from ivr.dialplan.hours import DAYS, Hours, read_days, read_spans
from ivr.settings import HERE

MOSCOW, VLADIVOSTOK, BERLIN = (
    ZoneInfo(name) for name in ("Europe/Moscow", "Asia/Vladivostok", "Europe/Berlin")
)
WORKDAYS = Hours(week=dict.fromkeys(range(5), read_spans("08:00-17:00")))
NIGHT = Hours(week=dict.fromkeys(range(5), read_spans("22:00-06:00")))


def at(text: str, zone: ZoneInfo = MOSCOW) -> datetime:
    """As the clock on that wall shows it."""
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("clock", "is_open"),
    [("07:59:59", False), ("08:00", True), ("16:59:59.999999", True), ("17:00", False), ("00:00", False)],
)
def test_it_opens_with_the_first_second_and_closes_with_the_last(clock: str, is_open: bool) -> None:
    assert WORKDAYS.open_at(at(f"2026-11-18T{clock}"), MOSCOW) is is_open


def test_a_day_that_is_not_named_is_closed() -> None:
    assert not WORKDAYS.open_at(at("2026-11-21T12:00"), MOSCOW)  # a Saturday


def test_the_hours_are_those_of_the_companys_own_zone() -> None:
    moment = datetime(2026, 11, 18, 5, 30, tzinfo=UTC)  # 08:30 in Moscow, 15:30 in Vladivostok
    assert WORKDAYS.open_at(moment, MOSCOW) and WORKDAYS.open_at(moment, VLADIVOSTOK)
    later = moment + timedelta(hours=3)  # 11:30, and 18:30
    assert WORKDAYS.open_at(later, MOSCOW) and not WORKDAYS.open_at(later, VLADIVOSTOK)


def test_the_weekday_is_that_of_the_companys_own_zone() -> None:
    sunday_evening = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)  # Monday 08:30 in Vladivostok
    assert WORKDAYS.open_at(sunday_evening, VLADIVOSTOK)
    assert not WORKDAYS.open_at(sunday_evening, MOSCOW)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-20T23:00", True),  # Friday night
        ("2026-11-21T05:59", True),  # … goes on into Saturday
        ("2026-11-21T06:00", False),
        ("2026-11-21T23:00", False),  # Saturday itself is closed
        ("2026-11-23T05:00", False),  # Monday morning: Sunday had no night
        ("2026-11-23T22:00", True),
    ],
)
def test_a_night_runs_past_midnight_into_the_next_day(moment: str, is_open: bool) -> None:
    assert NIGHT.open_at(at(moment), MOSCOW) is is_open


@pytest.mark.parametrize("round_the_clock", ["00:00-24:00", "00:00-00:00"])
def test_a_day_may_be_open_around_the_clock(round_the_clock: str) -> None:
    hours = Hours(week={2: read_spans(round_the_clock)})
    assert hours.open_at(at("2026-11-18T00:00"), MOSCOW)
    assert hours.open_at(at("2026-11-18T23:59:59"), MOSCOW)
    assert not hours.open_at(at("2026-11-19T00:00"), MOSCOW)
    assert not hours.open_at(at("2026-11-17T23:59:59"), MOSCOW)


def test_there_may_be_a_lunch_break() -> None:
    hours = Hours(week={2: read_spans("08:00-12:00, 13:00-17:00")})
    assert [hours.open_at(at(f"2026-11-18T{clock}"), MOSCOW) for clock in ("11:59", "12:30", "13:00")] == [
        True,
        False,
        True,
    ]


def test_a_yearly_holiday_closes_every_year() -> None:
    hours = Hours(WORKDAYS.week, yearly_holidays=frozenset({(1, 1)}))
    assert not any(hours.open_at(at(f"{year}-01-01T12:00"), MOSCOW) for year in range(2024, 2034))


def test_a_single_holiday_closes_once() -> None:
    hours = Hours(WORKDAYS.week, holidays=frozenset({date(2026, 11, 18)}))
    assert not hours.open_at(at("2026-11-18T12:00"), MOSCOW)
    assert hours.open_at(at("2026-11-25T12:00"), MOSCOW)


def test_a_named_day_outranks_a_holiday() -> None:
    hours = Hours(
        WORKDAYS.week,
        yearly_holidays=frozenset({(12, 31)}),
        open_also={date(2026, 12, 31): read_spans("08:00-12:00")},
    )
    assert hours.open_at(at("2026-12-31T11:00"), MOSCOW)
    assert not hours.open_at(at("2026-12-31T13:00"), MOSCOW)
    assert not hours.open_at(at("2027-12-31T11:00"), MOSCOW)


def test_the_night_before_a_holiday_still_ends_in_the_morning() -> None:
    hours = Hours(NIGHT.week, holidays=frozenset({date(2026, 11, 19)}))
    assert hours.open_at(at("2026-11-19T05:00"), MOSCOW)
    assert not hours.open_at(at("2026-11-19T23:00"), MOSCOW)
    assert not hours.open_at(at("2026-11-20T05:00"), MOSCOW)


def test_a_leap_day_may_be_a_holiday() -> None:
    hours = Hours(dict.fromkeys(range(7), read_spans("08:00-17:00")), yearly_holidays=frozenset({(2, 29)}))
    assert not hours.open_at(at("2028-02-29T12:00"), MOSCOW)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_the_clock_on_the_wall_counts_when_summer_time_begins_or_ends(day: str) -> None:
    hours = Hours(week=dict.fromkeys(range(7), read_spans("01:00-04:00")))
    assert hours.open_at(at(f"{day}T01:30", BERLIN), BERLIN)
    assert hours.open_at(at(f"{day}T03:30", BERLIN), BERLIN)
    assert not hours.open_at(at(f"{day}T04:00", BERLIN), BERLIN)


def test_an_hour_that_comes_twice_is_open_both_times() -> None:
    hours = Hours(week={6: read_spans("02:00-03:00")})
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert [hours.open_at(first + timedelta(hours=hour), BERLIN) for hour in range(3)] == [True, True, False]


def test_an_hour_that_does_not_come_is_not_open() -> None:
    hours = Hours(week={6: read_spans("02:00-03:00")})
    midnight = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    assert not any(hours.open_at(midnight + timedelta(minutes=m), BERLIN) for m in range(0, 240, 5))


def test_open_and_closed_hours_add_up_to_the_week(dice: Random) -> None:
    """Whatever the spans and the zone: a week has as many open minutes as its spans have."""
    for _ in range(20):
        opens, closes = time(dice.randrange(24), dice.choice([0, 30])), time(dice.randrange(24))
        minutes = (closes.hour * 60 - opens.hour * 60 - opens.minute) % 1440 or 1440
        days = dice.sample(range(7), dice.randrange(1, 8))
        hours = Hours(week=dict.fromkeys(days, ((opens, closes),)))
        monday = datetime(2026, 11, 16, tzinfo=MOSCOW).astimezone(UTC)
        count = sum(hours.open_at(monday + timedelta(minutes=30 * n), MOSCOW) for n in range(2 * 24 * 7))
        # A Sunday night's end is the next Monday's morning: the week is taken as a ring.
        assert count * 30 == minutes * len(days), (opens, closes, days)


def test_days_are_read_alone_and_in_spans() -> None:
    assert (list(read_days("mon")), list(read_days("sat-sun"))) == ([0], [5, 6])
    assert [list(read_days(day)) for day in DAYS] == [[n] for n in range(7)]


def test_the_shipped_office_is_closed_on_new_year_and_at_night() -> None:
    office = rules.read(HERE / "dialplan").hours["office"]
    assert office.open_at(at("2026-11-18T12:00"), MOSCOW)
    assert not office.open_at(at("2026-11-18T17:00"), MOSCOW)
    assert not office.open_at(at("2027-01-04T12:00"), MOSCOW)
    assert not office.open_at(at("2026-12-31T13:00"), MOSCOW)
