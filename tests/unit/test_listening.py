"""The line that listens: how it keeps time, how it falls silent, what it writes down."""

from __future__ import annotations

import array
import asyncio
import logging
import math
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from demo import sound
from ivr.asterisk import listening
from ivr.asterisk.audiosocket import FRAME, SILENCE, AudioServer
from ivr.asterisk.listening import TICK, AudioLine, _faded, _tone, _Voice
from ivr.call import Fact, Kind
from ivr.errors import HungUp
from ivr.heard import Key, Noise, Question
from tests.fake_listening import FakeAsterisk, FakeEar, voice

RATING = Question("rating", ("пять", "четыре"))
LASTS = {"long": 2.0, "short": 0.2, "odd": 0.213}
NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


# -- keeping time


class Loop:
    """An event loop's clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, what: Callable[[], None]) -> None:
        self.due = when, what

    def passes(self, seconds: float, *, late: float = 0.0) -> None:
        """Every timer goes off in time, or so much late."""
        end = self.now + seconds
        while self.due is not None and self.due[0] <= end:
            when, what = self.due
            self.due, self.now = None, max(self.now, when + late)
            what()
        self.now = max(self.now, end)

    def stalls(self, seconds: float) -> None:
        """Nothing happens meanwhile."""
        self.now += seconds


class Wire:
    """A stream that remembers when it was given what."""

    is_over = False

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.sent: list[tuple[float, bytes]] = []

    def write(self, frame: bytes) -> None:
        assert len(frame) == FRAME
        self.sent.append((self._loop.now, frame))

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frame in self.sent]


class Speaking:
    """A voice over a wire, in time that a test turns."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.wire = Wire(self.loop)
        self.ended = 0
        self.voice = _Voice(self.wire, self._end)  # type: ignore[arg-type]
        self.voice._loop = self.loop  # type: ignore[assignment]
        self.voice._next = self.loop.now
        self.voice._tick()

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def speaking() -> Speaking:
    return Speaking()


def samples(count: int) -> bytes:
    return array.array("h", (1 + at % 30_000 for at in range(count))).tobytes()


def test_a_frame_leaves_every_20_ms_and_never_drifts(speaking: Speaking) -> None:
    speaking.loop.passes(600.0, late=0.004)
    sent = speaking.wire.sent
    assert len(sent) == 30_001
    assert max(at - 100.0 - number * TICK for number, (at, _) in enumerate(sent)) < 0.005


def test_a_prompt_leaves_whole_and_once(speaking: Speaking) -> None:
    prompt = samples(1_000)  # 6 frames and a quarter
    speaking.voice.play(prompt)
    speaking.loop.passes(0.3)
    assert b"".join(speaking.wire.frames[1:8]) == prompt.ljust(7 * FRAME, b"\0")
    assert set(speaking.wire.frames[8:]) == {SILENCE}
    assert speaking.ended == 1
    assert speaking.voice.has_ended


def test_silence_leaves_when_nothing_is_said(speaking: Speaking) -> None:
    speaking.loop.passes(3.0)
    assert speaking.wire.frames == [SILENCE] * 151


def test_the_lead_is_no_more_than_a_frame(speaking: Speaking) -> None:
    speaking.voice.play(samples(8_000))
    for _ in range(40):
        speaking.loop.passes(TICK)
        gone = speaking.loop.now - 100.0
        assert len(speaking.wire.sent) * TICK - gone <= TICK + 1e-9


def test_a_short_stall_is_caught_up(speaking: Speaking) -> None:
    speaking.loop.passes(1.0)
    speaking.loop.stalls(2 * TICK)
    speaking.loop.passes(1.0)
    gone = speaking.loop.now - 100.0
    assert len(speaking.wire.sent) == pytest.approx(1 + gone / TICK, abs=1)


def test_after_a_long_stall_the_prompt_goes_on_where_it_was_without_hurry(speaking: Speaking) -> None:
    prompt = samples(8_000)
    speaking.voice.play(prompt)
    speaking.loop.passes(0.2)
    before = len(speaking.wire.sent)
    speaking.loop.stalls(5.0)
    speaking.loop.passes(0.0)
    assert len(speaking.wire.sent) - before <= 3
    speaking.loop.passes(2.0)
    assert prompt in b"".join(speaking.wire.frames)


def test_who_is_interrupted_falls_silent_within_a_frame_and_without_a_click(speaking: Speaking) -> None:
    speaking.voice.play(array.array("h", [10_000] * 8_000).tobytes())
    speaking.loop.passes(0.1)
    before = len(speaking.wire.sent)
    speaking.voice.stop()
    assert speaking.voice.has_ended
    speaking.loop.passes(0.1)
    parting, *rest = speaking.wire.frames[before:]
    assert parting == _faded(array.array("h", [10_000] * 160).tobytes())
    assert set(rest) == {SILENCE}


def test_the_next_prompt_waits_until_the_interrupted_one_has_faded(speaking: Speaking) -> None:
    speaking.voice.play(array.array("h", [10_000] * 8_000).tobytes())
    speaking.loop.passes(0.1)
    before = len(speaking.wire.sent)
    speaking.voice.stop()
    speaking.voice.play(samples(160))
    speaking.loop.passes(0.1)
    faded = _faded(array.array("h", [10_000] * 160).tobytes())
    assert speaking.wire.frames[before : before + 3] == [faded, samples(160), SILENCE]


def test_stopping_when_nothing_is_said_is_nothing(speaking: Speaking) -> None:
    speaking.voice.stop()
    speaking.loop.passes(0.1)
    assert set(speaking.wire.frames) == {SILENCE}


def test_a_fade_sinks_from_full_to_nothing() -> None:
    faded = array.array("h", _faded(array.array("h", [-20_000, 20_000] * 80).tobytes()))
    assert (faded[0], faded[-1]) == (-20_000, 0)
    assert all(abs(later) <= abs(sooner) for sooner, later in pairwise(faded))


def test_the_tone_is_a_tone_without_clicks() -> None:
    tone = array.array("h", _tone())
    assert len(tone) == 1_600
    assert abs(tone[0]) == 0
    assert abs(tone[-1]) < 200
    assert 6_000 < max(tone) < 7_000
    crossings = sum(a < 0 <= b for a, b in pairwise(tone))
    assert crossings == pytest.approx(440 * 0.2, abs=1)


# -- a whole line, its other end playing Asterisk


class Talk:
    """A line, the ear it has, Asterisk's end, and the facts it told."""

    def __init__(
        self, line: AudioLine, ear: FakeEar, peer: FakeAsterisk, facts: list[Fact], file: Path
    ) -> None:
        self.line, self.ear, self.peer, self.facts, self.file = line, ear, peer, facts, file

    def told(self, kind: Kind) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind is kind]

    async def until_said(self, prompt: str) -> None:
        await self.peer.until(
            lambda: any(fact.detail["prompt"] == prompt for fact in self.told(Kind.PROMPT)),
            f"{prompt} is said",
        )

    async def until_tone(self) -> None:
        await self.peer.until(lambda: self.line._tape and self.line._voice.has_ended, "the tone is over")


@asynccontextmanager
async def talking(folder: Path, comment: Path | None = None) -> AsyncIterator[Talk]:
    for name, seconds in LASTS.items():
        sound.to_wav(sound.tone(440, seconds), folder / f"{name}.wav")
    facts: list[Fact] = []
    ear, uuid, file = FakeEar(), uuid4(), comment or folder / "comments" / "dozvon-1.wav"
    async with AudioServer("127.0.0.1", 0) as door, FakeAsterisk(door.port) as peer:
        expected = door.expect(uuid, within=5)
        peer.calls(uuid)
        prompts = {name: folder / name for name in LASTS}
        line = AudioLine(
            await expected, ear, prompts, facts.append, lambda: NOW, call="dozvon-1", comment=file, hears=True
        )
        async with asyncio.timeout(20), line:
            yield Talk(line, ear, peer, facts, file)


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(tmp_path) as talk:
        yield talk


async def test_a_prompt_is_heard_sample_by_sample(talk: Talk, tmp_path: Path) -> None:
    await talk.line.say("odd", "short")
    await talk.peer.until(lambda: talk.peer.played[-1][1] == SILENCE, "silence again")
    heard = b"".join(frame for _, frame in talk.peer.played)
    odd, short = (sound.from_wav(tmp_path / f"{name}.wav").tobytes() for name in ("odd", "short"))
    assert odd.ljust(-(-len(odd) // FRAME) * FRAME, b"\0") + short in heard, (
        "and no frame lies between the two"
    )


async def test_the_prompt_ends_soon_after_the_resident_begins_to_speak(talk: Talk) -> None:
    asking = asyncio.create_task(talk.line.ask("long", question=RATING, wait=2))
    await talk.until_said("long")
    began = asyncio.get_running_loop().time()
    talk.peer.says("пять", 0.4)
    await asking
    loud_until = max(at for at, loudness in talk.peer.loudness() if loudness)
    ears = FakeEar.BEGINS * TICK
    assert loud_until - began < ears + 0.2


async def test_the_prompt_ends_soon_after_a_key(talk: Talk) -> None:
    asking = asyncio.create_task(talk.line.ask("long", question=RATING, wait=2))
    await talk.until_said("long")
    began = asyncio.get_running_loop().time()
    talk.peer.presses("4")
    assert await asking == Key("4")
    await talk.peer.until(lambda: talk.peer.played[-1] > (began + 0.2, b""), "200 ms have passed")
    assert max(at for at, loudness in talk.peer.loudness() if loudness) - began < 0.2


async def test_the_ears_get_every_frame_and_what_was_played_meanwhile(talk: Talk) -> None:
    await talk.line.say("short")
    assert talk.ear.with_prompt == pytest.approx(10, abs=3)
    before = talk.ear.fed
    await talk.peer.until(lambda: talk.ear.fed > before + 10, "ten more frames are heard")


async def test_the_ears_are_told_the_question(talk: Talk) -> None:
    await talk.line.ask(question=RATING, wait=0)
    assert talk.ear.expected == [RATING]


async def test_facts_carry_the_call_the_moment_and_a_key_of_their_own(talk: Talk) -> None:
    talk.peer.presses("1")
    await talk.line.ask("short", question=RATING, wait=1)
    await talk.line.ask(question=RATING, wait=0)
    talk.peer.says("пять с плюсом", 0.2)
    await talk.line.ask(question=RATING, wait=2)
    talk.line.note(Kind.SAID, rating=5)
    assert {fact.call for fact in talk.facts} == {"dozvon-1"}
    assert {fact.at for fact in talk.facts} == {NOW}
    assert {fact.who for fact in talk.facts} == {"resident"}
    assert len({fact.key for fact in talk.facts}) == len(talk.facts)
    (heard,) = talk.told(Kind.HEARD)
    assert heard.detail == {"text": "пять с плюсом", "confidences": [1.0, 1.0, 1.0]}
    assert len(talk.told(Kind.SILENCE)) == 1


async def test_ears_that_break_leave_the_keys(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.ear.breaks = True
    talk.peer.says("пять", 0.4)
    assert await talk.line.ask(question=RATING, wait=0.6) is None
    assert not talk.line.hears
    talk.peer.presses("5")
    assert await talk.line.ask(question=RATING, wait=2) == Key("5")
    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["the ears failed; only keys are answers now"]


async def test_ears_that_never_tell_what_they_heard_are_not_waited_for(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LONGEST_SPEECH", 0.1)
    talk.ear.events.put_nowait("speech has begun")
    assert await talk.line.ask(question=RATING, wait=0.2) is None


async def test_a_noise_in_the_middle_of_speech_is_the_answer_alone(talk: Talk) -> None:
    talk.ear.events.put_nowait("speech has begun")
    talk.ear.events.put_nowait(Noise.MACHINE)
    assert await talk.line.ask(question=RATING, wait=1) is Noise.MACHINE
    assert await talk.line.ask(question=RATING, wait=0.1) is None


async def test_a_prompt_in_another_shape_is_refused_by_name(talk: Talk, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "wide.wav"), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64))
    talk.line._prompts = {"wide": tmp_path / "wide"}
    with pytest.raises(ValueError, match=r"wide\.wav: 16000 Hz, 2 channels, 16 bits"):
        await talk.line.say("wide")


async def test_leaving_lets_go_of_the_stream_and_closes_the_ears(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.line.say("short")
    assert talk.peer.was_let_go.is_set() or await talk.peer.was_let_go.wait()
    assert talk.ear.is_closed


async def test_who_is_taken_off_the_line_in_a_prompt_leaves_nothing_running(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        saying = asyncio.create_task(talk.line.say("long"))
        await talk.until_said("long")
        saying.cancel()
        await asyncio.wait([saying])
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("dozvon-1")]
    assert not left


# -- comments


def written(file: Path) -> tuple[int, set[int]]:
    """Samples in a WAV, and which there are."""
    with wave.open(str(file)) as content:
        assert content.getparams()[:3] == (1, 2, 8_000)
        pcm = array.array("h", content.readframes(content.getnframes()))
    return len(pcm), set(pcm)


async def test_a_comment_is_a_wav_of_what_was_said(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("short", wait=0.5, at_most=10))
    await talk.until_tone()
    talk.peer.says("опять течёт", 0.8)
    comment = await recording
    assert comment is not None
    count, values = written(talk.file)
    assert count / 8_000 == pytest.approx(comment.seconds)
    assert values == {0, voice("опять течёт")}
    assert comment.voiced == pytest.approx(0.8, abs=0.1)


async def test_who_begins_before_the_tone_is_recorded_from_her_first_word(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("long", wait=0.5, at_most=10))
    await talk.until_said("long")
    talk.peer.says("да вы что", 0.6)
    comment = await recording
    assert comment is not None
    with wave.open(str(talk.file)) as content:
        pcm = array.array("h", content.readframes(content.getnframes()))
    assert pcm.count(voice("да вы что")) == 0.6 * 8_000


async def test_a_comment_on_disk_can_be_heard_before_it_is_over(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("short", wait=5, at_most=10))
    await talk.until_tone()
    talk.peer.says("опять течёт", 2.0)

    def whole_second() -> bool:
        return talk.file.exists() and talk.file.stat().st_size > 44 and written(talk.file)[0] >= 8_000

    await talk.peer.until(whole_second, "a second of it is on disk")
    recording.cancel()
    await asyncio.wait([recording])


async def test_a_cough_is_not_kept(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("short", wait=0.5, at_most=10))
    await talk.until_tone()
    talk.peer.says("кх", 0.1)
    assert await recording is None
    assert not talk.file.exists()


async def test_a_hang_up_leaves_a_whole_file(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("short", wait=5, at_most=10))
    await talk.until_tone()
    talk.peer.says("опять течёт", 0.6)
    await talk.peer.hangs_up()
    with pytest.raises(HungUp):
        await recording
    assert talk.line.comment is not None
    count, values = written(talk.file)
    assert count / 8_000 == pytest.approx(talk.line.comment.seconds)
    assert voice("опять течёт") in values


async def test_a_comment_when_no_sound_comes_at_all_is_ended(talk: Talk) -> None:
    talk.peer.falls_silent()
    began = asyncio.get_running_loop().time()
    assert await talk.line.record(wait=0.3, at_most=10) is None
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_disk_that_fails_costs_the_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").write_text("no folder")
    async with talking(tmp_path, comment=tmp_path / "full" / "comment.wav") as talk:
        recording = asyncio.create_task(talk.line.record("short", wait=0.5, at_most=10))
        await talk.until_tone()
        talk.peer.says("опять течёт", 0.6)
        comment = await recording
    assert comment is not None
    assert comment.transcript is not None
    assert comment.transcript.text == "опять течёт"
    assert [record.message for record in caplog.records] == ["a comment cannot be recorded"]


async def test_a_disk_that_fails_is_said_when_there_was_nothing_to_keep_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "full").write_text("no folder")
    async with talking(tmp_path, comment=tmp_path / "full" / "comment.wav") as talk:
        assert await talk.line.record(wait=0.1, at_most=10) is None
    assert {record.message for record in caplog.records} == {"a comment cannot be recorded"}


async def test_a_fact_that_cannot_be_told_breaks_the_conversation_and_is_not_lost(talk: Talk) -> None:
    def refuse(fact: Fact) -> None:
        raise RuntimeError("no room for facts")

    talk.line._take = refuse
    talk.ear.events.put_nowait(Noise.FAX)
    with pytest.raises(RuntimeError, match="no room"):
        await talk.line.ask(question=RATING, wait=5)


async def test_ears_that_break_in_a_comment_do_not_end_it(talk: Talk) -> None:
    recording = asyncio.create_task(talk.line.record("short", wait=0.3, at_most=1.0))
    await talk.until_said("short")
    talk.ear.breaks = True
    comment = await recording
    assert comment is not None, "who cannot hear when she falls silent keeps it all"
    assert comment.transcript is None
    assert math.isclose(comment.seconds, 1.2, abs_tol=0.15)
