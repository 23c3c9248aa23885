from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from appliance.native import Native
from ivr.errors import DialplanError, MissingPart
from ivr.speech.pronounce import PHONES, VOWELS, Pronouncer, phones, read_respelled

RESPELLED = Path(__file__).resolve().parents[2] / "ears" / "respelled.txt"
STRESSED = {vowel for vowel in VOWELS if vowel.isupper()}
ACUTE = "\u0301"


@pytest.fixture(scope="module")
def pronouncer(native: Native) -> Pronouncer:
    if not (native.root / "usr/bin/espeak-ng").exists():
        pytest.skip(f"no espeak-ng in {native.root}")
    return Pronouncer(native.command("usr/bin/espeak-ng"), native.environment())


def respelling(pronouncer: Pronouncer, **respelled: tuple[str, ...]) -> Pronouncer:
    return Pronouncer(pronouncer.command, pronouncer.environment, respelled)


# by espeak-ng


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("пять", "p; A t;"),
        ("опять", "@ p; A t;"),
        ("дверь", "d v; E r;"),
        ("алло", "a l O"),
        ("двадцать", "d v A ts @ t;"),
        ("ещё", "j i S; O"),
        ("жить", "Z Y t;"),
    ],
)
def test_a_word_is_said_as_russians_say_it(pronouncer: Pronouncer, word: str, said: str) -> None:
    assert pronouncer.say([word])[word][0] == tuple(said.split())


@pytest.mark.parametrize(("word", "ends"), [("дверь", "r;"), ("словарь", "r;"), ("двор", "r"), ("шар", "r")])
def test_an_r_at_the_end_is_soft_where_a_soft_sign_follows_it(
    pronouncer: Pronouncer, word: str, ends: str
) -> None:
    assert pronouncer.say([word])[word][0][-1] == ends


@pytest.mark.parametrize("word", ["касса", "алло", "группа", "ванна", "двадцать", "программа"])
def test_a_doubled_consonant_is_one_phone_that_lasts(pronouncer: Pronouncer, word: str) -> None:
    said = pronouncer.say([word])[word][0]
    assert all(before != after for before, after in itertools.pairwise(said))


def test_each_word_of_many_gets_its_own_phones(pronouncer: Pronouncer) -> None:
    words = ["один", "два", "три", "не-а", "четыре", "пять"]
    together = pronouncer.say(words)
    assert list(together) == words
    assert all(together[word] == pronouncer.say([word])[word] for word in words)


def test_every_word_has_one_stressed_vowel_at_most_and_known_phones_only(pronouncer: Pronouncer) -> None:
    words = ["пожалуйста", "удовлетворительно", "канализация", "электричество", "сегодня", "цирк", "подъезд"]
    for word, (said,) in pronouncer.say(words).items():
        assert set(said) <= set(PHONES), word
        assert sum(phone in STRESSED for phone in said) == 1, word


@pytest.mark.parametrize("words", [["пять", "-", "два"], ["-", "пять", "два"], ["пять", "два", "-"]])
def test_what_cannot_be_said_has_no_phones_and_spoils_no_other_word(
    pronouncer: Pronouncer, words: list[str]
) -> None:
    assert pronouncer.say(words) == {"пять": (("p;", "A", "t;"),), "два": (("d", "v", "A"),), "-": ()}


def test_a_respelled_word_is_said_in_each_of_its_ways_the_usual_one_first(pronouncer: Pronouncer) -> None:
    said = respelling(pronouncer, сейчас=("сейчас", "щас")).say(["сейчас"])["сейчас"]
    assert said == (("s;", "i", "j", "tS;", "A", "s"), ("S;", "A", "s"))


def test_two_respellings_that_sound_the_same_are_one_way(pronouncer: Pronouncer) -> None:
    assert len(respelling(pronouncer, кот=("кот", "код")).say(["кот"])["кот"]) == 1


@pytest.mark.parametrize(
    ("respelled", "stressed"), [(f"за{ACUTE}мок", "A"), (f"замо{ACUTE}к", "O"), (f"сича{ACUTE}с", "A")]
)
def test_an_accent_says_which_vowel_is_stressed(
    pronouncer: Pronouncer, respelled: str, stressed: str
) -> None:
    (said,) = respelling(pronouncer, слово=(respelled,)).say(["слово"])["слово"]
    assert [phone for phone in said if phone in STRESSED] == [stressed], said


def test_every_accent_of_the_respelled_words_is_heard(pronouncer: Pronouncer) -> None:
    accented = {
        way: way.count(ACUTE)
        for ways in read_respelled(RESPELLED).values()
        for way in ways
        if ACUTE in way and not way.startswith("[")
    }
    said = respelling(pronouncer, **{f"с{at}": (way,) for at, way in enumerate(accented)})
    for at, way in enumerate(accented):
        vowels = [phone for phone in said.say([f"с{at}"])[f"с{at}"][0] if phone in VOWELS]
        letters = [letter for letter in way.replace(ACUTE, "'") if letter in "аеёиоуыэюя'"]
        assert vowels[letters.index("'") - 1] in STRESSED, f"{way}: {vowels}"


def test_phones_in_brackets_are_taken_as_they_are() -> None:
    nobody = Pronouncer(["/no/such/espeak-ng"], respelled={"в": ("[v]", "[f]"), "угу": ("[m m]",)})
    assert nobody.say(["в", "угу"]) == {"в": (("v",), ("f",)), "угу": (("m", "m"),)}


def test_without_espeak_ng_it_says_what_is_missing_and_what_to_do() -> None:
    with pytest.raises(MissingPart, match=r"espeak-ng.*(?s:.)*install espeak-ng"):
        Pronouncer(["/no/such/espeak-ng"]).say(["пять"])


def test_a_program_that_answers_for_too_few_words_is_not_believed(tmp_path: Path) -> None:
    program = tmp_path / "mute"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho p_A\n")
    program.chmod(0o755)
    with pytest.raises(MissingPart, match="1 answers for 2 words"):
        Pronouncer([str(program)]).say(["раз", "два"])


def test_a_program_that_fails_is_a_missing_part(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(MissingPart, match="exit status 3"):
        Pronouncer([str(program)]).say(["раз"])


# what it writes


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("p_;_'A_t_;", "p; A t;"),
        ("d_v_'A_t_ts_@_t_;", "d v A ts @ t;"),
        ("d_v_;_'E_R_I^", "d v; E r;"),
        ("a_l_l_'O", "a l O"),
        ("", ""),
    ],
)
def test_what_espeak_ng_writes_is_read(written: str, read: str) -> None:
    assert phones(written) == tuple(read.split())


def test_stress_makes_another_phone_of_a_vowel() -> None:
    assert phones("'i") == ("I",)
    assert phones("i") == ("i",)


# the respelled words


def test_the_respelled_words_of_the_model_are_read() -> None:
    respelled = read_respelled(RESPELLED)
    assert respelled["в"] == ("[v]", "[f]")
    assert respelled["сейчас"][0] == "сейчас"


def test_a_comment_is_no_word(tmp_path: Path) -> None:
    file = tmp_path / "respelled.txt"
    file.write_text("# слова\n\nв: [v], [f]  # предлог\n", "utf-8")
    assert read_respelled(file) == {"в": ("[v]", "[f]")}


def test_every_wrong_line_of_the_respelled_words_is_named_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "respelled.txt"
    good, wrong = (
        ["что: что, чё", "в: [v]"],
        ["сейчас", "20: двадцать", "мм:", "ок: [q Q]", "как: kak", "да: []"],
    )
    file.write_text("\n".join([*good, *wrong]), "utf-8")
    with pytest.raises(DialplanError) as refused:
        read_respelled(file)
    assert [name in str(refused.value) for name in (f":{at}:" for at in range(1, 9))] == [False] * 2 + [
        True
    ] * 6
