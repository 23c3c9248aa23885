from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.native import Native
from ears import texts
from ears.texts import Line, plan
from ears.words import BESIDE_MARKS, HERE, Vocabulary, Words, held_out, lines, vocabulary
from ivr.dialplan.understanding import Pack
from ivr.errors import DialplanError
from ivr.speech.graph import LEXICON

ONES = ("ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять")
TEENS = (
    "десять", "одиннадцать", "двенадцать", "тринадцать", "четырнадцать", "пятнадцать", "шестнадцать", "семнадцать",
    "восемнадцать", "девятнадцать",
)  # fmt: skip
TENS = ("двадцать", "тридцать", "сорок", "пятьдесят", "шестьдесят", "семьдесят", "восемьдесят", "девяносто")

SMALL = Vocabulary(
    known=("да", "два", "лифт", "нет", "пять"),
    vital=("да", "пять"),
    other=tuple(f"слово{letter}" for letter in "абвгдежз"),
    phrases={BESIDE_MARKS: ("пять баллов",), "not_done": ("и не починили",)},
)


@pytest.fixture(scope="module")
def real() -> Vocabulary:
    return vocabulary()


@pytest.fixture(scope="module")
def pack() -> Pack:
    return Pack.read("ru")


def said(number: int) -> list[str]:
    if number < 10:
        return [ONES[number]]
    if number < 20:
        return [TEENS[number - 10]]
    return [TENS[number // 10 - 2], *([ONES[number % 10]] if number % 10 else [])]


def uttered(line: Line) -> list[str]:
    """What is said between two pauses, without commas, ё as е."""
    pieces = re.split(r"[.?!]", line.text.lower().replace("ё", "е"))
    return [" ".join(re.sub(r"[^а-я-]+", " ", piece).split()) for piece in pieces if piece.strip()]


# the vocabulary


@pytest.mark.parametrize("number", range(100))
def test_every_number_to_99_can_be_said_with_known_words(real: Vocabulary, number: int) -> None:
    assert set(said(number)) <= set(real.known)


def test_every_word_that_is_listened_for_is_known(real: Vocabulary, pack: Pack) -> None:
    assert set(pack.words()) <= set(real.known)


def test_ratings_and_yes_and_no_are_vital_and_a_lift_is_not(real: Vocabulary) -> None:
    assert {"один", "два", "три", "четыре", "пять", "пятёрка", "двойка", "да", "нет"} <= set(real.vital)
    assert "лифт" in real.known
    assert "лифт" not in real.vital


def test_every_vital_word_and_every_word_of_a_phrase_is_known(real: Vocabulary) -> None:
    assert set(real.vital) <= set(real.known)
    assert {word for said in real.phrases.values() for phrase in said for word in phrase.split()} <= set(
        real.known
    )


def test_no_word_is_known_and_other_speech_at_once(real: Vocabulary) -> None:
    assert set(real.known).isdisjoint(real.other)
    assert len(set(real.other)) == len(real.other)


def test_near_words_of_the_ratings_are_known_or_other_speech(real: Vocabulary) -> None:
    assert {"опять", "при", "тридцать", "пятница", "недели"} <= {*real.known, *real.other}


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[word]\nnumbers = []\n", ["'word'", "did you mean 'words'"]),
        ("[words]\nnumbers = [\n", ["vocabulary.toml"]),
        ("[words]\nnumbers = ['двадцать два', 'ПЯТЬ', '20', 'ok', '']\nmenu = [3]\n", [
            "'двадцать два'", "'ПЯТЬ'", "'20'", "'ok'", "''", "words.menu: 3",
        ]),
        ("words = 3\n", ["words"]),
    ],
)  # fmt: skip
def test_every_fault_of_the_vocabulary_is_named(
    tmp_path: Path, pack: Pack, toml: str, named: list[str]
) -> None:
    (tmp_path / "vocabulary.toml").write_text(toml, "utf-8")
    (tmp_path / "other.txt").write_text("", "utf-8")
    with pytest.raises(DialplanError) as refused:
        vocabulary(tmp_path, pack)
    assert [name for name in named if name not in str(refused.value)] == []


def test_a_single_word_is_not_taken_for_a_list_of_letters(tmp_path: Path, pack: Pack) -> None:
    (tmp_path / "vocabulary.toml").write_text('[words]\nmenu = "щеколда"\n', "utf-8")
    (tmp_path / "other.txt").write_text("", "utf-8")
    try:
        known = vocabulary(tmp_path, pack).known
    except DialplanError as refused:
        assert "menu" in str(refused)
    else:
        assert "щеколда" in known
        assert "щ" not in known


def test_a_word_of_other_speech_that_is_known_is_passed_over(tmp_path: Path, pack: Pack) -> None:
    (tmp_path / "vocabulary.toml").write_text('[words]\nmenu = ["щеколда"]\n', "utf-8")
    (tmp_path / "other.txt").write_text("# рядом\nщеколда\nкулебяка\nкулебяка\n", "utf-8")
    assert vocabulary(tmp_path, pack).other == ("кулебяка",)


# what each voice says


@pytest.mark.parametrize("voice", ["anna", "aleksandr-hq"])
def test_a_voice_that_says_all_says_every_word_of_the_vocabulary(real: Vocabulary, voice: str) -> None:
    lines_ = plan(voice, real, (), 1.0, 1, frozenset())
    alone = {utterance for line in lines_ for utterance in uttered(line)}
    assert {word.replace("ё", "е") for word in real.known} <= alone


def test_a_voice_that_says_less_says_less() -> None:
    words = {word for line in plan("anna", SMALL, (), 0.5, 1, frozenset()) for word in line.words}
    assert len(words & set(SMALL.known)) < len(SMALL.known)


def test_vital_words_are_said_more_often_than_others() -> None:
    every = [word for line in plan("anna", SMALL, (), 1.0, 1, frozenset()) for word in uttered(line)]
    assert every.count("да") == 1 + texts.VITAL_TIMES
    assert every.count("лифт") == 1


def test_a_wish_that_is_said_in_many_ways_is_said_no_more_often_than_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(texts, "PHRASES", 100)
    monkeypatch.setattr(texts, "CARRIED", 0.0)
    ways = {BESIDE_MARKS: 400, "not_done": 4_000, "repeat": 50}
    phrases = {kind: tuple(f"{kind} {number}" for number in range(ways[kind])) for kind in ways}
    planned = plan("anna", replace(SMALL, phrases=phrases), (), 1.0, 1, frozenset())
    said = [phrase for line in planned for phrase in line.text.split(".") if phrase.strip()]
    counted = {kind: sum(phrase.strip().startswith(kind) for phrase in said) for kind in ways}
    assert counted == {BESIDE_MARKS: 40, "not_done": 30, "repeat": 30}


def test_the_same_seed_gives_the_same_plan_and_another_seed_or_voice_another() -> None:
    asked = (SMALL, ("сегодня дождь", "завтра снег"), 1.0)
    one = plan("anna", *asked, 1, frozenset())
    assert plan("anna", *asked, 1, frozenset()) == one
    assert plan("anna", *asked, 2, frozenset()) != one
    assert plan("irina", *asked, 1, frozenset()) != one


@pytest.mark.parametrize("seed", [1, 2])
def test_phrases_of_the_benchmark_are_never_said_in_training(real: Vocabulary, seed: int) -> None:
    tested = {" ".join(re.sub(r"[^а-я-]+", " ", text.replace("ё", "е")).split()) for text in held_out()}
    assert len(tested) > 100
    for voice in ("anna", "irina", "espeak-ng"):
        planned = plan(voice, real, lines(HERE / "sentences.txt"), 1.0, seed, held_out())
        assert [text for line in planned for text in uttered(line) if text in tested] == []


def test_a_phrase_that_something_is_put_before_or_after_is_none_of_the_benchmark_either() -> None:
    avoid = frozenset({f"{before} и не починили" for before in texts.BEFORE[:8]} | {"пять баллов пожалуйста"})
    for seed in range(100):
        planned = plan("anna", SMALL, (), 1.0, seed, avoid)
        assert [text for line in planned for text in uttered(line) if text in avoid] == []


def test_no_sentence_of_the_training_is_one_of_the_benchmark() -> None:
    tested = {text.replace("ё", "е") for text in held_out()}
    sentences = {text for line in lines(HERE / "sentences.txt") for text in uttered(Line(line))}
    assert tested.isdisjoint(sentences)


def test_words_of_a_list_have_pauses_between_them_and_speed_and_pitch_stay_within_bounds() -> None:
    planned = plan("anna", SMALL, (), 1.0, 3, frozenset())
    assert planned[0].text.count(".") == len(planned[0].words)
    assert all(texts.SPEED[0] <= line.speed <= texts.SPEED[1] for line in planned)
    assert all(texts.PITCH[0] <= line.pitch <= texts.PITCH[1] for line in planned)


# how they are said


@pytest.fixture
def words(native: Native, real: Vocabulary) -> Words:
    return Words.of(real, native)


def test_the_model_that_ships_has_the_words_of_today_as_they_are_said_today(
    words: Words, tmp_path: Path
) -> None:
    model = HERE / "model"
    words.lexicon().write(tmp_path / LEXICON)
    words.other_speech().write(tmp_path)
    for part in tmp_path.iterdir():
        assert part.read_text() == (model / part.name).read_text(), 'make ears EARS="--words ears/model"'
    assert json.loads((model / "made.json").read_text())["words"] == len(words.vocabulary.known)


def test_what_espeak_ng_says_is_taken_as_it_says_it(words: Words) -> None:
    ours, machine = words.say(["звезды", "в", "дом"]), words.as_written(["звезды", "в", "дом"])
    assert ours["звезды"][0] == ("z", "v;", "i", "z", "d", "Y")
    assert machine["звезды"][0] == ("z", "v;", "E", "z", "d", "y")
    assert machine["в"] == ours["в"]
    assert machine["дом"] == ours["дом"]
