"""What a telephone does to speech: band, level, noise, G.711, lost packets, a missing beginning.

Samples are float32 at 8 kHz, full scale ±1.0; levels are dBFS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from bench.speech.noises import RATE, Background, in_band, noise
from ivr.speech.sound import Samples, as_alaw, as_pcm

PACKET = 160
"""Samples in 20 ms."""
BEFORE, AFTER = 2.0, 2.0
"""Seconds of the line before and after the speech: the noise is there as well, as it is on a call that has begun."""
QUIETEST, LOUDEST = -30.0, -18.0
"""The active level of speech, dBFS: telephones differ (ITU-T P.56; -26 is usual)."""
FAINT = -56.0
"""30 dB below the usual: who whispers, or lays the receiver down."""
IDLE = -66.0
"""The noise of a line on which nobody makes any, dBFS."""
SPEECH_RANGE = 30.0
"""Speech lies within so many dB of its loudest moment: that is where it begins and ends."""
CLIPPED = (0.040, 0.120)
"""Seconds of speech missing when the path opened too late."""
CONCEALED = (0.7, 0.4, 0.15)
"""Lost packets in a row are the last good one, so much quieter; then silence."""


class Law(StrEnum):
    """Of G.711."""

    A = "A-law"
    """Europe's, Russia's among them."""
    MU = "µ-law"
    """America's and Japan's; many an operator's gateway speaks it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which speech arrives."""

    name: str
    snr: float | None = None
    """Speech to noise in the telephone's band, dB; None: nothing but the line's own."""
    noise: Background = Background.WHITE
    loss: float = 0.0
    """The share of 20 ms packets that never arrive."""
    clipped: bool = False
    law: Law = Law.A
    faint: bool = False
    """The whole line is so weak that the speech has FAINT: its noise as well, no more is added."""
    rate: int | None = None
    """Per cent of the voice's own; None: as it comes."""
    child: bool = False
    """In a voice of a child's pitch and formants."""

    @property
    def is_speakers(self) -> bool:
        """Does it lie in how it is spoken? A recording is spoken already."""
        return self.rate is not None or self.child

    def __str__(self) -> str:
        return self.name


CLEAN = Condition("clean")
NOISY = tuple(Condition(f"{snr} dB", float(snr), noise) for snr in (20, 10, 5) for noise in Background)
LOSSY = tuple(Condition(f"loss {share} %", loss=share / 100) for share in (1, 3, 5))
CLIPPED_START = Condition("clipped start", clipped=True)
MU_LAW = Condition("µ-law", law=Law.MU)
LEVEL = Condition("level −30 dB", faint=True)
SLOW, FAST = Condition("slow", rate=60), Condition("fast", rate=160)
CHILD = Condition("child-like", child=True)
CONDITIONS = (CLEAN, *NOISY, *LOSSY, CLIPPED_START, MU_LAW, LEVEL, SLOW, FAST, CHILD)


@dataclass(frozen=True, slots=True)
class Received:
    """What the exchange hears of one clip."""

    frames: tuple[bytes, ...]
    """20 ms each: 8 kHz mono s16le."""
    begins: float
    """Where the speech begins in it, seconds."""
    ends: float


def received(speech: Samples, condition: Condition, babble: Samples, chance: np.random.Generator) -> Received:
    """`speech` (8 kHz, as spoken) as it arrives."""
    voice = at_level(in_band(speech), chance.uniform(QUIETEST, LOUDEST))
    begins, ends = extent(voice)
    if condition.clipped:
        missing = int(min(chance.uniform(*CLIPPED), (ends - begins) / 2) * RATE)
        start = int(begins * RATE) + missing
        voice = np.concatenate([np.zeros(start, np.float32), voice[start:]])
        begins = start / RATE
    line = np.pad(voice, (int(BEFORE * RATE), int(AFTER * RATE)))
    line = line + surroundings(len(line), condition, active_level(voice), babble, chance)
    if condition.faint:
        line = line * np.float32(10 ** ((FAINT - active_level(voice)) / 20))
    packets = [*_packets(THROUGH[condition.law](line))]
    arrived = chance.random(len(packets)) >= condition.loss
    frames, moments = _covered(packets, arrived, chance)
    return Received(tuple(frames), _moved(begins + BEFORE, moments), _moved(ends + BEFORE, moments))


def at_level(voice: Samples, level: float) -> Samples:
    """Brought to an active level, or only as loud as it is not clipped."""
    gain = 10 ** ((level - active_level(voice)) / 20)
    return (voice * min(gain, 0.98 / max(1e-6, float(np.abs(voice).max())))).astype(np.float32)


def active_level(voice: Samples) -> float:
    """The level of the speech, its pauses left out, dBFS."""
    powers = _powers(voice)
    loud = powers > powers.max(initial=1e-12) / 10 ** (SPEECH_RANGE / 10)
    return float(10 * np.log10(powers[loud].mean() if loud.any() else 1e-12))


def extent(voice: Samples) -> tuple[float, float]:
    """Where the speech begins and ends, seconds; by tens of milliseconds."""
    powers = _powers(voice)
    loud = np.flatnonzero(powers > powers.max(initial=1e-12) / 10 ** (SPEECH_RANGE / 10))
    if not len(loud):
        return 0.0, 0.0
    return float(loud[0] / 100), float((loud[-1] + 1) / 100)


def surroundings(
    length: int, condition: Condition, level: float, babble: Samples, chance: np.random.Generator
) -> Samples:
    """What is heard beside the speech, which has `level`."""
    if condition.snr is None:
        return _to(IDLE, noise(Background.PINK, length, babble, chance))
    return _to(level - condition.snr, noise(condition.noise, length, babble, chance))


def through_alaw(line: Samples) -> npt.NDArray[np.int16]:
    """There and back: what the other end makes of the bytes."""
    return _LINEAR[np.frombuffer(as_alaw(as_pcm(line)), np.uint8)]


def through_mulaw(line: Samples) -> npt.NDArray[np.int16]:
    """There and back (ITU-T G.711, table 2a): 14 bits, eight segments, the middle of the step."""
    sample = as_pcm(line).astype(np.int32) >> 2
    magnitude = np.minimum(np.abs(sample), 8158) + 33
    segment = np.searchsorted([64, 128, 256, 512, 1024, 2048, 4096], magnitude, side="right")
    step = (magnitude >> (segment + 1)) & 0x0F
    back = ((2 * step + 33) << segment) - 33
    return np.asarray(np.where(sample < 0, -back, back) << 2, "<i2")


THROUGH = {Law.A: through_alaw, Law.MU: through_mulaw}


def framed(line: Samples) -> list[bytes]:
    """Through A-law and nothing lost: 20 ms each."""
    return [packet.tobytes() for packet in _packets(through_alaw(line))]


def _packets(pcm: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.int16]]:
    padded = np.pad(pcm, (0, -len(pcm) % PACKET))
    yield from padded.reshape(-1, PACKET)


def _covered(
    packets: list[npt.NDArray[np.int16]], arrived: npt.NDArray[np.bool_], chance: np.random.Generator
) -> tuple[list[bytes], list[float]]:
    """The frames that come out, and when each packet's place in them begins, seconds.

    Whoever receives covers a hole in one of three ways: the last packet again, fading; silence; or not at all
    (an exchange without a jitter buffer: what comes next moves up).
    """
    way = ("faded", "silent", "gone")[chance.integers(3)]
    frames: list[bytes] = []
    moments: list[float] = []
    good, holes = np.zeros(PACKET, np.int16), 0
    for packet, came in zip(packets, arrived, strict=True):
        moments.append(len(frames) * PACKET / RATE)
        if came:
            good, holes = packet, 0
            frames.append(packet.tobytes())
        elif way != "gone":
            gain = CONCEALED[holes] if way == "faded" and holes < len(CONCEALED) else 0.0
            frames.append((good * gain).astype("<i2").tobytes())
            holes += 1
    return frames, moments


def _moved(moment: float, moments: list[float]) -> float:
    packet, inside = divmod(moment, PACKET / RATE)
    return moments[min(int(packet), len(moments) - 1)] + inside


def _powers(voice: Samples) -> npt.NDArray[np.float64]:
    """The mean square of each 10 ms."""
    step = RATE // 100
    padded = np.pad(voice.astype(np.float64), (0, -len(voice) % step)).reshape(-1, step)
    powers: npt.NDArray[np.float64] = np.mean(padded**2, axis=1)
    return powers


def _to(level: float, sound: Samples) -> Samples:
    power = float(np.mean(sound.astype(np.float64) ** 2)) + 1e-12
    return sound * np.float32(10 ** (level / 20) / power**0.5)


def _linear_table() -> npt.NDArray[np.int16]:
    """The sample of every A-law byte: the middle of its step (ITU-T G.711, table 1a)."""
    code = np.arange(256) ^ 0x55
    segment, step = (code >> 4) & 7, code & 0x0F
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) << 3).astype("<i2")


_LINEAR = _linear_table()
