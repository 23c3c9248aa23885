"""What a model's confidence is worth: the share of answers, or words, heard with it that are right.

Vosk's own figure is the share of its guesses that agree, and too high where all guesses are wrong together. A model's
folder may hold `confidence.json`, made of answers that were heard and known: from raw figures to
probabilities, in straight lines, never falling, from nothing for nothing on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ivr.errors import MissingPart, did_you_mean

FILE = "confidence.json"
FEWEST = 100
"""Words below which nothing can be said."""
BINS = 20
"""Groups the words are sorted into at first; words of one raw figure stay together."""
KEYS = ("made_on", "points")

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    points: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
    """Raw figure and probability, both rising; the first is reached from nothing, after the last it is level."""
    made_on: str = ""
    """What was heard to make it, in words."""

    def of(self, raw: float) -> float:
        """The probability that a word heard with this figure is right."""
        before = () if self.points[0][0] <= 0 else ((0.0, 0.0),)
        figures, probabilities = zip(*before, *self.points, strict=True)
        return float(np.interp(raw, figures, probabilities))

    def write(self, path: Path) -> None:
        content = {"made_on": self.made_on, "points": [list(point) for point in self.points]}
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


AS_IT_IS = Calibration()


def fit(
    raw: Sequence[float], right: Sequence[bool], made_on: str = "", counts: Sequence[float] | None = None
) -> Calibration:
    """From words heard: the figure of each, whether it was right, and how much it counts (each as much as another).
    Raises ValueError when they are too few.

    Isotonic regression: groups in the order of their figures are pooled until none is right less often than the one
    before it. Each group counts one right and one wrong word more than it has, so that nothing is ever certain.
    """
    if len(raw) != len(right) or len(raw) < FEWEST:
        raise ValueError(
            f"{len(raw)} figures of {len(right)} words; at least {FEWEST}, one a word, are wanted"
        )
    pooled: list[_Group] = []
    counted = np.ones(len(raw)) if counts is None else np.asarray(counts, float)
    for group in _groups(np.round(np.clip(raw, 0, 1), 3), np.asarray(right, float), counted):
        pooled.append(group)
        while len(pooled) > 1 and pooled[-1].probability <= pooled[-2].probability:
            last = pooled.pop()
            pooled[-1] = pooled[-1].with_(last)
    return Calibration(tuple((round(group.raw, 4), round(group.probability, 4)) for group in pooled), made_on)


def read(path: Path) -> Calibration:
    """Raises MissingPart naming what is wrong in it."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(path, str(error)) from error
    if not isinstance(data, dict):
        raise _wrong(path, f"{_short(data)}: an object with {' and '.join(KEYS)} is wanted")
    for key in data:
        if key not in KEYS:
            raise _wrong(path, f"{key}: no such key{did_you_mean(key, KEYS)}")
    made_on = data.get("made_on", "")
    if not isinstance(made_on, str):
        raise _wrong(path, f"made_on = {_short(made_on)}: words are wanted")
    return Calibration(_points(path, data), made_on)


def of_model(folder: Path) -> Calibration | None:
    """That of the model in this folder; None where it has none. Raises MissingPart."""
    return read(folder / FILE) if (folder / FILE).exists() else None


@dataclass(frozen=True, slots=True)
class _Group:
    """Words heard with figures near one another."""

    words: float
    raw: float
    """Their mean figure."""
    probability: float

    def with_(self, other: _Group) -> _Group:
        words = self.words + other.words
        mine, others = self.words / words, other.words / words
        return _Group(
            words, mine * self.raw + others * other.raw, mine * self.probability + others * other.probability
        )


def _groups(raw: Numbers, right: Numbers, counts: Numbers) -> list[_Group]:
    """About BINS of them, in order; one figure is never in two."""
    order = np.argsort(raw, kind="stable")
    raw, right, counts = raw[order], right[order], counts[order]
    cuts = {int(np.searchsorted(raw, raw[len(raw) * cut // BINS])) for cut in range(1, BINS)}
    edges = sorted(cuts | {0, len(raw)})
    return [
        _group(raw[start:end], right[start:end], counts[start:end])
        for start, end in itertools.pairwise(edges)
    ]


def _group(raw: Numbers, right: Numbers, counts: Numbers) -> _Group:
    words = float(counts.sum())
    return _Group(words, float(np.average(raw, weights=counts)), float((right @ counts + 1) / (words + 2)))


def _points(path: Path, data: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    points = data.get("points")
    if not isinstance(points, list) or not points:
        raise _wrong(path, f"points = {_short(points)}: a list of [raw, probability] is wanted")
    for point in points:
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_share, point))):
            raise _wrong(path, f"points: {_short(point)}: two numbers from 0 to 1 are wanted")
    for before, after in itertools.pairwise(points):
        if not (before[0] < after[0] and before[1] <= after[1]):
            raise _wrong(path, f"points: after {before} comes {after}: they must rise")
    return tuple((float(raw), float(probability)) for raw, probability in points)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"


def _wrong(path: Path, why: str) -> MissingPart:
    return MissingPart(
        "the ears",
        f"{path}: {why}",
        "make it again, or remove it: then confidences are taken as the model says",
    )
