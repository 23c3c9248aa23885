"""The robot at work: the prompts of a job made ready, a conversation held over its stream, the campaign's ticks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from ivr.asterisk.audiosocket import AudioServer, AudioStream
from ivr.asterisk.follower import Follower
from ivr.asterisk.listening import AudioLine
from ivr.asterisk.robot import AmiRobot
from ivr.call import Call, Direction, Fact, Kind
from ivr.chasing import Chasing
from ivr.dialplan.understanding import Pack
from ivr.errors import Disconnected, HungUp, PeerError
from ivr.narrator import Narrator
from ivr.speech.activity import Detectors
from ivr.speech.ears import Recogniser
from ivr.speech.listener import Listener
from ivr.store import Outbox
from ivr.switchboard import Switchboard
from ivr.ticks import whenever
from robocalls.campaign import Campaign
from robocalls.nouns import Job, Said
from robocalls.survey import PUT_THROUGH, Transfer, survey

log = logging.getLogger(__name__)

STREAM_WITHIN = 180.0
"""Seconds from the order to ring to her stream: longer than any phone rings."""


@dataclass(slots=True)
class Talker:
    """Holds the robot's conversations, each over a stream of its own."""

    door: AudioServer
    narrator: Narrator
    switchboard: Switchboard
    outbox: Outbox
    pack: Pack
    comments: Path
    """The folder where comments are written while they are spoken."""
    now: Callable[[], datetime]
    spawn: Callable[[Coroutine[Any, Any, None], str], object]
    hand_over: Callable[[Job, Transfer], Coroutine[Any, Any, None]]
    ears: Recogniser | None = None
    detectors: Detectors = field(default_factory=Detectors)
    _expected: dict[str, asyncio.Future[AudioStream]] = field(default_factory=dict)

    async def expect(self, job: Job) -> UUID:
        """Have everything ready for when she answers; her stream asks by this id. Raises MissingPart."""
        prompts = await self.narrator.of_job(self.switchboard.numbers.company_of(job.line), job)
        call = self.switchboard.open(job.call, self.now(), job.phone, job.line, Direction.SURVEY)
        call.company_id, call.category = job.company_id, job.category
        uuid = uuid4()
        self._expected[job.call] = self.door.expect(uuid, within=STREAM_WITHIN)
        self.spawn(self._hold(job, prompts, self._expected[job.call]), f"survey {job.call}")
        return uuid

    def hear_with(self, ears: Recogniser | None) -> None:
        self.ears = ears
        if ears is not None:
            self.pack = self.pack.heard_by(ears.missing(self.pack.words()), ears.trust)

    def follow(self, call: Call, fact: Fact) -> None:
        """Nobody waits any more for the stream of a call that has ended."""
        if fact.kind is Kind.ENDED and (expected := self._expected.pop(call.id, None)):
            expected.cancel()

    async def _hold(self, job: Job, prompts: Any, expected: asyncio.Future[AudioStream]) -> None:
        try:
            stream = await expected
        except (Disconnected, asyncio.CancelledError):
            return  # nobody has answered
        listener = Listener(self.ears, self.detectors)
        line = AudioLine(
            stream,
            listener,
            prompts,
            self.switchboard.take,
            self.now,
            call=job.call,
            comment=self.comments / f"{job.call}.wav",
            hears=self.ears is not None,
        )
        numbers = count(1)

        def tell(said: Said) -> None:
            self._tell(job, said, next(numbers))

        async with line:
            try:
                ending = await survey(line, job, self.pack, tell, self.now)
            except HungUp:
                return
            except Exception:
                log.exception("a conversation broke off", extra={"call": job.call})
                return
            if isinstance(ending, Transfer):
                await self._transfer(job, ending)
                with contextlib.suppress(HungUp):
                    await line.say(PUT_THROUGH, barge_in=False)

    def _tell(self, job: Job, said: Said, number: int) -> None:
        """Into the call's timeline, and onto the survey and its ticket."""
        at, key = self.now(), f"said/{number}"
        detail = {"result": said.result, "by": said.by, "rating": said.rating, **said.detail}
        self.switchboard.take(Fact(job.call, at, Kind.SAID, key, "resident", detail))
        self.outbox.write(
            "surveys.answer",
            call=job.call,
            key=key,
            at=at,
            result=said.result,
            rating=said.rating,
            by=said.by,
            detail=dict(said.detail),
        )

    async def _transfer(self, job: Job, ending: Transfer) -> None:
        try:
            await self.hand_over(job, ending)
        except PeerError as error:
            # her line ends now; whoever asked for a dispatcher and got none is owed a call.
            log.error("she cannot be handed over", extra={"call": job.call, "why": str(error)})


class Surveying:
    """Runs the campaign: when something wakes it, and at every tick."""

    def __init__(
        self,
        campaign: Campaign,
        robot: AmiRobot,
        talker: Talker,
        follower: Follower,
        chasing: Chasing,
        now: Callable[[], datetime],
    ) -> None:
        self._campaign, self._robot, self._talker = campaign, robot, talker
        self._follower, self._chasing, self._now = follower, chasing, now
        self._wanted = asyncio.Event()

    def start(self, ears: Recogniser | None, calls: int) -> None:
        """Ring from now on, with these ears or none, so many calls at once."""
        self._talker.hear_with(ears)
        self._robot.carries = calls
        self.wake()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        await whenever(self._wanted, self._look)

    async def _look(self) -> None:
        """What the ledger does not know yet settles nothing, and leaves no phone free."""
        if not self._chasing.knows_all():
            return
        now = self._now()
        await self._campaign.plan(now)
        await self._campaign.settle(now)
        await self._campaign.call_due(now)

    async def look_after(self) -> None:
        if self._chasing.knows_all():
            await self._campaign.look_after(await self._follower.alive(), self._now())
