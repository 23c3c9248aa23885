"""What happens to a voice before the network hears it: another voice, another mouth, a room, a telephone, noise, a
codec, lost packets.

Each piece is spoilt anew for every copy, by a seed of its own: the same seed, the same sound. The steps follow the
way of a call, to the last one: the silence the robot puts around an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from ears.alignment import SILENCE, Aligned, Labels
from ears.features import RATE, STEP, WINDOW, Frames, Samples, mfcc
from ears.morphing import Voices, morphed
from ears.speech import RATE as SPOKEN_RATE
from ivr.speech.ears import from_alaw
from ivr.speech.sound import as_alaw, as_pcm

Chance = np.random.Generator

SPEED = (0.78, 1.28)
"""Played slower and lower, faster and higher; beyond it nobody speaks but children."""
CHILD = (1.25, 1.5)
WARP, WIDEST = (0.85, 1.12), 1.155
"""How long the mouth is; beyond the widest the highest filter would have nothing to pass."""
BEND = 0.07
"""How far each of BENDS frequencies may lie beside that: no two mouths differ by their length alone."""
BENDS = 6
WOBBLE = 0.22
"""How much faster or slower some sounds are than others (logarithm), changing every WOBBLES seconds."""
WOBBLES = 0.25
AROUND = 0.5
"""Seconds of quiet at most before and after."""
DIES_AWAY, ECHO = (0.05, 0.7), (0.05, 0.8)
"""Seconds in which a room is silent again, and how strong its sound is beside the voice's own."""
LEVEL = (-50.0, -12.0)
"""Of the speech, dBFS."""
SNR = (2.0, 35.0)
BABBLE_SNR = (8.0, 30.0)
IDLE = (-80.0, -55.0)
"""The line's own noise, dBFS."""
PACKET = 160
HUSH = 1600
"""The silence that `ivr.speech.listener` puts before and after an answer."""
KEPT = (0.03, 0.3)
"""Seconds of what was there that are left on either side: it does not always know where speech begins and ends."""
OTHERS = 5
"""People talking in the background, at most."""
GRAINS, OFTEN = (0.003, 0.04), (4, 400)
"""How long each is in seconds, and how many there are in one."""
MORPHED, NOISY, LOSSY = 0.6, 0.65, 0.15
"""The shares of all pieces that are said in another voice, in noise, on a line that loses packets."""


@dataclass(frozen=True, slots=True)
class Company:
    """Who else is there."""

    talking: Sequence[Aligned]
    """In the background."""
    voices: Voices = Voices({})
    """What a voice may be made into."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A spoilt piece as the network is shown it."""

    frames: Frames
    labels: Labels
    """One for every frame."""


@dataclass(slots=True)
class _Clip:
    """Speech on its way through the telephone."""

    samples: Samples
    labels: Labels
    """One for every 10 ms of `samples`."""

    @property
    def speech(self) -> tuple[int, int]:
        """Its first and last sample that is no silence."""
        spoken = np.flatnonzero(self.labels != SILENCE)
        if not len(spoken):
            return 0, len(self.samples)
        return int(spoken[0]) * STEP, min(len(self.samples), (int(spoken[-1]) + 1) * STEP)


def spoil(piece: Aligned, company: Company, seed: Sequence[int]) -> Heard | None:
    """One copy of the piece as the network is shown it; None when nothing is left."""
    chance = np.random.default_rng(seed)
    clip = _through_everything(piece, company, chance)
    at = _windows(len(clip.samples), chance)
    if not len(at):
        return None
    middles = np.minimum((at + WINDOW // 2) // STEP, len(clip.labels) - 1)
    return Heard(mfcc(clip.samples * 32768, _mouth(chance), at), clip.labels[middles])


def _mouth(chance: Chance) -> Sequence[float]:
    """Its length, and often its shape."""
    length = chance.uniform(*WARP) if chance.random() < 0.7 else 1.0
    shape = chance.uniform(-BEND, BEND, BENDS) if chance.random() < 0.6 else np.zeros(1)
    return [float(one) for one in np.minimum(length + shape, WIDEST)]


def _windows(samples: int, chance: Chance) -> npt.NDArray[np.int64]:
    """Where they begin: often some sounds last longer than they did, others shorter."""
    if chance.random() < 0.5:
        return np.arange(0, samples - WINDOW + 1, STEP)
    count = int(samples / STEP * np.exp(WOBBLE)) + 1
    knots = chance.uniform(-WOBBLE, WOBBLE, 2 + int(count * STEP / RATE / WOBBLES))
    pace = np.exp(np.interp(np.arange(count) * STEP / RATE / WOBBLES, np.arange(len(knots)), knots))
    at = np.concatenate([[0], np.cumsum(STEP * pace)]).astype(np.int64)
    return at[at <= samples - WINDOW]


def telephoned(piece: Aligned, company: Company, seed: Sequence[int], harsh: float = 1.0) -> bytes:
    """The same as sound: PCM at RATE, 16 bits. `harsh`: how often a line is bad, of the usual."""
    clip = _through_everything(piece, company, np.random.default_rng(seed), harsh)
    return as_pcm(clip.samples).tobytes()


def _through_everything(piece: Aligned, company: Company, chance: Chance, harsh: float = 1.0) -> _Clip:
    clip = _spoken(piece, chance)
    if piece.voice in company.voices.spectra and chance.random() < MORPHED:
        clip.samples = morphed(clip.samples, clip.labels, company.voices.another(piece.voice, chance))
    for share, step in BAD:
        if chance.random() < share * harsh:
            step(clip, chance)
    for share, step in USUAL:
        if chance.random() < share:
            step(clip, chance)
    _at_level(clip, chance)
    idle = np.float32(10 ** (chance.uniform(*IDLE) / 20))
    clip.samples = clip.samples + _noise(len(clip.samples), chance) * idle
    if chance.random() < NOISY * harsh:
        _with_noise(clip, company.talking, chance)
    _coded(clip, chance)
    if chance.random() < LOSSY * harsh:
        _with_loss(clip, chance)
    if chance.random() < 0.5:
        _hushed(clip, chance)
    return clip


def _spoken(piece: Aligned, chance: Chance) -> _Clip:
    """By another mouth, at another pace, with quiet around it."""
    pace = _pace(chance)
    samples = soxr.resample(piece.pcm.astype(np.float32) / 32768, SPOKEN_RATE * pace, RATE, quality="LQ")
    before, after = (int(chance.uniform(0, AROUND) * 100) if chance.random() < 0.6 else 0 for _ in "ab")
    samples = np.pad(samples, (before * STEP, after * STEP)).astype(np.float32)
    at = ((np.arange(len(samples) // STEP) - before + 0.5) * pace).astype(int)
    inside = (at >= 0) & (at < len(piece.labels))
    labels = np.where(inside, piece.labels[np.clip(at, 0, len(piece.labels) - 1)], SILENCE).astype(np.int16)
    return _Clip(samples, labels)


def _pace(chance: Chance) -> float:
    drawn = chance.random()
    if drawn < 0.12:
        return 1.0
    return float(chance.uniform(*CHILD) if drawn < 0.17 else chance.uniform(*SPEED))


def _begins_late(clip: _Clip, chance: Chance) -> None:
    """The path opened when the voice was already there."""
    begin, end = clip.speech
    missing = min(int(chance.uniform(0.02, 0.12) * 100), (end - begin) // (4 * STEP)) * STEP
    clip.samples[: begin + missing] = 0
    clip.labels[: (begin + missing) // STEP] = SILENCE


def _in_a_room(clip: _Clip, chance: Chance) -> None:
    length = int(chance.uniform(*DIES_AWAY) * RATE)
    echo = chance.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    echo *= chance.uniform(*ECHO) / np.sqrt((echo**2).sum())
    echo[0] = 1
    clip.samples = _filtered(clip.samples, echo)


def _tilted(clip: _Clip, chance: Chance) -> None:
    clip.samples = _filtered(clip.samples, np.array([1.0, chance.uniform(-0.6, 0.6)]))


def _coloured(clip: _Clip, chance: Chance) -> None:
    """A microphone that likes some frequencies better than others."""
    decibels = np.interp(np.linspace(0, 5, 129), np.arange(6), chance.uniform(-9, 9, 6))
    clip.samples = _shaped(clip.samples, 10 ** (decibels / 20))


def _in_band(clip: _Clip, chance: Chance) -> None:
    low, high = chance.uniform(120, 350), chance.uniform(3150, 3800)
    hertz = np.linspace(0, RATE / 2, 129)
    steep = chance.uniform(40, 150)
    gain = 1 / (1 + np.exp((low - hertz) / steep * 3)) / (1 + np.exp((hertz - high) / steep * 3))
    clip.samples = _shaped(clip.samples, gain)


BAD = ((0.12, _begins_late), (0.35, _in_a_room))
"""How often each is done to a voice on a bad line, …"""
USUAL = ((0.5, _tilted), (0.35, _coloured), (0.75, _in_band))
"""… and on any, in this order."""


def _at_level(clip: _Clip, chance: Chance) -> None:
    begin, end = clip.speech
    # most people are heard well
    level = chance.uniform(-32, -14) if chance.random() < 0.7 else chance.uniform(*LEVEL)
    gain = 10 ** (level / 20) / (_rms(clip.samples[begin:end]) + 1e-6)
    clip.samples = np.clip(clip.samples * np.float32(gain), -1, 1)


def _with_noise(clip: _Clip, others: Sequence[Aligned], chance: Chance) -> None:
    """Noise on the line, or people behind the speaker."""
    begin, end = clip.speech
    voice = _rms(clip.samples[begin:end])
    babble = chance.random() < 0.25
    ratio = chance.uniform(*(BABBLE_SNR if babble else SNR))
    make = _babble(others) if babble else _noise
    noise = make(len(clip.samples), chance) * np.float32(voice * 10 ** (-ratio / 20))
    clip.samples = np.clip(clip.samples + noise, -1, 1)


def _noise(length: int, chance: Chance) -> Samples:
    """Of power 1: steady or swelling or in grains, of any colour, with a hum. The benchmark has its own kinds."""
    noise = chance.standard_normal(length).astype(np.float32)
    drawn = chance.random()
    if drawn < 0.8:
        slope = chance.uniform(0, 1.6)
        hertz = np.linspace(0.02, 1, 129)
        bumps = np.interp(np.linspace(0, 7, 129), np.arange(8), chance.uniform(-10, 10, 8))
        noise = _shaped(noise, hertz**-slope * 10 ** (bumps / 20))
    if drawn < 0.25:
        noise = _of_power_one(noise) + _hum(length, chance) * np.float32(chance.uniform(0.5, 4))
    if chance.random() < 0.2:
        noise = _of_power_one(noise) * np.float32(chance.uniform(0, 0.5)) + _grains(length, chance)
    elif chance.random() < 0.3:
        turns = chance.uniform(0.3, 3) * np.arange(length) / RATE + chance.random()
        noise = noise * (1 + chance.uniform(0.2, 0.9) * np.sin(2 * np.pi * turns).astype(np.float32))
    return _of_power_one(noise)


def _grains(length: int, chance: Chance) -> Samples:
    """Rain, frying, keys: short bursts of noise, some strong, most weak."""
    often = np.exp(chance.uniform(*np.log(OFTEN)))
    sound = np.zeros(length, np.float32)
    for _ in range(3):
        lasts = int(chance.uniform(*GRAINS) * RATE)
        grain = chance.standard_normal(lasts) * np.exp(-6.9 * np.arange(lasts) / lasts)
        begins = chance.integers(0, length, 1 + int(often * length / RATE / 3))
        bursts = np.zeros(length, np.float32)
        np.add.at(bursts, begins, chance.laplace(size=len(begins)).astype(np.float32))
        sound += _filtered(bursts, grain)
    return _of_power_one(sound)


def _hum(length: int, chance: Chance) -> Samples:
    """A transformer, a tone: a note and its overtones."""
    note = chance.choice([50.0, 100.0, chance.uniform(30, 500)])
    overtones = range(1, int(min(16, 3600 / note)) + 1)
    fall = chance.uniform(0.3, 1.5)
    time = (np.arange(length) * (2 * np.pi * note / RATE)).astype(np.float32)
    hum = np.sum([np.sin(k * time + np.float32(chance.uniform(0, 6))) / k**fall for k in overtones], axis=0)
    return _of_power_one(hum)


def _babble(others: Sequence[Aligned]) -> Callable[[int, Chance], Samples]:
    """People talking behind the speaker."""

    def talk(length: int, chance: Chance) -> Samples:
        mixed = np.zeros(length, np.float32)
        for _ in range(int(chance.integers(1, OTHERS + 1))):
            picked = [others[index].pcm for index in chance.integers(0, len(others), 3)]
            voice = soxr.resample(np.concatenate(picked).astype(np.float32), SPOKEN_RATE, RATE, quality="LQ")
            endless = np.resize(_of_power_one(voice), length)
            mixed += np.roll(endless, chance.integers(length)) * np.float32(chance.uniform(0.3, 1))
        return _of_power_one(mixed)

    return talk


def _coded(clip: _Clip, chance: Chance) -> None:
    drawn = chance.random()
    if drawn < 0.6:
        decoded = np.frombuffer(from_alaw(as_alaw(as_pcm(clip.samples))), "<i2")
        clip.samples = (decoded / 32768).astype(np.float32)
    elif drawn < 0.85:
        clip.samples = through_ulaw(clip.samples)


def through_ulaw(samples: Samples) -> Samples:
    """G.711 µ-law there and back, by its law rather than its segments."""
    squeezed = np.round(np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256) * 127) / 127
    through: Samples = (np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255).astype(np.float32)
    return through


def _with_loss(clip: _Clip, chance: Chance) -> None:
    """Lost packets are the one before, fading, or silence."""
    lost = chance.random(len(clip.samples) // PACKET) < chance.uniform(0.01, 0.08)
    fades = chance.random() < 0.6
    samples = clip.samples.copy()
    for packet in np.flatnonzero(lost):
        at = packet * PACKET
        before = samples[at - PACKET : at] if packet and fades else np.zeros(PACKET, np.float32)
        samples[at : at + PACKET] = 0.6 * before
    clip.samples = samples


def _hushed(clip: _Clip, chance: Chance) -> None:
    begin, end = clip.speech
    before, after = (int(np.exp(chance.uniform(*np.log(KEPT))) * 100) * STEP for _ in "ab")
    begin, end = max(0, begin - before), min(len(clip.samples), end + after)
    hush = np.zeros(HUSH, np.float32)
    clip.samples = np.concatenate([hush, clip.samples[begin:end], hush])
    silence = np.full(HUSH // STEP, SILENCE, np.int16)
    clip.labels = np.concatenate([silence, clip.labels[begin // STEP : -(-end // STEP)], silence])


def _of_power_one(sound: npt.NDArray[np.floating]) -> Samples:
    even: Samples = (sound / (_rms(sound) + 1e-9)).astype(np.float32)
    return even


def _rms(samples: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def _filtered(samples: Samples, response: npt.NDArray[np.float64]) -> Samples:
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    through = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    kept: Samples = through[: len(samples)].astype(np.float32)
    return kept


def _shaped(samples: Samples, gain: npt.NDArray[np.float64]) -> Samples:
    """Through a filter whose gain from 0 to half the rate is given."""
    size = 1 << (len(samples) - 1).bit_length()
    curve = np.interp(np.linspace(0, 1, size // 2 + 1), np.linspace(0, 1, len(gain)), gain)
    return np.fft.irfft(np.fft.rfft(samples, size) * curve, size)[: len(samples)].astype(np.float32)
