"""The nouns of listening: what the ears make of a stretch of sound, and what a person answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

UNKNOWN = "[unk]"
"""Speech that is none of the words listened for."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    """As the grammar spells it, or UNKNOWN."""
    confidence: float
    """0 to 1."""
    seconds: float = 0.0
    """How long it was; 0.0 where the ears cannot tell."""
    pause: float = 0.0
    """Seconds of silence between the word before and it; 0.0 of the first, and where the ears cannot tell."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One of the ways to understand a stretch of sound as words."""

    words: tuple[Word, ...]
    share: float
    """Of all that it may have been, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One stretch of speech, from its first sound to the silence after it."""

    words: tuple[Word, ...]
    seconds: float = 0.0
    """How long it was, silence before and after left out."""
    pitch: float | None = None
    """The voice's median, Hz; None when too little of it was voiced."""
    readings: tuple[Reading, ...] = ()
    """What it may have been, the likeliest first; none where the ears do not say."""
    over_talk: bool = False
    """It began over talk that was left out: perhaps the speaker's own, softer words."""
    amends: bool = False
    """The stretch before was taken for an answer, and went on: this is the whole of it, the same sound and more, and
    takes its place. It confirms nothing."""

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Key:
    """A key pressed: `0`-`9`, `*`, `#`."""

    digit: str


class Noise(StrEnum):
    """At the other end is no person."""

    MACHINE = "machine"
    """An answering machine or a voice assistant: it talks without waiting, or beeps."""
    FAX = "fax"
    TONE = "tone"
    """A ring or busy tone within an answered call: the line behind it is not a telephone that was picked up."""


Answer = Key | Heard | Noise | None
"""What came of listening; None is silence."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is listened for: a closed grammar."""

    name: str
    phrases: tuple[str, ...]
    """Words and phrases the ears are to tell apart, each as often as it is expected; everything else is UNKNOWN."""
    is_complete: Callable[[tuple[Word, ...]], bool] = lambda words: False
    """Would these words alone be an answer? Then a short silence ends it."""
    is_machines: Callable[[tuple[Word, ...]], bool] = lambda words: False
    """Would only an answering machine say them?"""


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said after the tone."""

    seconds: float
    voiced: float
    """Seconds of voice in it."""
    transcript: Heard | None
    """What the ears made of it; None without ears."""
