"""Server-sent events: a page is told that something has changed, and asks for what it may see."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from panel.answers import says

MOST_STREAMS = 64
HEARTBEAT = 15.0
"""Seconds of silence after which a word keeps the connection alive."""
LONGEST = 600.0
"""Seconds after which a page has to log in again for more."""
GATHER = 0.25
"""Seconds that changes gather before the page is told again."""
WRITTEN_WITHIN = 10.0


class Changes:
    """Whoever hears of a change rings; every stream wakes."""

    def __init__(self) -> None:
        self.streams = 0
        self._closing = False
        self._next = asyncio.Event()

    def ring(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """End every stream: the panel stops."""
        self._closing = True
        self.ring()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if self.streams >= MOST_STREAMS or self._closing:
            return says(503, "too many pages listen already; ask /api/now from time to time")
        self.streams += 1
        try:
            return await self._tell(request)
        finally:
            self.streams -= 1

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        next_ring = self._next
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(LONGEST):
                await _write(response, b"event: hello\ndata: \n\n")
                while not self._closing:
                    rang = await _rings(next_ring)
                    next_ring = self._next
                    await _write(response, b"event: changed\ndata: \n\n" if rang else b": alive\n\n")
                    if rang and not self._closing:
                        await asyncio.sleep(GATHER)
        return response


async def _rings(next_ring: asyncio.Event) -> bool:
    """Whether it did, before it was time for a heartbeat."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            return await next_ring.wait()
    except TimeoutError:
        return False


async def _write(response: web.StreamResponse, words: bytes) -> None:
    async with asyncio.timeout(WRITTEN_WITHIN):
        await response.write(words)
