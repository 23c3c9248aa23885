"""What the network is shown of speech: mel cepstra as libvosk computes them, for many clips at once.

Kaldi's MFCC with the options of `CONF`: 25 ms windows ("povey") every 10 ms, offset removed, pre-emphasis 0.97, power
spectrum of 256 points, 40 triangular filters even on the mel scale, logarithm, DCT-II (orthonormal), lifter 22.
The test compares it with the features libvosk's own library gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Frames = npt.NDArray[np.float32]

RATE = 8_000
WINDOW, STEP, SPECTRUM = 200, 80, 256
"""Samples."""
SECOND = RATE // STEP
"""Frames in one."""
FILTERS = COEFFICIENTS = 40
LOW, HIGH = 60.0, 3800.0
"""Hz."""
LIFTER = 22
EMPHASIS = 0.97
CONF = f"""\
--sample-frequency={RATE}
--use-energy=false
--num-mel-bins={FILTERS}
--num-ceps={COEFFICIENTS}
--low-freq={LOW:g}
--high-freq={HIGH:g}
--dither=0
--allow-downsample=true
--allow-upsample=true
"""
"""`conf/mfcc.conf`: what is computed here, said to libvosk."""


STRAIGHT = (1.0,)


def mfcc(pcm: Samples, bends: Sequence[float] = STRAIGHT, at: npt.NDArray[np.int64] | None = None) -> Frames:
    """(frames, COEFFICIENTS) of sound with full scale ±32768 at RATE.

    `bends` move the filters: above 1 as if the speaker's mouth were larger (vocal tract length perturbation); several
    are spread evenly from 0 Hz to half the rate, as if it were of another shape.
    `at`: the samples at which windows begin, where that is not every STEP: slower or faster, at the same pitch.
    """
    return (energies(pcm, bends, at) @ _cosines().T).astype(np.float32)


def energies(
    pcm: Samples, bends: Sequence[float] = STRAIGHT, at: npt.NDArray[np.int64] | None = None
) -> Frames:
    """(frames, FILTERS): what passes each filter, natural logarithm of power."""
    if len(pcm) < WINDOW:
        return np.zeros((0, FILTERS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(pcm, WINDOW)
    pieces = (windows[::STEP] if at is None else windows[at]).astype(np.float32)
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    emphasised = pieces.copy()
    emphasised[:, 1:] -= EMPHASIS * pieces[:, :-1]
    emphasised[:, 0] -= EMPHASIS * pieces[:, 0]
    power = np.abs(np.fft.rfft(emphasised * _window(), SPECTRUM)) ** 2
    passed = power[:, : SPECTRUM // 2] @ _filters(tuple(bends)).T
    heard: Frames = np.log(np.maximum(passed, np.finfo(np.float32).eps))
    return heard


def spread(bands: Frames, size: int) -> Frames:
    """(frames, FILTERS) as (frames, size / 2 + 1), even in Hz from 0 to half the rate: between the middles of the
    filters on a line, beyond the first and the last as they are."""
    middles = np.linspace(_mel(LOW), _mel(HIGH), FILTERS + 2)[1:-1]
    at = np.interp(_mel(np.linspace(0, RATE / 2, size // 2 + 1)), middles, np.arange(FILTERS))
    below = np.minimum(at.astype(int), FILTERS - 2)
    share = (at - below).astype(np.float32)
    even: Frames = bands[:, below] * (1 - share) + bands[:, below + 1] * share
    return even


@lru_cache(maxsize=1)
def _window() -> Samples:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    return (hann**0.85).astype(np.float32)


def _mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)


@lru_cache(maxsize=4)
def _filters(bends: tuple[float, ...]) -> Samples:
    """(FILTERS, SPECTRUM / 2): triangles even on the mel scale."""
    edges = np.linspace(_mel(LOW), _mel(HIGH), FILTERS + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.arange(SPECTRUM // 2) * RATE / SPECTRUM
    at = _mel(hertz / np.interp(hertz, np.linspace(0, RATE / 2, len(bends)), bends))[None]
    rising, falling = (at - left) / (centre - left), (right - at) / (right - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


@lru_cache(maxsize=1)
def _cosines() -> Samples:
    """The DCT and the lifter in one matrix."""
    row, column = np.arange(COEFFICIENTS)[:, None], np.arange(FILTERS)[None]
    dct = np.sqrt(2 / FILTERS) * np.cos(np.pi / FILTERS * (column + 0.5) * row)
    dct[0] = np.sqrt(1 / FILTERS)
    lifter = 1 + 0.5 * LIFTER * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    matrix: Samples = (dct * lifter[:, None]).astype(np.float32)
    return matrix
