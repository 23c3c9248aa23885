"""What stands at the edges in tests: a line to a scripted resident, dispatchers' queues, a store and an outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from callback.chase import Chaser, Order
from callback.turns import Queue
from ivr.call import Kind
from ivr.errors import HungUp
from ivr.store import Row

NOON = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
"""A Wednesday, 12:00 in Moscow: every office is open."""
PROMPT_LASTS = 3.0
"""Seconds of a prompt whose length no test cares about."""


class Clock:
    """Virtual time: it moves when it is told to."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Act:
    """What a resident does, so many seconds after a prompt has begun; `nth`: the how-manyth time it is said."""

    prompt: str
    after: float
    key: str | None
    """None: hangs up."""
    nth: int = 1


def presses(key: str, *, during: str, after: float = 0.5, nth: int = 1) -> Act:
    return Act(during, after, key, nth)


def hangs_up(*, during: str, after: float = 0.5, nth: int = 1) -> Act:
    return Act(during, after, None, nth)


class FakeLine:
    """`ivr.line.Line` to a resident who follows a script, in virtual time.

    What the conversation did to her is in `heard` (prompt, seconds of it) and `notes`.
    """

    def __init__(
        self, *acts: Act, clock: Clock | None = None, lasts: Mapping[str, float] | None = None
    ) -> None:
        """`lasts` gives prompts their length in seconds; the others take `PROMPT_LASTS`."""
        self.clock = clock or Clock()
        self.answered = False
        self.heard: list[tuple[str, float]] = []
        self.notes: list[tuple[Kind, dict[str, Any]]] = []
        self._acts, self._lasts = acts, lasts or {}
        self._coming: list[tuple[datetime, str | None]] = []
        self._key: str | None = None
        self._gone = False

    @property
    def prompts(self) -> list[str]:
        return [prompt for prompt, _ in self.heard]

    def noted(self, kind: Kind) -> list[dict[str, Any]]:
        return [detail for noted, detail in self.notes if noted is kind]

    async def answer(self) -> None:
        self._is_there()
        self.answered = True
        self.note(Kind.PICKED_UP)

    async def say(self, *prompts: str, whole: bool = False) -> None:
        for prompt in prompts:
            if self._key is None or whole:
                self._play(prompt, whole=whole)

    async def ask(self, *prompts: str, wait: float) -> str | None:
        for prompt in prompts:
            if self._key is None:
                self._play(prompt, menu=True)
        if self._key is None:
            self._until_key(wait)
        key, self._key = self._key, None
        return key

    def note(self, kind: Kind, **detail: Any) -> None:
        self.notes.append((kind, detail))

    def _play(self, prompt: str, *, whole: bool = False, menu: bool = False) -> None:
        self._is_there()
        self.note(Kind.PROMPT, prompt=prompt, **({"menu": True} if menu else {}))
        began, length = self.clock.at, self._lasts.get(prompt, PROMPT_LASTS)
        self._looks_ahead(prompt)
        self.heard.append((prompt, 0.0))
        try:
            if not whole:
                self._until_key(length)
                return
            while (left := length - (self.clock.at - began).total_seconds()) > 0:
                self._until_key(left)
        finally:
            self.heard[-1] = (prompt, (self.clock.at - began).total_seconds())

    def _looks_ahead(self, prompt: str) -> None:
        nth = self.prompts.count(prompt) + 1
        self._coming += [
            (self.clock.at + timedelta(seconds=act.after), act.key)
            for act in self._acts
            if (act.prompt, act.nth) == (prompt, nth)
        ]
        self._coming.sort(key=lambda coming: coming[0])

    def _until_key(self, seconds: float) -> None:
        """Time passes until the resident does something, at most so long."""
        self._is_there()
        end = self.clock.at + timedelta(seconds=seconds)
        if not self._coming or self._coming[0][0] > end:
            self.clock.at = end
            return
        moment, key = self._coming.pop(0)
        self.clock.at = max(self.clock.at, moment)
        if key is None:
            self._gone = True
            raise HungUp
        self.note(Kind.KEY, key=key)
        self._key = self._key or key

    def _is_there(self) -> None:
        if self._gone:
            raise HungUp


class FakeOutbox:
    """`ivr.store.Outbox` that keeps what is left in it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, Any]]] = []

    def write(self, statement: str, /, **values: Any) -> None:
        self.written.append((statement, values))

    def of(self, statement: str) -> list[dict[str, Any]]:
        return [values for name, values in self.written if name == statement]


Answer = Callable[[dict[str, Any]], Iterable[Row]]


class FakeStore(FakeOutbox):
    """`ivr.store.Store`: each statement answers with the rows given for it, or none; all it is asked is kept."""

    def __init__(self, rows: Mapping[str, Iterable[Row] | Answer] | None = None) -> None:
        super().__init__()
        self.rows = dict(rows or {})
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def one(self, statement: str, /, **values: Any) -> Row | None:
        return next(iter(await self.all(statement, **values)), None)

    async def all(self, statement: str, /, **values: Any) -> list[Row]:
        self.asked.append((statement, values))
        answer = self.rows.get(statement, ())
        return list(answer(values) if callable(answer) else answer)

    async def run(self, statement: str, /, **values: Any) -> None:
        self.asked.append((statement, values))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeStore]:
        yield self


class FakeDesk:
    """`callback.chase.Desk`: the queues are what `queues` says, or one dispatcher and nobody waiting."""

    def __init__(self, name: str = "dozvon", dispatchers: int = 1) -> None:
        self.name = name
        self.queues: dict[str, Queue] = {}
        self.otherwise = Queue(dispatchers)
        self.asked: list[str] = []
        self.placed: list[Order] = []
        self.taken_back: list[str] = []
        self.fails: Exception | None = None
        """What asking a queue raises."""
        self.on_the_line: set[str] = set()
        self.refuses: Exception | None = None
        """What placing an order raises."""
        self.watch: Callable[[Order], Awaitable[None]] | None = None
        """Awaited when an order comes, before it is carried out."""

    def is_on_the_line(self, phone: str) -> bool:
        return phone in self.on_the_line

    async def queue(self, name: str) -> Queue:
        self.asked.append(name)
        if self.fails is not None:
            raise self.fails
        return self.queues.get(name, self.otherwise)

    async def place(self, order: Order) -> None:
        if self.watch is not None:
            await self.watch(order)
        if self.refuses is not None:
            raise self.refuses
        self.placed.append(order)

    async def take_back(self, call: str) -> None:
        self.taken_back.append(call)


async def look(chaser: Chaser, at: datetime) -> None:
    """One tick of both halves of the chase."""
    await chaser.watch(at)
    await chaser.chase(at)
