"""Which words a telephone may not tell apart."""

from __future__ import annotations

import itertools
import time

import pytest

from ivr.speech.neighbours import MOST, NEAR, distance, neighbours, warnings
from ivr.speech.pronounce import PHONES, VOWELS, Phones

SAID = {
    word: tuple(said.split())
    for word, said in {
        "пять": "p; A t;", "опять": "@ p; A t;", "пядь": "p; A t;", "петь": "p; E t;",
        "три": "t r; I", "при": "p r; I", "два": "d v A", "да": "d A", "на": "n A",
        "пятнадцать": "p; a t n A ts @ t;", "девятнадцать": "d; i v; a t n A ts @ t;",
        "двенадцать": "d v; i n A ts @ t;", "тридцать": "t r; I ts @ t;", "двадцать": "d v A ts @ t;",
        "свет": "s v; E t", "цвет": "ts v; E t", "газ": "g A s", "глаз": "g l A s",
        "кол": "k O l", "укол": "u k O l", "балл": "b A l", "балла": "b A l @",
        "пятка": "p; A t k @", "пятки": "p; A t k; i", "лифт": "l; I f t", "вода": "v @ d A",
        "нет": "n; E t", "один": "@ d; I n", "шесть": "S E s; t;", "авария": "a v A r; i j a",
        "диспетчер": "d; i s p; E tS; i r", "хорошо": "x @ r @ S O", "плохо": "p l O x @",
        "домофон": "d @ m @ f O n", "телефон": "t; i l; i f O n", "замок": "z A m @ k", "замки": "z @ m O k",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("опять", "пять"), ("три", "при"), ("два", "да"), ("пятнадцать", "девятнадцать"), ("петь", "пять"),
        ("двенадцать", "девятнадцать"), ("свет", "цвет"), ("газ", "глаз"),
        ("укол", "кол"), ("балла", "балл"), ("пятка", "пятки"), ("замок", "замки"),
    ],
)  # fmt: skip
def test_words_that_people_mishear_are_neighbours(one: str, other: str) -> None:
    assert distance(SAID[one], SAID[other]) < NEAR


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("лифт", "вода"), ("да", "нет"), ("один", "два"), ("пять", "шесть"), ("авария", "диспетчер"),
        ("хорошо", "плохо"), ("домофон", "телефон"), ("газ", "свет"), ("три", "пять"), ("три", "тридцать"),
    ],
)  # fmt: skip
def test_words_that_nobody_mistakes_are_none(one: str, other: str) -> None:
    assert distance(SAID[one], SAID[other]) >= NEAR


def test_a_distance_is_the_same_both_ways_and_none_to_oneself() -> None:
    for one, other in itertools.combinations(SAID.values(), 2):
        assert distance(one, other) == pytest.approx(distance(other, one))
        assert distance(one, one) == 0


def test_what_is_far_is_never_near_by_rounding() -> None:
    for one, other in itertools.product(PHONES, repeat=2):
        assert distance((one,), ("e", other)) >= NEAR or one.rstrip(";") == other.rstrip(";") or one in VOWELS


def test_softness_voice_and_unstressed_vowels_are_cheap_and_a_stressed_vowel_is_dear() -> None:
    word: Phones = ("b", "A", "l", "@")
    cheap = [("b;", "A", "l", "@"), ("p", "A", "l", "@"), ("b", "A", "l", "i"), ("b", "a", "l", "@")]
    dear = [("b", "O", "l", "@"), ("k", "A", "l", "@"), ("b", "l", "@")]
    assert max(distance(word, way) for way in cheap) < min(distance(word, way) for way in dear)


def test_any_phone_may_stand_for_any_other_at_a_price() -> None:
    for one, other in itertools.permutations(PHONES, 2):
        assert 0 < distance((one, "A"), (other, "A")) <= NEAR


def test_the_nearest_come_first_and_at_most_five() -> None:
    said = {f"{number}": (*SAID["двадцать"][:-number], "t") for number in range(1, 3)}
    found = neighbours([SAID["опять"]], {word: [way] for word, way in {**SAID, **said}.items()})
    assert [one.word for one in found][:3] == ["опять", "пядь", "пять"]
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert len(neighbours([SAID["балл"]], {f"балл{n}": [SAID["балл"]] for n in range(9)})) == MOST


def test_every_way_to_say_a_word_counts() -> None:
    lexicon = {"что": [("S", "t", "O"), ("tS;", "O")]}
    assert [one.word for one in neighbours([("l", "A"), ("tS;", "O", "t")], lexicon)] == ["что"]
    assert neighbours([("l", "A")], lexicon) == ()


def test_the_warning_names_the_neighbours_and_what_to_do() -> None:
    lexicon = {word: [way] for word, way in SAID.items() if word != "пядь"}
    [warning] = warnings({"опять": [SAID["опять"]]}, lexicon)
    assert warning.startswith("«опять» sounds like «пять»: one may be heard for the other; where they")
    assert not list(warnings({"лифт": [SAID["лифт"]]}, lexicon))


def test_a_word_of_the_same_sound_is_warned_of_more_strongly() -> None:
    [warning] = warnings({"пядь": [SAID["пядь"]]}, {word: [way] for word, way in SAID.items()})
    assert warning.startswith("«пядь» sounds the same as «пять»: nobody can tell them apart; do not let them")


def test_three_thousand_words_are_compared_within_a_second() -> None:
    ways = [(*way[:-1], last) for way in SAID.values() for last in PHONES[:40]] + [
        (first, *way) for way in SAID.values() for first in PHONES[:45]
    ]
    lexicon = {f"{number}": [way] for number, way in enumerate(ways)}
    assert len(lexicon) > 3_000
    began = time.process_time()
    neighbours([SAID["пятнадцать"]], lexicon)
    assert time.process_time() - began < 1
