"""A whole hotline of the tests' own, started as `make run` starts it, with ears that know each prompt.

Every prompt is a recorded tone of its own pitch, half a second long: what a softphone hears tells what was
said, and no test waits for a sentence to end. Only `danger_hold` is left to the synthesised voice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import asyncpg
import numpy as np

from appliance.hotline import Hotline
from appliance.native import Native
from appliance.supervisor import Part, Supervisor
from demo import sound
from demo.softphone import PhoneCall, Softphone, free_port
from directory import importer
from ivr.app import now
from ivr.ledger import Ledger
from ivr.settings import Settings
from robocalls.survey import JOB_PROMPTS, PROMPTS

T = TypeVar("T")
Row = dict[str, Any]

NORTH, RIVER = "+74951230001", "+74951230002"
"""The lines of the sample's two companies."""
PITCH = {
    name: 480 + 70 * place
    for place, name in enumerate(
        (
            "welcome", "recording_notice", "menu_main", "menu_after_hours", "wrong_key", "no_input", "hold",
            "emergency_hold", "voicemail_ask", "voicemail_thanks", "all_busy", "no_dispatcher",
            "callback_promise", "goodbye", "static_welcome", "queue_offer", "place_kept", "number_hidden",
            "callback_accepted", "callback_greeting", "callback_busy", "callback_no_answer",
            "callback_machine",
            "outage_notice",
        )
    )
}  # fmt: skip
"""Prompt → the hertz it sounds at; 440 and 1000 are left to the people who talk."""
RIVER_WELCOME = 350
ROBOT = 395
"""The hertz of all that the robot says."""
RESIDENT, DISPATCHER = 440, 1000
"""How they sound."""
PROMPT, NOTICE, QUESTION = 0.5, 1.2, 4.0
"""Seconds that a prompt sounds, the notice of recording, and what the robot asks."""
LONG_QUESTIONS = ("survey_question", "survey_by_key")
CHASE = """
ladder = ["1s", "2s", "3s"]
pause = "1s"
talk = "2s"
ring = "4s"
stand_in = "30s"
give_up = "1d"
"""
"""How promises are chased here: as always, only sooner."""
SURVEY = """
consent = true
skip = ["consultation"]
drafts = true
weekdays = "00:00-24:00"
weekends = "00:00-24:00"
holidays = []
agreed = "30m"
a_day = 10
a_week = 30
ladder = ["1s", "2s"]
once_more = []
later = "3h"
pause = "10s"
give_up = "5d"
ring = "5s"
at_once = 8
channels = 30
reserve = 2
waiting = 0
owed = 0
emergencies = ["danger", "emergency"]
"""
"""Whom the robot rings here: whoever has consented, at any hour, and sooner again."""
PATIENCE = 10.0
LOOK_EVERY = 0.03
EXTENSIONS = range(110, 170)


class Running:
    """The hotline under test; `async with Running(native, home) as house`."""

    def __init__(
        self,
        native: Native,
        home: Path,
        queue_limit: float = 300.0,
        offer_after: float = 60.0,
        *,
        calls_back: bool = False,
        model: Path | None = None,
    ) -> None:
        self.home = home
        self.dialplan = home / "dialplan"
        shutil.copytree(Path(__file__).parents[2] / "ivr" / "dialplan", self.dialplan)
        self.set_menu("wait = 5", "wait = 1")
        self.set_hours(is_open=True)
        _record(home / "recorded")
        postgres, ami, link, agi, audio, sip, panel = _free_ports(7)
        self._phones = free_port("127.0.0.1")
        (home / "chase.toml").write_text(CHASE, "utf-8")
        (home / "survey.toml").write_text(SURVEY, "utf-8")
        settings = Settings(
            home=home,
            chase=home / "chase.toml",
            surveys=home / "survey.toml",
            model=model,
            dial_out=f"PJSIP/resident/sip:{{number}}@127.0.0.1:{self._phones}" if calls_back else "none",
            native=native.root,
            dialplan=self.dialplan,
            recorded=home / "recorded",
            postgres_port=postgres,
            ami_port=ami,
            agi_port=agi,
            audio_port=audio,
            sip_port=sip,
            panel_port=panel,
            rtp_from=15_800,
            rtp_to=15_999,
            queue_limit=queue_limit,
            wrap_up=1.0,
            offer_after=offer_after,
        )
        self._hotline = Hotline(settings, postgres_options=("fsync=off",))
        self.settings = self._hotline.settings
        self.link = Wire(link, ami)
        """What lies between the controller and Asterisk's manager."""
        self._supervisor = Supervisor(list(self._parts()), home / "log", sleep=_not_long)
        self._extensions = iter(EXTENSIONS)
        self.passwords: dict[str, str] = {}

    def _parts(self) -> Iterator[Part]:
        for part in self._hotline.parts():
            if part.name == "controller":
                yield replace(part, env={**(part.env or {}), "DOZVON_AMI_PORT": str(self.link.port)})
            elif part.name == "asterisk":
                yield replace(part, before=self._prepare)
            else:
                yield part

    async def _prepare(self) -> None:
        """Many dispatchers, so that each test has her own and nobody waits for another's wrap-up time."""
        file = self.home / "dispatchers.csv"
        rows = [f"{extension},Пост {extension},все" for extension in EXTENSIONS]
        file.write_text("\n".join(["внутренний номер,имя,компании", *rows]), "utf-8")
        assert self.settings.database_url is not None
        async with Ledger(self.settings.database_url, self.home / "parked.jsonl") as ledger:
            await self._hotline._import_sample(ledger)
            await importer.import_file(file, ledger, now(), progress=False, out=lambda _: None)
            self.passwords = {
                row["extension"]: row["password"] for row in await ledger.all("directory.dispatchers")
            }
        await self._hotline.prepare()

    async def __aenter__(self) -> Running:
        await self.link.open()
        try:
            await self._supervisor.start()
        except BaseException:
            await self._supervisor.stop()
            raise
        self.http = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.settings.panel_port}",
            headers={"Authorization": f"Bearer {self.settings.panel_token}"},
        )
        self.ledger = await asyncpg.create_pool(
            self.settings.database_url, min_size=1, max_size=4, init=_speak_json
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        self.ledger.terminate()
        await self._supervisor.stop()
        await self.link.close()

    # people

    @property
    def sip(self) -> str:
        return f"127.0.0.1:{self.settings.sip_port}"

    def resident(self, number: str) -> Softphone:
        password = self._hotline.secrets.resident_password
        return Softphone(
            "resident", password, server=self.sip, caller=number, register=False, port=self._phones
        )

    @asynccontextmanager
    async def dispatcher(self) -> AsyncIterator[Softphone]:
        """A dispatcher nobody has met yet, at her phone, and the queue knows it."""
        extension = str(next(self._extensions))
        async with Softphone(
            extension, self.passwords[extension], server=self.sip, port=self._phones
        ) as phone:
            await self.until(lambda: self._is_there(extension), f"{extension} is there for the queue")
            yield phone

    async def _is_there(self, extension: str) -> bool:
        lines = (await self.console("queue show dispatch")).splitlines()
        return any(f"PJSIP/{extension}" in line and "Not in use" in line for line in lines)

    async def nobody_is_there(self) -> None:
        async def empty() -> bool:
            shown = await self.console("queue show dispatch")
            return "PJSIP/" in shown and "Not in use" not in shown and "In use" not in shown

        await self.until(empty, "nobody is there for the queue")

    # what the hotline says of itself

    async def until(
        self,
        look: Callable[[], Awaitable[T | None]],
        what: str,
        within: float = PATIENCE,
        every: float = LOOK_EVERY,
    ) -> T:
        """What `look` finds, once it finds anything; looked for again and again, not longer than `within`."""
        deadline = time.monotonic() + within
        while not (found := await look()):
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
            await asyncio.sleep(every)
        return found

    async def call_of(self, number: str | None, *, within: float = PATIENCE, **wanted: object) -> Row:
        """The latest call of that number, once its row is as wanted (`ended=True`: closed)."""
        ended = wanted.pop("ended", False)
        seen: Row = {}

        async def look() -> Row | None:
            nonlocal seen
            sql = "SELECT * FROM calls WHERE caller IS NOT DISTINCT FROM $1 ORDER BY arrived_at DESC LIMIT 1"
            row = await self.ledger.fetchrow(sql, number)
            seen = dict(row) if row else {}
            fits = bool(seen) and all(seen[name] == value for name, value in wanted.items())
            return seen if fits and (seen["ended_at"] or not ended) else None

        try:
            return await self.until(look, "", within)
        except AssertionError:
            raise AssertionError(f"not within {within:g} s: {wanted or 'ended'}; the row is {seen}") from None

    async def ended(self, number: str | None, *, within: float = PATIENCE) -> Row:
        return await self.call_of(number, within=within, ended=True)

    async def timeline(self, call: str) -> list[Row]:
        rows = await self.ledger.fetch("SELECT * FROM call_facts WHERE call_id = $1 ORDER BY at, key", call)
        return [dict(row) for row in rows]

    async def kinds(self, call: str) -> list[str]:
        return [fact["kind"] for fact in await self.timeline(call)]

    async def happened(self, number: str | None, kind: str, *, times: int = 1, **detail: object) -> Row:
        """A fact of the number's latest call, waited for; the last one if there are several."""

        async def look() -> Row | None:
            sql = """SELECT f.* FROM call_facts f WHERE kind::text = $2 AND detail @> $3 AND call_id = (
                         SELECT id FROM calls WHERE caller IS NOT DISTINCT FROM $1
                         ORDER BY arrived_at DESC LIMIT 1) ORDER BY at"""
            rows = await self.ledger.fetch(sql, number, kind, detail)
            return dict(rows[-1]) if len(rows) >= times else None

        return await self.until(look, f"{kind} {detail} in the timeline of {number}")

    async def promises(self, number: str) -> list[Row]:
        rows = await self.ledger.fetch("SELECT * FROM promises WHERE phone = $1 ORDER BY id", number)
        return [dict(row) for row in rows]

    async def promise(self, number: str, *, within: float = PATIENCE, **wanted: object) -> Row:
        """The latest promise of that number, once its row is as wanted."""

        async def look() -> Row | None:
            rows = await self.promises(number)
            fits = rows and all(rows[-1][name] == value for name, value in wanted.items())
            return rows[-1] if fits else None

        try:
            return await self.until(look, "", within)
        except AssertionError:
            raise AssertionError(
                f"not within {within:g} s: {wanted}; {await self.promises(number)}"
            ) from None

    async def job_done(
        self, number: str, *, category: str = "lift", consented: bool = True, flat: str = "47"
    ) -> int:
        """A ticket of a resident who lives in the north is closed just now; its number."""
        async with self.ledger.acquire() as ledger, ledger.transaction():
            company = await ledger.fetchval("SELECT company_id FROM lines WHERE number = $1", NORTH)
            house = await ledger.fetchrow("SELECT * FROM houses WHERE company_id = $1 LIMIT 1", company)
            home = await ledger.fetchval(
                "INSERT INTO flats (company_id, house_id, number) VALUES ($1, $2, $3) "
                "ON CONFLICT (house_id, number) DO UPDATE SET number = $3 RETURNING id",
                company, house["id"], flat,
            )  # fmt: skip
            person = await ledger.fetchval(
                "INSERT INTO residents (company_id, flat_id, name) VALUES ($1, $2, $3) RETURNING id",
                company, home, f"Житель {number}",
            )  # fmt: skip
            await ledger.execute("INSERT INTO resident_phones VALUES ($1, $2, $3)", number, company, person)
            if consented:
                await ledger.execute(
                    "INSERT INTO consents (company_id, resident_id, kind, given, since, source) "
                    "VALUES ($1, $2, 'robocall', true, '2026-01-01', 'заявление')",
                    company, person,
                )  # fmt: skip
            ticket: int = await ledger.fetchval(
                "INSERT INTO tickets (company_id, house_id, flat, resident_id, phone, category, content, status, "
                "registered_at) VALUES ($1, $2, $3, $4, $5, $6, 'не работает', 'registered', now()) RETURNING number",
                company, house["id"], flat, person, number, category,
            )  # fmt: skip
            await self._close(ledger, ticket)
        return ticket

    async def _close(self, ledger: Any, ticket: int) -> None:
        await ledger.execute(
            "UPDATE tickets SET status = 'closed', closed_at = $2, result = 'сделано' WHERE number = $1",
            ticket, now(),
        )  # fmt: skip

    async def ticket(self, number: int) -> Row:
        row = await self.ledger.fetchrow(
            "SELECT *, status::text AS status FROM tickets WHERE number = $1", number
        )
        return dict(row)

    async def survey(self, number: str, *, within: float = PATIENCE, **wanted: object) -> Row:
        """The latest survey of that number, once its row is as wanted."""
        seen: Row = {}

        async def look() -> Row | None:
            nonlocal seen
            row = await self.ledger.fetchrow(
                "SELECT *, status::text AS status, result::text AS result FROM surveys WHERE phone = $1 "
                "ORDER BY id DESC LIMIT 1", number,
            )  # fmt: skip
            seen = dict(row) if row else {}
            return seen if seen and all(seen[name] == value for name, value in wanted.items()) else None

        try:
            return await self.until(look, "", within)
        except AssertionError:
            raise AssertionError(f"not within {within:g} s: {wanted}; the survey is {seen}") from None

    async def recording(self, call: str, within: float = PATIENCE) -> Row:
        """The call's recording, once it is attached."""

        async def look() -> Row | None:
            sql = "SELECT * FROM recordings WHERE call_id = $1 AND status = 'attached'"
            row = await self.ledger.fetchrow(sql, call)
            return dict(row) if row else None

        return await self.until(look, f"the recording of {call} is attached", within)

    async def health(self) -> Row:
        """Empty while nobody answers."""
        try:
            async with self.http.get("/health") as answer:
                return dict(await answer.json())
        except aiohttp.ClientError:
            return {}

    async def well(self, within: float = 30.0) -> None:
        async def look() -> bool:
            return bool((await self.health()).get("well"))

        await self.until(look, "the controller is well", within)

    async def says(self, words: str, *, since: int = 0, within: float = PATIENCE) -> None:
        """The controller's log holds these words, from byte `since` on (`mark()`)."""

        async def look() -> bool:
            return words in self._log.read_bytes()[since:].decode("utf-8", "replace")

        await self.until(look, f"the controller's log says {words!r}", within)

    def mark(self) -> int:
        """How long the controller's log is now."""
        return self._log.stat().st_size

    @property
    def _log(self) -> Path:
        return self.home / "log" / "controller.log"

    async def console(self, command: str) -> str:
        """What Asterisk answers to a command of its console."""
        etc = self.home / "asterisk" / "etc" / "asterisk.conf"
        assert self.settings.native is not None
        process = await asyncio.create_subprocess_exec(
            *Native(self.settings.native).command("usr/sbin/asterisk", "-C", etc, "-rx", command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return said.decode()

    # what is done to it

    def pid(self, part: str) -> int:
        return self._supervisor.processes[part].pid

    async def kill(self, part: str) -> None:
        """SIGKILL, and wait until it is dead; the supervisor starts it again."""
        process = self._supervisor.processes[part]
        process.send_signal(signal.SIGKILL)
        await process.wait()

    @asynccontextmanager
    async def without(self, part: str) -> AsyncIterator[None]:
        """The part is dead meanwhile: killed at once, and again as often as it is started."""
        dead = self.pid(part)
        await self.kill(part)
        keeper = asyncio.create_task(self._keep_down(part))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self.is_back(part, dead)

    async def _keep_down(self, part: str) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._supervisor.processes[part].returncode is None:
                await self.kill(part)

    async def is_back(self, part: str, dead: int) -> None:
        """Another process than `dead` runs as that part, and all is well."""

        async def look() -> bool:
            process = self._supervisor.processes[part]
            return process.pid != dead and process.returncode is None

        await self.until(look, f"{part} was started again", 60)
        await self.well()

    def set_menu(self, old: str, new: str) -> None:
        file = self.dialplan / "menus.toml"
        text = file.read_text("utf-8")
        assert old in text
        _replace(file, text.replace(old, new))

    def set_hours(self, *, is_open: bool) -> None:
        week = 'mon-sun = "00:00-24:00"\n' if is_open else ""
        _replace(self.dialplan / "hours.toml", f'[office]\n{week}spoken = "всегда"\n')


class Wire:
    """A TCP wire that a test can cut, or stop from carrying anything."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self._to = port, to
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._near: set[asyncio.StreamWriter] = set()
        self._carries = asyncio.Event()
        self._carries.set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Every connection breaks off; new ones are carried."""
        self._carries.set()
        for end in self._ends:
            end.transport.abort()

    def inject(self, garbage: bytes) -> None:
        """The controller reads this as if the manager had sent it."""
        for end in self._near:
            end.write(garbage)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """What is sent meanwhile lies on the way, and is never answered."""
        self._carries.clear()
        try:
            yield
        finally:
            self._carries.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._near |= ends
        self._ends |= ends
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends.add(far_writer)
            self._ends |= ends
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        except OSError:
            pass  # the one end that is gone takes the other with it
        finally:
            self._ends -= ends
            self._near -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            await self._carries.wait()
            writer.write(piece)
            await writer.drain()
        writer.transport.abort()


# ears


async def hears(call: PhoneCall, prompt: str, *, within: float = PATIENCE) -> None:
    """Wait until the prompt sounds in the phone."""
    await call.hears_tone(PITCH[prompt], within=within)


def prompts_heard(call: PhoneCall) -> list[str]:
    """Every prompt the phone has heard so far, in order."""
    names = {hz: name for name, hz in PITCH.items()} | {RIVER_WELCOME: "river's welcome"}
    heard: list[str] = []
    for name in _each_tenth(call.heard, names):
        if name and (not heard or heard[-1] != name):
            heard.append(name)
    return heard


def seconds_heard(call: PhoneCall, prompt: str) -> float:
    return 0.1 * sum(name == prompt for name in _each_tenth(call.heard, {PITCH[prompt]: prompt}))


def times_heard(call: PhoneCall, prompt: str) -> list[tuple[float, float]]:
    """When the prompt began and ended in the phone, each time it was said; seconds since the first sound."""
    times: list[tuple[float, float]] = []
    for tenth, name in enumerate(_each_tenth(call.heard, {PITCH[prompt]: prompt})):
        at = 0.1 * tenth
        if name and times and at - times[-1][1] < PROMPT:
            times[-1] = times[-1][0], at + 0.1
        elif name:
            times.append((at, at + 0.1))
    return times


def _each_tenth(pcm: sound.Sound, names: dict[int, str]) -> Iterator[str | None]:
    """The name of the pitch that is strongest in each tenth of a second."""
    step = sound.RATE // 10
    for at in range(0, pcm.size - step + 1, step):
        piece = pcm[at : at + step]
        if sound.loudness(piece) < sound.VOICE_DBFS:
            yield None
            continue
        strongest = 10 * int(np.abs(np.fft.rfft(piece * np.hanning(step))).argmax())
        yield next((name for hz, name in names.items() if abs(hz - strongest) <= 15), None)


async def talk(resident: PhoneCall, dispatcher: PhoneCall) -> None:
    """Both speak, both hear the other."""
    resident.says(sound.tone(RESIDENT, 1))
    dispatcher.says(sound.tone(DISPATCHER, 1))
    await asyncio.gather(
        resident.hears_tone(DISPATCHER, within=PATIENCE), dispatcher.hears_tone(RESIDENT, within=PATIENCE)
    )


async def to_the_queue(ivan: Softphone, key: str = "1", line: str = NORTH) -> PhoneCall:
    """Dial, and choose as soon as the line is open: who knows the way walks fast."""
    call = await ivan.dial(line)
    await call.answered(within=PATIENCE)
    await call.press(key)
    return call


async def connected(ivan: Softphone, anna: Softphone, key: str = "1") -> tuple[PhoneCall, PhoneCall]:
    """Resident and dispatcher in a talk."""
    call = await to_the_queue(ivan, key)
    ringing = await anna.rings(within=PATIENCE)
    await ringing.answer()
    await talk(call, ringing)
    return call, ringing


def _record(folder: Path) -> None:
    (folder / "rechnoy").mkdir(parents=True)
    for name, hz in PITCH.items():
        seconds = NOTICE if name == "recording_notice" else PROMPT
        sound.to_wav(sound.tone(hz, seconds), folder / f"{name}.wav")
    for name in (*PROMPTS, *JOB_PROMPTS):
        seconds = QUESTION if name in LONG_QUESTIONS else PROMPT
        sound.to_wav(sound.tone(ROBOT, seconds), folder / f"{name}.wav")
    sound.to_wav(sound.tone(RIVER_WELCOME, PROMPT), folder / "rechnoy" / "welcome.wav")


def _replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".fresh")
    fresh.write_text(text, "utf-8")
    fresh.replace(file)


def _free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and for UDP now."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                ports.append(tcp.getsockname()[1])
        return ports


async def _not_long(seconds: float) -> None:
    """The supervisor's growing pause, as long as a test is willing to wait."""
    await asyncio.sleep(min(seconds, 0.4))


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
