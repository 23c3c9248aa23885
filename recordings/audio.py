"""A call's audio: taken in from what Asterisk recorded, measured, cut for listening. pydub's only door.

A recording has two channels: LEFT is what came from the resident, RIGHT what she heard
(`MixMonitor` with option D: 16-bit little-endian, 8 kHz, interleaved, no header). A voice message has one
channel: the resident's (`Record` to a WAV of 16 bits and 8 kHz).
Everything here blocks; call it in a thread. A recording may be hours long (1 hour = 115 MB): nothing
is held whole.
"""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

with warnings.catch_warnings():
    # pydub 0.25 leans on the deprecated audioop, and complains of a missing ffmpeg even if none is needed
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

RATE = 8_000
LEFT, RIGHT = 0, 1
RESIDENT, LINE = LEFT, RIGHT
FRAME = 160
"""Samples in 20 ms: the grain in which a voice is looked for."""
BLOCK = 10 * RATE
"""Samples a channel read at a time: 10 s, 320 kB. A whole number of frames."""
VOICED = -40.0
"""A frame louder than this holds a voice, dBFS; a quiet line lies at −60 and below."""
LONGEST = (2**32 - 64) // 4
"""Samples a channel that a WAV can hold: 37 hours."""

MESSAGE_HEAD = 44
"""Bytes before the samples of Asterisk's WAV."""

Samples = npt.NDArray[np.int16]
"""One row a sample, one column a channel."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording that was taken in."""

    path: Path
    seconds: float
    sha256: str
    bytes: int
    voiced: tuple[float, float]
    """Seconds with a voice in them: from the resident, to the resident."""


def take_in(raw: Path, wav: Path) -> Audio:
    """Write the raw recording as a stereo WAV, hashed and measured in the same pass.

    The WAV appears whole under its name or not at all; the raw file stays. Odd bytes at its end are dropped.
    """
    with raw.open("rb") as source:
        return _take_in(source, raw.stat().st_size // 4, wav, channels=2)


def take_in_message(left: Path, wav: Path) -> Audio:
    """The same for what a resident said after the tone: a WAV of one channel, `voiced` is (hers, 0).

    Asterisk writes the length into its header last; the file itself says it, so that nothing a killed Asterisk
    had heard is lost. Raises ValueError when there is no such header: torn, or another format.
    """
    with left.open("rb") as source:
        head = source.read(MESSAGE_HEAD)
        if len(head) < MESSAGE_HEAD or _format(head) != _format(_header(0, channels=1)):
            raise ValueError(f"{left.name}: no WAV of 8 kHz, 16 bits and one channel")
        return _take_in(source, (left.stat().st_size - MESSAGE_HEAD) // 2, wav, channels=1)


def samples(wav: Path) -> bytes:
    """The samples of a message that was taken in: 8 kHz, mono, 16 bits, little-endian."""
    with wav.open("rb") as file:
        file.seek(MESSAGE_HEAD)
        return file.read(2 * LONGEST)


def _take_in(source: BinaryIO, samples: int, wav: Path, channels: int) -> Audio:
    wav.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    samples = min(samples, LONGEST)
    voiced = np.zeros(channels)
    digest = hashlib.sha256()
    part = wav.with_name(f"{wav.name}.{os.getpid()}.part")  # another controller may take in the same one
    part.touch(mode=0o600)  # voices are for those who may hear them
    with part.open("wb") as out:
        _write(out, digest, _header(samples, channels))
        for block in _blocks(source, samples, channels):
            voiced += _voiced(block)
            _write(out, digest, block.tobytes())
        out.flush()
        os.fsync(out.fileno())
    part.replace(wav)
    hers, heard = (*voiced.tolist(), 0.0)[:2]
    return Audio(wav, samples / RATE, digest.hexdigest(), 44 + 2 * channels * samples, (hers, heard))


def tone_seconds(path: Path, channel: int, hz: float) -> float:
    """How long a tone of `hz` (± 15) is the strongest sound in the channel of a WAV, seconds; grain 0.1 s."""
    return 0.1 * sum(abs(peak - hz) <= 15 for peak in _peaks(path, channel))


def dominant_hz(path: Path, channel: int) -> float | None:
    """The frequency that is the strongest for the longest in the channel of a WAV; None if it is silent."""
    peaks, times = np.unique(np.fromiter(_peaks(path, channel), float), return_counts=True)
    return float(peaks[times.argmax()]) if len(peaks) else None


def excerpt(path: Path, start: float, end: float, to: Path) -> Path:
    """Seconds `start` to `end` of a WAV as another WAV, both voices mixed into one channel for listening."""
    with wave.open(str(path)) as file:
        channels, width, rate, length = file.getparams()[:4]
        first, last = (min(max(0, round(moment * rate)), length) for moment in (start, end))
        file.setpos(first)
        pcm = file.readframes(max(0, last - first))
    both = AudioSegment(data=pcm, sample_width=width, frame_rate=rate, channels=channels)
    both.set_channels(1).export(str(to), format="wav").close()
    return to


def _header(samples: int, channels: int) -> bytes:
    """The 44 bytes before the samples of a WAV. Written by hand: `wave` would go back to patch it."""
    frame = 2 * channels
    size = frame * samples
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        RATE,
        frame * RATE,
        frame,
        16,
        b"data",
        size,
    )


def _format(head: bytes) -> tuple[bytes, bytes, bytes]:
    """What a WAV's header says beside lengths."""
    return head[:4], head[8:36], head[36:40]


def _blocks(source: BinaryIO, samples: int, channels: int) -> Iterator[Samples]:
    for done in range(0, samples, BLOCK):
        wanted = min(BLOCK, samples - done)
        size = 2 * channels * wanted
        pcm = source.read(size)
        if len(pcm) < size:
            raise OSError(f"{source.name}: became shorter while it was read")
        yield np.frombuffer(pcm, "<i2").reshape(-1, channels)


def _voiced(block: Samples) -> npt.NDArray[np.float64]:
    """Seconds with a voice, per channel; whole frames are counted."""
    whole = len(block) // FRAME * FRAME
    frames = block[:whole].reshape(-1, FRAME, block.shape[1]).astype(np.float32) / 32768
    power = np.einsum("fsc,fsc->fc", frames, frames) / FRAME
    loud: npt.NDArray[np.bool_] = power > 10 ** (VOICED / 10)
    seconds: npt.NDArray[np.float64] = np.count_nonzero(loud, axis=0) * (FRAME / RATE)
    return seconds


def _write(out: BinaryIO, digest: hashlib._Hash, data: bytes) -> None:
    digest.update(data)
    out.write(data)


def _peaks(path: Path, channel: int) -> Iterator[float]:
    """The strongest frequency, Hz, of each 0.1 s that holds a voice or a tone."""
    with wave.open(str(path)) as file:
        window = file.getframerate() // 10
        shape = np.hanning(window)
        while len(pcm := file.readframes(window)) == 2 * window * file.getnchannels():
            heard = np.frombuffer(pcm, "<i2").reshape(window, -1)[:, channel] / 32768
            if np.mean(heard**2) > 10 ** (VOICED / 10):
                yield 10.0 * int(np.abs(np.fft.rfft(shape * heard))[3:].argmax() + 3)
