"""Residents and dispatchers who behave as people do: who is rung answers, who has talked hangs up.

A person can be told to wait with the answer (`willing`), so that a step of the story holds still.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from demo.softphone import PhoneCall, PhoneError, Softphone
from faults.house import LINE, PATIENCE, House

TALKS_FOR = 1.8
"""Seconds; longer than the `talk` of chase.toml, with the answer's way to Asterisk."""
LONGEST_TALK = 60.0
WAITS_FOR = 45.0
"""Seconds a resident bears to wait for a dispatcher."""
FOREVER = 10**6


@dataclass(eq=False, slots=True)
class Talks:
    """Who talks with whom now: a dispatcher who answers tells the resident's script."""

    begun: dict[str, asyncio.Event] = field(default_factory=dict)

    def of(self, number: str) -> asyncio.Event:
        return self.begun.setdefault(number, asyncio.Event())


@dataclass(eq=False)
class Person:
    """Somebody with a phone, who answers it when she is willing."""

    phone: Softphone
    talks: Talks
    willing: asyncio.Event = field(default_factory=asyncio.Event)
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    """Her phone rings, or has rung."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    times_rung: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def number(self) -> str:
        return self.phone.number

    @asynccontextmanager
    async def attentive(self) -> AsyncIterator[None]:
        """Meanwhile she hears her phone."""
        listening = asyncio.create_task(self._listen(), name=f"{self.number} listens")
        try:
            yield
        finally:
            everything = [listening, *self._tasks]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            call = await self.phone.rings(within=FOREVER)
            self.times_rung += 1
            self.rung.set()
            task = asyncio.create_task(self._minds(call), name=f"{self.number} minds a call")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _minds(self, call: PhoneCall) -> None:
        with contextlib.suppress(PhoneError):
            ended = asyncio.create_task(call.ended(within=LONGEST_TALK))
            willing = asyncio.create_task(self.willing.wait())
            try:
                await asyncio.wait({ended, willing}, return_when=asyncio.FIRST_COMPLETED)
                if call.reason is None:
                    await self.answers(call)
            finally:
                for task in (ended, willing):
                    task.cancel()
                await asyncio.gather(ended, willing, return_exceptions=True)

    async def answers(self, call: PhoneCall) -> None:
        await call.answer()
        self.answered.set()

    async def drops_everything(self) -> None:
        """The exchange has died: what still seems to ring or to talk is dead."""
        await asyncio.gather(*(hang_up(call) for call in self.phone.calls if call.reason is None))


class Dispatcher(Person):
    """She stays until the other side has hung up."""

    async def answers(self, call: PhoneCall) -> None:
        await super().answers(call)
        self.talks.of(call.caller_number).set()
        with contextlib.suppress(PhoneError):
            await call.ended(within=LONGEST_TALK)
        await hang_up(call)


@dataclass(eq=False)
class Resident(Person):
    """She hangs up when she has talked for a while."""

    talks_for: float = TALKS_FOR
    has_talked: asyncio.Event = field(default_factory=asyncio.Event)
    call: PhoneCall | None = None
    """The one she made last."""

    async def answers(self, call: PhoneCall) -> None:
        await super().answers(call)
        await asyncio.sleep(self.talks_for)
        await hang_up(call)
        self.has_talked.set()

    async def dials(self) -> PhoneCall:
        self.talks.of(self.number).clear()
        self.call = await self.phone.dial(LINE)
        await self.call.answered(within=PATIENCE)
        return self.call

    async def carries_on(self) -> None:
        """What she does with the call she has: waits for a dispatcher, talks, hangs up."""
        if self.call is not None and self.call.reason is None:
            await self.waits(self.call, WAITS_FOR, self.talks_for)
            await hang_up(self.call)

    async def waits(self, call: PhoneCall, bears: float, talks_for: float) -> None:
        """Until she has talked, or the call has ended, or she bears it no longer. Seconds."""
        met = asyncio.create_task(self.talks.of(self.number).wait())
        ended = asyncio.create_task(call.ended(within=bears))
        await asyncio.wait({met, ended}, return_when=asyncio.FIRST_COMPLETED)
        if met.done():
            await asyncio.sleep(talks_for)
        for task in (met, ended):
            task.cancel()
        await asyncio.gather(met, ended, return_exceptions=True)


async def hang_up(call: PhoneCall) -> None:
    """Whatever the other side does, or does not do any more."""
    with contextlib.suppress(PhoneError):
        await call.hang_up()


@asynccontextmanager
async def resident(house: House, number: str, talks: Talks) -> AsyncIterator[Resident]:
    async with house.resident_phone(number) as phone:
        person = Resident(phone, talks)
        person.willing.set()
        async with person.attentive():
            yield person


@asynccontextmanager
async def dispatcher(house: House, extension: str, talks: Talks) -> AsyncIterator[Dispatcher]:
    async with house.dispatcher_phone(extension) as phone:
        person = Dispatcher(phone, talks)
        person.willing.set()
        async with person.attentive():
            yield person
