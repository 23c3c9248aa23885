"""What must be true once all is quiet again: the ledger against Asterisk's own log, call by call.

The log's story is laid into Postgres as temporary tables; each check is a statement that finds the offenders.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from faults.house import House, NotWithin, Row
from faults.log import Story, read

Sort = Literal["lost", "doubled", "stuck", "wrong"]
SORTS: tuple[Sort, ...] = ("lost", "doubled", "stuck", "wrong")

WRITTEN_WITHIN = 8.0
"""Seconds; the outbox writes what gathers every tenth of one, and a recording is taken in later."""

TABLES = """
    CREATE TEMP TABLE log_calls (
        id text PRIMARY KEY, number text, inbound boolean, began_at timestamptz, ended_at timestamptz,
        over_at timestamptz, talked boolean, met_at timestamptz, met_until timestamptz
    ) ON COMMIT DROP;
    CREATE TEMP TABLE log_rings (
        call text, number text, began_at timestamptz, ended_at timestamptz
    ) ON COMMIT DROP;
    CREATE TEMP TABLE dialled (number text, at timestamptz) ON COMMIT DROP"""


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` finds what ought not to be."""

    name: str
    sort: Sort
    sql: str


CHECKS = (
    Check(
        "calls of the log that the ledger has not",
        "lost",
        "SELECT id, number FROM log_calls l WHERE NOT EXISTS (SELECT FROM calls WHERE id = l.id)",
    ),
    Check(
        "calls a phone saw answered that the ledger has not",
        "lost",
        """SELECT number, at FROM dialled d WHERE NOT EXISTS (
               SELECT FROM calls WHERE caller = d.number AND direction = 'inbound'
               -- answered at once, or when a stopped controller goes on
               AND arrived_at BETWEEN d.at - interval '6 s' AND d.at + interval '1 s')""",
    ),
    Check(
        "calls of the ledger that the log has not",
        "doubled",
        """SELECT id, direction::text, outcome::text FROM calls c
           WHERE NOT EXISTS (SELECT FROM log_calls WHERE id = c.id)
             -- an order that was never carried out rang nobody, and nobody has told anything of it
             AND NOT (direction = 'callback' AND answered_at IS NULL AND NOT EXISTS (
                 SELECT FROM call_facts WHERE call_id = c.id AND kind NOT IN ('ended', 'identified')))""",
    ),
    Check(
        "calls that arrived at another moment (± 1 s)",
        "wrong",
        """SELECT l.id, l.began_at, c.arrived_at FROM log_calls l JOIN calls c USING (id)
           WHERE inbound AND abs(extract(epoch FROM c.arrived_at - l.began_at)) > 1""",
    ),
    Check(
        "calls that have not ended, or at another moment (± 1 s)",
        "wrong",
        """SELECT l.id, l.ended_at AS log_ended, l.over_at, c.ended_at, c.outcome::text
           FROM log_calls l JOIN calls c USING (id)
           WHERE c.ended_at IS NULL OR c.ended_at > l.over_at + interval '1 s' AND inbound
              OR abs(extract(epoch FROM c.ended_at - l.ended_at)) > 1 AND inbound""",
    ),
    Check(
        "missed calls without a promise",
        "lost",
        """SELECT l.id, l.number, c.outcome::text FROM log_calls l LEFT JOIN calls c USING (id)
           WHERE inbound AND NOT talked AND NOT EXISTS (SELECT FROM promise_calls WHERE call_id = l.id)""",
    ),
    Check(
        "talked calls with a promise",
        "wrong",
        """SELECT l.id, l.number, c.outcome::text FROM log_calls l LEFT JOIN calls c USING (id)
           WHERE inbound AND talked AND EXISTS (SELECT FROM promise_calls WHERE call_id = l.id)""",
    ),
    Check(
        "missed calls told twice in the history of promises",
        "doubled",
        """SELECT detail->>'call' AS call, count(*) FROM promise_history WHERE what IN ('opened', 'joined')
           GROUP BY 1 HAVING count(*) > 1""",
    ),
    Check(
        "promises whose count of missed calls is not theirs",
        "doubled",
        """SELECT p.id, p.missed, count(c.call_id) FROM promises p LEFT JOIN promise_calls c ON c.promise_id = p.id
           GROUP BY p.id HAVING count(c.call_id) <> p.missed""",
    ),
    Check(
        "residents rung twice at once",
        "doubled",
        """SELECT a.number, a.call, b.call AS other, b.began_at FROM log_rings a JOIN log_rings b
               ON a.number = b.number AND (a.call, a.began_at) < (b.call, b.began_at)
               AND a.began_at < coalesce(b.ended_at, 'infinity') AND b.began_at < coalesce(a.ended_at, 'infinity')""",
    ),
    Check(
        "residents rung while they talked with us",
        "doubled",
        """SELECT r.number, r.call, l.id AS talked_in, r.began_at FROM log_rings r JOIN log_calls l
               ON l.number = r.number AND l.inbound AND l.id <> r.call
               AND r.began_at > l.met_at AND r.began_at < coalesce(l.met_until, l.over_at, 'infinity')""",
    ),
    Check(
        "promises that wait for nothing",
        "stuck",
        """SELECT id, phone, status::text, next_attempt_at FROM promises p
           WHERE closed_at IS NULL AND phone IS NOT NULL AND next_attempt_at IS NULL AND NOT EXISTS (
               SELECT FROM attempts a JOIN calls c ON c.id = a.call_id
               WHERE a.promise_id = p.id AND c.ended_at IS NULL)""",
    ),
    Check(
        "promises still open though their residents answer",
        "stuck",
        """SELECT id, phone, status::text, missed_at, next_attempt_at,
                  (SELECT count(*) FROM attempts WHERE promise_id = p.id) AS attempts
           FROM promises p WHERE closed_at IS NULL AND phone IS NOT NULL""",
    ),
    Check(
        "calls back that go on though Asterisk has no channel of them",
        "stuck",
        "SELECT id, caller, arrived_at FROM calls WHERE direction = 'callback' AND ended_at IS NULL",
    ),
    Check(
        "promises kept without a talk",
        "wrong",
        """SELECT p.id, p.phone, p.status::text, p.reached_by, l.met_at, l.met_until FROM promises p
           LEFT JOIN log_calls l ON l.id = p.reached_by
           WHERE p.reached_at IS NOT NULL
             AND (l.met_at IS NULL OR abs(extract(epoch FROM p.reached_at - l.met_at)) > 1)""",
    ),
    Check(
        "promises told kept more than once, or not at all",
        "doubled",
        """SELECT p.id, p.status::text, count(h.what) FROM promises p
           LEFT JOIN promise_history h ON h.promise_id = p.id AND h.what IN ('kept', 'reached_late')
           GROUP BY p.id HAVING count(h.what) <> (p.reached_at IS NOT NULL)::int""",
    ),
    Check(
        "talks that have not exactly one ticket",
        "doubled",
        """SELECT c.id, c.answered_at, count(t.call_id) FROM calls c LEFT JOIN tickets t ON t.call_id = c.id
           WHERE c.answered_at IS NOT NULL GROUP BY c.id HAVING count(t.call_id) <> 1""",
    ),
    Check(
        "attempts of one promise that overlap",
        "doubled",
        """SELECT a.promise_id, a.call_id, b.call_id AS other FROM attempts a JOIN attempts b USING (promise_id)
           JOIN calls x ON x.id = a.call_id JOIN calls y ON y.id = b.call_id
           WHERE a.attempt < b.attempt AND x.ended_at > b.placed_at + interval '1 s'""",
    ),
)


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
        await _lay_out(connection, story, list(dialled))
        found = [Finding(c.name, c.sort, [dict(r) for r in await connection.fetch(c.sql)]) for c in CHECKS]
    return [*found, await _nothing_waits(house), await _recordings(house)]


async def _lay_out(connection: object, story: Story, dialled: Sequence[tuple[str, datetime]]) -> None:
    calls = [
        (c.id, c.number, c.inbound, c.began_at, c.ended_at, c.over_at, c.talked, c.met_at, c.met_until)
        for c in story.calls.values()
    ]
    rings = [(r.call, r.number, r.began_at, r.ended_at) for r in story.rings]
    for table, rows in (("log_calls", calls), ("log_rings", rings), ("dialled", dialled)):
        await connection.copy_records_to_table(table, records=rows)  # type: ignore[attr-defined]


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
