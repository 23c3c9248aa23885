"""Speech as samples: read, trimmed, levelled, written. Arithmetic only; `voice` resamples.

Samples are float32, mono, full scale ±1.0. Levels are dBFS: 0 is full scale.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

LEVEL = -20.0
"""RMS of speech in a prompt, dBFS: what a telephone carries well."""
PEAK = -3.0
"""No sample louder than this, dBFS."""
SILENT = -60.0
"""A prompt that nowhere exceeds this, dBFS, holds no sound."""
SPEECH_RANGE = 35.0
"""Speech lies within so many dB of its loudest moment; what is weaker is the room."""
LEAD, TAIL = 0.060, 0.150
"""Silence before and after the speech, seconds."""
FADE = 0.005
FRAME = 0.010
LONGEST = 300.0
"""Seconds; a longer "prompt" is somebody's mistake."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono speech at `rate` Hz."""

    samples: Samples
    rate: int


def read_wav(content: bytes) -> Sound:
    """A 16-bit PCM WAV of any rate, mono or stereo (mixed). ValueError says why it cannot be a prompt."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate, length = file.getparams()[:4]
            if width != 2:
                raise ValueError(f"{8 * width} bits a sample; save it as 16-bit PCM WAV")
            if channels not in (1, 2):
                raise ValueError(f"{channels} channels; save it as mono or stereo")
            if not 4_000 <= rate <= 192_000:
                raise ValueError(f"{rate} Hz; record it at 8 to 192 kHz")
            if length > LONGEST * rate:
                raise ValueError(f"longer than {LONGEST:.0f} s")
            pcm = file.readframes(length)
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"not a WAV of PCM samples ({error or 'it ends too early'}); save it as 16-bit PCM WAV"
        ) from error
    whole = len(pcm) // (2 * channels) * 2 * channels
    samples = np.frombuffer(pcm[:whole], "<i2").reshape(-1, channels).mean(axis=1) / 32768
    return Sound(samples.astype(np.float32), rate)


def read_recording(content: bytes) -> Sound:
    """A recorded prompt; ValueError also when it is silent: a resident would wait for nothing."""
    sound = read_wav(content)
    if loudest(sound) < SILENT:
        raise ValueError("it holds no sound")
    return sound


def loudest(sound: Sound) -> float:
    """The level of the loudest 10 ms, dBFS."""
    return float(_levels(sound).max(initial=-120.0))


def as_prompt(sound: Sound) -> Sound:
    """Trimmed to the speech and a little silence, brought to the common level, without clicks at its ends."""
    centred = Sound((sound.samples - sound.samples.mean(dtype=np.float64)).astype(np.float32), sound.rate)
    levels = _levels(centred)
    if not len(levels) or levels.max() < SILENT:
        return Sound(np.zeros(int((LEAD + TAIL) * sound.rate), np.float32), sound.rate)
    speech = levels > levels.max() - SPEECH_RANGE
    return _faded(Sound(_trimmed(centred, speech) * _gain(centred, levels[speech]), sound.rate))


def as_wav(sound: Sound) -> bytes:
    """Mono 16-bit PCM WAV at the sound's rate."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(as_pcm(sound.samples).tobytes())
    return out.getvalue()


def as_pcm(samples: Samples) -> npt.NDArray[np.int16]:
    """16-bit little-endian samples; what is beyond full scale is clipped, never wrapped."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")


def as_alaw(pcm: npt.NDArray[np.int16]) -> bytes:
    """G.711 A-law, one byte a sample."""
    return _ALAW[pcm.view(np.uint16)].tobytes()


def _alaw_table() -> npt.NDArray[np.uint8]:
    """The A-law byte of every 16-bit sample, indexed by the sample's bits (ITU-T G.711, table 1a).

    A sample is cut to 13 bits: sign and magnitude 0…4095. The magnitude's octave is the segment (3 bits,
    segments 0 and 1 both linear in steps of 2), the four bits under its leading one are the step.
    Even bits are inverted on the wire; the sign bit is 1 for positive.
    """
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 3
    magnitude = np.where(sample < 0, -1 - sample, sample)
    segment = np.searchsorted([32, 64, 128, 256, 512, 1024, 2048], magnitude, side="right")
    step = (magnitude >> np.maximum(segment, 1)) & 0x0F
    sign = np.where(sample < 0, 0x00, 0x80)
    codes: npt.NDArray[np.uint8] = ((sign | segment << 4 | step) ^ 0x55).astype(np.uint8)
    return codes


_ALAW = _alaw_table()


def _levels(sound: Sound) -> npt.NDArray[np.float64]:
    """The level of each 10 ms, dBFS; the last one may be shorter and is filled up with silence."""
    frame = int(FRAME * sound.rate)
    padded = np.pad(sound.samples, (0, -len(sound.samples) % frame)).reshape(-1, frame).astype(np.float64)
    powers: npt.NDArray[np.float64] = np.mean(padded**2, axis=1) + 1e-12
    return 10 * np.log10(powers)


def _trimmed(sound: Sound, speech: npt.NDArray[np.bool_]) -> Samples:
    """From LEAD before the first speech to TAIL after the last; silence is added where there was less."""
    frame, lead, tail = (int(seconds * sound.rate) for seconds in (FRAME, LEAD, TAIL))
    first, last = np.flatnonzero(speech)[[0, -1]]
    roomy = np.pad(sound.samples, (lead, tail + frame))
    return roomy[first * frame : (last + 1) * frame + lead + tail]


def _gain(sound: Sound, speech_levels: npt.NDArray[np.float64]) -> np.float32:
    """The factor to LEVEL, or only as far as PEAK allows."""
    level = 10 * np.log10(np.mean(10 ** (speech_levels / 10)))
    peak = 20 * np.log10(np.abs(sound.samples).max())
    return np.float32(10 ** (min(LEVEL - level, PEAK - peak) / 20))


def _faded(sound: Sound) -> Sound:
    ramp = np.linspace(0, 1, int(FADE * sound.rate), dtype=np.float32)
    faded = sound.samples.copy()
    faded[: len(ramp)] *= ramp
    faded[-len(ramp) :] *= ramp[::-1]
    return Sound(faded, sound.rate)
