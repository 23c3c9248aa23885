"""Is what we hear our own prompt coming back?

A line's echo comes within a few dozen milliseconds, a loud-speaking telephone's within half a second, both quieter
than what was played. It resembles what was played at one delay; a person's voice does so only by chance.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from ivr.speech.activity import FRAME, RATE, Samples, decibels

HEARD = 0.2
"""Seconds of what is heard that are compared."""
LONGEST_DELAY = 0.5
PLAYED = HEARD + LONGEST_DELAY
ALIKE = 0.7
"""The correlation from which it is an echo. A line's echo has 0.9; a voice comes so near in 1 of 100 moments."""
DOUBTFUL, DOUBTS = 0.45, 6
"""Between this and ALIKE it may be an echo blurred by a room: so many moments are waited for a clearer one."""
CERTAIN = 3
"""Moments after which the echo's delay is known …"""
STILL_ALIKE = 0.4
"""… and the correlation near it that makes it an echo: by chance a voice has 0.2 there."""
NEAR = 120
"""Samples: 15 ms. A room has many ways, and a voice looks the same one period later."""
QUIETER = 2.0
"""dB at least by which an echo is quieter than what was played."""
LOUDER = 3.0
"""dB above the echo's usual strength: with little likeness besides, somebody speaks over it."""
NOW = 0.064
"""Seconds in which that shows first."""
SILENT = -55.0
"""dBFS: nothing was played."""
SIZE = 8192
"""Of the transform: both together fit in."""


class EchoGuard:
    """Remembers what was played and heard lately; bounded."""

    def __init__(self) -> None:
        self._heard: deque[Samples] = deque(maxlen=round(HEARD * RATE / FRAME))
        self._played: deque[Samples] = deque(maxlen=round(PLAYED * RATE / FRAME))
        self._sounding = 0
        """Frames during which an echo may still come."""
        self._delay = 0
        self._gain = 0.0
        """dB; below 0."""
        self._times = 0
        """How often it was seen at that delay."""
        self._doubts = 0

    def feed(self, heard: Samples, played: Samples | None) -> None:
        """Take 20 ms of both."""
        if played is not None and decibels(played) > SILENT:
            self._sounding = round(PLAYED * RATE / FRAME)
        elif self._sounding:
            self._sounding -= 1
        self._heard.append(heard)
        self._played.append(played if played is not None else np.zeros(len(heard), np.float32))

    @property
    def is_there(self) -> bool:
        """Does this line or telephone give back what is played, and may do so now?"""
        return self._sounding > 0 and self._times >= CERTAIN

    def is_echo(self) -> bool:
        """Is the last sound nothing but our own? Asked of sound with a voice in it."""
        if not self._sounding:
            self._doubts = 0
            return False
        heard, played = np.concatenate(self._heard), np.concatenate(self._played)
        if self.is_there and self._is_spoken_over(heard, played):
            return False
        alike, gain = _compare(heard, played)
        best = int(alike.argmax())
        if alike[best] >= ALIKE and gain[best] <= -QUIETER:
            self._learn(best, float(gain[best]))
            return True
        if self.is_there:
            near = slice(max(0, self._delay - NEAR), self._delay + NEAR + 1)
            return bool(alike[near].max() >= STILL_ALIKE and gain[near].max() <= self._gain + 3 * LOUDER)
        self._doubts += 1
        return bool(alike[best] >= DOUBTFUL and gain[best] <= -QUIETER and self._doubts <= DOUBTS)

    def _learn(self, delay: int, gain: float) -> None:
        if abs(delay - self._delay) > NEAR:
            self._delay, self._gain, self._times = delay, gain, 0
        self._times += 1
        self._gain += (gain - self._gain) / min(self._times, 10)

    def _is_spoken_over(self, heard: Samples, played: Samples) -> bool:
        """Is the newest sound both unlike the echo and louder than it can be?"""
        now = heard[-round(NOW * RATE) :]
        end = len(played) - max(0, self._delay - NEAR)
        begin = len(played) - self._delay - NEAR - len(now)
        if begin < 0:
            return False
        alike, gain = _compare(now, played[begin:end])
        return bool(alike.max() < STILL_ALIKE and gain.max() > self._gain + LOUDER)


def _compare(heard: Samples, played: Samples) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each delay in samples: how much the two are alike, −1 to 1, and how much louder the one heard is, dB."""
    places = min(len(played) - len(heard), round(LONGEST_DELAY * RATE)) + 1
    spectrum = np.fft.rfft(played, SIZE) * np.conj(np.fft.rfft(heard, SIZE))
    product = np.fft.irfft(spectrum, SIZE)[: len(played) - len(heard) + 1]
    sums = np.concatenate([[0.0], np.cumsum(played.astype(np.float64) ** 2)])
    there = sums[len(heard) :] - sums[: -len(heard)] + 1e-9
    here = float(np.dot(heard, heard)) + 1e-9
    alike = product / np.sqrt(there * here)
    return alike[::-1][:places], 10 * np.log10(here / there)[::-1][:places]
