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


def test_the_parts_of_a_step_that_was_broken_off_add_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Spent(tmp_path / "spent.json").on("network", "a"):
        raise KeyboardInterrupt
    with Spent(tmp_path / "spent.json").on("network", "a"):
        pass
    assert Spent(tmp_path / "spent.json").minutes == 20


def test_a_step_made_from_something_else_begins_anew_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "new" / "spent.json"
    for step, made_from in (
        ("speech", "a"),
        ("network", "a"),
        ("network", "b"),
        ("trial", ""),
        ("trial", ""),
    ):
        with Spent(file).on(step, made_from):
            pass
    assert Spent(file).minutes == 30
    assert set(json.loads(file.read_text())) == {"speech", "network", "trial"}


def test_a_file_that_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "spent.json"
    assert Spent(file).minutes == 0
    file.write_text("[half")
    assert Spent(file).minutes == 0
