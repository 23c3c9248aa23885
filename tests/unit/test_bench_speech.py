from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import ClassVar, cast

import numpy as np
import pytest

from appliance.native import Native
from bench.speech import (
    bargein,
    capacity,
    clips,
    hearing,
    loose,
    paced,
    people,
    pictures,
    reliability,
    report,
    spoil,
    unseen,
)
from bench.speech.__main__ import models_for
from bench.speech.aims import aims
from bench.speech.clips import NONE, PERSON, RATINGS, Clip, Phrase, Spoken
from bench.speech.hearing import SILENCE, UNSURE, Judged
from bench.speech.judge import COLUMNS, Share, confusion, loosely, loosely_perfect
from bench.speech.measured import Measured
from bench.speech.noises import RATE, Background, in_band
from bench.speech.paced import PIECE, Load, Stream, on_the_clock
from bench.speech.reliability import Claim
from bench.speech.spoil import CHILD, CLEAN, CLIPPED_START, CONDITIONS, FAST, LEVEL, MU_LAW, SLOW, Condition
from bench.speech.streams import Streams
from ivr.dialplan.understanding import Intent, Pack
from ivr.errors import MissingPart
from ivr.heard import UNKNOWN, Heard, Question, Word
from ivr.settings import Settings
from ivr.speech import models
from ivr.speech.activity import Activity, Detectors, Window
from ivr.speech.calibration import Calibration
from ivr.speech.ears import Recogniser
from ivr.speech.listener import Event, SpeechBegan
from ivr.speech.sound import Samples, Sound, as_alaw, as_wav

MODEL = "vosk-ru-rating-poc"


def tone(frequency: float, seconds: float = 1.0) -> Samples:
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def level(sound: Samples) -> float:
    return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2)))


def chance() -> np.random.Generator:
    return np.random.default_rng(7)


def samples(sound: spoil.Received) -> Samples:
    return np.frombuffer(b"".join(sound.frames), "<i2").astype(np.float32) / 32768


def arrived(condition: Condition, seed: int = 7) -> spoil.Received:
    return spoil.received(tone(1000), condition, tone(600, 30), np.random.default_rng(seed))


# what a telephone does


def test_a_telephone_lets_speech_through_and_takes_the_bass() -> None:
    assert level(in_band(tone(1000))) == pytest.approx(level(tone(1000)), abs=0.5)
    assert level(in_band(tone(100))) < level(tone(100)) - 20


def test_a_law_comes_back_as_the_same_byte() -> None:
    line = tone(700) + tone(1900) * 0.1
    back = spoil.through_alaw(line)
    assert as_alaw(back) == as_alaw(spoil.through_alaw(back.astype(np.float32) / 32768))
    assert level(line - back.astype(np.float32) / 32768) < level(line) - 30


def test_mu_law_is_that_of_g711() -> None:
    """Table 2a: the decision values at the ends of segments, and what comes back of them (14 bits)."""
    said = np.array([0, 1, 30, 31, 94, 95, 4062, 4063, 8158, 8191, -31, -8191]) * 4
    back = spoil.through_mulaw((said / 32768).astype(np.float32)) // 4
    assert back.tolist() == [0, 2, 30, 33, 93, 99, 3999, 4191, 8031, 8031, -33, -8031]


def test_mu_law_comes_back_as_it_went() -> None:
    once = spoil.through_mulaw(tone(700))
    assert np.array_equal(once, spoil.through_mulaw((once / 32768).astype(np.float32)))
    assert level(tone(700) - once.astype(np.float32) / 32768) < level(tone(700)) - 30
    assert arrived(MU_LAW) != arrived(CLEAN)


def test_a_very_quiet_caller_is_thirty_decibels_below_the_usual() -> None:
    faint = samples(arrived(LEVEL))
    spoken = faint[int((spoil.BEFORE + 0.1) * RATE) : int((spoil.BEFORE + 0.9) * RATE)]
    assert level(spoken) == pytest.approx(-26 - 30, abs=1.0)


@pytest.mark.parametrize("kind", list(Background))
@pytest.mark.parametrize("snr", [20.0, 5.0])
def test_noise_is_as_strong_as_its_name_says(kind: Background, snr: float) -> None:
    around = spoil.surroundings(4 * RATE, Condition("", snr, kind), -26.0, tone(600, 30), chance())
    assert level(around) == pytest.approx(-26.0 - snr, abs=0.1)


def test_the_line_before_and_after_the_speech_is_noisy_too() -> None:
    noisy = arrived(Condition("5 dB", 5.0, Background.WHITE))
    before = samples(noisy)[: int(0.4 * RATE)]
    assert level(before) > -45
    assert level(samples(arrived(CLEAN))[: int(0.4 * RATE)]) < -55


def test_where_speech_begins_and_ends_is_known() -> None:
    clean = arrived(CLEAN)
    assert clean.begins == pytest.approx(spoil.BEFORE, abs=0.02)
    assert clean.ends == pytest.approx(spoil.BEFORE + 1.0, abs=0.02)
    assert {len(frame) for frame in clean.frames} == {320}
    assert len(clean.frames) == round((spoil.BEFORE + 1.0 + spoil.AFTER) * 50)


def test_so_many_packets_are_lost_and_covered_in_one_of_three_ways() -> None:
    whole = len(arrived(CLEAN).frames)
    lengths = [len(arrived(Condition("", loss=0.2), seed).frames) for seed in range(12)]
    assert whole in lengths  # covered by something
    gone = [whole - length for length in lengths if length < whole]
    assert gone
    assert all(0.1 * whole < lost < 0.3 * whole for lost in gone)


def test_when_what_comes_next_moves_up_the_end_of_the_speech_does_too() -> None:
    shorter = next(
        heard
        for heard in (arrived(Condition("", loss=0.2), seed) for seed in range(12))
        if len(heard.frames) < len(arrived(CLEAN).frames)
    )
    loud = spoil.extent(samples(shorter))
    assert shorter.ends == pytest.approx(loud[1], abs=0.05)


def test_a_clipped_start_is_silent_and_begins_later() -> None:
    clipped = arrived(CLIPPED_START)
    missing = clipped.begins - spoil.BEFORE
    assert 0.03 < missing < 0.13
    before = samples(clipped)[int(spoil.BEFORE * RATE) : int(clipped.begins * RATE)]
    assert level(before) < -55


def test_a_clip_sounds_the_same_in_every_run() -> None:
    assert arrived(Condition("10 dB", 10.0, Background.BABBLE)) == arrived(
        Condition("10 dB", 10.0, Background.BABBLE)
    )


# the test set


def test_every_phrase_means_a_rating_an_intent_or_nothing() -> None:
    meanings = {*RATINGS, *Intent, NONE}
    for phrase in clips.read_phrases():
        assert {phrase.means, *phrase.also} <= meanings, phrase
    assert {phrase.means for phrase in clips.read_phrases()} >= {
        *RATINGS,
        NONE,
        Intent.NOT_DONE,
        Intent.HUMAN,
    }


def test_every_phrase_answers_a_question_that_is_asked() -> None:
    pack = Pack.read("ru")
    for asked in {phrase.asked for phrase in clips.read_phrases()}:
        assert pack.question(asked).phrases


def test_no_phrase_is_said_twice() -> None:
    texts = [phrase.text for phrase in clips.read_phrases()]
    assert sorted(texts) == sorted(set(texts))


def test_a_model_is_not_tested_with_voices_it_learned_from_nor_with_their_siblings() -> None:
    voices = clips.voices_for(MODEL)
    assert voices.held_out == ("artemiy", "tatiana", "timofey", "umka", "vsevolod", "yuriy")
    assert {"aleksandr-hq", "vitaliy-ng"} <= set(voices.training)


def test_a_model_of_ours_is_known_wherever_it_lies(tmp_path: Path) -> None:
    here = Path(__file__).parents[2] / "ears" / "model"
    elsewhere = tmp_path / "another-seed"
    elsewhere.mkdir()
    assert models.name_of(elsewhere) == "another-seed"
    copyfile(here / "made.json", elsewhere / "made.json")
    assert clips.voices_for(models.name_of(elsewhere)) == clips.voices_for(models.name_of(here))
    assert "anna" in clips.voices_for(models.name_of(elsewhere)).training


def test_a_model_nobody_wrote_down_is_tested_with_every_voice() -> None:
    voices = clips.voices_for("unheard-of")
    assert len(voices.held_out) == 18
    assert voices.training == ()


def test_the_test_set_holds_at_least_1500_clips_and_every_rating_in_every_condition() -> None:
    phrases, voices = clips.read_phrases(), clips.voices_for(MODEL).held_out
    planned = list(clips.plan(phrases, voices))
    assert len(planned) >= 1500
    assert planned == list(clips.plan(phrases, voices))
    assert {clip.spoken.voice for clip in planned} == set(voices)
    for rating in RATINGS:
        mine = [clip for clip in planned if clip.spoken.phrase.means == rating]
        assert {clip.condition for clip in mine} == set(CONDITIONS)
    rates = {clip.spoken.rate for clip in planned}
    assert min(rates) < 80
    assert max(rates) > 125


def test_slow_and_fast_are_the_voices_own_pace_and_a_child_has_a_smaller_throat() -> None:
    phrase = Phrase("пять", "5", "5")
    adult, child = clips.spoken(phrase, "yuriy"), clips.spoken(phrase, "yuriy", CHILD)
    assert clips.spoken(phrase, "yuriy", SLOW).rate == 60
    assert clips.spoken(phrase, "yuriy", FAST).rate == 160
    assert child.size == 80
    assert child.rate == pytest.approx(0.8 * adult.rate, abs=1)  # played faster by as much
    assert (
        child.pitch > clips.spoken(phrase, "tatiana", CHILD).pitch > 100
    )  # a woman's voice is higher already
    assert len({adult.name, child.name, clips.spoken(phrase, "yuriy", SLOW).name}) == 3


def test_a_recording_is_neither_slowed_nor_made_a_childs() -> None:
    phrases = [Phrase("пять", "5", "5", recording=f"digits/{number}.wav") for number in range(30)]
    conditions = {clip.condition for clip in clips.plan(phrases, ("umka",))}
    assert conditions == {condition for condition in CONDITIONS if condition not in {SLOW, FAST, CHILD}}


def test_models_that_are_compared_are_tested_with_voices_held_out_from_each() -> None:
    ours, both = clips.voices_for("model"), clips.voices_for("model", MODEL)
    assert len(ours.held_out) == 13
    assert both.held_out == ("artemiy", "tatiana", "timofey", "umka", "vsevolod", "yuriy")
    assert set(both.training) == set(ours.training) | set(clips.voices_for(MODEL).training)


def test_a_model_of_ours_is_called_by_its_name_whatever_its_folder_is() -> None:
    assert clips.called("model") == "dozvon-ru-8k"
    assert clips.called("vosk-model-small-ru-0.22") == "vosk-model-small-ru-0.22"
    assert clips.called("unheard-of") == "unheard-of"


def test_with_many_voices_clean_is_said_by_six_of_them_and_all_have_their_turn() -> None:
    phrases, voices = clips.read_phrases(), clips.voices_for("model").held_out
    clean = [clip for clip in clips.plan(phrases, voices) if clip.condition is CLEAN]
    assert len(clean) == 6 * len(phrases)
    assert {clip.spoken.voice for clip in clean} == set(voices)


def test_every_model_that_is_here_is_heard_but_for_those_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "PROJECT", tmp_path / "checkout")
    settings = Settings.read({"DOZVON_HOME": str(tmp_path / "var")})
    with pytest.raises(MissingPart, match="no model is here"):
        models_for(settings, [])
    ours, proof = tmp_path / "checkout" / "ears" / "model", tmp_path / "shared" / "models" / MODEL
    for folder in (ours, proof):
        for part in models.PARTS:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / part).touch()
    assert models_for(settings, []) == [ours, proof]  # first the one the robot would take
    assert models_for(settings, [str(proof)]) == [proof]


def test_a_quick_run_says_every_phrase() -> None:
    phrases, voices = clips.read_phrases(), clips.voices_for(MODEL).held_out
    planned = list(clips.plan(phrases, voices, quick=True))
    assert {clip.spoken.phrase for clip in planned} == set(phrases)
    assert {clip.condition.name for clip in planned} == {condition.name for condition in CONDITIONS}
    assert len(planned) < 1500


def test_a_persons_digits_are_ratings_and_all_other_numbers_none(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    for name in ("4", "14", "40", "h-4"):
        (tmp_path / "digits" / f"{name}.wav").touch()
    phrases = people.digits(tmp_path)
    assert [(phrase.text, phrase.means) for phrase in phrases if phrase.is_rating] == [("четыре", "4")]
    assert len([phrase for phrase in phrases if phrase.means == NONE]) == 3
    assert clips.spoken(phrases[0], PERSON).voice == PERSON


def recordings(folder: Path, lines: str) -> Path:
    for name in ("one", "two", "three"):
        (folder / f"{name}.wav").touch()
    (folder / people.TEXT).write_text(lines, "utf-8")
    return folder


def test_anybodys_recordings_are_ratings_if_their_text_is_one_and_else_no_answer(tmp_path: Path) -> None:
    lines = "one.wav\tСтавлю пять\ntwo.wav\tопять течёт\n\nthree.wav\tпозовите человека\nthree.wav\tпеть\n"
    five, again, human, sing = people.given(recordings(tmp_path, lines), Pack.read("ru"))
    assert (five.means, five.group, five.recording) == ("5", "5, a person", str(tmp_path / "one.wav"))
    assert (again.means, human.means) == (NONE, NONE)
    assert sing.means == NONE  # it would be asked about, but is no five
    assert human.also == (Intent.HUMAN,)  # that it is understood is no mistake
    assert clips.spoken(five, "umka").voice == PERSON


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("one.wav пять", "line 1: a file's name, a tab"),
        ("one.wav\t5", "line 1: a file's name, a tab and Russian words"),
        ("one.wav\tпять\nfour.wav\tдва", "line 2: no file four.wav"),
        ("", "it names no recording"),
    ],
)
def test_recordings_without_their_text_are_refused(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(people.BadClips, match=says):
        people.given(recordings(tmp_path, lines), Pack.read("ru"))


def test_a_recording_made_anew_is_read_anew(tmp_path: Path) -> None:
    recording = tmp_path / "mine.wav"
    piece = Spoken(Phrase("пять", "5", "5", recording=str(recording)), PERSON)
    studio = clips.Studio(Native(tmp_path / "native"), tmp_path / "spoken")
    for seconds in (0.5, 1.0):
        recording.write_bytes(as_wav(Sound(tone(700, seconds), RATE)))
        os.utime(recording, (2e9 + seconds, 2e9 + seconds))  # after whatever was kept
        asyncio.run(studio.speak_all([piece]))
        assert len(studio.samples(piece)) == seconds * RATE


# words of people whom nobody learned from


MOON = pictures.Picture("woman", Path("moon.opus"), ("луна", "месяц"))


@pytest.mark.parametrize(
    ("heard", "is_"),
    [
        ([["луна"]], pictures.RIGHT),
        ([["месяц"]], pictures.RIGHT),
        ([["лу"], ["на"]], pictures.ANOTHER),
        ([["луна", UNKNOWN]], pictures.ANOTHER),
        ([["нота"]], pictures.ANOTHER),
        ([[UNKNOWN]], pictures.NOTHING),
        ([], pictures.NOTHING),
    ],
)
def test_a_picture_is_named_right_by_all_that_is_heard_and_nothing_else(
    heard: list[list[str]], is_: str
) -> None:
    stretches = [Heard(tuple(Word(word, 1.0) for word in words)) for words in heard]
    assert pictures.outcome(MOON, stretches) == is_


def test_every_named_picture_that_is_there_is_found_and_none_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="make bench-speech"):
        pictures.pictures(tmp_path)
    told = tomllib.loads(pictures.NAMES.read_text("utf-8"))
    for names in told.values():
        for name in names:
            file = tmp_path / pictures.SOUNDS / f"{name}.opus"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    found = pictures.pictures(tmp_path)
    assert {one.who for one in found} == {"man", "woman"}
    assert len(found) == sum(map(len, told.values()))
    found[0].file.unlink()
    assert len(pictures.pictures(tmp_path)) == len(found) - 1


def test_a_picture_is_told_of_in_mono_at_eight_kilohertz_and_what_is_no_recording_is_named(
    tmp_path: Path,
) -> None:
    soundfile = pytest.importorskip(
        "soundfile", reason="neither the extra `bench-speech` nor `dev` is installed"
    )
    file = tmp_path / "moon.ogg"
    soundfile.write(file, np.stack([tone(700, 0.5)] * 2, axis=1), RATE)
    assert len(replace(MOON, file=file).sound()) == pytest.approx(RATE / 2, abs=2)
    file.write_bytes(b"no sound")
    with pytest.raises(MissingPart, match=r"moon\.ogg"):
        replace(MOON, file=file).sound()


async def test_each_person_is_counted_on_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def listen(*_: object) -> list[tuple[float, Heard]]:
        return [(1.0, Heard((Word("луна", 1.0),)))]

    monkeypatch.setattr(pictures, "listen", listen)
    monkeypatch.setattr(pictures.Picture, "sound", lambda _: tone(700, 0.5))
    key = pictures.Picture("man", Path("key.opus"), ("ключ",))
    heard = await pictures._heard(cast(Recogniser, None), Question("pictures", ()), [MOON, key])
    assert [(one.who, str(one.condition), dict(one.outcomes)) for one in heard] == [
        (who, line, {way: 1})
        for line in ("clean", "loss 5 %")
        for who, way in (("woman", pictures.RIGHT), ("man", pictures.ANOTHER))
    ]


def test_a_model_without_its_words_as_text_names_no_picture(tmp_path: Path) -> None:
    assert pictures.measure(tmp_path, [MOON], Settings(home=tmp_path)) == []


def test_without_voices_the_benchmark_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(clips.NoVoices, match="DOZVON_NATIVE"):
        clips.native_tree(tmp_path)


# the peer


@pytest.mark.parametrize(
    ("said", "made_of_it"),
    [
        ("опять", "5"),  # one letter before
        ("пять", "5"),
        ("пядь", "5"),
        ("Опять течёт!", "5"),
        ("твёрдая четвёрка", "4"),
        ("двор", None),
        ("никто не приходил", None),
        ("", None),
    ],
)
def test_the_peer_takes_any_word_within_one_letter(said: str, made_of_it: str | None) -> None:
    assert loose.rating(said) == made_of_it


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("три", "три", True),
        ("три", "тр", True),
        ("три", "трии", True),
        ("три", "при", True),
        ("три", "тир", False),
        ("три", "т", False),
        ("три", "тропа", False),
    ],
)
def test_a_letter_more_less_or_another_is_within_one_letter(one: str, other: str, near: bool) -> None:
    assert loose.within_one_letter(one, other) is near
    assert loose.within_one_letter(other, one) is near


# judging


def judged(
    means: str,
    outcome: str,
    *,
    also: tuple[str, ...] = (),
    at_once: bool = True,
    text: str = "пять",
    heard: str = "пять",
    condition: Condition = CLEAN,
    read_back: bool = False,
) -> Judged:
    phrase = Phrase(text, means, means, also)
    return Judged(
        clip=Clip(Spoken(phrase, "umka"), condition),
        words=(tuple(Word(word, 0.9) for word in heard.split()),),
        outcome=outcome,
        at_once=at_once,
        confidence=0.9,
        read_back=read_back,
        began=0.1,
        decided=0.3,
    )


def test_a_rating_is_accepted_when_it_is_the_one_that_was_said() -> None:
    assert judged("5", "5").accepted
    assert not judged("5", "4").accepted
    assert judged("5", "4").wrong
    assert not judged("5", UNSURE).accepted
    assert not judged("5", UNSURE).wrong


def test_a_wish_that_was_misheard_and_is_asked_about_is_doubted_and_no_mistake() -> None:
    one = judged("1", "not_done", read_back=True)
    assert one.doubted
    assert not one.wrong
    (row,) = confusion([one])
    assert row[COLUMNS.index("another") + 2] == "1"


def test_what_was_understood_only_when_asked_again_is_not_accepted() -> None:
    assert not judged("5", "5", at_once=False).accepted
    assert not judged("5", "5", at_once=False).wrong


def test_a_wrong_rating_is_wrong_however_late() -> None:
    assert judged(NONE, "5", at_once=False).wrong_rating


@pytest.mark.parametrize("nothing", [UNSURE, SILENCE])
def test_what_is_no_answer_is_rightly_taken_for_none(nothing: str) -> None:
    assert judged(NONE, nothing).accepted
    assert not judged(NONE, nothing).wrong


def test_a_meaning_that_is_no_mistake_either_is_not_wrong() -> None:
    assert not judged("refused", "opt_out", also=("opt_out",)).wrong
    assert judged("refused", "later", also=("opt_out",)).wrong
    assert not judged("refused", "later").wrong_rating


def test_the_confusion_table_has_a_line_for_each_group() -> None:
    rows = list(
        confusion(
            [
                judged("5", "5"),
                judged("5", "4"),
                judged("5", UNSURE),
                judged("human", "human"),
                judged("human", "no"),
            ]
        )
    )
    five, human = (
        {"said": row[0], "clips": row[1], **dict(zip(COLUMNS, row[2:], strict=True))} for row in rows
    )
    assert {column: cell for column, cell in five.items() if cell} == {
        "said": "5", "clips": "3", "4": "1", "5": "1", UNSURE: "1",
    }  # fmt: skip
    assert {column: cell for column, cell in human.items() if cell} == {
        "said": "human", "clips": "2", "its intent": "1", "another": "1",
    }  # fmt: skip


def test_a_share_of_few_is_not_certain() -> None:
    none_of_many, none_of_few = Share(0, 3000), Share(0, 30)
    assert none_of_many.value == none_of_few.value == 0
    assert none_of_many.at_most < 0.002
    assert none_of_few.at_most > 0.05
    assert math.isnan(Share(0, 0).value)


def test_the_peer_is_given_what_our_ears_heard_and_what_was_said() -> None:
    complaint = judged("not_done", UNSURE, text="опять течёт", heard="[unk] [unk]")
    assert loosely(complaint) is None
    assert loosely_perfect(complaint) == "5"


class Scripted:
    """A listener that tells what it was told to, after so many frames; `Heard` of one word each."""

    script: ClassVar[dict[int, Event]] = {}

    def __init__(self, ears: Recogniser | None, detectors: Detectors) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.fed = 0

    def expect(self, question: Question | None) -> None:
        assert question is not None

    def feed(self, pcm: bytes, played: bytes | None = None) -> None:
        self.fed += 1
        if event := self.script.get(self.fed):
            self.events.put_nowait(event)

    async def caught_up(self) -> None: ...

    async def aclose(self) -> None: ...


def said(*words: str) -> Heard:
    return Heard(tuple(Word(word, 1.0) for word in words))


async def judge(monkeypatch: pytest.MonkeyPatch, script: dict[int, Event]) -> Judged:
    monkeypatch.setattr(hearing, "Listener", Scripted)
    monkeypatch.setattr(Scripted, "script", script)
    clip = Clip(Spoken(Phrase("пять", "5", "5"), "umka"), CLEAN)
    sound = spoil.Received((bytes(320),) * 100, begins=0.5, ends=1.0)
    no_ears, no_detectors = cast(Recogniser, None), cast(Detectors, None)
    return await hearing.judged(clip, sound, no_ears, no_detectors, Pack.read("ru"))


async def test_a_clip_is_judged_by_what_the_listener_tells_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    one = await judge(monkeypatch, {30: SpeechBegan(), 65: said("пять")})
    assert (one.outcome, one.accepted, one.at_once) == ("5", True, True)
    assert one.began == pytest.approx(0.1)
    assert one.decided == pytest.approx(0.3)


async def test_an_answer_in_a_second_breath_is_none_to_the_first_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await judge(monkeypatch, {40: said("алло"), 65: said("пять")})
    assert (one.outcome, one.accepted, one.wrong) == ("5", False, False)
    assert (await judge(monkeypatch, {40: said("алло"), 65: said("три")})).wrong


async def test_nothing_heard_is_silence_and_nothing_understood_is_unsure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (await judge(monkeypatch, {})).outcome == SILENCE
    assert (await judge(monkeypatch, {30: SpeechBegan(), 65: said("[unk]")})).outcome == UNSURE
    assert (await judge(monkeypatch, {30: SpeechBegan()})).outcome == UNSURE  # the talk behind does not end


# by the clock


async def test_a_frame_is_fed_when_it_would_arrive() -> None:
    loop = asyncio.get_running_loop()
    fed: list[float] = []
    begins = loop.time()
    late = await on_the_clock([b""] * 3, lambda frame: fed.append(loop.time() - begins), begins)
    assert len(late) == 3
    assert all(at >= (number + 1) * 0.020 for number, at in enumerate(fed))


class Counting:
    """Ears that note how much they are fed, and when they are made to finish."""

    name, rate, knows_noise = "counting", RATE, True

    def __init__(self) -> None:
        self.stretches: list[float] = []

    def listen(self, phrases: Sequence[str]) -> Counting:
        self.stretches.append(0.0)
        return self

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        return ()

    async def feed(self, pcm: bytes) -> tuple[Word, ...]:
        self.stretches[-1] += len(pcm) / 2 / RATE
        return ()

    async def finish(self) -> tuple[Word, ...]:
        return ()


class Gate:
    """Voice activity by the first byte of a frame."""

    def feed(self, frame: Samples) -> list[Window]:
        return [Window(0.0, -20.0, 0.9)] if frame[0] else []

    def close(self) -> None: ...


VOICE, HUSH = b"\x00\x40" * 160, bytes(320)


async def streamed(pieces: str, gate: Gate | None, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """A second of the stream in 50 ms. A letter is a piece of 100 ms: `v` voice, `.` hush."""
    monkeypatch.setattr(paced, "FRAME", 0.001)
    monkeypatch.setattr(paced, "LATE", 0.025)
    frames = tuple({"v": VOICE, ".": HUSH}[piece] for piece in pieces for _ in range(PIECE))
    line = itertools.chain([(spoil.Received(frames, 0.0, 1.0), "rating")], itertools.repeat(QUIET))
    ears = Counting()
    until = asyncio.get_running_loop().time() + len(frames) * 0.001
    await Stream(ears, (), cast(Activity | None, gate)).hear(line, until)
    return ears


QUIET = (spoil.Received((HUSH,) * PIECE, 0.0, 0.1), "rating")


async def test_a_recogniser_alone_is_fed_everything_in_one_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = await streamed("v" * 10, None, monkeypatch)
    assert len(ears.stretches) == 1
    assert ears.stretches[0] >= 0.99


async def test_behind_voice_activity_it_is_fed_what_is_spoken_and_a_little_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ears = await streamed("......vv.v........vv......", Gate(), monkeypatch)
    assert ears.stretches == [
        pytest.approx(0.6),
        pytest.approx(0.4),
    ]  # with 200 ms before, and the pause within


async def test_fed_to_nobody_a_stream_is_only_counted() -> None:
    sound = spoil.Received((HUSH,) * 10, 0.0, 0.2)
    until = asyncio.get_running_loop().time() + 0.15
    moments = await Stream(None, ()).hear(itertools.repeat((sound, "rating")), until)
    assert moments.sound == pytest.approx(0.2)
    assert len(moments.late) == 2


def load(calls: int, p95: float = 0.4, late: float = 0.01) -> Load:
    return Load(calls, 10.0, 90, 0.25, 100, 0.26, p95, 0.1, late, 0.01, 100.0)


def test_the_most_calls_are_found_by_doubling_and_halving() -> None:
    tried, held = capacity.most(lambda calls: load(calls, p95=0.4 if calls <= 90 else 0.9))
    assert [one.calls for one in tried] == [16, 32, 64, 128, 128, 96, 96, 80, 88]
    assert held == 88


def test_a_number_of_calls_that_once_does_not_hold_is_tried_again() -> None:
    late = iter([0.5])
    tried, held = capacity.most(lambda calls: load(calls, late=next(late, 0.01) if calls == 16 else 0.5))
    assert [one.calls for one in tried[:3]] == [16, 16, 32]
    assert held == 16


def test_it_ends_when_even_the_most_is_held_and_when_the_first_is_not() -> None:
    assert capacity.most(load)[1] == capacity.MOST
    tried, held = capacity.most(lambda calls: load(calls, late=0.5))
    assert held == 0
    assert len(tried) == 8


def test_nothing_more_is_tried_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.chain([0.0, 0.0], itertools.repeat(2.0))
    monkeypatch.setattr(capacity.time, "monotonic", lambda: next(moments))
    tried, held = capacity.most(load, ends=1.0)
    assert [one.calls for one in tried] == [16, 32]
    assert held == 32


def test_in_a_survey_a_quarter_is_speech_and_silence_comes_before_it() -> None:
    sound = spoil.Received((HUSH,) * 100 + (VOICE,) * 60 + (HUSH,) * 100, begins=2.0, ends=3.2)
    line = capacity.among_silence(sound)
    assert line.frames == (HUSH,) * 180 + (VOICE,) * 60
    assert (line.begins, line.ends) == (pytest.approx(3.6), pytest.approx(4.8))


def test_a_stream_costs_what_it_takes_beyond_being_fed() -> None:
    floor = replace(load(64), processor=0.001, memory=100.0)
    tried = (
        replace(load(64), processor=0.006, memory=164.0),
        replace(load(128), processor=0.005, memory=228.0),
        replace(load(256, late=0.5), processor=0.009),
    )
    found = Streams("speech all the time", 1.0, tried, 128, floor)
    assert found.cost == pytest.approx(0.004)
    assert found.memory == pytest.approx(1.0)
    assert replace(found, held=0).best.calls == 64


@pytest.mark.parametrize("way", list(bargein.Way))
def test_an_echo_is_weaker_and_later_than_the_prompt(way: bargein.Way) -> None:
    prompt = spoil.at_level(tone(900, 2.0), bargein.PROMPT_LEVEL)
    returned = bargein.back(prompt, bargein.Echo(way, 20), chance())
    assert spoil.active_level(returned) == pytest.approx(bargein.PROMPT_LEVEL - 20, abs=0.5)
    assert level(returned[: int(0.005 * RATE)] + 1e-9) < -60


# what a confidence is worth


@pytest.mark.parametrize(
    ("heard", "right"),
    [
        ("ставлю твёрдую пять", [True, True, True]),
        ("ставлю пять", [True, True]),
        ("пять", [True]),
        ("ставлю твёрдую три", [True, True, False]),
        ("да ставлю твёрдую пять", [False, True, True, True]),
        ("пять ставлю", [False, False]),  # neither at its place
        ("", []),
    ],
)
def test_a_word_is_right_when_it_was_said_at_that_place(heard: str, right: list[bool]) -> None:
    assert reliability.matches(["ставлю", "твёрдую", "пять"], heard.split()) == right


def test_of_heard_words_those_said_are_right_and_other_speech_is_no_word() -> None:
    told = reliability.words([judged("5", "5", text="твёрдая, пятерка!", heard="твердая [unk] пятёрка один")])
    assert told == [Claim(0.9, True), Claim(0.9, True), Claim(0.9, False)]
    assert reliability.words([judged(NONE, UNSURE, text="digits/14", heard="пять")]) == []


def test_whole_answers_are_right_or_wrong_by_their_meaning() -> None:
    told = [
        judged("5", "5"),
        judged("5", "4"),
        judged("5", UNSURE),
        judged("refused", "opt_out", also=("opt_out",)),
    ]
    assert [claim.right for claim in reliability.answers(told)] == [True, False, True]


def test_confidences_that_keep_their_word_have_no_expected_error() -> None:
    honest = [Claim(0.9, True)] * 9 + [Claim(0.9, False)]
    boasting = [Claim(1.0, True), Claim(1.0, False)]
    assert reliability.expected_error(honest) == pytest.approx(0.0)
    assert reliability.expected_error(boasting) == pytest.approx(0.5)
    assert reliability.expected_error([*honest, *boasting]) == pytest.approx(1 / 12)
    assert math.isnan(reliability.expected_error([]))


def test_a_confidence_is_in_one_bin_its_edge_in_the_upper_one() -> None:
    every = [Claim(confidence, True) for confidence in (0.0, 0.49, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0)]
    assert [len(one.claims) for one in reliability.bins(every)] == [2, 1, 1, 1, 1, 2]


def test_what_was_calibrated_is_told_as_the_recogniser_had_it() -> None:
    calibration = Calibration(((0.5, 0.2), (0.9, 0.6), (1.0, 0.95)))
    calibrated = [Claim(calibration.of(raw), True) for raw in (0.5, 0.7, 0.95, 1.0)]
    raw = reliability.uncalibrated(calibrated, calibration)
    assert [claim.confidence for claim in raw] == [pytest.approx(one) for one in (0.5, 0.7, 0.95, 1.0)]


# the report


def measured() -> Measured:
    everybody = clips.voices_for(MODEL)
    ten_db = Condition("10 dB", 10.0, Background.WHITE)
    return Measured(
        MODEL, everybody, everybody.held_out, "1.1.2027", "2 cores",
        judged=[judged("5", "5"), judged("5", "5", condition=ten_db), judged(NONE, "5", text="опять")],
        known=frozenset({"пять"}),
        clock=load(4),
    )  # fmt: skip


def test_the_report_names_the_model_the_voices_and_what_misses_its_aim() -> None:
    text = report.markdown([measured()])
    assert MODEL in text
    assert "umka" in text
    assert "For non-commercial use only" in text
    assert "**not met**: at most 1 in 200 non-answers taken for a rating: 100.00 %" in text
    assert "- met: single words accepted clean at least 99 %: 100.00 % (1 of 1)" in text
    assert "«опять» umka 100/100, clean: means none, taken for 5" in text


def test_a_run_with_training_voices_says_that_it_is_no_test() -> None:
    one = measured()
    one.used = ("anna",)
    assert "Not a test" in report.markdown([one])


def test_several_models_are_told_side_by_side_and_each_against_the_aims() -> None:
    proof, ours = measured(), measured()
    ours.model, ours.calibration = "dozvon-ru-8k", Calibration()
    ours.streams = [Streams("speech all the time", 1.0, (load(64), load(128)), 128, load(64))]
    text = report.markdown([ours, proof])
    assert "| clean | dozvon-ru-8k | 1 | 100.0 % |" in text
    assert f"|  | {MODEL} | 1 | 100.0 % |" in text
    assert "held out from all of these models" in text
    assert "words, raw" in text
    assert "- met: at least 100 streams at once, speech all the time: 128" in text
    assert text.count("against the aims") == 2


def test_answers_of_one_word_and_longer_ones_have_aims_of_their_own_and_a_person_is_not_counted() -> None:
    one = measured()
    one.known = frozenset({"пять", "ставлю пять"})
    said = Phrase("пять", "5, a person", "5", recording="digits/5.wav")
    by_a_person = replace(judged("5", UNSURE), clip=Clip(Spoken(said, PERSON), CLEAN))
    one.judged = [judged("5", "5"), judged("5", UNSURE, text="ставлю пять"), by_a_person]
    lines = list(aims(one))
    assert "- met: single words accepted clean at least 99 %: 100.00 % (1 of 1)" in lines
    assert "- **not met**: phrases accepted clean at least 97 %: 0.00 % (0 of 1)" in lines


def test_a_model_is_held_against_the_aims_with_every_voice_that_it_did_not_learn_from() -> None:
    one = measured()
    one.known = frozenset({"пять"})
    one.judged, one.wider = [judged("5", UNSURE)], [judged("5", "5"), judged("5", UNSURE)]
    text = report.markdown([one])
    by_all, _, by_the_shared = text.partition(f"By the {len(one.used)} voices of the tables below:")
    assert f"accepted and wrong by all {len(one.voices.held_out)} voices that it did not learn from" in by_all
    assert "single words accepted clean at least 99 %: 50.00 % (1 of 2)" in by_all
    assert "- single words accepted clean at least 99 %: 0.00 % (0 of 1)" in by_the_shared
    one.wider = []
    assert "voices that it did not learn from" not in report.markdown([one])


@pytest.mark.parametrize(
    ("text", "means", "is_"),
    [
        ("пять", "5", True),
        ("пять, кулебяка", "5", True),  # a pause keeps them apart
        ("пять кулебяка", "5", False),
        ("пять кулебяка", "none", True),
        ("пять, кулебяка", "none", True),  # it is asked back
        ("пять", "none", False),
        ("опять течёт", "not_done", True),
        ("опять течёт", "none", False),
    ],
)
def test_a_text_is_understood_as_if_every_word_were_heard(text: str, means: str, is_: bool) -> None:
    assert unseen.is_understood(Phrase(text, means, means), Pack.read("ru")) is is_


def test_unseen_texts_are_said_on_two_kinds_of_line_and_none_of_them_is_of_the_test_set() -> None:
    planned = unseen.plan(["umka", "tatiana"])
    assert {clip.condition for clip in planned} == set(unseen.LINES)
    texts = {clip.spoken.phrase.text for clip in planned}
    assert len(texts) > 100
    assert texts.isdisjoint(phrase.text for phrase in clips.read_phrases())


def test_the_report_tells_texts_that_are_not_understood_from_those_that_are_misheard() -> None:
    one = measured()
    lost = unseen.LINES[1]
    one.unseen = [
        judged("5", "5", read_back=True),
        judged("5", UNSURE),
        judged("5", UNSURE, text="пять кулебяка"),
        judged("5", "4", condition=lost),
        judged("none", "5", text="опять"),
    ]
    one.readable = frozenset({"пять", "опять"})
    text = report.markdown([one])
    assert "| ratings | 2 | 1 | clean | 3 | 1 | 1 | 1 of 2 | 0 | 0 | 0 |" in text
    assert "|  |  |  | loss 5 % | 1 | 0 | 0 | 0 of 1 | 0 | 1 | 1 |" in text
    assert "| no answers | 1 | 1 | clean | 1 | 0 | 0 | 0 of 1 | 0 | 1 | 1 |" in text


def test_what_is_noticed_in_just_200_ms_is_noticed_within_them() -> None:
    one = measured()
    one.judged = [replace(judged("5", "5"), began=2.2 - 2.0)]
    assert one.judged[0].began != 0.2
    assert any(line.startswith("- met: barge-in noticed within 200 ms p95: 200 ms") for line in aims(one))


def test_the_tables_are_put_between_their_markers(tmp_path: Path) -> None:
    document = tmp_path / "speech.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.put_into(document, "new")
    assert document.read_text("utf-8") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    document.write_text("no markers", "utf-8")
    with pytest.raises(ValueError, match="markers"):
        report.put_into(document, "new")


def test_what_people_call_pictures_is_told_for_each_and_each_line() -> None:
    one = measured()
    assert "Words of people" not in report.markdown([one])
    one.named = [pictures.Named("man", CLEAN, Counter({pictures.RIGHT: 3, pictures.ANOTHER: 1}))]
    assert "| man | clean | 4 | 3 | 1 | 0 |" in report.markdown([one])
    assert report.as_json([one])["models"][0]["named"] == [
        {"who": "man", "condition": "clean", "right": 3, "another": 1, "nothing": 0}
    ]


def test_every_clip_is_in_the_json() -> None:
    figures = json.loads(json.dumps(report.as_json([measured()])))["models"][0]
    assert [clip["outcome"] for clip in figures["clips"]] == ["5", "5", "5"]
    assert [clip["wrong"] for clip in figures["clips"]] == [False, False, True]
