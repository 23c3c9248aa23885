"""The admin's file of the chase: read as a whole, refused with every problem."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from callback import rules
from callback.rules import Chase
from ivr.errors import DialplanError

GOOD = {
    "ladder": '["30s", "2m"]',
    "pause": '"5s"',
    "talk": '"5s"',
    "ring": '"30s"',
    "stand_in": '"2m"',
    "give_up": '"1d"',
}


def file(folder: Path, text: str | None = None, **changed: str | None) -> Path:
    path = folder / "chase.toml"
    given = {**GOOD, **changed}
    lines = "".join(f"{key} = {value}\n" for key, value in given.items() if value is not None)
    path.write_text(lines if text is None else text, "utf-8")
    return path


def refused(path: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        rules.read(path)
    return list(caught.value.problems)


def test_ours_is_good_and_could_keep_a_promise_in_its_ten_minutes() -> None:
    ours = rules.read()
    assert ours.ladder == tuple(sorted(ours.ladder)), "each step at least as long as the one before"
    assert ours.ring + ours.ladder[0] < timedelta(minutes=5)
    assert ours.talk >= timedelta(seconds=1)


def test_times_are_read_in_their_units(tmp_path: Path) -> None:
    made = rules.read(file(tmp_path, ladder='["30s", "2m", "1h"]', give_up='"2d"'))
    assert made.ladder == (timedelta(seconds=30), timedelta(minutes=2), timedelta(hours=1))
    assert (made.pause, made.give_up) == (timedelta(seconds=5), timedelta(days=2))


@pytest.mark.parametrize(
    "value", ['"30"', '"0s"', '"-5s"', '"5 s"', '"5w"', '""', "30", "true", '["5s"]', '"99999s"', '"٣s"']
)
def test_what_is_no_time_is_refused(tmp_path: Path, value: str) -> None:
    (problem,) = refused(file(tmp_path, pause=value))
    assert problem.startswith("chase.toml: pause = ") and problem.endswith("like 30s, 2m, 1h or 1d")


@pytest.mark.parametrize("key", ["pause", "talk", "ring", "stand_in", "give_up"])
def test_nothing_may_be_missing(tmp_path: Path, key: str) -> None:
    (problem,) = refused(file(tmp_path, **{key: None}))
    assert problem.startswith(f"chase.toml: {key}")


@pytest.mark.parametrize("value", [None, "[]", '"30s"', "30", "{}"])
def test_a_ladder_has_steps(tmp_path: Path, value: str | None) -> None:
    (problem,) = refused(file(tmp_path, ladder=value))
    assert problem.startswith("chase.toml: ladder") and "a list of times is wanted" in problem


def test_a_wrong_step_of_the_ladder_is_named(tmp_path: Path) -> None:
    (problem,) = refused(file(tmp_path, ladder='["30s", "soon"]'))
    assert "'soon'" in problem


@pytest.mark.parametrize(("key", "value"), [("talk", '"61s"'), ("ring", '"3m"'), ("pause", '"2m"')])
def test_a_time_in_which_no_promise_could_be_kept_is_refused(tmp_path: Path, key: str, value: str) -> None:
    (problem,) = refused(file(tmp_path, **{key: value}))
    assert problem.startswith(f"chase.toml: {key}") and "at most" in problem


@pytest.mark.parametrize(("key", "value"), [("talk", '"1m"'), ("ring", '"2m"'), ("pause", '"60s"')])
def test_the_longest_time_is_good(tmp_path: Path, key: str, value: str) -> None:
    rules.read(file(tmp_path, **{key: value}))


def test_a_mistyped_key_is_told_its_near_miss(tmp_path: Path) -> None:
    problems = refused(file(tmp_path, gives_up='"1d"'))
    assert problems == ["chase.toml: gives_up: no such key; did you mean 'give_up'?"]


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    assert len(refused(file(tmp_path, ladder='["x"]', pause='"y"', talk=None, sieve="1"))) == 4


@pytest.mark.parametrize("text", ["ladder = [", "\0", "[chase"])
def test_what_is_no_toml_is_refused_with_its_reason(tmp_path: Path, text: str) -> None:
    (problem,) = refused(file(tmp_path, text))
    assert problem.startswith("chase.toml: ")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "chase.toml"
    path.write_bytes(b"\xff\xfe")
    assert len(refused(path)) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path / "chase.toml")
    assert "No such file" in problem


def test_the_file_says_what_each_key_means() -> None:
    text = rules.FILE.read_text("utf-8")
    for field in fields(Chase):
        assert f"#   {field.name} " in text, field.name
