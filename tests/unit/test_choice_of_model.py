from __future__ import annotations

import os
from pathlib import Path

import pytest

from ivr.errors import MissingPart
from ivr.model import OFFICIAL, fetch
from ivr.settings import Settings
from ivr.speech import models
from ivr.speech.models import Rank, choose_model, find_model, licence, native_rate, read_ranks
from tests.models import put_model


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with nothing in it and nothing beside it."""
    monkeypatch.setattr(models, "PROJECT", tmp_path / "project")
    return tmp_path


@pytest.fixture
def settings(checkout: Path) -> Settings:
    return Settings(home=checkout / "home")


def why_not(settings: Settings, folder: Path) -> str:
    return dict(choose_model(settings).others)[folder]


# which


def test_without_a_model_there_is_none(settings: Settings) -> None:
    choice = choose_model(settings)
    assert choice.folder is None
    assert choice.why.startswith("no model is here; run `make model`")
    assert choice.others == ()


def test_the_projects_own_is_taken_before_a_fetched_one_and_that_before_a_shared_one(
    checkout: Path, settings: Settings
) -> None:
    shared = put_model(checkout / "shared/models/some")
    assert find_model(settings) == shared
    older, newer = (put_model(settings.home / "models" / name) for name in ("b", "a"))
    os.utime(older, (1, 1))
    assert find_model(settings) == newer
    os.utime(newer, (0, 0))
    assert find_model(settings) == older
    own = put_model(checkout / "project/ears/model")
    assert find_model(settings) == own


def test_the_choice_says_why_and_why_not_another(checkout: Path, settings: Settings) -> None:
    fetched = put_model(settings.home / "models" / OFFICIAL)
    assert "there is none of our own" in choose_model(settings).why
    own = put_model(checkout / "project/ears/model")
    choice = choose_model(settings)
    assert choice.folder == own
    assert "8 kHz" in choice.why
    assert [folder for folder, _ in choice.others] == [fetched]
    assert why_not(settings, fetched) == f"model comes first; to hear with it: DOZVON_MODEL={fetched}"


def test_what_is_still_being_fetched_is_no_model(checkout: Path, settings: Settings) -> None:
    put_model(checkout / "home/models/.new")
    (checkout / "home/models/half/am").mkdir(parents=True)
    assert find_model(settings) is None


def test_the_model_that_is_set_wins(checkout: Path) -> None:
    own = put_model(checkout / "project/ears/model")
    named = put_model(checkout / "home/models/a")
    choice = choose_model(Settings(home=checkout / "home", model=named))
    assert choice.folder == named
    assert choice.why == "DOZVON_MODEL names it"
    assert choice.others == ((own, "DOZVON_MODEL names another"),)


def test_none_is_a_choice_too(checkout: Path) -> None:
    own = put_model(checkout / "project/ears/model")
    settings = Settings(home=checkout / "home", model=Path("none"))
    assert find_model(settings) is None
    assert why_not(settings, own) == "DOZVON_MODEL is none"


def test_a_set_folder_that_is_no_model_is_refused_in_words(checkout: Path) -> None:
    put_model(checkout / "home/models/a")
    with pytest.raises(MissingPart, match=r"no such folder\n +what to do: .*make model.*DOZVON_MODEL"):
        find_model(Settings(home=checkout / "home", model=checkout / "away"))
    with pytest.raises(MissingPart, match=r"is no model: it lacks am/final\.mdl, conf/mfcc\.conf"):
        find_model(Settings(home=checkout / "home", model=checkout))


# the order is a file


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "models.toml"
    copy.write_text(models.FILE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(models, "FILE", copy)
    return copy


def test_a_model_that_the_table_found_better_is_put_first_by_name(
    checkout: Path, settings: Settings, order: Path
) -> None:
    put_model(checkout / "project/ears/model")
    other = put_model(settings.home / "models/other")
    big = put_model(settings.home / "models/vosk-model-ru-0.42")
    os.utime(big, (1, 1))
    first = '[[take]]\nmodel = "vosk-model-ru-0.42"\nwhy = "hears 3 % more, docs/speech.md"\n\n'
    order.write_text(first + order.read_text("utf-8"), "utf-8")
    choice = choose_model(settings)
    assert (choice.folder, choice.why) == (big, "hears 3 % more, docs/speech.md")
    assert [folder.name for folder, _ in choice.others] == ["model", other.name]


def test_the_orders_file_knows_every_kind() -> None:
    assert {rank.model for rank in read_ranks()} >= {"own", "fetched", "shared"}
    assert read_ranks()[0] == Rank("own", read_ranks()[0].why)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('model = "own"', 'model = "won"', "no line has model = 'own'; did you mean 'won'?"),
        ('model = "own"', 'modell = "own"', "take, line 1: modell: no such key; did you mean 'model'?"),
        ('model = "own"', "model = 1", "take, line 1: model = 1: words are wanted"),
        ('model = "own"', 'model = "own', "models.toml: "),
        ('[[take]]\nmodel = "own"', '[[takes]]\nmodel = "own"', "takes: no such key; did you mean 'take'?"),
    ],
)
def test_what_is_wrong_in_the_orders_file_is_named(order: Path, old: str, new: str, says: str) -> None:
    text = order.read_text("utf-8")
    assert old in text
    order.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(MissingPart) as refused:
        read_ranks(order)
    assert says in str(refused.value)


# what a model's folder says


def test_a_models_licence_is_what_its_folder_says(tmp_path: Path) -> None:
    assert licence(tmp_path) is None
    (tmp_path / "README.md").write_text("# A model\n\n- License: Apache 2.0\n")
    assert licence(tmp_path) == "License: Apache 2.0"
    (tmp_path / "made.json").write_text('{"licence": "CC-BY-4.0"}')
    assert licence(tmp_path) == "CC-BY-4.0"
    (tmp_path / "made.json").write_text("[]")
    assert licence(tmp_path) == "License: Apache 2.0"


def test_a_model_that_does_not_say_its_rate_is_of_16_khz(tmp_path: Path) -> None:
    assert native_rate(put_model(tmp_path / "a")) == 8_000
    assert native_rate(put_model(tmp_path / "b", "--use-energy=false")) == 16_000


# after `make model`


def test_who_fetches_a_model_beside_our_own_is_told_how_to_take_it(
    checkout: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = put_model(settings.home / "models" / OFFICIAL)
    fetch(OFFICIAL, settings.home / "models", settings)
    assert "is what the robot hears with from its next start on" in capsys.readouterr().out
    own = put_model(checkout / "project/ears/model")
    fetch(OFFICIAL, settings.home / "models", settings)
    said = capsys.readouterr().out
    assert f"the robot hears with {own}" in said
    assert f"set DOZVON_MODEL={fetched}" in said
