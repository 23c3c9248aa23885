from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from ears import spent
from ears.spent import Spent


@pytest.fixture(autouse=True)
def ten_minutes_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is ten minutes after the one before."""
    moments = count(0.0, 600.0)
    monkeypatch.setattr(spent.time, "monotonic", lambda: next(moments))


def work(file: Path, *steps: str) -> None:
    for step in steps:
        with Spent(file).on(*step.split()):
            pass


def test_the_parts_of_a_step_that_was_broken_off_add_up(tmp_path: Path) -> None:
    file = tmp_path / "spent.json"
    with pytest.raises(KeyboardInterrupt), Spent(file).on("network", "a"):
        raise KeyboardInterrupt
    work(file, "network a")
    assert Spent(file).minutes == 20


def test_what_is_there_already_takes_no_time(tmp_path: Path) -> None:
    file = tmp_path / "spent.json"
    work(file, "network a", "network a", "network a")
    assert Spent(file).minutes == 10


def test_a_step_made_from_something_else_begins_anew_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "new" / "spent.json"
    work(file, "speech a", "network a", "network b", "trial", "trial")
    assert Spent(file).minutes == 30
    assert set(json.loads(file.read_text())) == {"speech", "network", "trial"}


@pytest.mark.parametrize("content", ["[half", "[]", '{"speech": 1}'])
def test_a_file_that_cannot_be_read_counts_for_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "spent.json"
    assert Spent(file).minutes == 0
    file.write_text(content)
    assert Spent(file).minutes == 0
    work(file, "network a")
    assert Spent(file).minutes == 10
