"""The telephone line between the exchange and its residents' phones: it can lose packets of what is said at them."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

HOST = "127.0.0.1"
Address = tuple[str, int]


class Line(asyncio.DatagramProtocol):
    """Listens on `port` for the exchange's SIP and carries it to the phones on `to`.

    While `loss` is 0 it only hands on; else speech of the calls that begin goes through it, too.
    """

    def __init__(self, port: int, to: int, seed: int = 1) -> None:
        self.port = port
        self.loss = 0.0
        """The share of a phone's RTP packets that never arrive."""
        self.lost = 0
        self._phones: Address = (HOST, to)
        self._exchange: Address | None = None
        self._chance = random.Random(seed)
        self._sip: asyncio.DatagramTransport | None = None
        self._media: list[asyncio.DatagramTransport] = []
        self._handed_on: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._sip, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, self.port))

    def close(self) -> None:
        for end in (self._sip, *self._media):
            if end is not None:
                end.close()

    def datagram_received(self, data: bytes, addr: Address | Any) -> None:
        assert self._sip is not None
        if addr == self._phones:
            if self._exchange is not None:
                self._sip.sendto(data, self._exchange)
            return
        self._exchange = addr
        if self.loss and data.startswith(b"INVITE "):
            task = asyncio.ensure_future(self._through_media(data))
            self._handed_on.add(task)
            task.add_done_callback(self._handed_on.discard)
        else:
            self._sip.sendto(data, self._phones)

    async def _through_media(self, invite: bytes) -> None:
        """Hand the invitation on; the phone is to send its speech here."""
        assert self._sip is not None
        head, _, body = invite.partition(b"\r\n\r\n")
        if told := re.search(rb"m=audio (\d+)", body):
            port = await self._media_to((HOST, int(told[1])))
            body = body[: told.start(1)] + str(port).encode() + body[told.end(1) :]
            head = re.sub(rb"(?i)(content-length\s*:\s*)\d+", rb"\g<1>%d" % len(body), head)
        self._sip.sendto(head + b"\r\n\r\n" + body, self._phones)

    async def _media_to(self, exchange: Address) -> int:
        loop = asyncio.get_running_loop()
        media, _ = await loop.create_datagram_endpoint(lambda: _Media(self, exchange), local_addr=(HOST, 0))
        self._media.append(media)
        return int(media.get_extra_info("sockname")[1])

    def is_lost(self) -> bool:
        """Is the next packet? It is counted."""
        is_lost = self._chance.random() < self.loss
        self.lost += is_lost
        return is_lost


class _Media(asyncio.DatagramProtocol):
    """One call's sound, both ways."""

    def __init__(self, line: Line, exchange: Address) -> None:
        self._line, self._exchange = line, exchange
        self._phone: Address | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address | Any) -> None:
        assert self._transport is not None
        if addr != self._exchange:
            self._phone = addr
            if not self._line.is_lost():
                self._transport.sendto(data, self._exchange)
        elif self._phone is not None:
            self._transport.sendto(data, self._phone)
