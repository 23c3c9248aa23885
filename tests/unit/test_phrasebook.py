from __future__ import annotations

from pathlib import Path

import pytest

from ivr import dialplan
from ivr.errors import DialplanError
from ivr.speech.phrasebook import Phrasebook

PHRASES = Path(dialplan.__file__).parent / "phrases"
RUSSIAN = Phrasebook.read(PHRASES / "ru.toml")


def book(folder: Path, content: str) -> Phrasebook:
    file = folder / "phrases" / "ru.toml"
    file.parent.mkdir()
    file.write_text(content, "utf-8")
    return Phrasebook.read(file)


def test_the_company_is_greeted_in_its_name() -> None:
    assert "ЖКХ Север" in RUSSIAN.text("welcome", company="ЖКХ Север")


def test_both_catalogues_say_the_same_things_with_the_same_fields() -> None:
    english = Phrasebook.read(PHRASES / "en.toml")
    assert english.phrases.keys() == RUSSIAN.phrases.keys()
    known = dict.fromkeys(
        ("company", "hours", "date", "about", "address", "number", "flat", "day", "month"), ""
    )
    assert english.ready().keys() == RUSSIAN.ready().keys()
    assert english.ready(**known).keys() == RUSSIAN.ready(**known).keys() == RUSSIAN.phrases.keys()


def test_what_asterisk_says_without_the_controller_needs_no_fields() -> None:
    assert "записывается" in RUSSIAN.text("static_welcome")


def test_a_phrase_over_several_lines_is_said_without_pauses_between_them() -> None:
    assert "\n" not in RUSSIAN.text("menu_main")


def test_only_phrases_whose_fields_are_known_are_ready_ahead_of_calls() -> None:
    ready = RUSSIAN.ready(company="ЖКХ Север")
    assert "welcome" in ready
    assert "menu_after_hours" not in ready


def test_fields_a_phrase_does_not_use_do_no_harm() -> None:
    assert RUSSIAN.text("goodbye", company="ЖКХ Север") == RUSSIAN.text("goodbye")


def test_a_misspelt_name_is_refused_with_the_near_miss() -> None:
    with pytest.raises(
        DialplanError, match=r"phrases/ru\.toml:\n  welcom: no such phrase; did you mean 'welcome'\?"
    ):
        RUSSIAN.text("welcom")


def test_a_missing_field_is_refused_with_the_near_miss() -> None:
    with pytest.raises(DialplanError, match=r"welcome: no value for \{company\}; did you mean 'compny'\?"):
        RUSSIAN.text("welcome", compny="ЖКХ Север")


def test_the_checker_is_told_of_every_unknown_name() -> None:
    assert len(RUSSIAN.unknown(["hold", "holt", "order"])) == 2


def test_the_greeting_of_a_company_replaces_welcome() -> None:
    own = RUSSIAN.of_company("north", {}, "Вас слушает {company}!")
    assert own.text("welcome", company="Север") == "Вас слушает Север!"
    assert own.text("goodbye") == RUSSIAN.text("goodbye")


def test_a_company_replaces_any_phrase_and_the_others_keep_theirs() -> None:
    own = RUSSIAN.of_company("north", {"hold": "Минуту, пожалуйста."})
    assert own.text("hold") == "Минуту, пожалуйста."
    assert RUSSIAN.text("hold") != own.text("hold")


def test_every_wrong_replacement_is_named_at_once() -> None:
    with pytest.raises(DialplanError) as refused:
        RUSSIAN.of_company("north", {"hodl": "Минуту.", "goodbye": " ", "welcome": "Это {compny}."})
    assert refused.value.problems == (
        "hodl: no such phrase to replace; did you mean 'hold'?",
        "goodbye: says nothing",
        "welcome: nobody fills {compny} here; did you mean 'company'?",
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('welcome = "Это"\nhold = ждите', "line 2"),
        ("welcome = 5", "welcome: a phrase is text in quotes, not int"),
        ('welcome = ""', "welcome: says nothing"),
        ('welcome = "Это {company"', "welcome: .*write it twice"),
        ('welcome = "Это {}"', "a field is a plain {name}"),
        ('welcome = "Это {company.__class__}"', "a field is a plain {name}"),
        ('welcome = "Это {company:>9}"', "a field is a plain {name}"),
        ('welcome = "Это {company!r}"', "a field is a plain {name}"),
        ('"../../etc" = "Это"', "a phrase's name is small Latin letters"),
    ],
)
def test_a_broken_catalogue_is_refused_and_says_why(tmp_path: Path, content: str, why: str) -> None:
    with pytest.raises(DialplanError, match=why):
        book(tmp_path, content)


def test_a_missing_catalogue_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DialplanError, match="no such file"):
        Phrasebook.read(tmp_path / "phrases" / "ru.toml")


def test_a_brace_written_twice_is_said_once(tmp_path: Path) -> None:
    assert book(tmp_path, 'hold = "{{да}}"').text("hold") == "{да}"
