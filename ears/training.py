"""The network learns: copies of all speech are spoilt and kept, then gone through several times.

What is done is kept after every round, so that a run that was broken off goes on there. Everything that is drawn is
drawn by the seed and the round, so that it makes no difference where it was broken off.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel, update_bn
from tqdm import tqdm

from ears.alignment import SILENCE, Aligned
from ears.augmentation import Company, Heard, spoil
from ears.features import SECOND
from ears.morphing import Voices
from ears.network import STRIDE, Network, Sequences, by_moment, keep_narrow_orthogonal

COPIES = 5
"""Times each piece of speech is spoilt anew."""
BY_MOMENT, BY_UTTERANCE = 7, 9
"""Rounds through a copy, taught by each moment; then by whole utterances."""
AVERAGED = 4
"""Rounds at the end whose weights are averaged, batch after batch: what each of them learned by chance goes (Izmailov
et al., 2018)."""
STANDARDS = 200
"""Batches by which the averaged network standardises what its layers pass on."""
BATCH = 120 * SECOND
"""Frames."""
FASTEST = 1.5e-3
SLOWER = 0.25
"""Of that, when it is taught by whole utterances."""
MOMENTS_TOO = 0.15
"""How much each moment still counts then."""
LONGEST = 8 * SECOND
PIECES = 2_000
"""In one file of spoilt speech."""
THREADS = 2
"""A sum in another order is another sum: the same number on every machine."""


@dataclass(frozen=True, slots=True)
class Recipe:
    seed: int
    copies: int = COPIES
    by_moment: int = BY_MOMENT
    by_utterance: int = BY_UTTERANCE

    @property
    def rounds(self) -> int:
        return self.by_moment + self.by_utterance


# Spoilt copies

_company = Company(())
"""What the working processes share: all the pieces, and whose voices they are."""


def spoil_all(pieces: Sequence[Aligned], recipe: Recipe, folder: Path) -> None:
    """Every copy of every piece, in files of PIECES; those that are there are not made again."""
    global _company  # noqa: PLW0603 - forked processes see it without a copy
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (copy, begin)
        for copy in range(recipe.copies)
        for begin in range(0, len(pieces), PIECES)
        if not _file(folder, copy, begin).exists()
    ]
    if not wanted:
        return
    _company = Company(pieces, Voices.of(pieces))
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        work = pool.map(partial(_spoil_some, recipe.seed, folder), wanted)
        for _ in tqdm(work, total=len(wanted), desc="  spoiling speech", unit=" files", leave=False):
            pass


def _spoil_some(seed: int, folder: Path, which: tuple[int, int]) -> None:
    copy, begin = which
    spoilt = [
        heard
        for number, piece in enumerate(_company.talking[begin : begin + PIECES], begin)
        if (heard := spoil(piece, _company, (seed, copy, number))) is not None and len(heard.frames) < LONGEST
    ]
    frames = np.concatenate([heard.frames for heard in spoilt]).astype(np.float16)
    labels = np.concatenate([heard.labels for heard in spoilt]).astype(np.uint8)
    new = _file(folder, copy, begin).with_suffix(".new.npz")
    np.savez(new, frames=frames, labels=labels, ends=np.cumsum([len(heard.frames) for heard in spoilt]))
    new.rename(_file(folder, copy, begin))


def _file(folder: Path, copy: int, begin: int) -> Path:
    return folder / f"{copy}-{begin:06}.npz"


def _read(folder: Path, copy: int) -> list[Heard]:
    heard = []
    for file in sorted(folder.glob(f"{copy}-*[0-9].npz")):
        with np.load(file) as spoilt:
            frames, labels, ends = spoilt["frames"], spoilt["labels"], spoilt["ends"].tolist()
        heard += [Heard(frames[a:b], labels[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    return heard


# Batches


@dataclass(frozen=True, slots=True)
class Batch:
    frames: torch.Tensor
    lengths: torch.Tensor
    """Scores of each utterance."""
    labels: torch.Tensor
    """One a score."""
    said: torch.Tensor
    counts: torch.Tensor

    @property
    def present(self) -> torch.Tensor:
        return torch.arange(self.labels.shape[1]) < self.lengths[:, None]


def batches(heard: Sequence[Heard], chance: np.random.Generator) -> list[list[Heard]]:
    """Utterances of like length together, in any order."""
    order = sorted(range(len(heard)), key=lambda at: len(heard[at].frames) + chance.uniform(0, 8))
    made: list[list[Heard]] = [[]]
    for at in order:
        longest = len(heard[at].frames)
        if made[-1] and (len(made[-1]) + 1) * longest > BATCH:
            made.append([])
        made[-1].append(heard[at])
    return [made[at] for at in chance.permutation(len(made))]


def collate(heard: Sequence[Heard], begin: int = 0) -> Batch:
    """`begin`: at which frame the first score is, 0 to STRIDE - 1."""
    cut = [(one.frames[begin:], one.labels[begin:]) for one in heard]
    longest = max(len(frames) for frames, _ in cut)
    frames = np.stack([np.pad(one, ((0, longest - len(one)), (0, 0)), "edge") for one, _ in cut])
    scored = [labels[::STRIDE].astype(np.int64) for _, labels in cut]
    lengths = np.array([len(one) for one in scored])
    said = [one[np.flatnonzero(np.diff(one, prepend=-1))] for one in scored]
    return Batch(
        torch.from_numpy(frames.astype(np.float32)),
        torch.from_numpy(lengths),
        torch.from_numpy(_padded(scored, -(-longest // STRIDE))),
        torch.from_numpy(_padded(said, max(map(len, said)))),
        torch.tensor([len(one) for one in said]),
    )


def _padded(rows: Sequence[npt.NDArray[np.int64]], width: int) -> npt.NDArray[np.int64]:
    return np.stack([np.pad(row, (0, width - len(row)), constant_values=SILENCE) for row in rows])


# Learning


def train(folder: Path, recipe: Recipe, kept: Path) -> Network:
    """Go through the copies in `folder`; `kept` holds what was learned after the last round."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(recipe.seed)
    network = Network()
    learning = torch.optim.AdamW(network.parameters(), lr=FASTEST, weight_decay=1e-3)
    first = _read(folder, 0)
    sequences = Sequences.of([_said(one) for one in first])
    _standardise(network, first)
    average = AveragedModel(network)
    kinds = {"network": network, "average": average, "learning": learning}
    done = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        done = state["rounds"]
        for kind, holder in kinds.items():
            holder.load_state_dict(state[kind])
    for number in range(done, recipe.rounds):
        heard = first if number % recipe.copies == 0 else _read(folder, number % recipe.copies)
        _round(network, average, learning, sequences, heard, recipe, number)
        new = kept.with_suffix(".new")
        torch.save({"rounds": number + 1, **{kind: each.state_dict() for kind, each in kinds.items()}}, new)
        new.rename(kept)
    return _ready(average, first, recipe)


def _round(
    network: Network,
    average: AveragedModel,
    learning: torch.optim.Optimizer,
    sequences: Sequences,
    heard: Sequence[Heard],
    recipe: Recipe,
    number: int,
) -> None:
    chance = np.random.default_rng([recipe.seed, number])
    whole = number >= recipe.by_moment
    network.train()
    groups, short = batches(heard, chance), has_bfloat16()
    bar = tqdm(groups, desc=f"  round {number + 1} of {recipe.rounds}", unit=" batches", leave=False)
    right = scored = taught = 0.0
    for at, group in enumerate(bar):
        for part in learning.param_groups:
            part["lr"] = _pace(number + at / len(groups), recipe)
        batch = collate(group, int(chance.integers(STRIDE)))
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            scores = network(batch.frames)[:, : batch.labels.shape[1]]
        scores = scores.float()
        present = batch.present
        loss = moments = by_moment(scores, batch.labels, present)
        if whole:
            loss = (
                sequences.by_utterance(scores, batch.lengths, batch.said, batch.counts)
                + MOMENTS_TOO * moments
            )
        learning.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        learning.step()
        if at % 4 == 0:
            keep_narrow_orthogonal(network)
        if number >= recipe.rounds - AVERAGED:
            average.update_parameters(network)
        right += float((scores.detach().argmax(2) == batch.labels)[present].sum())
        scored += float(present.sum())
        taught += float(loss.detach())
        bar.set_postfix_str(f"{right / scored:.1%} of moments right, loss {taught / (at + 1):.3f}")
    learned = f"{right / scored:.1%} of moments right, loss {taught / len(groups):.3f}"
    print(f"  round {number + 1} of {recipe.rounds}: {learned}", flush=True)


def has_bfloat16() -> bool:
    """Does the processor multiply in 16 bits, twice as fast? Elsewhere that would be slower than 32."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and bool({"avx512_bf16", "amx_bf16"} & set(flags.read_text().split()))


def _pace(round_: float, recipe: Recipe) -> float:
    """Warm up, then slower and slower; again, but never slow, when it is taught by whole utterances: of steps that
    hardly move there would be nothing to average."""
    if round_ < recipe.by_moment:
        warm = min(1.0, round_ / 0.15 + 0.02)
        return FASTEST * warm * (1 - 0.9 * round_ / recipe.by_moment)
    return FASTEST * SLOWER * (1 - 0.7 * (round_ - recipe.by_moment) / recipe.by_utterance)


def _ready(average: AveragedModel, heard: Sequence[Heard], recipe: Recipe) -> Network:
    """The averaged network to be used. The means and spreads inside it are no averages: they are taken anew."""
    groups = batches(heard, np.random.default_rng([recipe.seed, recipe.rounds]))[:STANDARDS]
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
        update_bn((collate(group).frames for group in groups), average)
    average.module.eval()
    return cast("Network", average.module)


def _said(heard: Heard) -> list[int]:
    scored = heard.labels[::STRIDE].astype(np.int64)
    return [int(label) for label in scored[np.flatnonzero(np.diff(scored, prepend=-1))]]


def _standardise(network: Network, heard: Sequence[Heard]) -> None:
    frames = np.concatenate([one.frames for one in heard[::20]]).astype(np.float32)
    network.mean.copy_(torch.from_numpy(frames.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(1 / (frames.std(axis=0) + 1e-3)))
