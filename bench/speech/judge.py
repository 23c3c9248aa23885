"""Every clip judged, on all cores; the confusion table and the shares."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from appliance.native import Native
from bench.speech import loose
from bench.speech.clips import NONE, RATINGS, Clip, Studio
from bench.speech.hearing import SILENCE, UNSURE, Judged, judged
from ivr.dialplan.understanding import Pack
from ivr.speech.activity import Detectors
from ivr.speech.ears import Vosk, open_ears
from ivr.speech.sound import Samples

CHUNK = 20
"""Clips handed to a core at a time."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a core needs to know."""

    model: Path
    language: str
    understanding: Path
    """What answers mean."""
    native: Path
    spoken: Path
    babble: Path
    """The talk behind the speakers: samples as numpy keeps them."""


class Judge:
    """One core's: its own ears."""

    def __init__(self, bench: Bench) -> None:
        self._studio = Studio(Native(bench.native), bench.spoken)
        self._ears, self._pack = opened(bench)
        self._detectors = Detectors()
        self._babble: Samples = np.load(bench.babble)

    async def hear(self, clips: Sequence[Clip]) -> list[Judged]:
        return [
            await judged(
                clip, self._studio.received(clip, self._babble), self._ears, self._detectors, self._pack
            )
            for clip in clips
        ]


def opened(bench: Bench) -> tuple[Vosk, Pack]:
    ears, pack = open_ears(bench.model), Pack.read(bench.language, bench.understanding)
    return ears, pack.heard_by(ears.missing(pack.words()), ears.trust)


_judges: list[Judge] = []
"""The one of this core."""


def _open(bench: Bench) -> None:
    _judges.append(Judge(bench))


def _hear(clips: Sequence[Clip]) -> list[Judged]:
    return asyncio.run(_judges[0].hear(clips))


def hear_all(bench: Bench, clips: Sequence[Clip], bar: tqdm[Any]) -> list[Judged]:
    """In the order of `clips`."""
    chunks = [clips[at : at + CHUNK] for at in range(0, len(clips), CHUNK)]
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=_open, initargs=(bench,)
    ) as cores:
        jobs = [cores.submit(_hear, chunk) for chunk in chunks]
        for job in as_completed(jobs):
            bar.update(len(job.result()))
        return [one for job in jobs for one in job.result()]


# ---- figures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @classmethod
    def of(cls, judged: Sequence[Judged], holds: Callable[[Judged], bool]) -> Share:
        return cls(sum(map(holds, judged)), len(judged))

    @property
    def value(self) -> float:
        return self.part / self.whole if self.whole else math.nan

    @property
    def at_most(self) -> float:
        """The 95 % upper bound (Wilson): what the true share may be when so few were tried."""
        if not self.whole:
            return math.nan
        z, n, p = 1.645, self.whole, self.value
        centre = p + z * z / (2 * n)
        spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (centre + spread) / (1 + z * z / n)

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} %" if self.whole else "–"


def confusion(judged: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    """A row a group: what was said, clips, taken for 1 … 5, the right intent, another one, unsure, unnoticed."""
    groups = dict.fromkeys(one.phrase.group for one in judged)
    for group in groups:
        mine = [one for one in judged if one.phrase.group == group]
        taken = Counter(_column(one) for one in mine)
        yield (group, str(len(mine)), *(str(taken[column] or "") for column in COLUMNS))


COLUMNS = (*RATINGS, "its intent", "another", UNSURE, SILENCE)


def _column(one: Judged) -> str:
    if one.outcome in {*RATINGS, UNSURE, SILENCE}:
        return one.outcome
    return "another" if one.is_another else "its intent"


def answers(judged: Sequence[Judged]) -> list[Judged]:
    return [one for one in judged if one.phrase.means != NONE]


def ratings(judged: Sequence[Judged]) -> list[Judged]:
    return [one for one in judged if one.phrase.is_rating]


def non_answers(judged: Sequence[Judged]) -> list[Judged]:
    """What must not become a rating: talk, and wishes as well."""
    return [one for one in judged if not one.phrase.is_rating]


def loosely(one: Judged) -> str | None:
    """The peer's rating of the very words our ears heard, whatever their confidence."""
    return loose.rating(" ".join(word.text for stretch in one.words for word in stretch))


def loosely_perfect(one: Judged) -> str | None:
    """… and of what was really said, as if its ears never erred."""
    return loose.rating(one.phrase.text)
