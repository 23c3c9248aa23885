from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from ivr.dialplan.keeper import Keeper
from ivr.errors import DialplanError
from ivr.settings import HERE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "dialplan", tmp_path / "dialplan"))


def save(path: Path, text: str) -> None:
    """As an editor does, a moment later."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, "utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    save(path, text.replace(old, new, 1))


def test_the_first_version_must_be_good(folder: Path) -> None:
    save(folder / "menus.toml", "[main")
    with pytest.raises(DialplanError):
        Keeper(folder)


def test_without_an_edit_nothing_changes(folder: Path) -> None:
    keeper = Keeper(folder)
    rules = keeper.rules
    assert not keeper.look()
    assert keeper.rules is rules


def test_a_good_edit_is_in_force_at_the_next_look(folder: Path) -> None:
    keeper = Keeper(folder)
    edit(folder / "menus.toml", '1 = "queue:emergency"', '1 = "queue:danger"')
    assert keeper.look()
    assert keeper.rules.menus["main"].keys["1"] == "queue:danger"
    assert not keeper.look(), "once"


def test_a_call_keeps_the_rules_it_began_with(folder: Path) -> None:
    keeper = Keeper(folder)
    mine = keeper.rules
    edit(folder / "menus.toml", '1 = "queue:emergency"', '1 = "queue:danger"')
    keeper.look()
    assert mine.menus["main"].keys["1"] == "queue:emergency"


def test_a_broken_edit_is_refused_and_the_old_rules_stay(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(folder)
    rules = keeper.rules
    edit(folder / "menus.toml", '1 = "queue:emergency"', '1 = "queue:emergensy"')
    with caplog.at_level(logging.ERROR):
        assert not keeper.look()
    assert keeper.rules is rules
    assert "did you mean 'queue:emergency'?" in str(keeper.refused)
    assert "did you mean 'queue:emergency'?" in caplog.text


def test_a_broken_edit_is_complained_of_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(folder)
    save(folder / "queues.toml", "broken = ")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            keeper.look()
    assert len(caplog.records) == 1


def test_a_mended_edit_is_taken_up(folder: Path) -> None:
    keeper = Keeper(folder)
    good = (folder / "menus.toml").read_text("utf-8")
    save(folder / "menus.toml", "[main")
    keeper.look()
    assert keeper.refused
    save(folder / "menus.toml", good)
    assert keeper.look()
    assert keeper.refused is None


def test_a_file_that_disappears_is_a_broken_edit(folder: Path) -> None:
    keeper = Keeper(folder)
    (folder / "hours.toml").unlink()
    assert not keeper.look()
    assert "hours.toml: no such file" in str(keeper.refused)
    assert keeper.rules.hours


def test_an_edit_of_the_same_length_in_the_same_second_is_seen(folder: Path) -> None:
    keeper = Keeper(folder)
    menus = folder / "menus.toml"
    stamp = menus.stat().st_mtime_ns
    menus.write_text(menus.read_text("utf-8").replace("tries = 3", "tries = 4"), "utf-8")
    os.utime(menus, ns=(stamp + 1, stamp + 1))
    assert keeper.look()
    assert keeper.rules.menus["main"].tries == 4


def test_a_new_wording_is_an_edit(folder: Path) -> None:
    keeper = Keeper(folder)
    edit(folder / "phrases" / "ru.toml", "Такой кнопки в меню нет.", "Нет такой кнопки.")
    assert keeper.look()


def test_a_start_that_finds_a_broken_edit_falls_back_on_the_last_good_version(
    folder: Path, tmp_path: Path
) -> None:
    Keeper(folder, tmp_path / "good").keep()
    (folder / "menus.toml").write_text("[main", "utf-8")
    keeper = Keeper(folder, tmp_path / "good")
    assert keeper.source == tmp_path / "good"
    assert "main" in keeper.rules.menus
    assert keeper.refused is not None


def test_a_category_the_tickets_do_not_know_is_refused(folder: Path) -> None:
    with pytest.raises(DialplanError, match="'other': no such category of tickets; did you mean 'others'"):
        Keeper(folder, None, ["emergency", "danger", "planned", "consultation", "others"])
