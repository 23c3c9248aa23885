"""The line that listens: a conversation's words as sound, and the answers out of it, over one AudioSocket stream.

Three things go on at once while somebody is on the line: every 20 ms a frame leaves (`_Voice`), every frame and key
that comes is taken in (`_listen`), and what the ears make of it becomes answers (`_understand`). The conversation
itself waits in `_until`.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import math
import os
import struct
import wave
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from ivr.asterisk.audiosocket import FRAME, RATE, SILENCE, AudioStream
from ivr.call import Fact, Kind
from ivr.errors import HungUp
from ivr.heard import Answer, Comment, Heard, Key, Noise, Question

log = logging.getLogger(__name__)

TICK = FRAME / 2 / RATE
"""Seconds of a frame."""
MOST_LATE = 2 * TICK
"""Seconds that are caught up after a stall; what is beyond becomes a pause, not a hurry."""
PROMPTS_KEPT = 64
LONGEST_SPEECH = 15.0
"""Seconds; ears that have not told by then what they heard never will."""
HEARD_OUT = 1.0
"""Seconds the ears are given for what was said last, before the hang-up or the end of a comment."""
ENDS_SPEECH = 40
"""Frames of silence after which any speech has ended."""
ANYTHING = Question("comment", ())
"""Listened for in a comment: all the words the ears know."""
END_KEY = Key("#")
BEFORE_VOICE = 25
"""Frames: a voice begins a little before it is noticed."""
STILL_VOICE = 0.05
"""Seconds since the last voice within which it still goes on."""
WORTH_KEEPING = 0.3
"""Seconds of voice; less is a cough, not a comment."""
TONE_HZ, TONE_LASTS, TONE_LEVEL, TONE_FADE = 440.0, 0.2, 0.2, 0.005


class Ear(Protocol):
    """One call's ears, `ivr.speech.listener.Listener`: every frame in, events out.

    An event is a Noise, or that speech has begun, or the Heard it became; each beginning is followed by one of those.
    """

    @property
    def events(self) -> asyncio.Queue[Any]: ...

    @property
    def silence(self) -> float:
        """Seconds since the last voice."""

    def expect(self, question: Question | None) -> None: ...

    def feed(self, pcm: bytes, played: bytes | None = None) -> None: ...

    async def aclose(self) -> None: ...


class AudioLine:
    """`ivr.line.ListeningLine` over an AudioSocket stream. Enter it to speak; leaving lets go of the stream."""

    def __init__(
        self,
        stream: AudioStream,
        ear: Ear,
        prompts: Mapping[str, Path],
        take: Callable[[Fact], None],
        now: Callable[[], datetime],
        *,
        call: str,
        comment: Path,
        hears: bool,
    ) -> None:
        """`prompts` names the sound files (without extension), `take` receives the call's facts.

        What `record` keeps becomes the WAV file `comment`. Without `hears` only keys are answers.
        """
        self.comment: Comment | None = None
        """What `record` has kept, also when a hang-up ended it."""
        self._stream, self._ear, self._prompts = stream, ear, prompts
        self._take, self._now, self._call = take, now, call
        self._file, self._hears, self._is_deaf = comment, hears, False
        self._voice = _Voice(stream, self._notice)
        self._answers: list[Key | Heard | Noise] = []
        self._stretches: deque[bool] = deque()
        """The speech that has begun and is not heard out yet: may it answer?"""
        self._counted = False
        """Did the stretch that was heard last? What amends it counts no more than it did."""
        self._heeds = True
        self._tape: _Tape | None = None
        self._lately: deque[bytes] = deque(maxlen=BEFORE_VOICE)
        self._news = asyncio.Event()
        self._notes = 0

    async def __aenter__(self) -> AudioLine:
        self._voice.start()
        self._listening = asyncio.create_task(self._listen(), name=f"{self._call} listens")
        self._understanding = asyncio.create_task(self._understand(), name=f"{self._call} understands")
        for task in (self._listening, self._understanding):
            task.add_done_callback(lambda _: self._notice())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._voice.close()
        self._stream.hang_up()
        for task in (self._listening, self._understanding):
            task.cancel()
        await asyncio.gather(self._listening, self._understanding, return_exceptions=True)
        await self._ear.aclose()

    # -- what a conversation does

    @property
    def hears(self) -> bool:
        return self._hears

    async def say(self, *prompts: str, barge_in: bool = True) -> None:
        self._heeds = barge_in
        try:
            await self._play(prompts, barge_in)
        finally:
            self._heeds = True

    async def ask(self, *prompts: str, question: Question, wait: float, barge_in: bool = True) -> Answer:
        self._expect(question)
        await self._play(prompts, barge_in)
        answer = await self._answer(wait)
        if answer is None:
            self.note(Kind.SILENCE)
        return answer

    async def record(self, *prompts: str, wait: float, at_most: float) -> Comment | None:
        self._expect(ANYTHING)
        await self._play(prompts, barge_in=True)
        self._answers.clear()
        self._tape = tape = _Tape(self._file, self._lately if self._speaking() else (), at_most)
        try:
            await self._utter(_tone(), until=lambda: self._voice.has_ended)
            await self._until_said(tape, wait, at_most)
            await self._until(self._is_heard_out, self._clock() + HEARD_OUT)
        finally:
            self._tape = None
            self.comment = self._kept(tape)
            self._forget()
        return self.comment

    def note(self, kind: Kind, **detail: Any) -> None:
        self._notes += 1
        self._take(Fact(self._call, self._now(), kind, f"line/{self._notes}", "resident", detail))

    # -- speaking

    async def _play(self, prompts: tuple[str, ...], barge_in: bool) -> None:
        """Say them in order; what has begun as an answer ends them, or passes them over."""
        for prompt in prompts:
            if barge_in and self._has_begun():
                return
            sound = await asyncio.to_thread(_sound, self._prompts[prompt])
            self._is_there()
            self.note(Kind.PROMPT, prompt=prompt)
            await self._utter(sound, until=lambda: self._voice.has_ended or (barge_in and self._has_begun()))

    async def _utter(self, sound: bytes, *, until: Callable[[], bool]) -> None:
        self._voice.play(sound)
        try:
            await self._until(until)
        finally:
            self._voice.stop()

    # -- answers

    async def _answer(self, wait: float) -> Answer:
        """The first answer that has begun, or begins within `wait` seconds."""
        until = self._clock() + wait
        while True:
            await self._until(self._has_begun, until)
            if not self._has_begun():
                return None
            await self._until(lambda: self._answers or not self._speaking(), self._clock() + LONGEST_SPEECH)
            if self._answers:
                return self._first_answer()
            self._stretches.clear()

    def _first_answer(self) -> Answer:
        """The first one counts; what came after it, or goes on beside a key, answers nothing any more."""
        answer = self._answers[0]
        if isinstance(answer, Key):
            self._forget()
        self._counted &= len(self._answers) == 1
        self._answers.clear()
        return answer

    def _forget(self) -> None:
        """What was said and pressed so far, and what is being said, answers nothing."""
        self._answers.clear()
        self._stretches = deque(False for _ in self._stretches)
        self._counted = False

    def _has_begun(self) -> bool:
        return bool(self._answers) or self._speaking()

    def _speaking(self) -> bool:
        return any(self._stretches)

    def _is_heard_out(self) -> bool:
        return self._ear.events.empty() and not self._speaking()

    def _expect(self, question: Question) -> None:
        if not self._is_deaf:
            with self._ears_may_fail():
                self._ear.expect(question)

    async def _until(self, came: Callable[[], object], until: float | None = None) -> None:
        """Wait for it, on the loop's clock at most `until`. Raises HungUp."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not came():
                    self._is_there()
                    self._news.clear()
                    await self._news.wait()

    def _is_there(self) -> None:
        """Raises HungUp once she is gone, or what has broken the line."""
        for task in (self._listening, self._understanding):
            if task.done():
                task.result()

    def _notice(self) -> None:
        self._news.set()

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    # -- comments

    async def _until_said(self, tape: _Tape, wait: float, at_most: float) -> None:
        """Until the key, `wait` seconds after the last voice, or `at_most` seconds."""
        began = self._clock()
        while (until := min(max(began, tape.voice_at) + wait, began + at_most)) > self._clock():
            await self._until(lambda: END_KEY in self._answers, until)
            if END_KEY in self._answers:
                return

    def _kept(self, tape: _Tape) -> Comment | None:
        """What became of the tape: nothing worth keeping is not kept."""
        if tape.voiced < WORTH_KEEPING:
            tape.throw_away()
            return None
        tape.close()
        heard = [answer for answer in self._answers if isinstance(answer, Heard)]
        words = tuple(word for stretch in heard for word in stretch.words)
        spoken = sum(stretch.seconds for stretch in heard)
        return Comment(tape.seconds, tape.voiced, Heard(words, spoken) if self._hears else None)

    # -- what comes

    async def _listen(self) -> None:
        """Take in what comes, to the end of the stream; then raises HungUp."""
        try:
            while True:
                came = await self._stream.read()
                if isinstance(came, Key):
                    self._press(came)
                else:
                    self._hear(came)
        except HungUp:
            await self._hear_out()
            raise

    def _press(self, key: Key) -> None:
        self.note(Kind.KEY, key=key.digit)
        self._answers.append(key)
        self._notice()

    def _hear(self, pcm: bytes) -> None:
        self._lately.append(pcm)
        if not self._is_deaf:
            with self._ears_may_fail():
                self._ear.feed(pcm, self._voice.played)
        if self._tape is not None:
            self._tape.take(pcm, self._clock(), is_voice=self._is_deaf or self._ear.silence < STILL_VOICE)

    async def _hear_out(self) -> None:
        """She is gone; what she was saying still counts."""
        self._tape = None
        for _ in range(ENDS_SPEECH):
            self._hear(SILENCE)
        await self._until(self._is_heard_out, self._clock() + HEARD_OUT)

    async def _understand(self) -> None:
        while True:
            event = await self._ear.events.get()
            match event:
                case Heard():
                    self._heard(event)
                case Noise():
                    self._stretches.clear()
                    self.note(Kind.NOISE, noise=event.value)
                    self._answers.append(event)
                case _:
                    self._stretches.append(self._hears and self._heeds)
            self._notice()

    def _heard(self, heard: Heard) -> None:
        counts = bool(self._stretches) and self._stretches.popleft() and (self._counted or not heard.amends)
        self._counted = counts
        if not (heard.words and self._hears):
            return
        confidences = [round(word.confidence, 3) for word in heard.words]
        self.note(Kind.HEARD, text=heard.text, confidences=confidences)
        if counts:
            if heard.amends and self._answers and isinstance(self._answers[-1], Heard):
                self._answers.pop()
            self._answers.append(heard)

    @contextlib.contextmanager
    def _ears_may_fail(self) -> Iterator[None]:
        """Without ears there are still the keys."""
        try:
            yield
        except Exception:
            log.exception("the ears failed; only keys are answers now", extra={"call": self._call})
            self._hears, self._is_deaf = False, True
            self._stretches.clear()
            self._notice()


class _Voice:
    """What we say: a frame every 20 ms of the loop's clock, silence when there is nothing to say.

    Silence is sent, too: Asterisk gives up a stream on which nothing moves, and what it sends on and records keeps
    its time.
    """

    def __init__(self, stream: AudioStream, ended: Callable[[], None]) -> None:
        self.played = SILENCE
        """The frame that left last."""
        self._stream, self._ended = stream, ended
        self._sound, self._at = b"", 0
        self._parting = b""
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time()
        self._tick()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def play(self, sound: bytes) -> None:
        self._sound, self._at = sound, 0

    def stop(self) -> None:
        """Fall silent within a frame, without a click."""
        if not self.has_ended:
            self._parting = _faded(self._following())
        self._sound = b""

    @property
    def has_ended(self) -> bool:
        return self._at >= len(self._sound)

    def _tick(self) -> None:
        now = self._loop.time()
        self._next = max(self._next, now - MOST_LATE)
        while self._next <= now:
            self.played = self._frame()
            self._stream.write(self.played)
            self._next += TICK
        if not self._stream.is_over:
            self._timer = self._loop.call_at(self._next, self._tick)

    def _frame(self) -> bytes:
        if self._parting:
            parting, self._parting = self._parting, b""
            return parting
        if self.has_ended:
            return SILENCE
        frame = self._following()
        self._at += FRAME
        if self._at >= len(self._sound):
            self._ended()
        return frame

    def _following(self) -> bytes:
        return self._sound[self._at : self._at + FRAME].ljust(FRAME, b"\0")


class _Tape:
    """A comment's WAV file, written as it comes: whatever is killed when, what was said can be heard.

    A disk that fails costs the recording, not the call.
    """

    def __init__(self, path: Path, before: Iterable[bytes], at_most: float) -> None:
        self.voiced = 0.0
        """Seconds of voice on it."""
        self.voice_at = 0.0
        """When the last voice came, on the loop's clock."""
        self._path, self._size = path, 0
        self._room = round(at_most + TONE_LASTS + HEARD_OUT) * 2 * RATE
        self._file: BinaryIO | None = None
        with self._disk_may_fail():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
            self._file.write(_wav_header(0))
        for frame in before:
            self._write(frame)

    @property
    def seconds(self) -> float:
        return self._size / 2 / RATE

    def take(self, frame: bytes, now: float, *, is_voice: bool) -> None:
        if is_voice:
            self.voice_at = now
            self.voiced += TICK
        if self._size < self._room:
            self._write(frame)

    def close(self) -> None:
        if self._file is not None:
            with self._disk_may_fail():
                self._tell_size(self._file)
                self._file.close()

    def throw_away(self) -> None:
        self.close()
        with self._disk_may_fail():
            self._path.unlink(missing_ok=True)

    def _write(self, frame: bytes) -> None:
        self._size += len(frame)
        if self._file is None:
            return
        with self._disk_may_fail():
            self._file.write(frame)
            if self._size % (2 * RATE) == 0:  # every second
                self._tell_size(self._file)

    def _tell_size(self, file: BinaryIO) -> None:
        file.seek(0)
        file.write(_wav_header(self._size))
        file.seek(0, os.SEEK_END)

    @contextlib.contextmanager
    def _disk_may_fail(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.error("a comment cannot be recorded", extra={"file": str(self._path), "why": str(error)})
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()


@lru_cache(maxsize=PROMPTS_KEPT)
def _sound(stem: Path) -> bytes:
    """The prompt's samples. ValueError when the file is not what the shelf makes."""
    with wave.open(f"{stem}.wav", "rb") as file:
        shape = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if shape != (RATE, 1, 2):
            raise ValueError(
                f"{stem}.wav: {shape[0]} Hz, {shape[1]} channels, {8 * shape[2]} bits; want 8000, 1, 16"
            )
        return file.readframes(file.getnframes())


@lru_cache(maxsize=1)
def _tone() -> bytes:
    """The tone after which one speaks."""
    count, ends = round(TONE_LASTS * RATE), round(TONE_FADE * RATE)
    return array.array(
        "h",
        (
            round(
                32767
                * TONE_LEVEL
                * min(1, at / ends, (count - at) / ends)
                * math.sin(math.tau * TONE_HZ * at / RATE)
            )
            for at in range(count)
        ),
    ).tobytes()


def _wav_header(size: int) -> bytes:
    """Of `size` bytes of 16-bit mono PCM at the line's rate."""
    form = (b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", *form, b"data", size)


def _faded(frame: bytes) -> bytes:
    """The frame sinking to silence."""
    samples = array.array("h", frame)
    last = len(samples) - 1
    return array.array("h", (sample * (last - at) // last for at, sample in enumerate(samples))).tobytes()
