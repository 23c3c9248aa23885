"""Named SQL: every statement lies in a `.sql` file beside the room that owns the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosql

from ivr.store import Row

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "blocked": "directory/blocked.sql",
    "calls": "ivr/ledger/calls.sql",
    "directory": "directory/directory.sql",
    "moves": "callback/moves.sql",
    "promises": "callback/promises.sql",
    "recordings": "recordings/recordings.sql",
    "report": "callback/report.sql",
    "surveys": "robocalls/surveys.sql",
    "survey_book": "robocalls/book.sql",
    "tickets": "tickets/tickets.sql",
}

Connected = Any
"""An asyncpg connection or pool: aiosql takes either, and its own calls are untyped."""


class Statements:
    """`find("tickets.show")` is the statement `show` of tickets/tickets.sql."""

    def __init__(self) -> None:
        self._rooms = {
            room: aiosql.from_path(ROOT / file, "asyncpg", mandatory_parameters=False)
            for room, file in FILES.items()
        }

    def find(self, name: str) -> Any:
        """Raises KeyError when there is no such statement."""
        room, _, statement = name.partition(".")
        try:
            return getattr(self._rooms[room], statement)
        except (KeyError, AttributeError):
            raise KeyError(f"no statement {name!r} in {FILES.get(room, 'any .sql file')}") from None

    async def one(self, connected: Connected, name: str, values: dict[str, Any]) -> Row | None:
        row = await self.find(name)(connected, **values)
        return None if row is None else dict(row)

    async def all(self, connected: Connected, name: str, values: dict[str, Any]) -> list[Row]:
        return [dict(row) async for row in self.find(name)(connected, **values)]

    async def run(self, connected: Connected, name: str, values: dict[str, Any]) -> None:
        await self.find(name)(connected, **values)

    async def run_many(self, connected: Connected, name: str, rows: list[dict[str, Any]]) -> None:
        await self.find(name)(connected, rows)
