"""How many robot calls at once before the answers come late, and what one costs in processor and memory.

Each step is a process of its own, so that its memory is its own. It feeds so many listeners in real time; the same
is done with nobody listening, which is what the feeding itself costs.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing import get_context
from typing import Any

import numpy as np

from appliance.native import Native
from bench.speech import spoil
from bench.speech.clips import Clip, Studio
from bench.speech.hearing import FRAME
from bench.speech.judge import Bench, opened
from bench.speech.noises import RATE
from bench.speech.paced import Caller, Load, Moments, Stream, on_the_clock
from bench.speech.spoil import Received
from ivr.speech.activity import Activity, Detectors
from ivr.speech.sound import Samples

AIM_P50, AIM_P95 = 0.300, 0.600
"""Seconds from the end of speech to the decision: half of what is understood, nearly all of everything."""
LATE = 0.100
"""Seconds a frame may be late (p99): beyond this the loop cannot follow."""
MOST = 512
"""Calls at once that are tried."""
FINER = 3
"""Halvings between the last number that held and the first that did not."""
SPEECH = 0.25
"""Its share of what is heard from a resident in a survey: mostly she listens."""
WARM = 3.0
"""Seconds of calls before the measurement: everything loaded, every pool filled."""


class Kind(StrEnum):
    """What is heard on the calls."""

    ANSWERS = "answers"
    """Somebody answers, about every four seconds: far more talk than a survey holds."""
    TALK = "talk"
    """Everybody talks without a pause."""
    SILENCE = "silence"
    NOBODY = "nobody"
    """The frames go to nobody: the floor."""
    STREAM = "stream"
    """Talk without a pause, and no listener: a recogniser alone."""
    GATED = "gated stream"
    """As much silence beside the talk as a survey has, and only what voice activity lets through is recognised."""
    PIECES = "pieces to nobody"
    """The floor of both."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a process is asked to do."""

    bench: Bench
    clips: tuple[Clip, ...]
    kind: Kind
    calls: int
    lasts: float
    """Seconds."""
    warm: float = WARM


def measure(step: Step) -> Load:
    """In a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, step).result()


def holds(load: Load) -> bool:
    return load.understood_p50 <= AIM_P50 and load.decided_p95 <= AIM_P95 and load.late_p99 <= LATE


def most(
    load_of: Callable[[int], Load],
    first: int = 16,
    holds: Callable[[Load], bool] = holds,
    ends: float = math.inf,
) -> tuple[list[Load], int]:
    """Every load that was tried, and the most calls that held: doubled, then halved in between.

    What does not hold is tried once more: something else may have run on the machine. Nothing is tried after the
    moment `ends` (`time.monotonic`).
    """
    tried: list[Load] = []

    def held(calls: int) -> bool:
        for _ in range(2):
            if time.monotonic() > ends:
                return False
            tried.append(load_of(calls))
            if holds(tried[-1]):
                return True
        return False

    good, bad = 0, first
    while bad <= MOST and held(bad):
        good, bad = bad, 2 * bad
    if good < MOST:
        for _ in range(FINER):
            if (middle := (good + bad) // 2) in {good, bad}:
                break
            good, bad = (middle, bad) if held(middle) else (good, middle)
    return tried, good


def _measure(step: Step) -> Load:
    return asyncio.run(_run(step))


async def _run(step: Step) -> Load:
    sounds = _sounds(step)
    ears, pack = opened(step.bench)
    detectors = Detectors(ready=step.calls if step.kind is Kind.GATED else 2)
    phrases = pack.question("rating").phrases

    async def call(number: int, until: float) -> Moments:
        mine = itertools.cycle(sounds[number % len(sounds) :] + sounds[: number % len(sounds)])
        match step.kind:
            case Kind.NOBODY:
                return await _nobody(mine, until)
            case Kind.PIECES:
                return await Stream(None, ()).hear(mine, until, number / step.calls)
            case Kind.STREAM:
                return await Stream(ears, phrases).hear(mine, until, number / step.calls)
            case Kind.GATED:
                return await Stream(ears, phrases, Activity(detectors)).hear(mine, until, number / step.calls)
            case _:
                return await Caller(ears, detectors, pack).hear(mine, until)

    await _together(step.calls, step.warm, call)
    began, spent = time.perf_counter(), time.process_time()
    moments = await _together(step.calls, step.lasts, call)
    return Load.of(moments, step.calls, time.perf_counter() - began, time.process_time() - spent)


async def _together(
    calls: int, lasts: float, call: Callable[[int, float], Coroutine[Any, Any, Moments]]
) -> Moments:
    """They begin within the first second, evenly."""
    loop = asyncio.get_running_loop()
    until, tasks = loop.time() + lasts, []
    for number in range(calls):
        tasks.append(asyncio.create_task(call(number, until)))
        await asyncio.sleep(1 / calls)
    together = Moments()
    for moments in await asyncio.gather(*tasks):
        together.add(moments)
    return together


async def _nobody(sounds: Iterator[tuple[Received, str]], until: float) -> Moments:
    loop, moments = asyncio.get_running_loop(), Moments()
    while loop.time() < until:
        frames = next(sounds)[0].frames
        moments.late += await on_the_clock(frames, lambda frame: None, loop.time())
        moments.sound += len(frames) * FRAME
    return moments


def _sounds(step: Step) -> list[tuple[Received, str]]:
    studio = Studio(Native(step.bench.native), step.bench.spoken)
    babble: Samples = np.load(step.bench.babble)
    heard = [(studio.received(clip, babble), clip.spoken.phrase.asked) for clip in step.clips]
    match step.kind:
        case Kind.SILENCE:
            return [_silence(length=4.0)]
        case Kind.TALK | Kind.STREAM:
            return _talk(heard)
        case Kind.GATED:
            return [(among_silence(sound), asked) for sound, asked in heard]
        case _:
            return heard


def _silence(length: float) -> tuple[Received, str]:
    chance = np.random.default_rng(2)
    line = np.zeros(int(length * RATE), np.float32)
    quiet = line + spoil.surroundings(len(line), spoil.CLEAN, 0.0, line, chance)
    return Received(tuple(spoil.framed(quiet)), 0.0, length), "rating"


def among_silence(sound: Received) -> Received:
    """The speech, and as much of the line before it as makes SPEECH of it."""
    speech = sound.frames[int(sound.begins * 50) : int(sound.ends * 50)]
    length = round(len(speech) * (1 / SPEECH - 1))
    silence = itertools.islice(itertools.cycle(sound.frames[: int(sound.begins * 50)]), length)
    return Received((*silence, *speech), length * FRAME, (length + len(speech)) * FRAME)


def _talk(heard: Sequence[tuple[Received, str]]) -> list[tuple[Received, str]]:
    """The speech without the silence around it."""
    return [
        (
            Received(
                sound.frames[int(sound.begins * 50) : int(sound.ends * 50)], 0.0, sound.ends - sound.begins
            ),
            asked,
        )
        for sound, asked in heard
    ]
