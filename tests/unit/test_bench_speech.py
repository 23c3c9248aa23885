from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest

from bench.speech import bargein, capacity, clips, hearing, loose, report, spoil
from bench.speech.clips import NONE, PERSON, RATINGS, Clip, Phrase, Spoken
from bench.speech.hearing import SILENCE, UNSURE, Judged
from bench.speech.judge import COLUMNS, Share, confusion, loosely, loosely_perfect
from bench.speech.paced import Load, on_the_clock
from bench.speech.spoil import CLEAN, CLIPPED_START, CONDITIONS, RATE, Background, Condition
from ivr.dialplan.understanding import Intent, Pack
from ivr.heard import Heard, Question, Word
from ivr.speech.activity import Detectors
from ivr.speech.ears import Recogniser
from ivr.speech.listener import Event, SpeechBegan
from ivr.speech.sound import Samples, as_alaw

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
    assert level(spoil.in_band(tone(1000))) == pytest.approx(level(tone(1000)), abs=0.5)
    assert level(spoil.in_band(tone(100))) < level(tone(100)) - 20


def test_a_law_comes_back_as_the_same_byte() -> None:
    line = tone(700) + tone(1900) * 0.1
    back = spoil.through_alaw(line)
    assert as_alaw(back) == as_alaw(spoil.through_alaw(back.astype(np.float32) / 32768))
    assert level(line - back.astype(np.float32) / 32768) < level(line) - 30


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
    phrases = clips.recorded(tmp_path)
    assert [(phrase.text, phrase.means) for phrase in phrases if phrase.is_rating] == [("четыре", "4")]
    assert len([phrase for phrase in phrases if phrase.means == NONE]) == 3
    assert clips.spoken(phrases[0], PERSON).voice == PERSON


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
) -> Judged:
    phrase = Phrase(text, means, means, also)
    return Judged(
        clip=Clip(Spoken(phrase, "umka"), condition),
        words=(tuple(Word(word, 0.9) for word in heard.split()),),
        outcome=outcome,
        at_once=at_once,
        confidence=0.9,
        read_back=False,
        began=0.1,
        decided=0.3,
    )


def test_a_rating_is_accepted_when_it_is_the_one_that_was_said() -> None:
    assert judged("5", "5").accepted
    assert not judged("5", "4").accepted
    assert judged("5", "4").wrong
    assert not judged("5", UNSURE).accepted
    assert not judged("5", UNSURE).wrong


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


@pytest.mark.parametrize("way", list(bargein.Way))
def test_an_echo_is_weaker_and_later_than_the_prompt(way: bargein.Way) -> None:
    prompt = spoil.at_level(tone(900, 2.0), bargein.PROMPT_LEVEL)
    returned = bargein.back(prompt, bargein.Echo(way, 20), chance())
    assert spoil.active_level(returned) == pytest.approx(bargein.PROMPT_LEVEL - 20, abs=0.5)
    assert level(returned[: int(0.005 * RATE)] + 1e-9) < -60


# the report


def measured() -> report.Measured:
    everybody = clips.voices_for(MODEL)
    ten_db = Condition("10 dB", 10.0, Background.WHITE)
    return report.Measured(
        MODEL, everybody, everybody.held_out, "1.1.2027", "2 cores",
        judged=[judged("5", "5"), judged("5", "5", condition=ten_db), judged(NONE, "5", text="опять")],
        known=frozenset({"пять"}),
        clock=load(4),
    )  # fmt: skip


def test_the_report_names_the_model_the_voices_and_what_misses_its_aim() -> None:
    text = report.markdown(measured())
    assert MODEL in text
    assert "umka" in text
    assert "For non-commercial use only" in text
    assert "**not met**: at most 1 in 200 non-answers taken for a rating: 100.00 %" in text
    assert "- met: ratings accepted clean at least 97 %" in text
    assert "«опять» umka 100/100, clean: means none, taken for 5" in text


def test_a_run_with_training_voices_says_that_it_is_no_test() -> None:
    one = measured()
    one.used = ("anna",)
    assert "Not a test" in report.markdown(one)


def test_the_tables_are_put_between_their_markers(tmp_path: Path) -> None:
    document = tmp_path / "speech.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.put_into(document, "new")
    assert document.read_text("utf-8") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    document.write_text("no markers", "utf-8")
    with pytest.raises(ValueError, match="markers"):
        report.put_into(document, "new")


def test_every_clip_is_in_the_json() -> None:
    figures = json.loads(json.dumps(report.as_json(measured())))
    assert [clip["outcome"] for clip in figures["clips"]] == ["5", "5", "5"]
    assert [clip["wrong"] for clip in figures["clips"]] == [False, False, True]
