"""One look of the chase, with a store and a desk in memory: what is asked of whom, in which order, who may fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from callback import rules
from callback.chase import LAPSED, LEASE, LOOKED_BACK, PLACED_WITHIN, Chaser
from callback.turns import Queue, Waiting
from ivr import app, ticks
from ivr import chasing as wiring
from ivr.chasing import STOCK_WITHIN, Chasing
from ivr.errors import Disconnected, LedgerAway, PeerError
from ivr.store import Row
from tests.fakes import NOON, FakeDesk, FakeStore, look
from tickets import limits

RULES, LIMITS = rules.read(), limits.read()
PHONE = "+79161234567"


def owed(promise: int = 7, **changed: Any) -> dict[str, Any]:
    row = {
        "id": promise, "phone": f"+7916123456{promise}", "line": "+74951230001", "queue": "dispatch", "priority": 0,
        "category": None, "missed_at": NOON, "status": "open", "attempts": 0, "rung": False,
    }  # fmt: skip
    return row | changed


class Room:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.store = FakeStore(
            {"promises.owed": rows, "promises.claim": lambda values: [{"call_id": values["call"]}]}
        )
        self.desk = FakeDesk(dispatchers=9)
        self.broken: list[Row] = []
        self.chaser = Chaser(
            self.store, self.desk, RULES, LIMITS, lambda row, now: f"to {row['phone']} at {now:%H:%M}",
            "host:1", default_queue="dispatch", on_broken=self.broken.extend,
        )  # fmt: skip

    def asked(self, statement: str) -> list[dict[str, Any]]:
        return [values for name, values in self.store.asked if name == statement]


async def test_a_look_settles_first_then_marks_then_rests_then_tries() -> None:
    """A talk just ended breaks no promise, and an attempt just ended is counted before the next one is chosen."""
    room = Room()
    await look(room.chaser, NOON)
    assert [name for name, _ in room.store.asked] == [
        "promises.reach", "promises.mark_unanswered", "promises.mark_overdue_calls", "promises.break",
        "promises.lapsed", "promises.rest", "promises.give_up", "promises.unwanted",
        "promises.owed",
    ]  # fmt: skip


async def test_the_moment_of_a_look_is_the_one_it_is_given() -> None:
    room = Room(owed())
    await look(room.chaser, NOON)
    assert {values["now"] for _, values in room.store.asked if "now" in values} == {NOON}
    assert room.asked("promises.lapsed")[0]["before"] == NOON - LAPSED
    assert room.asked("promises.give_up")[0]["before"] == NOON - RULES.give_up
    assert room.asked("promises.claim")[0]["lease_until"] == NOON + LEASE


async def test_all_talks_are_looked_at_now_and_then_and_the_last_ones_always() -> None:
    room = Room()
    moments = [0, 1, 30, 31, 60, 62, -3600, -3599]
    for second in moments:
        await room.chaser.settle(NOON + timedelta(seconds=second))
    back = [
        NOON + timedelta(seconds=second) - values["since"]
        for second, values in zip(moments, room.asked("promises.reach"), strict=True)
    ]
    day, little = RULES.give_up, LOOKED_BACK
    assert back == [day, little, little, day, little, day, day, little], (
        "all of them again when the clock is set back"
    )


async def test_what_breaks_is_handed_on_and_said_without_the_number(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    rows: list[Row] = [{"id": 7, "phone": PHONE, "why": "untried"}, {"id": 8, "phone": None, "why": "hidden"}]
    room.store.rows["promises.break"] = rows
    with caplog.at_level(logging.DEBUG):
        await room.chaser.mark(NOON)
    assert room.broken == rows
    assert PHONE not in str([record.__dict__ for record in caplog.records])


async def test_nobody_is_told_when_nothing_breaks() -> None:
    room = Room()
    room.chaser.on_broken = lambda rows: pytest.fail("told of nothing")
    await room.chaser.mark(NOON)


async def test_each_queue_is_asked_once_and_only_when_somebody_is_owed_in_it() -> None:
    room = Room(owed(1, queue="north"), owed(2), owed(3, queue="north"))
    await room.chaser.try_owed(NOON)
    assert sorted(room.desk.asked) == ["dispatch", "north"]
    assert len(room.desk.placed) == 3
    quiet = Room()
    await quiet.chaser.try_owed(NOON)
    assert not quiet.desk.asked


async def test_a_queue_that_cannot_be_asked_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(owed(1, queue="north"), owed(2, queue="south"))
    ask = room.desk.queue

    async def half(name: str) -> Queue:
        if name == "north":
            raise PeerError("no such queue")
        return await ask(name)

    room.desk.queue = half  # type: ignore[method-assign]
    await room.chaser.try_owed(NOON)
    assert [order.promise for order in room.desk.placed] == [2]
    assert "the queue cannot be asked now" in caplog.text


@pytest.mark.parametrize(("changed", "placed"), [({}, [1]), ({"status": "broken"}, []), ({"rung": True}, [])])
async def test_what_is_broken_or_was_rung_in_vain_lets_those_go_first_who_wait_at_the_phone(
    changed: dict[str, Any], placed: list[int]
) -> None:
    room = Room(owed(**changed))
    room.desk.otherwise = Queue(1, [Waiting(0, NOON + timedelta(minutes=5))])
    await room.chaser.try_owed(NOON + timedelta(minutes=6))
    assert [order.position for order in room.desk.placed] == placed


async def test_an_attempt_is_numbered_after_the_last_and_named_after_its_asterisk() -> None:
    room = Room(owed(attempts=4))
    await room.chaser.try_owed(NOON)
    (order,) = room.desk.placed
    assert order.call == "dozvon-callback-7-5"
    assert order.title == "to +79161234567 at 09:00"
    assert order.place_by == NOON + PLACED_WITHIN


async def test_what_somebody_else_has_claimed_is_not_placed() -> None:
    room = Room(owed())
    room.store.rows["promises.claim"] = []
    await room.chaser.try_owed(NOON)
    assert not room.desk.placed


async def test_who_is_on_the_line_is_not_rung_though_the_ledger_does_not_know_it_yet() -> None:
    room = Room(owed(7), owed(8))
    room.desk.on_the_line.add(owed(7)["phone"])
    await look(room.chaser, NOON)
    assert [values["promise"] for values in room.asked("promises.claim")] == [8]


async def test_nothing_is_placed_that_could_not_be_written_down() -> None:
    room = Room(owed())

    def away(_: dict[str, Any]) -> list[Row]:
        raise LedgerAway("Postgres does not answer")

    room.store.rows["promises.claim"] = away
    with pytest.raises(LedgerAway):
        await look(room.chaser, NOON)
    assert not room.desk.placed


async def test_what_asterisk_refuses_is_ended_and_the_next_is_tried() -> None:
    room = Room(owed(1), owed(2))
    room.desk.refuses = PeerError("no")
    await room.chaser.try_owed(NOON)
    assert [values["calls"] for values in room.asked("promises.not_placed")] == [
        ["dozvon-callback-1-1"], ["dozvon-callback-2-1"],
    ]  # fmt: skip


async def test_what_nobody_knows_the_fate_of_is_left_alone() -> None:
    room = Room(owed())
    room.desk.refuses = Disconnected("no answer within 5 s")
    await room.chaser.try_owed(NOON)
    assert not room.asked("promises.not_placed")


async def test_what_nobody_wants_any_more_is_taken_back_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    room.store.rows["promises.unwanted"] = [{"call_id": "gone"}, {"call_id": "dozvon-callback-7-1"}]
    take_back = room.desk.take_back

    async def some_are_gone(call: str) -> None:
        if call == "gone":
            raise PeerError("no such channel")
        await take_back(call)

    monkeypatch.setattr(room.desk, "take_back", some_are_gone)
    await look(room.chaser, NOON)
    assert room.desk.taken_back == ["dozvon-callback-7-1"]


# -- looking after what goes on


def attempt(call: str, seconds_ago: float, heard_of: bool = False) -> dict[str, Any]:
    return {"call_id": call, "placed_at": NOON - timedelta(seconds=seconds_ago), "heard_of": heard_of}


async def test_what_goes_on_here_has_its_lease_renewed() -> None:
    room = Room()
    room.store.rows["promises.attempts_on"] = [attempt("a", 100), attempt("b", 100, True)]
    await room.chaser.look_after({"a", "b"}, NOON)
    assert room.asked("promises.renew") == [{"calls": ["a", "b"], "lease_until": NOON + LEASE}]
    assert not room.asked("promises.not_placed")


async def test_what_never_came_to_be_is_ended_once_it_is_void() -> None:
    room = Room()
    void = 2 * PLACED_WITHIN.total_seconds()
    room.store.rows["promises.attempts_on"] = [
        attempt("fresh", void), attempt("void", void + 1), attempt("heard of", void + 1, True),
    ]  # fmt: skip
    await room.chaser.look_after(set(), NOON)
    assert room.asked("promises.not_placed") == [{"calls": ["void"], "now": NOON}]
    assert not room.asked("promises.renew")


async def test_when_nothing_goes_on_nothing_is_written() -> None:
    room = Room()
    await room.chaser.look_after({"dozvon-1.0"}, NOON)
    assert [name for name, _ in room.store.asked] == ["promises.attempts_on"]


async def test_a_step_of_the_clock_moves_the_marks_in_the_same_transaction() -> None:
    room = Room()
    began: list[str] = []
    whole = room.store.transaction

    @asynccontextmanager
    async def noted() -> AsyncIterator[FakeStore]:
        async with whole() as one:
            began.append("begin")
            yield one
            began.append("end")

    room.store.transaction = noted  # type: ignore[method-assign]
    room.store.rows["promises.clock_step"] = [{"step": -3600.0}]
    await room.chaser.mind_clock("machine", -3600.0)
    (shift,) = room.asked("promises.shift_marks")
    assert shift == {"step": timedelta(hours=-1), "asterisk": "dozvon"}
    assert began == ["begin", "end"]


async def test_a_clock_that_was_not_set_moves_nothing() -> None:
    room = Room()
    await room.chaser.mind_clock("machine", 0.0)
    assert not room.asked("promises.shift_marks")


# -- what runs it


class FakeFollower:
    def __init__(self, *alive: str) -> None:
        self.took_stock = asyncio.Event()
        self.took_stock.set()
        self._alive = set(alive)

    async def alive(self) -> set[str]:
        return self._alive


class Notes:
    """`Chaser` that only notes what it is asked to do."""

    def __init__(self) -> None:
        self.desk = FakeDesk()
        self.did: asyncio.Queue[str] = asyncio.Queue()
        self.chased: asyncio.Queue[str] = asyncio.Queue()
        self.looked_after: asyncio.Queue[list[str]] = asyncio.Queue()
        self.asterisk_answers = asyncio.Event()
        self.asterisk_answers.set()
        self.fails: list[Exception] = []
        self.machines: list[tuple[str, float]] = []
        self.gate: asyncio.Event | None = None
        self.at_once = self.most_at_once = 0

    async def watch(self, _: Any) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.did.put_nowait("watch")
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.fails:
                raise self.fails.pop()
        finally:
            self.at_once -= 1

    async def chase(self, _: Any) -> None:
        self.chased.put_nowait("chase")
        await self.asterisk_answers.wait()

    async def look_after(self, alive: set[str], _: Any) -> None:
        self.looked_after.put_nowait(sorted(alive))

    async def mind_clock(self, machine: str, ahead: float) -> None:
        self.machines.append((machine, ahead))

    async def does(self) -> str:
        async with asyncio.timeout(5):
            return await self.did.get()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def follower() -> FakeFollower:
    return FakeFollower("dozvon-callback-7-1")


@pytest.fixture
def ledger() -> SimpleNamespace:
    async def settled() -> None:
        pass

    return SimpleNamespace(is_behind=False, settled=settled)


@pytest.fixture
async def chasing(
    notes: Notes, follower: FakeFollower, ledger: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Chasing]:
    monkeypatch.setattr(ticks, "AT_MOST_EVERY", 0.001)
    made = Chasing(notes, follower, ledger, app.now)  # type: ignore[arg-type]
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_whatever_wakes_it_it_looks(chasing: Chasing, notes: Notes) -> None:
    for _ in range(3):
        chasing.wake()
        assert await notes.does() == "watch"
        async with asyncio.timeout(5):
            assert await notes.chased.get() == "chase"


async def test_an_asterisk_that_does_not_answer_keeps_no_mark_waiting(chasing: Chasing, notes: Notes) -> None:
    notes.asterisk_answers.clear()
    for _ in range(3):
        chasing.wake()
        assert await notes.does() == "watch"
    assert notes.chased.qsize() == 1


async def test_it_never_looks_twice_at_once_and_forgets_no_waking(chasing: Chasing, notes: Notes) -> None:
    notes.gate = asyncio.Event()
    chasing.wake()
    await notes.does()
    for _ in range(5):
        chasing.wake()
    notes.gate.set()
    assert await notes.does() == "watch", "what happened during the look is looked at"
    assert notes.most_at_once == 1 and notes.did.empty()


@pytest.mark.parametrize("failure", [LedgerAway("away"), PeerError("no"), ValueError("a bug")])
async def test_a_look_that_fails_is_not_the_last(chasing: Chasing, notes: Notes, failure: Exception) -> None:
    notes.fails.append(failure)
    chasing.wake()
    await notes.does()
    chasing.wake()
    assert await notes.does() == "watch"


async def test_nobody_is_rung_before_the_stock_is_taken(
    chasing: Chasing, notes: Notes, follower: FakeFollower
) -> None:
    follower.took_stock.clear()
    await chasing._watch()
    await chasing._chase()
    await chasing.look_after()
    assert notes.did.empty() and notes.chased.empty()


async def test_nothing_is_judged_by_a_ledger_that_is_behind(
    chasing: Chasing, notes: Notes, ledger: SimpleNamespace
) -> None:
    """After an outage of Postgres: the talk that keeps the promise may still wait on disk."""
    ledger.is_behind = True
    await chasing._watch()
    await chasing._chase()
    assert notes.did.empty() and notes.chased.empty()


async def test_after_an_outage_what_waits_on_disk_has_its_time_again(
    chasing: Chasing, notes: Notes, ledger: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long Postgres was away: the patience with a ledger that is behind begins when it is there again."""

    async def away(*_: object) -> None:
        raise LedgerAway("Postgres does not answer")

    ledger.is_behind = True
    chasing._knew_all -= 2 * STOCK_WITHIN
    with monkeypatch.context() as outage, pytest.raises(LedgerAway):
        outage.setattr(notes, "mind_clock", away)
        await chasing._watch()
    await chasing._watch()
    assert notes.did.empty()


async def test_the_laws_minutes_go_on_when_asterisk_stays_away(
    chasing: Chasing, notes: Notes, follower: FakeFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.took_stock.clear()
    monkeypatch.setattr(wiring, "STOCK_WITHIN", -1.0)
    await chasing._watch()
    await chasing._chase()
    assert notes.did.get_nowait() == "watch"
    assert notes.chased.empty(), "but nobody is rung"


async def test_it_looks_after_what_goes_on_in_asterisk(chasing: Chasing, notes: Notes) -> None:
    chasing.wake()
    async with asyncio.timeout(5):
        assert await notes.looked_after.get() == ["dozvon-callback-7-1"], "at once, before any lease lapses"
    await chasing.look_after()
    assert notes.looked_after.get_nowait() == ["dozvon-callback-7-1"]


async def test_the_clock_is_minded_before_every_look(chasing: Chasing, notes: Notes) -> None:
    """Or a clock set forward would break every promise before anybody noticed."""
    seen: list[int] = []
    watch = notes.watch

    async def after_the_clock(at: Any) -> None:
        seen.append(len(notes.machines))
        await watch(at)

    notes.watch = after_the_clock  # type: ignore[method-assign,assignment]
    await chasing._watch()
    ((machine, ahead),) = notes.machines
    assert seen == [1]
    assert machine.endswith("/dozvon")
    assert ahead == pytest.approx(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), abs=1)
