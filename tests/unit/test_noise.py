"""Speech lifted out of steady noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ivr.speech.noise import HEARD, cleaned

RATE = 8_000


def hiss(seconds: float, rms: float, seed: int = 7) -> npt.NDArray[np.float32]:
    return (rms * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def buzz(seconds: float) -> npt.NDArray[np.float32]:
    """Harmonics of 140 Hz, as a voice has them."""
    at = np.arange(int(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * 140 * n * at) / n for n in range(1, 12))).astype(np.float32)


def decibels(samples: npt.NDArray[np.float32]) -> float:
    return 10 * float(np.log10(np.mean(samples**2)))


def test_noise_alone_becomes_weaker_by_as_much_as_is_allowed() -> None:
    left = cleaned(hiss(1.0, 0.05), hiss(1.0, 0.05, seed=8))
    assert -16 < decibels(left) - decibels(hiss(1.0, 0.05)) < -9


def test_a_voice_in_noise_comes_nearer_to_the_voice_alone() -> None:
    voice, noise = buzz(1.0), hiss(1.0, 0.05)
    before = decibels(noise)
    after = decibels(cleaned(voice + noise, hiss(1.5, 0.05, seed=8)) - voice)
    assert after < before - 4


@pytest.mark.parametrize("noise", [hiss(1.0, HEARD / 2), hiss(0.02, 0.05)], ids=["faint", "hardly any"])
def test_without_noise_to_know_the_speech_stays_as_it_is(noise: npt.NDArray[np.float32]) -> None:
    voice = buzz(0.5)
    assert cleaned(voice, noise) is voice


def test_it_is_as_long_as_it_was() -> None:
    for length in (0, 1, 100, 255, 256, 4001):
        assert len(cleaned(buzz(1.0)[:length], hiss(1.0, 0.05))) == length
