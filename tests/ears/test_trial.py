from __future__ import annotations

import numpy as np
import pytest

from ears.alignment import Aligned
from ears.trial import RESERVED, Result, is_reserved, judged
from ears.words import vocabulary
from ivr.heard import UNKNOWN

NOTHING = np.zeros(0, np.int16)


def piece(*words: str, voice: str = "anna") -> Aligned:
    return Aligned(voice, words, NOTHING, NOTHING)


def verdict(heard: str, said: str) -> list[bool]:
    words = heard.split()
    return [right for _, right in judged(words, [0.5] * len(words), said.split())]


@pytest.mark.parametrize(
    ("heard", "said", "right"),
    [
        ("три балла", "три балла", [True, True]),
        ("три пять балла", "три балла", [True, False, True]),  # an insertion
        ("балла", "три балла", [True]),  # a deletion
        ("два балла", "три балла", [False, True]),
        ("пять", "опять", [False]),
        ("", "три", []),
        ("три", "", [False]),
        ("балла три", "три балла", [True, False]),  # each at its place
        ("четвёртый", "четвертый", [True]),
        (f"{UNKNOWN} три {UNKNOWN}", "ну три пожалуйста", [True]),  # other speech is left out
        (UNKNOWN, "три", []),
    ],
)
def test_a_word_is_right_when_it_was_said_at_that_place(heard: str, said: str, right: list[bool]) -> None:
    assert verdict(heard, said) == right


def test_each_verdict_comes_with_that_words_own_confidence() -> None:
    heard = list(judged(["пять", UNKNOWN, "балла"], [0.9, 0.1, 0.4], ["три", "балла"]))
    assert heard == [(0.9, False), (0.4, True)]


def test_a_result_says_how_much_was_right_and_nothing_heard_is_no_crash() -> None:
    assert str(Result(200, 150)) == "75.0% of 200 words right"
    assert Result(0, 0).share == 0.0


def test_one_piece_in_33_is_reserved_by_what_is_said_in_it() -> None:
    words = vocabulary().known
    said = [piece(*words[at : at + length]) for length in (2, 3, 4) for at in range(len(words) - 3)]
    share = np.mean([is_reserved(one, ()) for one in said])
    assert 0.8 / RESERVED < share < 1.25 / RESERVED


def test_what_is_reserved_is_so_in_every_run() -> None:
    texts = [
        ("оценка", "три"),
        ("большое", "спасибо"),
        ("в", "четырёх"),
        ("два", "балла"),
        ("всё", "исправили"),
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
