"""What every `ListeningLine` does, whoever carries it: the fake one of the unit tests and the real one.

A test gives a script of what the resident does and a conversation; the rig runs both against each other. The real
line speaks AudioSocket to a peer that plays Asterisk and the resident, in real time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from demo.sound import to_wav, tone
from ivr.asterisk.audiosocket import AudioServer
from ivr.asterisk.listening import AudioLine
from ivr.call import Fact, Kind
from ivr.errors import HungUp
from ivr.heard import Comment, Heard, Key, Noise, Question
from ivr.line import ListeningLine
from tests.fake_listening import (
    TONE,
    Act,
    FakeAsterisk,
    FakeEar,
    FakeListeningLine,
    Gone,
    hangs_up,
    is_noise,
    presses,
    says,
)
from tests.fakes import NOON

LASTS = {"greeting": 0.6, "notice": 0.6, "question": 0.6, "word": 0.1}
"""Every prompt the conversations may say, and its length in seconds."""
RATING = Question("rating", ("пять", "четыре"))
SLACK = 0.15
"""Seconds the real line may be late on a busy machine."""

Conversation = Callable[[ListeningLine], Awaitable[Any]]


@dataclass
class Seen:
    """What came of a conversation."""

    result: Any = None
    hung_up: bool = False
    notes: list[tuple[Kind, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    """How long the conversation took."""
    comment: Comment | None = None

    @property
    def said(self) -> list[str]:
        return [detail["prompt"] for kind, detail in self.notes if kind is Kind.PROMPT]

    @property
    def pressed(self) -> list[str]:
        return [detail["key"] for kind, detail in self.notes if kind is Kind.KEY]

    @property
    def heard(self) -> list[str]:
        return [detail["text"] for kind, detail in self.notes if kind is Kind.HEARD]

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind, _ in self.notes]


class Rig(Protocol):
    async def __call__(self, conversation: Conversation, *acts: Act, hears: bool = True) -> Seen: ...


async def fake(conversation: Conversation, *acts: Act, hears: bool = True) -> Seen:
    line, seen = FakeListeningLine(*acts, lasts=LASTS, hears=hears), Seen()
    try:
        seen.result = await conversation(line)
    except HungUp:
        seen.hung_up = True
    seen.notes, seen.seconds = line.notes, (line.clock() - NOON).total_seconds()
    seen.comment = line.comment
    return seen


# -- the real one


class Talks:
    """The door, and who dials in to have one conversation after another."""

    def __init__(self, door: AudioServer, folder: Path) -> None:
        self.door, self.folder = door, folder
        self.prompts = {name: folder / name for name in LASTS}
        self.acting: set[asyncio.Task[None]] = set()
        for name, seconds in LASTS.items():
            to_wav(tone(440, seconds), folder / f"{name}.wav")

    async def __call__(self, conversation: Conversation, *acts: Act, hears: bool = True) -> Seen:
        uuid, seen, ear = uuid4(), Seen(), FakeEar()
        expected = self.door.expect(uuid, within=5)
        async with FakeAsterisk(self.door.port) as peer:
            peer.calls(uuid)

            def take(fact: Fact) -> None:
                seen.notes.append((fact.kind, dict(fact.detail)))
                if fact.kind is Kind.PROMPT:
                    self._look(acts, fact.detail["prompt"], seen.said, peer, ear)

            line = AudioLine(
                await expected, ear, self.prompts, take, lambda: datetime.now(UTC),
                call="dozvon-1", comment=self.folder / "comment.wav", hears=hears,
            )  # fmt: skip
            async with line, asyncio.timeout(20):
                began = asyncio.get_running_loop().time()
                try:
                    seen.result = await conversation(line)
                except HungUp:
                    seen.hung_up = True
                seen.seconds = asyncio.get_running_loop().time() - began
            seen.comment = line.comment
            await asyncio.gather(*self.acting)
        assert ear.is_closed
        return seen

    def _look(
        self, acts: tuple[Act, ...], prompt: str, said: list[str], peer: FakeAsterisk, ear: FakeEar
    ) -> None:
        """The tone is no prompt of the timeline: it follows the prompt that asks for the comment."""
        for act in acts:
            is_due = (act.prompt, act.nth) == (prompt, said.count(prompt))
            after = act.after
            if act.prompt == TONE:
                is_due, after = prompt == "notice", after + LASTS["notice"]
            if is_due:
                task = asyncio.create_task(_do(act, after, peer, ear))
                self.acting.add(task)
                task.add_done_callback(self.acting.discard)


async def _do(act: Act, after: float, peer: FakeAsterisk, ear: FakeEar) -> None:
    await asyncio.sleep(after)  # the resident's own pace, part of the script
    match act.what:
        case Key(digit):
            peer.presses(digit)
        case Heard() as what:
            peer.says(what.text, what.seconds)
        case Noise() as noise:
            ear.events.put_nowait(noise)
        case Gone():
            await peer.hangs_up()


@pytest.fixture(params=["fake", "real"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield fake
        return
    async with AudioServer("127.0.0.1", 0) as door:
        yield Talks(door, tmp_path)


def asks(*prompts: str, wait: float = 3.0, barge_in: bool = True) -> Conversation:
    return lambda line: line.ask(*prompts, question=RATING, wait=wait, barge_in=barge_in)


def text(answer: object) -> str:
    assert isinstance(answer, Heard)
    return answer.text


# -- the contract


async def test_prompts_are_said_in_their_order(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> None:
        await line.say("word", "greeting")
        await line.say("word")

    seen = await rig(conversation)
    assert seen.said == ["word", "greeting", "word"]
    assert seen.seconds == pytest.approx(0.8, abs=SLACK)


async def test_a_word_said_during_the_prompt_is_the_answer(rig: Rig) -> None:
    seen = await rig(asks("question"), says("пять", during="question"))
    assert text(seen.result) == "пять"
    assert seen.heard == ["пять"]


async def test_a_word_said_after_the_prompt_is_the_answer(rig: Rig) -> None:
    seen = await rig(asks("question"), says("пять", during="question", after=1.2))
    assert text(seen.result) == "пять"


async def test_who_has_gone_on_before_she_is_listened_to_has_answered_the_whole(rig: Rig) -> None:
    seen = await rig(
        asks("greeting", "notice", "question", "word", "greeting", barge_in=False),
        says("четыре", during="greeting", after=0.2),
        says("четыре пять", during="notice", after=0.35, amends=True),
    )
    assert text(seen.result) == "четыре пять"
    assert seen.heard == ["четыре", "четыре пять"]


async def test_what_came_after_an_answer_does_not_come_back_when_it_is_gone_on_from(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> list[Any]:
        first = await asks("greeting", "notice", "question", barge_in=False)(line)
        return [first, await asks("greeting", wait=0.1)(line)]

    seen = await rig(
        conversation,
        says("алло", during="greeting", after=0.1),
        says("четыре", during="notice", after=0.4),
        says("четыре пять", during="greeting", nth=2, after=0.02, amends=True),
    )
    first, second = seen.result
    assert (text(first), second) == ("алло", None)


async def test_what_did_not_count_does_not_count_because_she_goes_on(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await line.say("greeting", barge_in=False)
        return await asks("notice", "question", wait=0.1)(line)

    seen = await rig(
        conversation,
        says("четыре", during="greeting", after=0.1),
        says("четыре пять", during="notice", after=0.25, amends=True),
    )
    assert seen.result is None
    assert seen.heard == ["четыре", "четыре пять"]


async def test_a_key_is_the_answer_at_once(rig: Rig) -> None:
    seen = await rig(asks("question"), presses("4", during="question", after=0.2))
    assert seen.result == Key("4")
    assert seen.notes == [(Kind.PROMPT, {"prompt": "question"}), (Kind.KEY, {"key": "4"})]
    assert seen.seconds < 0.5


@pytest.mark.parametrize("key", "0*#9")
async def test_every_kind_of_key_is_a_key(rig: Rig, key: str) -> None:
    seen = await rig(asks("word"), presses(key, during="word", after=0.05))
    assert seen.result == Key(key)


async def test_silence_is_an_answer_and_is_noted(rig: Rig) -> None:
    seen = await rig(asks("word", wait=0.3))
    assert seen.result is None
    assert seen.kinds == [Kind.PROMPT, Kind.SILENCE]
    assert seen.seconds == pytest.approx(0.4, abs=SLACK)


async def test_after_silence_the_next_question_is_heard(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> list[Any]:
        return [await asks("word", wait=0.2)(line), await asks("question")(line)]

    seen = await rig(conversation, says("пять", during="question"))
    assert seen.result[0] is None
    assert text(seen.result[1]) == "пять"


async def test_speech_begun_within_the_wait_is_waited_for_to_its_end(rig: Rig) -> None:
    long_words = says("пять с плюсом и спасибо", during="word", after=0.4)
    seen = await rig(asks("word", wait=0.6), long_words)
    assert text(seen.result) == "пять с плюсом и спасибо"
    assert seen.seconds > 2


async def test_speech_begun_after_the_wait_is_too_late(rig: Rig) -> None:
    seen = await rig(asks("word", wait=0.3), says("пять", during="word", after=1.0))
    assert seen.result is None


@pytest.mark.parametrize("act", [says("алло", during="greeting"), presses("1", during="greeting")])
async def test_speech_and_keys_end_the_prompt_and_pass_over_the_next(rig: Rig, act: Act) -> None:
    async def conversation(line: ListeningLine) -> None:
        await line.say("greeting", "word")

    seen = await rig(conversation, act)
    assert seen.said == ["greeting"]
    assert seen.seconds < 0.3 + SLACK + 0.06


async def test_what_is_said_during_a_greeting_answers_the_question(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await line.say("greeting", "word")
        return await asks("question")(line)

    seen = await rig(conversation, says("пять", during="greeting"))
    assert text(seen.result) == "пять"
    assert seen.said == ["greeting"]


async def test_what_is_said_under_a_prompt_without_barge_in_is_no_answer(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await line.say("notice", barge_in=False)
        return await asks("word", wait=1.0)(line)

    seen = await rig(conversation, says("алло", during="notice", after=0.1))
    assert seen.result is None
    assert seen.said == ["notice", "word"]
    assert seen.heard == ["алло"], "the timeline still knows it"


async def test_a_key_pressed_under_a_prompt_without_barge_in_waits_for_the_question(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await line.say("notice", barge_in=False)
        return await asks("question")(line)

    seen = await rig(conversation, presses("5", during="notice", after=0.1))
    assert seen.result == Key("5")
    assert seen.said == ["notice"]
    assert seen.seconds == pytest.approx(0.6, abs=SLACK)


async def test_a_prompt_without_barge_in_is_said_even_while_a_key_waits(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await line.say("greeting")
        await line.say("notice", barge_in=False)
        return await asks("question")(line)

    seen = await rig(conversation, presses("1", during="greeting"))
    assert seen.result == Key("1")
    assert seen.said == ["greeting", "notice"]


async def test_a_question_without_barge_in_is_asked_to_its_end_and_hears_meanwhile(rig: Rig) -> None:
    seen = await rig(asks("greeting", "question", barge_in=False), says("пять", during="greeting", after=0.1))
    assert text(seen.result) == "пять"
    assert seen.said == ["greeting", "question"]
    assert seen.seconds == pytest.approx(1.2, abs=SLACK)


async def test_of_two_keys_the_first_counts_and_the_second_is_no_answer_to_what_follows(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> list[Any]:
        await line.say("notice", barge_in=False)
        return [await asks("word")(line), await asks("word", wait=0.3)(line)]

    twice = presses("1", during="notice", after=0.1), presses("2", during="notice", after=0.3)
    seen = await rig(conversation, *twice)
    assert seen.result == [Key("1"), None]
    assert seen.pressed == ["1", "2"]


async def test_who_presses_a_key_while_speaking_has_answered_once(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> list[Any]:
        return [await asks("question")(line), await asks("word", wait=1.0)(line)]

    acts = says("четыре", during="question", after=0.1), presses("4", during="question", after=0.3)
    seen = await rig(conversation, *acts)
    assert seen.result == [Key("4"), None]


async def test_a_machine_is_an_answer(rig: Rig) -> None:
    seen = await rig(asks("question"), is_noise(Noise.MACHINE, during="question"))
    assert seen.result is Noise.MACHINE
    assert seen.notes[1] == (Kind.NOISE, {"noise": "machine"})


async def test_without_ears_speech_neither_answers_nor_ends_a_prompt(rig: Rig) -> None:
    seen = await rig(asks("question", wait=0.3), says("пять", during="question", after=0.1), hears=False)
    assert seen.result is None
    assert seen.seconds == pytest.approx(0.9, abs=SLACK)
    assert seen.heard == []


async def test_without_ears_keys_are_answers(rig: Rig) -> None:
    seen = await rig(asks("question"), presses("5", during="question"), hears=False)
    assert seen.result == Key("5")


@pytest.mark.parametrize("hears", [True, False])
async def test_the_line_says_whether_it_hears(rig: Rig, hears: bool) -> None:
    async def conversation(line: ListeningLine) -> bool:
        return line.hears

    assert (await rig(conversation, hears=hears)).result is hears


@pytest.mark.parametrize("barge_in", [True, False])
async def test_hanging_up_during_a_prompt_ends_the_conversation(rig: Rig, barge_in: bool) -> None:
    async def conversation(line: ListeningLine) -> None:
        await line.say("greeting", barge_in=barge_in)
        await line.say("word")

    seen = await rig(conversation, hangs_up(during="greeting"))
    assert seen.hung_up
    assert seen.said == ["greeting"]


async def test_hanging_up_while_an_answer_is_awaited_is_not_silence(rig: Rig) -> None:
    seen = await rig(asks("word"), hangs_up(during="word", after=0.4))
    assert seen.hung_up
    assert Kind.SILENCE not in seen.kinds


async def test_who_answers_and_hangs_up_has_answered(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        answer = await asks("question")(line)
        line.note(Kind.SAID, text=text(answer))
        await line.say("word")

    acts = says("пять", during="question", after=0.2), hangs_up(during="question", after=0.5)
    seen = await rig(conversation, *acts)
    assert seen.hung_up
    assert seen.notes[-1] == (Kind.SAID, {"text": "пять"})


async def test_whoever_has_hung_up_stays_gone(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> None:
        try:
            await line.say("greeting")
        except HungUp:
            await asks()(line)

    assert (await rig(conversation, hangs_up(during="greeting"))).hung_up


async def test_a_note_is_written_between_what_is_said_and_pressed(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> None:
        key = await asks("question")(line)
        line.note(Kind.SAID, rating=4)
        await line.say("word")
        assert key

    seen = await rig(conversation, presses("4", during="question"))
    assert seen.kinds == [Kind.PROMPT, Kind.KEY, Kind.SAID, Kind.PROMPT]
    assert seen.notes[2][1] == {"rating": 4}


# -- comments


def records(*, wait: float = 0.8, at_most: float = 10.0) -> Conversation:
    return lambda line: line.record("notice", wait=wait, at_most=at_most)


async def test_what_is_said_after_the_tone_is_a_comment(rig: Rig) -> None:
    seen = await rig(records(), says("опять течёт", during=TONE, after=0.4))
    assert isinstance(seen.result, Comment)
    assert seen.result.voiced == pytest.approx(0.8, abs=0.1)
    assert seen.result.seconds > seen.result.voiced
    assert seen.result.transcript is not None
    assert seen.result.transcript.text == "опять течёт"
    assert seen.said == ["notice"]
    assert seen.comment == seen.result


async def test_two_sentences_are_one_comment(rig: Rig) -> None:
    acts = says("опять течёт", during=TONE, after=0.3), says("третий день", during=TONE, after=1.7)
    seen = await rig(records(), *acts)
    assert seen.result.transcript.text == "опять течёт третий день"


async def test_silence_after_the_tone_is_no_comment(rig: Rig) -> None:
    seen = await rig(records(wait=0.4))
    assert seen.result is None
    assert seen.seconds == pytest.approx(0.6 + 0.2 + 0.4, abs=SLACK)


async def test_the_hash_key_ends_a_comment(rig: Rig) -> None:
    acts = says("опять течёт", during=TONE, after=0.3), presses("#", during=TONE, after=1.6)
    seen = await rig(records(wait=5), *acts)
    assert seen.result.transcript.text == "опять течёт"
    assert seen.seconds < 3


async def test_the_last_word_before_the_hash_key_is_heard_out(rig: Rig) -> None:
    acts = says("опять течёт", during=TONE, after=0.3), presses("#", during=TONE, after=1.15)
    seen = await rig(records(wait=5), *acts)
    assert seen.result.transcript.text == "опять течёт"


async def test_another_key_does_not_end_a_comment(rig: Rig) -> None:
    acts = says("опять течёт", during=TONE, after=0.5), presses("1", during=TONE, after=0.3)
    seen = await rig(records(), *acts)
    assert seen.result.transcript.text == "опять течёт"


async def test_a_comment_lasts_at_most_so_long(rig: Rig) -> None:
    endless = says("раз два три четыре пять шесть семь восемь", during=TONE, after=0.2)
    seen = await rig(records(at_most=1.0), endless)
    assert seen.seconds < 0.6 + 0.2 + 1.0 + 1.0 + SLACK
    assert seen.result.voiced > 0.5


async def test_a_hang_up_keeps_what_was_said(rig: Rig) -> None:
    acts = says("опять течёт", during=TONE, after=0.3), hangs_up(during=TONE, after=1.0)
    seen = await rig(records(), *acts)
    assert seen.hung_up
    assert seen.comment is not None
    assert seen.comment.transcript is not None
    assert seen.comment.transcript.text == "опять течёт"


async def test_a_hang_up_before_a_word_keeps_nothing(rig: Rig) -> None:
    seen = await rig(records(), hangs_up(during=TONE, after=0.4))
    assert seen.hung_up
    assert seen.comment is None


async def test_without_ears_a_comment_has_no_transcript(rig: Rig) -> None:
    seen = await rig(records(), says("опять течёт", during=TONE, after=0.4), hears=False)
    assert seen.result.transcript is None
    assert seen.result.voiced > 0.5


async def test_what_was_said_in_a_comment_answers_no_question(rig: Rig) -> None:
    async def conversation(line: ListeningLine) -> Any:
        await records()(line)
        return await asks("word", wait=0.3)(line)

    acts = says("опять течёт", during=TONE, after=0.3), presses("3", during=TONE, after=0.4)
    assert (await rig(conversation, *acts)).result is None
