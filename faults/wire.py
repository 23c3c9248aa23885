"""The TCP wire between a controller and Asterisk's manager: it can be cut, or hold a word back."""

from __future__ import annotations

import asyncio


class Wire:
    """Listens on `port` and carries to `to`; `async with Wire(…)`."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self._to = port, to
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._word: bytes | None = None
        self._free = asyncio.Event()
        self._free.set()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def holds(self) -> bool:
        """Has the word come that is held back?"""
        return not self._free.is_set()

    def hold_back(self, word: bytes) -> None:
        """From the controller's first message with this word on nothing is carried, until `release` or `cut`."""
        self._word = word

    def release(self) -> None:
        """What was held back arrives now."""
        self._word = None
        self._free.set()

    def cut(self) -> None:
        """Every connection breaks off, what was held back is lost; new connections are carried."""
        for end in self._ends:
            end.transport.abort()
        self.release()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends |= ends
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends.add(far_writer)
            self._ends |= ends
            await asyncio.gather(
                self._carry(reader, far_writer, watched=True), self._carry(far_reader, writer)
            )
        except OSError:
            pass  # the one end that is gone takes the other with it
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watched: bool = False
    ) -> None:
        while piece := await reader.read(65_536):
            if watched and self._word is not None and self._word in piece:
                self._free.clear()
            if watched:
                await self._free.wait()
            writer.write(piece)
            await writer.drain()
        writer.transport.abort()
