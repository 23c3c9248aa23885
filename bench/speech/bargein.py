"""What ends a prompt: how soon speech over it is noticed, and how often something else is taken for speech.

In seconds of sound, from the first sound of the speech to SpeechBegan; what the line adds is measured on the real
Asterisk. The prompt comes back as an echo: weaker, later, and with the room in it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from multiprocessing import get_context

import numpy as np

from bench.figures import percentile
from bench.speech import spoil
from bench.speech.hearing import FRAME
from bench.speech.noises import RATE, Background, in_band, noise
from ivr.heard import Noise
from ivr.speech.activity import Detectors
from ivr.speech.listener import Event, Listener, SpeechBegan
from ivr.speech.sound import Samples

PROMPT_LEVEL = -20.0
"""dBFS: what `ivr.speech.sound` levels prompts to."""
ECHO_LEVELS = (30, 20, 14, 8)
"""How much weaker the prompt comes back, dB; a telephone network keeps it below 20 or so (ITU-T G.122)."""
LEVELS = (-60, -45, -35)
"""Of noise, dBFS; speech is at about -26."""


class Way(StrEnum):
    """How the prompt comes back."""

    LINE = "line"
    """From the other end's wires: 10 to 60 ms later, hardly blurred."""
    ROOM = "speakerphone"
    """From its loudspeaker: 50 to 200 ms later, as much of the room in it as of the prompt."""


@dataclass(frozen=True, slots=True)
class Echo:
    way: Way
    loss: int
    """dB below the prompt."""

    def __str__(self) -> str:
        return f"{self.way} echo {self.loss} dB weaker"


ECHOES = tuple(Echo(way, loss) for way in Way for loss in ECHO_LEVELS)


@dataclass(frozen=True, slots=True)
class FalseStarts:
    """How often nothing was taken for speech."""

    what: str
    minutes: float
    starts: int
    machines: int
    """How often it was even taken for an answering machine."""

    @property
    def a_minute(self) -> float:
        return self.starts / self.minutes


@dataclass(frozen=True, slots=True)
class Interrupted:
    """How soon speech was noticed while the prompt came back as an echo."""

    echo: str
    tried: int
    missed: int
    """Not noticed before the speech was over."""
    early: int
    """Begun before the speech: the echo was taken for it."""
    p50: float
    p95: float


def false_starts(prompt: Samples, babble: Samples, minutes: float) -> list[FalseStarts]:
    """Noise of every kind and level, knocks, and echoes of the prompt. `prompt`: 8 kHz."""
    chance = np.random.default_rng(3)
    length = int(minutes * 60 * RATE)
    lines: list[tuple[str, Samples, Samples | None]] = [
        (f"{kind} noise at {level} dBFS", _noise(kind, level, length, babble, chance), None)
        for kind in (Background.WHITE, Background.PINK, Background.HUM)
        for level in LEVELS
    ]
    lines.append(("knocks and clicks", _knocks(length, chance), None))
    lines += [
        (f"talk in the room at {level} dBFS", _noise(Background.BABBLE, level, length, babble, chance), None)
        for level in LEVELS
    ]
    said = _prompts(prompt, length)
    lines += [(str(one), back(said, one, chance), said) for one in ECHOES]
    with _cores() as cores:
        return list(cores.map(_false_starts, *zip(*lines, strict=True)))


def interrupted(
    prompt: Samples, speeches: Sequence[Samples], echoes: Sequence[Echo] = ECHOES
) -> list[Interrupted]:
    """Each of `speeches` (8 kHz, as spoken) over the prompt, with each echo."""
    with _cores() as cores:
        return list(cores.map(_interrupt, repeat(prompt), repeat(speeches), echoes))


def _cores() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))


def back(said: Samples, echo: Echo, chance: np.random.Generator) -> Samples:
    """`said` as it comes back."""
    earliest, latest, fades, blur = (
        (0.010, 0.060, 0.004, 0.3) if echo.way is Way.LINE else (0.050, 0.200, 0.040, 1.0)
    )
    moments = np.arange(int(8 * fades * RATE)) / RATE
    room = np.exp(-moments / fades) * chance.standard_normal(len(moments))
    room *= blur / np.sqrt(np.sum(room**2))
    room[0] = 1.0
    length = len(said) + len(room) - 1
    wet = np.fft.irfft(np.fft.rfft(said, length) * np.fft.rfft(room, length), length)
    later = np.pad(wet, (int(chance.uniform(earliest, latest) * RATE), 0))[: len(said)]
    return spoil.at_level(in_band(later.astype(np.float32)), PROMPT_LEVEL - echo.loss)


def _interrupt(prompt: Samples, speeches: Sequence[Samples], echo: Echo) -> Interrupted:
    soon: list[float] = []
    missed = early = 0
    for number, speech in enumerate(speeches):
        chance = np.random.default_rng(number)
        voice = spoil.at_level(in_band(speech), chance.uniform(spoil.QUIETEST, spoil.LOUDEST))
        begins, ends = spoil.extent(voice)
        before = chance.uniform(1.0, 2.0)
        line = np.pad(voice, (int(before * RATE), RATE))
        said = _prompts(prompt, len(line))
        line = line + spoil.surroundings(len(line), spoil.CLEAN, 0.0, line, chance)
        line = line + back(said, echo, chance)
        first = next(
            (at for at, event in asyncio.run(_told(line, said)) if isinstance(event, SpeechBegan)), None
        )
        if first is None or first > before + ends:
            missed += 1
        elif first < before + begins:
            early += 1
        else:
            soon.append(first - before - begins)
    return Interrupted(str(echo), len(speeches), missed, early, percentile(soon, 0.5), percentile(soon, 0.95))


def _false_starts(what: str, line: Samples, played: Samples | None) -> FalseStarts:
    told = [event for _, event in asyncio.run(_told(line, played))]
    return FalseStarts(
        what,
        minutes=len(line) / RATE / 60,
        starts=sum(isinstance(event, SpeechBegan) for event in told),
        machines=told.count(Noise.MACHINE),
    )


async def _told(line: Samples, played: Samples | None) -> list[tuple[float, Event]]:
    """All that a listener tells, and after how many seconds; after an answering machine it is another call's."""
    detectors = Detectors()
    listener = Listener(None, detectors)
    told: list[tuple[float, Event]] = []
    for number, (frame, said) in enumerate(_frames(line, played), start=1):
        listener.feed(frame, said)
        await listener.caught_up()
        while not listener.events.empty():
            told.append((number * FRAME, listener.events.get_nowait()))
            if told[-1][1] is Noise.MACHINE:
                await listener.aclose()
                listener = Listener(None, detectors)
    await listener.aclose()
    return told


def _frames(line: Samples, played: Samples | None) -> Iterator[tuple[bytes, bytes | None]]:
    heard = spoil.framed(line)
    said = spoil.framed(played) if played is not None else [None] * len(heard)
    yield from zip(heard, said, strict=True)


def _prompts(prompt: Samples, length: int) -> Samples:
    """The prompt again and again, a second between."""
    once = np.pad(spoil.at_level(prompt, PROMPT_LEVEL), (0, RATE))
    return np.resize(once, length).astype(np.float32)


def _noise(
    kind: Background, level: float, length: int, babble: Samples, chance: np.random.Generator
) -> Samples:
    sound = noise(kind, length, babble, chance)
    rms = 10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12)
    return sound * np.float32(10 ** ((level - rms) / 20))


def _knocks(length: int, chance: np.random.Generator) -> Samples:
    """One about every two seconds: a click of a few milliseconds or a thump of fifty."""
    line = np.zeros(length, np.float32)
    for _ in range(length // (2 * RATE)):
        lasts = int(chance.choice([0.003, 0.01, 0.05]) * RATE)
        at = int(chance.integers(0, length - 5 * lasts))
        burst = chance.standard_normal(5 * lasts) * np.exp(-np.arange(5 * lasts) / lasts)
        line[at : at + 5 * lasts] += (burst * 10 ** (chance.uniform(-35, -12) / 20)).astype(np.float32)
    return in_band(line) + spoil.surroundings(length, spoil.CLEAN, 0.0, line, chance)
