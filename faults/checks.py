"""What must be true once all is quiet again: the ledger against Asterisk's own log, call by call.

The log's story is laid into Postgres as temporary tables, and so is what the residents have done; then each of
`faults.truths` is looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from faults.house import House, NotWithin, Row
from faults.log import Story, read
from faults.truths import CHECKS, TABLES, WHOM_THE_ROBOT_RANG, Sort

ZONE = "Europe/Moscow"
"""Where the residents live."""
WRITTEN_WITHIN = 8.0
"""Seconds; the outbox writes what gathers every tenth of one, and a recording is taken in later."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found; no rows: all is well."""

    name: str
    sort: Sort
    rows: list[Row]

    def __str__(self) -> str:
        shown = "\n".join(
            "    " + "  ".join(f"{k}={_shown(v)}" for k, v in row.items()) for row in self.rows[:10]
        )
        return f"{self.sort}: {len(self.rows)} {self.name}\n{shown}" if self.rows else f"{self.name}: none"


async def look(house: House, dialled: Iterable[tuple[str, datetime]] = ()) -> list[Finding]:
    """Every check on all that has happened in the house; `dialled` are the calls that phones saw answered."""
    story = read(house.cel_file, [kill.at for kill in house.kills if kill.part == "asterisk"])
    async with house.ledger.acquire() as connection, connection.transaction():
        await connection.execute(TABLES)
        await _lay_out(connection, story, list(dialled), house)
        found = [Finding(c.name, c.sort, [dict(r) for r in await connection.fetch(c.sql)]) for c in CHECKS]
    return [*found, await _nothing_waits(house), await _recordings(house)]


async def _lay_out(
    connection: Any, story: Story, dialled: Sequence[tuple[str, datetime]], house: House
) -> None:
    rules = house.survey_rules
    tables: dict[str, Sequence[tuple[object, ...]]] = {
        "log_calls": [
            (c.id, c.number, c.direction, c.began_at, c.ended_at, c.over_at, c.talked, c.met_at, c.met_until,
             c.handed_over_at)
            for c in story.calls.values()
        ],
        "log_rings": [(r.call, r.number, r.began_at, r.ended_at) for r in story.rings],
        "dialled": dialled,
        "phone_rings": house.rings,
        "acts": [(act.number, act.at, act.deed, act.key) for act in house.acts],
        "rules": [(rules.a_day, rules.a_week, len(rules.ladder), ZONE)],
    }  # fmt: skip
    for table, rows in tables.items():
        await connection.copy_records_to_table(table, records=rows)
    await connection.execute(WHOM_THE_ROBOT_RANG)


async def _nothing_waits(house: House) -> Finding:
    """In no outbox, not for long; and nothing was parked."""
    last: list[Row] = []

    async def look() -> bool:
        last[:] = [
            {"file": str(file.relative_to(house.home)), "writes": file.read_bytes().count(b"\n")}
            for file in [*house.home.glob("outbox/*/*.jsonl"), *house.home.glob("parked*.jsonl")]
            if file.stat().st_size
        ]
        return not last

    with contextlib.suppress(NotWithin):
        await house.until(look, "everything is written", WRITTEN_WITHIN)
    return Finding("files of writes that are not in the database", "stuck", last)


async def _recordings(house: House) -> Finding:
    """What is attached is there, whole."""
    rows = await house.rows("SELECT call_id, path, sha256 FROM recordings WHERE status = 'attached'")
    torn = [
        row
        for row in rows
        if await asyncio.to_thread(_sha256, house.home / "recordings" / row["path"]) != row["sha256"]
    ]
    return Finding("recordings that are not what the ledger says", "wrong", torn)


def _sha256(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _shown(value: object) -> str:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)
