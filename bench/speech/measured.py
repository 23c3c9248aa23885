"""What one run measured of one model, and how its clips are counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.speech.bargein import FalseStarts, Interrupted
from bench.speech.clips import NONE, PERSON, RATINGS, Voices
from bench.speech.hearing import Judged
from bench.speech.judge import ratings
from bench.speech.paced import Load
from bench.speech.pictures import Named
from bench.speech.streams import Streams
from ivr.speech.calibration import Calibration


@dataclass(slots=True)
class Measured:
    """One model."""

    model: str
    voices: Voices
    used: tuple[str, ...]
    """The voices of this run."""
    when: str
    machine: str
    size: float = 0.0
    """MB on disk."""
    judged: list[Judged] = field(default_factory=list)
    """By the voices of this run."""
    wider: list[Judged] = field(default_factory=list)
    """By every voice that it did not learn from, where those are more."""
    unknown: tuple[str, ...] = ()
    """Words that are listened for and that the model does not know."""
    listened_for: int = 0
    """How many words are."""
    calibration: Calibration | None = None
    """Of its confidences; None: they are as the recogniser has them."""
    known: frozenset[str] = frozenset()
    """The phrases all of whose words the model knows."""
    unseen: list[Judged] = field(default_factory=list)
    """Answers written without sight of the vocabulary."""
    readable: frozenset[str] = frozenset()
    """The texts of these that are understood as texts."""
    named: list[Named] = field(default_factory=list)
    """What two people call pictures; nothing of a model to which no words can be added."""
    unpaced: float = 0.0
    """Seconds that judging took."""
    clock: Load | None = None
    steps: list[Load] = field(default_factory=list)
    held: int = 0
    alone: dict[str, Load] = field(default_factory=dict)
    """What one kind of sound costs, by its name."""
    streams: list[Streams] = field(default_factory=list)
    false_starts: list[FalseStarts] = field(default_factory=list)
    interrupted: list[Interrupted] = field(default_factory=list)

    def can_be_known(self, one: Judged) -> bool:
        return bool(one.phrase.recording) or one.phrase.text in self.known

    @property
    def widest(self) -> list[Judged]:
        """What it is held against the aims with."""
        return self.wider or self.judged

    def answerable(self, judged: Sequence[Judged]) -> list[Judged]:
        """Ratings in words the model knows."""
        return [one for one in ratings(judged) if self.can_be_known(one)]

    def spoken_answers(self, judged: Sequence[Judged]) -> list[Judged]:
        """Ratings and wishes in words the model knows, not those of a person."""
        return [
            one
            for one in judged
            if one.phrase.means != NONE and not is_a_persons(one) and self.can_be_known(one)
        ]


def within(judged: Iterable[Judged], condition: str) -> list[Judged]:
    return [one for one in judged if one.clip.condition.name == condition]


def is_a_persons(one: Judged) -> bool:
    return one.clip.spoken.voice == PERSON


def is_wrong(one: Judged) -> bool:
    return one.wrong


def is_lie(one: Judged) -> bool:
    """What is no rating was taken for one."""
    return one.wrong_rating


def is_accepted(one: Judged) -> bool:
    return one.accepted


def is_unsure(one: Judged) -> bool:
    return not one.accepted and not one.wrong


def our_rating(one: Judged) -> str | None:
    """What is read back and denied is nobody's rating."""
    return one.outcome if one.outcome in RATINGS and not one.doubted else None
