"""Which words sound so much like a word that a telephone may not tell them apart.

The distance of two pronunciations is the least that it costs to make one of the other, phone by phone. It is cheap to
soften a consonant, to voice it, to change a vowel nobody stresses: that is what lines, colds and hurry do. A stressed
vowel is dear: it is what is left of a word in noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ivr.speech.pronounce import VOWELS, Phones

NEAR = 0.27
"""Words below this distance are neighbours. Tried on the pairs of tests/unit/test_neighbours.py."""
MOST = 5
"""Neighbours that are named."""

VOICED = {"b": "p", "d": "t", "g": "k", "v": "f", "z": "s", "Z": "S"}
"""And the voiceless one that is the same otherwise."""
MANNER = {
    **dict.fromkeys("ptk", "stop"), **dict.fromkeys("fsSx", "hiss"), **dict.fromkeys("mn", "nasal"),
    **dict.fromkeys("lrj", "glide"), "ts": "hiss", "tS": "hiss",
}  # fmt: skip
PLACE = {
    **dict.fromkeys("pfm", "lips"), **dict.fromkeys(("t", "s", "n", "l", "r", "ts"), "teeth"),
    **dict.fromkeys(("S", "tS", "j"), "palate"), **dict.fromkeys("kx", "throat"),
}  # fmt: skip
CLOSE = {frozenset(pair) for pair in ("AO", "OU", "EI", "EA", "IY", "IU", "EY")}
"""Stressed vowels that are neighbours in the mouth."""

SOFTENED, UNVOICED, UNSTRESSED, BLURRED = 0.2, 0.25, 0.25, 0.15
MOVED, RELEASED = 0.5, 0.6
"""The same manner at another place, another manner at the same one."""
OTHER_VOWEL, CLOSE_VOWEL, OTHER_CONSONANT, GLIDE = 1.0, 0.7, 0.9, 0.6
LOUDNESS = {"stressed": 1.3, "unstressed": 0.5, "consonant": 0.7, "j": 0.4}
"""What a phone adds to a word: so much it costs to put it in or to leave it out."""
ALONE = 1.0
"""What a word has beside its phones: where it begins and ends. Else nothing would be near a word of two phones."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    word: str
    distance: float
    """0: they sound the same; up to NEAR."""


def neighbours(
    ways: Iterable[Phones], lexicon: Mapping[str, Iterable[Phones]], most: int = MOST
) -> tuple[Neighbour, ...]:
    """The words of the lexicon that sound most like one that is said in these ways, the nearest first."""
    said = [way for way in ways if way]
    found = {
        word: min((distance(way, other) for way in said for other in others if other), default=NEAR)
        for word, others in lexicon.items()
    }
    near = sorted((far, word) for word, far in found.items() if far < NEAR)
    return tuple(Neighbour(word, round(far, 3)) for far, word in near[:most])


def distance(one: Phones, other: Phones) -> float:
    """0 for the same sound; of what is NEAR or further nothing is known but that."""
    if one == other:
        return 0.0
    loudness = (_loudness(one) + _loudness(other)) / 2 + ALONE
    limit = NEAR * loudness
    # what one has more of must be put in at the least
    if abs(_loudness(one) - _loudness(other)) >= limit:
        return NEAR
    return min(_edits(one, other, limit) / loudness, NEAR)


def _edits(one: Phones, other: Phones, limit: float) -> float:
    """The cheapest way from one to the other; none below `limit`: infinitely dear."""
    row = [0.0]
    for phone in other:
        row.append(row[-1] + _weight(phone))
    for phone in one:
        gone = _weight(phone)
        before, row = row, [row[0] + gone]
        for at, aim in enumerate(other):
            row.append(min(before[at] + _change(phone, aim), before[at + 1] + gone, row[at] + _weight(aim)))
        if min(row) >= limit:
            return math.inf
    return row[-1]


@cache
def _loudness(way: Phones) -> float:
    return sum(map(_weight, way))


@cache
def _weight(phone: str) -> float:
    if phone in VOWELS:
        return LOUDNESS["stressed" if phone.isupper() else "unstressed"]
    return LOUDNESS.get(phone, LOUDNESS["consonant"])


@cache
def _change(one: str, other: str) -> float:
    """What it costs to say the one instead of the other."""
    if one == other:
        return 0.0
    if (one in VOWELS) != (other in VOWELS):
        return _weight(one) + _weight(other)
    return _change_of_vowels(one, other) if one in VOWELS else _change_of_consonants(one, other)


def _change_of_vowels(one: str, other: str) -> float:
    if not (one.isupper() or other.isupper()):
        return BLURRED
    if one.upper() == other.upper() or {one, other} == {"A", "@"}:
        return UNSTRESSED
    if one.isupper() and other.isupper():
        return CLOSE_VOWEL if frozenset((one, other)) in CLOSE else OTHER_VOWEL
    return CLOSE_VOWEL


def _change_of_consonants(one: str, other: str) -> float:
    hard, other_hard = one.rstrip(";"), other.rstrip(";")
    cost = SOFTENED if one.endswith(";") != other.endswith(";") else 0.0
    dull, other_dull = VOICED.get(hard, hard), VOICED.get(other_hard, other_hard)
    if (hard in VOICED) != (other_hard in VOICED):
        cost += UNVOICED
    if dull == other_dull:
        return cost
    if MANNER[dull] == MANNER[other_dull]:
        return min(cost + MOVED, OTHER_CONSONANT)
    if PLACE[dull] == PLACE[other_dull]:
        return min(cost + RELEASED, OTHER_CONSONANT)
    return OTHER_CONSONANT


def warnings(said: Mapping[str, Iterable[Phones]], lexicon: Mapping[str, Iterable[Phones]]) -> Iterator[str]:
    """For each word that is not to be told from another with certainty: which, and what to do."""
    for word, ways in said.items():
        others = {other: sounds for other, sounds in lexicon.items() if other != word}
        if near := neighbours(ways, others):
            yield _warning(word, near)


def _warning(word: str, near: Sequence[Neighbour]) -> str:
    same = [f"«{one.word}»" for one in near if not one.distance]
    if same:
        return (
            f"«{word}» sounds the same as {', '.join(same)}: nobody can tell them apart; "
            "do not let them mean different things, or listen for phrases of several words"
        )
    return (
        f"«{word}» sounds like {', '.join(f'«{one.word}»' for one in near)}: one may be heard for the other; "
        "where they mean different things take another word, or a phrase of several"
    )
