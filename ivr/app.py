"""The controller: opens the edges, hands them down, closes them in the reverse order.

Postgres → rules, phrases, prompts → AMI (takes stock) → FastAGI (takes calls) → panel → ticks
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from callback import rules as chase_rules
from callback import words
from callback.chase import Chaser
from directory import lookup
from directory.nouns import Company
from directory.phones import to_e164
from ivr.asterisk import conf
from ivr.asterisk.agi import AgiServer, Session
from ivr.asterisk.desk import AmiDesk
from ivr.asterisk.follower import Follower
from ivr.asterisk.line import AgiLine
from ivr.asterisk.manager import Ami
from ivr.call import Call, Direction, Fact, Kind, why_left_queue
from ivr.dialplan.keeper import Keeper
from ivr.dialplan.reception import Place, ToQueue, ToVoicemail, reception, unanswered
from ivr.errors import DialplanError, DozvonError, LedgerAway, PeerError
from ivr.hook import Hook
from ivr.ledger import Ledger
from ivr.narrator import Narrator
from ivr.settings import Settings
from ivr.speech.prompts import PromptShelf
from ivr.speech.voice import Voice
from ivr.switchboard import Numbers, Switchboard
from panel.events import Changes
from panel.web import Panel
from recordings import audio, keeper
from tickets import limits

log = logging.getLogger(__name__)

LOOKUP_WITHIN = 3.0
STOCK_WITHIN = 30.0
WRITTEN_WITHIN = 5.0
AT_MOST_EVERY = 0.1
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""A machine since its start."""
CONVERSATIONS = ("incoming", "unanswered")
STEPS = frozenset({Kind.RANG, Kind.ACCEPTED, Kind.ANSWERED, Kind.ENDED})
STANDSTILL = 30.0
SETTLE = 0.5
"""Seconds that changes of the directory gather: an import is many statements."""


def now() -> datetime:
    """The moment, with its zone; the one clock of the controller."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Book:
    """The companies as last read: greeting a caller asks nobody."""

    companies: tuple[Company, ...] = ()
    by_line: dict[str, Company] = field(default_factory=dict)

    def of_line(self, number: str | None) -> Company | None:
        return self.by_line.get(number or "")

    async def read(self, ledger: Ledger) -> None:
        self.companies = tuple(await lookup.companies(ledger))
        self.by_line = {line: company for company in self.companies for line in company.lines}


class Controller:
    """One controller of the hotline; any number of them may share a ledger."""

    def __init__(self, settings: Settings, ledger: Ledger, voice: Voice | None) -> None:
        self.settings, self.ledger = settings, ledger
        self.book = Book()
        self.limits = limits.read()
        self.chase = chase_rules.read(settings.chase)
        self.layout = conf.Layout.read(settings.asterisk_layout) if settings.asterisk_layout else None
        self.keeper = Keeper(settings.dialplan, settings.home / "dialplan.good", self.limits.categories)
        recorded = settings.recorded or settings.home / "recorded"
        self.narrator = Narrator(settings, PromptShelf(settings.prompts_folder, recorded, voice))
        read = partial(to_e164, region=settings.region, area_code=settings.area_code)
        self.numbers = Numbers(read, self.book.of_line)
        self.switchboard = Switchboard(
            ledger, self.numbers, self.limits, ZoneInfo(settings.time_zone), on_open=self._on_open
        )
        self.changes = Changes()
        self.hook = Hook(ledger, settings.hook_url, settings.hook_secret)
        self.desk: AmiDesk | None = None
        self.switchboard.watchers.append(self._show)
        self._tasks: set[asyncio.Task[None]] = set()
        self._soon: set[str] = set()
        self._reload_owed = False

    # a call

    async def converse(self, session: Session) -> None:
        """One AGI session: a conversation, then where the call goes."""
        if session.script not in CONVERSATIONS:
            raise PeerError(f"no conversation is called {session.script[:40]!r}")
        if session.script != "incoming" and session.channel not in self.switchboard.calls:
            # We have just come back and do not know it yet: the static route carries it on.
            raise PeerError("a call in the middle of which stock is still being taken")
        call = self.switchboard.open(
            session.channel, now(), session.env.get("agi_callerid"), session.env.get("agi_extension")
        )
        company = self.numbers.company_of(call.dialled)
        line = AgiLine(session, self.narrator.of(company), self.switchboard.take, now)
        match session.script:
            case "incoming":
                zone = self.switchboard.zone_of(call)
                place = await reception(line, self.keeper.rules, zone, now)
            case _:
                why = why_left_queue(session.argument)
                place = await unanswered(line, why, number_known=call.caller is not None)
        await self._send(line, place, company)

    async def _send(self, line: AgiLine, place: Place, company: Company | None) -> None:
        match place:
            case ToQueue(category, priority):
                queue = company.queue if company else conf.DEFAULT_QUEUE
                await line.send_to(PLACE="queue", QUEUE=queue, QUEUE_PRIO=priority, CATEGORY=category)
            case ToVoicemail():
                line.note(Kind.WENT, place="voicemail")
                await line.send_to(PLACE="voicemail")
            case _:
                await line.send_to(PLACE="hang-up")

    def _on_open(self, call: Call) -> None:
        """Ask the directory who calls, while the greeting plays; who calls herself need not be called back."""
        self._spawn(self._identify(call), f"identify {call.id}")
        for callback in self._calls_to_spare(call):
            self._spawn(self._take_back(callback), f"take back {callback.id}")

    def _calls_to_spare(self, call: Call) -> list[Call]:
        """Calls back that nobody needs while the resident is on the line herself, whichever came first."""
        if call.caller is None:
            return []
        hers = [one for one in self.switchboard.going_on() if one.caller == call.caller]
        if all(one.direction is Direction.CALLBACK for one in hers):
            return []
        return [one for one in hers if one.direction is Direction.CALLBACK and not one.accepted]

    def _show(self, call: Call, fact: Fact) -> None:
        """The pages show who is being called back, and how far it has come."""
        if call.direction is Direction.CALLBACK and fact.kind in STEPS:
            self.soon("show", self.changes.ring)

    async def _take_back(self, callback: Call) -> None:
        if self.desk is not None:
            with contextlib.suppress(PeerError):  # it is gone, or its dispatcher was quicker
                await self.desk.take_back(callback.id)

    async def _identify(self, call: Call) -> None:
        at = now()
        try:
            async with asyncio.timeout(LOOKUP_WITHIN):
                caller = await lookup.who_calls(
                    self.ledger, number=call.caller, line=call.dialled or "", now=at
                )
        except (LedgerAway, TimeoutError):
            log.warning("the directory could not be asked; the call goes on", extra={"call": call.id})
            return
        if caller is not None:
            self.switchboard.identify(call, caller, at)

    def soon(self, name: str, work: Callable[[], Any]) -> None:
        """Do it once, a little later, however often it is asked for until then."""
        if name not in self._soon:
            self._soon.add(name)
            self._spawn(self._do_soon(name, work), name)

    async def _do_soon(self, name: str, work: Callable[[], Any]) -> None:
        await asyncio.sleep(SETTLE)
        self._soon.discard(name)
        if not await _tick(work):
            self.soon(name, work)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what is looked at again and again

    async def prepare(self) -> None:
        """Read the directory and have every prompt ready."""
        await self.book.read(self.ledger)
        try:
            await self._narrate()
        except DialplanError as error:
            self.keeper.fall_back(error)
            await self._narrate()
        if self.keeper.refused is None:
            self.keeper.keep()

    async def _narrate(self) -> None:
        await self.narrator.prepare(self.book.companies, self.keeper.rules, self.keeper.source)

    async def write_conf(self) -> bool:
        """Asterisk's files from the directory, where the layout says; True when anything has changed."""
        if self.layout is None:
            return False
        dispatchers = await lookup.dispatchers(self.ledger)
        files = conf.render(self.settings, self.layout, self.book.companies, dispatchers)
        return conf.write(files, self.layout)

    async def take_up_directory(self, ami: Ami) -> None:
        """Somebody changed companies, lines or dispatchers: greet, ring and let in accordingly from now on."""
        await self.book.read(self.ledger)
        self._reload_owed |= await self.write_conf()
        if self._reload_owed:
            await ami.ask("Reload", Module="res_pjsip.so")
            await ami.ask("QueueReload", Members="yes", Parameters="yes")
            self._reload_owed = False
        await self._narrate()
        log.info("the directory is taken up", extra={"companies": len(self.book.companies)})

    async def look_at_dialplan(self) -> None:
        """Take up the admin's edit; new prompts are ready before the rules that name them are in force."""
        old = self.keeper.rules
        if not self.keeper.look():
            return
        new, self.keeper.rules = self.keeper.rules, old
        try:
            await self.narrator.prepare(self.book.companies, new, self.keeper.folder)
        except DozvonError as error:
            log.error("the edit of the dialplan is refused, the old rules stay: %s", error)
            self.keeper.refused = error
        else:
            self.keeper.rules = new
            self.keeper.keep()
            log.info("the edit of the dialplan is in force")

    async def take_in_recordings(self) -> None:
        settings = self.settings
        await keeper.look(
            self.ledger,
            audio.take_in,
            settings.spool,
            settings.recordings,
            now(),
            asterisk=settings.asterisk_name,
        )
        await keeper.look_for_messages(
            self.ledger, audio.take_in_message, settings.spool / "messages", settings.recordings, now()
        )

    def chaser(self, follower: Follower) -> Chasing:
        """What keeps the promises, through that Asterisk."""
        settings = self.settings
        self.desk = AmiDesk(
            follower.ami,
            settings.asterisk_name,
            settings.outbound,
            ring=self.chase.ring,
            stand_in=self.chase.stand_in,
            calls=self.switchboard.calls,
            now=now,
        )
        who = f"{socket.gethostname()}:{os.getpid()}"
        chaser = Chaser(
            self.ledger,
            self.desk,
            self.chase,
            self.limits,
            words.read(settings.language).title,
            who,
            default_queue=conf.DEFAULT_QUEUE,
        )
        return Chasing(chaser, follower, self.ledger)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Chasing:
    """Runs the chase: when something wakes it, and at every tick; neither half of it twice at once."""

    def __init__(self, chaser: Chaser, follower: Follower, ledger: Ledger) -> None:
        self._chaser, self._follower, self._ledger = chaser, follower, ledger
        self._wanted = (asyncio.Event(), asyncio.Event())
        self._knew_all = time.monotonic()
        self._stock_is_written = False
        self._machine = f"{BOOT.read_text().strip()}/{chaser.desk.name}" if BOOT.exists() else None

    def wake(self) -> None:
        for wanted in self._wanted:
            wanted.set()

    async def run(self) -> None:
        halves = zip(self._wanted, (self._watch, self._chase), strict=True)
        await asyncio.gather(*(_whenever(wanted, half) for wanted, half in halves))

    async def _watch(self) -> None:
        """What has happened comes first: a talk the ledger does not know yet breaks no promise; nor does a clock that
        was set since the last look. But the law's minutes go on when Asterisk stays away."""
        try:
            await self._mind_clock()
        except LedgerAway:
            self._knew_all = time.monotonic()  # what waits on disk comes first, once Postgres is there again
            raise
        await self._write_stock()
        if self._knows_all():
            self._knew_all = time.monotonic()
        elif time.monotonic() - self._knew_all < STOCK_WITHIN:
            return
        await self._chaser.watch(now())

    async def _chase(self) -> None:
        if self._knows_all():
            await self._chaser.chase(now())

    def _knows_all(self) -> bool:
        """Is everything that happened before now in the ledger?"""
        return self._stock_is_written and not self._ledger.is_behind

    async def _write_stock(self) -> None:
        """What the stock told of the time we were away must have reached the ledger."""
        if not self._follower.took_stock.is_set():
            self._stock_is_written = False
        elif not self._stock_is_written:
            with contextlib.suppress(TimeoutError):  # calls come without a break: then it was among the first
                async with asyncio.timeout(WRITTEN_WITHIN):
                    await self._ledger.settled()
            self._stock_is_written = True
            await self.look_after()

    async def look_after(self) -> None:
        if self._knows_all():
            await self._chaser.look_after(await self._follower.alive(), now())

    async def _mind_clock(self) -> None:
        if self._machine is not None:
            ahead = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            await self._chaser.mind_clock(self._machine, ahead)


async def _whenever(wanted: asyncio.Event, work: Callable[[], Any]) -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        await _tick(work)
        await asyncio.sleep(AT_MOST_EVERY)


@asynccontextmanager
async def controller(settings: Settings, voice: Voice | None) -> AsyncIterator[Controller]:
    """The running controller, until the block ends. Raises what keeps it from starting."""
    assert settings.database_url is not None
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            Ledger(settings.database_url, settings.home / "parked.jsonl", spool=settings.home / "outbox")
        )
        it = Controller(settings, ledger, voice)
        stack.push_async_callback(it.aclose)
        await it.prepare()
        cel_file = it.layout.cel_file if it.layout else None
        follower = Follower(settings, it.switchboard, ledger, cel_file, now)
        await follower.remember()
        await stack.enter_async_context(follower.ami)
        chaser = it.chaser(follower)
        ledger.listen("promises", chaser.wake)
        ledger.listen("promises", it.changes.ring)
        ledger.listen("directory", lambda: it.soon("directory", partial(it.take_up_directory, follower.ami)))
        await stack.enter_async_context(AgiServer(it.converse, settings.agi_host, settings.agi_port))
        await stack.enter_async_context(_panel(it, follower))
        await stack.enter_async_context(_ticks(it, follower, chaser))
        yield it


@asynccontextmanager
async def _panel(it: Controller, follower: Follower) -> AsyncIterator[None]:
    settings = it.settings

    def health() -> dict[str, Any]:
        return {
            "well": follower.took_stock.is_set(),
            "ami": follower.ami.linked,
            "calls": len(it.switchboard.going_on()),
            "waiting": it.ledger.waiting,
            "dialplan": "ok" if it.keeper.refused is None else "the last edit was refused; see the log",
        }

    assert settings.panel_token is not None
    zone = ZoneInfo(settings.time_zone)
    panel = Panel(
        it.ledger, it.limits, settings.panel_token, now, health, zone, settings.language, it.changes
    )
    runner = web.AppRunner(panel.application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.panel_host, settings.panel_port).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _ticks(it: Controller, follower: Follower, chaser: Chasing) -> AsyncIterator[None]:
    """APScheduler only ticks: what is due stands in Postgres and in the files, so a missed tick loses nothing."""
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
    every: dict[Callable[[], Any], float] = {
        it.look_at_dialplan: 1,
        it.take_in_recordings: 1,
        follower.ami.probe: 5,
        follower.sweep: 10,
        chaser.wake: 0.25,
        chaser.look_after: 5,
        lambda: it.hook.escalate(now()): 1,
        lambda: it.switchboard.sweep(now()): 30,
        _show_life: 1,
    }
    for work, seconds in every.items():
        scheduler.add_job(partial(_tick, work), "interval", seconds=seconds)
    scheduler.start()
    chasing = asyncio.create_task(chaser.run(), name="chase")
    try:
        yield
    finally:
        chasing.cancel()
        await asyncio.gather(chasing, return_exceptions=True)
        scheduler.shutdown(wait=False)
        faulthandler.cancel_dump_traceback_later()


def _show_life() -> None:
    """A controller that stands still ends itself, saying where: callers then get the static route, not silence."""
    faulthandler.dump_traceback_later(STANDSTILL, exit=True)


async def _tick(work: Callable[[], Any]) -> bool:
    """One tick; what goes wrong is said and tried again with the next one. False when it went wrong."""
    try:
        done = work()
        if asyncio.iscoroutine(done):
            await done
        return True
    except (DozvonError, OSError, TimeoutError) as error:
        log.warning("a tick failed and comes again", extra={"work": str(work), "why": str(error)})
    except Exception:
        log.exception("a tick failed and comes again", extra={"work": str(work)})
    return False


async def serve(settings: Settings, voice: Voice | None, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    async with controller(settings, voice):
        log.info("the controller is ready", extra={"agi": settings.agi_port, "panel": settings.panel_port})
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()
