"""Is what we hear our own prompt coming back?

A line's echo comes within a few dozen milliseconds, a loud-speaking telephone's within half a second, both quieter
than what was played. It resembles what was played at one and the same delay; a person does so only by chance, and
at another delay each time.
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
"""The correlation from which it is an echo, at whatever delay: a person's voice seldom reaches it by chance."""
STILL_ALIKE = 0.35
"""The same at the delay found before: there chance gives 0.1 to 0.2, and a room blurs the echo."""
NEAR = 32
"""Samples by which the delay may wander: 4 ms."""
QUIETER = 3.0
"""dB at least by which an echo is quieter than what was played."""
LOUDER = 6.0
"""dB above the echo expected at which somebody speaks over it."""
SILENT = -55.0
"""dBFS; nothing was played."""
SIZE = 8192
"""Of the transform: more than both together."""


class EchoGuard:
    """Remembers what was played and heard lately; bounded."""

    def __init__(self) -> None:
        self._heard: deque[Samples] = deque(maxlen=round(HEARD * RATE / FRAME))
        self._played: deque[Samples] = deque(maxlen=round(PLAYED * RATE / FRAME))
        self._sounding = 0
        """Frames for which an echo may still come."""
        self._delay: int | None = None
        self._gain = 0.0

    def feed(self, heard: Samples, played: Samples | None) -> None:
        """Take 20 ms of both."""
        if played is not None and decibels(played) > SILENT:
            self._sounding = round(PLAYED * RATE / FRAME)
        elif self._sounding:
            self._sounding -= 1
        self._heard.append(heard)
        self._played.append(played if played is not None else np.zeros(len(heard), np.float32))

    def is_echo(self) -> bool:
        """Is the last fifth of a second nothing but our own sound?"""
        if not self._sounding:
            return False
        heard, played = np.concatenate(self._heard), np.concatenate(self._played)
        alike, played_level = _compare(heard, played)
        heard_level = decibels(heard)
        best = int(alike.argmax())
        if alike[best] >= ALIKE and heard_level < played_level[best] - QUIETER:
            self._delay = best
            self._gain = heard_level - played_level[best]
            return True
        if self._delay is None:
            return False
        near = slice(max(0, self._delay - NEAR), self._delay + NEAR + 1)
        expected = float(played_level[near].max()) + self._gain
        return bool(alike[near].max() >= STILL_ALIKE and heard_level < expected + LOUDER)


def _compare(heard: Samples, played: Samples) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each delay in samples: how much what was played resembles what is heard, −1 to 1, and how loud it was."""
    places = len(played) - len(heard) + 1
    spectrum = np.fft.rfft(played, SIZE) * np.conj(np.fft.rfft(heard, SIZE))
    product = np.fft.irfft(spectrum, SIZE)[:places]
    energy = np.concatenate([[0.0], np.cumsum(played.astype(np.float64) ** 2)])
    there = energy[len(heard) :] - energy[: -len(heard)]
    here = float(np.dot(heard, heard))
    alike = product / np.sqrt(np.maximum(there * here, 1e-12))
    return alike[::-1], 10 * np.log10(there[::-1] / len(heard) + 1e-12)
