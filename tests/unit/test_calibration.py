from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ivr.errors import MissingPart
from ivr.speech.calibration import AS_IT_IS, Calibration, fit, of_model, read


def heard(words: int, seed: int = 5) -> tuple[list[float], list[bool]]:
    """Words of which the ears are too sure: half of those below 1.0, and 97 of 100 at 1.0, are right."""
    chance = np.random.default_rng(seed)
    raw = np.where(chance.random(words) < 0.6, 1.0, np.round(chance.random(words), 3))
    right = chance.random(words) < np.where(raw == 1.0, 0.97, raw / 2)
    return raw.tolist(), right.tolist()


def test_what_was_right_half_the_time_is_worth_a_half() -> None:
    made = fit(*heard(20_000))
    assert made.of(1.0) == pytest.approx(0.97, abs=0.01)
    for raw in (0.1, 0.3, 0.5, 0.8):
        assert made.of(raw) == pytest.approx(raw / 2, abs=0.05)


def test_more_confidence_is_never_worth_less() -> None:
    for seed in range(20):
        made = fit(*heard(150, seed))
        worth = [made.of(raw) for raw in np.linspace(0, 1, 200)]
        assert all(one <= other for one, other in itertools.pairwise(worth)), seed
        assert all(a[0] < b[0] for a, b in itertools.pairwise(made.points)), seed


def test_nothing_is_ever_certain() -> None:
    made = fit([1.0] * 500 + [0.2] * 500, [True] * 500 + [False] * 500)
    assert 0.99 < made.of(1.0) < 1
    assert 0 < made.of(0.2) < 0.01
    assert made.of(0.0) == 0


def test_a_confidence_that_says_nothing_is_worth_the_same_everywhere() -> None:
    made = fit([0.9] * 100 + [0.4] * 100, [False] * 50 + [True] * 50 + [True] * 100)
    assert made.of(1.0) == made.of(0.9) == pytest.approx(0.75, abs=0.01)


def test_a_few_lucky_words_are_worth_little() -> None:
    raw, right = heard(2_000)
    lucky = fit([min(one, 0.999) for one in raw] + [1.0] * 3, [*right, True, True, True])
    assert lucky.of(1.0) < 0.99


def test_what_counts_more_weighs_more() -> None:
    raw, right = [0.9] * 300, [True] * 200 + [False] * 100
    assert fit(raw, right).of(0.9) == pytest.approx(2 / 3, abs=0.01)
    assert fit(raw, right, counts=[1.0] * 200 + [4.0] * 100).of(0.9) == pytest.approx(1 / 3, abs=0.01)


def test_too_few_words_say_nothing() -> None:
    with pytest.raises(ValueError, match="99 figures of 99 words; at least 100"):
        fit([1.0] * 99, [True] * 99)
    with pytest.raises(ValueError, match="100 figures of 99 words"):
        fit([1.0] * 100, [True] * 99)


def test_without_a_calibration_a_figure_is_taken_as_it_is() -> None:
    assert [AS_IT_IS.of(raw) for raw in (-1, 0, 0.3, 1, 1.2)] == [0, 0, 0.3, 1, 1]


def test_between_its_points_it_goes_in_straight_lines_from_nothing_and_beyond_them_it_is_level() -> None:
    made = Calibration(((0.2, 0.1), (0.6, 0.5), (1.0, 0.9)))
    assert [round(made.of(raw), 6) for raw in (0, 0.2, 0.4, 0.8, 1)] == [0, 0.1, 0.3, 0.7, 0.9]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = fit(*heard(3_000), made_on="3,000 words of held-out voices")
    made.write(tmp_path / "confidence.json")
    assert of_model(tmp_path) == read(tmp_path / "confidence.json") == made


def test_a_model_without_a_calibration_has_none(tmp_path: Path) -> None:
    assert of_model(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "confidence.json: Expecting property name"),
        ("[[0, 1]]", "[[0, 1]]: an object with made_on and points is wanted"),
        ('{"point": [[0, 1]]}', "point: no such key; did you mean 'points'?"),
        ('{"points": []}', "points = []: a list of [raw, probability] is wanted"),
        ("{}", "points = null: a list of [raw, probability] is wanted"),
        ('{"points": [[0, 1, 2]]}', "points: [0, 1, 2]: two numbers from 0 to 1 are wanted"),
        ('{"points": [[0, 2]]}', "points: [0, 2]: two numbers from 0 to 1 are wanted"),
        ('{"points": [[0, NaN]]}', "points: [0, NaN]: two numbers from 0 to 1 are wanted"),
        ('{"points": [[0, true]]}', "points: [0, true]: two numbers from 0 to 1 are wanted"),
        ('{"points": [[0, 0.5], [1, 0.4]]}', "points: after [0, 0.5] comes [1, 0.4]: they must rise"),
        ('{"points": [[0, 0.5], [0, 0.6]]}', "points: after [0, 0.5] comes [0, 0.6]: they must rise"),
        ('{"points": [[0, 1]], "made_on": 5}', "made_on = 5: words are wanted"),
    ],
)
def test_what_is_wrong_in_a_models_calibration_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "confidence.json").write_text(content)
    with pytest.raises(MissingPart) as refused:
        of_model(tmp_path)
    assert says in str(refused.value)
    assert "what to do: make it again, or remove it" in str(refused.value)
