"""Does a confidence mean something? What was heard with one of 0.9 is to be right nine times of ten."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.speech.hearing import Judged
from bench.speech.people import words_of
from ivr.heard import UNKNOWN
from ivr.speech.calibration import Calibration

EDGES = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99, math.inf)


@dataclass(frozen=True, slots=True)
class Claim:
    """Something heard."""

    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Claims of about one confidence: from `low` on, below `high`."""

    low: float
    high: float
    claims: tuple[Claim, ...]

    @property
    def confidence(self) -> float:
        """Their mean."""
        return _mean(claim.confidence for claim in self.claims)

    @property
    def right(self) -> float:
        """The share of them that is."""
        return _mean(float(claim.right) for claim in self.claims)

    @property
    def name(self) -> str:
        if self.high == math.inf:
            return f"{self.low:g} and above"
        return f"{self.low:g} to {self.high:g}" if self.low else f"below {self.high:g}"


def bins(claims: Iterable[Claim]) -> list[Bin]:
    every = list(claims)
    return [
        Bin(low, high, tuple(claim for claim in every if low <= claim.confidence < high))
        for low, high in itertools.pairwise(EDGES)
    ]


def expected_error(claims: Sequence[Claim]) -> float:
    """The expected calibration error: how far confidence and truth are apart, bin by bin, by their claims."""
    if not claims:
        return math.nan
    apart = (len(one.claims) * abs(one.confidence - one.right) for one in bins(claims) if one.claims)
    return sum(apart) / len(claims)


def answers(judged: Iterable[Judged]) -> list[Claim]:
    """Whole answers: everything a meaning was made of, by the meaning's confidence."""
    return [
        Claim(one.confidence, one.outcome in {one.phrase.means, *one.phrase.also})
        for one in judged
        if not one.is_nothing
    ]


def words(judged: Iterable[Judged]) -> list[Claim]:
    """Each word heard; right when it was said at that place."""
    return [claim for one in judged for claim in _words(one)]


def uncalibrated(claims: Iterable[Claim], calibration: Calibration) -> list[Claim]:
    """As the recogniser itself had it: the calibration undone. It rises, but for figures below its first."""
    figures, probabilities = zip(*calibration.points, strict=True)
    return [
        Claim(float(np.interp(claim.confidence, probabilities, figures)), claim.right) for claim in claims
    ]


def _words(one: Judged) -> Iterator[Claim]:
    said = [_plain(word) for word in words_of(one.phrase.text)]
    if not said:
        return  # a recorded prompt that is only known by its number
    heard = [word for stretch in one.words for word in stretch]
    for word, right in zip(heard, matches(said, [_plain(word.text) for word in heard]), strict=True):
        if word.text != UNKNOWN:
            yield Claim(word.confidence, right)


def matches(said: Sequence[str], heard: Sequence[str]) -> list[bool]:
    """Of each word heard: does the alignment with fewest edits (Levenshtein) put it on the same word said?"""
    costs = [[*range(len(heard) + 1)]]
    for row, word in enumerate(said, start=1):
        costs.append([row])
        for column, other in enumerate(heard, start=1):
            by_both = costs[row - 1][column - 1] + (word != other)
            costs[row].append(min(by_both, costs[row - 1][column] + 1, costs[row][column - 1] + 1))
    right = [False] * len(heard)
    row, column = len(said), len(heard)
    while row and column:
        same = said[row - 1] == heard[column - 1]
        if costs[row][column] == costs[row - 1][column - 1] + (not same):
            row, column = row - 1, column - 1
            right[column] = same
        elif costs[row][column] == costs[row - 1][column] + 1:
            row -= 1
        else:
            column -= 1
    return right


def _plain(word: str) -> str:
    return word.replace("ё", "е")


def _mean(values: Iterable[float]) -> float:
    every = [*values]
    return sum(every) / len(every) if every else math.nan
