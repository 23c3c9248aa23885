"""Sounds for the tests of the ears: made by arithmetic, or spoken by a voice of the native tree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from appliance.native import Native
from ivr.errors import MissingPart
from ivr.settings import Settings
from ivr.speech.ears import from_alaw
from ivr.speech.models import find_model
from ivr.speech.sound import Sound, as_alaw, as_pcm, as_wav
from ivr.speech.voice import Synthesiser, at_rate

RATE = 8_000
FRAME = 160
FRAME_BYTES = 2 * FRAME

Samples = npt.NDArray[np.float32]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def tone(hz: float, seconds: float, level: float = -20.0) -> Samples:
    moments = np.arange(round(seconds * RATE)) / RATE
    return (np.sqrt(2) * _loud(level) * np.sin(2 * np.pi * hz * moments)).astype(np.float32)


def put_wav(file: Path, hz: float = 1000.0, seconds: float = 1.0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(as_wav(Sound(tone(hz, seconds), RATE)))
    return file


def noise(seconds: float, level: float, seed: int = 1) -> Samples:
    """White; level in dBFS."""
    samples = np.random.default_rng(seed).normal(0, _loud(level), round(seconds * RATE))
    return np.clip(samples, -1, 1).astype(np.float32)


def in_noise(sound: Samples, below: float, seed: int = 2) -> Samples:
    """With white noise so many dB below it."""
    level = 10 * np.log10(np.mean(sound[np.abs(sound) > 1e-3] ** 2))
    return sound + noise(len(sound) / RATE, level - below, seed)


def joined(*sounds: Samples) -> Samples:
    return np.concatenate(sounds)


def telephoned(sound: Samples) -> bytes:
    """As PCM that went through G.711."""
    return from_alaw(as_alaw(as_pcm(sound)))


def frames(sound: Samples) -> Iterator[Samples]:
    for begin in range(0, len(sound) - FRAME + 1, FRAME):
        yield sound[begin : begin + FRAME]


def frames_of(pcm: bytes) -> Iterator[bytes]:
    for begin in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        yield pcm[begin : begin + FRAME_BYTES]


def telephone_band(sound: Samples) -> Samples:
    """300 to 3,400 Hz."""
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / RATE)
    kept = np.clip((hz - 240) / 60, 0, 1) * np.clip((3460 - hz) / 60, 0, 1)
    return np.fft.irfft(spectrum * kept, len(sound)).astype(np.float32)


def spoken(native: Native, text: str, voice: str = "tatiana") -> Samples:
    """By a voice the test model did not learn from. Skips without RHVoice."""
    if not (native.root / "usr/bin/RHVoice-test").exists():
        pytest.skip(f"no RHVoice in {native.root}")
    try:
        native.with_every_voice()
    except MissingPart as error:
        pytest.skip(str(error))
    return _spoken(native.root, text, voice)


@lru_cache(maxsize=64)
def _spoken(root: Path, text: str, voice: str) -> Samples:
    native = Native(root)
    command = tuple(native.command("usr/bin/RHVoice-test"))
    sound = asyncio.run(Synthesiser("rhvoice", command, voice, native.with_every_voice()).speak(text))
    return at_rate(sound, RATE).samples * np.float32(0.5)


def model() -> Path:
    """A real model's folder. Skips without one."""
    found = find_model(Settings())
    if found is None:
        pytest.skip("no speech model here: make model fetches one")
    return found


def _loud(level: float) -> float:
    return float(10 ** (level / 20))
