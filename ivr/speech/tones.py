"""Machines' own sounds: a fax, a ring or busy tone inside an answered call, the beep of an answering machine."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ivr.speech.activity import FRAME, RATE, Samples, decibels

LOUD = -45.0
"""dBFS: a fainter tone is somebody else's."""
PURE = 0.85
"""The share of the power that lies in the one tone; a voice has harmonics. Noise 10 dB below leaves 0.9."""
STEADY = 5.0
"""Hz by which a tone may wander; noise 10 dB below makes it 2. A voice, however even, glides by 7 in 0.12 s."""
WIDTH = 2
"""Bins of 25 Hz on either side that are the tone's own (a Hann window's main lobe)."""
GAP = 2
"""Frames that a tone may be lost for: a fax's answer tone turns its phase over every 0.45 s."""

FAX_CALLS, FAX_ANSWERS = (1062.0, 1138.0), (2080.0, 2120.0)
"""CNG 1100 ± 38 Hz, 0.5 s on and 3 s off; CED 2100 ± 15 Hz, 2.6 s (ITU-T T.30)."""
FAX_SECONDS = 0.36
RING = (413.0, 437.0)
"""425 ± 3 Hz (GOST, Russian networks): ring 1 s on and 4 s off, busy 0.3 to 0.4 s on and off."""
RING_SECONDS = 0.8
BUSY_SECONDS = (0.14, 0.6)
BEEP = (390.0, 2010.0)
BEEP_SECONDS = 0.15


class Tone(StrEnum):
    FAX = "fax"
    RING = "ring"
    """Or busy, or dial tone: the network's."""
    BEEP = "beep"
    """A steady tone of another kind, which is over."""


@dataclass(slots=True)
class _Sounding:
    """A tone while it lasts; in frames."""

    hz: float
    began: int
    last: int
    told: bool = False

    @property
    def seconds(self) -> float:
        return (self.last - self.began + 1) * FRAME / RATE

    def lies_in(self, band: tuple[float, float]) -> bool:
        return band[0] <= self.hz <= band[1]


class Tones:
    """One call's sound, looked at for tones."""

    def __init__(self) -> None:
        self._frame = 0
        self._before = np.zeros(FRAME, np.float32)
        self._tone: _Sounding | None = None
        self._bursts: deque[tuple[int, int]] = deque(maxlen=2)
        """First and last frames of the last bursts at 425 Hz."""

    @property
    def is_sounding(self) -> bool:
        """For at least 60 ms now."""
        return self._tone is not None and self._tone.seconds >= 0.06

    def feed(self, frame: Samples) -> Tone | None:
        """Take 20 ms; a tone is told once, as soon as it is certain."""
        self._frame += 1
        both, self._before = np.concatenate([self._before, frame]), frame
        hz = pure_tone(both) if decibels(frame) > LOUD else None
        if self._tone is not None and self._goes_on(self._tone, hz):
            return self._certain(self._tone)
        ended, self._tone = self._tone, None
        if hz is not None:
            self._tone = _Sounding(hz, self._frame, self._frame)
        return self._ended(ended) if ended is not None else None

    def _goes_on(self, tone: _Sounding, hz: float | None) -> bool:
        if hz is None or abs(hz - tone.hz) > STEADY:
            return self._frame - tone.last <= GAP
        tone.last = self._frame
        tone.hz += (hz - tone.hz) / (tone.last - tone.began + 1)
        return True

    def _certain(self, tone: _Sounding) -> Tone | None:
        if tone.told:
            return None
        is_fax = tone.lies_in(FAX_CALLS) or tone.lies_in(FAX_ANSWERS)
        if is_fax and tone.seconds >= FAX_SECONDS:
            tone.told = True
            return Tone.FAX
        if tone.lies_in(RING) and tone.seconds >= RING_SECONDS:
            tone.told = True
            return Tone.RING
        return None

    def _ended(self, tone: _Sounding) -> Tone | None:
        if tone.told or tone.seconds < BUSY_SECONDS[0]:
            return None
        if tone.lies_in(RING):
            return Tone.RING if self._is_busy(tone) else None
        return Tone.BEEP if tone.lies_in(BEEP) and tone.seconds >= BEEP_SECONDS else None

    def _is_busy(self, tone: _Sounding) -> bool:
        """The second burst of much the same length, after a gap of much the same length."""
        self._bursts.append((tone.began, tone.last))
        if len(self._bursts) < 2 or tone.seconds > BUSY_SECONDS[1]:
            return False
        (_, last), (began, _) = self._bursts
        return BUSY_SECONDS[0] <= (began - last) * FRAME / RATE <= BUSY_SECONDS[1]


_HANN = np.hanning(2 * FRAME).astype(np.float32)
_BIN = RATE / (2 * FRAME)


def pure_tone(samples: Samples) -> float | None:
    """The frequency, Hz, of the one tone in 40 ms of sound; None when there is more in it."""
    spectrum = np.fft.rfft(_HANN * samples)
    power = spectrum.real**2 + spectrum.imag**2
    peak = int(power[WIDTH + 1 : -WIDTH].argmax()) + WIDTH + 1
    around = power[peak - WIDTH : peak + WIDTH + 1]
    if around.sum() < PURE * power.sum():
        return None
    left, middle, right = np.log(around[WIDTH - 1 : WIDTH + 2] + 1e-20)
    bend = left - 2 * middle + right
    return float((peak + (0.5 * (left - right) / bend if bend else 0.0)) * _BIN)
