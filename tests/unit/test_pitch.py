from __future__ import annotations

import numpy as np
import pytest

from appliance.native import Native
from ivr.speech.pitch import median_pitch
from tests.sounds import RATE, Samples, in_noise, joined, noise, silence, spoken, telephone_band, telephoned


def buzz(hz: float, seconds: float = 0.5) -> Samples:
    """A voice without vowels, as a telephone lets it through: harmonics between 300 and 3,400 Hz."""
    moments = np.arange(round(seconds * RATE)) / RATE
    wanted = [n for n in range(1, 60) if 300 <= n * hz <= 3400]
    return sum(0.02 * np.sin(2 * np.pi * n * hz * moments + n * n) for n in wanted).astype(np.float32)


@pytest.mark.parametrize("hz", [85, 120, 200, 300, 400])
def test_the_pitch_is_heard_without_its_fundamental(hz: float) -> None:
    assert median_pitch(telephoned(buzz(hz))) == pytest.approx(hz, rel=0.01)


def test_silence_around_a_voice_does_not_matter() -> None:
    assert median_pitch(telephoned(joined(silence(0.4), buzz(150), silence(0.6)))) == pytest.approx(
        150, rel=0.01
    )


@pytest.mark.parametrize("pcm", [b"", bytes(100), bytes(16_000), telephoned(noise(1, -20))])
def test_where_nothing_is_voiced_there_is_no_pitch(pcm: bytes) -> None:
    assert median_pitch(pcm) is None


def test_a_tenth_of_a_second_is_too_little_to_tell() -> None:
    assert median_pitch(telephoned(buzz(150, 0.06))) is None


def test_half_an_hour_takes_no_longer_than_three_seconds() -> None:
    high_later = joined(buzz(120, 3), buzz(300, 60))
    assert median_pitch(telephoned(high_later)) == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize(
    ("voice", "low", "high"), [("timofey", 95, 140), ("tatiana", 160, 220), ("yuriy", 80, 140)]
)
def test_men_and_women_are_told_apart_through_a_telephone(
    native: Native, voice: str, low: float, high: float
) -> None:
    speech = telephone_band(spoken(native, "опять течёт с потолка", voice))
    for sound in (speech, in_noise(speech, 10)):
        pitch = median_pitch(telephoned(sound))
        assert pitch is not None
        assert low < pitch < high
