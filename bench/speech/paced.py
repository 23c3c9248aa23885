"""Calls on the clock: every 20 ms of sound is fed when it would arrive, many calls in one loop, as in the service."""

from __future__ import annotations

import asyncio
import math
import resource
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.figures import percentile
from bench.speech.hearing import FRAME
from bench.speech.noises import RATE
from bench.speech.spoil import Received
from ivr.dialplan.understanding import Pack, Rating, Wish
from ivr.heard import Heard, Question
from ivr.speech.activity import Activity, Detectors
from ivr.speech.ears import Hearing, Recogniser
from ivr.speech.listener import LATE, LIKELY, LONGEST, Listener, SpeechBegan


@dataclass(slots=True)
class Moments:
    """What was measured, seconds by the clock."""

    decided: list[float] = field(default_factory=list)
    """From the end of the speech to the meaning of it: answers that were understood."""
    undecided: list[float] = field(default_factory=list)
    """… to «not understood»."""
    began: list[float] = field(default_factory=list)
    """From the beginning of the speech to SpeechBegan."""
    late: list[float] = field(default_factory=list)
    """How late a frame was fed: the loop was busy."""
    unheard: int = 0
    """Clips of which nothing came."""
    sound: float = 0.0
    """Of it that was fed."""

    def add(self, other: Moments) -> None:
        self.decided += other.decided
        self.undecided += other.undecided
        self.began += other.began
        self.late += other.late
        self.unheard += other.unheard
        self.sound += other.sound


@dataclass(frozen=True, slots=True)
class Load:
    """What so many calls at once cost."""

    calls: int
    lasted: float
    understood: int
    understood_p50: float
    """From the end of the speech to its meaning: of answers that were understood."""
    answers: int
    decided_p50: float
    """The same of all, «not understood» among them."""
    decided_p95: float
    began_p95: float
    late_p99: float
    processor: float
    """Seconds of processor a second of one call."""
    memory: float
    """Resident, MB: the whole process, its model included."""
    unheard: int = 0

    @classmethod
    def of(cls, moments: Moments, calls: int, lasted: float, spent: float) -> Load:
        every = moments.decided + moments.undecided
        return cls(
            calls=calls,
            lasted=lasted,
            understood=len(moments.decided),
            understood_p50=percentile(moments.decided, 0.5),
            answers=len(every),
            decided_p50=percentile(every, 0.5),
            decided_p95=percentile(every, 0.95),
            began_p95=percentile(moments.began, 0.95),
            late_p99=percentile(moments.late, 0.99),
            processor=spent / moments.sound if moments.sound else math.nan,
            memory=resident(),
            unheard=moments.unheard,
        )

    def __str__(self) -> str:
        return (
            f"understood p50 {ms(self.understood_p50)}, every decision p95 {ms(self.decided_p95)}, "
            f"barge-in p95 {ms(self.began_p95)}, frames late p99 {ms(self.late_p99)}, "
            f"{100 * self.processor:.2f} % of a core a call, {self.memory:.0f} MB"
        )


def ms(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{1000 * seconds:.0f} ms"


Feed = Callable[[bytes], None]


async def on_the_clock(frames: Sequence[bytes], feed: Feed, begins: float) -> list[float]:
    """Feed each frame at its moment; how late each was. `begins` is the loop's time of the first."""
    loop, late = asyncio.get_running_loop(), []
    for number, frame in enumerate(frames, start=1):
        due = begins + number * FRAME  # a frame arrives when it is full
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        late.append(loop.time() - due)
        feed(frame)
    return late


class Caller:
    """One call after another clip: one listener, as a conversation has it, that is asked again and again."""

    def __init__(self, ears: Recogniser | None, detectors: Detectors, pack: Pack) -> None:
        self._listener = Listener(ears, detectors)
        self._pack = pack
        self._questions: dict[str, Question] = {}
        self.moments = Moments()

    async def hear(self, sounds: Iterator[tuple[Received, str]], until: float) -> Moments:
        """Until the loop's time `until`; a clip begun before is heard to its end."""
        loop = asyncio.get_running_loop()
        try:
            while loop.time() < until:
                sound, asked = next(sounds)
                await self._clip(sound, asked)
        finally:
            await self._listener.aclose()
        return self.moments

    async def _clip(self, sound: Received, asked: str) -> None:
        self._listener.expect(self._question(asked))
        begins = asyncio.get_running_loop().time()
        watch = asyncio.create_task(self._watch(sound, asked, begins))
        try:
            self.moments.late += await on_the_clock(sound.frames, self._listener.feed, begins)
            self.moments.sound += len(sound.frames) * FRAME
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    def _question(self, asked: str) -> Question:
        if asked not in self._questions:
            self._questions[asked] = self._pack.question(asked)
        return self._questions[asked]

    async def _watch(self, sound: Received, asked: str, begins: float) -> None:
        """The first beginning, and the first decision after the speech has ended."""
        loop, moments = asyncio.get_running_loop(), self.moments
        began = decided = False
        moments.unheard += 1
        while not decided:
            event = await self._listener.events.get()
            if isinstance(event, SpeechBegan) and not began:
                began = True
                moments.began.append(loop.time() - begins - sound.begins)
            if isinstance(event, Heard):
                meaning = self._pack.understand(event, asked)
                after = loop.time() - begins - sound.ends
                if after < 0:
                    continue  # a pause in the middle: the speech goes on
                understood = isinstance(meaning, Rating | Wish)
                (moments.decided if understood else moments.undecided).append(after)
                moments.unheard -= 1
                decided = True


PIECE = 5
"""Frames that a stream takes at a time: 100 ms."""
PRE_ROLL = 3
"""Pieces that are heard with the first voice: the one in which it was noticed, and soft consonants before it."""


class Stream:
    """One recogniser, fed what is spoken; behind a `gate` only while there is a voice, as a Listener has it.

    It is made to finish at the end of each sound; behind a gate, when the voice has ended.

    `Moments.late` is when a piece was decoded, after its last frame was due.
    """

    def __init__(self, ears: Recogniser | None, phrases: Sequence[str], gate: Activity | None = None) -> None:
        self._ears, self._phrases, self._gate = ears, phrases, gate
        self._hearing: Hearing | None = None
        self._heard = 0.0
        """Seconds of sound that the hearing was given."""
        self._voice = -math.inf
        """Seconds of sound fed until the last voice."""
        self._before: deque[bytes] = deque(maxlen=PRE_ROLL)
        """What may belong to the next voice."""
        self.moments = Moments()

    async def hear(self, sounds: Iterator[tuple[Received, str]], until: float, phase: float = 0.0) -> Moments:
        """Until the loop's time `until`. `phase`, 0 to 1: how far into its first sound it begins."""
        loop = asyncio.get_running_loop()
        frames = next(sounds)[0].frames
        frames = frames[int(phase * len(frames)) :]
        try:
            while loop.time() < until:
                await self._sound(frames, until)
                frames = next(sounds)[0].frames
            await self._finish()
        finally:
            if self._gate is not None:
                self._gate.close()
        return self.moments

    async def _sound(self, frames: Sequence[bytes], until: float) -> None:
        loop = asyncio.get_running_loop()
        begins = loop.time()
        for at in range(0, len(frames), PIECE):
            if loop.time() >= until:
                return
            piece = frames[at : at + PIECE]
            due = begins + (at + len(piece)) * FRAME
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._take(piece, is_last=at + PIECE >= len(frames))
            self.moments.late.append(loop.time() - due)

    async def _take(self, piece: Sequence[bytes], is_last: bool) -> None:
        self.moments.sound += len(piece) * FRAME
        self._before.append(b"".join(piece))
        if self._gate is None or self._is_voice(self._gate, piece):
            self._voice = self.moments.sound
            await self._feed(b"".join(self._before))
            self._before.clear()
        is_over = self.moments.sound - self._voice >= LATE or self._heard >= LONGEST
        if is_over or (self._gate is None and is_last):
            await self._finish()

    async def _feed(self, pcm: bytes) -> None:
        if self._ears is None:
            return
        if self._hearing is None:
            self._hearing = self._ears.listen(self._phrases)
        self._heard += len(pcm) / 2 / RATE
        await self._hearing.feed(pcm)

    async def _finish(self) -> None:
        if self._hearing is not None:
            await self._hearing.finish()
        self._hearing, self._heard = None, 0.0

    @staticmethod
    def _is_voice(gate: Activity, piece: Sequence[bytes]) -> bool:
        windows = [
            window
            for frame in piece
            for window in gate.feed(np.frombuffer(frame, "<i2").astype(np.float32) / np.float32(32768))
        ]
        return any(window.probability >= LIKELY for window in windows)


def resident() -> float:
    """MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
