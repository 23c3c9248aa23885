"""What `dozvon check` says of the ears; of the rules, tests/unit/test_controller.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ivr.__main__ import main
from ivr.cli import check
from ivr.dialplan.understanding import Pack
from ivr.settings import Settings
from ivr.speech import models
from ivr.speech.calibration import Calibration
from ivr.speech.ears import Vosk
from ivr.speech.voice import Voice
from tests.models import put_model


class Knows:
    """A model that knows all words but one."""

    def vosk_model_find_word(self, word: str) -> int:
        return -1 if word == "опять" else 1


Say = Callable[[], str]


@pytest.fixture
def said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    logging_as_before: None,
) -> Say:
    """What it says, with a project of its own and no voice to try the ears with."""
    monkeypatch.setattr(models, "PROJECT", tmp_path / "project")
    monkeypatch.setenv("DOZVON_HOME", str(tmp_path / "home"))

    async def mute(settings: Settings) -> Voice | None:
        return None

    monkeypatch.setattr(check, "voice", mute)

    def say() -> str:
        assert main(["check"]) == 0
        return capsys.readouterr().out

    return say


@pytest.fixture
def hears(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Every folder opens as such ears."""

    def as_such(rate: int, calibration: Calibration | None = None, knows_lengths: bool = True) -> None:
        monkeypatch.setattr(
            check,
            "open_ears",
            lambda folder: Vosk(folder.name, Knows(), rate, 1, calibration, knows_lengths=knows_lengths),
        )

    return as_such


def test_without_a_model_it_says_so_and_what_to_do(said: Say) -> None:
    assert "the robot has no ears, it asks for keys: no model is here; run `make model`" in said()


def test_it_says_which_model_and_why_and_why_not_another(
    tmp_path: Path, said: Say, hears: Callable[..., None]
) -> None:
    own = put_model(tmp_path / "project/ears/model")
    (own / "made.json").write_text('{"licence": "CC-BY-4.0"}')
    fetched = put_model(tmp_path / "home/models/other")
    hears(8_000, Calibration(made_on="4,000 words of held-out voices"))
    lines = said().splitlines()
    words = len(Pack.read("ru").words())
    at = lines.index(f"the robot hears with {own}: {models.read_ranks()[0].why}")
    assert lines[at + 1 :] == [
        "  native 8000 Hz, the line's own",
        "  calibrated on 4,000 words of held-out voices",
        "  licence: CC-BY-4.0",
        f"  it knows {words - 1} of the {words} words that are listened for",
        "  words it does not know, and takes for other speech: опять",
        f"  not with {fetched}: model comes first; to hear with it: DOZVON_MODEL={fetched}",
    ]


def test_it_says_what_a_model_for_microphones_lacks(
    tmp_path: Path, said: Say, hears: Callable[..., None]
) -> None:
    put_model(tmp_path / "home/models/official", "--sample-frequency=16000")
    hears(16_000, knows_lengths=False)
    text = said()
    assert "  native 16000 Hz, the line's 8000 Hz is resampled for it\n" in text
    assert "  not calibrated, its confidences are taken as they are\n" in text
    assert "  it does not tell how long a word was: " in text
    assert "  licence: its folder says nothing\n" in text


def test_it_says_when_no_answer_could_ever_be_sure(
    tmp_path: Path, said: Say, hears: Callable[..., None]
) -> None:
    put_model(tmp_path / "project/ears/model")
    hears(8_000, Calibration(((0.0, 0.1), (1.0, 0.9)), "few words"))
    assert "  90% is the surest it can be: every rating is read back, see questions/rating.toml\n" in said()
    hears(8_000, Calibration(((0.0, 0.1), (1.0, 0.6)), "few words"))
    unconfirmed = "every rating is read back, and no «да» is sure enough to confirm it"
    assert f"  60% is the surest it can be: {unconfirmed}, see questions/rating.toml\n" in said()
