"""Bad peers, a cut wire, wrong settings: refused and said; the others are unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

from .running import NORTH, Running, connected, hears, talk, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = timedelta(seconds=1)
MEGABYTE = 1_000_000


async def test_a_cut_link_is_mended_and_the_stock_is_taken(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call, ringing = await connected(ivan, anna)
        mark = house.mark()
        house.link.cut()
        await call.hang_up()
        ended = datetime.now(UTC)
        await ringing.ended(within=5)
        await house.says("AMI link lost", since=mark)
        await house.says("stock taken", since=mark)
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("talked", "resident")
    assert abs(row["ended_at"] - ended) < SOON


async def test_a_link_cut_again_and_again_while_a_resident_waits_costs_no_fact(
    house: Running, number: str
) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        house.link.cut()
        call = await to_the_queue(ivan)
        house.link.cut()
        ringing = await anna.rings(within=10)
        house.link.cut()
        await ringing.answer()
        await talk(call, ringing)
        house.link.cut()
        await call.hang_up()
    row = await house.ended(number)
    assert (row["outcome"], row["answered_by"]) == ("talked", anna.account)
    kinds = await house.kinds(row["id"])
    for kind in ("arrived", "picked_up", "queued", "rang", "answered", "hung_up", "ended"):
        assert kinds.count(kind) == 1, kind


async def test_a_link_that_is_only_half_open_is_dropped_and_made_anew(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        mark = house.mark()
        with house.link.stopped():
            call, ringing = await connected(ivan, anna)
            answered = datetime.now(UTC)
            await ringing.hang_up()
            await call.ended(within=5)
            await house.says("AMI does not answer", since=mark, within=20)
        await house.says("stock taken", since=mark, within=15)
    row = await house.ended(number)
    assert (row["outcome"], row["hung_up_by"]) == ("talked", anna.account)
    assert answered - row["answered_at"] < 2 * SOON
    assert (await house.kinds(row["id"])).count("answered") == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"Event: CEL\r\n\r\n",
        b"Event: CEL\r\nEventName: CHAN_START\r\nTimestamp: soon\r\nUniqueID: \r\n\r\n",
        b"Event: Hold\r\n\r\n",
        b"x" * MEGABYTE,
    ],
    ids=["bytes", "an empty event", "a bad stamp", "a hold of nothing", "a line without end"],
)
async def test_garbage_on_the_link_harms_no_call(house: Running, number: str, garbage: bytes) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        house.link.inject(garbage)
        await ringing.answer()
        await call.hears(seconds=0.1)
        await call.hang_up()
        row = await house.ended(number)
    assert (row["outcome"], row["answered_by"]) == ("talked", anna.account)
    await house.well()


async def test_peers_that_are_no_asterisk_are_refused_while_a_resident_is_served(
    house: Running, number: str
) -> None:
    mark, port = house.mark(), house.settings.agi_port
    bad = [
        b"",
        b"GET / HTTP/1.1\r\nHost: dozvon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"agi_network: yes\nagi_uniq",
        b"agi_network: yes\n\n",
        b"agi_uniqueid: ../../etc/passwd\n\n",
        b"x" * MEGABYTE,
        b"agi_a: b\n" * MEGABYTE,
    ]

    async def bother(words: bytes, *, stay: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(words)
            await writer.drain()
            if stay:  # says no more, for ever; the other side is to end it
                assert await asyncio.wait_for(reader.read(), 15) == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await ivan.dial(NORTH)
        await hears(call, "welcome")
        bothering = [asyncio.create_task(bother(words, stay=stay)) for words in bad for stay in (True, False)]
        await hears(call, "menu_main")
        await call.press("1")
        ringing = await anna.rings(within=10)
        await ringing.answer()
        await talk(call, ringing)
        await asyncio.gather(*bothering)
        await call.hang_up()
    for words in ("this is not AGI", "no agi_uniqueid", "said nothing whole", "a line longer than"):
        await house.says(words, since=mark)
    row = await house.ended(number)
    assert (row["outcome"], row["static_route"]) == ("talked", False)
    assert (await house.health())["calls"] == 0


async def test_a_session_that_asks_for_no_known_conversation_makes_no_lasting_call(house: Running) -> None:
    mark = house.mark()
    _, writer = await asyncio.open_connection("127.0.0.1", house.settings.agi_port)
    env = {"network_script": "outgoing", "uniqueid": "stranger-1.1", "callerid": "1", "extension": "2"}
    writer.write("".join(f"agi_{name}: {value}\n" for name, value in env.items()).encode() + b"\n")
    await house.says("no conversation is called 'outgoing'", since=mark)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert await house.ledger.fetchval("SELECT count(*) FROM calls WHERE id = 'stranger-1.1'") == 0


@pytest.mark.parametrize("program", [["ivr", "serve"], ["appliance"]])
async def test_wrong_settings_are_all_named_at_once_and_nothing_starts(
    program: list[str], tmp_path: object
) -> None:
    wrong = {
        "DOZVON_HOME": str(tmp_path),
        "DOZVON_SIP_PORT": "70000",
        "DOZVON_TIME_ZONE": "Europe/Moskva",
        "DOZVON_LANGAUGE": "ru",
        "DOZVON_DATABASE_URL": "mysql://root:hunter2@localhost/x",
        "DOZVON_QUEUE_LIMIT": "-1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *program,
        env={**os.environ, **wrong},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert out == b""
    for name in list(wrong)[1:]:
        assert name.encode() in said
    assert b"did you mean 'DOZVON_LANGUAGE'?" in said
    assert b"hunter2" not in said
