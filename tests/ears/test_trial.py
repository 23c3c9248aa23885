from __future__ import annotations

import numpy as np
import pytest

from ears.alignment import Aligned
from ears.trial import (
    ANSWERS,
    OF_EACH,
    RESERVED,
    Answer,
    Result,
    _without_clauses,
    evenly,
    is_reserved,
    judged,
    worth,
)
from ears.words import vocabulary
from ivr.dialplan.understanding import Pack
from ivr.heard import Heard, Reading, Word

NOTHING = np.zeros(0, np.int16)
PACK = Pack.read("ru")


def piece(*words: str, voice: str = "anna") -> Aligned:
    return Aligned(voice, words, NOTHING, NOTHING)


def verdict(said: str, *heard: tuple[str, float]) -> Answer:
    readings = tuple(Reading(words(text), share) for text, share in heard)
    return judged(
        PACK.shares(Heard(words(said)), "rating"), PACK.shares(Heard((), readings=readings), "rating")
    )


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, 1.0) for word in text.split())


def test_pauses_that_nobody_wrote_down_do_not_make_answers_of_what_is_heard() -> None:
    clause = (Word("пять", 1.0, 0.3), Word("потолок", 1.0, 0.3, pause=0.2))
    assert (5, None) in PACK.shares(Heard(clause), "rating")
    assert (5, None) not in _without_clauses(PACK).shares(Heard(clause), "rating")


@pytest.mark.parametrize(
    ("said", "heard", "is_right"),
    [
        ("три балла", [("три балла", 1.0)], True),
        ("на двойку", [("ну двойку", 0.6), ("три", 0.4)], True),  # in whichever words
        ("три балла", [("два балла", 0.6), ("три балла", 0.4)], False),
        ("опять", [("пять", 1.0)], False),
        ("позовите оператора", [("оператора", 1.0)], True),
    ],
)
def test_what_most_of_it_means_is_taken_and_right_when_that_was_said(
    said: str, heard: list[tuple[str, float]], is_right: bool
) -> None:
    answer = verdict(said, *heard)
    assert answer.is_taken
    assert answer.is_right is is_right
    assert answer.share == heard[0][1]


def test_what_means_nothing_is_no_answer_and_right_not_to_be_taken_for_one() -> None:
    assert verdict("потолок", ("потолок", 1.0)) == Answer(1.0, is_one=False, is_taken=False, is_right=True)
    assert verdict("пять", ("потолок", 1.0)) == Answer(1.0, is_one=True, is_taken=False, is_right=False)


def test_a_result_is_of_the_answers_alone_and_nothing_heard_is_no_crash() -> None:
    heard = [verdict("пять", ("пять", 1.0))] * 3 + [
        verdict("пять", ("потолок", 1.0)),
        verdict("потолок", ("потолок", 1.0)),
    ]
    assert str(Result.of(heard)) == "75.0% of 4 answers understood"
    assert Result(0, 0).share == 0.0


@pytest.mark.parametrize("others", [300, 3_000])
def test_a_confidence_is_worth_as_much_however_many_pieces_are_no_answers(others: int) -> None:
    """One in five of those, and no answer, is mistaken."""
    answers = [Answer(0.9, is_one=True, is_taken=True, is_right=True)] * 300
    spurious = [Answer(0.9, is_one=False, is_taken=True, is_right=False)] * (others // 5)
    silent = [Answer(0.9, is_one=False, is_taken=False, is_right=True)] * (others - len(spurious))
    mistaken = (1 - ANSWERS) / 5
    made = worth([*answers, *spurious, *silent])
    assert made.of(0.9) == pytest.approx(ANSWERS / (ANSWERS + mistaken), abs=0.01)
    assert f"{ANSWERS:.0%} of it counted as answers" in made.made_on


def test_one_piece_in_twenty_is_reserved_by_what_is_said_in_it() -> None:
    words = vocabulary().known
    said = [piece(*words[at : at + length]) for length in (2, 3, 4) for at in range(len(words) - 3)]
    share = np.mean([is_reserved(one, ()) for one in said])
    assert 0.8 / RESERVED < share < 1.25 / RESERVED


def test_what_is_reserved_is_so_in_every_run() -> None:
    texts = [
        ("оценка", "три"),
        ("а", "заливает"),
        ("бачок", "вновь", "забита"),
        ("два", "балла"),
        ("в", "трёх", "ночи"),
    ]
    wanted = [False, True, True, False, True]  # no seed of the process is in it
    assert [is_reserved(piece(*words), ()) for words in texts] == wanted


def test_every_piece_of_a_voice_that_is_kept_out_is_reserved() -> None:
    assert is_reserved(piece("да", voice="espeak-ng+m5"), ("m5", "f5"))
    assert not is_reserved(piece("да", voice="espeak-ng+m1"), ("m5", "f5"))
    assert not is_reserved(piece("да", voice="anna"), ("m5", "f5"))


def test_no_word_that_a_rating_hangs_on_is_kept_from_the_learning() -> None:
    """A single word is a piece: were it reserved, no voice that is learned from would ever have said it alone."""
    assert [word for word in vocabulary().vital if is_reserved(piece(word), ())] == []


def test_a_machine_of_many_mouths_counts_no_more_than_a_voice_of_one() -> None:
    few = [piece("три", voice="anna")] * 5
    many = [piece(str(number), voice=f"espeak-ng+m{number % 3}") for number in range(3 * OF_EACH + 1)]
    counted = evenly([*many, *few])
    assert [one for one in counted if one.voice == "anna"] == few
    machines = [one for one in counted if one.voice != "anna"]
    assert OF_EACH // 2 < len(machines) <= OF_EACH
    assert int(machines[-1].words[0]) > 2 * OF_EACH, "of all that it says, not of its beginning"
