"""A hotline to be hurt: the appliance as it is, one controller or two, and who is killed when.

Prompts are beeps, so that a thousand calls fit into minutes; the robot's have a pitch for each meaning, so that who
is rung hears what is wanted of her. The rules are `chase.toml` and `survey.toml` beside.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import shutil
import signal
import socket
import sqlite3
import time
import urllib.error
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import asyncpg
import numpy as np

from appliance import asterisk
from appliance.hotline import DIRECTLY, Hotline
from appliance.native import Native
from appliance.secrets import Secrets
from appliance.supervisor import Part, Supervisor
from demo import sound
from demo.softphone import Softphone
from directory import importer
from faults.wire import Wire
from ivr.app import now
from ivr.asterisk.conf import TEST_ACCOUNT
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.speech.phrasebook import Phrasebook
from ivr.speech.sound import as_pcm
from ivr.speech.voice import at_rate
from ivr.voices import voice
from robocalls import rules as survey_rules

T = TypeVar("T")
Row = dict[str, Any]

LINE = "+74951230001"
COMPANIES = ("severnaya", "rechnoy")
PARTS = ("controller", "postgres", "asterisk")
SECOND = "second controller"
EXTENSIONS = tuple(str(number) for number in range(110, 190))
LOOK_EVERY = 0.05
PATIENCE = 15.0
HEIR = 8.0
"""Seconds within which the other controller has surely taken over what a dead one has left on disk: sooner the robot
does not try again, as with no rules that make sense."""
RESTART = 0.4
"""Seconds before the supervisor starts a dead part again, at most."""
BACK_WITHIN = 60.0
RTP = 16_000, 16_399
PORTS = 20_000, 30_000
LONG_PROMPTS = frozenset(
    {
        "welcome", "menu_main", "place_kept", "callback_accepted",
        "survey_by_key", "survey_question", "survey_thanks", "survey_transfer",
    }
)  # fmt: skip
"""Said while somebody is killed."""


class Pitch(IntEnum):
    """What a prompt means to who hears it, in hertz."""

    BEEP = 500
    GREETING = 650
    """Of a call back."""
    ROBOT = 800
    ASKS = 950
    THANKS = 1100
    SORRY = 1250
    COMMENT = 1400
    OFFER = 1550
    TRANSFER = 1700
    GOODBYE = 1850


PITCHES = {
    "callback_greeting": Pitch.GREETING,
    **dict.fromkeys(("survey_welcome", "survey_job", "survey_job_full", "survey_reopened"), Pitch.ROBOT),
    **dict.fromkeys(("survey_question", "survey_by_key", "survey_clearer", "survey_keys"), Pitch.ASKS),
    **dict.fromkeys(("survey_keys_foreign", "survey_which"), Pitch.ASKS),
    "survey_thanks": Pitch.THANKS,
    "survey_sorry": Pitch.SORRY,
    "survey_comment": Pitch.COMMENT,
    **dict.fromkeys(("survey_offer", "survey_offer_keys"), Pitch.OFFER),
    "survey_transfer": Pitch.TRANSFER,
    **dict.fromkeys(("survey_goodbye", "survey_silent", "survey_not_understood"), Pitch.GOODBYE),
    **dict.fromkeys(("survey_opted_out", "survey_refused", "survey_later"), Pitch.GOODBYE),
}
"""Of the prompts by name; the others are beeps."""
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.DatabaseError)


class NotWithin(DozvonError):
    """What was waited for did not come."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A part that was killed, and when."""

    part: str
    at: datetime


Deed = Literal["means", "pressed", "spoke", "thanked", "handed_over", "left"]


@dataclass(frozen=True, slots=True)
class Act:
    """What a resident has done, or was told, in a call of the robot, as she and her phone know it.

    She `means` to rate so, whenever she is asked; has `pressed` a key; `spoke` after the tone; was `thanked` for the
    key she had pressed last (or told that one is sorry); was told that she is `handed_over` to a dispatcher; `left`
    without an answer.
    """

    number: str
    at: datetime
    deed: Deed
    key: str | None = None


class House:
    """`async with House(native, home) as house` is the running hotline."""

    def __init__(
        self,
        native: Native,
        home: Path,
        *,
        controllers: int = 1,
        prompt: float = 0.3,
        long_prompt: float = 1.5,
        queue_limit: float = 60.0,
        offer_after: float = 60.0,
        a_day: int = 3,
    ) -> None:
        """`prompt` and `long_prompt` are how many seconds prompts sound, `a_day` how often the robot may ring one."""
        self.home = home
        self.kills: list[Kill] = []
        self.acts: list[Act] = []
        self.rings: list[tuple[str, datetime, datetime]] = []
        """Which resident's phone had a call of ours, from when to when."""
        self._may_start = asyncio.Event()
        self._may_start.set()
        self.offenders: set[str] = set()
        """What checks have found so far."""
        self._secrets = Secrets.load(home)
        dialplan = home / "dialplan"
        shutil.copytree(Path(str(files("ivr") / "dialplan")), dialplan)
        menus = dialplan / "menus.toml"
        text = menus.read_text("utf-8").replace("wait = 5", "wait = 1").replace("tries = 3", "tries = 1")
        menus.write_text(text, "utf-8")
        _record(dialplan, home / "recorded", prompt, long_prompt)
        rules = (files("faults") / "survey.toml").read_text("utf-8").replace("a_day = 3", f"a_day = {a_day}")
        if controllers > 1:
            rules = rules.replace('["1s", "1s"', f'["{HEIR:g}s", "{HEIR:g}s"')
        (home / "survey.toml").write_text(rules, "utf-8")
        self.survey_rules = survey_rules.read(home / "survey.toml")
        postgres, ami, sip, *ours = _free_ports(11)
        (agi, audio, panel, link), (agi_too, audio_too, panel_too, link_too) = ours[:4], ours[4:]
        self._base = Settings(
            home=home,
            native=native.root,
            dialplan=dialplan,
            recorded=home / "recorded",
            chase=Path(str(files("faults") / "chase.toml")),
            surveys=home / "survey.toml",
            postgres_port=postgres,
            ami_port=ami,
            agi_port=agi,
            audio_port=audio,
            sip_port=sip,
            panel_port=panel,
            rtp_from=RTP[0],
            rtp_to=RTP[1],
            queue_limit=queue_limit,
            offer_after=offer_after,
        )
        self.wires = {"controller": Wire(link, ami)}
        self._panels = {"controller": panel}
        self._agis = {"controller": agi}
        self._ears = {"controller": audio}
        if controllers > 1:
            self.wires[SECOND] = Wire(link_too, ami)
            self._panels[SECOND], self._agis[SECOND], self._ears[SECOND] = panel_too, agi_too, audio_too
        self.passwords: dict[str, str] = {}

    @property
    def controllers(self) -> list[str]:
        return list(self.wires)

    async def __aenter__(self) -> House:
        async with AsyncExitStack() as stack:
            for wire in self.wires.values():
                await stack.enter_async_context(wire)
            # As long as this phone is on, all answer on one port: there residents are rung.
            port = (await stack.enter_async_context(self.resident_phone("+70000000000"))).address
            number = f"PJSIP/{TEST_ACCOUNT}/sip:{{number}}@{port}"
            self._hotline = Hotline(replace(self._base, dial_out=number), postgres_options=("fsync=off",))
            self._supervisor = Supervisor(self._parts(), self.home / "log", sleep=self._not_long)
            stack.push_async_callback(self._supervisor.stop)
            await self._supervisor.start()
            self.ledger = await asyncpg.create_pool(
                self._hotline.settings.database_url,
                min_size=0,
                max_size=6,
                command_timeout=5,
                init=_speak_json,
            )
            stack.callback(self.ledger.terminate)
            self.complaint = await self._speech()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _parts(self) -> list[Part]:
        parts = []
        for part in self._hotline.parts():
            if part.name == "controller":
                parts += [self._controller(part, name) for name in self.wires]
            else:
                parts.append(replace(part, before=self._prepare) if part.name == "asterisk" else part)
        return parts

    def _controller(self, part: Part, name: str) -> Part:
        ports = {
            "DOZVON_AMI_PORT": str(self.wires[name].port),
            "DOZVON_AGI_PORT": str(self._agis[name]),
            "DOZVON_AUDIO_PORT": str(self._ears[name]),
            "DOZVON_PANEL_PORT": str(self._panels[name]),
            "DOZVON_ASTERISK_LAYOUT": str(self._layout(name)),
        }

        async def is_well() -> bool:
            return bool((await self.health(name)).get("well"))

        async def answers() -> bool:
            return bool(await self.health(name))

        return replace(part, name=name, env={**(part.env or {}), **ports}, ready=is_well, alive=answers)

    def _layout(self, name: str) -> Path:
        """Asterisk's folders, but for its config: who reaches it by a wire would write the wire's port there."""
        folder = self.home / name.replace(" ", "-")
        true = asterisk.layout(self._hotline.settings)
        return replace(true, etc=folder / "etc").write(folder / "layout.toml")

    async def _prepare(self) -> None:
        """As many dispatchers as cases like to have."""
        file = self.home / "dispatchers.csv"
        rows = [f"{extension},Пост {extension},все" for extension in EXTENSIONS]
        file.write_text("\n".join(["внутренний номер,имя,компании", *rows]), "utf-8")
        companies = Path(str(files("directory") / "sample" / "companies.csv"))
        assert self._hotline.settings.database_url is not None
        async with Ledger(self._hotline.settings.database_url, self.home / "parked.jsonl") as ledger:
            for each in (companies, file):
                await importer.import_file(each, ledger, now(), progress=False, out=lambda _: None)
            rows_of = await ledger.all("directory.dispatchers")
            self.passwords = {row["extension"]: row["password"] for row in rows_of}
        await self._hotline.prepare()

    # people's phones

    def resident_phone(self, number: str) -> Softphone:
        return Softphone(
            TEST_ACCOUNT, self._secrets.resident_password, server=self._sip, caller=number, register=False
        )

    @asynccontextmanager
    async def dispatcher_phone(self, extension: str) -> AsyncIterator[Softphone]:
        """Switched on, known to the queue, and remembered by Asterisk over its death."""
        async with Softphone(extension, self.passwords[extension], server=self._sip) as phone:
            await self.until(lambda: self._is_registered(extension), f"{extension} is registered for good")
            yield phone

    async def _is_registered(self, extension: str) -> bool:
        """A copy is looked at: while somebody reads the file itself Asterisk cannot commit, and takes it back."""
        file = await asyncio.to_thread((self.home / "asterisk" / "astdb.sqlite3").read_bytes)
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            copy.deserialize(file)
            key = f"/registrar/contact/{extension};%"
            return bool(copy.execute("SELECT 1 FROM astdb WHERE key LIKE ?", [key]).fetchone())

    @property
    def _sip(self) -> str:
        return f"127.0.0.1:{self._base.sip_port}"

    async def _speech(self) -> sound.Sound:
        """What somebody says who is not content, in the words and the voice of the line."""
        speaker = await voice(self._base)
        assert speaker is not None
        spoken = at_rate(await speaker.speak("Лифт так и не работает, никто не приходил."), sound.RATE)
        return np.asarray(as_pcm(spoken.samples))

    async def job_done(self, number: str, agreed_in: float = 0) -> int:
        """A job of the resident with that number is closed this moment, to be asked about so many seconds later at
        the earliest; she has consented. The ticket's number."""
        async with self.ledger.acquire() as ledger, ledger.transaction():
            await _move_in(ledger, number)
            ticket = await ledger.fetchval(
                """INSERT INTO tickets (
                       company_id, house_id, flat, resident_id, phone, category, content, status, registered_at,
                       closed_at, survey_at, result)
                   SELECT p.company_id, f.house_id, f.number, r.id, p.phone, 'lift', 'не работает', 'closed', now(),
                          clock_timestamp(), clock_timestamp() + $2 * interval '1 s', 'сделано'
                   FROM resident_phones p JOIN residents r ON r.id = p.resident_id JOIN flats f ON f.id = r.flat_id
                   WHERE p.phone = $1 RETURNING number""",
                number,
                agreed_in,
            )
            await ledger.execute("SELECT pg_notify('surveys', '')")
        return int(ticket)

    async def ticket_closed(self, number: str) -> bool:
        """Is one of her tickets closed that was open, from a talk or by the robot?"""
        async with self.ledger.acquire() as ledger, ledger.transaction():
            await _move_in(ledger, number)
            return bool(
                await ledger.fetchval(
                    """UPDATE tickets SET status = 'closed', closed_at = clock_timestamp(), result = 'сделано'
                       WHERE number = (SELECT number FROM tickets WHERE phone = $1 AND status <> 'closed'
                                       ORDER BY reopened DESC, number DESC LIMIT 1)
                       RETURNING number""",
                    number,
                )
            )

    # what is so

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str, within: float = PATIENCE) -> T:
        """What `look` finds, once it finds anything. Postgres may be away meanwhile. Raises NotWithin."""
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(*AWAY):
                if found := await look():
                    return found
            if time.monotonic() > deadline:
                raise NotWithin(f"not within {within:g} s: {what}")
            await asyncio.sleep(LOOK_EVERY)

    async def rows(self, sql: str, *values: object) -> list[Row]:
        return [dict(row) for row in await self.ledger.fetch(sql, *values)]

    async def health(self, controller: str = "controller") -> Row:
        """What that controller says of itself; empty while it says nothing."""
        return await asyncio.to_thread(_health, self._panels[controller])

    async def channels(self) -> int:
        """How many channels Asterisk has."""
        said = await self.console("core show channels count")
        first = said.split(maxsplit=1)
        return int(first[0]) if first and first[0].isdigit() else -1

    async def console(self, command: str) -> str:
        """What Asterisk answers to a command of its console."""
        etc = self.home / "asterisk" / "etc" / "asterisk.conf"
        assert self._base.native is not None
        process = await asyncio.create_subprocess_exec(
            *Native(self._base.native).command("usr/sbin/asterisk", "-C", etc, "-rx", command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await process.communicate()
        return said.decode()

    @property
    def cel_file(self) -> Path:
        return self.home / "asterisk" / "log" / "cel-custom" / "calls.jsonl"

    async def is_quiet(self) -> bool:
        """All is well, nobody is on the line, nothing is owed, nothing waits to be written."""
        for controller in self.controllers:
            health = await self.health(controller)
            if not health.get("well") or health["waiting"] or health["calls"]:
                return False
        if any(self.home.glob("spool/comments/*.wav")):
            return False
        on = """SELECT EXISTS (SELECT FROM calls WHERE ended_at IS NULL)
                    OR EXISTS (SELECT FROM promises WHERE closed_at IS NULL)
                    OR EXISTS (SELECT FROM surveys WHERE status = 'calling')
                    OR EXISTS (SELECT FROM surveys  -- who waits for another day waits in peace
                               WHERE status = 'planned' AND next_attempt_at < now() + interval '1 minute')
                    OR EXISTS (SELECT FROM tickets t WHERE status = 'closed' AND NOT EXISTS (
                        SELECT FROM surveys WHERE ticket = t.number AND closed_at = t.closed_at))"""
        return not await self.ledger.fetchval(on) and await self.channels() == 0

    # what is done to it

    def pid(self, part: str) -> int:
        return self._supervisor.processes[part].pid

    def runs(self, part: str) -> bool:
        process = self._supervisor.processes.get(part)
        return process is not None and process.returncode is None

    async def kill(self, part: str) -> None:
        """SIGKILL to the process itself, and wait until it is dead; the supervisor starts it again."""
        await self._die(part)
        self.let_go()

    async def take_away(self, part: str) -> None:
        """Kill it, and have it stay away until something else is killed."""
        self._may_start.clear()
        await self._die(part)

    async def _die(self, part: str) -> None:
        process = self._supervisor.processes[part]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        self.kills.append(Kill(part, datetime.now(UTC)))
        await process.wait()
        if part in self.wires:
            self.wires[part].cut()

    def let_go(self) -> None:
        """Nothing is held back any more."""
        for wire in self.wires.values():
            wire.release()
        self._may_start.set()

    async def _not_long(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, RESTART))
        await self._may_start.wait()

    async def stop_for(self, part: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT that much later."""
        process = self._supervisor.processes[part]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGCONT)

    async def forgets_what_is_owed(self) -> None:
        """After a case that went wrong: the next one is not to suffer from it."""
        with contextlib.suppress(*AWAY):
            await self.ledger.execute(
                """UPDATE promises SET status = 'withdrawn', closed_at = now(), next_attempt_at = NULL,
                       answer_mark_at = NULL, due_mark_at = NULL, why = 'a case that went wrong'
                   WHERE closed_at IS NULL"""
            )
            await self.ledger.execute(
                """UPDATE surveys SET status = 'cancelled', why = 'a case that went wrong', result = NULL,
                       rating = NULL, settled_at = now(), next_attempt_at = NULL
                   WHERE settled_at IS NULL"""
            )

    async def is_back(self, part: str, dead: int) -> None:
        """Another process than `dead` runs as that part, and every controller is well."""

        async def look() -> bool:
            if self.pid(part) == dead or not self.runs(part):
                return False
            return all([(await self.health(name)).get("well") for name in self.controllers])

        await self.until(look, f"{part} is back and all is well", BACK_WITHIN)

    def whose(self, controller: str) -> str | None:
        """Which of the controllers has signed so in the attempts (HOST:PID)."""
        pid = controller.rpartition(":")[2]
        return next((name for name in self.controllers if str(self.pid(name)) == pid), None)


def _health(port: int) -> Row:
    try:
        with DIRECTLY.open(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        return dict(json.loads(error.read()))
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def _free_ports(count: int) -> list[int]:
    """Below the range from which the system takes ports for outgoing connections: else, while a part is dead,
    somebody's connection takes its port, even that of who knocks there.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            port = random.randrange(*PORTS)  # noqa: S311 - any will do
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def _record(dialplan: Path, folder: Path, short: float, long: float) -> None:
    """Every phrase is a beep."""
    for place in (folder, *(folder / company for company in COMPANIES)):
        place.mkdir(parents=True)
    for name in Phrasebook.read(dialplan / "phrases" / "ru.toml").phrases:
        beep = sound.tone(PITCHES.get(name, Pitch.BEEP), long if name in LONG_PROMPTS else short)
        sound.to_wav(beep, folder / f"{name}.wav")
    for company in COMPANIES:
        shutil.copy(folder / "welcome.wav", folder / company / "welcome.wav")


async def _move_in(ledger: Any, number: str) -> None:
    """A resident lives in a flat of her own, and has consented to be asked by the robot; once."""
    if await ledger.fetchval("SELECT 1 FROM resident_phones WHERE phone = $1", number):
        return
    company = await ledger.fetchval("SELECT company_id FROM lines WHERE number = $1", LINE)
    house = await ledger.fetchval(
        """INSERT INTO houses (company_id, address) VALUES ($1, 'Лесная улица, дом 15')
           ON CONFLICT (company_id, address) DO UPDATE SET address = excluded.address RETURNING id""",
        company,
    )
    flat = await ledger.fetchval(
        "INSERT INTO flats (company_id, house_id, number) VALUES ($1, $2, $3) RETURNING id",
        company, house, number[-5:],
    )  # fmt: skip
    person = await ledger.fetchval(
        "INSERT INTO residents (company_id, flat_id, name) VALUES ($1, $2, $3) RETURNING id",
        company, flat, f"Житель {number}",
    )  # fmt: skip
    await ledger.execute("INSERT INTO resident_phones VALUES ($1, $2, $3)", number, company, person)
    await ledger.execute(
        """INSERT INTO consents (company_id, resident_id, kind, given, since, source)
           VALUES ($1, $2, 'robocall', true, '2026-01-01', 'заявление')""",
        company, person,
    )  # fmt: skip


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
