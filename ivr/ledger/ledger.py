"""The ledger over asyncpg: reads on a pool, writes through an outbox that never makes a call wait.

`write()` leaves a statement on disk (`outbox.py`) and returns; what has gathered is run as one transaction, in the
order that foreign keys ask for. Every such statement is idempotent, so what failed half way, or was not known to
have gone in when we were killed, is simply run again. While Postgres is away writes wait and calls go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import asyncpg

from ivr.errors import LedgerAway
from ivr.ledger.migrations import migrate
from ivr.ledger.outbox import Journal, Write
from ivr.ledger.statements import Connected, Statements
from ivr.store import Row

log = logging.getLogger(__name__)

GATHER = 0.1
"""Seconds that writes gather before they go in together: a batch costs about the same whatever is in it."""
LONGEST_PAUSE = 5.0
LOOK_EVERY = 5.0
"""Seconds between two looks for the outbox of a controller that died."""
READ_WITHIN = 5.0

_FIRST = ("calls.save", "calls.note")
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its state machine, when the server dies between two messages
)
_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.RaiseError,
)
"""What no later try would change. All else (a full disk, too many connections, a deadlock) passes: writes wait."""


def _is_away(error: Exception) -> bool:
    """Not the statement's fault, but Postgres' for the moment. asyncpg calls a wrong value an InterfaceError, too."""
    if isinstance(error, ValueError):
        return False
    return isinstance(error, _AWAY) or (
        isinstance(error, asyncpg.PostgresError) and not isinstance(error, _REFUSED)
    )


class _Pooled(asyncpg.Connection):
    """Goes back to the pool as it is: nothing here locks, listens or sets a variable on a pooled connection
    beyond a transaction, so asyncpg need not ask the server to undo it after every use."""

    def get_reset_query(self) -> str:
        return ""


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (*_AWAY, asyncpg.PostgresError) as error:
        if not _is_away(error):
            raise
        raise LedgerAway(f"Postgres does not answer: {error!r}") from error


class Store:
    """Named statements on a pool or on one connection."""

    def __init__(self, statements: Statements, connected: Connected) -> None:
        self._statements, self._connected = statements, connected

    async def one(self, statement: str, /, **values: Any) -> Row | None:
        with _in_our_words():
            return await self._statements.one(self._connected, statement, values)

    async def all(self, statement: str, /, **values: Any) -> list[Row]:
        with _in_our_words():
            return await self._statements.all(self._connected, statement, values)

    async def run(self, statement: str, /, **values: Any) -> None:
        with _in_our_words():
            await self._statements.run(self._connected, statement, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Store]:
        with _in_our_words():
            async with AsyncExitStack() as stack:
                connection: Any = self._connected
                if isinstance(connection, asyncpg.Pool):
                    connection = await stack.enter_async_context(connection.acquire())
                await stack.enter_async_context(connection.transaction())
                yield Store(self._statements, connection)


class Ledger(Store):
    """Open with `async with Ledger(url, parked, spool) as ledger`; migrates first, then writes what the dead left."""

    def __init__(self, url: str, parked: Path, spool: Path | None = None) -> None:
        """`parked` is the file that takes a write the database refuses, so that it blocks nobody and is kept.

        `spool` is the folder where writes wait, shared by the controllers of one home, who inherit from one
        another. Without it they wait in memory, and a stop parks them: enough for who hardly writes.
        """
        self._url, self._parked = url, parked
        self._journal = Journal(spool)
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._pause = 0.0

    async def __aenter__(self) -> Ledger:
        statements = Statements()
        pool = await asyncpg.create_pool(
            self._url,
            min_size=1,
            max_size=8,
            command_timeout=READ_WITHIN,
            init=_speak_json,
            connection_class=_Pooled,
        )
        super().__init__(statements, pool)
        try:
            async with pool.acquire() as connection:
                await migrate(connection)  # type: ignore[arg-type]
        except BaseException:
            pool.terminate()
            raise
        self.pool = pool
        self._adopt()
        self._tasks.append(asyncio.create_task(self._flush_forever(), name="ledger outbox"))
        self._tasks.append(asyncio.create_task(self._adopt_forever(), name="ledger heir"))
        try:
            await self._settle()  # who starts reads what a dead one knew
        except BaseException:
            await self._stop()
            pool.terminate()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._settle()
        await self._stop()
        self.pool.terminate() if error else await self.pool.close()

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_PAUSE):
                await self.settled()
        except TimeoutError:
            log.error("the database is slow or away: writes wait", extra={"waiting": self.waiting})

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            for segment in self._journal.only_in_memory():
                for write in segment.load():
                    self._park(write, "Postgres was away at the stop")
                self._journal.done(segment)
        except OSError:
            log.exception("writes are lost: neither Postgres nor the disk took them")
        self._journal.close()

    def write(self, statement: str, /, **values: Any) -> None:
        """Leave one statement to be run soon, in order. It must be idempotent: a kill may have it run again.

        When this returns, the write is in the hands of the operating system: a `kill -9` of us loses nothing.
        There is no fsync, which would make calls wait. Never raises; a full disk has writes wait in memory.
        """
        self._journal.put(statement, values)
        self._settled.clear()
        self._wanted.set()

    @property
    def waiting(self) -> int:
        """How many writes have not reached the database yet, adopted ones included."""
        return self._journal.waiting

    @property
    def is_behind(self) -> bool:
        """Writes wait for longer than they gather: the database lacks what has already happened."""
        return self._pause > 0 or len(self._journal.closed) > 1

    async def settled(self) -> None:
        """Wait until everything written so far is in the database."""
        await self._settled.wait()

    def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Call `heard` after every NOTIFY on the channel, and after every gap in which one may have been missed.

        On a connection of its own: a pool drops listeners when it takes a connection back.
        """
        self._tasks.append(
            asyncio.create_task(self._listen_forever(channel, heard), name=f"listen {channel}")
        )

    async def _listen_forever(self, channel: str, heard: Callable[[], None]) -> None:
        while True:
            with contextlib.suppress(*_AWAY, asyncpg.PostgresError):
                await self._listen_once(channel, heard)
            await asyncio.sleep(1)
            heard()

    async def _listen_once(self, channel: str, heard: Callable[[], None]) -> None:
        """Until the connection is gone."""
        connection = await asyncpg.connect(self._url)
        gone = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: gone.set())
            await connection.add_listener(channel, lambda *_: heard())
            await gone.wait()
        finally:
            connection.terminate()

    async def _adopt_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._adopt()

    def _adopt(self) -> None:
        if adopted := self._journal.adopt():
            log.info("writes of a controller that died are adopted", extra={"count": adopted})
            self._settled.clear()
            self._wanted.set()

    async def _flush_forever(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._pause or GATHER)
            try:
                await self._flush_what_gathered()
            except Exception as error:  # whatever it is: the outbox lives on, and nothing is lost
                self._pause = min(LONGEST_PAUSE, max(0.2, self._pause * 2))
                log.warning(
                    "writes wait",
                    exc_info=not _is_away(error),
                    extra={"waiting": self.waiting, "why": repr(error)},
                )
            else:
                self._pause = 0.0
            if not self.waiting:
                self._wanted.clear()
                self._settled.set()

    async def _flush_what_gathered(self) -> None:
        """The oldest first, each segment whole before the next."""
        journal = self._journal
        if not journal.closed:
            journal.close_segment()
        while journal.closed:
            segment = journal.closed[0]
            if segment.writes is None:
                await asyncio.to_thread(segment.load)
            await self._flush(segment.load())
            journal.done(segment)

    async def _flush(self, batch: list[Write]) -> None:
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                for statement, rows in _grouped(batch):
                    await self._statements.run_many(connection, statement, rows)
        except Exception as error:
            if _is_away(error):
                raise
            log.error("a batch is refused; its writes are tried one by one", extra={"why": repr(error)})
            await self._one_by_one(batch)

    async def _one_by_one(self, batch: list[Write]) -> None:
        for statement, rows in _grouped(batch):
            for values in rows:
                try:
                    await self._statements.run_many(self.pool, statement, [values])
                except Exception as error:
                    if _is_away(error):
                        raise
                    log.exception("a write is refused and parked", extra={"statement": statement})
                    self._park((statement, values), repr(error))

    def _park(self, write: Write, why: str) -> None:
        self._parked.parent.mkdir(parents=True, exist_ok=True)
        self._parked.touch(mode=0o600)
        with self._parked.open("a", encoding="utf-8") as file:
            file.write(_json({"statement": write[0], "values": write[1], "why": why}) + "\n")


def _grouped(batch: list[Write]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Calls before their facts before everything else; of several rows of one call only the last.

    Promises by number: two controllers that write the same ones wait for each other instead of blocking each other.
    """
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in _FIRST}
    for statement, values in batch:
        groups.setdefault(statement, []).append(values)
    groups["calls.save"] = list({values["id"]: values for values in groups["calls.save"]}.values())
    groups.get("promises.open", []).sort(key=lambda values: values["phone"] or "")
    return [(statement, rows) for statement, rows in groups.items() if rows]


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=_json, decoder=json.loads, schema="pg_catalog")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_text)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
