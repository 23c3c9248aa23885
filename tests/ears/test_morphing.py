from __future__ import annotations

import numpy as np
import pytest

from ears.alignment import LABELS, SILENCE, Aligned, Labels
from ears.features import FILTERS, RATE, STEP, Samples, energies, spread
from ears.morphing import MOST, Spectra, Voices, morphed
from ears.speech import RATE as SPOKEN_RATE

A, B, NEVER_SAID = 1, 2, 7


def noise(seconds: float, tilt: float, seed: int, rate: int = RATE) -> Samples:
    """Each voice has its own slope of the spectrum, dB an octave."""
    white = np.random.default_rng(seed).standard_normal(int(seconds * rate))
    spectrum = np.fft.rfft(white)
    hertz = np.maximum(50, np.fft.rfftfreq(len(white), 1 / rate))
    shaped = np.fft.irfft(spectrum * (hertz / 1000) ** (tilt / 6), len(white))
    return (shaped / shaped.std() * 3000).astype(np.float32)


def said(voice: str, tilt: float, seed: int = 1, phone: int = A) -> Aligned:
    """A phone for a second, and half a second before it when it is silent: as its line is, too."""
    pcm = noise(1.5, tilt, seed, SPOKEN_RATE).clip(-32767, 32767).astype(np.int16)
    pcm[: SPOKEN_RATE // 2] //= 50
    return Aligned(voice, ("а",), pcm, np.repeat([SILENCE, phone, phone], 50).astype(np.int16))


def slope(samples: Samples) -> float:
    """How much stronger the highest filters are than the lowest, natural logarithm."""
    bands = energies(samples).mean(axis=0)
    return float(bands[-8:].mean() - bands[:8].mean())


def towards(other: str, voices: Voices, whose: str) -> Spectra:
    return voices.spectra[other] - voices.spectra[whose]


def test_a_voice_is_known_by_the_spectrum_of_its_phones_however_loud_it_is() -> None:
    quiet = Aligned("anna", ("а",), (said("anna", 0).pcm // 8).astype(np.int16), said("anna", 0).labels)
    loud, soft = (Voices.of([one]).spectra["anna"] for one in (said("anna", 0), quiet))
    assert loud[A] == pytest.approx(soft[A], abs=0.05)


def test_of_a_phone_that_a_voice_never_says_the_usual_is_taken() -> None:
    voices = Voices.of([said("anna", -6), said("anna", 0, phone=B), said("irina", 6)])
    assert voices.spectra["irina"][B] == pytest.approx(voices.spectra["anna"][B])
    assert voices.spectra["irina"][NEVER_SAID] == pytest.approx(voices.spectra["anna"][NEVER_SAID])
    assert voices.spectra["irina"][A] != pytest.approx(voices.spectra["anna"][A], abs=0.5)


def test_a_voice_is_never_drawn_as_its_own_neighbour() -> None:
    alone = Voices.of([said("anna", -3)])
    beside = Voices.of([said("anna", -3), said("irina", 3)])
    assert not alone.another("anna", np.random.default_rng(1)).any()
    for seed in range(20):
        assert beside.another("anna", np.random.default_rng(seed))[A].any()


def test_a_phone_is_heard_where_it_is_said() -> None:
    """Two in turn, 20 ms each: taken a frame early or late, they are much alike."""
    dull, bright = (noise(2.0, tilt, 1, SPOKEN_RATE) for tilt in (-9, 9))
    labels = np.tile([A, A, B, B], 50).astype(np.int16)
    pcm = np.where(np.repeat(labels, SPOKEN_RATE // 100) == A, dull, bright).astype(np.int16)

    def apart(labels: Labels) -> float:
        spectra = Voices.of([Aligned("anna", ("а",), pcm, labels)]).spectra["anna"]
        return float(np.abs(spectra[A] - spectra[B]).mean())

    assert apart(labels) > 1.5 * max(apart(np.roll(labels, 1)), apart(np.roll(labels, -1)))


def test_nothing_said_is_nothing_moved() -> None:
    nothing = np.zeros(40, np.float32)
    moved = np.zeros((LABELS, FILTERS), np.float32)
    assert morphed(nothing, np.zeros(0, np.int16), moved) is nothing


def test_moved_all_the_way_it_sounds_as_the_other_voice() -> None:
    voices = Voices.of([said("anna", -3), said("irina", 3)])
    sound = noise(1.0, -3, 5)
    there = morphed(sound, np.full(100, A, np.int16), towards("irina", voices, "anna"))
    wanted = slope(noise(1.0, 3, 6))
    assert slope(sound) < wanted - 1
    assert slope(there) == pytest.approx(wanted, abs=0.3)


def test_moved_by_nothing_it_stays_as_it_is() -> None:
    sound = noise(0.5, 0, 7)
    same = morphed(sound, np.full(50, A, np.int16), np.zeros((LABELS, FILTERS), np.float32))
    assert len(same) == len(sound)
    assert same == pytest.approx(sound, abs=0.01)


def test_each_phone_is_moved_its_own_way() -> None:
    moved = np.zeros((LABELS, FILTERS), np.float32)
    moved[A] = 2.0
    sound = noise(1.0, 0, 8)
    labels = np.repeat([A, B], 50).astype(np.int16)
    there = morphed(sound, labels, moved)
    edge = 4 * STEP
    half = RATE // 2
    assert there[: half - edge].std() / sound[: half - edge].std() == pytest.approx(np.e, rel=0.02)
    assert there[half + edge :] == pytest.approx(sound[half + edge :], abs=0.01)


def test_another_voice_is_near_and_silence_stays_silence() -> None:
    voices = Voices.of([said("anna", -9), said("irina", 9), said("espeak-ng+m1", 4)])
    chance = np.random.default_rng(9)
    drawn = [voices.another("anna", chance) for _ in range(50)]
    assert max(float(np.abs(one).max()) for one in drawn) <= MOST
    assert (voices.spectra["anna"][SILENCE] != voices.spectra["irina"][SILENCE]).any()
    assert not any(one[SILENCE].any() for one in drawn)
    assert len({one.tobytes() for one in drawn}) > 20


def test_a_mouth_of_many_is_drawn_no_more_often_than_a_voice_of_one() -> None:
    spectra = {
        name: np.zeros((LABELS, FILTERS), np.float32)
        for name in ("anna", "irina", *(f"e+{n}" for n in range(9)))
    }
    chance = np.random.default_rng(10)
    drawn = [other for _ in range(400) for other in Voices(spectra)._others("irina", 1, chance)]
    assert 150 < drawn.count("anna") < 250
    assert "irina" not in drawn


def test_bands_are_spread_from_filter_to_filter_and_flat_beyond_them() -> None:
    rising = np.arange(FILTERS, dtype=np.float32)[None]
    even = spread(rising, 512)[0]
    assert even.shape == (257,)
    assert (even[0], even[-1]) == (0, FILTERS - 1)
    assert (np.diff(even) >= 0).all()
