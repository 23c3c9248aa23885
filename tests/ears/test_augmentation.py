from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ears import augmentation
from ears.alignment import LABELS, SILENCE, Aligned
from ears.augmentation import (
    BEND,
    WARP,
    WIDEST,
    WOBBLE,
    Company,
    _Clip,
    _grains,
    _hushed,
    _mouth,
    _rms,
    _windows,
    _with_loss,
    spoil,
    telephoned,
    through_ulaw,
)
from ears.features import FILTERS, RATE, STEP, WINDOW, Samples, energies
from ears.morphing import Voices
from ears.speech import RATE as SPOKEN_RATE
from ivr.speech.sound import as_alaw

A = 1
"""The label of a phone."""
HZ = 1000


def burst(begin: float = 0.3, end: float = 0.7, whole: float = 1.0) -> Aligned:
    """A tone labelled as a phone, quiet around it."""
    moments = np.arange(round(whole * SPOKEN_RATE)) / SPOKEN_RATE
    inside = (moments >= begin) & (moments < end)
    pcm = (12_000 * inside * np.sin(2 * np.pi * HZ * moments)).astype(np.int16)
    frames = np.arange(round(whole * 100)) / 100
    return Aligned(
        "anna", ("а",), pcm, np.where((frames >= begin) & (frames < end), A, SILENCE).astype(np.int16)
    )


def hiss(seed: int) -> Aligned:
    pcm = np.random.default_rng(seed).normal(0, 3000, SPOKEN_RATE).astype(np.int16)
    return Aligned("irina", ("б",), pcm, np.zeros(100, np.int16))


OTHERS = Company([hiss(seed) for seed in range(3)])


def in_tone(pcm: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """How much of each frame is the tone, at whatever pace it is played: its strongest tone, dB."""
    pieces = np.lib.stride_tricks.sliding_window_view(pcm, 200)[::STEP][:frames]
    power = np.abs(np.fft.rfft(pieces * np.hanning(200), 512)) ** 2
    low, high = (int(HZ * pace * 512 / RATE) for pace in (0.7, 1.6))
    where = low + power[:, low:high].sum(axis=0).argmax()
    return 10 * np.log10(power[:, where - 1 : where + 2].sum(axis=1) + 1e-9)


def shift(labelled: npt.NDArray[np.bool_], energy: npt.NDArray[np.float32]) -> int:
    """By how many frames the labels must be moved to lie where the energy is."""

    def contrast(by: int) -> float:
        moved = np.roll(labelled, by)
        return float(energy[moved].mean() - energy[~moved].mean())

    return max(range(-15, 16), key=lambda by: (contrast(by), -abs(by)))


# seeds


def test_the_same_seed_is_the_same_sound_and_another_another() -> None:
    one, again, other = (telephoned(burst(), OTHERS, seed) for seed in ((1, 2, 3), (1, 2, 3), (1, 2, 4)))
    assert one == again
    assert one != other
    heard, again_heard = (spoil(burst(), OTHERS, (1, 2, 3)) for _ in "ab")
    assert heard is not None
    assert again_heard is not None
    assert (heard.frames == again_heard.frames).all()
    assert (heard.labels == again_heard.labels).all()


def test_what_was_done_to_a_piece_leaves_the_piece_as_it_is() -> None:
    piece, fresh = burst(), burst()
    for seed in range(5):
        spoil(piece, OTHERS, (seed,))
    assert (piece.pcm == fresh.pcm).all()
    assert (piece.labels == fresh.labels).all()


# labels


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sounds keep their share of the time."""
    monkeypatch.setattr(augmentation, "WOBBLE", 0.0)


def test_there_is_a_label_for_every_frame_and_the_phone_is_still_among_them(even: None) -> None:
    for seed in range(50):
        heard = spoil(burst(), OTHERS, (seed,))
        assert heard is not None
        assert len(heard.frames) == len(heard.labels)
        samples = len(telephoned(burst(), OTHERS, (seed,))) // 2
        assert len(heard.frames) == 1 + (samples - WINDOW) // STEP
        assert set(heard.labels.tolist()) == {SILENCE, A}


def test_a_tone_stays_labelled_where_it_sounds(even: None) -> None:
    off = []
    for seed in range(50):
        heard = spoil(burst(), OTHERS, (seed,))
        assert heard is not None
        pcm = np.frombuffer(telephoned(burst(), OTHERS, (seed,)), np.int16).astype(np.float32)
        off.append(shift(heard.labels == A, in_tone(pcm, len(heard.labels))))
    assert np.mean(np.abs(off) <= 2) > 0.9, off  # a late beginning or lost packets hide an edge
    assert np.median(np.abs(off)) <= 1, off


def test_labels_move_with_the_pace(even: None) -> None:
    lengths = set()
    for seed in range(50):
        heard = spoil(burst(0.1, 0.9), OTHERS, (seed, 1))
        assert heard is not None
        lengths.add(int((heard.labels == A).sum()))
    assert min(lengths) < 80 / 1.2
    assert max(lengths) > 80 / 0.85
    assert 80 / augmentation.CHILD[1] * 0.7 <= min(lengths)
    assert max(lengths) <= 80 / augmentation.SPEED[0] + 2


def test_some_sounds_last_longer_than_they_did_and_others_shorter() -> None:
    wobbling = 0
    for seed in range(50):
        steps = np.diff(_windows(3 * RATE, np.random.default_rng(seed))) / STEP
        assert np.exp(-WOBBLE) - 1 / STEP <= steps.min() <= steps.max() <= np.exp(WOBBLE) + 1 / STEP
        assert steps.sum() * STEP == pytest.approx(3 * RATE, rel=0.02)
        wobbling += steps.min() < 0.95 and steps.max() > 1.05
    assert 15 <= wobbling <= 35


def test_labels_go_with_sounds_that_last_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        augmentation, "_windows", lambda samples, _: np.arange(0, samples - WINDOW, STEP // 2)
    )
    slow = spoil(burst(), OTHERS, (4,))
    monkeypatch.undo()
    monkeypatch.setattr(augmentation, "_windows", lambda samples, _: np.arange(0, samples - WINDOW, STEP))
    plain = spoil(burst(), OTHERS, (4,))
    assert slow is not None
    assert plain is not None
    assert int((slow.labels == A).sum()) == pytest.approx(2 * int((plain.labels == A).sum()), abs=2)


def test_a_piece_that_is_too_short_for_a_frame_is_nothing() -> None:
    short = Aligned("anna", (), np.zeros(120, np.int16), np.zeros(1, np.int16))
    assert any(spoil(short, OTHERS, (seed,)) is None for seed in range(100))


def test_sound_on_its_way_stays_within_full_scale_and_is_never_nothing_at_all() -> None:
    for seed in range(30):
        pcm = np.frombuffer(telephoned(burst(), OTHERS, (seed, 2)), np.int16)
        assert np.abs(pcm.astype(int)).max() > 20


# codecs


def test_mu_law_is_as_exact_as_mu_law() -> None:
    samples = np.linspace(-1, 1, 20_001).astype(np.float32)
    there_and_back = through_ulaw(samples)
    error = np.abs(there_and_back - samples)
    step = np.log(256) / 127
    assert (error <= (np.abs(samples) + 1 / 255) * step * 0.51 + 1e-6).all()
    assert error.max() > 0.01, "no codec at all"
    assert len(np.unique(there_and_back)) == 255


def test_a_law_is_as_exact_as_a_law() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    back = np.frombuffer(augmentation.from_alaw(as_alaw(every)), "<i2").astype(float)
    error = np.abs(back - every)
    assert (error <= np.maximum(8, np.abs(every.astype(int)) / 32 + 1)).all()
    assert len(np.unique(back)) == 256
    assert (np.frombuffer(augmentation.from_alaw(as_alaw(back.astype("<i2"))), "<i2") == back).all()


# packets


@pytest.mark.parametrize("seed", range(8))
def test_lost_packets_are_the_one_before_fading_or_silence_and_the_others_stay(seed: int) -> None:
    dice = np.random.default_rng(seed)
    sound = dice.uniform(0.1, 0.5, RATE * 8).astype(np.float32)
    clip = _Clip(sound.copy(), np.full(800, A, np.int16))
    _with_loss(clip, np.random.default_rng(seed))
    before, after = sound.reshape(-1, 160), clip.samples.reshape(-1, 160)
    lost = (before != after).any(axis=1)
    assert 0 < lost.mean() < 0.12
    assert len(clip.samples) == len(sound)
    faded = np.concatenate([np.zeros((1, 160), np.float32), 0.6 * after[:-1]])
    gone = after[lost]
    assert np.allclose(gone, 0) or np.allclose(gone, faded[lost])


# the robot's hush


def test_the_hush_is_200_ms_and_leaves_30_to_300_around_the_speech() -> None:
    around = []
    for seed in range(200):
        labels = np.zeros(200, np.int16)
        labels[80:120] = A
        clip = _Clip(np.full(2 * RATE, 0.25, np.float32), labels)
        _hushed(clip, np.random.default_rng(seed))
        sounding = np.flatnonzero(clip.samples)
        assert (sounding[0], len(clip.samples) - 1 - sounding[-1]) == (1600, 1600)
        assert len(clip.labels) == len(clip.samples) // STEP
        spoken = np.flatnonzero(clip.labels == A)
        assert spoken.tolist() == list(range(spoken[0], spoken[0] + 40))
        around.append((spoken[0] - 20, len(sounding) // STEP - 40 - (spoken[0] - 20)))
    before, after = np.array(around).T
    assert before.tolist() != after.tolist()
    for frames in (before, after):
        assert (frames.min(), frames.max()) == (3, 29)
        assert np.median(frames) < 12, "short more often than long"


def test_the_hush_of_speech_to_the_very_end_takes_nothing_of_it() -> None:
    clip = _Clip(np.full(RATE, 0.25, np.float32), np.full(100, A, np.int16))
    _hushed(clip, np.random.default_rng(0))
    assert int((clip.samples != 0).sum()) == RATE
    assert int((clip.labels == A).sum()) == 100


# mouths and voices


def test_no_mouth_is_so_wide_that_a_filter_has_nothing_to_pass() -> None:
    chance = np.random.default_rng(3)
    noise = np.random.default_rng(4).standard_normal(RATE).astype(np.float32) * 1000
    drawn = [_mouth(chance) for _ in range(3000)]
    widest = max(drawn, key=lambda mouth: (mouth[-1], max(mouth)))
    assert widest[-1] > WARP[1], "some would be wider than any straight one"
    assert max(map(max, drawn)) == WIDEST
    every = energies(noise, [WARP[1] + BEND] * 6).mean(axis=0)
    kept = energies(noise, [max(widest)] * 6).mean(axis=0)
    assert every[-1] < 0 < kept[-1], "and then its highest filter would pass nothing"


def test_a_voice_is_made_into_others_only_where_others_are_known() -> None:
    piece = burst()
    spectra = np.zeros((LABELS, FILTERS), np.float32)
    tilted = spectra + np.linspace(-3, 3, FILTERS, dtype=np.float32)
    alike, other, strangers = (
        Company(OTHERS.talking, Voices(voices))
        for voices in (
            {piece.voice: spectra, "irina": spectra}, {piece.voice: spectra, "irina": tilted}, {"irina": tilted},
        )
    )  # fmt: skip
    seeds = [(seed, 9) for seed in range(12)]
    plain, same, morphed, unknown = (
        [telephoned(piece, company, seed) for seed in seeds] for company in (OTHERS, alike, other, strangers)
    )
    assert plain == unknown
    changed = [one != another for one, another in zip(same, morphed, strict=True)]
    assert any(changed) and not all(changed)


def test_a_gentle_line_is_noisy_less_often() -> None:
    def noisy(harsh: float) -> int:
        around = [
            np.frombuffer(telephoned(burst(), OTHERS, (seed, 5), harsh), np.int16)[1600:2000].astype(float)
            for seed in range(60)
        ]
        return sum(float(np.sqrt((quiet**2).mean())) > 60 for quiet in around)

    assert noisy(0.0) < noisy(0.5) < noisy(1.0)


def test_a_gentle_line_is_a_telephone_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    white = np.random.default_rng(8).standard_normal(SPOKEN_RATE) * 3000
    hiss = Aligned("anna", ("ш",), white.astype(np.int16), np.full(100, A, np.int16))

    def highest() -> float:
        """Of what was heard, the share above 3.6 kHz."""
        heard = [
            np.frombuffer(telephoned(hiss, OTHERS, (seed, 6), harsh=0.0), np.int16).astype(float)
            for seed in range(40)
        ]
        powers = [np.abs(np.fft.rfft(one)) ** 2 for one in heard]
        return float(np.mean([one[int(0.9 * len(one)) :].sum() / one.sum() for one in powers]))

    through_a_telephone = highest()
    monkeypatch.setattr(augmentation, "USUAL", ())
    assert through_a_telephone < 0.7 * highest()


def test_grains_come_and_go() -> None:
    def steadiness(noise: Samples) -> float:
        loud = np.abs(noise[: len(noise) // STEP * STEP]).reshape(-1, STEP).mean(axis=1)
        return float(np.median(loud) / loud.max())

    grains = [_grains(2 * RATE, np.random.default_rng(seed)) for seed in range(40)]
    steady = steadiness(np.random.default_rng(1).standard_normal(2 * RATE).astype(np.float32))
    assert all(_rms(one) == pytest.approx(1, abs=1e-3) for one in grains)
    assert steady > 0.6
    assert np.median([steadiness(one) for one in grains]) < 0.3
