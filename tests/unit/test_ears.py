from __future__ import annotations

import asyncio
import json
import math
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
from ivr.speech import ears
from ivr.speech.calibration import Calibration
from ivr.speech.ears import (
    Recogniser,
    Vosk,
    calls_at_once,
    from_alaw,
    open_ears,
    self_test,
)
from ivr.speech.models import is_model
from ivr.speech.sound import as_alaw
from ivr.speech.voice import Synthesiser
from tests.models import put_model
from tests.sounds import in_noise, joined, model, silence, spoken, telephoned

DIGITS = ("один", "два", "три", "четыре", "пять")

# what a model is fed


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


def test_what_is_wrong_with_a_models_calibration_is_said_before_it_is_loaded(tmp_path: Path) -> None:
    folder = put_model(tmp_path / "model")
    (folder / "confidence.json").write_text('{"point": []}')
    with pytest.raises(MissingPart, match=r"confidence\.json: point: no such key; did you mean 'points'"):
        open_ears(folder)


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
    """Hears the words it was told to, or something less likely; remembers what it was given."""

    made: list[FakeDecoder]
    hears: tuple[str, ...] = ()
    or_else: tuple[str, ...] | None = None
    share = 0.75
    """Of what it hears first."""
    has_begun = threading.Event()

    def __init__(self, model: FakeModel, rate: int, grammar: str = "[]") -> None:
        self.rate, self.grammar = rate, json.loads(grammar)
        self.pcm = b""
        self.busy = threading.Lock()
        FakeDecoder.made.append(self)

    def SetWords(self, wanted: bool) -> None:  # noqa: N802 - vosk's names
        assert wanted

    def SetMaxAlternatives(self, most: int) -> None:  # noqa: N802
        assert most > 1

    def AcceptWaveform(self, pcm: bytes) -> int:  # noqa: N802
        assert self.busy.acquire(blocking=False), "two threads at one decoder"
        self.has_begun.set()
        time.sleep(0.005)  # the work: longer than a thread switch
        self.pcm += pcm
        self.busy.release()
        return 0

    def FinalResult(self) -> str:  # noqa: N802
        ways = [(self.hears, 100.0)]
        if self.or_else is not None:
            ways.append((self.or_else, 100.0 - math.log(self.share / (1 - self.share))))
        heard = [
            {
                "confidence": likely,
                "result": [
                    {"word": word, "start": 0.42 + 0.5 * at, "end": 0.81 + 0.5 * at}
                    for at, word in enumerate(words)
                ],
                "text": " ".join(words),
            }
            for words, likely in ways
        ]
        return json.dumps({"alternatives": heard})


@pytest.fixture
def vosk_is_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDecoder.made, FakeDecoder.hears, FakeDecoder.or_else = [], (), None
    FakeDecoder.has_begun = threading.Event()
    monkeypatch.setattr(ears.vosk, "KaldiRecognizer", FakeDecoder)


def knowing(
    *words: str,
    rate: int = 8_000,
    calibration: Calibration | None = None,
    knows_lengths: bool = False,
) -> Vosk:
    return Vosk("fake", FakeModel(*words), rate, 3, calibration, knows_lengths=knows_lengths)


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
    assert await heard(knowing("четверка"), ("четвёрка",)) == (Word("четвёрка", 1.0),)
    assert FakeDecoder.made[0].grammar == ["четверка", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_word_nobody_listens_for_is_other_speech() -> None:
    FakeDecoder.hears = ("кот", "три", UNKNOWN)
    words = await heard(knowing("три"), ("три",))
    assert [word.text for word in words] == [UNKNOWN, "три", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_every_words_confidence_is_what_the_calibration_makes_of_it() -> None:
    FakeDecoder.hears = ("три", UNKNOWN)
    half = Calibration(((0.0, 0.0), (1.0, 0.5)))
    words = await heard(knowing("три", calibration=half), ("три",))
    assert words == (Word("три", 0.5), Word(UNKNOWN, 0.5))


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_word_is_as_certain_as_all_the_readings_that_have_it() -> None:
    FakeDecoder.hears, FakeDecoder.or_else = ("на", "пять"), ("ну", "пять")
    words = await heard(knowing("на", "ну", "пять"), ("на пять", "ну пять"))
    assert words == (Word("на", 0.75), Word("пять", 1.0))


@pytest.mark.usefixtures("vosk_is_fake")
async def test_every_reading_is_told_with_its_share_the_likeliest_first() -> None:
    FakeDecoder.hears, FakeDecoder.or_else = ("три",), (UNKNOWN,)
    hearing = knowing("три").listen(("три",))
    await hearing.feed(bytes(320))
    await hearing.finish()
    assert [(" ".join(word.text for word in one.words), round(one.share, 3)) for one in hearing.readings] == [
        ("три", 0.75),
        (UNKNOWN, 0.25),
    ]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_words_that_sound_the_same_are_one_and_the_first_that_was_asked_for_is_heard() -> None:
    FakeDecoder.hears = ("сделано",)
    knows = Vosk("fake", FakeModel("сделано"), 8_000, 1, alike={"сделана": "сделано"})
    assert await heard(knows, ("сделана", "сделано")) == (Word("сделана", 1.0),)
    assert FakeDecoder.made[0].grammar == ["сделано", UNKNOWN]


@pytest.mark.usefixtures("vosk_is_fake")
async def test_only_a_model_that_knows_how_long_words_are_is_believed_about_it() -> None:
    FakeDecoder.hears = ("три",)
    assert (await heard(knowing("три"), ("три",)))[0].seconds == 0.0
    assert (await heard(knowing("три", knows_lengths=True), ("три",)))[0].seconds == 0.39


@pytest.mark.usefixtures("vosk_is_fake")
async def test_a_words_pause_is_the_silence_after_the_word_before_it() -> None:
    FakeDecoder.hears = ("да", "три")
    words = await heard(knowing("да", "три", knows_lengths=True), ("да", "три"))
    assert [word.pause for word in words] == [0.0, 0.11]
    untold = await heard(knowing("да", "три"), ("да", "три"))
    assert [word.pause for word in untold] == [0.0, 0.0]


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
async def test_a_decoder_that_is_done_hears_the_next_and_never_two_at_once() -> None:
    recogniser = knowing("три", "пять")
    await heard(recogniser, ("три",))
    one, other = recogniser.listen(("три",)), recogniser.listen(("три",))
    await one.feed(b"1" * 320)
    await other.feed(b"2" * 320)
    first, second = FakeDecoder.made
    assert first.pcm == bytes(320) + b"1" * 320
    assert second.pcm == b"2" * 320
    await heard(recogniser, ("пять",))
    assert len(FakeDecoder.made) == 3, "another question, another decoder"


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


async def test_a_decoder_that_heard_something_else_before_hears_the_same(native: Native, real: Vosk) -> None:
    four, five = [
        telephoned(await asyncio.to_thread(spoken, native, text)) for text in ("четыре", "на пятёрочку")
    ]
    before = await heard(real, DIGITS, four)
    await heard(real, DIGITS, five)
    assert await heard(real, DIGITS, four) == before


async def test_a_model_is_calibrated_by_the_file_beside_it_unless_asked_for_as_it_is(
    native: Native, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    Calibration(((0.0, 0.0), (1.0, 0.5)), "a test").write(folder / "confidence.json")
    pcm = telephoned(await asyncio.to_thread(spoken, native, "четыре"))
    calibrated, raw = open_ears(folder), open_ears(folder, calibrated=False)
    (believed,), (said,) = await heard(calibrated, DIGITS, pcm), await heard(raw, DIGITS, pcm)
    assert believed.confidence == pytest.approx(said.confidence / 2, abs=0.001)
    calibrated.close()
    raw.close()


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
