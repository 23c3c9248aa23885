"""What is heard beside the speech. Samples are float32 at 8 kHz, of any level: who mixes them brings them to one."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from ivr.speech.sound import Samples

RATE = 8000


class Background(StrEnum):
    WHITE = "white"
    PINK = "pink"
    BABBLE = "babble"
    HUM = "hum"
    ENGINE = "engine"
    """In a car. No training of ours makes this one, nor the next."""
    WATER = "water"
    """A tap runs, as it does where a plumber is rated."""


def noise(kind: Background, length: int, babble: Samples, chance: np.random.Generator) -> Samples:
    match kind:
        case Background.BABBLE:
            start = int(chance.integers(0, max(1, len(babble) - length)))
            return np.resize(babble[start:], length).astype(np.float32)
        case Background.HUM:
            return in_band(_hum(length, chance))
        case Background.ENGINE:
            return in_band(_engine(length, chance))
        case Background.WATER:
            return in_band(_water(length, chance))
        case Background.WHITE | Background.PINK:
            return in_band(_coloured(length, chance, pink=kind is Background.PINK))


def in_band(sound: Samples) -> Samples:
    """What a telephone lets through: 300 to 3400 Hz, falling off beside it."""
    spectrum = np.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = np.interp(frequencies, [180, 300, 3400, 3700], [0.03, 1.0, 1.0, 0.01])
    passed: Samples = np.fft.irfft(spectrum * gain, len(sound)).astype(np.float32)
    return passed


def mixed_babble(voices: list[Samples], seconds: float, chance: np.random.Generator) -> Samples:
    """Several people talking at once, without end."""
    tracks = [[voices[pick] for pick in chance.permutation(len(voices))] for _ in range(5)]
    length = int(seconds * RATE)
    shifted = [np.roll(np.resize(np.concatenate(track), length), chance.integers(length)) for track in tracks]
    return in_band(np.sum(shifted, axis=0).astype(np.float32))


def _coloured(length: int, chance: np.random.Generator, *, pink: bool) -> Samples:
    white = chance.standard_normal(length)
    if not pink:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return np.fft.irfft(spectrum, length).astype(np.float32)


def _hum(length: int, chance: np.random.Generator) -> Samples:
    """The mains and its overtones, and a little of everything else."""
    time = np.arange(length) / RATE
    tones = [
        np.sin(2 * np.pi * 50 * overtone * time + chance.uniform(0, 2 * np.pi)) / overtone**0.7
        for overtone in range(1, 25)
    ]
    hum: Samples = (np.sum(tones, axis=0) + 0.1 * chance.standard_normal(length)).astype(np.float32)
    return hum


def _engine(length: int, chance: np.random.Generator) -> Samples:
    """Ignitions whose pace rises and falls every few seconds, and the road under them, now louder, now softer."""
    time = np.arange(length) / RATE
    sway = np.sin(2 * np.pi * chance.uniform(0.1, 0.4) * time + chance.uniform(0, 2 * np.pi))
    ignitions = np.cumsum(chance.uniform(40, 90) * (1 + 0.25 * sway)) / RATE
    pulses = np.exp(-12 * (ignitions % 1.0))
    road = _coloured(length, chance, pink=True)
    engine = pulses / pulses.std() + 0.5 * (1.0 + 0.5 * sway) * road / road.std()
    return np.asarray(engine, np.float32)


def _water(length: int, chance: np.random.Generator) -> Samples:
    """Drops without number: each rings for milliseconds at a pitch of its own, each pitch as often as any other."""
    time = np.arange(RATE // 20) / RATE
    size = length + len(time)
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    for pitch in np.geomspace(400, 3200, 12):
        drops = (chance.random(length) < 40 / RATE) * chance.exponential(1.0, length)
        rings = np.sin(2 * np.pi * pitch * time) * np.exp(-time / chance.uniform(0.003, 0.012))
        spectrum += np.fft.rfft(drops, size) * np.fft.rfft(rings, size)
    return np.fft.irfft(spectrum, size)[:length].astype(np.float32)
