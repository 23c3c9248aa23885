"""A manager's port that speaks as Asterisk does, or as a broken one: over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

Message = Mapping[str, str]
Answer = Callable[[dict[str, str]], list[Message] | bytes | None]
"""What an action is answered with: messages, raw bytes, or nothing for ever."""

SECRET = "fictional"
BANNER = b"Asterisk Call Manager/11.0.0\r\n"


class FakeManager:
    """`async with FakeManager() as asterisk:` listens on a free port of loopback; `drop()` cuts every link."""

    def __init__(self, port: int = 0, **answers: Answer) -> None:
        """`answers` by action; Login and Ping are answered as Asterisk does."""
        self.answers: dict[str, Answer] = {"Login": self._login, "Ping": _pong, **answers}
        self.greeting = BANNER
        self.port = port
        self.asked: list[dict[str, str]] = []
        self.heard: list[str] = []
        """The same as it came over the wire."""
        self.logins = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    async def __aenter__(self) -> FakeManager:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def sends(self, *messages: Message) -> None:
        await self.sends_raw(b"".join(map(_encoded, messages)))

    async def sends_raw(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def is_asked(self, action: str, times: int = 1, within: float = 5) -> None:
        async with asyncio.timeout(within):
            while sum(asked["Action"] == action for asked in self.asked) < times:
                self._news.clear()
                await self._news.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.write(self.greeting)
        try:
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                self.asked.append(asked)
                self.heard.append(block)
                self._news.set()
                answer = self.answers.get(asked["Action"], _unknown)(asked)
                if isinstance(answer, bytes):
                    writer.write(answer)
                for message in answer if isinstance(answer, list) else ():
                    writer.write(_encoded({**message, "ActionID": asked["ActionID"]}))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _login(self, asked: dict[str, str]) -> list[Message]:
        if asked["Secret"] != SECRET:
            return [{"Response": "Error", "Message": "Authentication failed"}]
        self.logins += 1
        return [{"Response": "Success", "Message": "Authentication accepted"}]


def channels(*unique_ids: str) -> Answer:
    """The answer to CoreShowChannels when these channels are there."""
    shown = [{"Event": "CoreShowChannel", "Uniqueid": each, "Linkedid": each} for each in unique_ids]
    start = {"Response": "Success", "EventList": "start", "Message": "Channels will follow"}
    end = {"Event": "CoreShowChannelsComplete", "EventList": "Complete", "ListItems": str(len(shown))}
    return lambda _: [start, *shown, end]


def _pong(_: dict[str, str]) -> list[Message]:
    return [{"Response": "Success", "Ping": "Pong"}]


def _unknown(asked: dict[str, str]) -> list[Message]:
    return [{"Response": "Error", "Message": f"Invalid/unknown command: {asked['Action']}"}]


def _encoded(message: Message | dict[str, Any]) -> bytes:
    return ("".join(f"{name}: {value}\r\n" for name, value in message.items()) + "\r\n").encode()
