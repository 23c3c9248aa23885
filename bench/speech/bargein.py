"""What ends a prompt: how soon speech over it is noticed, and how often something else is taken for speech.

In seconds of sound, from the first sound of the speech to SpeechBegan; what the line adds is measured on the real
Asterisk. The prompt comes back as an echo: weaker, later, and with the room in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.figures import percentile
from bench.speech import spoil
from bench.speech.hearing import FRAME
from bench.speech.spoil import Noise
from ivr.speech.activity import Detectors
from ivr.speech.listener import Listener, SpeechBegan
from ivr.speech.sound import Samples

PROMPT_LEVEL = -20.0
"""dBFS: what `ivr.speech.sound` levels prompts to."""
ECHOES = (30, 20, 14, 8)
"""How much weaker the prompt comes back, dB; ITU-T G.122 asks a telephone network for more than 20."""
LEVELS = (-60, -45, -35)
"""Of noise, dBFS; speech is at about -26."""


@dataclass(frozen=True, slots=True)
class FalseStarts:
    """How often nothing was taken for speech."""

    what: str
    minutes: float
    starts: int

    @property
    def a_minute(self) -> float:
        return self.starts / self.minutes


@dataclass(frozen=True, slots=True)
class Interrupted:
    """How soon speech was noticed while the prompt came back as an echo."""

    echo: int | None
    """dB below the prompt; None: no prompt."""
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
    length = int(minutes * 60 * spoil.RATE)
    lines: list[tuple[str, Samples, Samples | None]] = [
        (f"{kind} noise at {level} dBFS", _noise(kind, level, length, babble, chance), None)
        for kind in (Noise.WHITE, Noise.PINK, Noise.HUM)
        for level in LEVELS
    ]
    lines.append(("knocks and clicks", _knocks(length, chance), None))
    lines += [
        (f"talk in the room at {level} dBFS", _noise(Noise.BABBLE, level, length, babble, chance), None)
        for level in LEVELS
    ]
    said = _prompts(prompt, length)
    lines += [(f"our prompt's echo, {loss} dB weaker", echo(said, loss, chance), said) for loss in ECHOES]
    return [FalseStarts(what, minutes, asyncio.run(_starts(line, played))) for what, line, played in lines]


def interrupted(
    prompt: Samples, speeches: Sequence[Samples], echoes: Sequence[int | None] = (None, *ECHOES)
) -> list[Interrupted]:
    """Each of `speeches` (8 kHz, as spoken) over the prompt, with each echo."""
    return [asyncio.run(_interrupt(prompt, speeches, loss)) for loss in echoes]


def echo(said: Samples, loss: float, chance: np.random.Generator) -> Samples:
    """`said` as it comes back: later by 30 to 150 ms, with the room's reverberation, `loss` dB weaker."""
    room = np.exp(-np.arange(int(0.15 * spoil.RATE)) / (0.03 * spoil.RATE)) * chance.standard_normal(1200)
    room[0] = 2.0
    length = len(said) + len(room) - 1
    wet = np.fft.irfft(np.fft.rfft(said, length) * np.fft.rfft(room, length), length)
    later = np.pad(wet, (int(chance.uniform(0.03, 0.15) * spoil.RATE), 0))[: len(said)]
    return spoil.at_level(spoil.in_band(later.astype(np.float32)), PROMPT_LEVEL - loss)


async def _interrupt(prompt: Samples, speeches: Sequence[Samples], loss: int | None) -> Interrupted:
    soon: list[float] = []
    missed = early = 0
    for number, speech in enumerate(speeches):
        chance = np.random.default_rng(number)
        voice = spoil.at_level(spoil.in_band(speech), chance.uniform(spoil.QUIETEST, spoil.LOUDEST))
        begins, ends = spoil.extent(voice)
        before = chance.uniform(1.0, 2.0)
        line = np.pad(voice, (int(before * spoil.RATE), spoil.RATE))
        said = _prompts(prompt, len(line)) if loss is not None else None
        line = line + spoil.surroundings(len(line), spoil.CLEAN, 0.0, line, chance)
        if said is not None and loss is not None:
            line = line + echo(said, loss, chance)
        first = next(iter(await _begun(line, said)), None)
        if first is None or first > before + ends:
            missed += 1
        elif first < before + begins:
            early += 1
        else:
            soon.append(first - before - begins)
    return Interrupted(loss, len(speeches), missed, early, percentile(soon, 0.5), percentile(soon, 0.95))


async def _starts(line: Samples, played: Samples | None) -> int:
    return len(await _begun(line, played))


async def _begun(line: Samples, played: Samples | None) -> list[float]:
    """The moments of every SpeechBegan, seconds of sound."""
    listener = Listener(None, Detectors())
    moments = []
    try:
        for number, (frame, said) in enumerate(_frames(line, played), start=1):
            listener.feed(frame, said)
            await asyncio.sleep(0)
            while not listener.events.empty():
                if isinstance(listener.events.get_nowait(), SpeechBegan):
                    moments.append(number * FRAME)
    finally:
        await listener.aclose()
    return moments


def _frames(line: Samples, played: Samples | None) -> Iterator[tuple[bytes, bytes | None]]:
    heard = spoil.framed(line)
    said = spoil.framed(played) if played is not None else [None] * len(heard)
    yield from zip(heard, said, strict=True)


def _prompts(prompt: Samples, length: int) -> Samples:
    """The prompt again and again, a second between."""
    once = np.pad(spoil.at_level(prompt, PROMPT_LEVEL), (0, spoil.RATE))
    return np.resize(once, length).astype(np.float32)


def _noise(kind: Noise, level: float, length: int, babble: Samples, chance: np.random.Generator) -> Samples:
    sound = spoil.noise(kind, length, babble, chance)
    rms = 10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12)
    return sound * np.float32(10 ** ((level - rms) / 20))


def _knocks(length: int, chance: np.random.Generator) -> Samples:
    """One about every two seconds: a click of a few milliseconds or a thump of fifty."""
    line = np.zeros(length, np.float32)
    for _ in range(length // (2 * spoil.RATE)):
        lasts = int(chance.choice([0.003, 0.01, 0.05]) * spoil.RATE)
        at = int(chance.integers(0, length - 5 * lasts))
        burst = chance.standard_normal(5 * lasts) * np.exp(-np.arange(5 * lasts) / lasts)
        line[at : at + 5 * lasts] += (burst * 10 ** (chance.uniform(-35, -12) / 20)).astype(np.float32)
    return spoil.in_band(line) + spoil.surroundings(length, spoil.CLEAN, 0.0, line, chance)
