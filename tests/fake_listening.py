"""What stands in for a resident who is heard: a line that follows a script, and, for the real line, its other end.

line = FakeListeningLine("пять")                        # the first question is answered so
line = FakeListeningLine("не знаю", Key("4"))           # the first so, the second by key, then silence
line = FakeListeningLine(says("пять", during="survey_welcome", after=0.4))
line = FakeListeningLine("три", hangs_up(during="survey_sorry"))
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from ivr.call import Kind
from ivr.errors import HungUp
from ivr.heard import Answer, Comment, Heard, Key, Noise, Question, Word
from tests.fakes import PROMPT_LASTS, Clock

TONE = "tone"
"""What `record` plays after its prompts; acts may follow it like a prompt."""
THINKS = 0.5
"""Seconds after the prompts in which nobody has answered yet."""
A_WORD = 0.4
"""Seconds a word takes."""
DECIDES = 0.3
"""Seconds from the end of speech to what it was."""
PATIENCE = 5.0


class Gone:
    """She hangs up."""


GONE = Gone()
What = Key | Heard | Noise | Gone
Reply = str | What | None
"""A string is what she says; None is silence."""


@dataclass(frozen=True)
class Act:
    """What she does, so many seconds after a prompt has begun; `nth`: the how-manyth time it is said."""

    prompt: str
    after: float
    what: What
    nth: int = 1


def says(
    words: str, *, during: str, after: float = 0.3, nth: int = 1, sure: float = 1.0, amends: bool = False
) -> Act:
    return Act(during, after, replace(heard(words, sure), amends=amends), nth)


def presses(key: str, *, during: str, after: float = 0.3, nth: int = 1) -> Act:
    return Act(during, after, Key(key), nth)


def is_noise(noise: Noise, *, during: str, after: float = 0.3, nth: int = 1) -> Act:
    return Act(during, after, noise, nth)


def hangs_up(*, during: str, after: float = 0.3, nth: int = 1) -> Act:
    return Act(during, after, GONE, nth)


def heard(words: str, *sure: float, seconds: float | None = None, pitch: float | None = None) -> Heard:
    """Those words, each as surely as said: one figure for all of them, or one a word."""
    texts = words.split()
    sure = sure or (1.0,)
    each = sure if len(sure) == len(texts) else sure * len(texts)
    assert len(each) == len(texts), f"{len(texts)} words, {len(sure)} confidences"
    lasts = A_WORD * len(texts) if seconds is None else seconds
    return Heard(tuple(map(Word, texts, each)), lasts, pitch)


@dataclass(eq=False)
class _Speech:
    """Speech that has begun; `counts`: it may be an answer."""

    what: Heard
    counts: bool


_Happening = What | _Speech


class FakeListeningLine:
    """`ivr.line.ListeningLine` to a resident who follows a script, in virtual time.

    Replies are given in their order, one to each question (or comment) that nothing else has answered; when they run
    out she is silent. Acts happen when their prompt is said. What was done to her is in `heard` and `notes`.
    """

    def __init__(
        self,
        *script: Reply | Act,
        clock: Clock | None = None,
        lasts: Mapping[str, float] | None = None,
        hears: bool = True,
    ) -> None:
        """`lasts` gives prompts their length in seconds; the others take `PROMPT_LASTS`."""
        self.clock = clock or Clock()
        self.heard: list[tuple[str, float]] = []
        """Prompt, and how many seconds of it she heard."""
        self.notes: list[tuple[Kind, dict[str, Any]]] = []
        self.asked: list[str] = []
        """The questions' names."""
        self.comment: Comment | None = None
        self.hears = hears
        self._acts = [one for one in script if isinstance(one, Act)]
        self._replies = deque(one for one in script if not isinstance(one, Act))
        self._lasts = {TONE: 0.2, **(lasts or {})}
        self._coming: list[tuple[datetime, _Happening]] = []
        self._answers: list[Key | Heard | Noise] = []
        self._speaking: _Speech | None = None
        self._counted = False
        self._stretches: list[Heard] = []
        """All she has said, whatever it counts for."""
        self._heeds = True
        self._gone = False

    @property
    def prompts(self) -> list[str]:
        return [prompt for prompt, _ in self.heard if prompt != TONE]

    def noted(self, kind: Kind) -> list[dict[str, Any]]:
        return [detail for noted, detail in self.notes if noted is kind]

    async def say(self, *prompts: str, barge_in: bool = True) -> None:
        self._heeds = barge_in
        try:
            self._say(prompts, barge_in)
        finally:
            self._heeds = True

    async def ask(self, *prompts: str, question: Question, wait: float, barge_in: bool = True) -> Answer:
        self.asked.append(question.name)
        self._say(prompts, barge_in)
        if not self._has_begun():
            self._replies_after(min(THINKS, wait))
        answer = self._answer(wait)
        if answer is None:
            self.note(Kind.SILENCE)
        return answer

    async def record(self, *prompts: str, wait: float, at_most: float) -> Comment | None:
        self._say(prompts, barge_in=True)
        self._answers.clear()
        self._stretches.clear()
        began = self.clock.at
        try:
            self._play(TONE, barge_in=False)
            if not self._has_begun() and not self._coming:
                self._replies_after(min(THINKS, wait))
            self._until_said(wait, at_most)
        finally:
            self.comment = self._kept((self.clock.at - began).total_seconds())
            self._forget()
        return self.comment

    def note(self, kind: Kind, **detail: Any) -> None:
        self.notes.append((kind, detail))

    # -- what she hears

    def _say(self, prompts: tuple[str, ...], barge_in: bool) -> None:
        for prompt in prompts:
            if barge_in and self._has_begun():
                return
            self._is_there()
            self.note(Kind.PROMPT, prompt=prompt)
            self._play(prompt, barge_in)

    def _play(self, prompt: str, barge_in: bool) -> None:
        began = self.clock.at
        self.heard.append((prompt, 0.0))
        self._looks_ahead(prompt)
        try:
            self._passes(self._lasts.get(prompt, PROMPT_LASTS), until=lambda: barge_in and self._has_begun())
        finally:
            self.heard[-1] = (prompt, (self.clock.at - began).total_seconds())

    # -- what she does

    def _looks_ahead(self, prompt: str) -> None:
        nth = sum(name == prompt for name, _ in self.heard)
        for act in self._acts:
            if (act.prompt, act.nth) == (prompt, nth):
                self._comes(act.after, act.what)

    def _replies_after(self, seconds: float) -> None:
        reply = self._replies.popleft() if self._replies else None
        if reply is not None:
            self._comes(seconds, heard(reply) if isinstance(reply, str) else reply)

    def _comes(self, after: float, what: _Happening) -> None:
        self._coming.append((self.clock.at + timedelta(seconds=after), what))
        self._coming.sort(key=lambda coming: coming[0])

    def _happens(self, what: _Happening) -> None:
        match what:
            case Key():
                self.note(Kind.KEY, key=what.digit)
                self._answers.append(what)
            case Noise():
                self.note(Kind.NOISE, noise=what.value)
                self._answers.append(what)
            case Heard():
                self._speaking = _Speech(what, self.hears and self._heeds)
                self._comes(what.seconds + DECIDES, self._speaking)
            case _Speech():
                self._is_heard(what)
            case Gone():
                if self._speaking is not None:  # what she was saying still counts
                    self._is_heard(self._speaking)
                self._gone = True

    def _is_heard(self, speech: _Speech) -> None:
        if speech is not self._speaking:
            return
        self._speaking = None
        if self.hears:
            words = speech.what.words
            confidences = [word.confidence for word in words]
            self.note(Kind.HEARD, text=speech.what.text, confidences=confidences)
        speech.counts &= self._counted or not speech.what.amends
        self._counted = speech.counts
        if speech.counts:
            if speech.what.amends and self._answers and isinstance(self._answers[-1], Heard):
                self._answers.pop()
            self._answers.append(speech.what)
        self._stretches.append(speech.what)

    # -- answers

    def _answer(self, wait: float) -> Answer:
        until = self.clock.at + timedelta(seconds=wait)
        while not self._answers:
            self._passes((until - self.clock.at).total_seconds(), until=self._has_begun)
            if not self._has_begun():
                return None
            self._passes(60.0, until=lambda: bool(self._answers) or not self._has_begun())
        answer = self._answers[0]
        if isinstance(answer, Key):
            self._forget()
        self._counted &= len(self._answers) == 1
        self._answers.clear()
        return answer

    def _forget(self) -> None:
        self._answers.clear()
        self._counted = False
        if self._speaking is not None:
            self._speaking.counts = False

    def _has_begun(self) -> bool:
        return bool(self._answers) or (self._speaking is not None and self._speaking.counts)

    def _until_said(self, wait: float, at_most: float) -> None:
        """Until the key, so many seconds of silence, or so many in all."""
        end = self.clock.at + timedelta(seconds=at_most)
        quiet_since = self.clock.at
        while Key("#") not in self._answers:
            speech = self._speaking
            until = end if speech else min(end, quiet_since + timedelta(seconds=wait))
            left = (until - self.clock.at).total_seconds()
            if not self._changes(speech, within=left):
                break
            quiet_since = self.clock.at
        if self._speaking is not None:
            self._is_heard(self._speaking)

    def _changes(self, speech: _Speech | None, *, within: float) -> bool:
        """Does she press the key, begin or end to speak?"""
        self._passes(within, until=lambda: Key("#") in self._answers or self._speaking is not speech)
        return Key("#") in self._answers or self._speaking is not speech

    def _kept(self, seconds: float) -> Comment | None:
        if not self._stretches:
            return None
        words = tuple(word for stretch in self._stretches for word in stretch.words)
        voiced = sum(stretch.seconds for stretch in self._stretches)
        return Comment(seconds, voiced, Heard(words, voiced) if self.hears else None)

    # -- time

    def _passes(self, seconds: float, *, until: Callable[[], bool]) -> None:
        """Time passes, at most so long, until that is so."""
        end = self.clock.at + timedelta(seconds=seconds)
        while not until():
            self._is_there()
            if not self._coming or self._coming[0][0] > end:
                self.clock.at = end
                return
            moment, what = self._coming.pop(0)
            self.clock.at = max(self.clock.at, moment)
            self._happens(what)

    def _is_there(self) -> None:
        if self._gone:
            raise HungUp


# -- the other end of a real line


VOICES: list[str] = []
"""Everything said so far; a voice is a row of samples that all have one value, which says which of these it is."""
FIRST_VOICE = 1_000


def voice(words: str) -> int:
    """The sample that stands for these words."""
    if words not in VOICES:
        VOICES.append(words)
    return FIRST_VOICE + VOICES.index(words)


class FakeEar:
    """Ears that know each `voice`, over frames: `ivr.speech.listener.Listener` in small.

    Words that begin with those right before them amend them.
    """

    BEGINS, ENDS = 3, 12
    """Frames of voice that make a beginning, and of silence that make an end."""
    THINKS = 0.06
    """Seconds from the end to what it was."""
    GOES_ON = 0.5
    """Seconds of silence after which who speaks has not gone on."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[object] = asyncio.Queue()
        self.silence = 0.0
        self.expected: list[Question | None] = []
        self.fed = self.with_prompt = 0
        """Frames fed, and those that came while a prompt was played."""
        self.is_closed = False
        self.breaks = False
        """The next frame is one too many."""
        self._voiced = 0
        self._words = self._before = ""
        self._pause = 0.0

    def expect(self, question: Question | None) -> None:
        self.expected.append(question)

    def feed(self, pcm: bytes, played: bytes | None = None) -> None:
        if self.breaks:
            raise RuntimeError("the ears are broken")
        self.fed += 1
        self.with_prompt += bool(played and any(played))
        (sample,) = struct.unpack_from("<h", pcm)
        if sample >= FIRST_VOICE:
            if not self._voiced:
                self._pause = self.silence
            self.silence = 0.0
            self._voiced += 1
            self._words = VOICES[sample - FIRST_VOICE]
            if self._voiced == self.BEGINS:
                self.events.put_nowait("speech has begun")
        else:
            self.silence += 0.02
            if self._voiced and self.silence > self.ENDS * 0.02 - 0.01:
                if self._voiced >= self.BEGINS:
                    amends = self._pause < self.GOES_ON and self._words.startswith(f"{self._before} ")
                    what = replace(heard(self._words, seconds=self._voiced * 0.02), amends=amends)
                    self._before = self._words
                    asyncio.get_running_loop().call_later(self.THINKS, self.events.put_nowait, what)
                self._voiced = 0

    async def aclose(self) -> None:
        self.is_closed = True


class FakeAsterisk:
    """Asterisk's end of an AudioSocket stream: `async with FakeAsterisk(port) as peer`, then `peer.calls(uuid)`.

    Every 20 ms it sends a frame, silence or what the resident says, and it keeps every frame that is played to her.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.played: list[tuple[float, bytes]] = []
        """What she hears: the loop's time and a frame."""
        self.was_let_go = asyncio.Event()
        self._to_say: deque[bytes] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.writer.transport.abort()

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.writer.write(struct.pack(">BH", kind, len(payload)) + payload)

    def calls(self, uuid: UUID) -> None:
        """Name the call; from then on sound flows both ways."""
        self.send(0x01, uuid.bytes)
        self._tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._hear())]

    def says(self, words: str, seconds: float) -> None:
        self._to_say.extend([struct.pack("<h", voice(words)) * 160] * round(seconds / 0.02))

    def presses(self, key: str) -> None:
        self.send(0x03, key.encode())

    async def hangs_up(self) -> None:
        """After what is being said has left."""
        await self.until(lambda: not self._to_say, "said all")
        self._tasks[0].cancel()
        self.send(0x00)
        self.writer.write_eof()

    def falls_silent(self) -> None:
        """Not even silence is sent any more."""
        self._tasks[0].cancel()

    async def until(self, seen: Callable[[], object], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not seen():
            assert asyncio.get_running_loop().time() < deadline, f"not within {PATIENCE:g} s: {what}"
            await asyncio.sleep(0.005)

    def loudness(self) -> list[tuple[float, int]]:
        """When each frame came, and its largest sample."""
        return [(at, max(map(abs, struct.unpack("<160h", frame)))) for at, frame in self.played]

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.send(0x10, self._to_say.popleft() if self._to_say else bytes(320))
            due += 0.02
            await asyncio.sleep(due - loop.time())

    async def _hear(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                kind, length = struct.unpack(">BH", await self.reader.readexactly(3))
                payload = await self.reader.readexactly(length)
                if kind == 0x00:
                    break
                if kind == 0x10:
                    self.played.append((asyncio.get_running_loop().time(), payload))
                else:
                    raise AssertionError(f"Asterisk would not take kind {kind:#04x}")
        self.was_let_go.set()
        self._tasks[0].cancel()
        self.writer.close()
