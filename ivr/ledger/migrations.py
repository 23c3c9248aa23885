"""Migrations: plain numbered SQL, each in a transaction, under an advisory lock, never edited once applied."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from asyncpg import Connection

from ivr.errors import DozvonError

log = logging.getLogger(__name__)

FOLDER = Path(__file__).with_name("migrations")
PATIENCE = 600.0
"""Seconds: another controller may be migrating, and a large table takes its time."""
LOCK = 0x646F7A766F6E  # "dozvon": several controllers may start at once


async def migrate(connection: Connection[Any], folder: Path = FOLDER) -> list[str]:
    """Apply what is missing, in order; returns the names applied.

    Raises DozvonError when an applied migration was edited or the database is ahead of this version.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=PATIENCE)
    try:
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS migrations (
                   name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
               )"""
        )
        applied = {row["name"]: row["sha256"] for row in await connection.fetch("SELECT * FROM migrations")}
        files = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("[0-9]*.sql"))}
        _check(applied, files)
        missing = [name for name in files if name not in applied]
        for name in missing:
            async with connection.transaction():
                await connection.execute(files[name], timeout=PATIENCE)
                await connection.execute(
                    "INSERT INTO migrations (name, sha256) VALUES ($1, $2)", name, _sha256(files[name])
                )
            log.info("migration applied", extra={"migration": name})
        return missing
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


def _check(applied: dict[str, str], files: dict[str, str]) -> None:
    for name, sha256 in applied.items():
        if name not in files:
            raise DozvonError(f"the database is ahead: it has migration {name}, this version has not")
        if sha256 != _sha256(files[name]):
            raise DozvonError(
                f"migration {name} was edited after it had been applied; write a new one instead"
            )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
