from __future__ import annotations

import numpy as np
import pytest

from appliance.native import Native
from ivr.speech.tones import Tone, Tones
from tests.sounds import RATE, Samples, frames, in_noise, joined, noise, silence, spoken, telephone_band, tone


def told(sound: Samples) -> list[Tone]:
    tones = Tones()
    return [found for frame in frames(sound) if (found := tones.feed(frame)) is not None]


def fax_answer(seconds: float) -> Samples:
    """2100 Hz that turns its phase over every 0.45 s and swells fifteen times a second (ITU-T V.8)."""
    moments = np.arange(round(seconds * RATE)) / RATE
    turned = np.sin(2 * np.pi * 2100 * moments + np.pi * (moments // 0.45))
    return (0.1 * turned * (1 + 0.2 * np.sin(2 * np.pi * 15 * moments))).astype(np.float32)


@pytest.mark.parametrize("below", [40, 12])
def test_a_calling_fax_is_known_by_its_1100_hz(below: float) -> None:
    calls = joined(silence(0.5), tone(1100, 0.5), silence(0.5))
    assert told(in_noise(calls, below)) == [Tone.FAX]


def test_an_answering_fax_is_known_by_its_2100_hz_and_told_once() -> None:
    assert told(joined(silence(0.3), fax_answer(3), silence(0.3))) == [Tone.FAX]


def test_a_ring_tone_is_one_long_425_hz() -> None:
    assert told(joined(silence(1), tone(425, 1), silence(1))) == [Tone.RING]


@pytest.mark.parametrize("each", [0.17, 0.35])
def test_a_busy_tone_is_the_same_in_short(each: float) -> None:
    burst = joined(tone(425, each), silence(each))
    assert told(joined(silence(0.5), burst, burst)) == [Tone.RING]


def test_one_short_425_hz_is_nothing_yet() -> None:
    assert told(joined(silence(0.5), tone(425, 0.35), silence(1))) == []


@pytest.mark.parametrize("hz", [400, 440, 800, 1000, 1400, 2000])
def test_a_beep_is_told_when_it_is_over(hz: float) -> None:
    assert told(joined(silence(0.5), tone(hz, 0.3))) == []
    assert told(joined(silence(0.5), tone(hz, 0.3), silence(0.2))) == [Tone.BEEP]


def test_a_tenth_of_a_second_is_no_beep() -> None:
    assert told(joined(silence(0.5), tone(1000, 0.1), silence(0.5))) == []


def test_a_key_is_no_beep() -> None:
    key = (tone(770, 0.3) + tone(1336, 0.3)).astype(np.float32)
    assert told(joined(silence(0.3), key, silence(0.3))) == []


def test_a_faint_beep_is_somebody_elses() -> None:
    assert told(joined(silence(0.3), tone(1000, 0.4, level=-50), silence(0.3))) == []


def test_noise_and_what_glides_are_no_tones() -> None:
    moments = np.arange(RATE) / RATE
    siren = (0.1 * np.sin(2 * np.pi * (600 * moments + 200 * moments**2))).astype(np.float32)
    assert told(noise(20, -25)) == []
    assert told(joined(silence(0.3), siren, silence(0.3))) == []


@pytest.mark.parametrize("voice", ["tatiana", "umka", "yuriy"])
def test_a_voice_is_no_tone(native: Native, voice: str) -> None:
    for text in ("алло, слушаю вас", "опять течёт с потолка", "ну, одну минуту, думаю"):
        speech = joined(spoken(native, text, voice), silence(0.2))
        assert told(speech) == []
        assert told(telephone_band(speech)) == []
