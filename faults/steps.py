"""The one list of steps at which something is killed: each knows how to come there, and that it is there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from demo.softphone import PhoneCall
from faults.house import EXTENSIONS, PATIENCE, House, Pitch, Row
from faults.people import TALKS_FOR, Dispatcher, Resident, Talks, dispatcher, hang_up, resident

WELL_INTO = 6.0
"""Seconds: a talk of this length is one, however it ends."""
SHORT_OF_A_TALK = 0.4
AGREED_IN = 4.0
"""Seconds: a survey that waits for an hour agreed with the resident, and is not due yet."""
BAD = 1
"""A rating that opens the ticket again."""

_numbers = itertools.count(9_160_000_001)
_extensions = itertools.cycle(EXTENSIONS)


@dataclass(eq=False)
class Scene:
    """One resident of her own in a house, and the dispatchers who come to their phones for her."""

    house: House
    ivan: Resident
    talks: Talks
    dispatchers: list[Dispatcher] = field(default_factory=list)
    chat: PhoneCall | None = None
    claimed_by: str | None = None
    """The controller that has placed the robot's call, when the ledger will not be there to tell."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def on_duty(self, *, willing: bool = True) -> Dispatcher:
        """A dispatcher comes to her phone, and the queue knows it."""
        person = await self._stack.enter_async_context(dispatcher(self.house, next(_extensions), self.talks))
        if not willing:
            person.willing.clear()
        self.dispatchers.append(person)
        await self.house.until(lambda: self._is_there(person), f"{person.number} is there for the queue")
        return person

    async def _is_there(self, person: Dispatcher) -> bool:
        """She may be rung already, or talk: somebody is owed a call."""
        lines = (await self.house.console("queue show dispatch")).splitlines()
        here = ("Not in use", "Ringing", "In use", "Busy")
        return any(
            f"PJSIP/{person.number}" in line and any(f"({how})" in line for how in here) for line in lines
        )

    async def busy(self) -> None:
        """Two dispatchers are at their phones, and talk with one another."""
        one, other = await self.on_duty(), await self.on_duty()
        self.chat = await one.phone.dial(other.number)
        await self.chat.answered(within=PATIENCE)

    async def fact(self, kind: str, direction: str = "inbound", **detail: object) -> None:
        """It stands in the timeline of the resident's latest call."""
        sql = """
            SELECT 1 FROM call_facts f WHERE kind::text = $2 AND detail @> $4 AND call_id = (
                SELECT id FROM calls WHERE caller = $1 AND direction::text = $3 ORDER BY arrived_at DESC LIMIT 1)"""

        async def look() -> bool:
            return bool(await self.house.rows(sql, self.ivan.number, kind, direction, detail))

        await self.house.until(look, f"{kind} {detail} of the {direction} call of {self.ivan.number}")

    async def promise(self) -> Row | None:
        rows = await self.house.rows(
            "SELECT p.*, status::text AS status FROM promises p WHERE phone = $1 ORDER BY id DESC LIMIT 1",
            self.ivan.number,
        )
        return rows[0] if rows else None

    async def is_owed(self) -> None:
        """She hangs up too early, and the promise is written; nobody is there to keep it."""
        await hang_up(await self.ivan.dials())
        await self.house.until(self.promise, f"{self.ivan.number} is owed a call")

    async def job_done(self, agreed_in: float = 0) -> int:
        """A job of hers is closed, and she knows what she will say of it. The ticket's number."""
        self.ivan.does("means", str(self.ivan.rating))
        return await self.house.job_done(self.ivan.number, agreed_in)

    async def robot_says(self, pitch: Pitch) -> None:
        """She has heard it, and does nothing until the story goes on."""
        self.ivan.thinks_over = pitch
        await self.job_done()
        await within(self.ivan.heard(pitch), f"the robot says {pitch.name} to {self.ivan.number}")

    async def job_done_badly(self) -> None:
        """She is to tell the robot so, and to ask for a dispatcher."""
        self.ivan.rating, self.ivan.wants_dispatcher = BAD, True
        await self.robot_says(Pitch.TRANSFER)

    async def claimant(self, claims: Literal["attempts", "survey_calls"]) -> str | None:
        """The controller that has claimed the latest call to her, one of these two kinds."""
        rows = await self.house.rows(
            f"SELECT controller FROM {claims} JOIN calls ON id = call_id WHERE caller = $1 "  # noqa: S608
            "ORDER BY attempt DESC LIMIT 1",
            self.ivan.number,
        )
        return self.house.whose(rows[0]["controller"]) if rows else None

    async def to_the_queue(self) -> PhoneCall:
        call = await self.ivan.dials()
        await call.press("1")
        return call

    async def goes_on(self, *, exchange_died: bool) -> None:
        """From here on everybody is sensible: who is rung answers, who is on the line waits and talks."""
        people = [self.ivan, *self.dispatchers]
        for person in people:
            person.willing.set()
        self.ivan.resolute.set()
        if exchange_died:
            await asyncio.gather(*(person.drops_everything() for person in people))
        if self.chat is not None:
            await hang_up(self.chat)
        if not self.dispatchers:
            await self.on_duty()
        await self.ivan.carries_on()

    async def settled(self, within: float) -> None:
        """Her calls have ended and are written, and nobody owes her anything."""

        async def look() -> bool:
            promise = await self.promise()
            return (promise is None or promise["closed_at"] is not None) and await self.house.is_quiet()

        await self.house.until(look, "all is quiet again, and nothing is owed", within)


@asynccontextmanager
async def scene(house: House) -> AsyncIterator[Scene]:
    talks = Talks()
    async with AsyncExitStack() as stack, resident(house, f"+7{next(_numbers)}", talks) as ivan:
        try:
            yield Scene(house, ivan, talks, _stack=stack)
        finally:
            house.let_go()


async def greeting(it: Scene) -> None:
    await it.on_duty()
    await it.ivan.dials()
    await it.fact("prompt", prompt="welcome")


async def menu(it: Scene) -> None:
    await it.on_duty()
    await it.ivan.dials()
    await it.fact("prompt", prompt="menu_main")


async def queued(it: Scene) -> None:
    await it.busy()
    await it.to_the_queue()
    await it.fact("queued")


async def ringing(it: Scene) -> None:
    anna = await it.on_duty(willing=False)
    await it.to_the_queue()
    await within(anna.rung, "a dispatcher is rung")
    await it.fact("rang")


async def just_answered(it: Scene) -> None:
    anna = await it.on_duty()
    await it.to_the_queue()
    await within(anna.answered, "a dispatcher answers")


async def talking(it: Scene) -> None:
    await just_answered(it)
    await it.fact("answered")
    await asyncio.sleep(WELL_INTO)


async def message(it: Scene) -> None:
    await it.busy()
    call = await it.to_the_queue()
    await it.fact("queued")
    await call.press("2")
    await it.fact("message")


async def callback_asked(it: Scene) -> None:
    await it.busy()
    call = await it.to_the_queue()
    await it.fact("queued")
    await call.press("1")
    await it.fact("left_queue", status="CALLBACK")


async def hung_up(it: Scene) -> None:
    await it.busy()
    call = await it.to_the_queue()
    await it.fact("queued")
    await hang_up(call)


async def promised(it: Scene) -> None:
    await it.is_owed()


async def claimed(it: Scene) -> None:
    for wire in it.house.wires.values():
        wire.hold_back(b"Originate")
    await it.is_owed()
    await it.on_duty()

    async def look() -> bool:
        return any(wire.holds for wire in it.house.wires.values())

    await it.house.until(look, "the order to call back is on its way")


async def standing_in(it: Scene) -> None:
    await it.busy()
    await it.is_owed()
    await it.fact("queued", "callback")


async def dispatcher_rung(it: Scene) -> None:
    await it.is_owed()
    anna = await it.on_duty(willing=False)
    await within(anna.rung, "a dispatcher is rung for the call back")


async def accepted(it: Scene) -> None:
    await it.is_owed()
    await it.on_duty()
    await it.fact("accepted", "callback")


async def resident_rung(it: Scene) -> None:
    it.ivan.willing.clear()
    await accepted(it)
    await within(it.ivan.rung, "the resident is rung")


async def called_back(it: Scene) -> None:
    await accepted(it)
    await within(it.ivan.answered, "the resident answers")


async def just_ended(it: Scene) -> None:
    it.ivan.talks_for = SHORT_OF_A_TALK
    await accepted(it)
    await within(it.ivan.has_talked, "the resident answers and hangs up")
    it.ivan.talks_for = TALKS_FOR


async def kept(it: Scene) -> None:
    await it.is_owed()
    await it.on_duty()

    async def look() -> bool:
        promise = await it.promise()
        return promise is not None and promise["status"] == "kept"

    await it.house.until(look, "the promise is kept")


async def job_closed(it: Scene) -> None:
    await it.job_done()


async def survey_planned(it: Scene) -> None:
    await it.job_done(AGREED_IN)

    async def look() -> bool:
        sql = "SELECT 1 FROM surveys WHERE phone = $1 AND status = 'planned'"
        return bool(await it.house.rows(sql, it.ivan.number))

    await it.house.until(look, "the survey is planned")


async def survey_claimed(it: Scene) -> None:
    for wire in it.house.wires.values():
        wire.hold_back(b"Originate")
    await it.job_done()

    async def look() -> bool:
        return any(wire.holds for wire in it.house.wires.values())

    await it.house.until(look, "the order to ring her is on its way")


async def robot_rings(it: Scene) -> None:
    it.ivan.willing.clear()
    await it.job_done()
    await within(it.ivan.rung, "the robot rings her")


async def robot_rings_again(it: Scene) -> None:
    """As often as it may on one day: she has not heard her phone so far."""
    it.ivan.willing.clear()
    await it.job_done()

    async def look() -> bool:
        return it.ivan.times_rung == it.house.survey_rules.a_day

    await it.house.until(look, "the robot rings her for the last time that day", 2 * PATIENCE)


async def asked(it: Scene) -> None:
    await it.robot_says(Pitch.ASKS)


async def rated(it: Scene) -> None:
    await it.robot_says(Pitch.THANKS)


async def rated_without_postgres(it: Scene) -> None:
    """What she says is on disk only."""
    await it.robot_says(Pitch.ASKS)
    it.claimed_by = await it.claimant("survey_calls")
    await it.house.take_away("postgres")
    it.ivan.thinks_over = Pitch.THANKS
    it.ivan.resolute.set()
    await within(it.ivan.heard(Pitch.THANKS), "the robot thanks her")


async def commenting(it: Scene) -> None:
    it.ivan.rating = BAD
    await it.robot_says(Pitch.COMMENT)
    await within(it.ivan.spoke, "she has said what is wrong")


async def dispatcher_wanted(it: Scene) -> None:
    await it.busy()
    await it.job_done_badly()


async def handed_over(it: Scene) -> None:
    await it.busy()
    await it.job_done_badly()
    await it.fact("queued", "survey")


async def talking_after_robot(it: Scene) -> None:
    anna = await it.on_duty()
    await it.job_done_badly()
    await within(anna.answered, "a dispatcher answers whom the robot has handed over")
    await it.fact("answered", "survey")
    await asyncio.sleep(WELL_INTO)


async def survey_ended(it: Scene) -> None:
    await it.job_done()
    await within(it.ivan.has_talked, "the robot's call ends")


async def within(event: asyncio.Event, what: str, seconds: float = PATIENCE) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        raise TimeoutError(f"not within {seconds:g} s: {what}") from None


@dataclass(frozen=True, slots=True)
class Step:
    """A moment of a story."""

    name: str
    story: Literal["inbound", "chase", "survey"]
    bring: Callable[[Scene], Awaitable[None]]

    def __str__(self) -> str:
        return self.name


STEPS = (
    Step("greeting", "inbound", greeting),
    Step("menu", "inbound", menu),
    Step("queued", "inbound", queued),
    Step("ringing", "inbound", ringing),
    Step("just answered", "inbound", just_answered),
    Step("talking", "inbound", talking),
    Step("leaving a message", "inbound", message),
    Step("asked for a call back", "inbound", callback_asked),
    Step("just hung up", "inbound", hung_up),
    Step("promise written", "chase", promised),
    Step("claimed, not placed", "chase", claimed),
    Step("stand-in in the queue", "chase", standing_in),
    Step("dispatcher rung", "chase", dispatcher_rung),
    Step("accepted", "chase", accepted),
    Step("resident rung", "chase", resident_rung),
    Step("called back", "chase", called_back),
    Step("just ended", "chase", just_ended),
    Step("kept", "chase", kept),
    Step("job closed", "survey", job_closed),
    Step("survey planned", "survey", survey_planned),
    Step("survey claimed, not placed", "survey", survey_claimed),
    Step("rung by the robot", "survey", robot_rings),
    Step("rung for the last time that day", "survey", robot_rings_again),
    Step("asked", "survey", asked),
    Step("rated", "survey", rated),
    Step("rated while Postgres is away", "survey", rated_without_postgres),
    Step("leaving a comment", "survey", commenting),
    Step("a dispatcher wanted", "survey", dispatcher_wanted),
    Step("handed over", "survey", handed_over),
    Step("talking after the robot", "survey", talking_after_robot),
    Step("survey just ended", "survey", survey_ended),
)
