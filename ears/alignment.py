"""Which phone is spoken when: from nothing but the speech and its words.

Each phone is three states in a row, each state one Gaussian over cepstra and their slopes. It begins with the phones
spread evenly over what is louder than the pauses, and is repeated: fit the Gaussians, find the likeliest path
(Viterbi training, "hard EM"). A voice has Gaussians of its own after the first rounds. Silence may lie between
words.

Then what was said with pauses is cut at them: a piece for each word or phrase.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ears.features import Frames, Samples, mfcc
from ears.speech import PCM, RATE, Spoken, source_of
from ivr.speech.pronounce import PHONES, Phones
from ivr.speech.sound import Sound
from ivr.speech.voice import at_rate

SILENCE = 0
"""The label of no phone; phone number n of PHONES is n + 1."""
LABELS = 1 + len(PHONES)
PARTS = 3
"""States of a phone."""
CEPSTRA = 20
TOGETHER, ALONE = 4, 4
"""Rounds with all voices' Gaussians in one, and with each voice's own."""
SHARE = 240
"""Pieces of each voice in the first rounds."""
LOUD = 0.4
"""Louder than this share of the way from the quietest to the loudest frame is speech, to begin with."""
PAUSE = 12
"""Frames of silence between words at which speech is cut."""
BATCH = 64
NEVER = -1e30

_NUMBER = {phone: number for number, phone in enumerate(PHONES, 1)}
Labels = npt.NDArray[np.int16]
Ways = Mapping[str, tuple[Phones, ...]]
"""Of each word how it is said; the first counts."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """A piece of speech with its phones."""

    voice: str
    words: tuple[str, ...]
    pcm: PCM = field(repr=False)
    labels: Labels = field(repr=False)
    """A label for every 10 ms of `pcm`."""

    @property
    def source(self) -> str:
        return source_of(self.voice)


@dataclass(frozen=True, slots=True)
class _Path:
    """The states a piece goes through."""

    states: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    """For each state the word it belongs to; −1 for silence."""

    @classmethod
    def of(cls, words: Sequence[Phones]) -> _Path:
        states, owners = [0, 1, 2], [-1] * PARTS
        for number, phones in enumerate(words):
            for phone in phones:
                states += [PARTS * _NUMBER[phone] + part for part in range(PARTS)]
                owners += [number] * PARTS
            states += [0, 1, 2]
            owners += [-1] * PARTS
        return cls(np.array(states), np.array(owners))

    @property
    def may_be_skipped(self) -> npt.NDArray[np.bool_]:
        """Silence between two words; that at the ends is there."""
        inner = np.zeros(len(self.states), bool)
        inner[PARTS:-PARTS] = self.words[PARTS:-PARTS] < 0
        return inner


@dataclass(frozen=True, slots=True)
class _Piece:
    spoken: Spoken
    frames: Frames
    loudness: npt.NDArray[np.float32]
    path: _Path


def align(
    spoken: Iterable[Spoken], lexicon: Ways, otherwise: Mapping[str, Ways] | None = None
) -> Iterator[Aligned]:
    """Every piece with its phones, cut at pauses. Pieces that do not fit their words are left out.

    `otherwise`: of sources that say words in ways of their own, these ways.
    """
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        ways = otherwise or {}
        pieces = [_piece(one, ways.get(source_of(one.voice), lexicon)) for one in spoken]
        voices: dict[str, list[_Piece]] = {}
        for one in pieces:
            if len(one.frames) > len(one.path.states):
                voices.setdefault(source_of(one.spoken.voice), []).append(one)
        some = [one for each in voices.values() for one in each[:: max(1, len(each) // SHARE)]]
        common = _trained(some, [_evenly(one) for one in some], TOGETHER)
        for each in tqdm(
            pool.map(partial(_voice, common), voices.values()), total=len(voices), unit=" voices"
        ):
            yield from each


def _voice(common: _Gaussians, pieces: Sequence[_Piece]) -> list[Aligned]:
    few = pieces[:: max(1, len(pieces) // (2 * SHARE))]
    own = _trained(few, _best(few, common), ALONE) if len(few) >= SHARE // 4 else common
    found = zip(pieces, _best(pieces, own), strict=True)
    return [part for piece, at in found if at is not None for part in _cut(piece, at)]


def _piece(spoken: Spoken, lexicon: Ways) -> _Piece:
    pcm = eight_kilohertz(spoken.pcm)
    pcm = pcm + np.random.default_rng(len(pcm)).standard_normal(len(pcm)).astype(np.float32) * 8
    cepstra = mfcc(pcm)[:, :CEPSTRA]
    slopes = np.zeros_like(cepstra)
    slopes[1:-1] = (cepstra[2:] - cepstra[:-2]) / 2
    frames = np.hstack([cepstra - cepstra.mean(axis=0), slopes])
    return _Piece(spoken, frames, cepstra[:, 0], _Path.of([lexicon[word][0] for word in spoken.words]))


def eight_kilohertz(pcm: PCM) -> Samples:
    """Full scale ±32768."""
    return at_rate(Sound(pcm.astype(np.float32), RATE), 8000).samples


# The Gaussians


@dataclass(frozen=True, slots=True)
class _Gaussians:
    """One for each state."""

    means: Frames
    precisions: Frames

    @classmethod
    def of(cls, frames: Frames, states: npt.NDArray[np.int64]) -> _Gaussians:
        count = np.bincount(states, minlength=PARTS * LABELS)[:, None] + 1e-3
        means, squares = (_sums(each, states) / count for each in (frames, frames**2))
        variances = np.maximum(squares - means**2, 0.05 * frames.var(axis=0))
        return cls(means.astype(np.float32), (1 / variances).astype(np.float32))

    def likelihoods(self, frames: Frames) -> Frames:
        """(frames, states), logarithms."""
        scaled = self.means * self.precisions
        constant = 0.5 * (np.log(self.precisions).sum(axis=1) - (self.means * scaled).sum(axis=1))
        likely: Frames = frames @ scaled.T - 0.5 * frames**2 @ self.precisions.T + constant
        return likely


def _sums(values: Frames, states: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """For each state the sum of the values of its frames."""
    columns = [np.bincount(states, weights=column, minlength=PARTS * LABELS) for column in values.T]
    return np.stack(columns, axis=1)


def _trained(
    pieces: Sequence[_Piece], paths: Sequence[npt.NDArray[np.int64] | None], rounds: int
) -> _Gaussians:
    for _ in range(rounds):
        fitting = [(one, at) for one, at in zip(pieces, paths, strict=True) if at is not None]
        frames = np.concatenate([one.frames for one, _ in fitting])
        states = np.concatenate([one.path.states[at] for one, at in fitting])
        gaussians = _Gaussians.of(frames, states)
        paths = _best(pieces, gaussians)
    return gaussians


def _evenly(piece: _Piece) -> npt.NDArray[np.int64]:
    """Where in its path each frame is, to begin with: loud frames are the phones, evenly."""
    low, high = np.percentile(piece.loudness, [2, 98])
    loud = np.flatnonzero(piece.loudness > low + LOUD * (high - low))
    spoken = np.flatnonzero(piece.path.words >= 0)
    at = np.zeros(len(piece.frames), np.int64)  # the first silence
    at[loud] = spoken[(np.arange(len(loud)) * len(spoken) / max(1, len(loud))).astype(int)]
    return at


def _best(pieces: Sequence[_Piece], gaussians: _Gaussians) -> list[npt.NDArray[np.int64] | None]:
    """Where in its path each frame of each piece is, by the likeliest way through."""
    found: list[npt.NDArray[np.int64] | None] = [None] * len(pieces)
    order = sorted(range(len(pieces)), key=lambda index: len(pieces[index].frames))
    for begin in range(0, len(order), BATCH):
        batch = order[begin : begin + BATCH]
        for index, at in zip(batch, _viterbi([pieces[index] for index in batch], gaussians), strict=True):
            found[index] = at
    return found


def _viterbi(pieces: Sequence[_Piece], gaussians: _Gaussians) -> list[npt.NDArray[np.int64] | None]:
    longest = max(len(one.frames) for one in pieces)
    widest = max(len(one.path.states) for one in pieces)
    scores = np.full((longest, len(pieces), widest), NEVER, np.float32)
    skips = np.full((len(pieces), widest), NEVER, np.float32)  # 0 where entered over the silence before it
    last = np.array([len(one.frames) - 1 for one in pieces])
    for row, one in enumerate(pieces):
        likely = gaussians.likelihoods(one.frames)
        scores[: len(one.frames), row, : len(one.path.states)] = likely[:, one.path.states]
        skippable = one.path.may_be_skipped
        skips[row, PARTS + 1 : len(skippable)][skippable[PARTS:-1] & ~skippable[PARTS + 1 :]] = 0
    best = np.full((len(pieces), widest), NEVER, np.float32)
    best[:, 0] = scores[0, :, 0]
    back = np.zeros((longest, len(pieces), widest), np.uint8)
    ended = best.copy()
    for frame in range(1, longest):
        over = best[:, : -PARTS - 1] + skips[:, PARTS + 1 :]
        came = best.copy()
        np.maximum(came[:, 1:], best[:, :-1], out=came[:, 1:])
        back[frame] = came > best
        back[frame, :, PARTS + 1 :][over > came[:, PARTS + 1 :]] = PARTS + 1
        np.maximum(came[:, PARTS + 1 :], over, out=came[:, PARTS + 1 :])
        best = came + scores[frame]
        ended[last == frame] = best[last == frame]
    return [_followed(one, back[:, row], ended[row]) for row, one in enumerate(pieces)]


def _followed(
    piece: _Piece, back: npt.NDArray[np.uint8], ended: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64] | None:
    """From the last state back to the first; None when the last could not be reached."""
    state = len(piece.path.states) - 1
    if ended[state] < NEVER / 2:
        return None
    at = np.zeros(len(piece.frames), np.int64)
    for frame in range(len(at) - 1, 0, -1):
        at[frame] = state
        state -= int(back[frame, state])
    return at


def _cut(piece: _Piece, at: npt.NDArray[np.int64]) -> Iterator[Aligned]:
    """The piece, cut in the middle of its pauses."""
    at = np.concatenate([at[:1], at[:-1]])  # the middle of a frame lies 12.5 ms after its beginning
    labels = (piece.path.states[at] // PARTS).astype(np.int16)
    words = piece.path.words[at]
    begin, first = 0, 0
    for start, end in _runs(words < 0):
        inner = start > 0 and end < len(words)
        if inner and end - start >= PAUSE:
            middle, last = (start + end) // 2, int(words[start - 1]) + 1
            yield _part(piece, labels, begin, middle, first, last)
            begin, first = middle, last
    yield _part(piece, labels, begin, len(labels), first, len(piece.spoken.words))


def _part(piece: _Piece, labels: Labels, begin: int, end: int, first: int, last: int) -> Aligned:
    samples = RATE // 100
    pcm = piece.spoken.pcm[begin * samples : end * samples]
    return Aligned(piece.spoken.voice, piece.spoken.words[first:last], pcm, labels[begin:end])


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def write_aligned(file: Path, pieces: Sequence[Aligned]) -> None:
    """Appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new.npz")
    np.savez(
        new,
        pcm=np.concatenate([one.pcm for one in pieces]),
        pcm_ends=np.cumsum([len(one.pcm) for one in pieces]),
        labels=np.concatenate([one.labels for one in pieces]),
        label_ends=np.cumsum([len(one.labels) for one in pieces]),
        texts=json.dumps([(one.voice, *one.words) for one in pieces], ensure_ascii=False),
    )
    new.rename(file)


def read_aligned(file: Path) -> list[Aligned]:
    with np.load(file) as kept:
        pcm, labels = kept["pcm"], kept["labels"]
        bounds = zip(_bounds(kept["pcm_ends"]), _bounds(kept["label_ends"]), strict=True)
        texts = json.loads(str(kept["texts"]))
    return [
        Aligned(voice, tuple(words), pcm[samples], labels[frames])
        for (voice, *words), (samples, frames) in zip(texts, bounds, strict=True)
    ]


def _bounds(ends: npt.NDArray[np.int64]) -> list[slice]:
    return [slice(begin, end) for begin, end in pairwise([0, *ends.tolist()])]
