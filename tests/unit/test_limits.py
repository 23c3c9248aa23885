from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from ivr.errors import DialplanError
from tests.fakes import NOON
from tickets import limits
from tickets.limits import FILE, Limit, Limits, due

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
LAW = limits.read()
CHUTE = next(limit for limit in LAW.clocks if limit.name == "unblock_chute")


def at(text: str, zone: ZoneInfo = MOSCOW) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def clocks(category: str, registered: datetime = NOON, **more: datetime) -> dict[str, timedelta]:
    """Name of each clock, and how long it runs."""
    return {
        clock.name: clock.due_at - registered for clock in LAW.start(category, registered, MOSCOW, **more)
    }


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = FILE.read_text("utf-8")
    assert old in text
    path = tmp_path / "limits.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        limits.read(path)
    return list(caught.value.problems)


@pytest.mark.parametrize("category", LAW.categories)
def test_every_category_has_clocks_and_each_names_its_clause(category: str) -> None:
    started = LAW.start(category, NOON, MOSCOW)
    assert started
    assert all(clock.clause and clock.due_at >= NOON for clock in started)


def test_the_law_s_own_numbers() -> None:
    """ПП 416 cl. 13 and 16, as facts-law.md lists them."""
    assert (LAW.answer.within, LAW.callback.within) == (timedelta(minutes=5), timedelta(minutes=10))
    half_an_hour = timedelta(minutes=30)
    assert clocks("emergency") == {
        "tell_terms": half_an_hour,
        "localise": half_an_hour,
        "eliminate": timedelta(days=3),
    }
    assert clocks("sewer")["unblock_sewer"] == timedelta(hours=2)
    assert clocks("danger")["free_from_lift"] == half_an_hour
    assert clocks("roof")["roof_leak"] == timedelta(days=1)
    assert clocks("consultation") == {"tell_terms": half_an_hour}


def test_the_soonest_clock_comes_first() -> None:
    due_moments = [clock.due_at for clock in LAW.start("emergency", NOON, MOSCOW)]
    assert due_moments == sorted(due_moments)


def test_the_damage_counts_from_when_it_began() -> None:
    began = NOON - timedelta(hours=5)
    assert clocks("water", damage_at=began)["eliminate"] == timedelta(days=3) - timedelta(hours=5)
    assert clocks("water", damage_at=began)["localise"] == timedelta(minutes=30)


def test_damage_told_for_later_does_not_give_more_time() -> None:
    assert clocks("water", damage_at=NOON + timedelta(hours=5)) == clocks("water")


@pytest.mark.parametrize(
    ("registered", "is_due"),
    [
        ("2026-11-18T12:00", "2026-11-18T14:00"),
        ("2026-11-18T21:00", "2026-11-18T23:00"),
        ("2026-11-18T21:00:01", "2026-11-19T08:00:01"),
        ("2026-11-18T22:30", "2026-11-19T09:30"),
        ("2026-11-18T23:00", "2026-11-19T10:00"),
        ("2026-11-19T00:00", "2026-11-19T10:00"),
        ("2026-11-19T07:59:59", "2026-11-19T10:00"),
        ("2026-11-19T08:00", "2026-11-19T10:00"),
    ],
)
def test_the_waste_chute_s_clock_stands_still_at_night(registered: str, is_due: str) -> None:
    assert due(at(registered), CHUTE, MOSCOW) == at(is_due)


def test_the_night_is_that_of_the_house() -> None:
    registered = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)
    assert due(registered, CHUTE, MOSCOW) == registered + timedelta(hours=2)
    vladivostok = ZoneInfo("Asia/Vladivostok")  # 22:30 there
    assert due(registered, CHUTE, vladivostok) == at("2026-11-19T09:30", vladivostok)


def test_a_long_limit_stands_still_every_night() -> None:
    long = Limit("long", timedelta(hours=20), "registered", "clause", pause=(time(23), time(8)))
    assert due(at("2026-11-18T12:00"), long, MOSCOW) == at("2026-11-19T17:00")


def test_a_pause_by_day_works_as_one_by_night() -> None:
    lunch = Limit("lunch", timedelta(hours=2), "registered", "clause", pause=(time(13), time(14)))
    assert due(at("2026-11-18T12:00"), lunch, MOSCOW) == at("2026-11-18T15:00")


@pytest.mark.parametrize(
    ("registered", "is_due", "really"),
    [
        # 28 to 29 March: 02:00 becomes 03:00. The night is an hour shorter, the two hours are two hours.
        ("2026-03-28T22:00", "2026-03-29T09:00", timedelta(hours=10)),
        # 24 to 25 October: 03:00 becomes 02:00 again.
        ("2026-10-24T22:00", "2026-10-25T09:00", timedelta(hours=12)),
    ],
)
@pytest.mark.parametrize("told_in", [UTC, BERLIN])
def test_the_night_of_the_summer_time_is_as_long_as_it_is(
    registered: str, is_due: str, really: timedelta, told_in: ZoneInfo
) -> None:
    start = at(registered, BERLIN).astimezone(told_in)
    found = due(start, CHUTE, BERLIN).astimezone(UTC)
    assert found == at(is_due, BERLIN).astimezone(UTC)
    assert found - start.astimezone(UTC) == really


def test_three_days_are_72_hours_even_over_a_change_of_the_clock() -> None:
    start = at("2026-03-28T12:00", BERLIN)
    three_days = Limit("eliminate", timedelta(days=3), "damage", "clause")
    assert due(start, three_days, BERLIN).astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=72)


def test_the_time_that_runs_is_always_the_limit(dice: Random) -> None:
    """Whatever the limit, the pause and the start: minutes outside the pause add up to the limit."""
    for _ in range(60):
        begins, ends = time(dice.randrange(24)), time(dice.randrange(24))
        if begins == ends:
            continue
        limit = Limit(
            "x", timedelta(minutes=dice.randrange(1, 3000)), "registered", "c", pause=(begins, ends)
        )
        start = datetime(2026, 3, 27, tzinfo=UTC) + timedelta(minutes=dice.randrange(4 * 1440))
        end = due(start, limit, BERLIN)
        running = sum(
            not _pausing((start + timedelta(minutes=m)).astimezone(BERLIN).time(), begins, ends)
            for m in range(int((end - start).total_seconds() // 60))
        )
        assert timedelta(minutes=running) == limit.within, (start, limit)


def _pausing(clock: time, begins: time, ends: time) -> bool:
    return begins <= clock < ends if begins < ends else clock >= begins or clock < ends


def test_a_rule_holds_from_its_first_day_to_the_day_before_its_last() -> None:
    rule = Limit("x", timedelta(), "registered", "c", since=date(2026, 1, 1), until=date(2027, 1, 1))
    assert [rule.holds("any", date(2026 + n, 1, 1)) for n in (-1, 0, 1)] == [False, True, False]


def test_the_day_of_a_rule_is_that_of_the_house() -> None:
    rule = Limit("x", timedelta(), "registered", "c", since=date(2026, 1, 1))
    law = Limits(LAW.answer, LAW.callback, (rule,), LAW.categories)
    new_year_in_moscow = datetime(2025, 12, 31, 22, 0, tzinfo=UTC)
    assert law.start("other", new_year_in_moscow, MOSCOW)
    assert not law.start("other", new_year_in_moscow, BERLIN)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('within = "10m"', 'within = "10 min"', "limits.toml: callback.within = '10 min': 30m, 2h or 3d is wanted"),
        ('within = "10m"', "within = 10", "limits.toml: callback.within = 10: 30m, 2h or 3d is wanted"),
        ('within = "10m"', "", "limits.toml: callback.within = None: 30m, 2h or 3d is wanted"),
        ('from = "damage"', 'from = "damages"', "eliminate.from = 'damages': one of arrived, registered, damage"),
        ('from = "damage"', 'form = "damage"', "limits.toml: eliminate.form: no such key; did you mean"),
        ('clause = "ПП РФ № 416, п. 16"', 'clause = ""', "tell_terms.clause is missing: every deadline names its"),
        ('for = ["roof"]', 'for = ["rof"]', "clocks.roof_leak.for: 'rof': no such category; did you mean 'roof'?"),
        ('for = ["roof"]', 'for = "roof"', "roof_leak.for = 'roof': a list of categories is wanted"),
        ('for = ["roof"]', "for = [7]", "roof_leak.for = [7]: a list of categories is wanted"),
        ('pause = "23:00-08:00"', 'pause = "at night"', "unblock_chute.pause = 'at night': HH:MM-HH:MM is wanted"),
        ('pause = "23:00-08:00"', 'pause = "08:00-08:00"', "unblock_chute.pause = '08:00-08:00'"),
        ("since = 2019-03-01", 'since = "2019-03-01"', "callback.since = '2019-03-01': a date like 2019-03-01"),
        ("since = 2019-03-01", "since = 2019-03-01T00:00:00", "callback.since = "),
        ("[callback]", "[call_back]", "limits.toml: callback.within = None"),
        ("[callback]", "callback = 1\n[x]", "limits.toml: callback: a [callback] table is wanted here"),
        ("[categories]", "[categories", "limits.toml: "),
    ],
)  # fmt: skip
def test_a_broken_limit_is_named_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    found = problems(edited(tmp_path, old, new))
    assert any(says in problem for problem in found), found


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    path = edited(tmp_path, 'within = "10m"', 'within = "soon"')
    text = (
        path.read_text("utf-8").replace('for = ["roof"]', 'for = ["rof"]').replace('"damage"\n', '"then"\n')
    )
    path.write_text(text, "utf-8")
    assert len(problems(path)) == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "limits.toml") == ["limits.toml: no such file"]
