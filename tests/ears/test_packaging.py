from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from appliance.native import Native
from ivr.speech.graph import LEXICON, PROGRAMS, Lexicon, OpenFst, OtherSpeech, build
from ivr.speech.pronounce import PHONES
from ivr.speech.sound import as_pcm
from tests.ears import NO_TORCH
from tests.sounds import joined, silence, tone

torch = pytest.importorskip("torch", reason=NO_TORCH)

from ears import packaging  # noqa: E402
from ears.alignment import LABELS, SILENCE  # noqa: E402
from ears.features import COEFFICIENTS, CONF  # noqa: E402
from ears.model import DECODER  # noqa: E402
from ears.network import FIRST, STRIDE, Network  # noqa: E402
from ears.packaging import final_mdl, folded  # noqa: E402
from ears.words import HERE  # noqa: E402

torch.set_num_threads(1)

Row = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def network() -> Network:
    """One that has learned nothing, but whose every number matters."""
    torch.manual_seed(4)
    network = Network().eval()
    with torch.no_grad():
        network.mean.normal_(0, 3)
        network.scale.uniform_(0.05, 0.2)
        for norm in (network.first_norm, *(layer.norm for layer in network.layers)):
            norm.running_mean.normal_(0.3, 0.2)
            norm.running_var.uniform_(0.2, 2)
        for part in network.parameters():
            if part.dim() == 1:
                part.uniform_(-0.5, 0.5)
    return network


class Evaluator:
    """nnet3 by the book: each node at each moment, by its descriptor."""

    def __init__(self, parts: list[packaging.Part], frames: Row) -> None:
        self.parts = {part.name: part for part in parts}
        self.frames = frames
        self.known: dict[tuple[str, int], Row] = {}

    def node(self, name: str, moment: int) -> Row:
        if name == "input":
            return self.frames[min(max(moment, 0), len(self.frames) - 1)]
        if (name, moment) not in self.known:
            part = self.parts[name]
            given = self.descriptor(part.input, moment)
            if isinstance(part, packaging._Affine):
                given = part.matrix @ given + part.offset
            elif isinstance(part, packaging._Relu):
                given = np.maximum(given, 0)
            self.known[name, moment] = given
        return self.known[name, moment]

    def descriptor(self, text: str, moment: int) -> Row:
        match = re.fullmatch(r"(Append|Offset|Sum|Scale)\((.*)\)", text)
        if not match:
            return self.node(text, moment)
        kind, inside = match.groups()
        each = list(split(inside))
        if kind == "Append":
            return np.concatenate([self.descriptor(one, moment) for one in each])
        if kind == "Sum":
            return np.sum([self.descriptor(one, moment) for one in each], axis=0)
        if kind == "Offset":
            return self.descriptor(each[0], moment + int(each[1]))
        return float(each[0]) * self.descriptor(each[1], moment)


def split(text: str) -> list[str]:
    """At the commas that are in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def test_folded_it_scores_as_it_does_in_torch(network: Network) -> None:
    frames = 5 * torch.randn(1, 20, COEFFICIENTS, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network(frames)[0].numpy()
    parts = list(folded(network))
    packed = Evaluator(parts, frames[0].double().numpy())
    scores = np.stack([packed.node(parts[-1].name, moment) for moment in range(0, 20, STRIDE)])
    np.testing.assert_allclose(scores, wanted[: len(scores)], atol=1e-4)
    assert scores.std() > 0.01, "nothing was compared"


# the file


def test_the_file_is_below_3_mb(network: Network) -> None:
    assert len(final_mdl(network)) < 3e6


def test_the_same_network_is_the_same_file(network: Network) -> None:
    assert final_mdl(network) == final_mdl(network)


@pytest.mark.parametrize(
    "matrix",
    [
        np.random.default_rng(1).normal(0, 1, (7, 5)),
        np.random.default_rng(2).uniform(1e-4, 2e-4, (3, 4)),
        np.full((2, 3), 0.25),
        np.zeros((1, 1)),
    ],
)
def test_a_matrix_in_16_bits_is_exact_to_one_step_of_its_range(matrix: Row) -> None:
    file = BytesIO()
    packaging._matrix(file, matrix)
    content = file.getvalue()
    assert content[:4] == b"CM2 "
    low, spread, rows, columns = struct.unpack("<ffii", content[4:20])
    assert (rows, columns) == matrix.shape
    numbers = np.frombuffer(content[20:], "<u2").astype(np.float64).reshape(rows, columns)
    error = np.abs(low + spread / 65535 * numbers - matrix)
    assert error.max() <= max(spread / 65535, 1e-7)
    assert spread <= max(np.ptp(matrix) * 1.001, 1e-6)


def test_every_weight_is_in_the_file_and_the_contexts_are_the_networks(network: Network) -> None:
    content = final_mdl(network)
    assert content.startswith(b"\0B<TransitionModel> ")
    assert content.count(b"CM2 ") == sum(isinstance(part, packaging._Affine) for part in folded(network))
    for token, frames in ((b"<LeftContext> ", 34), (b"<RightContext> ", 16)):
        at = content.index(token) + len(token)
        assert struct.unpack("<bi", content[at : at + 5]) == (4, frames)


# with libvosk

LISTEN = """
import json, sys, vosk
vosk.SetLogLevel(-1)
hears = vosk.KaldiRecognizer(vosk.Model(sys.argv[1]), 8000, json.dumps(["а", "[unk]"], ensure_ascii=False))
hears.SetWords(True)
hears.AcceptWaveform(sys.stdin.buffer.read())
print(hears.FinalResult())
"""


def heard(folder: Path, sound: npt.NDArray[np.float32]) -> list[dict[str, float | str]]:
    """In a process of its own: libvosk ends the process it does not like a model in."""
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, str(folder)],
        input=as_pcm(sound).tobytes(), capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return list(json.loads(done.stdout).get("result", []))


@pytest.fixture(scope="module")
def folder(native: Native, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a model but its network."""
    if not (native.root / "usr/bin/fstcompile").exists():
        pytest.skip(f"no OpenFst in {native.root}")
    folder = tmp_path_factory.mktemp("model")
    for part in ("am", "conf"):
        (folder / part).mkdir()
    (folder / "conf" / "mfcc.conf").write_text(CONF)
    (folder / "conf" / "model.conf").write_text(DECODER)
    Lexicon.of({"а": (("A",),)}).write(folder / LEXICON)
    OtherSpeech.of([("d", "A"), ("d", "O", "m")], [("d", "O", "m")]).write(folder)
    commands = {program: native.command(f"usr/bin/{program}") for program in PROGRAMS}
    build(folder, openfst=OpenFst(commands, native.environment()))
    return folder


def test_libvosk_loads_what_was_packed(network: Network, folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    (model / "am" / "final.mdl").write_bytes(final_mdl(network))
    heard(model, tone(440, 0.5))


def loudness() -> Network:
    """By hand: what is loud is the vowel, all else is silence. The first cepstrum goes straight to the last layer."""
    network = Network().eval()
    with torch.no_grad():
        for part in network.parameters():
            part.zero_()
        network.first.weight[0, FIRST * COEFFICIENTS] = 1.0
        network.last.weight[PHONES.index("A") + 1, 0] = 10.0
        network.last.bias.fill_(-30.0)
        network.last.bias[SILENCE] = 5.0
        network.last.bias[PHONES.index("A") + 1] = 0.0
    return network


def test_libvosk_hears_by_it_what_torch_scores(folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    (model / "am" / "final.mdl").write_bytes(final_mdl(loudness()))
    sound = joined(silence(0.6), tone(440, 0.4), silence(0.8), tone(440, 0.2), silence(0.6))
    words = heard(model, sound)
    assert [word["word"] for word in words] == ["а", "а"]
    times = [float(word[side]) for word in words for side in ("start", "end")]
    assert times == pytest.approx([0.6, 1.0, 1.8, 2.0], abs=0.07)
    assert heard(model, silence(1.0)) == []


def test_there_is_a_score_for_silence_and_for_every_phone() -> None:
    assert len(PHONES) + 1 == LABELS


def test_the_model_that_ships_searches_as_this_code_says() -> None:
    conf = HERE / "model" / "conf"
    assert (conf / "model.conf").read_text() == DECODER
    assert (conf / "mfcc.conf").read_text() == CONF
