from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from appliance.native import Native
from tests.ears import NO_TORCH

pytest.importorskip("torch", reason=NO_TORCH)

from ears import __main__ as making
from ears.__main__ import main
from ears.card import CARD, MADE
from ears.words import HERE, Vocabulary
from ivr.speech.graph import LEXICON

SHIPPED = HERE / "model"
FEW = Vocabulary(known=("да", "звезды", "нет"), vital=("да", "нет"), other=("дом",), phrases={})


@pytest.fixture
def model(tmp_path: Path, native: Native, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the one that ships, on a day when few words are listened for."""
    monkeypatch.setenv("DOZVON_HOME", str(tmp_path))
    monkeypatch.setenv("DOZVON_NATIVE", str(native.root))
    monkeypatch.setattr(making, "vocabulary", lambda: FEW)
    return shutil.copytree(SHIPPED, tmp_path / "model")


def test_a_model_is_given_the_words_of_today_and_keeps_its_network(model: Path) -> None:
    assert main(["--words", str(model)]) == 0
    known = {line.partition(":")[0] for line in (model / LEXICON).read_text().splitlines()}
    assert set(FEW.known) <= known
    assert "диспетчер" not in known
    for kept in ("am/final.mdl", "confidence.json", "conf/model.conf"):
        assert (model / kept).read_bytes() == (SHIPPED / kept).read_bytes()
    for anew in ("graph/HCLr.fst", "graph/Gr.fst", "other.txt"):
        assert (model / anew).read_bytes() != (SHIPPED / anew).read_bytes()


def test_the_words_may_go_into_a_copy(model: Path, tmp_path: Path) -> None:
    assert main(["--words", str(model), "--into", str(tmp_path / "copy")]) == 0
    assert (model / LEXICON).read_bytes() == (SHIPPED / LEXICON).read_bytes()
    assert json.loads((tmp_path / "copy" / MADE).read_text())["words"] == len(FEW.known)


def test_its_card_tells_with_how_many_words_it_learned_however_often_they_change(model: Path) -> None:
    shipped = json.loads((SHIPPED / MADE).read_text())
    learned_with = shipped.get("learned_with", shipped["words"])
    for _ in range(2):
        assert main(["--words", str(model)]) == 0
        made = json.loads((model / MADE).read_text())
        assert (made["words"], made["learned_with"]) == (len(FEW.known), learned_with)
    assert f"It learned when {learned_with} words were listened for" in (model / CARD).read_text()


def test_a_folder_that_is_no_model_is_given_no_words(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / MADE).write_text("{}")
    assert main(["--words", str(model)]) == 1
    assert "made.json lacks 'sources'" in capsys.readouterr().err
    assert main(["--words", str(tmp_path / "none")]) == 1
    assert "name a folder that `make ears` made" in capsys.readouterr().err
