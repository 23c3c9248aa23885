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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
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
from ivr.asterisk.audiosocket import AudioServer
from ivr.asterisk.desk import AmiDesk
from ivr.asterisk.follower import Follower
from ivr.asterisk.line import AgiLine
from ivr.asterisk.manager import Ami
from ivr.asterisk.robot import AmiRobot
from ivr.call import Call, Direction, Fact, Kind, why_left_queue
from ivr.chasing import Chasing
from ivr.dialplan.keeper import Keeper
from ivr.dialplan.reception import Place, ToQueue, ToVoicemail, reception, unanswered
from ivr.dialplan.understanding import Pack
from ivr.errors import DialplanError, DozvonError, LedgerAway, MissingPart, PeerError
from ivr.hook import Hook
from ivr.ledger import Ledger
from ivr.lexicon import served
from ivr.narrator import Narrator
from ivr.settings import Settings
from ivr.speech.ears import Recogniser, calls_at_once, open_ears, self_test
from ivr.speech.models import OTHER_WAYS, choose_model
from ivr.speech.prompts import PromptShelf
from ivr.speech.voice import Voice
from ivr.surveying import Surveying, Talker
from ivr.switchboard import Numbers, Switchboard
from ivr.ticks import tick
from panel.events import Changes
from panel.web import Panel
from recordings import audio, keeper
from robocalls import book as surveys
from robocalls import rules as survey_rules
from robocalls.campaign import Campaign
from robocalls.nouns import Job
from robocalls.survey import Transfer
from tickets import limits

log = logging.getLogger(__name__)

LOOKUP_WITHIN = 3.0
CONVERSATIONS = ("incoming", "unanswered")
STEPS = frozenset({Kind.WENT, Kind.QUEUED, Kind.RANG, Kind.ACCEPTED, Kind.ANSWERED, Kind.ENDED})
STANDSTILL = 30.0
WITHOUT_EARS = 20
"""Robot calls at once when only keys are heard."""
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
        self.settings, self.ledger, self._voice = settings, ledger, voice
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
        self.survey_rules = survey_rules.read(settings.surveys)
        self.pack = Pack.read(settings.language, settings.understanding)
        self.ears: Recogniser | None = None
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
        """Calls to her that nobody needs while the resident is on the line herself, whichever came first."""
        if call.caller is None:
            return []
        hers = [one for one in self.switchboard.going_on() if one.caller == call.caller]
        if all(one.direction is not Direction.INBOUND for one in hers):
            return []
        return [one for one in hers if _is_to_spare(one)]

    def _show(self, call: Call, fact: Fact) -> None:
        """The pages show who is called back, and whom the robot hands over, and how far it has come."""
        if call.direction is not Direction.INBOUND and fact.kind in STEPS:
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
        if not await tick(work):
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
        for what, folder in ((keeper.MESSAGES, "messages"), (keeper.COMMENTS, "comments")):
            await keeper.look_for_spoken(
                what,
                self.ledger,
                audio.take_in_message,
                settings.spool / folder,
                settings.recordings,
                now(),
                self.transcribe if what is keeper.COMMENTS else keeper.nothing,
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
        chaser = Chaser(
            self.ledger,
            self.desk,
            self.chase,
            self.limits,
            words.read(settings.language).title,
            _controller(),
            default_queue=conf.DEFAULT_QUEUE,
        )
        return Chasing(chaser, follower, self.ledger, now)

    async def open_ears(self, surveying: Surveying) -> None:
        """Load the speech model and have it hear what the voice says; until then the robot rings nobody.

        Without a model, or with one that cannot be loaded, it asks for keys.
        """
        calls = WITHOUT_EARS
        try:
            choice = choose_model(self.settings)
            if choice.folder is None:
                log.warning("the robot has no ears, it asks for keys: %s", OTHER_WAYS)
            else:
                log.info("the robot hears with %s: %s", choice.folder, choice.why)
                model = await asyncio.to_thread(served, choice.folder, self.pack.words(), self.settings)
                self.ears = await asyncio.to_thread(open_ears, model)
                calls = await self._try_ears(self.ears)
        except MissingPart as error:
            log.error("the robot has no ears, it asks for keys: %s", error)
        surveying.start(self.ears, calls)

    async def _try_ears(self, ears: Recogniser) -> int:
        """How many calls they can follow at once, by how long they took for what they heard."""
        if self._voice is None:
            return WITHOUT_EARS
        trial = await self_test(ears, self._voice)
        calls = calls_at_once(trial.factor)
        found = {
            "model": ears.name,
            "said": trial.said,
            "understood": trial.understood,
            "calls_at_once": calls,
        }
        log.info("the ears were tried", extra=found)
        if not trial.passed:
            log.error("the ears do not understand our own voice", extra=found)
        return calls

    async def transcribe(self, wav: Path) -> Mapping[str, str | None]:
        """What the ears make of a comment, with all the words they know."""
        if self.ears is None:
            return {"transcript": None, "ears": None}
        pcm = await asyncio.to_thread(audio.samples, wav)
        hearing = self.ears.listen(())
        await hearing.feed(pcm)
        words = await hearing.finish()
        return {"transcript": " ".join(word.text for word in words), "ears": self.ears.name}

    def surveying(self, follower: Follower, chasing: Chasing, door: AudioServer) -> Surveying:
        """What keeps the robot at work, through that Asterisk."""
        settings, rules = self.settings, self.survey_rules

        async def hand_over(job: Job, ending: Transfer) -> None:
            title = words.read(settings.language).whose(ending.why, job.name, job.flat)
            await robot.hand_over(job, title, ending.priority)

        talker = Talker(
            door,
            self.narrator,
            self.switchboard,
            self.ledger,
            self.pack,
            settings.spool / "comments",
            now,
            self._spawn,
            hand_over,
        )
        self.switchboard.watchers.append(talker.follow)
        robot = AmiRobot(
            follower.ami,
            settings.asterisk_name,
            settings.outbound,
            ring=rules.ring,
            calls=self.switchboard.calls,
            ears_at=f"{settings.audio_advertise or settings.audio_host}:{settings.audio_port}",
            answered=talker.expect,
            now=now,
        )
        campaign = Campaign(
            self.ledger, robot, rules, _controller(), ZoneInfo(settings.time_zone), conf.DEFAULT_QUEUE
        )
        return Surveying(campaign, robot, talker, follower, chasing, now)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


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
        door = await stack.enter_async_context(AudioServer(settings.audio_host, settings.audio_port))
        surveying = it.surveying(follower, chaser, door)
        ledger.listen("surveys", surveying.wake)
        ledger.listen("surveys", it.changes.ring)
        it._spawn(it.open_ears(surveying), "ears")
        await stack.enter_async_context(_panel(it, follower))
        await stack.enter_async_context(_ticks(it, follower, chaser, surveying))
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
    panel = Panel(
        it.ledger,
        it.limits,
        settings.panel_token,
        now,
        health,
        ZoneInfo(settings.time_zone),
        settings.language,
        it.changes,
        partial(surveys.number_of, region=settings.region, area_code=settings.area_code),
    )
    runner = web.AppRunner(panel.application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.panel_host, settings.panel_port).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _ticks(
    it: Controller, follower: Follower, chaser: Chasing, surveying: Surveying
) -> AsyncIterator[None]:
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
        surveying.wake: 1,
        surveying.look_after: 5,
        lambda: it.narrator.sweep_jobs(now()): 3600,
        lambda: it.hook.escalate(now()): 1,
        lambda: it.switchboard.sweep(now()): 30,
        _show_life: 1,
    }
    for work, seconds in every.items():
        scheduler.add_job(partial(tick, work), "interval", seconds=seconds)
    scheduler.start()
    running = [
        asyncio.create_task(chaser.run(), name="chase"),
        asyncio.create_task(surveying.run(), name="surveys"),
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        scheduler.shutdown(wait=False)
        faulthandler.cancel_dump_traceback_later()


def _is_to_spare(call: Call) -> bool:
    if call.direction is Direction.CALLBACK:
        return not call.accepted
    return call.direction is Direction.SURVEY and call.picked_up_at is None


def _controller() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _show_life() -> None:
    """A controller that stands still ends itself, saying where: callers then get the static route, not silence."""
    faulthandler.dump_traceback_later(STANDSTILL, exit=True)


async def serve(settings: Settings, voice: Voice | None, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    async with controller(settings, voice):
        log.info("the controller is ready", extra={"agi": settings.agi_port, "panel": settings.panel_port})
        with contextlib.suppress(asyncio.CancelledError):
            await stop.wait()
