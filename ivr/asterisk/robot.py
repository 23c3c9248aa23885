"""The robot's phone: surveys rung through one Asterisk over AMI (`robocalls.nouns.Robot`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from ivr.asterisk.desk import is_number, on_the_line, plain, seconds, word
from ivr.asterisk.manager import Ami
from ivr.call import Call, Direction
from ivr.errors import PeerError
from robocalls.nouns import Job, Load


class AmiRobot:
    """Rings residents, and hands them to a dispatcher who wants one."""

    def __init__(
        self,
        ami: Ami,
        name: str,
        dial_out: str | None,
        *,
        ring: timedelta,
        calls: Mapping[str, Call],
        ears_at: str,
        answered: Callable[[Job], Awaitable[UUID]],
        now: Callable[[], datetime],
    ) -> None:
        """`dial_out` is the dial string with {number}; `ring` how long her phone rings; `calls` those that go on;
        `ears_at` where Asterisk finds our AudioSocket door. `answered` has the prompts of a job ready and tells by
        which id its stream will ask for them."""
        self._ami, self.name, self._dial_out = ami, name, dial_out
        self._ring, self._calls = ring, calls
        self.carries = 0
        """How many calls at once the ears can follow; none before they are there."""
        self._ears_at, self._answered, self._now = ears_at, answered, now

    def is_on_the_line(self, phone: str) -> bool:
        return on_the_line(self._calls, phone)

    async def load(self) -> Load:
        if self._dial_out is None:
            raise PeerError("nobody can be rung from here: no trunk")
        on = [call for call in self._calls.values() if call.ended_at is None]
        waiting = sum(call.queued_at is not None and call.answered_at is None for call in on)
        robots = sum(call.direction is Direction.SURVEY for call in on)
        return Load(waiting=waiting, channels=len(on), robots=robots)

    async def ring(self, job: Job, place_by: datetime) -> None:
        if self._dial_out is None or not is_number(job.phone):
            raise PeerError(f"{job.call}: nobody can be rung: no trunk, or a strange number")
        stream = await self._answered(job)
        if not self._ami.linked or self._now() > place_by:
            raise PeerError(f"{job.call}: not sent: no AMI link, or too late by now")
        line = job.line if job.line and is_number(job.line) else ""
        variables = {"EARS": str(stream), "EARS_AT": self._ears_at, "PHONE": job.phone, "LINE": line}
        await self._ami.ask(
            "Originate",
            to_the_end=False,
            ActionID=job.call,
            Channel=self._dial_out.format(number=job.phone, digits=job.phone.lstrip("+")),
            ChannelId=job.call,
            Context="survey",
            Exten="s",
            Priority="1",
            CallerID=f"<{line}>",
            Timeout=str(seconds(self._ring) * 1000),
            Async="true",
            Variable=[f"{name}={value}" for name, value in variables.items()],
        )

    async def hand_over(self, job: Job, title: str, priority: int) -> None:
        """When her stream ends she goes to the dispatchers; `title` is what their phones show. Raises PeerError."""
        variables = {
            "TITLE": plain(title),
            "CATEGORY": word(job.category),
            "QUEUE": word(job.queue),
            "QUEUE_PRIO": str(priority),
            "PLACE": "queue",
        }
        for name, value in variables.items():
            await self._ami.ask("Setvar", Channel=job.call, Variable=name, Value=value)
