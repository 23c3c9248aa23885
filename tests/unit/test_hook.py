"""The hook: signed, at least once, with pauses that grow; against receivers that do not behave."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ivr import hook
from ivr.hook import Hook
from tests.fakes import NOON, FakeStore

SECRET = "fictional-secret"
URL = "http://127.0.0.1/hook"
ROW = {
    "id": 7, "attempt": 1, "phone": "+79161234567", "company": "severnaya", "company_name": "УК «Северная»",
    "category": "emergency", "reason": "abandoned_in_queue", "why": "no_answer", "clause": "ПП РФ № 416, п. 13",
    "missed": 2, "missed_at": NOON, "due_at": NOON + timedelta(minutes=10), "attempts": 3,
}  # fmt: skip


class Receiver:
    """Answers with the statuses it is given; keeps what it gets."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, bytes, Mapping[str, str]]] = []

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.got.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


def store(*rows: dict[str, Any], mine: bool = True) -> FakeStore:
    """Promises to be told of, each claimed once."""
    left = list(rows)
    return FakeStore(
        {
            "moves.escalation_turn": [{"mine": mine}],
            "moves.claim_escalation": lambda values: [left.pop(0)] if left else [],
            "moves.escalated": lambda values: [{"promise_id": values["id"]}],
        }
    )


def told(of: FakeStore) -> list[Any]:
    return [values["id"] for name, values in of.asked if name == "moves.escalated"]


async def test_a_broken_promise_is_told_of_and_signed() -> None:
    receiver, of = Receiver(204), store(ROW)
    assert await Hook(of, URL, SECRET, receiver).escalate(NOON) == 1
    ((url, body, headers),) = receiver.got
    event = json.loads(body)
    assert url == URL and event["event"] == headers["X-Dozvon-Event"] == "promise.broken"
    assert (event["promise"], event["phone"], event["why"]) == (7, "+79161234567", "no_answer")
    assert event["due_at"] == "2026-11-18T09:10:00+00:00"
    signed = f"{headers['X-Dozvon-Sent']}.".encode() + body
    assert (
        headers["X-Dozvon-Signature"]
        == "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    )
    assert told(of) == [7]


async def test_its_id_is_the_same_at_every_try() -> None:
    receiver, of = Receiver(500), store(ROW, {**ROW, "attempt": 2})
    escalating = Hook(of, URL, SECRET, receiver)
    await escalating.escalate(NOON)
    await escalating.escalate(NOON + timedelta(minutes=5))
    assert [headers["X-Dozvon-Id"] for _, _, headers in receiver.got] == ["promise-7-broken"] * 2


@pytest.mark.parametrize(
    "answer", [199, 301, 404, 500, OSError("refused"), TimeoutError(), ValueError("bad URL")]
)
async def test_what_is_not_taken_in_is_not_marked(answer: int | Exception) -> None:
    of = store(ROW)
    assert await Hook(of, URL, SECRET, Receiver(answer)).escalate(NOON) == 0
    assert not told(of)


async def test_a_receiver_that_fails_is_left_alone_for_longer_and_longer() -> None:
    receiver = Receiver(*[500] * 100)
    escalating = Hook(store(*[ROW] * 100), URL, SECRET, receiver)
    tries = []
    for second in range(3600):
        before = len(receiver.got)
        await escalating.escalate(NOON + timedelta(seconds=second))
        tries += [second] * (len(receiver.got) - before)
    assert tries[:5] == [0, 2, 6, 14, 30]
    assert {later - earlier for earlier, later in pairwise(tries[8:])} == {300}


async def test_a_receiver_that_is_back_gets_all_of_them() -> None:
    receiver, of = Receiver(500), store(*({**ROW, "id": id} for id in range(5)))
    escalating = Hook(of, URL, SECRET, receiver)
    await escalating.escalate(NOON)
    assert await escalating.escalate(NOON + timedelta(seconds=2)) == 4
    assert told(of) == [1, 2, 3, 4]


async def test_a_clock_set_back_does_not_silence_it() -> None:
    receiver = Receiver(500)
    escalating = Hook(store(ROW, ROW), URL, SECRET, receiver)
    await escalating.escalate(NOON)
    assert await escalating.escalate(NOON - timedelta(days=1)) == 1


async def test_while_another_controller_claims_nothing_is_sent() -> None:
    receiver = Receiver()
    assert await Hook(store(ROW, mine=False), URL, SECRET, receiver).escalate(NOON) == 0
    assert not receiver.got


async def test_without_a_url_it_is_marked_for_the_panel() -> None:
    of = store()
    await Hook(of, None, None).escalate(NOON)
    assert [values["to"] for name, values in of.asked] == ["panel"]


# over the network


class Web:
    """An HTTP receiver whose behaviour is one function."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hits.append(request.path)
        await request.read()
        match request.path:
            case "/moved":
                raise web.HTTPFound("/taken")
            case "/silent":
                await self.released.wait()
            case "/endless":
                response = web.StreamResponse()
                await response.prepare(request)
                while not self.released.is_set():
                    await response.write(b"x" * 65536)
                return response
        return web.Response(status=202)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Web, TestServer]]:
    there = Web()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", there.handle)
    server = TestServer(app, host="127.0.0.1")
    async with server:
        yield there, server
        there.released.set()


async def send(server: TestServer, path: str) -> int:
    return await hook.post(str(server.make_url(path)), b"{}", {"X-Dozvon-Id": "promise-7-broken"})


async def test_a_receiver_takes_it_in(receiver: tuple[Web, TestServer]) -> None:
    assert await send(receiver[1], "/taken") == 202


async def test_a_redirect_is_not_followed(receiver: tuple[Web, TestServer]) -> None:
    assert await send(receiver[1], "/moved") == 302
    assert receiver[0].hits == ["/moved"]


async def test_an_answer_without_end_is_not_read(receiver: tuple[Web, TestServer]) -> None:
    assert await send(receiver[1], "/endless") == 200


async def test_a_silent_receiver_is_given_up(
    receiver: tuple[Web, TestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "WITHIN", 0.2)
    with pytest.raises(TimeoutError):
        await send(receiver[1], "/silent")


async def test_nobody_there_is_a_failed_try(unused_tcp_port: int) -> None:
    of = store(ROW)
    assert await Hook(of, f"http://127.0.0.1:{unused_tcp_port}/", SECRET).escalate(NOON) == 0
