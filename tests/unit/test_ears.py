from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.native import Native
from ivr.errors import MissingPart
from ivr.heard import UNKNOWN, Word
from ivr.settings import Settings
from ivr.speech import ears
from ivr.speech.ears import (
    PARTS,
    Recogniser,
    Vosk,
    calls_at_once,
    find_model,
    from_alaw,
    is_model,
    open_ears,
    self_test,
)
from ivr.speech.sound import as_alaw
from ivr.speech.voice import Synthesiser
from tests.sounds import in_noise, joined, model, silence, spoken, telephoned

DIGITS = ("один", "два", "три", "четыре", "пять")

# finding a model


def put_model(folder: Path, conf: str = "--sample-frequency=8000\n") -> Path:
    """What looks like one."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()
    (folder / "conf/mfcc.conf").write_text(conf)
    return folder


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with nothing in it and nothing beside it."""
    monkeypatch.setattr(ears, "PROJECT", tmp_path / "project")
    return tmp_path


def test_without_a_model_there_is_none(checkout: Path) -> None:
    assert find_model(Settings(home=checkout / "home")) is None


def test_the_newest_model_at_home_is_taken_before_the_projects_own_and_that_before_a_shared_one(
    checkout: Path,
) -> None:
    settings = Settings(home=checkout / "home")
    shared = put_model(checkout / "shared/models/some")
    assert find_model(settings) == shared
    own = put_model(checkout / "project/ears/model")
    assert find_model(settings) == own
    older, newer = (put_model(settings.home / "models" / name) for name in ("b", "a"))
    os.utime(older, (1, 1))
    assert find_model(settings) == newer
    os.utime(newer, (0, 0))
    assert find_model(settings) == older


def test_what_is_still_being_fetched_is_no_model(checkout: Path) -> None:
    put_model(checkout / "home/models/.new")
    (checkout / "home/models/half/am").mkdir(parents=True)
    assert find_model(Settings(home=checkout / "home")) is None


def test_the_model_that_is_set_wins(checkout: Path) -> None:
    put_model(checkout / "home/models/a")
    named = put_model(checkout / "named")
    assert find_model(Settings(home=checkout / "home", model=named)) == named
    assert find_model(Settings(home=checkout / "home", model=Path("none"))) is None


def test_a_set_folder_that_is_no_model_is_refused_in_words(checkout: Path) -> None:
    put_model(checkout / "home/models/a")
    with pytest.raises(MissingPart, match=r"no such folder\n +what to do: .*make model.*DOZVON_MODEL"):
        find_model(Settings(home=checkout / "home", model=checkout / "away"))
    with pytest.raises(MissingPart, match=r"is no model: it lacks am/final\.mdl, conf/mfcc\.conf"):
        find_model(Settings(home=checkout / "home", model=checkout))


@pytest.mark.parametrize(
    ("conf", "rate"),
    [
        ("--sample-frequency=8000", 8_000),
        ("--sample-frequency=16000", 16_000),
        ("--use-energy=false", 16_000),
        ("--sample-frequency=16000\n--allow-upsample=true", 8_000),
        (" --sample-frequency=16000\n--allow-upsample=false", 16_000),
        ("--sample-frequency=6000\n--allow-downsample=true", 8_000),
    ],
)
def test_a_model_is_fed_the_lines_rate_only_where_it_takes_it(tmp_path: Path, conf: str, rate: int) -> None:
    assert ears._rate(put_model(tmp_path / "model", conf)) == rate


# broken models

BREAK = [
    ("am/final.mdl", 0.5, "Failed to read"),
    ("graph/Gr.fst", 0.0, "cannot be loaded"),
    ("graph/HCLr.fst", 0.5, "cannot be loaded"),
    ("conf/model.conf", 0.0, "ASSERT"),
]


@pytest.mark.parametrize(("part", "kept", "why"), BREAK)
def test_a_damaged_model_is_refused_and_takes_nobody_with_it(
    tmp_path: Path, part: str, kept: float, why: str
) -> None:
    broken = copied(tmp_path)
    if not (broken / part).exists():
        pytest.skip(f"{broken.name} has no {part}")
    content = (broken / part).read_bytes()
    (broken / part).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(MissingPart, match=why) as refused:
        open_ears(broken)
    assert str(broken) in str(refused.value)
    assert "what to do" in str(refused.value)


def copied(tmp_path: Path) -> Path:
    """A copy of the real model to be tampered with."""
    copy = shutil.copytree(model(), tmp_path / "model")
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)
    return copy


# grammars, with a vosk that is none


class FakeModel:
    """Knows some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def vosk_model_find_word(self, word: str) -> int:
        return self.words.index(word) if word in self.words else -1


class FakeDecoder:
    """Hears the words it was told to; remembers what it was given."""

    made: list[FakeDecoder]
    hears: tuple[str, ...] = ()
    has_begun = threading.Event()

    def __init__(self, model: FakeModel, rate: int, grammar: str = "[]") -> None:
        self.rate, self.grammar = rate, json.loads(grammar)
        self.pcm = b""
        self.busy = threading.Lock()
        FakeDecoder.made.append(self)

    def SetWords(self, wanted: bool) -> None:  # noqa: N802 - vosk's names
        assert wanted

    def AcceptWaveform(self, pcm: bytes) -> int:  # noqa: N802
        assert self.busy.acquire(blocking=False), "two threads at one decoder"
        self.has_begun.set()
        time.sleep(0.005)  # the work: longer than a thread switch
        self.pcm += pcm
        self.busy.release()
        return 0

    def FinalResult(self) -> str:  # noqa: N802
        return json.dumps({"result": [{"word": word, "conf": 0.98765} for word in self.hears]})


@pytest.fixture
def vosk_is_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDecoder.made, FakeDecoder.hears, FakeDecoder.has_begun = [], (), threading.Event()
    monkeypatch.setattr(ears.vosk, "KaldiRecognizer", FakeDecoder)


def knowing(*words: str, rate: int = 8_000) -> Vosk:
    return Vosk("fake", FakeModel(*words), rate, threads=3)


async def heard(
    recogniser: Recogniser, phrases: tuple[str, ...], pcm: bytes = bytes(320)
) -> tuple[Word, ...]:
    hearing = recogniser.listen(phrases)
    await hearing.feed(pcm)
    return await hearing.finish()


def test_words_a_model_does_not_know_are_missing() -> None:
    knows = knowing("три", "пять")
    assert knows.missing(["три", "на пять", "троечку"]) == ("на", "троечку")


def test_e_and_yo_are_one_letter_when_words_are_looked_up() -> None:
    knows = knowing("четверка", "пятёрка")
    assert knows.missing(["четвёрка", "четверка", "пятерка", "пятёрка"]) == ()


@pytest.mark.usefixtures("vosk_is_fake")
async def test_the_grammar_holds_the_phrases_and_other_speech() -> None:
    await heard(knowing("три", "на", "пять"), ("три", "на пять"))
    assert FakeDecoder.made[0].grammar == ["три", "на пять", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_words_a_model_does_not_know_are_left_out_of_the_grammar() -> None:
    await heard(knowing("три", "пять"), ("три", "на пять", "пять", "отлично"))
    assert FakeDecoder.made[0].grammar == ["три", "пять", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_among_many_phrases_other_speech_keeps_its_share() -> None:
    words = tuple(f"слово{number}" for number in range(190))
    await heard(knowing(*words), words)
    assert FakeDecoder.made[0].grammar.count(UNKNOWN) == 10


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_word_is_heard_in_the_spelling_it_was_asked_in() -> None:
    FakeDecoder.hears = ("четверка",)
    assert await heard(knowing("четверка"), ("четвёрка",)) == (Word("четвёрка", 0.988),)
    assert FakeDecoder.made[0].grammar == ["четверка", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_word_nobody_listens_for_is_other_speech() -> None:
    FakeDecoder.hears = ("кот", "три", UNKNOWN)
    words = await heard(knowing("три"), ("три",))
    assert [word.text for word in words] == [UNKNOWN, "три", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_without_phrases_every_word_is_listened_for() -> None:
    FakeDecoder.hears = ("кот",)
    assert [word.text for word in await heard(knowing("три"), ())] == ["кот"]
    assert FakeDecoder.made[0].grammar == []


@pytest.mark.usefixtures("vosk_is_fake")
async def test_pieces_are_heard_in_the_order_they_came_and_never_two_at_once() -> None:
    hearing = knowing("три").listen(("три",))
    pieces = [bytes([number]) * 320 for number in range(50)]
    await asyncio.gather(*(hearing.feed(piece) for piece in pieces))
    await hearing.finish()
    assert FakeDecoder.made[0].pcm == b"".join(pieces)


@pytest.mark.usefixtures("vosk_is_fake")
async def test_who_is_cancelled_leaves_no_second_thread_in_the_decoder() -> None:
    hearing = knowing("три").listen(("три",))
    feeding = asyncio.create_task(hearing.feed(bytes(320)))
    await asyncio.to_thread(FakeDecoder.has_begun.wait, 10)
    feeding.cancel()
    await hearing.feed(bytes(320))
    assert len(FakeDecoder.made[0].pcm) == 640


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_model_of_16_khz_gets_the_line_resampled() -> None:
    moments = np.arange(8_000) / 8_000
    tone = (8_000 * np.sin(2 * np.pi * 1000 * moments)).astype("<i2").tobytes()
    hearing = knowing("три", rate=16_000).listen(("три",))
    for at in range(0, len(tone), 320):
        await hearing.feed(tone[at : at + 320])
    await hearing.finish()
    got = np.frombuffer(FakeDecoder.made[0].pcm, "<i2")
    assert FakeDecoder.made[0].rate == 16_000
    assert len(got) == pytest.approx(16_000, abs=2)
    assert int(np.abs(np.fft.rfft(got[:16_000])).argmax()) == pytest.approx(1000, abs=1)


# the real thing


@pytest.fixture(scope="module")
def real() -> Iterator[Vosk]:
    opened = open_ears(model())
    yield opened
    opened.close()


async def test_a_person_is_understood(native: Native, real: Vosk) -> None:
    pcm = telephoned(await asyncio.to_thread(spoken, native, "четыре"))
    words = await heard(real, DIGITS, pcm)
    assert [word.text for word in words] == ["четыре"]
    assert words[0].confidence > 0.8


async def test_many_are_understood_at_once(native: Native, real: Vosk) -> None:
    said = {text: telephoned(await asyncio.to_thread(spoken, native, text)) for text in DIGITS}
    texts = [text for text in DIGITS for _ in range(8)]
    understood = await asyncio.gather(*(heard(real, DIGITS, said[text]) for text in texts))
    assert [" ".join(word.text for word in words) for words in understood] == texts


async def test_other_speech_is_not_taken_for_a_word(native: Native, real: Vosk) -> None:
    speech = await asyncio.to_thread(spoken, native, "у нас с потолка вода капает")
    words = await heard(real, DIGITS, telephoned(joined(speech, silence(0.3))))
    assert not [word for word in words if word.text != UNKNOWN and word.confidence > 0.8]


async def test_what_the_model_says_at_its_own_endpoint_is_kept(native: Native, real: Vosk) -> None:
    """A second of silence makes vosk end a sentence by itself."""
    two, five = [await asyncio.to_thread(spoken, native, text) for text in ("два", "пять")]
    pcm = telephoned(in_noise(joined(two, silence(1.5), five), 40))
    hearing = real.listen(DIGITS)
    certain = [await hearing.feed(pcm[at : at + 1600]) for at in range(0, len(pcm), 1600)]
    assert [word.text for word in certain[-1]] == ["два"]
    assert [word.text for word in await hearing.finish()] == ["два", "пять"]


async def test_a_model_that_throws_at_8_khz_hears_all_the_same(tmp_path: Path) -> None:
    wide = copied(tmp_path)
    conf = (wide / "conf/mfcc.conf").read_text()
    kept = [line for line in conf.splitlines() if "frequency" not in line and "upsample" not in line]
    (wide / "conf/mfcc.conf").write_text("\n".join([*kept, "--sample-frequency=16000"]))
    opened = open_ears(wide)
    assert opened.rate == 16_000
    assert isinstance(await heard(opened, (), bytes(32_000)), tuple)
    opened.close()


async def test_the_ears_hear_the_hotlines_own_voice(native: Native, real: Vosk) -> None:
    if not (native.root / "usr/bin/RHVoice-test").exists():
        pytest.skip(f"no RHVoice in {native.root}")
    program = tuple(native.command("usr/bin/RHVoice-test"))
    trial = await self_test(real, Synthesiser("rhvoice", program, "anna", native.environment()))
    assert trial.understood == ("четыре", "на пятёрочку")
    assert trial.passed
    assert 0 < trial.factor < 1


def test_a_model_in_use_looks_like_one() -> None:
    assert is_model(model())


# sums


def test_a_law_comes_back_as_it_went() -> None:
    codes = bytes(range(256))
    assert as_alaw(np.frombuffer(from_alaw(codes), "<i2")) == codes


@pytest.mark.parametrize(
    ("factor", "cores", "calls"), [(0.03, 2, 20), (0.6, 2, 1), (5.0, 1, 1), (0.001, 64, 100)]
)
def test_how_many_calls_are_carried_follows_from_the_factor(factor: float, cores: int, calls: int) -> None:
    assert calls_at_once(factor, cores) == calls
