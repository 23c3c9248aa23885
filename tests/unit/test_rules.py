from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ivr.dialplan import rules
from ivr.dialplan.rules import FILES, Rules
from ivr.errors import DialplanError
from ivr.settings import HERE
from ivr.speech.phrasebook import Phrasebook
from tickets import limits

SHIPPED = HERE / "dialplan"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped rules, to be edited."""
    for name in FILES:
        shutil.copy(SHIPPED / name, tmp_path)
    return tmp_path


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text("utf-8")
    assert old in text, f"{name} no longer holds {old!r}"
    (folder / name).write_text(text.replace(old, new, 1), "utf-8")


def problems(folder: Path) -> list[str]:
    with pytest.raises(DialplanError) as caught:
        rules.read(folder)
    return list(caught.value.problems)


def test_the_shipped_rules_are_good() -> None:
    shipped = rules.read(SHIPPED)
    assert shipped.menus["main"].keys["1"] == "queue:emergency"
    assert shipped.ways["emergency"].priority > shipped.ways["planned"].priority
    assert shipped.ways["danger"].priority > shipped.ways["emergency"].priority


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_prompt_of_the_shipped_rules_is_in_the_phrasebook(language: str) -> None:
    book = Phrasebook.read(SHIPPED / "phrases" / f"{language}.toml")
    assert book.unknown(sorted(rules.read(SHIPPED).prompts())) == []


def test_every_category_of_the_shipped_queues_is_one_the_tickets_know() -> None:
    categories = {way.category for way in rules.read(SHIPPED).ways.values()}
    assert categories <= set(limits.read().categories)


def test_a_human_is_one_key_away_in_every_shipped_menu() -> None:
    for menu in rules.read(SHIPPED).menus.values():
        assert menu.keys["0"] == "queue:dispatcher"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "menus.toml",
            '1 = "queue:emergency"',
            '1 = "queue:emergensy"',
            "menus.toml: main.keys.1 = 'queue:emergensy': no such place; did you mean 'queue:emergency'?",
        ),
        (
            "menus.toml",
            'otherwise = "queue:dispatcher"',
            'otherwise = "menu:mian"',
            "menus.toml: main.otherwise = 'menu:mian': no such place; did you mean 'menu:main'?",
        ),
        ("menus.toml", '9 = "repeat"', '19 = "repeat"', "menus.toml: main.keys: '19' is not a key of a phone"),
        ("menus.toml", '9 = "repeat"', "9 = 9", "menus.toml: main.keys.9 = 9: a place is wanted"),
        ("menus.toml", "wait = 5", "wiat = 5", "menus.toml: main.wiat: no such key; did you mean 'wait'?"),
        ("menus.toml", "wait = 5", "wait = 0", "menus.toml: main.wait = 0: from 1 to 60"),
        ("menus.toml", "wait = 5", "wait = nan", "menus.toml: main.wait = nan: from 1 to 60"),
        ("menus.toml", "wait = 5", "wait = true", "menus.toml: main.wait = True: a number is wanted"),
        ("menus.toml", "tries = 3", "tries = 0", "menus.toml: main.tries = 0: from 1 to 10"),
        ("menus.toml", "tries = 3", "tries = 2.5", "menus.toml: main.tries = 2.5: a whole number is wanted"),
        ("menus.toml", "tries = 3", "tries = 99", "menus.toml: main.tries = 99: from 1 to 10"),
        ("menus.toml", 'prompt = "menu_main"', "", "menus.toml: main.prompt is missing"),
        ("menus.toml", 'prompt = "menu_main"', "prompt = 1", "menus.toml: main.prompt = 1: a text is wanted"),
        ("menus.toml", "tries = 3", "tries = = 3", "menus.toml: Invalid value (at line"),
        ("queues.toml", "priority = 30", 'priority = "30"', "queues.toml: danger.priority = '30': a whole number"),
        ("queues.toml", "priority = 30", "priority = 100", "queues.toml: danger.priority = 100: from 0 to 99"),
        ("queues.toml", "priority = 30", "prio = 30", "queues.toml: danger.prio: no such key"),
        ("queues.toml", 'category = "danger"', "", "queues.toml: danger.category is missing"),
        (
            "queues.toml",
            'hours = "office"',
            'hours = "offise"',
            "queues.toml: planned.hours = 'offise': no such hours; did you mean 'office'?",
        ),
        (
            "queues.toml",
            'closed = "menu:after_hours"',
            'closed = "menu:after_ours"',
            "queues.toml: planned.closed = 'menu:after_ours': no such place; did you mean 'menu:after_hours'?",
        ),
        (
            "queues.toml",
            'closed = "menu:after_hours"',
            "",
            "queues.toml: planned.closed is missing: where does a call go outside the hours?",
        ),
        ("hours.toml", '"08:00-16:00"', '"8-16"', "hours.toml: office.fri: '8-16' is not HH:MM-HH:MM"),
        ("hours.toml", '"08:00-16:00"', '"08:00"', "hours.toml: office.fri: '08:00' is not HH:MM-HH:MM"),
        ("hours.toml", '"08:00-16:00"', '"25:00-26:00"', "is not HH:MM-HH:MM"),
        ("hours.toml", "fri = ", "fry = ", "hours.toml: office.fry: no such key; did you mean 'fri'?"),
        ("hours.toml", "mon-thu", "thu-mon", "hours.toml: office.thu-mon: 'thu-mon' runs backwards"),
        ("hours.toml", "mon-thu", "mon-thursday", "hours.toml: office.mon-thursday:"),
        ("hours.toml", '"01-01"', '"13-01"', "hours.toml: office.holidays: '13-01' is neither MM-DD nor YYYY-MM-DD"),
        ("hours.toml", '"01-01"', "101", "hours.toml: office.holidays: 101 is neither"),
        ("hours.toml", '"2026-12-31"', '"31.12.2026"', "hours.toml: office.open_also: '31.12.2026'"),
        ("hours.toml", "spoken =", "spoke =", "hours.toml: office.spoke: no such key; did you mean 'spoken'?"),
    ],
)  # fmt: skip
def test_a_broken_edit_is_named_with_its_place(
    folder: Path, file: str, old: str, new: str, says: str
) -> None:
    edit(folder, file, old, new)
    found = problems(folder)
    assert any(says in problem for problem in found), found


def test_there_must_be_a_first_menu(folder: Path) -> None:
    text = (folder / "menus.toml").read_text("utf-8")
    (folder / "menus.toml").write_text(text.replace("[main", "[mian"), "utf-8")
    assert "menus.toml: no [main]: every call starts there" in problems(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_lone_value_where_a_table_belongs_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("main = 1", "utf-8")
    assert f"{name}: main: a [main] table is wanted here" in problems(folder)


def test_every_problem_of_all_files_is_named_at_once(folder: Path) -> None:
    edit(folder, "menus.toml", "tries = 3", "tries = 0")
    edit(folder, "queues.toml", "priority = 30", "priority = -1")
    edit(folder, "hours.toml", "fri = ", "fry = ")
    assert {problem.partition(":")[0] for problem in problems(folder)} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: no such file" in problems(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_text_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfe\x00")
    assert any(problem.startswith(f"{name}: ") for problem in problems(folder))


def test_a_file_turned_into_a_folder_is_named(folder: Path) -> None:
    (folder / "menus.toml").unlink()
    (folder / "menus.toml").mkdir()
    assert any(problem.startswith("menus.toml: ") for problem in problems(folder))


@pytest.mark.parametrize("end", ["voicemail", "hang-up", "menu:main", "menu:after_hours"])
def test_silence_must_end_with_a_human(folder: Path, end: str) -> None:
    edit(folder, "menus.toml", 'otherwise = "queue:dispatcher"', f'otherwise = "{end}"')
    edit(folder, "menus.toml", 'otherwise = "queue:dispatcher"', 'otherwise = "menu:main"')
    assert any("silence never ends with a human" in problem for problem in problems(folder))


def test_silence_may_end_with_a_human_through_another_menu(folder: Path) -> None:
    edit(folder, "menus.toml", 'otherwise = "queue:dispatcher"', 'otherwise = "menu:after_hours"')
    rules.read(folder)


def test_a_human_who_goes_home_at_night_is_not_the_end_of_silence(folder: Path) -> None:
    edit(folder, "menus.toml", 'otherwise = "queue:dispatcher"', 'otherwise = "queue:planned"')
    edit(folder, "queues.toml", 'closed = "menu:after_hours"', 'closed = "voicemail"')
    assert any("silence never ends with a human" in problem for problem in problems(folder))


def test_a_human_who_goes_home_at_night_may_hand_over_to_one_who_does_not(folder: Path) -> None:
    edit(folder, "menus.toml", 'otherwise = "queue:dispatcher"', 'otherwise = "queue:planned"')
    rules.read(folder)


def test_the_prompts_of_rules_are_those_of_menus_and_queues() -> None:
    read = rules.read(SHIPPED)
    only = Rules({"main": read.menus["main"]}, {"danger": read.ways["danger"]})
    assert only.prompts() == {"menu_main", "danger_hold"}
