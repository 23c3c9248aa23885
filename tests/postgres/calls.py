"""Calls for the ledger's tests, told fact by fact as Asterisk and the conversation tell them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from directory.phones import to_e164
from ivr.call import Call, Fact, Kind
from ivr.store import Outbox
from ivr.switchboard import Numbers, Switchboard
from tickets import limits

NOON = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
LIMITS = limits.read()
ANNA = "101"

Moment = tuple[float, Kind, dict[str, Any]]
"""Seconds after the arrival, what happens, details."""
Story = tuple[Moment, ...]

_ids = itertools.count()


def new_id() -> str:
    return f"dozvon-1795000000.{next(_ids)}"


def switchboard(outbox: Outbox) -> Switchboard:
    read = partial(to_e164, region="RU", area_code="495")
    return Switchboard(outbox, Numbers(read, lambda dialled: None), LIMITS, ZoneInfo("Europe/Moscow"))


def tell(
    board: Switchboard,
    *story: Moment,
    caller: str = "+79161234567",
    at: datetime = NOON,
    call: str | None = None,
) -> Call:
    """Tell a call's facts: (seconds after its arrival, what, details). Who answers is Anna."""
    call = call or new_id()
    opened = board.open(call, at, caller, "+74951230001")
    arrived = (0.0, Kind.ARRIVED, {"caller": caller, "dialled": "+74951230001"})
    for place, (seconds, kind, detail) in enumerate((arrived, *story)):
        who = ANNA if kind in {Kind.ANSWERED, Kind.RANG} else None
        board.take(Fact(call, at + timedelta(seconds=seconds), kind, f"{kind}/{call}/{place}", who, detail))
    return opened


MISSED: Story = ((1.0, Kind.QUEUED, {"queue": "dispatch"}), (30.0, Kind.HUNG_UP, {}), (30.0, Kind.ENDED, {}))
TALKED: Story = (
    (0.5, Kind.WENT, {"category": "emergency", "priority": 20, "queue": "dispatch"}),
    (1.0, Kind.QUEUED, {"queue": "dispatch"}),
    (5.0, Kind.ANSWERED, {}),
    (60.0, Kind.HUNG_UP, {}),
    (60.0, Kind.ENDED, {}),
)


@asynccontextmanager
async def notified(url: str, channel: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """How many times the channel was notified since it was last asked."""
    connection = await asyncpg.connect(url)
    heard: list[None] = []
    await connection.add_listener(channel, lambda *_: heard.append(None))

    async def asked() -> int:
        await connection.execute("SELECT 1")  # what was notified before has arrived by then
        number = len(heard)
        heard.clear()
        return number

    try:
        yield asked
    finally:
        await connection.close()
