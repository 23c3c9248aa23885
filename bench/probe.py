"""A few calls beside sipp's, timed: from the INVITE sent to the first packet of the greeting received.

A minimal SIP caller over UDP: enough for one exchange that answers at once. Everything it waits for is bounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bench.media import Address, Caller

ANSWER_WITHIN = 8.0
RESEND = 0.5
"""Seconds until a request without an answer is sent once more (RFC 3261, T1)."""


class Probe(asyncio.DatagramProtocol):
    """`await probe.call(...)` makes one call and returns its seconds to the first packet, or None."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._calls: dict[str, _Ongoing] = {}
        self._made = 0

    async def open(self) -> Probe:
        loop = asyncio.get_running_loop()
        self._sip, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        self._port = int(self._sip.get_extra_info("sockname")[1])
        return self

    def close(self) -> None:
        self._sip.close()

    async def answers(self, at: Address, within: float) -> bool:
        """Does something speak SIP there?"""
        call = self._begin("probe", "options", at)
        try:
            await self._ask(call, "OPTIONS", 1, within=within)
        except TimeoutError:
            return False
        finally:
            del self._calls[call.id]
        return True

    async def call(
        self, caller: str, dialled: str, at: Address, press_after: int, talk: float | None
    ) -> float | None:
        """`press_after`: packets heard until her key; `talk`: seconds until she hangs up, None: the line does.

        None is returned when anything fails.
        """
        loop = asyncio.get_running_loop()
        call = self._begin(caller, dialled, at)
        ears, media = await loop.create_datagram_endpoint(
            lambda: _Ears(self._made, press_after), local_addr=(self._host, 0)
        )
        try:
            began = loop.time()
            answer = await self._ask(call, "INVITE", 1, sdp(self._host, ears.get_extra_info("sockname")[1]))
            if status(answer) != 200:
                return None
            media.answered_by((at[0], audio_port(answer)))
            call.tag = header(answer, "To").partition(";tag=")[2]
            self._send(call, "ACK", 1)
            async with asyncio.timeout(ANSWER_WITHIN):
                first = await media.first
            await self._end(call, talk)
        except (TimeoutError, ValueError):
            return None
        else:
            return first - began
        finally:
            del self._calls[call.id]
            ears.close()

    async def _end(self, call: _Ongoing, talk: float | None) -> None:
        if talk is None:
            async with asyncio.timeout(ANSWER_WITHIN + ANSWER_WITHIN):
                await call.over
            return
        await asyncio.sleep(talk)
        if call.over.done() or status(await self._ask(call, "BYE", 2)) != 200:
            raise ValueError("the line hung up first")

    def _begin(self, caller: str, dialled: str, at: Address) -> _Ongoing:
        self._made += 1
        call = _Ongoing(f"probe-{self._port}-{self._made}", caller, dialled, at)
        self._calls[call.id] = call
        return call

    async def _ask(
        self, call: _Ongoing, method: str, number: int, body: str = "", within: float = ANSWER_WITHIN
    ) -> str:
        """Send a request; returns its final answer."""
        call.answer = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(within):
            while True:
                self._send(call, method, number, body)
                with suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(call.answer), RESEND)

    def _send(self, call: _Ongoing, method: str, number: int, body: str = "") -> None:
        here, there = f"{self._host}:{self._port}", f"{call.at[0]}:{call.at[1]}"
        lines = [
            f"{method} sip:{call.dialled}@{there} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bK{call.id}-{method}",
            f"From: <sip:{call.caller}@{here}>;tag={call.id}",
            f"To: <sip:{call.dialled}@{there}>" + (f";tag={call.tag}" if call.tag else ""),
            f"Call-ID: {call.id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:{call.caller}@{here}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), call.at)

    def datagram_received(self, data: bytes, where: Any) -> None:
        text = data.decode("utf-8", "replace")
        call = self._calls.get(header(text, "Call-ID"))
        if text.startswith("BYE "):
            self._sip.sendto(agreed(text).encode(), where)
            if call is not None and not call.over.done():
                call.over.set_result(None)
        elif call is not None and text.startswith("SIP/2.0 ") and status(text) >= 200:
            call.answered(text)


class _Ongoing:
    """One call of the probe's."""

    def __init__(self, call_id: str, caller: str, dialled: str, at: Address) -> None:
        self.id, self.caller, self.dialled, self.at = call_id, caller, dialled, at
        self.tag = ""
        self.answer: asyncio.Future[str] | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, text: str) -> None:
        """The final answer to what was asked last; a repeated one changes nothing."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(text)


class _Ears(asyncio.DatagramProtocol):
    """The audio of one call: notes when the first packet came, speaks one for each heard."""

    def __init__(self, ssrc: int, press_after: int) -> None:
        self._caller = Caller(ssrc, press_after)
        self._loop = asyncio.get_running_loop()
        self.first: asyncio.Future[float] = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._media = transport

    def answered_by(self, where: Address) -> None:
        self._media.sendto(self._caller.speaks(), where)

    def datagram_received(self, data: bytes, where: Any) -> None:
        if not self.first.done():
            self.first.set_result(self._loop.time())
        self._caller.heard += 1
        self._media.sendto(self._caller.speaks(), where)


def sdp(host: str, port: int) -> str:
    """The offer: A-law and telephone events."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
    )


def status(response: str) -> int:
    """200 of "SIP/2.0 200 OK". ValueError when it is no response."""
    return int(response.split(" ", 2)[1])


def header(message: str, name: str) -> str:
    """A header's value, or nothing."""
    return next(_headers(message, name), "")


def audio_port(answer: str) -> int:
    """ValueError when the answer offers no audio."""
    match = re.search(r"^m=audio (\d+) ", answer, re.MULTILINE)
    if match is None:
        raise ValueError("the answer has no audio in it")
    return int(match[1])


def agreed(request: str) -> str:
    """The 200 to a request."""
    kept = [f"{name}: {value}" for name in _ECHOED for value in _headers(request, name)]
    return "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0"]) + "\r\n\r\n"


_ECHOED = ("Via", "From", "To", "Call-ID", "CSeq")


def _headers(message: str, name: str) -> Iterator[str]:
    for line in message.partition("\r\n\r\n")[0].split("\r\n"):
        found, colon, value = line.partition(":")
        if colon and found.strip().lower() == name.lower():
            yield value.strip()
