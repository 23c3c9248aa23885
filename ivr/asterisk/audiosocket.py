"""The AudioSocket door: Asterisk connects for a call, and one TCP stream carries its sound and keys both ways.

The protocol (https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/): frames of one byte kind, two
bytes length (big-endian), payload. Asterisk begins with the UUID the dialplan names; then come sound (16-bit
little-endian, 8 kHz, mono) and keys, and what is written back is played as it arrives: the writer keeps the time.

Peers are not trusted: who does not name, within `NAMED_WITHIN` seconds, a UUID that is expected just now is refused,
said in the log, and costs the others nothing. A UUID opens the door once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from types import TracebackType
from uuid import UUID

from ivr.errors import Disconnected, HungUp, PeerError
from ivr.heard import Key

log = logging.getLogger(__name__)

RATE = 8_000
FRAME = 320
"""Bytes of 20 ms of sound."""
SILENCE = bytes(FRAME)
KEYS = frozenset(b"0123456789*#")
"""The keys a telephone has; A to D are nobody's answer."""
HEADER = 3
INTRODUCTION = b"\x01\x00\x10"
"""The header of the UUID: what Asterisk says first."""
LONGEST = 8_192
"""Bytes of payload; half a second of sound. Asterisk sends 20 ms at a time."""
MOST_CONNECTIONS = 1_000
NAMED_WITHIN = 3.0
"""Seconds from the connection to its UUID."""
READ_WITHIN = 5.0
"""Seconds from then until somebody begins to read; whoever expected it may have gone meanwhile."""
UNREAD = 500
"""Frames kept for a reader who is behind (10 s); older ones are lost."""
UNSENT = 40 * FRAME
"""Bytes Asterisk may be behind; what is written beyond that is lost."""
GOES_WITHIN = 2.0
"""Seconds Asterisk may take to close the connection when we have hung up."""
GONE_AFTER = 10
"""Seconds without a sign of life from the other machine: it is gone."""


class _Kind(IntEnum):
    """What a frame holds."""

    HANG_UP = 0x00
    UUID = 0x01
    KEY = 0x03
    SOUND = 0x10
    ERROR = 0xFF


class AudioStream:
    """One call's sound and keys.

    Whoever reads too slowly loses the oldest sound, whoever does not take what we write loses the latest: nothing
    is stored without bound.
    """

    def __init__(self, uuid: UUID, transport: asyncio.Transport) -> None:
        self.uuid = uuid
        self.lost = 0
        """Frames that nobody read in time."""
        self.unsent = 0
        """Frames that Asterisk did not take in time."""
        self._transport = transport
        self._came: deque[bytes | Key] = deque()
        self._rest = b""
        self._over = self._is_wanted = False
        self._news = asyncio.Event()

    async def read(self) -> bytes | Key:
        """The next 20 ms of sound or the next key, in the order they came. Raises HungUp after the last."""
        self._is_wanted = True
        while not self._came:
            if self._over:
                raise HungUp
            self._news.clear()
            await self._news.wait()
        if len(self._came) > 1:
            await asyncio.sleep(0)  # after a stall: the other calls are behind, too
        return self._came.popleft()

    def write(self, frame: bytes) -> None:
        """Have 20 ms of sound played now. After the end it goes nowhere."""
        if self._over or self._transport.get_write_buffer_size() > UNSENT:
            self.unsent += 1
        else:
            self._transport.write(_framed(_Kind.SOUND, frame))

    def hang_up(self) -> None:
        """End it from our side; a stream that has ended is left as it is.

        It is Asterisk that closes the connection. If we did, sound on its way to us would come back as a reset, and
        Asterisk, which goes on with the dialplan after a hang-up, would end the call instead.
        """
        if not self._over:
            self._end()
            self._transport.write(_framed(_Kind.HANG_UP))
            asyncio.get_running_loop().call_later(GOES_WITHIN, self._transport.abort)

    @property
    def is_over(self) -> bool:
        return self._over

    def _take(self, kind: int, payload: bytes) -> None:
        """What Asterisk sent. Raises PeerError for what Asterisk never sends."""
        match kind:
            case _ if self._over:
                pass
            case _Kind.SOUND:
                self._take_sound(payload)
            case _Kind.KEY if len(payload) == 1:
                if payload[0] in KEYS:
                    self._add(Key(payload.decode()))
            case _Kind.HANG_UP:
                self._end()
                self._transport.close()
            case _Kind.ERROR:
                raise PeerError(f"Asterisk reports error {payload[:16].hex()}")
            case _:
                raise PeerError(f"not an AudioSocket frame: kind {kind:#04x}, {payload[:16]!r}")

    def _take_sound(self, payload: bytes) -> None:
        sound = self._rest + payload if self._rest else payload
        whole = len(sound) - len(sound) % FRAME
        for at in range(0, whole, FRAME):
            self._add(sound[at : at + FRAME])
        self._rest = sound[whole:]

    def _add(self, what: bytes | Key) -> None:
        if len(self._came) >= UNREAD:
            self._came.popleft()
            self.lost += 1
        self._came.append(what)
        self._news.set()

    def _end(self) -> None:
        self._over = True
        self._news.set()

    def _let_go_unwanted(self) -> None:
        if not (self._is_wanted or self._over):
            log.warning("nobody listens to an expected stream", extra={"uuid": str(self.uuid)})
            self.hang_up()


class AudioServer:
    """Listens, and hands each expected stream to whoever expects it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._expected: dict[UUID, asyncio.Future[AudioStream]] = {}
        self._peers: set[_Peer] = set()

    async def __aenter__(self) -> AudioServer:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Peer(self), self._host, self._port, backlog=512)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for expected in list(self._expected.values()):
            expected.cancel()
        peers = list(self._peers)
        for peer in peers:
            peer.close()
        await asyncio.gather(*(peer.is_lost.wait() for peer in peers))
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def expect(self, uuid: UUID, *, within: float) -> asyncio.Future[AudioStream]:
        """The stream of that UUID, once Asterisk connects; await it.

        It fails with Disconnected after `within` seconds; cancelling it withdraws the invitation.
        """
        if uuid in self._expected:
            raise ValueError(f"{uuid} is expected already")
        loop = asyncio.get_running_loop()
        expected: asyncio.Future[AudioStream] = loop.create_future()
        self._expected[uuid] = expected
        timer = loop.call_later(within, _give_up, expected, within)
        expected.add_done_callback(lambda done: self._settled(uuid, done, timer))
        return expected

    def _settled(self, uuid: UUID, expected: asyncio.Future[AudioStream], timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if self._expected.get(uuid) is expected:
            del self._expected[uuid]
        if not expected.cancelled():
            expected.exception()  # seen: asyncio need not complain when nobody waits any more

    def _admit(self, uuid: UUID, transport: asyncio.Transport) -> AudioStream:
        expected = self._expected.pop(uuid, None)
        if expected is None or expected.done():
            raise PeerError(f"nobody expects {uuid}")
        stream = AudioStream(uuid, transport)
        expected.set_result(stream)
        return stream


class _Peer(asyncio.Protocol):
    """A connection: nobody until it names an expected UUID, then that call's stream."""

    def __init__(self, server: AudioServer) -> None:
        self._server = server
        self._stream: AudioStream | None = None
        self._read = bytearray()
        self.is_lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._peers.add(self)
        _watch(transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(NAMED_WITHIN, self._refuse, f"no UUID within {NAMED_WITHIN:g} s")
        if len(self._server._peers) > MOST_CONNECTIONS:
            self._refuse(f"{MOST_CONNECTIONS} connections are open already")

    def data_received(self, data: bytes) -> None:
        self._read += data
        try:
            if self._stream is None and not INTRODUCTION.startswith(self._read[: len(INTRODUCTION)]):
                raise PeerError(f"this is not AudioSocket: {bytes(self._read[:16])!r}")
            for kind, payload in _frames(self._read):
                self._take(kind, payload)
        except PeerError as error:
            self._refuse(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._server._peers.discard(self)
        if self._stream is not None:
            self._stream._end()
        self.is_lost.set()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.hang_up()
        else:
            self._transport.abort()

    def _take(self, kind: int, payload: bytes) -> None:
        if self._stream is not None:
            self._stream._take(kind, payload)
            return
        self._timer.cancel()
        self._stream = self._server._admit(UUID(bytes=payload), self._transport)
        asyncio.get_running_loop().call_later(READ_WITHIN, self._stream._let_go_unwanted)

    def _refuse(self, why: str) -> None:
        peer = self._transport.get_extra_info("peername")
        log.warning("AudioSocket connection refused or lost", extra={"peer": peer, "why": why})
        self._timer.cancel()
        self._transport.abort()


def _frames(read: bytearray) -> Iterator[tuple[int, bytes]]:
    """The whole frames in what was read, taken out of it. PeerError for one that is too long."""
    while len(read) >= HEADER:
        end = HEADER + int.from_bytes(read[1:HEADER], "big")
        if end > HEADER + LONGEST:
            raise PeerError(f"a frame of {end - HEADER} bytes")
        if len(read) < end:
            return
        kind, payload = read[0], bytes(read[HEADER:end])
        del read[:end]
        yield kind, payload


def _framed(kind: int, payload: bytes = b"") -> bytes:
    """In one piece: Asterisk does not read a header that comes in two."""
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


def _watch(transport: asyncio.Transport) -> None:
    """Have the kernel notice a machine that is gone without a word."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        connection.setsockopt(socket.IPPROTO_TCP, option, GONE_AFTER // 2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER * 1000)


def _give_up(expected: asyncio.Future[AudioStream], within: float) -> None:
    if not expected.done():
        expected.set_exception(Disconnected(f"Asterisk did not connect within {within:g} s"))
