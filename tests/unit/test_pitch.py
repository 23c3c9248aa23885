from __future__ import annotations

import numpy as np
import pytest

from appliance.native import Native
from ivr.speech.pitch import has_fallen, median_pitch
from tests.sounds import RATE, Samples, in_noise, joined, noise, silence, spoken, telephone_band, telephoned


def buzz(hz: float, seconds: float = 0.5) -> Samples:
    """A voice without vowels, as a telephone lets it through: harmonics between 300 and 3,400 Hz."""
    moments = np.arange(round(seconds * RATE)) / RATE
    wanted = [n for n in range(1, 60) if 300 <= n * hz <= 3400]
    return sum(0.02 * np.sin(2 * np.pi * n * hz * moments + n * n) for n in wanted).astype(np.float32)


def gliding(*hz: float, seconds: float = 0.5) -> Samples:
    """From one pitch to the next, evenly over its time."""
    moments = np.arange(round(seconds * RATE)) / RATE
    here = np.interp(moments, np.linspace(0, seconds, len(hz)), hz)
    phase = 2 * np.pi * np.cumsum(here) / RATE
    return sum(0.02 * np.sin(n * phase + n * n) for n in range(2, 15)).astype(np.float32)


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


@pytest.mark.parametrize(
    ("contour", "fallen"),
    [
        ((130, 130, 130, 80), True),
        ((220, 230, 220, 150), True),
        ((130, 130, 130), False),
        ((130, 130, 180), False),
        ((130, 80, 130, 130), False),
    ],
)
def test_who_has_finished_lets_the_pitch_fall(contour: tuple[float, ...], fallen: bool) -> None:
    assert has_fallen(telephoned(joined(silence(0.2), gliding(*contour), silence(0.2)))) is fallen


@pytest.mark.parametrize("pcm", [b"", bytes(16_000), telephoned(noise(1, -20)), telephoned(buzz(150, 0.06))])
def test_where_no_pitch_tells_he_has_finished(pcm: bytes) -> None:
    assert has_fallen(pcm)


def test_of_a_long_speech_its_end_counts() -> None:
    assert has_fallen(telephoned(joined(buzz(130, 6), gliding(130, 130, 80))))


def test_half_an_answer_sounds_unfinished(native: Native) -> None:
    whole, half = (
        telephone_band(spoken(native, text, "vsevolod")) for text in ("тройка.", "тройка, нет, четвёрка")
    )
    loud = np.flatnonzero(np.abs(half) > 0.03 * np.abs(half).max())
    pause = loud[np.flatnonzero(np.diff(loud) > 0.12 * RATE)[0]]
    assert has_fallen(telephoned(whole))
    assert not has_fallen(telephoned(half[:pause]))
