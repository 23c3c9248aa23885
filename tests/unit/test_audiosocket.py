"""The AudioSocket door, over real sockets: Asterisk, and peers that are not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from random import Random
from uuid import UUID, uuid4

import pytest

from ivr.asterisk import audiosocket
from ivr.asterisk.audiosocket import FRAME, UNREAD, UNSENT, AudioServer, AudioStream
from ivr.errors import Disconnected, HungUp
from ivr.heard import Key

CALL = UUID("0f8b29d2-5c0c-4b8e-9f52-6f1f2f1f0001")


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


def sound(number: int, size: int = FRAME) -> bytes:
    """Sound that can be told from other sound."""
    return number.to_bytes(2, "little") * (size // 2)


class Peer:
    """Somebody connected to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def sends(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def takes(self, size: int) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readexactly(size)

    async def is_hung_up_on(self) -> bytes:
        """All that came until the hang-up; then it closes, as Asterisk does."""
        came = bytearray()
        while not came.endswith(frame(0x00)):
            came += await self.takes(3)
            came += await self.takes(int.from_bytes(came[-2:], "big"))
        self.writer.close()
        return bytes(came)

    async def is_let_go(self, within: float = 5) -> bytes:
        """All that still came."""
        async with asyncio.timeout(within):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


class Door:
    """An open door, and ways to it."""

    def __init__(self, server: AudioServer) -> None:
        self.server = server
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self._writers.append(writer)
        return Peer(reader, writer)

    async def call(self, uuid: UUID | None = None) -> tuple[Peer, AudioStream]:
        """Asterisk comes with a call that is expected."""
        uuid = uuid or uuid4()
        expected = self.server.expect(uuid, within=5)
        peer = await self.connect()
        await peer.sends(frame(0x01, uuid.bytes))
        return peer, await expected

    async def works(self) -> None:
        """A good call goes through from beginning to end."""
        peer, stream = await self.call()
        await peer.sends(frame(0x10, sound(7)))
        assert await stream.read() == sound(7)
        stream.write(sound(8))
        assert await peer.takes(3 + FRAME) == frame(0x10, sound(8))
        stream.hang_up()
        assert await peer.is_hung_up_on() == frame(0x00)

    async def is_empty(self) -> None:
        deadline = asyncio.get_running_loop().time() + 5
        while self.server._peers:
            assert asyncio.get_running_loop().time() < deadline, "somebody is still connected"
            await asyncio.sleep(0.01)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with AudioServer("127.0.0.1", 0) as server:
        door = Door(server)
        yield door
        door.close()


async def read_all(stream: AudioStream) -> list[bytes | Key]:
    """Everything to the end of the stream."""
    came: list[bytes | Key] = []
    with contextlib.suppress(HungUp):
        async with asyncio.timeout(5):
            while True:
                came.append(await stream.read())
    return came


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.why for record in caplog.records if record.name == audiosocket.__name__]  # type: ignore[attr-defined]


# -- a call


async def test_a_call_that_is_expected_goes_through(door: Door) -> None:
    await door.works()


async def test_many_calls_at_once_do_not_mix(door: Door) -> None:
    calls = await asyncio.gather(*(door.call() for _ in range(20)))
    for number, (peer, _) in enumerate(calls):
        await peer.sends(frame(0x10, sound(number)) * 3 + frame(0x00))
    for number, (_, stream) in enumerate(calls):
        assert await read_all(stream) == [sound(number)] * 3


async def test_sound_and_keys_come_in_their_order(door: Door) -> None:
    peer, stream = await door.call()
    pieces = [frame(0x10, sound(1)), frame(0x03, b"5"), frame(0x10, sound(2)), frame(0x03, b"#"), frame(0x00)]
    await peer.sends(b"".join(pieces))
    assert await read_all(stream) == [sound(1), Key("5"), sound(2), Key("#")]


@pytest.mark.parametrize("size", [2, 160, 320, 480, 640, 8_000])
async def test_sound_is_cut_into_20_ms_whatever_sizes_come(door: Door, size: int) -> None:
    peer, stream = await door.call()
    whole = b"".join(struct.pack("<H", number) for number in range(16_000))
    await peer.sends(b"".join(frame(0x10, whole[at : at + size]) for at in range(0, len(whole), size)))
    came = [await stream.read() for _ in range(len(whole) // FRAME)]
    assert b"".join(piece for piece in came if isinstance(piece, bytes)) == whole
    assert {len(piece) for piece in came if isinstance(piece, bytes)} == {FRAME}


async def test_frames_come_whole_however_the_network_cuts_them(door: Door, dice: Random) -> None:
    peer, stream = await door.call()
    sent: list[bytes | Key] = [
        sound(number) if dice.random() < 0.8 else Key(dice.choice("0123456789*#")) for number in range(200)
    ]
    data = b"".join(
        frame(0x10, one) if isinstance(one, bytes) else frame(0x03, one.digit.encode()) for one in sent
    )
    while data:
        cut = dice.choice([1, 2, 3, 100, 323, 5_000])
        await peer.sends(data[:cut])
        data = data[cut:]
        if dice.random() < 0.2:
            await asyncio.sleep(0)
    await peer.sends(frame(0x00))
    assert await read_all(stream) == sent


async def test_keys_no_telephone_has_are_nobodys_answer(door: Door) -> None:
    peer, stream = await door.call()
    await peer.sends(frame(0x03, b"A") + frame(0x03, b"\xff") + frame(0x03, b"1") + frame(0x00))
    assert await read_all(stream) == [Key("1")]


@pytest.mark.parametrize("way", ["a frame", "end of file", "a reset"])
async def test_whoever_hangs_up_is_heard_to_the_end(door: Door, way: str) -> None:
    peer, stream = await door.call()
    await peer.sends(frame(0x10, sound(1)))
    assert await stream.read() == sound(1)
    match way:
        case "a frame":
            await peer.sends(frame(0x00))
        case "end of file":
            peer.writer.write_eof()
        case "a reset":
            peer.writer.transport.abort()
    assert await read_all(stream) == []
    with pytest.raises(HungUp):
        await stream.read()
    assert stream.is_over


async def test_our_hang_up_is_told_once_and_ends_the_reading(door: Door) -> None:
    peer, stream = await door.call()
    stream.hang_up()
    stream.hang_up()
    assert await peer.is_hung_up_on() == frame(0x00)
    with pytest.raises(HungUp):
        await stream.read()


async def test_who_is_hung_up_on_may_still_speak_and_is_no_reset(door: Door) -> None:
    """Asterisk would take a reset for a failure, and end the call where a transfer was wanted."""
    peer, stream = await door.call()
    stream.hang_up()
    for _ in range(10):
        await peer.sends(frame(0x10, sound(1)))
    assert await peer.is_hung_up_on() == frame(0x00)
    await door.is_empty()


async def test_what_is_written_after_the_end_goes_nowhere(door: Door) -> None:
    peer, stream = await door.call()
    stream.hang_up()
    stream.write(sound(1))
    assert await peer.is_hung_up_on() == frame(0x00)


async def test_the_door_closes_with_calls_going_on() -> None:
    async with AudioServer("127.0.0.1", 0) as server:
        door = Door(server)
        peer, stream = await door.call()
        waiting = server.expect(CALL, within=60)
        stranger = await door.connect()
        await stranger.sends(b"\x01")
        closing = asyncio.create_task(peer.is_hung_up_on())
    assert await closing == frame(0x00)
    assert await stranger.is_let_go() == b""
    assert waiting.cancelled()
    with pytest.raises(HungUp):
        await stream.read()
    door.close()


# -- who is let in


async def test_a_call_that_does_not_come_is_told(door: Door) -> None:
    with pytest.raises(Disconnected, match="did not connect within"):
        await door.server.expect(CALL, within=0.05)


async def test_nobody_need_wait_for_a_call_that_does_not_come(door: Door) -> None:
    expected = door.server.expect(CALL, within=0)
    await asyncio.wait([expected])
    del expected
    await door.call(CALL)  # and it can be expected again


async def test_a_uuid_opens_the_door_once(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    _, stream = await door.call(CALL)
    again = await door.connect()
    await again.sends(frame(0x01, CALL.bytes))
    await again.is_let_go()
    assert not stream.is_over
    assert refusals(caplog) == [f"nobody expects {CALL}"]


async def test_a_uuid_is_expected_once(door: Door) -> None:
    door.server.expect(CALL, within=5)
    with pytest.raises(ValueError, match="expected already"):
        door.server.expect(CALL, within=5)


async def test_an_invitation_can_be_withdrawn(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.server.expect(CALL, within=5).cancel()
    peer = await door.connect()
    await peer.sends(frame(0x01, CALL.bytes))
    await peer.is_let_go()
    assert refusals(caplog) == [f"nobody expects {CALL}"]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (frame(0x01, CALL.bytes), f"nobody expects {CALL}"),
        (frame(0x01, CALL.bytes[:15]), "this is not AudioSocket"),
        (frame(0x10, sound(1)), "this is not AudioSocket"),
        (frame(0x03, b"1"), "this is not AudioSocket"),
        (frame(0x00), "this is not AudioSocket"),
        (b"GET / HTTP/1.1\r\nHost: dozvon\r\n\r\n", "this is not AudioSocket"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "this is not AudioSocket"),
        (b"\x01\xff\xff", "this is not AudioSocket"),
        (b"\0" * 1000, "this is not AudioSocket"),
    ],
    ids=[
        "a stranger",
        "short",
        "sound first",
        "a key first",
        "a hang-up first",
        "http",
        "tls",
        "endless",
        "zeroes",
    ],
)
async def test_strangers_are_refused_and_said_once(
    door: Door, says: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await door.connect()
    await peer.sends(says)
    assert await peer.is_let_go() == b""
    (said,) = refusals(caplog)
    assert said.startswith(why)
    await door.works()


@pytest.mark.parametrize("says", [b"", b"\x01", frame(0x01, CALL.bytes)[:-1]])
async def test_who_does_not_name_a_call_in_time_is_refused(
    door: Door, says: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audiosocket, "NAMED_WITHIN", 0.05)
    peer = await door.connect()
    await peer.sends(says)
    await peer.is_let_go(within=2)
    assert refusals(caplog) == ["no UUID within 0.05 s"]


async def test_who_leaves_at_once_costs_nothing(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        (await door.connect()).writer.transport.abort()
    await door.works()
    assert refusals(caplog) == []


async def test_too_many_connections_are_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audiosocket, "MOST_CONNECTIONS", 2)
    await door.call()
    peer, stream = await door.call()
    third = await door.connect()
    await third.is_let_go()
    assert refusals(caplog) == ["2 connections are open already"]
    await peer.sends(frame(0x00))
    await read_all(stream)
    await peer.is_let_go()
    await door.works()


async def test_garbage_of_any_kind_harms_nobody(
    door: Door, dice: Random, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(audiosocket, "NAMED_WITHIN", 0.5)
    strangers = [await door.connect() for _ in range(100)]
    for peer in strangers:
        with contextlib.suppress(ConnectionError):
            await peer.sends(dice.randbytes(dice.randrange(1, 2_000)))
    await door.works()
    await asyncio.gather(*(peer.is_let_go() for peer in strangers))
    assert not caplog.records


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (frame(0xFF, b"\x02"), "Asterisk reports error 02"),
        (frame(0x42, b"?"), "not an AudioSocket frame: kind 0x42"),
        (frame(0x01, CALL.bytes), "not an AudioSocket frame: kind 0x01"),
        (frame(0x03, b"12"), "not an AudioSocket frame: kind 0x03"),
        (b"\x10\xff\xff", "a frame of 65535 bytes"),
    ],
)
async def test_a_stream_that_breaks_the_protocol_is_ended(
    door: Door, says: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer, stream = await door.call()
    await peer.sends(frame(0x10, sound(1)) + says)
    assert await read_all(stream) == [sound(1)]
    await peer.is_let_go()
    (said,) = refusals(caplog)
    assert said.startswith(why)


# -- bounds


async def test_who_reads_too_slowly_loses_the_oldest_sound(door: Door) -> None:
    peer, stream = await door.call()
    count = UNREAD + 300
    await peer.sends(b"".join(frame(0x10, sound(number)) for number in range(count)) + frame(0x00))
    await peer.is_let_go()
    assert await read_all(stream) == [sound(number) for number in range(300, count)]
    assert stream.lost == 300


async def test_a_peer_that_takes_nothing_costs_no_memory(door: Door) -> None:
    peer, stream = await door.call()
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(60_000):  # 20 minutes
        stream.write(sound(1))
    assert stream.unsent > 0
    assert stream._transport.get_write_buffer_size() <= UNSENT + FRAME + 3


async def test_a_peer_that_takes_nothing_is_let_go_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiosocket, "GOES_WITHIN", 0.05)
    peer, stream = await door.call()
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    while not stream.unsent:
        stream.write(sound(1))
    stream.hang_up()
    await door.is_empty()


async def test_a_stream_nobody_reads_is_let_go(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audiosocket, "READ_WITHIN", 0.05)
    peer, _ = await door.call()
    assert await peer.is_hung_up_on() == frame(0x00)
    assert [record.message for record in caplog.records] == ["nobody listens to an expected stream"]


async def test_a_stream_somebody_reads_is_kept(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiosocket, "READ_WITHIN", 0.02)
    peer, stream = await door.call()
    reading = asyncio.create_task(stream.read())
    done, _ = await asyncio.wait([reading], timeout=0.1)
    assert not done
    await peer.sends(frame(0x10, sound(1)))
    assert await reading == sound(1)
