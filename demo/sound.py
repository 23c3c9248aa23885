"""Sounds for the softphones, and the ears that prove they passed.

A sound is a one-dimensional int16 array, 8 kHz, mono: what a telephone line carries.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.int16]

RATE = 8_000
"""Samples a second, everywhere in this module."""
FULL = 32_768
"""The largest amplitude of 16 bits: 0 dBFS."""
SILENCE_DBFS = -96.0
"""What digital silence measures: the floor of 16 bits."""
VOICE_DBFS = -45.0
"""Louder than this is a voice; the noise of an A-law line lies far below."""


def tone(hz: float, seconds: float, *, dbfs: float = -12.0) -> Sound:
    """A sine of the given pitch and RMS level; faded 5 ms at both ends, so that it does not click."""
    moments = _moments(seconds)
    return _as_sound(_faded(np.sin(2 * np.pi * hz * moments)), dbfs)


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.int16)


def voice(seconds: float, *, pitch: float = 120.0, dbfs: float = -18.0) -> Sound:
    """Speech-like: a buzz at `pitch` Hz through the formants of «а», in four syllables a second.

    Always the same samples for the same arguments. A man speaks at about 120 Hz, a woman at about 210.
    """
    moments = _moments(seconds)
    harmonics = pitch * np.arange(1, int(3_400 / pitch) + 1)
    melody = 2 * np.pi * moments * (1 + 0.01 * np.sin(2 * np.pi * 0.7 * moments))
    buzz = sum((_formants(hz) * np.sin(melody * hz) for hz in harmonics), start=np.zeros_like(moments))
    syllables = np.sin(np.pi * 4 * moments) ** 2
    return _as_sound(_faded(buzz * syllables), dbfs)


def loudness(pcm: Sound) -> float:
    """RMS level in dBFS: 0 is a full-scale square wave, a full-scale sine is −3, silence −96."""
    if not pcm.size:
        return SILENCE_DBFS
    rms = float(np.sqrt(np.mean(np.square(pcm.astype(np.float64)))))
    return max(SILENCE_DBFS, 20 * float(np.log10(max(rms, 1e-9) / FULL)))


def loudest(pcm: Sound, *, window: float = 0.2) -> float:
    """The loudest stretch of `window` seconds, in dBFS; a shorter sound has none."""
    return max((loudness(piece) for piece in _stretches(pcm, window)), default=SILENCE_DBFS)


def has_voice(pcm: Sound) -> bool:
    return loudest(pcm) > VOICE_DBFS


def tone_share(pcm: Sound, hz: float, *, width: float = 15.0) -> float:
    """How much of the sound's energy lies within `width` Hz of `hz`: 0 to 1."""
    if loudness(pcm) <= SILENCE_DBFS:
        return 0.0
    power = np.abs(np.fft.rfft(pcm * np.hanning(pcm.size))) ** 2
    pitches = np.fft.rfftfreq(pcm.size, 1 / RATE)
    near = np.abs(pitches - hz) <= max(width, 2 * RATE / pcm.size)
    return float(power[near].sum() / power.sum())


def has_tone(pcm: Sound, hz: float, *, share: float = 0.15, window: float = 0.2) -> bool:
    """True when in some stretch of `window` seconds the tone is loud and has `share` of the energy.

    A stretch, not the whole: a tone of half a second is found in a recording of a minute.
    """
    return any(
        loudness(piece) > VOICE_DBFS and tone_share(piece, hz) >= share for piece in _stretches(pcm, window)
    )


def from_wav(path: Path | str) -> Sound:
    """Read a WAV; raises ValueError when it is not 8 kHz mono 16-bit."""
    with wave.open(str(path), "rb") as file:
        shape = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if shape != (RATE, 1, 2):
            raise ValueError(
                f"{path}: {shape[0]} Hz, {shape[1]} channels, {shape[2] * 8} bits; want 8000, 1, 16"
            )
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def to_wav(pcm: Sound, path: Path | str) -> None:
    with wave.open(str(path), "wb") as file:
        file.setframerate(RATE)
        file.setnchannels(1)
        file.setsampwidth(2)
        file.writeframes(pcm.astype("<i2").tobytes())


def _stretches(pcm: Sound, window: float) -> Iterator[Sound]:
    step = round(window * RATE)
    return (pcm[at : at + step] for at in range(0, pcm.size - step + 1, step // 2))


def _moments(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def _formants(hz: float) -> float:
    """How strongly the mouth saying «а» lets a pitch through; peaks at 700, 1200 and 2600 Hz."""
    peaks = ((700, 130, 1.0), (1_200, 150, 0.5), (2_600, 250, 0.2))
    return 0.05 + sum(height / (1 + ((hz - at) / width) ** 2) for at, width, height in peaks)


def _faded(wave_: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = min(wave_.size // 2, RATE // 200)
    slope = np.linspace(0, 1, ends)
    wave_[:ends] *= slope
    wave_[wave_.size - ends :] *= slope[::-1]
    return wave_


def _as_sound(wave_: NDArray[np.float64], dbfs: float) -> Sound:
    rms = float(np.sqrt(np.mean(np.square(wave_)))) if wave_.size else 0.0
    scaled = wave_ * (FULL * 10 ** (dbfs / 20) / max(rms, 1e-9))
    return np.clip(scaled, -FULL, FULL - 1).astype(np.int16)


def likeness(pcm: Sound, piece: Sound, *, window: float = 0.5) -> float:
    """How surely a known sound is in what was heard: 1 is the very same, noise lies below 0.2.

    The best match of any loud half second of `piece`, by normalised cross-correlation: a telephone line may
    drop or repeat a packet, so the whole of it need not line up.
    """
    loud = [part for part in _stretches(piece, window) if loudness(part) > VOICE_DBFS]
    return max((_correlation(pcm, part) for part in loud[:8]), default=0.0)


def _correlation(pcm: Sound, part: Sound) -> float:
    if pcm.size < part.size:
        return 0.0
    heard, known = pcm.astype(np.float64), part.astype(np.float64)
    size = 1 << (pcm.size + part.size).bit_length()
    dots = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(known, size)), size)
    dots = dots[: pcm.size - part.size + 1]
    sums = np.concatenate(([0.0], np.cumsum(heard**2)))
    energy = sums[part.size :] - sums[: -part.size]
    floor = part.size * FULL**2 * 1e-6  # silence is like nothing
    return float(np.max(dots / np.sqrt(np.maximum(energy, floor) * np.dot(known, known))))


def stereo_wav(path: Path) -> tuple[Sound, Sound]:
    """The two channels of a 16-bit WAV."""
    with wave.open(str(path)) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()
