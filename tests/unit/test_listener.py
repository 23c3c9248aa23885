from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from appliance.native import Native
from ivr.heard import UNKNOWN, Heard, Noise, Question, Reading, Word
from ivr.speech.activity import Detectors
from ivr.speech.ears import Hearing, open_ears
from ivr.speech.listener import EVENTS, Event, Listener, SpeechBegan
from tests.sounds import (
    Samples,
    frames_of,
    in_noise,
    joined,
    model,
    noise,
    silence,
    spoken,
    telephoned,
    tone,
)

# a voice of arithmetic: a detector that takes loud noise for one, ears that hear what they are told to


class LoudIsVoice:
    """Loud noise, that is; a tone, where each sample follows from the two before it, is none."""

    def process(self, window: memoryview) -> float:
        samples = np.frombuffer(window, np.float32)
        before = np.stack([samples[1:-1], samples[:-2]], axis=1)
        unexpected = samples[2:] - before @ np.linalg.lstsq(before, samples[2:])[0]
        return 0.95 if np.mean(unexpected**2) > 10 ** (-26 / 10) else 0.03

    def reset(self) -> None:
        pass


class LoudIsVoiceDetectors(Detectors):
    def lease(self) -> LoudIsVoice:  # type: ignore[override]
        self.leased += 1
        return LoudIsVoice()


@dataclass
class ToldEars:
    """Each hearing ends with the next of `says`, or the last again."""

    says: list[tuple[Word, ...]] = field(default_factory=list)
    hearings: list[ToldHearing] = field(default_factory=list)
    name: str = "told"
    rate: int = 8_000
    knows_noise: bool = False

    def listen(self, phrases: Sequence[str]) -> Hearing:
        self.hearings.append(ToldHearing(self, tuple(phrases)))
        return self.hearings[-1]

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        return ()

    def trust(self, share: float) -> float:
        return share


@dataclass
class ToldHearing:
    ears: ToldEars
    phrases: tuple[str, ...]
    pcm: bytes = b""
    is_finished: bool = False
    readings: tuple[Reading, ...] = ()

    async def feed(self, pcm: bytes) -> tuple[Word, ...]:
        assert not self.is_finished
        await asyncio.sleep(0)
        self.pcm += pcm
        return ()

    async def finish(self) -> tuple[Word, ...]:
        assert not self.is_finished
        await asyncio.sleep(0)
        self.is_finished = True
        if self.ears.says:
            return self.ears.says.pop(0) if len(self.ears.says) > 1 else self.ears.says[0]
        raise OSError("these ears are broken")


def words(text: str, confidence: float = 0.95) -> tuple[Word, ...]:
    return tuple(Word(word, confidence) for word in text.split())


RATING = Question("rating", ("три", "пять"), lambda said: bool(said) and said[-1].text in {"три", "пять"})
OTHER = words(UNKNOWN)
BYTES = 16_000
"""In a second of PCM."""


def voice(seconds: float, seed: int = 1) -> Samples:
    """Five syllables a second; without gaps between them it would be noise."""
    sound = noise(seconds, -20, seed)
    gaps = np.arange(len(sound)) / 8_000 % 0.2 > 0.15
    return np.where(gaps, sound * np.float32(0.03), sound)


def loud_seconds(pcm: bytes) -> float:
    return float(np.mean(np.abs(np.frombuffer(pcm, "<i2")) > 300)) * len(pcm) / BYTES


def about(seconds: float) -> float:
    return pytest.approx(seconds, abs=0.25)  # type: ignore[no-any-return]


@dataclass
class Call:
    """What a listener makes of a sound, each event with its moment: seconds of sound fed."""

    listener: Listener
    told: list[tuple[float, Event]] = field(default_factory=list)

    async def hear(self, *sounds: Samples, played: Samples | None = None) -> list[Event]:
        """The events that came of them."""
        before = len(self.told)
        heard = telephoned(joined(*sounds))
        beside = [*frames_of(telephoned(played))] if played is not None else []
        for at, frame in enumerate(frames_of(heard)):
            self.listener.feed(frame, beside[at] if at < len(beside) else None)
            await self.listener.caught_up()
            while not self.listener.events.empty():
                self.told.append((self.listener.now, self.listener.events.get_nowait()))
        return [event for _, event in self.told[before:]]

    def moment(self, kind: type[Event]) -> float:
        """Of the first event of that kind."""
        return next(moment for moment, event in self.told if isinstance(event, kind))

    @property
    def noises(self) -> list[Noise]:
        return [event for _, event in self.told if isinstance(event, Noise)]

    @property
    def texts(self) -> list[str]:
        return [event.text for _, event in self.told if isinstance(event, Heard)]


Start = Callable[..., Call]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a call with these ears, asked this question; afterwards its detector is given back."""
    detectors, calls = LoudIsVoiceDetectors(ready=0), []

    def start(ears: ToldEars | None = None, question: Question | None = RATING) -> Call:
        calls.append(Call(Listener(ears, detectors)))
        calls[-1].listener.expect(question)
        return calls[-1]

    yield start
    for call in calls:
        await call.listener.aclose()
    assert detectors.leased == 0


async def test_silence_tells_nothing(start: Start) -> None:
    call = start(ToldEars())
    assert await call.hear(silence(20)) == []
    assert call.listener.silence == pytest.approx(20)
    assert call.listener.voiced == 0


async def test_speech_begins_at_once(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    await call.hear(silence(2), voice(0.5))
    assert call.moment(SpeechBegan) == pytest.approx(2.05, abs=0.03)
    assert call.listener.silence < 0.05
    assert call.listener.voiced == pytest.approx(0.5, abs=0.05)


async def test_an_answer_ends_after_a_quarter_of_a_second(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    assert await call.hear(silence(2), voice(0.5), silence(2)) == [
        SpeechBegan(),
        Heard(words("три"), about(0.5)),
    ]
    assert call.moment(Heard) == pytest.approx(2.5 + 0.25, abs=0.05)


async def test_what_was_said_is_known_before_it_is_over(start: Start) -> None:
    ears = ToldEars([words("три")])
    call = start(ears)
    await call.hear(silence(2), voice(0.5), silence(0.2))
    assert [hearing.is_finished for hearing in ears.hearings] == [True]
    assert call.texts == []
    await call.hear(silence(0.2))
    assert call.texts == ["три"]
    assert len(ears.hearings) == 1


async def test_who_sounds_unfinished_is_given_time_to_go_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened: list[bytes] = []
    monkeypatch.setattr("ivr.speech.listener.has_fallen", lambda pcm: bool(listened.append(pcm)))
    call = start(ToldEars([words("три")]))
    await call.hear(silence(2), voice(0.5), silence(2))
    assert call.texts == ["три"]
    assert call.moment(Heard) == pytest.approx(2.5 + 0.42, abs=0.05)
    (pcm,) = listened
    assert len(pcm) / BYTES == pytest.approx(0.5 + 0.04 + 0.1, abs=0.06)


@pytest.mark.parametrize("falls", [False, True])
async def test_a_correction_after_a_pause_is_one_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch, falls: bool
) -> None:
    monkeypatch.setattr("ivr.speech.listener.has_fallen", lambda _: falls)
    ears = ToldEars([words("три"), words("три нет пять")])
    call = start(ears)
    await call.hear(silence(1), voice(0.5), silence(0.34), voice(0.7), silence(1))
    assert call.texts == (["три", "три нет пять"] if falls else ["три нет пять"])
    *_, whole = [event for _, event in call.told if isinstance(event, Heard)]
    assert whole == Heard(words("три нет пять"), about(1.54), amends=falls)
    assert len(ears.hearings[-1].pcm) / BYTES == pytest.approx(1.54 + 0.54, abs=0.06)
    assert loud_seconds(ears.hearings[-1].pcm) == pytest.approx(1.0, abs=0.2)


async def test_who_goes_on_again_and_again_is_heard_from_her_first_word(start: Start) -> None:
    call = start(ToldEars([words("три"), words("три три"), words("три три три")]))
    await call.hear(silence(1), *[voice(0.5), silence(0.34)] * 3, silence(1))
    assert call.texts == ["три", "три три", "три три три"]
    assert call.told[-1][1] == Heard(words("три три три"), about(2.2), amends=True)


async def test_what_is_no_answer_yet_is_given_half_a_second(start: Start) -> None:
    call = start(ToldEars([words("ставлю")]))
    await call.hear(silence(2), voice(0.5), silence(2))
    assert call.texts == ["ставлю"]
    assert call.moment(Heard) == pytest.approx(2.5 + 0.5, abs=0.05)


async def test_in_noise_a_pause_must_be_a_little_longer(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    await call.hear(noise(4, -30, seed=7), noise(0.5, -20), noise(2, -30, seed=8))
    assert call.moment(Heard) > 4.5 + 0.34


@pytest.mark.parametrize(("knows_noise", "as_it_came"), [(True, True), (False, False)])
async def test_steady_noise_is_taken_out_for_a_model_that_does_not_know_it(
    start: Start, knows_noise: bool, as_it_came: bool
) -> None:
    ears = ToldEars([words("три")], knows_noise=knows_noise)
    call = start(ears)
    sound = joined(noise(4, -30, seed=7), noise(0.5, -20), noise(2, -30, seed=8))
    await call.hear(sound)
    heard = ears.hearings[-1].pcm
    middle = heard[len(heard) // 2 - 800 : len(heard) // 2 + 800]
    assert (middle in b"".join(frames_of(telephoned(sound)))) is as_it_came


async def test_who_speaks_over_talk_behind_her_is_heard_alone(start: Start) -> None:
    ears = ToldEars([words("три")])
    call = start(ears)
    talk, near = voice(3, seed=2), voice(0.5) * np.float32(5)
    await call.hear(silence(1), talk[: 8_000 * 3 // 2], near, talk)
    (moment, heard), *_ = [(moment, event) for moment, event in call.told if isinstance(event, Heard)]
    assert heard == Heard(words("три"), about(0.5), over_talk=True)
    assert not any(event.amends for _, event in call.told if isinstance(event, Heard))
    assert moment == pytest.approx(1 + 1.5 + 0.5 + 0.3, abs=0.1)
    assert loud_seconds(ears.hearings[0].pcm) == pytest.approx(0.5, abs=0.2)


async def test_talk_behind_her_does_not_make_her_answer_long(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    talk, near = voice(9, seed=2), voice(0.5) * np.float32(5)
    await call.hear(silence(1), talk, near, talk[:16_000])
    moment, heard = next((moment, event) for moment, event in call.told if isinstance(event, Heard))
    assert heard == Heard(words("три"), about(0.5), over_talk=True)
    assert moment == pytest.approx(1 + 9 + 0.5 + 0.3, abs=0.1)


async def test_one_loud_moment_is_nobody_nearer(start: Start) -> None:
    ears = ToldEars([words("пять не поставлю")])
    call = start(ears)
    said = voice(1.5, seed=2)
    said[8_000:8_500] *= np.float32(6)
    await call.hear(silence(1), said, silence(1))
    assert call.told[-1][1] == Heard(words("пять не поставлю"), about(1.5))


async def test_who_begins_softly_is_heard_from_her_beginning(start: Start) -> None:
    ears = ToldEars([words("ну три")])
    call = start(ears)
    await call.hear(silence(1), voice(0.35), voice(0.5, seed=2) * np.float32(5), silence(1))
    assert call.told[-1][1] == Heard(words("ну три"), about(0.85))


async def test_who_goes_on_after_a_pause_is_heard_whole(start: Start) -> None:
    ears = ToldEars([words("ставлю"), words("ставлю три")])
    call = start(ears)
    await call.hear(silence(1), voice(0.5), silence(0.36), voice(0.5), silence(1))
    assert call.texts == ["ставлю три"]
    first, second = ears.hearings
    assert loud_seconds(first.pcm) == about(0.4)
    assert loud_seconds(second.pcm) == about(0.8)


async def test_who_goes_on_is_listened_to_as_before_whatever_is_asked_by_then(start: Start) -> None:
    ears = ToldEars([words("три"), words("три пять")])
    call = start(ears)
    await call.hear(silence(1), voice(0.5), silence(0.3))
    call.listener.expect(Question("thanks", ("да", "нет")))
    await call.hear(voice(0.5), silence(1))
    assert call.texts == ["три", "три пять"]
    assert [hearing.phrases for hearing in ears.hearings] == [RATING.phrases] * 2


async def test_ears_that_fail_when_she_goes_on_leave_her_answer_as_it_was(start: Start) -> None:
    ears = ToldEars([words("три")])
    call = start(ears)
    await call.hear(silence(1), voice(0.5), silence(0.3))
    ears.says.clear()
    await call.hear(voice(0.5), silence(1))
    assert [event for _, event in call.told if isinstance(event, Heard)] == [
        Heard(words("три"), about(0.5)), Heard((Word(UNKNOWN, 0.0),), about(1.3)),
    ]  # fmt: skip


async def test_two_answers_are_two(start: Start) -> None:
    call = start(ToldEars([words("три"), words("пять")]))
    await call.hear(silence(1), voice(0.5), silence(0.6), voice(0.5), silence(1))
    assert [event for _, event in call.told] == [
        SpeechBegan(), Heard(words("три"), about(0.5)), SpeechBegan(), Heard(words("пять"), about(0.5)),
    ]  # fmt: skip


async def test_the_ears_get_the_whole_of_it_and_hardly_more(start: Start) -> None:
    ears = ToldEars([words("три")])
    await start(ears).hear(silence(2), voice(0.5), silence(1))
    (hearing,) = ears.hearings
    assert loud_seconds(hearing.pcm) == pytest.approx(loud_seconds(telephoned(voice(0.5))), abs=0.03)
    assert len(hearing.pcm) / BYTES < 0.5 + 0.6
    assert hearing.phrases == RATING.phrases


@pytest.mark.parametrize("before", [None, Question("before", ("нет",))])
async def test_a_question_put_while_she_speaks_is_listened_for_from_her_first_word(
    start: Start, before: Question | None
) -> None:
    ears = ToldEars([words("три")])
    call = start(ears, before)
    await call.hear(silence(1), voice(0.3))
    call.listener.expect(RATING)
    await call.hear(voice(0.3, seed=2), silence(1))
    assert call.texts == ["три"]
    assert ears.hearings[-1].phrases == RATING.phrases
    assert loud_seconds(ears.hearings[-1].pcm) == about(0.5)


async def test_without_a_question_it_is_only_told_that_somebody_spoke(start: Start) -> None:
    ears = ToldEars()
    call = start(ears, None)
    await call.hear(silence(1), voice(0.5), silence(1))
    assert call.texts == [UNKNOWN]
    assert not ears.hearings


async def test_without_ears_it_is_as_well(start: Start) -> None:
    call = start(None)
    assert await call.hear(silence(1), voice(0.5), silence(1)) == [
        SpeechBegan(),
        Heard((Word(UNKNOWN, 0.0),), about(0.5)),
    ]


async def test_ears_that_hear_no_word_have_heard_something(start: Start) -> None:
    call = start(ToldEars([()]))
    await call.hear(silence(1), voice(0.5), silence(1))
    assert call.texts == [UNKNOWN]


async def test_broken_ears_do_not_break_the_call(start: Start) -> None:
    ears = ToldEars()
    call = start(ears)
    await call.hear(silence(1), voice(0.5), silence(1))
    ears.says = [words("три")]
    await call.hear(voice(0.5), silence(1))
    assert call.texts == [UNKNOWN, "три"]


async def test_who_does_not_stop_is_stopped_after_twelve_seconds(start: Start) -> None:
    call = start(ToldEars([words("три нет", 0.9)]))
    assert await call.hear(silence(3), voice(14), silence(1)) == [
        SpeechBegan(),
        Heard(words("три нет", 0.9), about(12.0)),
        SpeechBegan(),
        Heard(words("три нет", 0.9), about(2.0)),
    ]


async def test_events_nobody_takes_are_bounded(start: Start) -> None:
    listener = start(None).listener
    for frame in frames_of(telephoned(joined(*[voice(0.1), silence(0.6)] * EVENTS))):
        listener.feed(frame)
        await listener.caught_up()
    assert listener.events.qsize() == EVENTS


async def test_a_call_that_ends_in_the_middle_of_a_word_leaves_nothing(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    await call.hear(silence(1), voice(0.5))
    await call.listener.aclose()
    assert len(asyncio.all_tasks()) == 1


# nobody there


async def test_who_talks_for_four_seconds_from_picking_up_is_a_machine(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.8), voice(2), silence(0.4), voice(4), silence(1))
    assert call.told[1][1] is Noise.MACHINE
    assert call.told[1][0] == pytest.approx(4.9, abs=0.1)
    assert [event for _, event in call.told].count(Noise.MACHINE) == 1


async def test_a_machine_that_talks_on_is_told_once_and_floods_nobody(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.8), voice(20), silence(1))
    assert call.noises == [Noise.MACHINE]
    assert [type(event) for _, event in call.told].count(SpeechBegan) < 5


async def test_a_machine_is_known_without_ears(start: Start) -> None:
    call = start(None)
    assert Noise.MACHINE in await call.hear(silence(0.8), voice(6), silence(1))


async def test_who_pauses_is_a_person(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.8), voice(3), silence(0.8), voice(3), silence(1))
    assert call.texts == [UNKNOWN, UNKNOWN]
    assert call.noises == []


async def test_who_says_what_is_listened_for_is_a_person(start: Start) -> None:
    call = start(ToldEars([(*OTHER, *words("ставлю три"))]))
    await call.hear(silence(0.8), voice(6), silence(1))
    assert call.texts == [f"{UNKNOWN} ставлю три"]
    assert call.noises == []


async def test_a_word_among_many_does_not_make_a_person(start: Start) -> None:
    call = start(ToldEars([(*OTHER, *words("нет"), *OTHER)]))
    assert Noise.MACHINE in await call.hear(silence(0.8), voice(6), silence(1))


async def test_who_has_listened_first_is_a_person_however_long_he_talks(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(3), voice(8), silence(1))
    assert call.texts == [UNKNOWN]
    assert call.noises == []


async def test_who_said_hello_and_then_talks_is_given_six_seconds(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.8), voice(0.5), silence(1), voice(5), silence(1))
    assert call.texts == [UNKNOWN, UNKNOWN]
    call = start(ToldEars([OTHER]))
    assert Noise.MACHINE in await call.hear(silence(0.8), voice(0.5), silence(1), voice(7), silence(1))


async def test_a_beep_after_a_greeting_is_a_machines(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.5), voice(2), silence(0.6), tone(1000, 0.3), silence(0.5))
    assert [event for _, event in call.told] == [SpeechBegan(), Heard(OTHER, about(2)), Noise.MACHINE]


async def test_a_microwave_oven_is_none(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.5), voice(0.5), silence(1), tone(2000, 0.5), silence(1))
    assert call.texts == [UNKNOWN]
    assert call.noises == []


async def test_nor_is_it_after_an_answer(start: Start) -> None:
    call = start(ToldEars([words("три")]))
    await call.hear(silence(0.5), voice(2), silence(1), tone(2000, 0.5), silence(1))
    assert call.texts == ["три"]
    assert call.noises == []


async def test_our_own_tone_coming_back_is_nobodys(start: Start) -> None:
    call = start(ToldEars([OTHER]))
    await call.hear(silence(0.5), voice(2), silence(1))
    played = joined(silence(0.2), tone(440, 0.3), silence(1))
    came = joined(silence(0.25), tone(440, 0.3, -40), silence(0.95))
    assert await call.hear(came, played=played) == []


@pytest.mark.parametrize(
    ("sound", "is_told"),
    [
        (tone(1100, 0.5), Noise.FAX),
        (tone(425, 1), Noise.TONE),
        (joined(*[tone(425, 0.35), silence(0.35)] * 3), Noise.TONE),
    ],
)
async def test_fax_and_network_tones_are_told_once_and_are_no_speech(
    start: Start, sound: Samples, is_told: Noise
) -> None:
    call = start(ToldEars())
    assert await call.hear(silence(1), sound, silence(2), sound, silence(1)) == [is_told]


# the real thing


@pytest.fixture
async def real() -> AsyncIterator[Call]:
    """A call with the real detector, without ears."""
    call = Call(Listener(None, Detectors()))
    yield call
    await call.listener.aclose()


@pytest.mark.parametrize("voice_name", ["tatiana", "timofey", "umka", "yuriy"])
@pytest.mark.parametrize("text", ["пять", "опять течёт"])
async def test_a_voice_is_noticed_within_a_fifth_of_a_second(
    native: Native, real: Call, voice_name: str, text: str
) -> None:
    speech = await asyncio.to_thread(spoken, native, text, voice_name)
    audible = np.flatnonzero(np.abs(speech) > 0.01) / 8_000
    await real.hear(in_noise(joined(silence(2), speech, silence(1.2)), 25))
    assert real.texts == [UNKNOWN]
    assert real.moment(SpeechBegan) - 2 - audible[0] < 0.2
    assert 0.3 < real.moment(Heard) - 2 - audible[-1] < 0.7


async def test_our_own_prompt_coming_back_begins_no_speech(native: Native, real: Call) -> None:
    prompt = await asyncio.to_thread(spoken, native, "Скажите, как вы оцениваете работу мастера?", "anna")
    played = joined(silence(0.5), prompt, silence(1.5))
    echo = (joined(silence(0.56), prompt, silence(1.44)) * 0.15).astype(np.float32)
    assert await real.hear(in_noise(echo, 30), played=played) == []


async def test_who_speaks_over_the_prompt_is_noticed(native: Native, real: Call) -> None:
    prompt = await asyncio.to_thread(spoken, native, "Скажите, как вы оцениваете работу мастера?", "anna")
    person = await asyncio.to_thread(spoken, native, "четыре", "yuriy")
    played = joined(silence(0.5), prompt)
    echo = joined(silence(0.56), prompt)[: len(played)] * 0.1
    both = echo.copy()
    both[12_000 : 12_000 + len(person)] += person
    await real.hear(both.astype(np.float32), played=played)
    assert 1.5 < real.moment(SpeechBegan) < 1.5 + 0.35


async def test_speech_that_goes_on_and_ends_while_the_ears_are_at_its_first_half_is_heard_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is so busy that they take longer than the rest of it lasts."""
    busy, ears = asyncio.Event(), ToldEars([words("три"), words("три нет пять")])
    told = ToldHearing.finish

    async def finish(hearing: ToldHearing) -> tuple[Word, ...]:
        if hearing is ears.hearings[0]:
            await busy.wait()
        return await told(hearing)

    monkeypatch.setattr(ToldHearing, "finish", finish)
    call = start(ears)
    for frame in frames_of(
        telephoned(joined(silence(1), voice(0.5), silence(0.2), voice(0.7), silence(0.6)))
    ):
        call.listener.feed(frame)
        await asyncio.sleep(0)
    busy.set()
    await call.listener.caught_up()
    heard = [call.listener.events.get_nowait() for _ in range(call.listener.events.qsize())]
    assert [event.text for event in heard if isinstance(event, Heard)] == ["три нет пять"]


@pytest.mark.parametrize(("sounds_over", "within"), [(True, 0.35), (False, 0.49)])
async def test_an_answer_is_understood_soon_after_its_end(
    native: Native, monkeypatch: pytest.MonkeyPatch, sounds_over: bool, within: float
) -> None:
    monkeypatch.setattr("ivr.speech.listener.has_fallen", lambda _: sounds_over)
    ears = await asyncio.to_thread(open_ears, model())
    asked = Question(
        "rating",
        ("один", "два", "три", "четыре", "пять"),
        lambda said: all(word.text != UNKNOWN for word in said),
    )
    call = Call(Listener(ears, Detectors()))
    call.listener.expect(asked)
    speech = await asyncio.to_thread(spoken, native, "четыре")
    ends = np.flatnonzero(np.abs(speech) > 0.01)[-1] / 8_000
    await call.hear(silence(1), speech, silence(1))
    assert call.texts == ["четыре"]
    assert call.moment(Heard) - 1 - ends < within
    heard = call.told[-1][1]
    assert isinstance(heard, Heard)
    assert heard.pitch == pytest.approx(185, abs=30)
    await call.listener.aclose()
    ears.close()
