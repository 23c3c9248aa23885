"""A storm: residents and dispatchers who do as they like, the robot among them, while parts die at random; then all
is looked at.

Chance comes from one seed, which is printed; the same seed makes the same choices, though not the same moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from appliance.native import Native
from demo import sound
from demo.softphone import PhoneCall, PhoneError
from faults import checks
from faults.checks import Finding
from faults.house import EXTENSIONS, LINE, House, NotWithin
from faults.people import Dispatcher, Resident, Talks, hang_up

RESIDENTS, DISPATCHERS, AT_ONCE = 48, 6, 24
"""How many there are, and how many of the residents call at a time."""
ANSWERED_WITHIN = 5.0
RESTS = 30.0
"""Seconds between two calls of a resident, on average."""
BEARS = 20.0
"""Seconds a resident bears to wait in the storm."""
CALLS_A_JOB = 3
"""So many calls there are for each job that is closed, and asked about."""
IS_OPEN = 0.5
"""How often it is one whose ticket is open, from a talk or by the robot, if she has such a one."""
SETTLES_WITHIN = 300.0
TELLS_EVERY = 5.0
FAULTS = {
    "controller killed": 20,
    "postgres killed": 20,
    "asterisk killed": 8,
    "controller stopped for a while": 20,
    "asterisk stopped for a while": 8,
    "AMI link cut": 32,
}
"""Each with its weight."""


def house(native: Native, home: Path, controllers: int) -> House:
    """One in which everything is short."""
    return House(
        native,
        home,
        controllers=controllers,
        prompt=0.2,
        long_prompt=0.4,
        queue_limit=25,
        offer_after=8,
        a_day=10,
    )


@dataclass(eq=False)
class Storm:
    """`await run()`; then `findings`."""

    house: House
    seed: int
    calls: int
    faults: int
    say: Callable[[str], object] = print
    done: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    calls_begun: int = 0
    seconds: float = 0.0
    trouble: str | None = None
    over: bool = False
    """From here on everybody is sensible."""
    dialled: list[tuple[str, datetime]] = field(default_factory=list)
    """Whose call was seen answered by her phone, and when."""
    people: list[Resident | Dispatcher] = field(default_factory=list)
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    """The last call has begun."""

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a storm, not a secret
        self.talks = Talks()

    async def run(self) -> None:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            residents = await self._people(stack)
            telling = asyncio.create_task(self._tell(began))
            try:
                places = asyncio.Semaphore(AT_ONCE)
                beside = asyncio.gather(self._weather(), self._work(residents))
                await asyncio.gather(*(self._life(ivan, places) for ivan in residents))
                await beside
                self.over = True
                await self._calms_down()
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
        self.findings = await checks.look(self.house, self.dialled)
        self.seconds = time.monotonic() - began

    async def _people(self, stack: AsyncExitStack) -> list[MoodyResident]:
        residents = []
        for place in range(RESIDENTS):
            phone = await stack.enter_async_context(self.house.resident_phone(f"+7917{place:07}"))
            residents.append(MoodyResident(phone, self.talks, house=self.house, storm=self, bears=BEARS))
        for extension in EXTENSIONS[:DISPATCHERS]:
            phone = await stack.enter_async_context(self.house.dispatcher_phone(extension))
            self.people.append(MoodyDispatcher(phone, self.talks, storm=self))
        self.people += residents
        for person in self.people:
            person.willing.set()
            await stack.enter_async_context(person.attentive())
        return residents

    # residents

    async def _life(self, ivan: MoodyResident, places: asyncio.Semaphore) -> None:
        """She calls again and again, until all have called often enough."""
        await self._rests(self.dice.uniform(0, RESTS))
        while self.calls_begun < self.calls:
            async with places:
                if self.calls_begun >= self.calls:
                    return
                self.calls_begun += 1
                if self.calls_begun == self.calls:
                    self._enough.set()
                with contextlib.suppress(PhoneError):
                    await self._one_call(ivan)
            await self._rests(self.dice.expovariate(1 / RESTS))

    async def _rests(self, seconds: float) -> None:
        """Not longer than there are calls to be made."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._enough.wait()

    async def _one_call(self, ivan: MoodyResident) -> None:
        self.talks.of(ivan.number).clear()
        try:
            call = await ivan.phone.dial(LINE)
        except PhoneError:
            self.done["calls not dialled"] += 1
            return
        ivan.call = call
        try:
            await call.answered(within=ANSWERED_WITHIN)
        except PhoneError:
            self.done["calls not answered: nobody was there"] += 1
        else:
            self.dialled.append((ivan.number, datetime.now(UTC)))
            what = self.dice.choices(list(WAYS), [way[0] for way in WAYS.values()])[0]
            self.done[f"residents who {what}"] += 1
            with contextlib.suppress(PhoneError):
                await WAYS[what][1](self, ivan, call)
        await hang_up(call)

    async def leaves(self, _: MoodyResident, call: PhoneCall) -> None:
        with contextlib.suppress(PhoneError):
            await call.ended(within=self.dice.uniform(0, 6))

    async def waits(self, ivan: MoodyResident, call: PhoneCall) -> None:
        await call.press("1")
        await self._until_met(ivan, call)

    async def presses_about(self, ivan: MoodyResident, call: PhoneCall) -> None:
        for _ in range(self.dice.randint(1, 4)):
            await call.press(self.dice.choice("0123456789*#"))
            await asyncio.sleep(self.dice.uniform(0.1, 1.0))
        await self._until_met(ivan, call)

    async def leaves_a_message(self, ivan: MoodyResident, call: PhoneCall) -> None:
        await call.press("1")
        await asyncio.sleep(self.dice.uniform(1.0, 2.0))
        await call.press("2")
        call.says(sound.tone(440, 4.0))
        await asyncio.sleep(self.dice.uniform(1.0, 5.0))

    async def asks_to_be_called_back(self, ivan: MoodyResident, call: PhoneCall) -> None:
        await call.press("1")
        await asyncio.sleep(self.dice.uniform(1.0, 2.0))
        await call.press("1")
        with contextlib.suppress(PhoneError):
            await call.ended(within=3.0)

    async def _until_met(self, ivan: MoodyResident, call: PhoneCall) -> None:
        await ivan.waits(call, BEARS, self.dice.uniform(0.3, 3.0))

    # jobs

    async def _work(self, residents: list[MoodyResident]) -> None:
        """Jobs are done, and the robot asks about them."""
        for share in _spread(self.calls // CALLS_A_JOB):
            await self._until_called(share)
            ivan = self.dice.choice(residents)
            close = partial(self._job_is_done, ivan.number, is_open=self.dice.random() < IS_OPEN)
            self.done[await self.house.until(close, f"a job of {ivan.number} is closed", SETTLES_WITHIN)] += 1

    async def _job_is_done(self, number: str, *, is_open: bool) -> str:
        if is_open and await self.house.ticket_closed(number):
            return "jobs closed: open tickets"
        await self.house.job_done(number)
        return "jobs closed: new ones"

    async def _until_called(self, share: float) -> None:
        """Until so many of the calls have begun, of all."""
        while self.calls_begun < share * self.calls:  # noqa: ASYNC110 - the residents' pace
            await asyncio.sleep(0.05)

    # weather

    async def _weather(self) -> None:
        for share in _spread(self.faults):
            await self._until_called(share)
            what = self.dice.choices(list(FAULTS), list(FAULTS.values()))[0]
            await asyncio.sleep(self.dice.uniform(0, 0.5))
            await self._strike(what)
            self.done[what] += 1

    async def _strike(self, what: str) -> None:
        part, _, how = what.partition(" ")
        controller = self.dice.choice(self.house.controllers)
        if what == "AMI link cut":
            self.house.wires[controller].cut()
            return
        part = controller if part == "controller" else part
        while not self.house.runs(part):  # noqa: ASYNC110 - the supervisor's work
            await asyncio.sleep(0.05)
        if how == "killed":
            await self.house.kill(part)
        else:
            await self.house.stop_for(part, self.dice.uniform(0.5, 2.0))
        if what == "asterisk killed":
            await asyncio.gather(*(person.drops_everything() for person in self.people))

    # afterwards

    async def _calms_down(self) -> None:
        """What a controller makes of the log that comes back afterwards must be the same."""
        try:
            await self.house.until(self.house.is_quiet, "all is quiet, and nothing is owed", SETTLES_WITHIN)
            for controller in self.house.controllers:
                dead = self.house.pid(controller)
                await self.house.kill(controller)
                await self.house.is_back(controller, dead)
            await self.house.until(self.house.is_quiet, "all is quiet after one more start", SETTLES_WITHIN)
        except NotWithin as error:
            self.trouble = str(error)

    async def _tell(self, began: float) -> None:
        while True:
            await asyncio.sleep(TELLS_EVERY)
            struck = sum(self.done[what] for what in FAULTS)
            owed: object = "?"
            asked: object = "?"
            with contextlib.suppress(Exception):
                owed = await self.house.ledger.fetchval(
                    "SELECT count(*) FROM promises WHERE closed_at IS NULL"
                )
                asked = await self.house.ledger.fetchval(
                    "SELECT count(*) FILTER (WHERE settled_at IS NULL) || '/' || count(*) FROM surveys"
                )
            on = sum(call.is_up for person in self.people for call in person.phone.calls)
            self.say(
                f"{time.monotonic() - began:6.0f} s  calls {self.calls_begun}/{self.calls}  "
                f"faults {struck}/{self.faults}  phones off hook {on}  owed {owed}  "
                f"to be asked {asked}"
            )

    async def table(self) -> list[tuple[str, object]]:
        """What was done to the house, and what became of the calls."""
        promises = await self.house.rows(
            """SELECT CASE WHEN closed_at IS NULL THEN 'open' WHEN status = 'kept' THEN 'kept'
                           ELSE status || CASE WHEN reached_at IS NULL THEN '' ELSE ', reached late' END END AS what,
                      count(*) FROM promises GROUP BY 1 ORDER BY 1"""
        )
        attempts = await self.house.rows("SELECT count(*) FROM attempts")
        calls = await self.house.rows("SELECT count(*) FROM calls WHERE direction = 'inbound'")
        surveys = await self.house.rows(
            """SELECT concat_ws(', ', status, result, CASE WHEN result IS NULL THEN why END) AS what, count(*)
               FROM surveys GROUP BY 1 ORDER BY 2 DESC, 1"""
        )
        robot = await self.house.rows("SELECT count(*) FROM survey_calls")
        return [
            ("seed", self.seed),
            ("minutes", f"{self.seconds / 60:.1f}"),
            ("faults", sum(self.done[what] for what in FAULTS)),
            *((f"  {what}", self.done[what]) for what in FAULTS),
            ("calls begun", self.calls_begun),
            *((f"  {what}", count) for what, count in sorted(self.done.items()) if what not in FAULTS),
            ("calls in the ledger", calls[0]["count"]),
            ("promises", sum(row["count"] for row in promises)),
            *((f"  {row['what']}", row["count"]) for row in promises),
            ("calls back", attempts[0]["count"]),
            ("surveys", sum(row["count"] for row in surveys)),
            *((f"  {row['what']}", row["count"]) for row in surveys),
            ("calls of the robot", robot[0]["count"]),
        ]

    @property
    def is_good(self) -> bool:
        return self.trouble is None and not any(finding.rows for finding in self.findings)


WAYS: dict[str, tuple[int, Callable[[Storm, MoodyResident, PhoneCall], Awaitable[None]]]] = {
    "hang up anywhere": (35, Storm.leaves),
    "wait and talk": (40, Storm.waits),
    "press keys about": (10, Storm.presses_about),
    "leave a message": (8, Storm.leaves_a_message),
    "ask to be called back": (7, Storm.asks_to_be_called_back),
}
"""What a resident does, each with its weight."""


def _spread(count: int) -> Iterator[float]:
    """So many moments, evenly over the whole."""
    return ((number + 1) / (count + 1) for number in range(count))


KEYS = {"5": 30, "4": 20, "3": 12, "2": 8, "1": 12, "0": 6, "9": 2, "hangs up": 6, "is silent": 4}
"""What a resident does whom the robot asks, each with its weight."""


@dataclass(eq=False)
class MoodyResident(Resident):
    """Rung by us she may refuse, let it ring, or hang up at once; asked by the robot she may say anything."""

    storm: Storm = field(kw_only=True)

    async def is_asked(self, call: PhoneCall) -> None:
        dice = self.storm.dice
        what = str(self.rating) if self.storm.over else dice.choices(list(KEYS), list(KEYS.values()))[0]
        self.wants_dispatcher = dice.random() < 0.5
        self.storm.done[f"asked, she presses {what}" if what in "0123456789" else f"asked, she {what}"] += 1
        match what:
            case "hangs up":
                self.does("left")
                await hang_up(call)
            case "is silent":
                self.does("left")
            case key:
                await self.says_by_key(call, key)

    async def answers(self, call: PhoneCall) -> None:
        dice = self.storm.dice
        mood = (
            "answers"
            if self.storm.over
            else dice.choices(["answers", "refuses", "ignores", "leaves"], [70, 10, 10, 10])[0]
        )
        match mood:
            case "refuses":
                await asyncio.sleep(dice.uniform(0, 1))
                await call.reject()
            case "ignores":
                await call.ended(within=60)
            case "leaves":
                await call.answer()
                await asyncio.sleep(dice.uniform(0, 0.8))
                self.does("left")
                await hang_up(call)
            case _:
                await asyncio.sleep(dice.uniform(0, 1))
                await super().answers(call)


@dataclass(eq=False)
class MoodyDispatcher(Dispatcher):
    """She may refuse, be slow, or hang up early."""

    storm: Storm = field(kw_only=True)

    async def answers(self, call: PhoneCall) -> None:
        dice = self.storm.dice
        mood = "answers" if self.storm.over else dice.choices(["answers", "refuses", "leaves"], [84, 8, 8])[0]
        await asyncio.sleep(dice.uniform(0, 0.8))
        match mood:
            case "refuses":
                await call.reject()
            case "leaves":
                await call.answer()
                await asyncio.sleep(dice.uniform(0, 1.5))
                await hang_up(call)
            case _:
                await super().answers(call)
