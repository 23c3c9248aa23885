"""The network that tells phones apart, 33 times a second, and what it is taught by.

A factorised time-delay network (TDNN-F: Povey et al., Interspeech 2018): the first layer sees 90 ms of cepstra, each
further one three steps of the layer before it, through a narrow linear middle, and adds what it makes of it to what
it was given. It looks 340 ms back and 160 ms ahead.

It learns in two ways. First each moment by itself: which phone is this? Then whole utterances at once: the phones
that were said must be likelier than all other sequences of phones, which are weighed by how often phones follow one
another (maximum mutual information without lattices, LF-MMI: Povey et al., Interspeech 2016). That is also what the
decoder asks of it, so its scores need no scaling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ears.alignment import LABELS
from ears.features import COEFFICIENTS

WIDTH, MIDDLE = 384, 128
FIRST = 4
"""Frames on each side that the first layer sees."""
LAYERS = ((-3, 3), (-3, 3), (-3, 3), (-3, 3), (-6, 0), (-6, 0), (-6, 0))
"""How far each layer looks, in frames: back in its narrowing half, ahead in its widening half."""
STRIDE = 3
"""Frames a score."""
KEPT = 0.66
"""Of what a layer was given, added to what it makes of it."""
BACK = FIRST + sum(-back for back, _ in LAYERS)
AHEAD = FIRST + sum(ahead for _, ahead in LAYERS)
"""Frames the network sees before and after the one it scores."""


class Network(nn.Module):
    """(batch, frames, COEFFICIENTS) → (batch, scores, LABELS)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(COEFFICIENTS))
        self.register_buffer("scale", torch.ones(COEFFICIENTS))
        self.first = nn.Linear(COEFFICIENTS * (2 * FIRST + 1), WIDTH)
        self.first_norm = nn.BatchNorm1d(WIDTH, affine=False)
        self.layers = nn.ModuleList(Layer(back, ahead) for back, ahead in LAYERS)
        self.last = nn.Linear(WIDTH, LABELS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        frames = (frames - self.mean) * self.scale
        # beyond the ends is the first and the last frame again, as for Kaldi
        frames = torch.cat(
            [frames[:, :1].expand(-1, BACK, -1), frames, frames[:, -1:].expand(-1, AHEAD, -1)], dim=1
        )
        seen = frames.unfold(1, 2 * FIRST + 1, STRIDE).transpose(2, 3).flatten(2)
        hidden = _normed(self.first_norm, torch.relu(self.first(seen)))
        for layer in self.layers:
            hidden = layer(hidden)
        return self.last(hidden)


class Layer(nn.Module):
    def __init__(self, back: int, ahead: int) -> None:
        super().__init__()
        self.back, self.ahead = -back // STRIDE, ahead // STRIDE
        self.narrow = nn.Linear(WIDTH * (1 + (self.back > 0)), MIDDLE, bias=False)
        self.widen = nn.Linear(MIDDLE * (1 + (self.ahead > 0)), WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH, affine=False)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        end = given.shape[1]
        seen = torch.cat([given[:, : end - self.back], given[:, self.back :]], dim=2) if self.back else given
        middle = self.narrow(seen)
        end = middle.shape[1]
        seen = (
            torch.cat([middle[:, : end - self.ahead], middle[:, self.ahead :]], dim=2)
            if self.ahead
            else middle
        )
        made = _normed(self.norm, torch.relu(self.widen(seen)))
        kept = given[:, self.back : given.shape[1] - self.ahead]
        return made + KEPT * kept


def _normed(norm: nn.BatchNorm1d, hidden: torch.Tensor) -> torch.Tensor:
    return norm(hidden.flatten(0, 1)).view_as(hidden)


@torch.no_grad()
def keep_narrow_orthogonal(network: Network) -> None:
    """One step of each narrow half towards rows that are orthogonal and of one length (TDNN-F's constraint)."""
    for layer in network.layers:
        matrix = layer.narrow.weight
        product = matrix @ matrix.T
        size = (product * product).sum() / product.trace()
        matrix -= 0.125 / size * (product - size * torch.eye(len(matrix))) @ matrix * 2


# What it is taught by


def by_moment(scores: torch.Tensor, labels: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Cross-entropy: which phone is it at each moment? (batch, scores) of `present` ones count."""
    return nn.functional.cross_entropy(scores[present], labels[present])


@dataclass(frozen=True, slots=True)
class Sequences:
    """How likely one phone follows another; every phone may last."""

    follows: torch.Tensor
    """(LABELS + 1, LABELS): from a phone, last row from nothing, to a phone; each row sums to 1."""

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], smoothing: float = 0.5) -> Sequences:
        count = torch.full((LABELS + 1, LABELS), smoothing)
        for sequence in sequences:
            for before, after in zip((LABELS, *sequence), sequence, strict=False):
                count[before, after] += 1
        count[torch.arange(LABELS), torch.arange(LABELS)] = 0
        return cls(count / count.sum(dim=1, keepdim=True))

    def all(self, scores: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The logarithm of the weight of every sequence of phones, for each utterance."""
        moves = self.follows[:LABELS] + torch.eye(LABELS)  # one more moment of it, or the next
        reached = scores[:, 0] + self.follows[LABELS].log()
        ended = reached
        for moment in range(1, scores.shape[1]):
            top = reached.amax(dim=1, keepdim=True).detach()
            reached = ((reached - top).exp() @ moves).clamp_min(1e-30).log() + top + scores[:, moment]
            ended = torch.where((lengths > moment)[:, None], reached, ended)
        return ended.logsumexp(dim=1)

    def one(
        self, scores: torch.Tensor, lengths: torch.Tensor, said: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """The same for the sequence that was said: (batch, phones), `counts` of them, however they lie in time."""
        before = torch.cat([torch.full_like(said[:, :1], LABELS), said[:, :-1]], dim=1)
        weights = self.follows[before, said].clamp_min(1e-30).log()
        never = torch.full_like(weights, -1e30)
        emitted = scores.gather(2, said[:, None].expand(-1, scores.shape[1], -1))
        reached = torch.where(torch.arange(said.shape[1]) == 0, emitted[:, 0] + weights, never)
        ended = reached
        for moment in range(1, scores.shape[1]):
            come = torch.cat([never[:, :1], reached[:, :-1]], dim=1) + weights
            reached = torch.logaddexp(reached, come) + emitted[:, moment]
            ended = torch.where((lengths > moment)[:, None], reached, ended)
        return ended.gather(1, counts[:, None] - 1)[:, 0]

    def by_utterance(
        self, scores: torch.Tensor, lengths: torch.Tensor, said: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """LF-MMI: what was said against all that could have been, a moment."""
        fits = counts <= lengths
        wanted = self.one(scores, lengths, said, counts) - self.all(scores, lengths)
        return -wanted[fits].sum() / lengths[fits].sum().clamp_min(1)
