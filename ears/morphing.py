"""A voice made into one that nobody has: each of its sounds moved towards how others say it.

A voice is known by the mean spectrum of each phone in it. The differences between voices span a space of voices (Kuhn
et al., "Rapid Speaker Adaptation in Eigenvoice Space", IEEE Trans. SAP 2000); one is drawn from it, and put on by a
filter that changes from phone to phone. Pitch, pace and manner stay those of who spoke.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import soxr

from ears.alignment import LABELS, SILENCE, Aligned, Labels
from ears.features import FILTERS, RATE, STEP, Samples, energies, spread
from ears.speech import RATE as SPOKEN_RATE
from ears.speech import source_of

Chance = np.random.Generator
Spectra = npt.NDArray[np.float32]
"""(LABELS, FILTERS): natural logarithms of power, how loud speech is in the mean left out."""

PIECES = 400
"""Of a voice are enough to know it by."""
FEW = 20
"""Frames of a phone; of what is heard less often nothing is known."""
TOWARDS = (-0.4, 0.9)
"""How far a voice goes towards another, or away from it."""
MOST = 3.0
"""Natural logarithm of power: 13 dB more or less at any frequency."""
WINDOW, TURN = 3 * STEP, 512
"""Samples filtered at once, and of the Fourier transform that does it."""
BLUR = 5
"""Steps in which one phone's filter gives way to the next one's."""


@dataclass(frozen=True)
class Voices:
    """How each voice says each phone."""

    spectra: Mapping[str, Spectra]

    @classmethod
    def of(cls, pieces: Sequence[Aligned]) -> Voices:
        said: dict[str, list[Aligned]] = {}
        for piece in pieces:
            said.setdefault(piece.voice, []).append(piece)
        heard = {voice: _heard(each[:: -(-len(each) // PIECES)]) for voice, each in said.items()}
        usual = sum((total for total, _ in heard.values()), np.zeros((LABELS, FILTERS)))
        usual /= sum((count for _, count in heard.values()), np.full((LABELS, 1), 1e-9))
        return cls(
            {
                voice: np.where(count >= FEW, total / np.maximum(1, count), usual).astype(np.float32)
                for voice, (total, count) in heard.items()
            }
        )

    def another(self, voice: str, chance: Chance) -> Spectra:
        """What makes this voice into one near it: something of one other or two."""
        own = self.spectra[voice]
        moved = np.zeros_like(own)
        for other in self._others(voice, int(chance.integers(1, 3)), chance):
            moved += np.float32(chance.uniform(*TOWARDS)) * (self.spectra[other] - own)
        moved[SILENCE] = 0
        return np.clip(moved, -MOST, MOST)

    def _others(self, voice: str, count: int, chance: Chance) -> Iterator[str]:
        """Of different sources, each as often, however many mouths it has."""
        sources = [
            mouths for each in self._sources.values() if (mouths := [one for one in each if one != voice])
        ]
        for at in chance.permutation(len(sources))[:count]:
            yield sources[at][chance.integers(len(sources[at]))]

    @cached_property
    def _sources(self) -> Mapping[str, Sequence[str]]:
        """The voices of each."""
        sources: dict[str, list[str]] = {}
        for voice in sorted(self.spectra):
            sources.setdefault(source_of(voice), []).append(voice)
        return sources


def _heard(pieces: Sequence[Aligned]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The sum of all frames of each phone, and how many: (LABELS, FILTERS), (LABELS, 1)."""
    total, count = np.zeros((LABELS, FILTERS)), np.zeros((LABELS, 1))
    for piece in pieces:
        samples = soxr.resample(piece.pcm.astype(np.float32), SPOKEN_RATE, RATE, quality="LQ")
        labels = piece.labels[1:]  # a frame's middle lies 12.5 ms after its beginning
        frames = energies(samples)[: len(labels)]
        labels = labels[: len(frames)]
        if not (is_speech := labels != SILENCE).any():
            continue
        np.add.at(total, labels, frames - np.log(np.exp(frames[is_speech]).mean()))
        np.add.at(count, labels, 1)
    return total, count


def morphed(samples: Samples, labels: Labels, moved: Spectra) -> Samples:
    """As another voice says it; a label for every STEP samples."""
    if not len(labels):
        return samples
    padded = np.pad(samples, WINDOW)
    begins = np.arange(0, len(padded) - WINDOW + 1, STEP)
    middles = (begins - WINDOW // 2) // STEP  # the padding taken away
    wanted = moved[labels[np.clip(middles, 0, len(labels) - 1)]]
    around = np.pad(wanted, ((BLUR // 2, BLUR // 2), (0, 0)), "edge")
    smooth = np.lib.stride_tricks.sliding_window_view(around, BLUR, axis=0).mean(axis=-1)
    gain = np.exp(spread(smooth, TURN) / 2)
    window = np.hanning(WINDOW + 1)[:-1] / (WINDOW / STEP / 2)  # all that overlap add up to one
    pieces = padded[begins[:, None] + np.arange(WINDOW)] * window
    room = (TURN - WINDOW) // 2  # the filter looks as far back as ahead
    through = np.roll(np.fft.irfft(np.fft.rfft(pieces, TURN) * gain, TURN), room, axis=1)
    mixed = np.zeros(len(padded) + TURN)
    for begin, piece in zip(begins.tolist(), through, strict=True):
        mixed[begin : begin + TURN] += piece
    other: Samples = mixed[WINDOW + room :][: len(samples)].astype(np.float32)
    return other
