"""Residents and dispatchers who behave as people do: who is rung answers, who has talked hangs up.

Whom the robot rings does what it asks her for. A person can be told to wait with the answer (`willing`), or with what
she would say next (`resolute`), so that a step of the story holds still.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from demo import sound
from demo.softphone import PhoneCall, PhoneError, Softphone
from faults.house import LINE, PATIENCE, Act, Deed, House, Pitch

TALKS_FOR = 1.8
"""Seconds; longer than the `talk` of chase.toml, with the answer's way to Asterisk."""
LONGEST_TALK = 60.0
WAITS_FOR = 45.0
"""Seconds a resident bears to wait for a dispatcher."""
SPEAKS_WITHIN = 8.0
"""Seconds she listens into a silent line before she puts it down."""
EAR = 0.1
"""Seconds of sound in which a pitch is known."""
CLEAR = 0.5
"""Share of the energy that is that pitch's."""
UNTIL_TONE_IS_OVER = 0.6
"""Seconds from the beginning of the prompt that asks for a comment."""
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


@dataclass(eq=False, slots=True)
class Ear:
    """Knows by its pitch what is said."""

    call: PhoneCall
    sounding: Pitch | None = None

    async def next(self, within: float = SPEAKS_WITHIN) -> Pitch | None:
        """What begins to sound next; None: nothing, for so many seconds. Raises PhoneError when the call ends."""
        for _ in range(round(within / EAR)):
            before, self.sounding = self.sounding, hears(await self.call.hears(seconds=EAR))
            if self.sounding not in {None, before}:
                return self.sounding
        return None


def hears(heard: sound.Sound) -> Pitch | None:
    """Which of the pitches is in it, clearly."""
    if sound.loudness(heard) < sound.VOICE_DBFS:
        return None
    return next((pitch for pitch in Pitch if sound.tone_share(heard, pitch) > CLEAR), None)


@dataclass(eq=False)
class Resident(Person):
    """She hangs up when she has talked for a while; the robot she tells what she thinks."""

    house: House = field(kw_only=True)
    """Where it is kept what she has done."""
    talks_for: float = TALKS_FOR
    has_talked: asyncio.Event = field(default_factory=asyncio.Event)
    call: PhoneCall | None = None
    """The one she made last."""
    rating: int = 4
    """What she thinks of a job."""
    wants_dispatcher: bool = False
    """When the robot offers her one…"""
    bears: float = WAITS_FOR
    """… and how many seconds she waits for her then."""
    thinks_over: Pitch | None = None
    """When she hears that she does nothing, until she is `resolute`."""
    resolute: asyncio.Event = field(default_factory=asyncio.Event)
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once she has said after the tone what is wrong."""
    _heard: dict[Pitch, asyncio.Event] = field(default_factory=dict)
    _pressed: str | None = None

    async def _minds(self, call: PhoneCall) -> None:
        began = datetime.now(UTC)
        try:
            await super()._minds(call)
        finally:
            self.house.rings.append((self.number, began, datetime.now(UTC)))

    async def answers(self, call: PhoneCall) -> None:
        await super().answers(call)
        began = time.monotonic()
        ear = Ear(call)
        try:
            pitch = await ear.next()
            if pitch is Pitch.GREETING:
                await asyncio.sleep(began + self.talks_for - time.monotonic())
            else:
                await self._talks_with_robot(ear, pitch)
        finally:
            await hang_up(call)
            self.has_talked.set()

    def heard(self, pitch: Pitch) -> asyncio.Event:
        """Set once the robot has said that to her."""
        return self._heard.setdefault(pitch, asyncio.Event())

    def does(self, deed: Deed, key: str | None = None) -> None:
        self.house.acts.append(Act(self.number, datetime.now(UTC), deed, key))

    async def _talks_with_robot(self, ear: Ear, pitch: Pitch | None) -> None:
        self.talks.of(self.number).clear()
        self._pressed = None
        while pitch is not None:
            self.heard(pitch).set()
            await self._minds_what_it_says(ear.call, pitch)
            pitch = await ear.next()

    async def _minds_what_it_says(self, call: PhoneCall, pitch: Pitch) -> None:
        match pitch:
            case Pitch.ASKS:
                await self._considers(call, pitch)
                await self.is_asked(call)
            case Pitch.THANKS | Pitch.SORRY if self._pressed:
                self.does("thanked", self._pressed)
            case Pitch.COMMENT:
                await self._complains(call)
            case Pitch.OFFER:
                await self._considers(call, pitch)
                await self._presses(call, "1" if self.wants_dispatcher else "2")
            case Pitch.TRANSFER:
                self.does("handed_over")
                await self._considers(call, pitch)
                await self.waits(call, self.bears, self.talks_for)
                await hang_up(call)

    async def is_asked(self, call: PhoneCall) -> None:
        await self.says_by_key(call, str(self.rating))

    async def says_by_key(self, call: PhoneCall, key: str) -> None:
        """Her answer to the question."""
        self._pressed = key
        await self._presses(call, key)

    async def _presses(self, call: PhoneCall, key: str) -> None:
        self.does("pressed", key)
        await call.press(key)

    async def _complains(self, call: PhoneCall) -> None:
        """To the end of the tone she waits."""
        await asyncio.sleep(UNTIL_TONE_IS_OVER)
        call.says(self.house.complaint)
        await call.has_said_all(within=PATIENCE)
        self.does("spoke")
        self.spoke.set()
        await self._considers(call, Pitch.COMMENT)
        await self._presses(call, "#")

    async def _considers(self, call: PhoneCall, pitch: Pitch) -> None:
        """Until she is resolute, or the call has ended."""
        if pitch is not self.thinks_over:
            return
        resolute = asyncio.create_task(self.resolute.wait())
        ended = asyncio.create_task(call.ended(within=LONGEST_TALK))
        await _first_of(resolute, ended)

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
        await _first_of(met, ended)
        if met.done() and not met.cancelled():
            await asyncio.sleep(talks_for)


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait for it; the others are given up."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hang_up(call: PhoneCall) -> None:
    """Whatever the other side does, or does not do any more."""
    with contextlib.suppress(PhoneError):
        await call.hang_up()


@asynccontextmanager
async def resident(house: House, number: str, talks: Talks) -> AsyncIterator[Resident]:
    async with house.resident_phone(number) as phone:
        person = Resident(phone, talks, house=house)
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
