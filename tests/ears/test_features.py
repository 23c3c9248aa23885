from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from ears.augmentation import BEND, WARP
from ears.features import COEFFICIENTS, CONF, RATE, mfcc

Samples = npt.NDArray[np.float32]


def some_speech(seconds: float = 0.12, seed: int = 1) -> Samples:
    """Buzz and noise, with an offset: nothing in it is even."""
    dice = np.random.default_rng(seed)
    moments = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * math.pi * 130 * k * moments + k) / k for k in range(1, 25))
    return (3000 * buzz * (1 + moments * 5) + dice.normal(0, 200, len(moments)) + 500).astype(np.float32)


def tone(hz: float, seconds: float = 0.5) -> Samples:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def slowly(samples: Samples) -> list[list[float]]:
    """MFCC as Kaldi's documentation has it (feat.html; feature-window, mel-computations): number by number.

    mfcc.conf: 40 bins from 60 to 3800 Hz, 40 cepstra, no energy, no dither; for the rest Kaldi's defaults: 25 ms
    every 10 ms, edges snipped, offset removed, pre-emphasis 0.97, window "povey", lifter 22.
    """
    length, shift, padded, bins, cepstra = 200, 80, 256, 40, 40
    mel = lambda hz: 1127.0 * math.log(1.0 + hz / 700.0)  # noqa: E731
    low, step = mel(60.0), (mel(3800.0) - mel(60.0)) / (bins + 1)
    frames = []
    for begin in range(0, len(samples) - length + 1, shift):
        frame = [float(sample) for sample in samples[begin : begin + length]]
        mean = sum(frame) / length
        frame = [sample - mean for sample in frame]
        for at in range(length - 1, 0, -1):
            frame[at] -= 0.97 * frame[at - 1]
        frame[0] -= 0.97 * frame[0]
        for at in range(length):
            frame[at] *= (0.5 - 0.5 * math.cos(2 * math.pi * at / (length - 1))) ** 0.85
        spectrum = np.fft.fft(frame, padded)
        energies = []
        for number in range(bins):
            left, centre, right = (low + (number + side) * step for side in range(3))
            energy = 0.0
            for at in range(padded // 2):
                where = mel(at * RATE / padded)
                if left < where < right:
                    up, down = (where - left) / (centre - left), (right - where) / (right - centre)
                    energy += (up if where <= centre else down) * abs(spectrum[at]) ** 2
            energies.append(math.log(max(energy, np.finfo(np.float32).eps)))
        row = []
        for k in range(cepstra):
            norm = math.sqrt((1 if k == 0 else 2) / bins)
            value = sum(e * math.cos(math.pi * k * (n + 0.5) / bins) for n, e in enumerate(energies))
            row.append(norm * value * (1 + 0.5 * 22 * math.sin(math.pi * k / 22)))
        frames.append(row)
    return frames


@pytest.mark.parametrize("sound", [some_speech(), tone(1000, 0.06), np.zeros(300, np.float32)])
def test_the_features_are_kaldis(sound: Samples) -> None:
    np.testing.assert_allclose(mfcc(sound), slowly(sound), rtol=1e-4, atol=1e-3)


def test_what_libvosk_is_told_to_compute_is_what_is_computed_here() -> None:
    told = dict(line.removeprefix("--").split("=") for line in CONF.splitlines())
    wanted = {
        "sample-frequency": "8000", "use-energy": "false", "num-mel-bins": "40", "num-ceps": "40",
        "low-freq": "60", "high-freq": "3800", "dither": "0",
    }  # fmt: skip
    assert wanted.items() <= told.items()
    assert not {"snip-edges", "preemphasis-coefficient", "window-type", "cepstral-lifter"} & told.keys()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (199, 0), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_a_frame_begins_every_10_ms_while_25_are_left(samples: int, frames: int) -> None:
    assert mfcc(np.ones(samples, np.float32)).shape == (frames, COEFFICIENTS)


@pytest.mark.parametrize("warp", [0.85, 0.93, 1.1])
def test_a_warp_shows_a_tone_where_it_would_be_divided_by_it(warp: float) -> None:
    shown = mfcc(tone(1000 * warp), [warp])[5]
    near = {
        hz: np.abs(shown - mfcc(tone(hz))[5]).mean()
        for hz in (1000 / warp, 1000, 1000 * warp, 1000 * warp**2)
    }
    assert min(near, key=lambda hz: near[hz]) == 1000


def test_a_mouth_of_another_shape_moves_some_tones_and_not_others() -> None:
    bends = [1.0, 1.0, 1.0, 1.1, 1.1, 1.0]

    def off(hz: float, warp: float) -> float:
        return float(np.abs(mfcc(tone(hz), bends)[5] - mfcc(tone(hz), [warp])[5]).mean())

    assert off(500, 1.0) < 0.25 * off(500, 1.1)
    assert off(2750, 1.1) < 0.25 * off(2750, 1.0)


def test_windows_may_begin_anywhere() -> None:
    sound = some_speech()
    # the last digits are the processor's: it multiplies a few rows in another order than many
    np.testing.assert_allclose(mfcc(sound, at=np.array([0, 160, 80])), mfcc(sound)[[0, 2, 1]], atol=1e-3)


@pytest.mark.parametrize(
    "bends", [*([warp + by for by in (BEND, -BEND) * 3] for warp in (*WARP, 1.0)), *([warp] for warp in WARP)]
)
def test_however_far_it_is_warped_no_filter_is_without_sound(bends: list[float]) -> None:
    noise = np.random.default_rng(1).normal(0, 1000, 4000).astype(np.float32)
    plain, warped = mfcc(noise).mean(axis=0), mfcc(noise, bends).mean(axis=0)
    # an empty filter is 16 below nothing: it tears every coefficient
    assert np.abs(plain - warped)[1:].max() < 25
