"""The FastAGI door: Asterisk connects for every call and carries out commands until we let go.

The protocol (https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/): a block of
`agi_name: value` lines and an empty one, then a command a line from us and a reply a line from Asterisk:
`200 result=49 endpos=8000`. The line `HANGUP` may come at any moment.

Peers are not trusted: a session that is not Asterisk's (a port probe, garbage, a line without end, silence)
is refused within `ENVIRONMENT_WITHIN` seconds, said in the log, and costs the others nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from ivr.errors import Disconnected, HungUp, PeerError

log = logging.getLogger(__name__)

LONGEST_LINE = 4096
MOST_LINES = 100
MOST_SESSIONS = 2000
ENVIRONMENT_WITHIN = 5.0
REPLY_WITHIN = 10.0
"""Seconds Asterisk may take over a command beyond what the command itself lasts."""

_REPLY = re.compile(r"(\d{3})(?: result=(-?\d*)(?: \((.*)\))?(?: endpos=(\d+))?)?")


@dataclass(frozen=True, slots=True)
class Reply:
    """Asterisk's answer to a command."""

    result: int
    value: str | None = None
    endpos: int = 0
    """Samples played."""


class Session:
    """One call's AGI session: what Asterisk told of the channel, and commands to it."""

    def __init__(
        self, env: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.env = env
        self._reader, self._writer = reader, writer

    @property
    def script(self) -> str:
        """`incoming` of agi://host/incoming."""
        return self.env.get("agi_network_script", "")

    @property
    def argument(self) -> str:
        return self.env.get("agi_arg_1", "")

    @property
    def channel(self) -> str:
        """The channel's unique id: our call's id."""
        return self.env["agi_uniqueid"]

    async def command(self, name: str, *words: str | int, lasts: float = 0.0) -> Reply:
        """Have Asterisk carry out one command that by itself takes up to `lasts` seconds.

        Raises HungUp when the channel is gone, Disconnected when Asterisk is, PeerError on a bad reply.
        """
        self._writer.write((" ".join([name, *map(_quoted, words)]) + "\n").encode())
        try:
            async with asyncio.timeout(lasts + REPLY_WITHIN):
                text = await self._reply_line()
        except TimeoutError:
            raise Disconnected(f"no reply to {name} within {lasts + REPLY_WITHIN:g} s") from None
        return _reply(text, name)

    async def _reply_line(self) -> str:
        try:
            raw = await self._reader.readline()
        except (ConnectionError, ValueError) as error:
            raise Disconnected(f"the AGI session broke off: {error}") from error
        if not raw.endswith(b"\n"):
            raise Disconnected("Asterisk closed the AGI session")
        return raw.decode("utf-8", "replace").rstrip("\r\n")


def _quoted(word: str | int) -> str:
    """A word as Asterisk reads it back, whatever is in it."""
    text = str(word)
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"an AGI word cannot carry a line break: {text!r}")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _reply(text: str, command: str) -> Reply:
    if text.startswith("HANGUP"):
        raise HungUp
    match = _REPLY.match(text)
    if match is None:
        raise PeerError(f"not an AGI reply to {command}: {text[:80]!r}")
    code, result, value, endpos = match.groups()
    if code == "511":  # the channel is dead
        raise HungUp
    if code != "200" or not result:
        raise PeerError(f"Asterisk refused {command}: {text[:80]!r}")
    if result == "-1":
        raise HungUp
    return Reply(int(result), value, int(endpos or 0))


Handler = Callable[[Session], Awaitable[None]]


class AgiServer:
    """Listens, admits sessions that speak AGI, and hands each to the handler."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler, self._host, self._port = handler, host, port
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> AgiServer:
        self._server = await asyncio.start_server(
            self._admit, self._host, self._port, limit=LONGEST_LINE, backlog=512
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        peer = writer.get_extra_info("peername")
        try:
            if len(self._sessions) > MOST_SESSIONS:
                raise PeerError(f"{MOST_SESSIONS} sessions are open already")
            session = Session(await _environment(reader), reader, writer)
            await self._handler(session)
        except PeerError as error:
            log.warning("AGI session refused or lost", extra={"peer": peer, "why": str(error)})
        except HungUp:
            pass
        except asyncio.CancelledError:
            pass  # we are closing; the callers go to the static route
        except Exception:
            log.exception("a call's conversation failed; the caller goes to the static route")
        finally:
            self._sessions.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _environment(reader: asyncio.StreamReader) -> dict[str, str]:
    """The `agi_…` block. Raises PeerError for anything else, Disconnected for a peer that leaves or dawdles."""
    env: dict[str, str] = {}
    lines = 0
    try:
        async with asyncio.timeout(ENVIRONMENT_WITHIN):
            while line := (await reader.readuntil(b"\n")).strip():
                name, colon, value = line.decode("utf-8", "replace").partition(":")
                lines += 1
                if not (colon and name.startswith("agi_")) or lines > MOST_LINES:
                    raise PeerError(f"this is not AGI: {line[:40]!r}")
                env[name] = value.strip()
    except TimeoutError:
        raise Disconnected(f"said nothing whole within {ENVIRONMENT_WITHIN:g} s") from None
    except asyncio.IncompleteReadError as error:
        raise Disconnected(f"left after {len(error.partial)} bytes of a line") from None
    except asyncio.LimitOverrunError:
        raise PeerError(f"a line longer than {LONGEST_LINE} bytes") from None
    except ConnectionError as error:
        raise Disconnected(str(error)) from error
    if not re.fullmatch(r"[\w.-]{1,80}", env.get("agi_uniqueid", "")):
        raise PeerError("no agi_uniqueid")
    return env
