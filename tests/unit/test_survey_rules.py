"""The admin's file of the surveys: read as a whole, refused with every problem."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from callback import words
from ivr.errors import DialplanError
from robocalls import allowed, nouns, rules
from robocalls.rules import NEVER, Rules, Window
from tickets import limits

GOOD = {
    "consent": "true",
    "skip": '["consultation"]',
    "drafts": "true",
    "weekdays": '"08:00-22:00"',
    "weekends": '"09:00-20:00"',
    "holidays": '["05-09", "2027-05-10"]',
    "agreed": '"30m"',
    "a_day": "1",
    "a_week": "2",
    "ladder": '["30m", "1d"]',
    "once_more": '["silent"]',
    "later": '"3h"',
    "pause": '"5m"',
    "give_up": '"5d"',
    "ring": '"30s"',
    "at_once": "8",
    "channels": "30",
    "reserve": "10",
    "waiting": "2",
    "owed": "0",
    "emergencies": '["danger"]',
}


def file(folder: Path, text: str | None = None, **changed: str | None) -> Path:
    path = folder / "survey.toml"
    given = {**GOOD, **changed}
    lines = "".join(f"{key} = {value}\n" for key, value in given.items() if value is not None)
    path.write_text(lines if text is None else text, "utf-8")
    return path


def refused(path: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        rules.read(path)
    return list(caught.value.problems)


def test_ours_is_what_the_law_and_good_manners_ask_for() -> None:
    ours = rules.read()
    assert ours.consent
    assert ours.weekdays == Window(time(8), time(22))
    assert ours.weekends == Window(time(9), time(20))
    assert (ours.a_day, ours.a_week) == (1, 2)
    assert {"danger", "emergency"} <= ours.emergencies
    assert ours.agreed < timedelta(hours=1)


def test_everything_is_read_in_its_units(tmp_path: Path) -> None:
    made = rules.read(file(tmp_path, weekdays='"00:00-24:00"', weekends='"never"'))
    assert (made.weekdays, made.weekends) == (Window(time.min, time.max), NEVER)
    assert made.ladder == (timedelta(minutes=30), timedelta(days=1))
    assert made.once_more == {nouns.Result.SILENT}
    assert (made.later, made.ring) == (timedelta(hours=3), timedelta(seconds=30))


def test_a_window_is_open_from_its_first_minute_to_its_last() -> None:
    window = Window(time(8), time(22))
    assert time(8) in window and time(21, 59, 59) in window
    assert time(7, 59, 59) not in window and time(22) not in window
    all_day = Window(time.min, time.max)
    assert time.min in all_day and time.max in all_day
    assert not NEVER and time.min not in NEVER and time(12) not in NEVER


@pytest.mark.parametrize(
    ("day", "weekend"),
    [
        (date(2026, 11, 18), False),
        (date(2026, 11, 20), False),
        (date(2026, 11, 21), True),
        (date(2026, 11, 22), True),
        (date(2025, 5, 9), True),
        (date(2028, 5, 9), True),
        (date(2027, 5, 10), True),
        (date(2028, 5, 10), False),
    ],
)
def test_holidays_are_as_weekends_are(tmp_path: Path, day: date, weekend: bool) -> None:
    made = rules.read(file(tmp_path))
    assert made.window(day) == (made.weekends if weekend else made.weekdays)


@pytest.mark.parametrize("key", GOOD)
def test_nothing_may_be_missing(tmp_path: Path, key: str) -> None:
    (problem,) = refused(file(tmp_path, **{key: None}))
    assert problem.startswith(f"survey.toml: {key} is missing: ")


@pytest.mark.parametrize("key", GOOD)
@pytest.mark.parametrize("value", ['"soon"', "-1", "1.5", "[1]", "{}", "2026-01-01"])
def test_what_is_none_of_its_kind_is_refused(tmp_path: Path, key: str, value: str) -> None:
    (problem, *_) = refused(file(tmp_path, **{key: value}))
    assert problem.startswith(f"survey.toml: {key} = ")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("consent", '"yes"', "true or false is wanted"),
        ("consent", "1", "true or false is wanted"),
        ("a_day", "true", "a number from 1 to"),
        ("a_day", "0", "a number from 1 to"),
        ("at_once", "0", "a number from 1 to"),
        ("weekdays", '"22:00-08:00"', 'like "08:00-22:00", the first before the second'),
        ("weekdays", '"08:00-08:00"', "the first before the second"),
        ("weekdays", '"8:00-22:00"', "the first before the second"),
        ("weekdays", '"08:00-25:00"', "the first before the second"),
        ("weekends", '"24:00-24:00"', "the first before the second"),
        ("holidays", '["31-12"]', "no such day"),
        ("holidays", '["2026-02-29"]', "no such day"),
        ("holidays", "[2027-05-10]", "no such day"),
        ("later", '"3w"', "like 30s, 5m, 3h or 1d"),
        ("later", '"0h"', "like 30s, 5m, 3h or 1d"),
        ("ring", '"3m"', "at least 5s, at most 2m"),
        ("pause", '"1s"', "at least 10s"),
        ("give_up", '"61d"', "at least 1h, at most 60d"),
        ("agreed", '"5h"', "at most 4h"),
        ("ladder", '["30m", "soon"]', "like 30s, 5m, 3h or 1d"),
        ("skip", '["consultatio"]', "did you mean 'consultation'"),
        ("emergencies", '["dangr"]', "did you mean 'danger'"),
        ("once_more", '["rated"]', "none of silent, hung_up, child, foreign, not_understood"),
        ("reserve", "30", "less than the 30 channels: nobody would ever be rung"),
        ("weekdays", '"never"', ""),
    ],
)
def test_a_problem_says_what_is_wanted(tmp_path: Path, key: str, value: str, wanted: str) -> None:
    if value == '"never"':
        rules.read(file(tmp_path, weekdays=value))
        return
    (problem,) = refused(file(tmp_path, **{key: value}))
    assert problem.startswith(f"survey.toml: {key} = ") and wanted in problem


def test_a_file_that_would_ring_nobody_ever_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(file(tmp_path, weekdays='"never"', weekends='"never"'))
    assert "nobody would ever be rung" in problem


def test_a_week_has_at_least_the_calls_of_a_day(tmp_path: Path) -> None:
    (problem,) = refused(file(tmp_path, a_day="3", a_week="2"))
    assert problem == "survey.toml: a_week = 2: at least the 3 a day"


def test_one_call_only_is_a_ladder_without_steps(tmp_path: Path) -> None:
    assert rules.read(file(tmp_path, ladder="[]")).ladder == ()


def test_categories_may_be_those_of_another_limits_file(tmp_path: Path) -> None:
    path = file(tmp_path, skip='["garden"]', emergencies='["flood"]')
    assert rules.read(path, ["garden", "flood"]).skip == {"garden"}
    assert len(refused(path)) == 2


def test_a_mistyped_key_is_told_its_near_miss(tmp_path: Path) -> None:
    problems = refused(file(tmp_path, gives_up='"1d"'))
    assert problems == ["survey.toml: gives_up: no such key; did you mean 'give_up'?"]


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    wrong = {
        "consent": "1",
        "weekdays": '"x"',
        "a_day": "0",
        "ladder": '["x", "y"]',
        "later": None,
        "sieve": "1",
    }
    assert len(refused(file(tmp_path, **wrong))) == 7


@pytest.mark.parametrize("text", ["ladder = [", "\0", "[survey"])
def test_what_is_no_toml_is_refused_with_its_reason(tmp_path: Path, text: str) -> None:
    (problem,) = refused(file(tmp_path, text))
    assert problem.startswith("survey.toml: ")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "survey.toml"
    path.write_bytes(b"\xff\xfe")
    assert len(refused(path)) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path / "survey.toml")
    assert "No such file" in problem


def test_the_file_says_what_each_key_means() -> None:
    text = rules.FILE.read_text("utf-8")
    for key in fields(Rules):
        assert f"#   {key.name} " in text, key.name


def test_nobody_is_asked_about_more_than_there_is() -> None:
    known = set(limits.read().categories)
    ours = rules.read()
    assert ours.skip <= known and ours.emergencies <= known


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_code_of_a_survey_has_its_words(language: str) -> None:
    said = words.read(language, rules.FILE.with_name("words.toml"))
    codes: dict[str, Iterable[str]] = {
        "status": nouns.Status,
        "result": nouns.Result,
        "by": nouns.By,
        "why": [*allowed.Why, *allowed.IN_VAIN, "machine", "taken_back"],
        "outcome": [*allowed.IN_VAIN, "surveyed", "talked", "machine", "taken_back"],
        "held": ["waiting", "owed", "full", "no_exchange"],
    }
    for room, known in codes.items():
        for code in known:
            assert said.of(room, code) != code or language == "en", f"{room}.{code}"
            assert code in said.rooms[room] or (room == "why" and code in said.rooms["outcome"])
