"""Migrations: in order, once, under a lock; never edited; and the SQL enums say the same words as Python's."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callback import book
from ivr.call import Direction, Kind, Outcome
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.ledger.migrations import FOLDER, migrate
from tickets.book import Status

NAMES = sorted(path.name for path in FOLDER.glob("*.sql"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


async def test_every_migration_is_applied_once_and_in_order(empty: str) -> None:
    async with connected(empty) as connection:
        assert await migrate(connection) == NAMES
        assert await migrate(connection) == []
        rows = await connection.fetch("SELECT name FROM migrations ORDER BY applied_at, name")
        assert [row["name"] for row in rows] == NAMES


async def test_controllers_that_start_at_once_migrate_once(empty: str, tmp_path: Path) -> None:
    async def start(which: int) -> int:
        async with Ledger(empty, tmp_path / f"parked-{which}") as ledger:
            assert await ledger.one("calls.last_heard", asterisk="dozvon") is None
            return await ledger.pool.fetchval("SELECT count(*) FROM migrations")  # type: ignore[no-any-return]

    assert set(await asyncio.gather(*map(start, range(5)))) == {len(NAMES)}


async def test_an_edited_migration_is_refused_by_its_name(empty: str, folder: Path) -> None:
    async with connected(empty) as connection:
        await migrate(connection, folder)
        file = folder / NAMES[1]
        file.write_text(file.read_text("utf-8") + "-- a word\n", "utf-8")
        with pytest.raises(DozvonError, match=f"{NAMES[1]} was edited"):
            await migrate(connection, folder)


async def test_a_database_that_is_ahead_is_refused(empty: str, folder: Path) -> None:
    async with connected(empty) as connection:
        (folder / "9999_future.sql").write_text("CREATE TABLE future ();")
        await migrate(connection, folder)
        with pytest.raises(DozvonError, match=r"ahead: it has migration 9999_future\.sql"):
            await migrate(connection)


async def test_a_migration_that_fails_leaves_nothing_of_itself_and_the_lock_free(
    empty: str, folder: Path
) -> None:
    broken = folder / "9998_broken.sql"
    broken.write_text("CREATE TABLE half (); SELECT 1/0;")
    async with connected(empty) as one, connected(empty) as other:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(one, folder)
        assert await other.fetchval("SELECT to_regclass('half')") is None
        broken.write_text("CREATE TABLE whole ();")
        async with asyncio.timeout(5):
            assert await migrate(other, folder) == [broken.name]


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        ("fact_kind", Kind),
        ("call_outcome", Outcome),
        ("call_direction", Direction),
        ("ticket_status", Status),
        ("promise_status", book.Status),
    ],
)
async def test_the_sql_enum_has_the_words_of_pythons(
    database: asyncpg.Pool[Any], words: str, enum: type[StrEnum]
) -> None:
    rows = await database.fetch(f"SELECT unnest(enum_range(NULL::{words}))::text AS word")
    assert sorted(row["word"] for row in rows) == sorted(enum)
