"""The network as Kaldi reads it: `am/final.mdl`, a transition model and an nnet3 in one binary file.

Formats after Kaldi's sources (hmm/transition-model.cc, nnet3/nnet-*.cc, matrix/compressed-matrix.cc). What only
matters while learning is folded away: standardisation and batch normalisation into the weights beside them. Weights
are kept in 16 bits (`CM2`).

Every phone is one state that lasts a score or more. It has four transition models, by its place in a word, which
share one score: so libvosk can tell where words begin and end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from ears.alignment import LABELS
from ears.features import COEFFICIENTS
from ears.network import AHEAD, BACK, FIRST, KEPT, MIDDLE, WIDTH, Layer, Network
from ivr.speech.graph import transition_phones

Matrix = npt.NDArray[np.float64]
"""Rows are outputs."""


@dataclass(frozen=True, slots=True)
class _Affine:
    name: str
    matrix: Matrix
    offset: Matrix
    input: str


@dataclass(frozen=True, slots=True)
class _Relu:
    name: str
    input: str


@dataclass(frozen=True, slots=True)
class _Sum:
    name: str
    input: str


Part = _Affine | _Relu | _Sum


def final_mdl(network: Network) -> bytes:
    file = BytesIO()
    file.write(b"\0B")
    _write_transitions(file)
    _write_network(file, list(folded(network)))
    for token, value in (("<LeftContext>", BACK), ("<RightContext>", AHEAD)):
        _token(file, token)
        _integer(file, value)
    _token(file, "<Priors>")
    _vector(file, np.zeros(0))
    return file.getvalue()


# The network without what only matters while learning


def folded(network: Network) -> Iterator[Part]:
    """Its parts from input to output, each with its input as an nnet3 descriptor.

    A normalisation after a rectifier is `relu(x) * scale + shift` with a positive scale: the scale goes into the
    layer before, and the shift, which is the same at every moment, into all that follows.
    """
    scale, shift = _norm(network.first_norm)
    matrix, offset = _double(network.first.weight), _double(network.first.bias)
    shown = np.tile(_double(network.scale), 2 * FIRST + 1)
    mean = np.tile(_double(network.mean), 2 * FIRST + 1)
    matrix = matrix * shown
    yield _Affine(
        "first",
        scale[:, None] * matrix,
        scale * (offset - matrix @ mean),
        _appended("input", range(-FIRST, FIRST + 1)),
    )
    yield _Relu("first.relu", "first")
    hidden = "first.relu"
    for number, layer in enumerate(network.layers, 1):
        yield from _layer(f"layer{number}", layer, hidden, shift)
        scale, own_shift = _norm(layer.norm)
        shift = own_shift + KEPT * shift
        hidden = f"layer{number}.sum"
    matrix = _double(network.last.weight)
    yield _Affine("last", matrix, _double(network.last.bias) + matrix @ shift, hidden)


def _layer(name: str, layer: Layer, hidden: str, shift: Matrix) -> Iterator[Part]:
    scale, _ = _norm(layer.norm)
    narrow, widen = _double(layer.narrow.weight), _double(layer.widen.weight)
    back = [-3 * layer.back, 0] if layer.back else [0]
    ahead = [0, 3 * layer.ahead] if layer.ahead else [0]
    constant = widen @ np.tile(narrow @ np.tile(shift, len(back)), len(ahead))
    yield _Affine(f"{name}.narrow", narrow, np.zeros(MIDDLE), _appended(hidden, back))
    offset = scale * (_double(layer.widen.bias) + constant)
    yield _Affine(f"{name}.widen", scale[:, None] * widen, offset, _appended(f"{name}.narrow", ahead))
    yield _Relu(f"{name}.relu", f"{name}.widen")
    yield _Sum(f"{name}.sum", f"Sum(Scale({KEPT}, {hidden}), {name}.relu)")


def _norm(norm: torch.nn.BatchNorm1d) -> tuple[Matrix, Matrix]:
    """What it multiplies by, and what it adds afterwards."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = 1 / np.sqrt(_double(norm.running_var) + norm.eps)
    return scale, -_double(norm.running_mean) * scale


def _double(tensor: torch.Tensor) -> Matrix:
    array: Matrix = tensor.detach().double().numpy()
    return array


def _appended(node: str, offsets: range | list[int]) -> str:
    seen = [node if offset == 0 else f"Offset({node}, {offset})" for offset in offsets]
    return seen[0] if len(seen) == 1 else f"Append({', '.join(seen)})"


# Kaldi's binary files


def _write_transitions(file: BinaryIO) -> None:
    phones = transition_phones(LABELS - 1)
    count = len(phones)
    _token(file, "<TransitionModel>")
    _token(file, "<Topology>")
    _integers(file, range(1, count + 1))
    _integers(file, [-1] + [0] * count)  # all of them have the one topology
    _integer(file, 1)
    _integer(file, 2)  # a state and the end
    _integer(file, 0)
    _integer(file, 2)
    for target in (0, 1):  # stay, leave
        _integer(file, target)
        _real(file, 0.5)
    _integer(file, -1)
    _integer(file, 0)
    _token(file, "</Topology>")
    _token(file, "<Triples>")
    _integer(file, count)
    for number, score in enumerate(phones, 1):
        for value in (number, 0, score):
            _integer(file, value)
    _token(file, "</Triples>")
    _token(file, "<LogProbs>")
    _vector(file, np.array([0] + [math.log(0.5)] * (2 * count)))
    _token(file, "</LogProbs>")
    _token(file, "</TransitionModel>")


def _write_network(file: BinaryIO, parts: list[Part]) -> None:
    _token(file, "<Nnet3>")
    nodes = [f"input-node name=input dim={COEFFICIENTS}"]
    nodes += [f"component-node name={part.name} component={part.name} input={part.input}" for part in parts]
    nodes += [f"output-node name=output input={parts[-1].name} objective=linear"]
    file.write(("\n" + "\n".join(nodes) + "\n\n").encode())
    _token(file, "<NumComponents>")
    _integer(file, len(parts))
    for part in parts:
        _token(file, "<ComponentName>")
        _token(file, part.name)
        _write_part(file, part)
    _token(file, "</Nnet3>")


def _write_part(file: BinaryIO, part: Part) -> None:
    match part:
        case _Affine():
            _token(file, "<FixedAffineComponent>")
            _token(file, "<LinearParams>")
            _matrix(file, part.matrix)
            _token(file, "<BiasParams>")
            _vector(file, part.offset)
            _token(file, "</FixedAffineComponent>")
        case _Relu():
            _token(file, "<RectifiedLinearComponent>")
            _token(file, "<Dim>")
            _integer(file, WIDTH)
            for average in ("<ValueAvg>", "<DerivAvg>"):
                _token(file, average)
                _vector(file, np.zeros(0))
            _token(file, "<Count>")
            file.write(b"\x08" + struct.pack("<d", 0.0))
            _token(file, "</RectifiedLinearComponent>")
        case _Sum():
            _token(file, "<NoOpComponent>")
            _token(file, "<Dim>")
            _integer(file, WIDTH)
            _token(file, "<BackpropScale>")
            _real(file, 1.0)
            _token(file, "</NoOpComponent>")


def _token(file: BinaryIO, token: str) -> None:
    file.write(token.encode() + b" ")


def _integer(file: BinaryIO, value: int) -> None:
    file.write(b"\x04" + struct.pack("<i", value))


def _real(file: BinaryIO, value: float) -> None:
    file.write(b"\x04" + struct.pack("<f", value))


def _integers(file: BinaryIO, values: range | list[int]) -> None:
    file.write(b"\x04" + struct.pack("<i", len(values)) + np.asarray(values, "<i4").tobytes())


def _vector(file: BinaryIO, values: Matrix) -> None:
    file.write(b"FV ")
    _integer(file, len(values))
    file.write(np.asarray(values, "<f4").tobytes())


def _matrix(file: BinaryIO, matrix: Matrix) -> None:
    """16 bits an element: the lowest, the range, then each element's place in it."""
    low = float(np.float32(matrix.min()))
    spread = max(float(np.float32(matrix.max())) - low, 1e-6)
    file.write(b"CM2 " + struct.pack("<ffii", low, spread, *matrix.shape))
    file.write(np.round((matrix - low) / spread * 65535).astype("<u2").tobytes())
