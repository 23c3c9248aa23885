"""Is it any good, and how sure may it be? Tried on speech the network never heard, before a model takes its place.

It hears pieces kept from the learning: every so many-th of each voice, and voices kept out; what comes of it sets its
confidences. The benchmark (`make bench-speech`) measures; this is a gate.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from multiprocessing import get_context
from pathlib import Path

from ears.alignment import Aligned
from ears.augmentation import telephoned
from ivr.dialplan.understanding import Pack
from ivr.dialplan.understanding.vocabulary import plain
from ivr.heard import UNKNOWN
from ivr.speech.ears import Vosk, open_ears
from ivr.speech.graph import LEXICON, Lexicon

RESERVED = 33
"""One piece in so many is kept from the learning."""
MOST = 3_000
"""Pieces heard to set the confidences."""
SEED = 77


def is_reserved(piece: Aligned, kept_out: Sequence[str]) -> bool:
    """Kept from the learning: a voice that is, or a piece chosen by what is said in it."""
    if piece.voice.partition("+")[2] in kept_out:
        return True
    return len(piece.words) > 1 and zlib.crc32(" ".join(piece.words).encode()) % RESERVED == 0


@dataclass(frozen=True, slots=True)
class Result:
    """What was heard of the reserved pieces."""

    words: int
    right: int

    @property
    def share(self) -> float:
        return self.right / max(1, self.words)

    @classmethod
    def of(cls, heard: Sequence[tuple[float, bool]]) -> Result:
        return cls(len(heard), sum(right for _, right in heard))

    def __str__(self) -> str:
        return f"{self.share:.1%} of {self.words} words right"


def hear(model: Path, pieces: Sequence[Aligned], others: Sequence[Aligned]) -> list[tuple[float, bool]]:
    """Of each word heard in these pieces: how sure, and whether it was said. Others talk in the background."""
    some = pieces[:: max(1, len(pieces) // MOST)]
    with get_context("fork").Pool(os.cpu_count(), _open, (model, others)) as pool:
        return [word for words in pool.imap(_hear, enumerate(some), chunksize=20) for word in words]


_ears: Vosk
_others: Sequence[Aligned]
_phrases: Sequence[str]
_alike: Mapping[str, str]


def _open(model: Path, others: Sequence[Aligned]) -> None:
    global _ears, _others, _phrases, _alike  # noqa: PLW0603 - a process of its own
    _ears = open_ears(model, threads=1, calibrated=False)
    _others, _phrases = others, Pack.read("ru").question("rating").phrases
    _alike = Lexicon.read(model / LEXICON).alike


def _hear(numbered: tuple[int, Aligned]) -> list[tuple[float, bool]]:
    number, piece = numbered
    pcm = telephoned(piece, _others, (SEED, number))
    heard = asyncio.run(_listen(pcm))
    words, confidences = (
        [_alike.get(word, word) for word, _ in heard],
        [confidence for _, confidence in heard],
    )
    return list(judged(words, confidences, [_alike.get(word, word) for word in piece.words]))


async def _listen(pcm: bytes) -> list[tuple[str, float]]:
    hearing = _ears.listen(_phrases)
    await hearing.feed(pcm)
    return [(word.text, word.confidence) for word in await hearing.finish()]


def judged(
    heard: Sequence[str], confidences: Sequence[float], said: Sequence[str]
) -> Iterator[tuple[float, bool]]:
    """Of each word heard, other speech left out: how sure, and whether it was said at that place."""
    matching = SequenceMatcher(
        None, [plain(word) for word in heard], [plain(word) for word in said], autojunk=False
    )
    right = {at + offset for at, _, size in matching.get_matching_blocks() for offset in range(size)}
    for at, (word, confidence) in enumerate(zip(heard, confidences, strict=True)):
        if word != UNKNOWN:
            yield confidence, at in right
