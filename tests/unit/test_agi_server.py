"""The FastAGI door against peers that are not Asterisk, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest

from ivr.asterisk import agi
from ivr.asterisk.agi import AgiServer, Reply, Session
from ivr.errors import Disconnected, HungUp, PeerError

ENVIRONMENT = (
    b"agi_network: yes\nagi_network_script: incoming\nagi_uniqueid: dozvon-1795297337.0\n"
    b"agi_callerid: +79000000001\nagi_extension: +74951230001\nagi_arg_1: TIMEOUT\n\n"
)


class Peer:
    """Somebody connected to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def sends(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hears(self) -> str:
        async with asyncio.timeout(5):
            return (await self.reader.readline()).decode().rstrip("\n")

    async def is_let_go(self, within: float = 5) -> None:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(within):
                assert await self.reader.read() == b""


class Door:
    """An open door, what its handler made of each session, and a way to connect."""

    port: int

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.outcomes: asyncio.Queue[object] = asyncio.Queue()
        self.talk: Callable[[Session], Awaitable[object]] = lambda session: session.command("ANSWER")
        self._writers: list[asyncio.StreamWriter] = []

    async def handle(self, session: Session) -> None:
        self.sessions.append(session)
        try:
            self.outcomes.put_nowait(await self.talk(session))
        except Exception as error:
            self.outcomes.put_nowait(error)
            raise

    async def outcome(self) -> object:
        async with asyncio.timeout(5):
            return await self.outcomes.get()

    async def connect(self) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return Peer(reader, writer)

    async def call(self) -> Peer:
        peer = await self.connect()
        await peer.sends(ENVIRONMENT)
        return peer

    async def answers(self) -> None:
        """A good call goes through from beginning to end."""
        peer = await self.call()
        assert await peer.hears() == "ANSWER"
        await peer.sends(b"200 result=0\n")
        assert await self.outcome() == Reply(0)
        await peer.is_let_go()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with AgiServer(door.handle, "127.0.0.1", 0) as server:
        assert server._server is not None
        door.port = server._server.sockets[0].getsockname()[1]
        yield door
        for writer in door._writers:
            writer.close()


async def test_a_call_is_told_what_asterisk_says_of_it(door: Door) -> None:
    await door.answers()
    (session,) = door.sessions
    assert (session.script, session.argument) == ("incoming", "TIMEOUT")
    assert session.channel == "dozvon-1795297337.0"
    assert session.env["agi_callerid"] == "+79000000001"


async def test_lines_that_end_as_telnet_ends_them_are_read(door: Door) -> None:
    peer = await door.connect()
    await peer.sends(ENVIRONMENT.replace(b"\n", b"\r\n"))
    assert await peer.hears() == "ANSWER"
    await peer.sends(b"200 result=0\r\n")
    assert await door.outcome() == Reply(0)


async def test_an_environment_that_comes_byte_by_byte_is_read(door: Door) -> None:
    peer = await door.connect()
    for byte in ENVIRONMENT:
        await peer.sends(bytes([byte]))
    assert await peer.hears() == "ANSWER"


# -- peers that are not Asterisk

HOSTILE = {
    "nothing at all": b"",
    "garbage": bytes(range(1, 256)) + b"\n",
    "zeros": b"\0" * 5000,
    "a web browser": b"GET / HTTP/1.1\r\nHost: hotline\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    "half a line": b"agi_uniqueid: dozv",
    "half an environment": b"agi_uniqueid: dozvon-1.0\n",
    "an environment without an id": b"agi_network: yes\n\n",
    "an empty environment": b"\n",
    "an id that is a path": b"agi_uniqueid: ../../etc/passwd\n\n",
    "an id with a space": b"agi_uniqueid: dozvon 1\n\n",
    "an id that is too long": b"agi_uniqueid: " + b"1" * 81 + b"\n\n",
    "a line without a colon": b"agi_uniqueid dozvon-1.0\n\n",
    "a line of a megabyte": b"agi_x: " + b"x" * 1_000_000 + b"\n\n",
    "a megabyte without a line": b"x" * 1_000_000,
    "too many lines": b"".join(b"agi_x%d: 1\n" % n for n in range(1000)) + b"agi_uniqueid: dozvon-1.0\n\n",
    "one line too many times": b"agi_x: 1\n" * 1000 + b"agi_uniqueid: dozvon-1.0\n\n",
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_who_sends_that_and_leaves_is_refused_and_others_are_unharmed(
    door: Door, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        peer = await door.connect()
        with contextlib.suppress(ConnectionError):
            await peer.sends(HOSTILE[what])
        peer.writer.close()
        await door.answers()
        await peer.is_let_go()
    assert len(door.sessions) == 1, "the hostile one had no conversation"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(caplog.records[0].__dict__["why"]) < 200


@pytest.mark.parametrize("what", HOSTILE)
async def test_who_sends_that_and_stays_is_let_go_in_time(
    door: Door, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agi, "ENVIRONMENT_WITHIN", 0.1)
    peer = await door.connect()
    with contextlib.suppress(ConnectionError):
        await peer.sends(HOSTILE[what])
    await door.answers()
    await peer.is_let_go(within=2)


async def test_who_says_nothing_for_ever_is_let_go(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agi, "ENVIRONMENT_WITHIN", 0.1)
    silent = await door.connect()
    await silent.is_let_go(within=2)


async def test_who_dribbles_for_ever_is_let_go(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not win more time."""
    monkeypatch.setattr(agi, "ENVIRONMENT_WITHIN", 0.15)
    peer = await door.connect()

    async def dribble() -> None:
        while True:
            await peer.sends(b"agi_x: 1\n")
            await asyncio.sleep(0.02)

    dribbling = asyncio.create_task(dribble())
    await peer.is_let_go(within=2)
    dribbling.cancel()
    await asyncio.gather(dribbling, return_exceptions=True)


async def test_a_good_call_goes_on_while_a_hundred_hostile_peers_come_and_go(
    door: Door, dice: Random
) -> None:
    caller = await door.call()
    assert await caller.hears() == "ANSWER"
    for _ in range(100):
        peer = await door.connect()
        with contextlib.suppress(ConnectionError):
            await peer.sends(dice.choice(list(HOSTILE.values())))
        if dice.random() < 0.5:
            peer.writer.close()
    await caller.sends(b"200 result=0\n")
    assert await door.outcome() == Reply(0)


async def test_random_bytes_never_make_a_conversation(door: Door, dice: Random) -> None:
    for _ in range(50):
        peer = await door.connect()
        with contextlib.suppress(ConnectionError):
            await peer.sends(dice.randbytes(dice.randrange(3000)))
        peer.writer.close()
    await door.answers()
    assert len(door.sessions) == 1


async def test_beyond_the_most_sessions_one_is_refused_and_then_taken_again(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agi, "MOST_SESSIONS", 2)
    first, second = await door.call(), await door.call()
    assert [await first.hears(), await second.hears()] == ["ANSWER", "ANSWER"]
    third = await door.call()
    await third.is_let_go()
    assert "2 sessions are open already" in caplog.records[-1].__dict__["why"]
    await first.sends(b"200 result=0\n")
    await door.outcome()
    await first.is_let_go()
    await door.answers()


async def test_closing_the_door_ends_what_goes_on() -> None:
    door = Door()
    async with AgiServer(door.handle, "127.0.0.1", 0) as server:
        assert server._server is not None
        door.port = server._server.sockets[0].getsockname()[1]
        calls = [await door.call() for _ in range(3)]
        assert [await call.hears() for call in calls] == ["ANSWER"] * 3
    for call in calls:
        await call.is_let_go()
        call.writer.close()


async def test_a_handler_that_fails_is_said_and_the_caller_is_let_go(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: Session) -> None:
        raise RuntimeError("a bug of ours")

    door.talk = fails
    peer = await door.call()
    await peer.is_let_go()
    assert "the caller goes to the static route" in caplog.text
    assert "a bug of ours" in caplog.text


# -- commands and their replies


async def told(door: Door, reply: bytes, leave: bool = False) -> object:
    """What the conversation gets when Asterisk answers its command so."""
    peer = await door.call()
    await peer.hears()
    await peer.sends(reply)
    if leave:
        peer.writer.close()
    outcome = await door.outcome()
    await peer.is_let_go()
    return outcome


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"200 result=0", Reply(0)),
        (b"200 result=49", Reply(49)),
        (b"200 result=49 endpos=8000", Reply(49, None, 8000)),
        (b"200 result=1 (dozvon)", Reply(1, "dozvon")),
        (b"200 result=1 ()", Reply(1, "")),
        (b"200 result=1 (a (b) c)", Reply(1, "a (b) c")),
        (b"200 result=1 (\xff\xfe)", Reply(1, "��")),
    ],
)
async def test_a_reply_is_read(door: Door, line: bytes, reply: Reply) -> None:
    assert await told(door, line + b"\n") == reply


@pytest.mark.parametrize(
    "line",
    [
        b"HANGUP",
        b"200 result=-1",
        b"200 result=-1 endpos=160",
        b"511 Command Not Permitted on a dead channel or intercept routine",
    ],
)
async def test_a_caller_who_is_gone_has_hung_up(
    door: Door, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(await told(door, line + b"\n"), HungUp)
    assert not caplog.records, "not a failure"


async def test_a_hang_up_between_two_commands_is_not_taken_for_a_reply(door: Door) -> None:
    async def talk(session: Session) -> object:
        await session.command("ANSWER")
        return await session.command("STREAM FILE", "welcome", "")

    door.talk = talk
    peer = await door.call()
    assert await peer.hears() == "ANSWER"
    await peer.sends(b"200 result=0\nHANGUP\n")
    assert await peer.hears() == 'STREAM FILE "welcome" ""'
    assert isinstance(await door.outcome(), HungUp)


@pytest.mark.parametrize(
    "line",
    [
        b"520-Invalid command syntax.  Proper usage follows:",
        b"520 End of proper usage.",
        b"510 Invalid or unknown command",
        b"100 Trying",
        b"200 result=",
        b"200 ok",
        b"banana",
        b"",
        b"\xff\xff",
    ],
)
async def test_a_refused_command_is_an_error_of_the_peer(door: Door, line: bytes) -> None:
    error = await told(door, line + b"\n")
    assert isinstance(error, PeerError) and not isinstance(error, Disconnected)
    await door.answers()


async def test_an_asterisk_that_leaves_in_the_middle_is_disconnected(door: Door) -> None:
    assert isinstance(await told(door, b"", leave=True), Disconnected)


async def test_half_a_reply_is_no_reply(door: Door) -> None:
    assert isinstance(await told(door, b"200 res", leave=True), Disconnected)


async def test_a_reply_of_a_megabyte_is_not_waited_for(door: Door) -> None:
    peer = await door.call()
    await peer.hears()
    with contextlib.suppress(ConnectionError):
        await peer.sends(b"200 result=0 (" + b"x" * 1_000_000)
    assert isinstance(await door.outcome(), Disconnected)


async def test_a_reply_that_does_not_come_is_not_waited_for_for_ever(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agi, "REPLY_WITHIN", 0.1)
    await door.call()
    error = await door.outcome()
    assert isinstance(error, Disconnected)
    assert "no reply to ANSWER within 0.1 s" in str(error)


async def test_a_command_may_last_as_long_as_it_says(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agi, "REPLY_WITHIN", 0.05)
    door.talk = lambda session: session.command("WAIT FOR DIGIT", 5000, lasts=5)
    peer = await door.call()
    assert await peer.hears() == 'WAIT FOR DIGIT "5000"'
    await asyncio.sleep(0.2)  # longer than a reply may take by itself
    await peer.sends(b"200 result=0\n")
    assert await door.outcome() == Reply(0)


@pytest.mark.parametrize(
    ("word", "sent"),
    [
        ("dispatch", '"dispatch"'),
        ("", '""'),
        ('a "quoted" word', '"a \\"quoted\\" word"'),
        ("a\\b", '"a\\\\b"'),
        ("Анна", '"Анна"'),
    ],
)
async def test_a_word_reaches_asterisk_as_one_word(door: Door, word: str, sent: str) -> None:
    door.talk = lambda session: session.command("EXEC", "MSet", word)
    peer = await door.call()
    assert await peer.hears() == f'EXEC "MSet" {sent}'


@pytest.mark.parametrize("word", ["a\nHANGUP", "a\rb", "a\0b"])
async def test_a_word_cannot_carry_a_second_command(door: Door, word: str) -> None:
    door.talk = lambda session: session.command("EXEC", "MSet", word)
    await door.call()
    assert isinstance(await door.outcome(), ValueError)
