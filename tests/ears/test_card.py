from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ears.alignment import Aligned
from ears.speech import RATE, Source, sources
from tests.ears import NO_TORCH

pytest.importorskip("torch", reason=NO_TORCH)

from ears import __main__ as making
from ears.__main__ import Workshop, _alone, _digest, _replace
from ears.card import CARD, MADE, card, machine, shares, write_card
from ears.network import AHEAD, BACK
from ears.training import Recipe
from ears.trial import Answer
from ivr.errors import MissingPart


def piece(voice: str, seconds: float) -> Aligned:
    return Aligned(voice, ("да",), np.zeros(round(seconds * RATE), np.int16), np.zeros(1, np.int16))


@pytest.fixture
def made() -> dict[str, Any]:
    pieces = [
        piece("anna", 5400),
        piece("espeak-ng+m1", 1800),
        piece("espeak-ng+f2", 1800),
        piece("nsh", 1000),
    ]
    return {
        "name": "dozvon-ru-8k", "licence": "GPL-3.0-only", "command": "make ears", "seed": 17, "words": 1662,
        "pieces": 4, "hours": 2.8, "copies": 4, "rounds": 8, "minutes": 42, "cores": 2, "machine": machine(),
        "parameters": 1_029_489, "labels": 49, "heard": "91.5% of 1234 words right",
        "versions": {"torch": "9.9.9", "numpy": "8.8.8"}, "sources": shares(sources(), pieces),
    }  # fmt: skip


def row(text: str, source: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {source} |")]
    return found


def test_the_card_names_every_source_its_package_licence_and_share(made: dict[str, Any]) -> None:
    text = card(made)
    for source in sources():
        assert f"| {source.licence} |" in row(text, source.name)
        assert f"| {source.package} |" in row(text, source.name)
    assert row(text, "anna").endswith("| 1.5 h | 54.0% |")
    assert row(text, "espeak-ng").endswith("| 1.0 h | 36.0% |")
    assert row(text, "irina").endswith("| 0.0 h | 0.0% |")


def test_each_source_is_said_to_be_of_the_package_it_is_of(made: dict[str, Any]) -> None:
    packages = {one["name"]: one["package"] for one in made["sources"]}
    assert packages["anna"] == "rhvoice-russian"
    assert packages["espeak-ng"] == "espeak-ng"
    assert packages["nsh"] == "festvox-ru"


def test_shares_add_up_to_all_and_a_variants_speech_is_its_sources(made: dict[str, Any]) -> None:
    assert sum(one["share"] for one in made["sources"]) == pytest.approx(1, abs=0.005)
    assert shares(sources(), []) == [{**one, "hours": 0.0, "share": 0.0} for one in made["sources"]]


def test_the_card_says_how_it_was_made_and_what_it_heard(made: dict[str, Any]) -> None:
    text = card(made)
    for said in (
        "make ears",
        "Seed 17",
        "torch 9.9.9",
        "numpy 8.8.8",
        "42 minutes",
        "91.5% of 1234",
        "Licence: GPL-3.0-only (COPYING)",
    ):
        assert said in text
    assert f"{10 * BACK} ms back and {10 * AHEAD} ms ahead" in text


def test_the_speakers_who_ask_for_it_are_attributed(made: dict[str, Any]) -> None:
    text = card(made)
    assert "ivrvoice.ru, CC-BY-3.0" in text.replace("\n", " ")
    assert "Nickolay V. Shmyrev" in text
    assert "Edwin Veber and Kseniya Buraya" in text


def test_the_card_is_beside_the_model_for_people_and_for_programs(
    tmp_path: Path, made: dict[str, Any]
) -> None:
    write_card(tmp_path, made)
    assert "GNU GENERAL PUBLIC LICENSE" in (tmp_path / "COPYING").read_text("utf-8")
    assert json.loads((tmp_path / MADE).read_text("utf-8")) == made
    assert (tmp_path / CARD).read_text("utf-8") == card(made)


# how a model takes its place


def test_a_new_model_takes_the_old_ones_place_whole(tmp_path: Path) -> None:
    for name, part in (("new", "fresh"), ("model", "stale")):
        (tmp_path / name / "am").mkdir(parents=True)
        (tmp_path / name / "am" / part).touch()
    _replace(tmp_path / "new", tmp_path / "model")
    assert [file.name for file in (tmp_path / "model" / "am").iterdir()] == ["fresh"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model", "new"]


def test_a_model_that_cannot_be_copied_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(OSError, match="new"):
        _replace(tmp_path / "new", tmp_path / "model")
    assert (tmp_path / "model" / "old").exists()


@pytest.mark.parametrize(("right", "share", "passes"), [(84, 1.0, False), (85, 1.0, True), (10, 0.01, True)])
def test_a_model_that_hears_badly_takes_no_others_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: int, share: float, passes: bool
) -> None:
    monkeypatch.setattr(making, "hear", lambda *_: [Answer(0.9, True, True, at < right) for at in range(100)])
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1), share)  # type: ignore[arg-type]
    if not passes:
        with pytest.raises(MissingPart, match=r"84\.0% of 100 answers understood"):
            workshop.trial(tmp_path, [], [])
    else:
        assert workshop.trial(tmp_path, [], []).right == right
    assert (tmp_path / making.calibration.FILE).exists() is (passes and share == 1.0)


def test_the_model_says_that_it_learned_from_noise(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1))  # type: ignore[arg-type]
    words, taught = (
        SimpleNamespace(vocabulary=SimpleNamespace(known=("да",))),
        SimpleNamespace(parameters=list),
    )
    made = workshop.made(words, taught, [], making.Result(100, 90))  # type: ignore[arg-type]
    assert made["knows_noise"] is True


def test_the_card_counts_the_minutes_of_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1))  # type: ignore[arg-type]
    workshop.sources = [Source("anna", "GPL-2.0-or-later", "rhvoice")]
    words = SimpleNamespace(
        vocabulary=SimpleNamespace(known=("да",)),
        say=dict,
        as_written=dict,
        pronouncer=SimpleNamespace(respelled={}),
    )
    monkeypatch.setattr(making, "plan", lambda *_: [])
    monkeypatch.setattr(making, "kept", lambda _: [])
    for step in ("synthesise", "align", "read_aligned", "hear"):
        monkeypatch.setattr(making, step, lambda *_: [])
    for step in ("write_aligned", "spoil_all", "train"):
        monkeypatch.setattr(making, step, lambda *_: None)
    workshop.speech(words)  # type: ignore[arg-type]
    pieces, key = workshop.alignment(words, [])  # type: ignore[arg-type]
    workshop.network(pieces, key)
    with pytest.raises(MissingPart):
        workshop.trial(tmp_path, [], [])
    steps = json.loads((tmp_path / "spent.json").read_text())
    assert list(steps) == ["speech of anna", "alignment", "spoiling", "network", "trial"]
    (tmp_path / "spent.json").write_text(
        json.dumps({name: ["", 60 * at, True] for at, name in enumerate(steps)})
    )
    taught = SimpleNamespace(parameters=list)
    made = workshop.made(words, taught, [], making.Result(1, 1))  # type: ignore[arg-type]
    assert made["minutes"] == 0 + 1 + 2 + 3 + 4


def test_speech_is_aligned_anew_when_words_are_said_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1))  # type: ignore[arg-type]
    monkeypatch.setattr(making, "kept", lambda _: [])
    monkeypatch.setattr(making, "align", lambda *_: [piece("anna", 1)])

    def key(respelled: dict[str, tuple[str, ...]]) -> str:
        words = SimpleNamespace(say=dict, as_written=dict, pronouncer=SimpleNamespace(respelled=respelled))
        return workshop.alignment(words, [])[1]  # type: ignore[arg-type]

    assert key({}) == key({})
    assert key({"не": ("не", "[n; i]")}) != key({})


def test_espeak_ngs_voices_are_aligned_as_it_says_words_not_as_people_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1))  # type: ignore[arg-type]
    words = SimpleNamespace(
        say=lambda _: {"уже": "people"},
        as_written=lambda _: {"уже": "espeak-ng"},
        pronouncer=SimpleNamespace(respelled={}),
    )
    aligned: list[Any] = []
    monkeypatch.setattr(making, "kept", lambda _: [])
    monkeypatch.setattr(making, "align", lambda *given: aligned.extend(given[1:]) or [piece("anna", 1)])
    workshop.alignment(words, [])  # type: ignore[arg-type]
    assert aligned == [{"уже": "people"}, {"espeak-ng": {"уже": "espeak-ng"}}]
    assert "espeak-ng" in {source.name for source in sources()}


def test_few_recordings_are_gone_through_more_than_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = Workshop(tmp_path, None, tmp_path, Recipe(1))  # type: ignore[arg-type]
    workshop.sources = [Source("anna", "GPL-2.0-or-later"), Source("nsh", "BSD", times=2)]
    pieces = [piece("anna+x", 1), piece("nsh+x", 1)]
    taught: list[str] = []
    monkeypatch.setattr(Workshop, "words", lambda _: None)
    monkeypatch.setattr(Workshop, "speech", lambda *_: [])
    monkeypatch.setattr(Workshop, "alignment", lambda *_: (pieces, "key"))
    monkeypatch.setattr(Workshop, "network", lambda _, some, __: taught.extend(one.voice for one in some))
    monkeypatch.setattr(Workshop, "model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        workshop.make(tmp_path / "model")
    assert taught == ["anna+x", "nsh+x", "nsh+x"]


def test_what_was_made_from_something_else_is_cleared_away_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "part").touch()
    (tmp_path / "older.npz").touch()
    (tmp_path / "kept").mkdir()
    _alone(tmp_path, "kept")
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_what_is_made_has_another_name_when_it_is_made_of_something_else() -> None:
    anna = Source("anna", "x")
    assert _digest(anna, 1) == _digest(Source("anna", "x"), 1)
    assert len({_digest(anna, 1), _digest(anna, 2), _digest(Source("anna", "x", says=0.5), 1)}) == 3


def test_a_wrong_folder_ends_with_a_word_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOZVON_NATIVE", str(tmp_path / "no-native-tree"))
    assert making.main(["--folder", str(tmp_path / "ears")]) == 1
    assert "make ears: " in capsys.readouterr().err
