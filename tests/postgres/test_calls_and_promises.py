"""Every call without a talk makes one promise; and nobody's silence holds a connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callback.missed import HIDDEN
from demo import sound
from ivr.app import Controller
from ivr.asterisk.agi import AgiServer
from ivr.call import Call, Direction, Fact, Kind, Outcome
from ivr.ledger import Ledger
from ivr.settings import Settings

from .calls import MISSED, NOON, TALKED, new_id, switchboard, tell

TEN_MINUTES = timedelta(minutes=10)
LATER = NOON + timedelta(minutes=3)


async def promises(ledger: Ledger) -> list[dict[str, Any]]:
    await ledger.settled()
    return [dict(row) for row in await ledger.pool.fetch("SELECT * FROM promises ORDER BY id")]


KEPT = "UPDATE promises SET status = 'kept', reached_at = missed_at, closed_at = missed_at"


async def test_a_missed_call_is_promised_a_call_back_ten_minutes_after_it_arrived(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), (0.5, Kind.WENT, {"category": "emergency"}), *MISSED)
    (promise,) = await promises(ledger)
    assert (promise["phone"], promise["status"], promise["missed"]) == ("+79161234567", "open", 1)
    assert (promise["missed_at"], promise["due_at"]) == (NOON, NOON + TEN_MINUTES)
    assert (promise["reason"], promise["category"]) == ("abandoned_in_queue", "emergency")
    assert promise["clause"] == "ПП РФ № 416, п. 13"
    assert [row["id"] for row in await ledger.all("promises.of_call", call=call.id)] == [promise["id"]]


async def test_a_talk_promises_nothing(ledger: Ledger) -> None:
    tell(switchboard(ledger), *TALKED)
    assert await promises(ledger) == []


@pytest.mark.parametrize("moments", [(NOON, LATER), (LATER, NOON)])
async def test_two_missed_calls_of_a_number_are_one_promise_by_the_earlier(
    ledger: Ledger, moments: tuple[datetime, datetime]
) -> None:
    board = switchboard(ledger)
    for at in moments:
        tell(board, *MISSED, at=at)
        await ledger.settled()
    (promise,) = await promises(ledger)
    assert (promise["missed"], promise["due_at"]) == (2, NOON + TEN_MINUTES)


async def test_two_missed_calls_told_at_once_are_one_promise(ledger: Ledger) -> None:
    board = switchboard(ledger)
    for at in (LATER, NOON):
        tell(board, *MISSED, at=at)
    (promise,) = await promises(ledger)
    assert (promise["missed"], promise["due_at"]) == (2, NOON + TEN_MINUTES)


async def test_two_controllers_at_once_make_one_promise(ledger: Ledger, url: str, tmp_path: Path) -> None:
    async with Ledger(url, tmp_path / "other.jsonl") as other:
        for number in range(30):
            for one, at in ((ledger, NOON), (other, LATER)):
                tell(switchboard(one), *MISSED, caller=f"+7916000{number:04}", at=at)
            await asyncio.gather(ledger.settled(), other.settled())
    made = await promises(ledger)
    assert len(made) == 30
    assert {(promise["missed"], promise["due_at"]) for promise in made} == {(2, NOON + TEN_MINUTES)}
    assert not list(tmp_path.glob("*.jsonl"))


async def test_the_same_call_told_by_two_controllers_at_once_counts_once(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    async with Ledger(url, tmp_path / "other.jsonl") as other:
        for number in range(30):
            call = new_id()
            for one in (ledger, other):
                tell(switchboard(one), *MISSED, caller=f"+7916000{number:04}", call=call)
            await asyncio.gather(ledger.settled(), other.settled())
    assert {promise["missed"] for promise in await promises(ledger)} == {1}
    assert not list(tmp_path.glob("*.jsonl"))


async def test_told_twice_a_missed_call_counts_once(ledger: Ledger) -> None:
    call = new_id()
    for _ in range(2):
        tell(switchboard(ledger), *MISSED, call=call)
        await ledger.settled()
    (promise,) = await promises(ledger)
    assert promise["missed"] == 1


async def test_told_again_after_the_promise_was_kept_it_makes_no_other(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), *MISSED).id
    await ledger.settled()
    await ledger.pool.execute(KEPT)
    tell(switchboard(ledger), *MISSED, call=call)
    assert [promise["status"] for promise in await promises(ledger)] == ["kept"]


async def test_a_call_missed_after_the_promise_was_kept_makes_a_new_one(ledger: Ledger) -> None:
    board = switchboard(ledger)
    tell(board, *MISSED)
    await ledger.settled()
    await ledger.pool.execute(KEPT)
    tell(board, *MISSED, at=LATER)
    assert [(p["status"], p["due_at"]) for p in await promises(ledger)] == [
        ("kept", NOON + TEN_MINUTES),
        ("open", LATER + TEN_MINUTES),
    ]


async def test_hidden_numbers_are_a_promise_each_that_says_why_it_cannot_be_kept(ledger: Ledger) -> None:
    board = switchboard(ledger)
    for at in (NOON, LATER):
        tell(board, *MISSED, caller="anonymous", at=at)
    made = await promises(ledger)
    assert [(p["phone"], p["why"], p["missed"]) for p in made] == [(None, HIDDEN, 1)] * 2


async def test_one_open_promise_a_number_is_the_databases_own_rule(ledger: Ledger) -> None:
    tell(switchboard(ledger), *MISSED)
    await promises(ledger)
    columns = "company_id, phone, category, reason, clause, missed_at, due_at"
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.pool.execute(f"INSERT INTO promises ({columns}) SELECT {columns} FROM promises")


async def test_a_promise_is_never_deleted(ledger: Ledger) -> None:
    tell(switchboard(ledger), *MISSED)
    await promises(ledger)
    await ledger.pool.execute("DELETE FROM promise_calls")
    with pytest.raises(asyncpg.RaiseError, match="kept for ever"):
        await ledger.pool.execute("DELETE FROM promises")


async def test_an_ended_call_has_an_outcome_and_a_going_one_has_none(ledger: Ledger) -> None:
    call = tell(switchboard(ledger), *MISSED).id
    await ledger.settled()
    for wrong in ("ended_at = NULL", "outcome = NULL"):
        with pytest.raises(asyncpg.CheckViolationError):
            await ledger.pool.execute(f"UPDATE calls SET {wrong} WHERE id = $1", call)


async def test_a_controller_takes_up_the_calls_another_left_going_on(ledger: Ledger) -> None:
    board = switchboard(ledger)
    tell(board, *MISSED)
    going = tell(board, *TALKED[:3], caller="+79161234568")
    await ledger.settled()
    (row,) = await ledger.all("calls.going_on", asterisk="dozvon")
    facts = await ledger.all("calls.facts", calls=[row["id"]])
    after = switchboard(ledger)
    call = Call(**{name: row[name] for name in row if name in Call.__slots__})
    assert call.direction == Direction.INBOUND
    after.resume(
        call, [Fact(f["call_id"], f["at"], Kind(f["kind"]), f["key"], f["who"], f["detail"]) for f in facts]
    )
    assert (call.id, call.answered_by, call.stage) == (going.id, going.answered_by, going.stage)
    after.take(Fact(call.id, LATER, Kind.ENDED, "the end"))
    await ledger.settled()
    shown = await ledger.one("calls.show", id=call.id)
    assert shown is not None
    assert shown["outcome"] == Outcome.TALKED
    assert await ledger.all("calls.going_on", asterisk="dozvon") == []
    assert await ledger.pool.fetchval("SELECT count(*) FROM tickets") == 1


async def test_another_asterisks_calls_are_left_to_their_own_controller(ledger: Ledger) -> None:
    tell(switchboard(ledger), call="elsewhere-1.1")
    tell(switchboard(ledger), call="dozvon2-1.1")
    await ledger.settled()
    assert await ledger.all("calls.going_on", asterisk="dozvon") == []
    assert len(await ledger.all("calls.going_on", asterisk="dozvon2")) == 1


async def test_a_hundred_silent_residents_hold_no_connection(ledger: Ledger, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, panel_token="a-token", ami_secret="a-secret")
    settings = replace(settings, recorded=tmp_path / "recorded")
    controller = Controller(settings, ledger, None)
    _record_every_prompt(controller, tmp_path / "recorded")
    await controller.prepare()
    async with AgiServer(controller.converse, "127.0.0.1", 0) as door:
        assert door._server is not None
        port = door._server.sockets[0].getsockname()[1]
        lines = await asyncio.gather(*(_a_resident_who_is_silent(port, number) for number in range(100)))
        await asyncio.gather(*controller._tasks)  # the directory was asked while the greeting plays
        await ledger.settled()
        assert len(controller.switchboard.going_on()) == 100
        assert ledger.pool.get_idle_size() == ledger.pool.get_size()
        for line in lines:
            line.close()
            await line.wait_closed()
    await controller.aclose()


def _record_every_prompt(controller: Controller, folder: Path) -> None:
    from ivr.narrator import SPOKEN, STATIC

    folder.mkdir()
    for name in {*SPOKEN, *STATIC, *controller.keeper.rules.prompts()}:
        sound.to_wav(sound.tone(500, 0.1), folder / f"{name}.wav")


async def _a_resident_who_is_silent(port: int, number: int) -> asyncio.StreamWriter:
    """Asterisk's side of a call whose resident listens to the greeting and says nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    env = {
        "network_script": "incoming",
        "uniqueid": f"dozvon-1.{number}",
        "callerid": f"+7916000{number:04}",
        "extension": "+74951230001",
    }
    writer.write("".join(f"agi_{name}: {value}\n" for name, value in env.items()).encode() + b"\n")
    assert await reader.readline() == b"ANSWER\n"
    writer.write(b"200 result=0\n")
    assert (await reader.readline()).startswith(b"STREAM FILE")
    return writer
