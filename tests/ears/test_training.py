from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ears.alignment import LABELS, Aligned
from ears.augmentation import Heard
from ears.features import COEFFICIENTS
from tests.ears import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)

from ears import training  # noqa: E402
from ears.network import Network  # noqa: E402
from ears.training import Recipe, batches, collate, spoil_all, train  # noqa: E402

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

RECIPE = Recipe(seed=3, copies=2, by_moment=1, by_utterance=2)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(training, "THREADS", 1)


def heard(frames: int, seed: int = 0) -> Heard:
    dice = np.random.default_rng(seed)
    labels = np.repeat(dice.integers(0, LABELS, -(-frames // 9)), 9)[:frames]
    return Heard(
        dice.normal(0, 5, (frames, COEFFICIENTS)).astype(np.float16).astype(np.float32),
        labels.astype(np.uint8),
    )


def piece(seed: int) -> Aligned:
    dice = np.random.default_rng(seed)
    labels = np.repeat(dice.integers(0, LABELS, 6), 10)
    return Aligned("anna", ("да",), dice.normal(0, 3000, 60 * 120).astype(np.int16), labels.astype(np.int16))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoilt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(training, "PIECES", 5)
        spoil_all([piece(seed) for seed in range(8)], RECIPE, folder)
    return folder


# spoilt copies


def test_every_copy_of_every_piece_is_there_and_no_copy_is_another(spoilt: Path) -> None:
    assert sorted(file.name for file in spoilt.iterdir()) == [
        "0-000000.npz", "0-000005.npz", "1-000000.npz", "1-000005.npz",
    ]  # fmt: skip
    one, other = (training._read(spoilt, copy) for copy in (0, 1))
    assert len(one) == len(other) == 8
    assert all(len(each.frames) == len(each.labels) for each in (*one, *other))
    shapes = [[each.frames.tobytes() for each in copy] for copy in (one, other)]
    assert len({*shapes[0], *shapes[1]}) == 16


def test_files_that_are_there_are_not_made_again_and_a_lost_one_is_made_the_same(
    spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PIECES", 5)
    pieces = [piece(seed) for seed in range(8)]
    for file in spoilt.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "1-000005.npz").unlink()
    (tmp_path / "0-000000.npz").write_bytes(b"untouched")
    spoil_all(pieces, RECIPE, tmp_path)
    assert (tmp_path / "0-000000.npz").read_bytes() == b"untouched"
    with np.load(tmp_path / "1-000005.npz") as again, np.load(spoilt / "1-000005.npz") as first:
        assert all((again[name] == first[name]).all() for name in first.files)


# batches


def test_batches_hold_every_utterance_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 300)
    every = [heard(frames, frames) for frames in (20, 150, 80, 33, 299, 34, 120, 90, 20, 71, 310)]
    made = batches(every, np.random.default_rng(1))
    assert sorted(id(one) for group in made for one in group) == sorted(map(id, every))
    assert all(len(group) == 1 or len(group) * max(len(one.frames) for one in group) <= 320 for group in made)
    assert len(made) > 3


def test_utterances_of_like_length_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 1000)
    made = batches([heard(frames) for frames in range(20, 200, 3)], np.random.default_rng(1))
    for group in made:
        lengths = [len(one.frames) for one in group]
        assert max(lengths) - min(lengths) < 60


@pytest.mark.parametrize("begin", [0, 1, 2])
def test_a_batch_has_a_label_a_score_and_the_phones_that_were_said(begin: int) -> None:
    labels = np.array([0] * 6 + [7] * 9 + [3] * 6 + [0] * 2, np.uint8)
    one = Heard(heard(23).frames, labels)
    batch = collate([one, heard(40)], begin)
    wanted = labels[begin::3].tolist()
    assert int(batch.lengths[0]) == len(wanted)
    assert batch.labels[0, : len(wanted)].tolist() == wanted
    assert batch.said[0, : int(batch.counts[0])].tolist() == [label for label, _ in groupby(wanted)]
    assert batch.present.sum(dim=1).tolist() == batch.lengths.tolist()
    assert (batch.frames[0, : 23 - begin].numpy() == one.frames[begin:]).all()
    assert (batch.frames[0, 23 - begin :] == batch.frames[0, 22 - begin]).all()


# learning


def test_a_run_that_was_broken_off_goes_on_to_the_same_network(
    spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(spoilt, RECIPE, tmp_path / "whole.pt").state_dict()
    one_round = training._round

    def breaks_off(*given: object) -> None:
        if given[-1] == 1:
            raise KeyboardInterrupt
        one_round(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training, "_round", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            train(spoilt, RECIPE, tmp_path / "broken.pt")
    torch.manual_seed(99)
    went_on = train(spoilt, RECIPE, tmp_path / "broken.pt").state_dict()
    assert [name for name in whole if not torch.equal(whole[name], went_on[name])] == []
    assert not list(tmp_path.glob("*.new"))


def test_another_seed_makes_another_network_and_learning_lowers_what_it_is_taught_by(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe(4, copies=1, by_moment=6, by_utterance=0)
    one = train(spoilt, recipe, tmp_path / "one.pt").state_dict()
    losses = [
        float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines() if "loss" in line
    ]
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]
    other = train(
        spoilt, Recipe(5, copies=1, by_moment=1, by_utterance=0), tmp_path / "other.pt"
    ).state_dict()
    assert not torch.equal(one["last.weight"], other["last.weight"])


def test_the_weights_of_the_last_rounds_are_averaged(
    spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[torch.Tensor] = []
    one_round = training._round

    def remembered(network: Network, *given: Any) -> None:
        one_round(network, *given)  # of a single batch: so little is there to hear
        after.append(network.last.weight.detach().clone())

    monkeypatch.setattr(training, "AVERAGED", 2)
    monkeypatch.setattr(training, "_round", remembered)
    network = train(spoilt, Recipe(4, copies=1, by_moment=3, by_utterance=0), tmp_path / "one.pt")
    assert torch.allclose(network.last.weight, (after[1] + after[2]) / 2)


def test_what_is_learned_is_ready_to_be_used(spoilt: Path, tmp_path: Path) -> None:
    network = train(spoilt, Recipe(4, copies=1, by_moment=1, by_utterance=0), tmp_path / "one.pt")
    assert not network.training
    assert float(network.scale.min()) > 0
