"""What work needs of a database: named statements, each in the `.sql` file of the room that owns the table.

`await store.one("tickets.show", number=7)` runs the statement `show` of `tickets/tickets.sql`. The real store
is `ivr.ledger.Ledger`; nothing holds a connection between two statements unless it says `transaction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Row = Mapping[str, Any]


class Store(Protocol):
    """Named SQL. LedgerAway when the database does not answer; its refusals come as they are."""

    async def one(self, statement: str, /, **values: Any) -> Row | None:
        """The first row, or None."""

    async def all(self, statement: str, /, **values: Any) -> list[Row]:
        """Every row."""

    async def run(self, statement: str, /, **values: Any) -> None:
        """Run it for its effect."""

    def transaction(self) -> AbstractAsyncContextManager[Store]:
        """All of it or nothing of it."""


class Outbox(Protocol):
    """Where facts are left to be written: at once for the caller, once and in order for the database."""

    def write(self, statement: str, /, **values: Any) -> None:
        """Leave one statement to be run; never waits, never raises."""
