"""Keeps the appliance's parts running: started in order, started again when they die, stopped in reverse.

A part's deaths are answered with a growing pause, and each is said. Parts run in process groups of their
own, so Ctrl-C reaches only the supervisor, and they die with it, even when it is killed with -9.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd
from typing import Any

from ivr.errors import MissingPart, Refused

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
HEALTHY_AFTER = 60.0
"""Seconds. A part that lived this long has its pause back at the beginning."""
ROTATE_AT = 10_000_000
"""Bytes. A log larger than this when its part starts is put aside as `NAME.log.1`."""
LOOK_EVERY = 0.05
"""Seconds between two looks whether a starting part is ready."""
ALIVE_EVERY = 3.0
SILENT_LOOKS = 3
MOST_FILES = 65_536


@dataclass(slots=True)
class Pauses:
    """How long to wait before the next start: doubles with every death, forgets after a spell of health."""

    first: float = FIRST_PAUSE
    longest: float = LONGEST_PAUSE
    healthy_after: float = HEALTHY_AFTER
    _next: float = 0.0

    def after(self, lived: float) -> float:
        """The pause after a life of `lived` seconds."""
        pause = self.first if lived >= self.healthy_after else max(self.first, self._next)
        self._next = min(self.longest, pause * 2)
        return pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What runs as a process: a command, or a function that starts one and waits until it is ready."""

    name: str
    command: Sequence[str | Path] = ()
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    start: Callable[[], Awaitable[Process]] | None = None
    """Instead of `command`: starts the process and returns when it is ready."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asked again and again after the start; None: a running process is a ready one."""
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited once, before the first start and after the parts before it are ready."""
    alive: Callable[[], Awaitable[bool]] | None = None
    """Asked every ALIVE_EVERY seconds of a running part; one that is silent SILENT_LOOKS times is killed."""
    patience: float = 30.0
    """Seconds a start may take until it is ready."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    """Seconds between the stop signal and SIGKILL."""


class Supervisor:
    """Runs parts for as long as it runs itself.

    `await run(when_ready)` is the whole life: start, wait for SIGINT or SIGTERM, stop.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.parts = tuple(parts)
        self.processes: dict[str, Process] = {}
        """Name → the process that runs, or ran last."""
        self._logs = logs
        self._clock = clock
        self._sleep = sleep
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._asked_to_stop = asyncio.Event()

    async def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Start all, call `when_ready`, stop all when asked to. MissingPart when a part does not start."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self._asked_to_stop.set)
        try:
            starting = asyncio.create_task(self.start())
            asked = asyncio.create_task(self._asked_to_stop.wait())
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                when_ready()
                await asked
            await _cancelled(starting, asked)
        finally:
            await self.stop()
            for number in signals:
                loop.remove_signal_handler(number)

    def ask_to_stop(self) -> None:
        """What SIGINT and SIGTERM do: `run` stops everything and returns."""
        self._asked_to_stop.set()

    async def start(self) -> None:
        """Start the parts in order, each ready before the next; what runs already stays when one fails."""
        _open_as_many_files_as_allowed()
        for part in self.parts:
            began = self._clock()
            if part.before is not None:
                await part.before()
            await self._launch(part)
            log.info("%s is ready after %.1f s", part.name, self._clock() - began)
            self._watches[part.name] = asyncio.create_task(self._watch(part), name=f"watch {part.name}")

    async def stop(self) -> None:
        """Stop the parts in reverse order: the stop signal, then SIGKILL."""
        for part in reversed(self.parts):
            if watch := self._watches.pop(part.name, None):
                await _cancelled(watch)
            if process := self.processes.get(part.name):
                await stopped(process, part)

    async def _watch(self, part: Part) -> None:
        """Start the part again whenever it dies, with a growing pause."""
        pauses = Pauses()
        started = self._clock()
        while True:
            guard = asyncio.create_task(self._guard(part), name=f"guard {part.name}")
            try:
                how = _how_it_ended(await self.processes[part.name].wait())
            finally:
                await _cancelled(guard)
            while True:
                pause = pauses.after(self._clock() - started)
                log.warning("%s died (%s), starting again in %.1f s", part.name, how, pause)
                await self._sleep(pause)
                started = self._clock()
                try:
                    await self._launch(part)
                except (MissingPart, OSError) as error:
                    how = str(error)
                    continue
                break
            log.info("%s is back", part.name)

    async def _guard(self, part: Part) -> None:
        """Kill the part's process when it runs but does not answer any more: whoever waits for it waits in vain."""
        silent = 0
        while part.alive is not None:
            await self._sleep(ALIVE_EVERY)
            silent = 0 if await part.alive() else silent + 1
            if silent == SILENT_LOOKS:
                log.error("%s does not answer any more, killing it", part.name)
                self.processes[part.name].kill()
                return

    async def _launch(self, part: Part) -> None:
        """One start, until ready. A part that is not ready in time is stopped; MissingPart says why."""
        try:
            async with asyncio.timeout(part.patience):
                if part.start is not None:
                    self.processes[part.name] = await part.start()
                else:
                    self.processes[part.name] = await self._spawn(part)
                await self._until_ready(part)
        except BaseException as error:
            if process := self.processes.get(part.name):
                await stopped(process, part)
            if isinstance(error, TimeoutError):
                raise self._did_not_start(part, f"not ready within {part.patience:.0f} s") from error
            raise

    async def _until_ready(self, part: Part) -> None:
        process = self.processes[part.name]
        while part.ready is not None and not await part.ready():
            if process.returncode is not None:
                raise self._did_not_start(part, f"it ended at once ({_how_it_ended(process.returncode)})")
            await self._sleep(LOOK_EVERY)

    async def _spawn(self, part: Part) -> Process:
        with open_log(self._logs, part.name) as out:
            return await asyncio.create_subprocess_exec(
                *tied(part.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if part.env is None else dict(part.env),
                cwd=part.cwd,
                process_group=0,
            )

    def _did_not_start(self, part: Part, why: str) -> MissingPart:
        file = self._logs / f"{part.name}.log"
        last = last_lines(file)
        return MissingPart(part.name, f"{why}{last and ': ' + last}", f"read {file}, and start again")


def _open_as_many_files_as_allowed() -> None:
    """A call takes Asterisk about seven open files; the usual soft limit of 1024 would end at 140 calls."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


async def stopped(process: Process, part: Part) -> None:
    """Stop one process: the part's signal, and SIGKILL when that is not heard."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(part.stop_signal)
    try:
        async with asyncio.timeout(part.stop_within):
            await process.wait()
    except TimeoutError:
        log.warning("%s did not stop within %.0f s, killing it", part.name, part.stop_within)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    log.info("%s stopped", part.name)


def tied(
    command: Sequence[str | Path],
    last_word: signal.Signals = signal.SIGKILL,
    user: struct_passwd | None = None,
) -> list[str]:
    """The command line that runs `command`, as `user`, and gets `last_word` when this process is gone.

    However it went: the kernel sends it. `setpriv` is part of every Debian, and leaves no process of its own.
    """
    drop = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return ["setpriv", f"--pdeathsig={last_word.name.removeprefix('SIG')}", *drop, "--", *map(str, command)]


@contextlib.contextmanager
def open_log(folder: Path, name: str) -> Iterator[int]:
    """A descriptor that appends to `folder/NAME.log`; a large log is put aside first."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.log"
    if file.exists() and file.stat().st_size > ROTATE_AT:
        file.replace(folder / f"{name}.log.1")
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def last_lines(file: Path, count: int = 3) -> str:
    """The end of a log on one line, for an error message."""
    try:
        with file.open("rb") as log_file:
            log_file.seek(max(0, file.stat().st_size - 2000))
            lines = log_file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip() for line in lines[-count:] if line.strip())


def hold(lock: Path, what: str) -> int:
    """Keep `lock` for the life of this process, so that there is one `what` only; Refused when it is held.

    Returns the descriptor: closing it lets go. The kernel lets go by itself when the process dies.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(held, 20).decode(errors="replace").strip() or "unknown"
        os.close(held)
        raise Refused(
            f"{what}: already running in {lock.parent} (process {owner}); stop that one first"
        ) from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def _how_it_ended(returncode: int) -> str:
    return f"exit {returncode}"


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and see off."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
