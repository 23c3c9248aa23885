"""What each voice says: single words in short lists, phrases, sentences; how fast and how high.

Everything is drawn by a seed, so two runs say the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ears.words import BESIDE_MARKS, Vocabulary

LIST = 10
"""Words said in one breath, a pause after each: starting the speech program takes longer than a word."""
PHRASES_A_LIST = 5
VITAL_TIMES = 9
"""How often a vital word is said, against once."""
OTHER = 0.5
"""The share of the words for other speech that a voice says."""
PHRASES = 1_000
MARKS = 0.4
"""Of the phrases so many are said beside marks. Of the others each wish has as many, however many ways to say it are
known."""
SENTENCES = 400
CARRIED = 0.3
"""Of the phrases so many have something said before or after them, as people do."""
BEFORE = (
    "ну", "вот", "алло", "да", "так", "э", "ой", "слушайте", "девушка", "здравствуйте", "значит", "я бы сказал",
    "понимаете", "в общем", "короче",
)  # fmt: skip
AFTER = ("пожалуйста", "вот", "да", "наверное", "спасибо", "девушка", "так", "понимаете", "а")
USUAL = 100
SPEED, PITCH = (62, 165), (78, 128)
"""Percent of the voice's own."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something to be said in one go."""

    text: str
    """Parts that end in a stop have a pause after them."""
    speed: int = USUAL
    """Percent of the voice's own."""
    pitch: int = USUAL

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text.replace(".", " ").replace(",", " ").replace("?", " ").split())


def plan(
    voice: str,
    vocabulary: Vocabulary,
    sentences: Sequence[str],
    says: float,
    seed: int,
    avoid: frozenset[str],
) -> list[Line]:
    """What `voice` says. Phrases in `avoid` are for testing and are left to that."""
    chance = random.Random(f"{seed} {voice}")  # noqa: S311 - nothing secret
    words = [*vocabulary.known, *chance.sample(vocabulary.other, int(OTHER * len(vocabulary.other)))]
    words = chance.sample(words, int(min(1.0, says) * len(words)))
    vital = [word for word in vocabulary.vital for _ in range(max(1, round(VITAL_TIMES * says)))]
    chance.shuffle(words)
    chance.shuffle(vital)
    phrases = [
        _carried(text, chance, avoid)
        for text in _some_of_each(vocabulary.phrases, int(PHRASES * says), chance, avoid)
    ]
    talk = chance.sample(sentences, min(len(sentences), int(SENTENCES * says)))
    lists = [*_lists(words, LIST), *_lists(vital, LIST), *_lists(phrases, PHRASES_A_LIST), *talk]
    return [Line(text, _some(SPEED, chance), _some(PITCH, chance)) for text in lists]


def _lists(items: Sequence[str], length: int) -> Iterator[str]:
    for at in range(0, len(items), length):
        yield " ".join(f"{item}." for item in items[at : at + length])


def _some_of_each(
    kinds: Mapping[str, Sequence[str]], most: int, chance: random.Random, avoid: frozenset[str]
) -> list[str]:
    drawn: list[str] = []
    for kind, texts in kinds.items():
        share = MARKS if kind == BESIDE_MARKS else (1 - MARKS) / (len(kinds) - 1)
        left = [text for text in texts if text not in avoid]
        drawn += chance.sample(left, min(len(left), round(most * share)))
    chance.shuffle(drawn)
    return drawn


def _carried(text: str, chance: random.Random, avoid: frozenset[str]) -> str:
    if chance.random() > CARRIED:
        return text
    more = f"{chance.choice(BEFORE)}, {text}" if chance.random() < 0.6 else f"{text}, {chance.choice(AFTER)}"
    return text if more.replace(",", "") in avoid else more


def _some(bounds: tuple[int, int], chance: random.Random) -> int:
    """Mostly near the usual, one in five as it is."""
    if chance.random() < 0.2:
        return USUAL
    low, high = bounds
    return round(min(high, max(low, chance.gauss(USUAL, (high - low) / 4))))
