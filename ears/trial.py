"""Is it any good, and how sure may it be? Tried on speech the network never heard, before a model takes its place.

It hears pieces kept from the learning: every so many-th of each voice, and voices kept out; what comes of it sets its
confidences. The benchmark (`make bench-speech`) measures; this is a gate.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from ears.alignment import Aligned
from ears.augmentation import Company, telephoned
from ears.speech import variant_of
from ivr.dialplan.understanding import Pack, Unsure
from ivr.dialplan.understanding.pack import Sense
from ivr.heard import Heard, Word
from ivr.speech import calibration
from ivr.speech.calibration import Calibration
from ivr.speech.ears import Vosk, open_ears

RESERVED = 20
"""One piece in so many is kept from the learning."""
TAKES = 12
"""Times each piece is heard, spoilt in another way. More pieces tell more than more takes of them: one that is always
misheard for another would lower the worth of a confidence for all."""
OF_EACH = 100
"""Pieces of one source at most: what is true of the many mouths of a machine is not of people."""
HARSH = 0.2
"""A fifth as often in noise, or badly, as what was learned from: most lines are good."""
ANSWERS = 0.35
"""So much of what is heard counts as answers. (Of the pieces fewer are one; of those that people say hardly any.)"""
QUESTION = "rating"
SEED = 77


def is_reserved(piece: Aligned, kept_out: Sequence[str]) -> bool:
    """Kept from the learning: a voice that is, or a piece chosen by what is said in it."""
    if variant_of(piece.voice) in kept_out:
        return True
    return len(piece.words) > 1 and zlib.crc32(" ".join(piece.words).encode()) % RESERVED == 0


def evenly(pieces: Sequence[Aligned]) -> list[Aligned]:
    """Of each source OF_EACH at most, from all that it says."""
    sources: dict[str, list[Aligned]] = {}
    for piece in pieces:
        sources.setdefault(piece.source, []).append(piece)
    return [piece for said in sources.values() for piece in said[:: -(-len(said) // OF_EACH)]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was made of one piece."""

    share: float
    """Of what it may have been that means what it was taken for."""
    is_one: bool
    """Does what was said mean anything?"""
    is_taken: bool
    """… and what was heard?"""
    is_right: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What was heard of the reserved pieces."""

    answers: int
    right: int

    @property
    def share(self) -> float:
        return self.right / max(1, self.answers)

    @classmethod
    def of(cls, heard: Sequence[Answer]) -> Result:
        said = [one for one in heard if one.is_one]
        return cls(len(said), sum(one.is_right for one in said))

    def __str__(self) -> str:
        return f"{self.share:.1%} of {self.answers} answers understood"


def worth(heard: Sequence[Answer]) -> Calibration:
    """How often that which makes up a share of the readings is what was said, among ANSWERS and other speech."""
    ones = sum(one.is_one for one in heard)
    other = ones * (1 - ANSWERS) / ANSWERS / max(1, len(heard) - ones)
    taken = [one for one in heard if one.is_taken]
    return calibration.fit(
        [one.share for one in taken],
        [one.is_right for one in taken],
        "speech kept from the learning, spoilt a fifth as often as what it learned from; "
        f"{ANSWERS:.0%} of it counted as answers",
        [1.0 if one.is_one else other for one in taken],
    )


def hear(model: Path, pieces: Sequence[Aligned], others: Sequence[Aligned]) -> list[Answer]:
    """What is made of these pieces as answers to a question. Others talk in the background."""
    takes = [(take, number, piece) for take in range(TAKES) for number, piece in enumerate(evenly(pieces))]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork"), _open, (model, others)) as cores:
        return list(cores.map(_hear, takes, chunksize=20))


_ears: Vosk
_pack: Pack
_company: Company


def _open(model: Path, others: Sequence[Aligned]) -> None:
    global _ears, _pack, _company  # noqa: PLW0603 - a process of its own
    _ears = open_ears(model, threads=1, calibrated=False)
    _pack, _company = _without_clauses(Pack.read("ru")), Company(others)


def _without_clauses(pack: Pack) -> Pack:
    """What is said is known without its pauses, so they may not change what is heard."""
    return Pack(pack.vocabulary, {QUESTION: replace(pack.thresholds[QUESTION], clause=0.0)})


def _hear(taken: tuple[int, int, Aligned]) -> Answer:
    take, number, piece = taken
    heard = asyncio.run(_listen(telephoned(piece, _company, (SEED, take, number), HARSH)))
    said = Heard(tuple(Word(word, 1.0) for word in piece.words))
    return judged(_pack.shares(said, QUESTION), _pack.shares(heard, QUESTION))


async def _listen(pcm: bytes) -> Heard:
    hearing = _ears.listen(_pack.question(QUESTION).phrases)
    await hearing.feed(pcm)
    return Heard(await hearing.finish(), readings=hearing.readings)


def judged(said: Mapping[Sense, float], heard: Mapping[Sense, float]) -> Answer:
    """The likeliest of each, beside one another."""
    (truth, *_), (taken, *_) = said, heard
    return Answer(heard[taken], truth is not Unsure, taken is not Unsure, taken == truth)
