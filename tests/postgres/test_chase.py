"""The chase against a real Postgres, in virtual time: a promise is tried until it is kept, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from callback import rules
from callback.chase import LAPSED, LEASE, PLACED_WITHIN, Chaser, Order
from callback.missed import HIDDEN
from callback.rules import Chase
from callback.turns import Queue, Turn
from ivr.call import Call, Direction, Fact, Kind, Outcome
from ivr.errors import Disconnected, PeerError
from ivr.ledger import Ledger
from ivr.store import Row
from tests.fakes import FakeDesk, look

from .calls import ANNA, LIMITS, MISSED, NOON, Story, notified, switchboard, tell

RULES = rules.read()
MARIA, IVAN = "+79161234567", "+79161234568"
FIVE, TEN = 300.0, 600.0
FIRST_OF_ALL = Turn(1, 20, None)
TALK = RULES.talk.total_seconds()
LADDER = [step.total_seconds() for step in RULES.ladder]
PAUSE = RULES.pause.total_seconds()

ABANDONED: Story = MISSED
EMERGENCY: Story = ((0.5, Kind.WENT, {"category": "emergency", "priority": 20, "queue": "dispatch"}), *MISSED)
ORDINARY: Story = ((0.5, Kind.WENT, {"category": "planned", "priority": 5, "queue": "dispatch"}), *MISSED)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Hotline:
    """A ledger, the dispatchers' desk, and what residents and dispatchers do; moments are seconds after noon."""

    def __init__(self, ledger: Ledger, chase: Chase = RULES, desk: FakeDesk | None = None) -> None:
        self.ledger, self.desk = ledger, desk or FakeDesk()
        self.board = switchboard(ledger)
        self.broken: list[Row] = []
        self.chaser = self.controller(self.desk, chase)
        self.chaser.on_broken = self.broken.extend
        self._keys = count()

    def controller(self, desk: FakeDesk, chase: Chase = RULES, ledger: Ledger | None = None) -> Chaser:
        return Chaser(
            ledger or self.ledger,
            desk,
            chase,
            LIMITS,
            lambda row, now: f"{row['phone']}",
            f"{desk.name}:1",
            default_queue="dispatch",
        )

    async def looks(self, *seconds: float) -> None:
        for moment in seconds:
            await look(self.chaser, at(moment))

    async def misses(self, caller: str = MARIA, second: float = 0, story: Story = ABANDONED) -> Call:
        call = tell(self.board, *story, caller=caller, at=at(second))
        await self.ledger.settled()
        return call

    async def calls_herself(self, second: float, until: float | None, caller: str = MARIA) -> Call:
        """Her own next call, answered at once; None: the talk goes on."""
        end: Story = () if until is None else ((until - second, Kind.ENDED, {}),)
        call = tell(self.board, (0.0, Kind.ANSWERED, {}), *end, caller=caller, at=at(second))
        await self.ledger.settled()
        return call

    def back(self, order: Order, second: float, kind: Kind, who: str | None = None, **detail: Any) -> None:
        """One fact of a call back, as Asterisk's log tells it."""
        if order.call not in self.board.calls:
            told = {"caller": order.phone, "dialled": order.line, "direction": Direction.CALLBACK}
            self.board.take(Fact(order.call, at(second), Kind.ARRIVED, "arrived", None, told))
        self.board.take(Fact(order.call, at(second), kind, f"{kind}/{next(self._keys)}", who, detail))

    async def talk(self, order: Order, begins: float, ends: float | None, *, machine: bool = False) -> None:
        self.back(order, begins - 1, Kind.ACCEPTED, ANNA)
        self.back(order, begins, Kind.ANSWERED, ANNA)
        if machine:
            self.back(order, begins + 1, Kind.MACHINE, ANNA)
        if ends is not None:
            self.back(order, ends, Kind.ENDED)
        await self.ledger.settled()

    async def in_vain(self, order: Order, second: float, status: str = "NOANSWER") -> None:
        self.back(order, second, Kind.ACCEPTED, ANNA)
        self.back(order, second, Kind.TRIED, ANNA, status=status)
        self.back(order, second, Kind.ENDED)
        await self.ledger.settled()

    async def not_rung(self, order: Order, second: float, *, accepted: bool = False) -> None:
        """No dispatcher took it; or she did, and hung up too soon."""
        self.back(order, second, Kind.ACCEPTED if accepted else Kind.QUEUED, ANNA if accepted else None)
        self.back(order, second, Kind.ENDED)
        await self.ledger.settled()

    @property
    def order(self) -> Order:
        """The last one placed."""
        return self.desk.placed[-1]

    async def promises(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.ledger.pool.fetch("SELECT * FROM promises ORDER BY id")]

    async def promise(self) -> dict[str, Any]:
        (only,) = await self.promises()
        return only

    async def status(self) -> tuple[str, datetime | None]:
        promise = await self.promise()
        return promise["status"], promise["reached_at"]

    async def history(self, promise: int | None = None) -> list[tuple[str, float]]:
        """What happened to it, in the order of writing, with the second."""
        rows = await self.ledger.pool.fetch(
            "SELECT what, at FROM promise_history WHERE promise_id = coalesce($1, promise_id)"
            " ORDER BY xmin::text::bigint, ctid",
            promise,
        )
        return [(row["what"], (row["at"] - NOON).total_seconds()) for row in rows]

    async def tried_at(self, second: float, limit: float = 7200) -> float:
        """Looks again and again, from a second on, until the next attempt; its moment."""
        before = len(self.desk.placed)
        while second < limit:
            await self.looks(second)
            if len(self.desk.placed) > before:
                return second
            second += 1
        raise AssertionError(f"no attempt until {limit:g} s")


@pytest.fixture
async def hotline(ledger: Ledger) -> Hotline:
    return Hotline(ledger)


@pytest.fixture
def nobody(hotline: Hotline) -> Hotline:
    """A hotline whose dispatchers are not at their phones."""
    hotline.desk.otherwise = Queue(dispatchers=0)
    return hotline


# -- kept


async def test_a_call_back_that_talks_keeps_the_promise_with_the_moment_of_the_talk(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.talk(hotline.order, 50, 80)
    await hotline.looks(81)
    promise = await hotline.promise()
    assert (promise["status"], promise["reached_at"], promise["closed_at"]) == ("kept", at(50), at(81))
    assert (promise["reached_by"], promise["why"]) == (hotline.order.call, None)
    assert await hotline.history() == [("opened", 0), ("trying", 31), ("kept", 50)]
    await hotline.looks(82, TEN + 1, 2 * TEN)
    assert len(hotline.desk.placed) == 1, "nobody chases what is kept"
    assert not hotline.broken


async def test_a_talk_too_short_keeps_nothing_and_she_is_rung_again(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.talk(hotline.order, 50, 50 + TALK - 0.1)
    await hotline.looks(60)
    assert await hotline.status() == ("open", None)
    assert await hotline.tried_at(61) == 50 + round(TALK) + LADDER[0]


async def test_a_talk_of_just_the_length_is_enough(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.talk(hotline.order, 50, 50 + TALK)
    await hotline.looks(60)
    assert await hotline.status() == ("kept", at(50))


async def test_an_answering_machine_keeps_nothing(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.talk(hotline.order, 50, 80, machine=True)
    await hotline.looks(81)
    assert await hotline.status() == ("open", None)
    await hotline.looks(TEN)
    assert (await hotline.promise())["why"] == "machine"


async def test_a_call_back_settles_nothing_before_it_has_ended(hotline: Hotline) -> None:
    """A machine's greeting is longer than the shortest talk: the dispatcher may say so any moment."""
    await hotline.misses()
    await hotline.looks(31)
    await hotline.talk(hotline.order, 50, None)
    await hotline.looks(50 + TALK, 70)
    assert await hotline.status() == ("open", None)
    hotline.back(hotline.order, 71, Kind.MACHINE, ANNA)
    hotline.back(hotline.order, 72, Kind.ENDED)
    await hotline.ledger.settled()
    await hotline.looks(73)
    assert await hotline.status() == ("open", None)


async def test_the_residents_own_next_call_keeps_it(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.calls_herself(100, 160)
    await hotline.looks(161)
    assert await hotline.status() == ("kept", at(100))
    assert not hotline.desk.placed


async def test_a_talk_before_the_missed_call_keeps_nothing(hotline: Hotline) -> None:
    await hotline.calls_herself(-100, -50)
    await hotline.misses()
    await hotline.looks(31)
    assert await hotline.status() == ("open", None)


async def test_somebody_elses_talk_keeps_nothing(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.calls_herself(100, 160, caller=IVAN)
    await hotline.looks(161)
    assert await hotline.status() == ("open", None)


async def test_a_call_cut_off_at_its_beginning_does_not_keep_the_promise_it_made_itself(
    ledger: Ledger,
) -> None:
    """… even where shorter talks than the cut-off's five seconds are enough."""
    hotline = Hotline(ledger, _rules(talk=timedelta(seconds=2)))
    cut: Story = ((5.0, Kind.ANSWERED, {}), (8.0, Kind.HUNG_UP, {"cause": 44}), (8.0, Kind.ENDED, {}))
    await hotline.misses(story=cut)
    await hotline.looks(9)
    assert await hotline.status() == ("open", None)
    hotline.desk.otherwise = Queue(0)
    await hotline.looks(TEN)
    assert (await hotline.promise())["status"] == "broken"


async def test_a_talk_that_goes_on_long_enough_settles_it_already(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.calls_herself(100, None)
    await hotline.looks(100 + TALK - 0.1)
    assert await hotline.status() == ("open", None)
    await hotline.looks(100 + TALK)
    assert await hotline.status() == ("kept", at(100))


async def test_a_talk_that_comes_to_light_afterwards_turns_a_broken_promise_kept(nobody: Hotline) -> None:
    """The log of another Asterisk is read late."""
    await nobody.misses()
    await nobody.looks(TEN)
    assert await nobody.status() == ("broken", None)
    await nobody.calls_herself(TEN - 1, TEN + 60)
    await nobody.looks(1000)
    promise = await nobody.promise()
    assert (promise["status"], promise["reached_at"], promise["why"]) == ("kept", at(TEN - 1), None)
    assert [what for what, _ in await nobody.history()] == ["opened", "unanswered", "broken", "kept"]


async def test_a_talk_that_comes_to_light_hours_later_counts_too(nobody: Hotline) -> None:
    await nobody.misses()
    await nobody.looks(TEN, 3600, 3 * 3600)
    await nobody.calls_herself(60, 120)
    await nobody.looks(3 * 3600 + 31)
    assert await nobody.status() == ("kept", at(60))


async def test_who_is_reached_after_the_due_moment_leaves_a_broken_promise(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.in_vain(hotline.order, 60, "BUSY")
    hotline.desk.otherwise = Queue(0)
    await hotline.looks(61, FIVE, TEN)
    hotline.desk.otherwise = Queue(1)
    await hotline.looks(TEN + 1)
    await hotline.talk(hotline.order, TEN + 20, TEN + 60)
    await hotline.looks(TEN + 61)
    promise = await hotline.promise()
    assert (promise["status"], promise["why"]) == ("broken", "busy")
    assert (promise["reached_at"], promise["closed_at"]) == (at(TEN + 20), at(TEN + 61))
    assert [what for what, _ in await hotline.history()] == [
        "opened", "trying", "tried", "unanswered", "broken", "trying", "reached_late",
    ]  # fmt: skip


async def test_a_talk_is_in_time_up_to_the_very_moment(nobody: Hotline) -> None:
    await nobody.misses(MARIA)
    await nobody.misses(IVAN)
    await nobody.calls_herself(TEN, TEN + 30, MARIA)
    await nobody.calls_herself(TEN + 0.001, TEN + 30, IVAN)
    await nobody.looks(TEN + 31)
    assert [p["status"] for p in await nobody.promises()] == ["kept", "broken"]
    assert [p["why"] for p in await nobody.promises()] == [None, "late"]


# -- the marks


async def test_the_two_marks_fire_once_each_at_their_moment(nobody: Hotline) -> None:
    await nobody.misses()
    await nobody.looks(FIVE - 0.001)
    assert await nobody.history() == [("opened", 0)]
    await nobody.looks(FIVE, FIVE + 0.5, TEN - 0.001)
    assert await nobody.history() == [("opened", 0), ("unanswered", FIVE)]
    await nobody.looks(TEN, TEN + 0.5, TEN + 1, 2 * TEN)
    assert await nobody.history() == [("opened", 0), ("unanswered", FIVE), ("broken", TEN)]
    assert [(row["why"], row["phone"]) for row in nobody.broken] == [("untried", MARIA)]


async def test_a_mark_nobody_looked_at_in_time_fires_at_the_next_look(nobody: Hotline) -> None:
    await nobody.misses()
    await nobody.looks(2 * TEN)
    assert await nobody.history() == [("opened", 0), ("unanswered", 2 * TEN), ("broken", 2 * TEN)]


async def test_a_promise_kept_in_between_has_no_second_mark(hotline: Hotline) -> None:
    hotline.desk.otherwise = Queue(0)
    await hotline.misses()
    await hotline.looks(FIVE)
    await hotline.calls_herself(FIVE + 10, FIVE + 60)
    await hotline.looks(FIVE + 61, TEN, TEN + 1)
    assert await hotline.history() == [("opened", 0), ("unanswered", FIVE), ("kept", FIVE + 10)]
    assert not hotline.broken


@pytest.mark.parametrize("mark", [FIVE, TEN])
async def test_no_mark_fires_while_the_two_talk(nobody: Hotline, mark: float) -> None:
    await nobody.misses()
    await nobody.looks(mark - 3)
    before = await nobody.history()
    call = await nobody.calls_herself(mark - 2, None)
    await nobody.looks(mark, mark + 1)
    assert await nobody.history() == before, "they have talked for 2 s: nobody knows yet"
    nobody.board.take(Fact(call.id, at(mark + 2), Kind.ENDED, "the end"))
    await nobody.ledger.settled()
    await nobody.looks(mark + 2.5)
    assert (await nobody.history())[-1][0] == ("unanswered" if mark == FIVE else "broken"), "too short a talk"


async def test_a_talk_begun_in_time_is_kept_though_it_settles_after_the_mark(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(TEN - 20)
    await hotline.talk(hotline.order, TEN - 2, None)
    await hotline.looks(TEN, TEN + 2)
    assert (await hotline.promise())["status"] == "open"
    hotline.back(hotline.order, TEN + 10, Kind.ENDED)
    await hotline.ledger.settled()
    await hotline.looks(TEN + 11)
    assert await hotline.status() == ("kept", at(TEN - 2))
    assert not hotline.broken


async def test_a_promise_nobody_tried_says_so(nobody: Hotline) -> None:
    await nobody.misses()
    await nobody.looks(TEN)
    assert (await nobody.promise())["why"] == "untried"


async def test_a_promise_that_is_being_tried_when_it_breaks_says_so(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(TEN - 1, TEN)
    assert (await hotline.promise())["why"] == "trying"


@pytest.mark.parametrize(
    ("status", "why"), [("BUSY", "busy"), ("NOANSWER", "no_answer"), ("CHANUNAVAIL", "unreachable")]
)
async def test_a_promise_tried_in_vain_says_how_the_last_try_ended(
    hotline: Hotline, status: str, why: str
) -> None:
    await hotline.misses()
    await hotline.looks(TEN - 30)
    await hotline.in_vain(hotline.order, TEN - 10, status)
    await hotline.looks(TEN)
    assert (await hotline.promise())["why"] == why


async def test_a_promise_whose_dispatcher_hung_up_too_soon_says_so(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(TEN - 30)
    await hotline.not_rung(hotline.order, TEN - 1, accepted=True)
    await hotline.looks(TEN)
    assert (await hotline.promise())["why"] == "dispatcher_gone"


async def test_a_hidden_number_breaks_as_hidden_and_is_never_tried(hotline: Hotline) -> None:
    await hotline.misses("anonymous")
    await hotline.looks(31, FIVE, TEN, TEN + 1)
    promise = await hotline.promise()
    assert (promise["status"], promise["why"]) == ("broken", HIDDEN)
    assert not hotline.desk.placed


async def test_who_still_waits_in_the_line_after_five_minutes_is_said_so_once(hotline: Hotline) -> None:
    waiting = tell(hotline.board, (1.0, Kind.QUEUED, {"queue": "dispatch"}))
    answered = await hotline.calls_herself(0, None, caller=IVAN)
    await hotline.ledger.settled()
    await hotline.looks(FIVE - 0.001)
    assert not await _overdue(hotline)
    await hotline.looks(FIVE, FIVE + 1, TEN)
    assert await _overdue(hotline) == [(waiting.id, at(FIVE))]
    assert answered.id != waiting.id


async def _overdue(hotline: Hotline) -> list[tuple[str, datetime]]:
    rows = await hotline.ledger.pool.fetch("SELECT call_id, at FROM call_facts WHERE kind = 'overdue'")
    return [(row["call_id"], row["at"]) for row in rows]


# -- the ladder


async def test_each_try_in_vain_waits_for_the_next_step_and_the_last_one_repeats(ledger: Ledger) -> None:
    steps = (timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=90))
    hotline = Hotline(ledger, _rules(ladder=steps))
    await hotline.misses()
    moment, waited = await hotline.tried_at(31), []
    for _ in range(5):
        ended = moment + 20
        await hotline.in_vain(hotline.order, ended)
        moment = await hotline.tried_at(ended)
        waited.append(moment - ended)
    assert waited == [30, 60, 90, 90, 90]
    assert [order.call for order in hotline.desk.placed] == [f"dozvon-callback-1-{n}" for n in range(1, 7)]


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_try_in_which_she_was_not_rung_only_pauses_and_takes_no_step(
    hotline: Hotline, accepted: bool
) -> None:
    await hotline.misses()
    moment = await hotline.tried_at(31)
    for _ in range(3):
        await hotline.not_rung(hotline.order, moment + 2, accepted=accepted)
        again = await hotline.tried_at(moment + 2)
        assert again - (moment + 2) == PAUSE
        moment = again
    await hotline.in_vain(hotline.order, moment + 20)
    assert await hotline.tried_at(moment + 20) - (moment + 20) == LADDER[0], "the first time she was rung"


async def test_a_second_missed_call_brings_the_next_try_forward(hotline: Hotline) -> None:
    """Who has just called is at the phone."""
    await hotline.misses()
    await hotline.looks(31)
    await hotline.in_vain(hotline.order, 60)
    await hotline.looks(61)
    await hotline.misses(second=62, story=((0.0, Kind.QUEUED, {"queue": "dispatch"}), (3.0, Kind.ENDED, {})))
    await hotline.looks(65)
    assert len(hotline.desk.placed) == 2
    assert [what for what, _ in await hotline.history()] == ["opened", "trying", "tried", "joined", "trying"]


async def test_a_call_missed_while_she_is_being_rung_brings_the_next_try_forward(hotline: Hotline) -> None:
    """… and how the try that went on had ended is in the history all the same."""
    await hotline.misses()
    await hotline.looks(31)
    await hotline.misses(second=40, story=((0.0, Kind.QUEUED, {"queue": "dispatch"}), (3.0, Kind.ENDED, {})))
    await hotline.looks(44)
    assert len(hotline.desk.placed) == 1, "not while the first goes on"
    await hotline.in_vain(hotline.order, 50, "BUSY")
    await hotline.looks(51)
    assert len(hotline.desk.placed) == 2
    assert [what for what, _ in await hotline.history()] == ["opened", "trying", "joined", "tried", "trying"]


async def test_a_broken_promise_is_chased_until_it_is_given_up(hotline: Hotline) -> None:
    await hotline.misses()
    moment = await hotline.tried_at(31)
    await hotline.in_vain(hotline.order, moment + 20)
    hotline.desk.otherwise = Queue(0)
    day = RULES.give_up.total_seconds()
    await hotline.looks(TEN, 3600, day)
    assert (await hotline.promise())["closed_at"] is None
    await hotline.looks(day + 1)
    promise = await hotline.promise()
    assert (promise["status"], promise["closed_at"]) == ("broken", at(day + 1))
    assert (await hotline.history())[-1] == ("given_up", day + 1)
    hotline.desk.otherwise = Queue(1)
    await hotline.looks(day + 2, 2 * day)
    assert len(hotline.desk.placed) == 1


async def test_nothing_is_given_up_while_it_is_being_tried(hotline: Hotline) -> None:
    day = RULES.give_up.total_seconds()
    await hotline.misses()
    await hotline.looks(day - 1, day + 1)
    assert (await hotline.promise())["closed_at"] is None
    await hotline.in_vain(hotline.order, day + 20)
    await hotline.looks(day + 21)
    assert (await hotline.promise())["closed_at"] is not None


async def test_a_hidden_number_is_given_up_in_the_end(hotline: Hotline) -> None:
    day = RULES.give_up.total_seconds()
    await hotline.misses("anonymous")
    await hotline.looks(TEN, day + 1)
    assert (await hotline.promise())["closed_at"] == at(day + 1)


# -- one attempt at a time


async def test_the_calls_row_and_the_attempt_are_written_before_any_phone_is_rung(hotline: Hotline) -> None:
    seen: list[Row] = []

    async def look_into_the_ledger(order: Order) -> None:
        found = await hotline.ledger.pool.fetchrow(
            "SELECT direction::text, caller, dialled, queue, ended_at, attempt, controller, lease_until"
            " FROM calls JOIN attempts ON call_id = id WHERE id = $1",
            order.call,
        )
        seen.append(dict(found or {}))

    hotline.desk.watch = look_into_the_ledger
    await hotline.misses()
    await hotline.looks(31)
    assert seen == [
        {
            "direction": "callback", "caller": MARIA, "dialled": "+74951230001", "queue": "dispatch",
            "ended_at": None, "attempt": 1, "controller": "dozvon:1", "lease_until": at(31) + LEASE,
        }
    ]  # fmt: skip


async def test_an_order_says_whom_to_ring_and_how(hotline: Hotline) -> None:
    await hotline.misses(story=EMERGENCY)
    await hotline.looks(31)
    (order,) = hotline.desk.placed
    assert (order.phone, order.line, order.queue) == (MARIA, "+74951230001", "dispatch")
    assert (order.priority, order.category, order.place_by) == (20, "emergency", at(31) + PLACED_WITHIN)
    assert order.title == MARIA


@asynccontextmanager
async def _controllers(
    hotline: Hotline, url: str, folder: Path, number: int, one_asterisk: bool = True
) -> AsyncIterator[list[Chaser]]:
    """So many more controllers of the ledger, each with its own connections and its own desk."""
    ledgers = [Ledger(url, folder / f"{n}.jsonl") for n in range(number)]
    for ledger in ledgers:
        await ledger.__aenter__()
    try:
        yield [
            hotline.controller(FakeDesk("dozvon" if one_asterisk else f"dozvon{n}"), ledger=ledger)
            for n, ledger in enumerate(ledgers)
        ]
    finally:
        for ledger in ledgers:
            await ledger.__aexit__(None, None, None)


def _placed(chasers: list[Chaser]) -> list[Order]:
    return [order for chaser in chasers for order in chaser.desk.placed]  # type: ignore[attr-defined]


@pytest.mark.parametrize("one_asterisk", [True, False])
async def test_of_two_controllers_exactly_one_rings_her(
    hotline: Hotline, url: str, tmp_path: Path, one_asterisk: bool
) -> None:
    async with _controllers(hotline, url, tmp_path, 2, one_asterisk) as both:
        for number in range(20):
            await hotline.misses(f"+7916000{number:04}")
        for chaser in both:
            chaser.desk.otherwise = Queue(dispatchers=20)  # type: ignore[attr-defined]
        await asyncio.gather(*(look(chaser, at(31)) for chaser in both))
        assert Counter(order.phone for order in _placed(both)) == {f"+7916000{n:04}": 1 for n in range(20)}


async def test_of_twenty_connections_at_once_exactly_one_claims(
    hotline: Hotline, url: str, database: asyncpg.Pool[Any]
) -> None:
    await hotline.misses()
    await hotline.ledger.pool.execute("SELECT 1")
    connections = [await asyncpg.connect(url) for _ in range(20)]
    statement = hotline.ledger._statements.find("promises.claim")
    try:
        for attempt in range(1, 11):
            claims = await asyncio.gather(
                *(
                    statement(
                        connection,
                        promise=1,
                        call=f"asterisk{n}-callback-1-{attempt}",
                        attempt=attempt,
                        controller=f"controller {n}",
                        talk=RULES.talk,
                        queue="dispatch",
                        now=at(31),
                        lease_until=at(91),
                    )
                    for n, connection in enumerate(connections)
                )
            )
            (claimed,) = [row["call_id"] for row in claims if row is not None]
            await database.execute(
                "UPDATE calls SET ended_at = arrived_at, outcome = 'busy' WHERE id = $1", claimed
            )
            await database.execute("UPDATE promises SET next_attempt_at = missed_at")
    finally:
        for connection in connections:
            await connection.close()
    assert await database.fetchval("SELECT count(*) FROM calls WHERE direction = 'callback'") == 10
    assert await database.fetchval("SELECT count(*) FROM attempts") == 10


async def test_a_controller_that_slept_over_anothers_attempt_does_not_fail_over_it(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    """It read what is owed, then another Asterisk's controller tried the same in vain; now its claim is stale."""
    await hotline.misses()
    await hotline.looks(31)
    await hotline.not_rung(hotline.order, 32)
    await hotline.chaser.rest(at(40))
    stale = {"call": "other-callback-1-1", "attempt": 1, "controller": "other:1", "queue": "dispatch"}
    claimed = await hotline.ledger.one(
        "promises.claim", promise=1, now=at(40), lease_until=at(100), talk=RULES.talk, **stale
    )
    assert claimed is None
    assert await database.fetchval("SELECT count(*) FROM calls WHERE direction = 'callback'") == 1


async def _two_promises_of_maria(hotline: Hotline) -> None:
    """An old broken one that is still chased, and a new open one."""
    hotline.desk.otherwise = Queue(0)
    await hotline.misses()
    await hotline.looks(TEN)
    await hotline.misses(second=TEN + 10)
    hotline.desk.otherwise = Queue(5)


async def test_two_promises_of_a_number_are_one_attempt(hotline: Hotline) -> None:
    await _two_promises_of_maria(hotline)
    await hotline.looks(TEN + 41, TEN + 42)
    assert [order.promise for order in hotline.desk.placed] == [2], "the fresh one first"


async def test_the_database_itself_refuses_a_second_attempt_to_a_number(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    """Two controllers claim at the same moment, each for another promise of hers: the index lets one through."""
    await _two_promises_of_maria(hotline)
    connections = [await database.acquire() for _ in range(2)]
    statement = hotline.ledger._statements.find("promises.claim")
    first, second = [connection.transaction() for connection in connections]
    await first.start()
    await second.start()
    try:
        given = {
            "attempt": 1,
            "controller": "x",
            "queue": "q",
            "now": at(700),
            "talk": RULES.talk,
            "lease_until": at(760),
        }
        won = await statement(connections[0], promise=1, call="a-callback-1-1", **given)
        other = asyncio.create_task(statement(connections[1], promise=2, call="b-callback-2-1", **given))
        await _waits_for_a_lock(hotline)
        await first.commit()
        assert won is not None and await other is None
        await second.commit()
    finally:
        for connection in connections:
            await database.release(connection)
    going = await database.fetchval(
        "SELECT count(*) FROM calls WHERE direction = 'callback' AND ended_at IS NULL"
    )
    assert going == 1


async def _waits_for_a_lock(hotline: Hotline) -> None:
    async with asyncio.timeout(5):
        while not await hotline.ledger.pool.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


async def test_nobody_is_rung_while_she_is_on_a_call_with_us_herself(hotline: Hotline) -> None:
    await hotline.misses()
    waiting = tell(hotline.board, (1.0, Kind.QUEUED, {"queue": "dispatch"}), at=at(31))
    await hotline.ledger.settled()
    await hotline.looks(35, 60)
    assert not hotline.desk.placed
    hotline.board.take(Fact(waiting.id, at(70), Kind.ENDED, "the end"))
    await hotline.ledger.settled()
    await hotline.looks(71)
    assert len(hotline.desk.placed) == 1


async def test_who_calls_between_the_look_and_the_claim_is_not_rung(hotline: Hotline) -> None:
    await hotline.misses()
    owed = await hotline.ledger.all(
        "promises.owed", now=at(31), talk=RULES.talk, asterisk="dozvon", default_queue="dispatch", most=500
    )
    await hotline.calls_herself(31, None)
    await hotline.chaser._try(owed[0], FIRST_OF_ALL, at(31))
    assert not hotline.desk.placed


async def test_a_promise_kept_between_the_look_and_the_claim_is_not_tried(hotline: Hotline) -> None:
    await hotline.misses()
    owed = await hotline.ledger.all(
        "promises.owed", now=at(31), talk=RULES.talk, asterisk="dozvon", default_queue="dispatch", most=500
    )
    await hotline.calls_herself(32, 60)
    await hotline.chaser.settle(at(61))
    await hotline.chaser._try(owed[0], FIRST_OF_ALL, at(61))
    assert not hotline.desk.placed


# -- who dies


async def test_a_claim_whose_controller_died_is_ended_by_the_next_one_of_its_asterisk(
    hotline: Hotline,
) -> None:
    """It died after the claim: no phone was ever rung."""

    async def dies(_: Order) -> None:
        raise asyncio.CancelledError

    hotline.desk.watch = dies
    await hotline.misses()
    with pytest.raises(asyncio.CancelledError):
        await hotline.looks(31)
    hotline.desk.watch = None
    later = 31 + 2 * PLACED_WITHIN.total_seconds()
    await hotline.chaser.look_after(set(), at(later))
    await hotline.looks(later, later + 1 + PAUSE)
    assert not hotline.desk.placed, "it may still be carried out"
    later += 1 + PAUSE
    await hotline.chaser.look_after(set(), at(later + 1))
    await hotline.looks(later + 1, later + 1 + PAUSE)
    assert [order.call for order in hotline.desk.placed] == ["dozvon-callback-1-2"]
    assert [what for what, _ in await hotline.history()] == ["opened", "trying", "tried", "trying"]


async def test_a_claim_of_an_asterisk_that_is_gone_is_taken_over_when_its_lease_has_lapsed(
    hotline: Hotline,
) -> None:
    other = hotline.controller(FakeDesk("elsewhere"))
    await hotline.misses()
    await look(other, at(31))
    over = 31 + (LEASE + LAPSED).total_seconds()
    for second in (LEASE.total_seconds() + 32, over - PAUSE, over):
        await hotline.chaser.look_after(set(), at(second))
        await hotline.looks(second)
    assert not hotline.desk.placed
    await hotline.looks(over + 1, over + 1 + PAUSE)
    assert [order.call for order in hotline.desk.placed] == ["dozvon-callback-1-2"]


async def test_an_attempt_that_is_seen_going_on_is_left_alone_for_as_long_as_it_takes(
    hotline: Hotline,
) -> None:
    await hotline.misses()
    await hotline.looks(31)
    for second in range(36, 3600, 30):
        await hotline.chaser.look_after({hotline.order.call}, at(second))
        await hotline.looks(second)
    assert len(hotline.desk.placed) == 1
    row = await hotline.ledger.one("calls.show", id=hotline.order.call)
    assert row and row["ended_at"] is None


async def test_an_attempt_that_was_heard_of_ends_by_its_own_end_not_by_a_look(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.looks(31)
    hotline.back(hotline.order, 32, Kind.QUEUED, queue="dispatch")
    await hotline.ledger.settled()
    await hotline.chaser.look_after(set(), at(120))
    row = await hotline.ledger.one("calls.show", id=hotline.order.call)
    assert row and row["ended_at"] is None


async def test_an_order_asterisk_refuses_is_ended_and_comes_again_after_the_pause(hotline: Hotline) -> None:
    hotline.desk.refuses = PeerError("no such context")
    await hotline.misses()
    await hotline.looks(31)
    row = await hotline.ledger.one("calls.show", id="dozvon-callback-1-1")
    assert row and row["outcome"] == "taken_back"
    hotline.desk.refuses = None
    assert await hotline.tried_at(31) == 31 + PAUSE


async def test_an_order_nobody_knows_the_fate_of_is_not_given_twice(hotline: Hotline) -> None:
    hotline.desk.refuses = Disconnected("no answer within 5 s")
    await hotline.misses()
    await hotline.looks(31)
    hotline.desk.refuses = None
    await hotline.looks(40, 50)
    await hotline.chaser.look_after({"dozvon-callback-1-1"}, at(52))
    await hotline.looks(60)
    assert not hotline.desk.placed, "it had been carried out"


async def test_marks_go_on_while_asterisk_cannot_be_asked(hotline: Hotline) -> None:
    hotline.desk.fails = Disconnected("QueueStatus: no AMI link")
    await hotline.misses()
    await hotline.looks(FIVE, TEN)
    assert await hotline.history() == [("opened", 0), ("unanswered", FIVE), ("broken", TEN)]


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_stand_in_whose_promise_was_withdrawn_is_taken_back_unless_a_dispatcher_has_it(
    hotline: Hotline, database: asyncpg.Pool[Any], accepted: bool
) -> None:
    await hotline.misses()
    await hotline.looks(31)
    hotline.back(hotline.order, 32, Kind.ACCEPTED if accepted else Kind.RANG, ANNA)
    await hotline.ledger.settled()
    await hotline.looks(33)
    assert not hotline.desk.taken_back
    await database.execute(
        "UPDATE promises SET status = 'withdrawn', closed_at = $1, answer_mark_at = NULL, due_mark_at = NULL",
        at(34),
    )
    await hotline.looks(35)
    assert hotline.desk.taken_back == ([] if accepted else [hotline.order.call])


# -- joining


async def test_the_more_urgent_call_gives_a_joined_promise_its_kind(hotline: Hotline) -> None:
    await hotline.misses(story=ORDINARY)
    await hotline.misses(second=60, story=EMERGENCY)
    await hotline.misses(second=120, story=ORDINARY)
    promise = await hotline.promise()
    assert (promise["category"], promise["priority"], promise["missed"]) == ("emergency", 20, 3)
    assert promise["due_at"] == promise["due_mark_at"] == at(TEN)


async def test_a_call_read_late_gives_its_earlier_due_moment_also_to_the_marks(nobody: Hotline) -> None:
    await nobody.misses(second=60)
    await nobody.misses(second=0)
    promise = await nobody.promise()
    assert (promise["missed_at"], promise["due_at"], promise["due_mark_at"]) == (NOON, at(TEN), at(TEN))
    await nobody.looks(FIVE)
    assert (await nobody.history())[-1] == ("unanswered", FIVE)


async def test_a_call_told_twice_joins_once(hotline: Hotline) -> None:
    for _ in range(2):
        tell(switchboard(hotline.ledger), *ABANDONED, call="dozvon-1.1")
        await hotline.ledger.settled()
    assert (await hotline.promise())["missed"] == 1
    assert [what for what, _ in await hotline.history()] == ["opened"]


async def test_what_another_controller_knows_of_the_call_is_taken_over(hotline: Hotline) -> None:
    """One read the log and knows nothing of the menu; the other heard the conversation."""
    for story in (ABANDONED, EMERGENCY):
        tell(switchboard(hotline.ledger), *story, call="dozvon-1.1")
        await hotline.ledger.settled()
    promise = await hotline.promise()
    assert (promise["missed"], promise["category"], promise["priority"]) == (1, "emergency", 20)


@pytest.mark.parametrize("pattern", [MARIA, "+7916*"])
async def test_a_blocked_number_is_owed_nothing(hotline: Hotline, pattern: str) -> None:
    await hotline.ledger.pool.execute(
        "INSERT INTO blocked_numbers (pattern, reason, author, since) VALUES ($1, 'spam', 'Anna', $2)",
        pattern,
        at(-60),
    )
    await hotline.misses()
    await hotline.misses("+79031234567")
    await hotline.misses("anonymous")
    assert [p["phone"] for p in await hotline.promises()] == ["+79031234567", None]


async def test_a_number_blocked_later_or_no_more_is_owed_its_call(hotline: Hotline) -> None:
    rows = [("+79161234567", at(60), None, None), ("+79161234568", at(-90), at(-60), "Anna")]
    for row in rows:
        await hotline.ledger.pool.execute(
            "INSERT INTO blocked_numbers (pattern, reason, author, since, lifted_at, lifted_by)"
            " VALUES ($1, 'spam', 'Anna', $2, $3, $4)",
            *row,
        )
    await hotline.misses(MARIA)
    await hotline.misses(IVAN)
    assert len(await hotline.promises()) == 2


async def test_hidden_numbers_are_a_promise_each(hotline: Hotline) -> None:
    for second in (0, 60, 120):
        await hotline.misses("anonymous", second)
    assert [p["missed"] for p in await hotline.promises()] == [1, 1, 1]


async def test_a_call_missed_after_the_promise_was_kept_opens_anew(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.calls_herself(40, 60)
    await hotline.looks(61)
    await hotline.misses(second=100)
    await hotline.looks(131)
    assert [p["status"] for p in await hotline.promises()] == ["kept", "open"]
    assert [order.promise for order in hotline.desk.placed] == [2]


async def test_a_call_missed_after_the_promise_was_withdrawn_opens_anew(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.ledger.pool.execute(
        "UPDATE promises SET status = 'withdrawn', closed_at = $1, next_attempt_at = NULL, answer_mark_at = NULL,"
        " due_mark_at = NULL",
        at(40),
    )
    await hotline.misses(second=100)
    assert [p["status"] for p in await hotline.promises()] == ["withdrawn", "open"]


async def test_one_talk_settles_the_broken_promise_and_the_fresh_one(hotline: Hotline) -> None:
    await _two_promises_of_maria(hotline)
    await hotline.looks(TEN + 41)
    await hotline.talk(hotline.order, TEN + 50, TEN + 90)
    await hotline.looks(TEN + 91)
    made = await hotline.promises()
    assert [(p["status"], p["reached_at"]) for p in made] == [
        ("broken", at(TEN + 50)),
        ("kept", at(TEN + 50)),
    ]
    assert all(p["closed_at"] for p in made)
    await hotline.looks(TEN + 120, 3600)
    assert len(hotline.desk.placed) == 1


# -- whose turn it is


async def test_emergencies_are_tried_first_then_whoever_called_first(hotline: Hotline) -> None:
    hotline.desk.otherwise = Queue(dispatchers=2)
    await hotline.misses("+79160000001", 0, ORDINARY)
    await hotline.misses("+79160000002", 10, ORDINARY)
    await hotline.misses("+79160000003", 20, EMERGENCY)
    await hotline.looks(60)
    assert [order.phone for order in hotline.desk.placed] == ["+79160000003", "+79160000001"]


async def test_a_company_without_dispatchers_does_not_starve_the_others(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    """A night of two thousand missed calls in one queue, one in another."""
    await database.execute("INSERT INTO companies (code, name, queue) VALUES ('north', 'Север', 'north')")
    await _many(database, 2000, queue="north")
    await hotline.misses(second=60)
    hotline.desk.queues["north"] = Queue(dispatchers=0)
    await hotline.looks(100)
    assert [order.phone for order in hotline.desk.placed] == [MARIA]


# -- the clock is set


async def test_marks_fire_at_their_physical_moment_when_the_clock_is_set(nobody: Hotline) -> None:
    for hour in (3600.0, -3600.0):
        await nobody.ledger.pool.execute("TRUNCATE clocks")
        number = "+79160000001" if hour > 0 else "+79160000002"
        begins = 0.0 if hour > 0 else 20_000.0
        await nobody.misses(number, begins)
        await nobody.chaser.mind_clock("machine", 0.0)
        await nobody.looks(begins + 100)
        await nobody.chaser.mind_clock("machine", hour)  # after 100 s
        shown = begins + hour
        await nobody.looks(shown + FIVE - 1)
        (promise,) = [p for p in await nobody.promises() if p["phone"] == number]
        assert await nobody.history(promise["id"]) == [("opened", begins)]
        await nobody.looks(shown + FIVE, shown + TEN - 1)
        assert await nobody.history(promise["id"]) == [("opened", begins), ("unanswered", shown + FIVE)]
        await nobody.looks(shown + TEN)
        assert (await nobody.history(promise["id"]))[-1] == ("broken", shown + TEN)
        (promise,) = [p for p in await nobody.promises() if p["phone"] == number]
        assert promise["due_at"] == at(begins + TEN), "what the law is told never moves"


@pytest.mark.parametrize(
    ("how", "step"), [("called back", 3600.0), ("called back", -3600.0), ("her own call", 3600.0)]
)
async def test_a_talk_in_time_keeps_the_promise_though_the_clock_was_set_meanwhile(
    hotline: Hotline, how: str, step: float
) -> None:
    hotline.desk.otherwise = Queue(0)
    await hotline.misses()
    await hotline.chaser.mind_clock("machine", 0.0)
    await hotline.looks(100)
    await hotline.chaser.mind_clock("machine", step)
    hotline.desk.otherwise = Queue(1)
    await hotline.looks(step + 101)
    if how == "called back":
        await hotline.talk(hotline.order, step + 120, step + 160)
    else:
        await hotline.in_vain(hotline.order, step + 110)
        await hotline.calls_herself(step + 120, step + 160)
    await hotline.looks(step + 161)
    assert await hotline.status() == ("kept", at(step + 120))


async def test_a_talk_too_late_keeps_nothing_though_the_clock_was_set_back(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.chaser.mind_clock("machine", 0.0)
    await hotline.looks(31)
    await hotline.in_vain(hotline.order, 60)
    await hotline.looks(61)
    await hotline.chaser.mind_clock("machine", -3600.0)
    back = await hotline.tried_at(TEN + 1 - 3600, limit=0)
    await hotline.talk(hotline.order, back + 20, back + 60)
    await hotline.looks(back + 61)
    assert await hotline.status() == ("broken", at(back + 20))


async def test_a_talk_that_may_have_been_before_the_missed_call_keeps_nothing(hotline: Hotline) -> None:
    """After the clock was set back nobody can tell her new talk from one before: better rung once too often."""
    hotline.desk.otherwise = Queue(0)
    await hotline.calls_herself(-1800, -1700)
    await hotline.misses()
    await hotline.chaser.mind_clock("machine", 0.0)
    await hotline.chaser.mind_clock("machine", -3600.0)
    await hotline.looks(-3500)
    assert await hotline.status() == ("open", None)


async def test_a_clock_set_forward_ends_no_attempt_that_goes_on(hotline: Hotline) -> None:
    await hotline.misses()
    await hotline.chaser.mind_clock("machine", 0.0)
    await hotline.looks(31)
    hotline.back(hotline.order, 32, Kind.QUEUED, queue="dispatch")
    await hotline.ledger.settled()
    await hotline.chaser.mind_clock("machine", 3600.0)
    await hotline.looks(3600 + 33)
    row = await hotline.ledger.one("calls.show", id=hotline.order.call)
    assert row and row["ended_at"] is None
    assert len(hotline.desk.placed) == 1


async def test_a_step_of_the_clock_is_told_once_for_the_controllers_of_one_machine(
    hotline: Hotline, url: str, tmp_path: Path
) -> None:
    await hotline.misses()
    async with _controllers(hotline, url, tmp_path, 2) as both:
        await asyncio.gather(*(chaser.mind_clock("machine", 0.0) for chaser in both))
        for n in range(1, 11):
            await asyncio.gather(*(chaser.mind_clock("machine", 3600.0 * n) for chaser in both))
            promise = await hotline.promise()
            assert promise["due_mark_at"] == at(TEN + 3600 * n)


async def test_a_clock_that_only_drifts_moves_nothing(hotline: Hotline) -> None:
    await hotline.misses()
    for ahead in (0.0, 0.5, -0.4, 0.9):
        await hotline.chaser.mind_clock("machine", ahead)
    assert (await hotline.promise())["due_mark_at"] == at(TEN)


async def test_another_machines_clock_is_none_of_ours(hotline: Hotline) -> None:
    await hotline.misses()
    other = hotline.controller(FakeDesk("elsewhere"))
    for ahead in (0.0, 3600.0):
        await other.mind_clock("another machine", ahead)
    assert (await hotline.promise())["due_mark_at"] == at(TEN)


@pytest.mark.parametrize("zone", ["Europe/Kaliningrad", "Asia/Kamchatka", "Europe/Berlin"])
async def test_the_zone_of_the_database_and_its_summer_time_do_nothing(
    nobody: Hotline, zone: str, database: asyncpg.Pool[Any]
) -> None:
    """Berlin puts its clocks back on 25 October 2026 at 01:00 UTC."""
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    await nobody.ledger.pool.expire_connections()
    night = (datetime.fromisoformat("2026-10-25T00:55:00+00:00") - NOON).total_seconds()
    await nobody.misses(second=night)
    await nobody.looks(night + TEN - 1)
    assert await nobody.ledger.pool.fetchval("SHOW timezone") == zone
    await nobody.looks(night + TEN)
    assert [what for what, _ in await nobody.history()] == ["opened", "unanswered", "broken"]
    assert (await nobody.promise())["due_at"] == at(night + TEN)


# -- who listens


@pytest.fixture
async def told(url: str) -> AsyncIterator[Callable[[], Any]]:
    """How many times `promises` was notified since it was last asked."""
    async with notified(url, "promises") as asked:
        yield asked


async def test_whoever_listens_hears_of_every_change_and_of_nothing_else(
    hotline: Hotline, told: Callable[[], Any]
) -> None:
    hotline.desk.otherwise = Queue(0)
    await hotline.misses()
    assert await told() > 0, "opened"
    await hotline.looks(31, 60, FIVE - 1)
    assert await told() == 0, "nothing was due"
    await hotline.looks(FIVE)
    assert await told() > 0, "unanswered"
    await hotline.looks(FIVE + 1, TEN - 1)
    assert await told() == 0
    await hotline.looks(TEN)
    assert await told() > 0, "broken"
    hotline.desk.otherwise = Queue(1)
    await hotline.looks(TEN + 1)
    assert await told() > 0, "trying"
    await hotline.looks(TEN + 2, TEN + 3)
    await hotline.chaser.look_after({hotline.order.call}, at(TEN + 4))
    await hotline.chaser.mind_clock("machine", 0.0)
    assert await told() == 0
    await hotline.in_vain(hotline.order, TEN + 20)
    await hotline.looks(TEN + 21)
    assert await told() > 0, "tried"
    await hotline.calls_herself(TEN + 30, TEN + 60)
    assert await told() == 0
    await hotline.looks(TEN + 61)
    assert await told() > 0, "reached"
    await hotline.looks(TEN + 62, 3600)
    assert await told() == 0


# -- ten thousand


async def _many(
    database: asyncpg.Pool[Any], number: int, queue: str = "dispatch", over: float = 60.0
) -> None:
    """So many promises of as many numbers, missed one after another within `over` seconds from noon on."""
    await database.execute(
        """
        WITH missed AS (
            SELECT n, $1::timestamptz + make_interval(secs => $3::float8 * n / $2::integer) AS moment
            FROM generate_series(0, $2::integer - 1) AS n
        ), call AS (
            INSERT INTO calls (id, caller, dialled, queue, arrived_at, ended_at, outcome)
            SELECT 'dozvon-' || $4 || '.' || n, '+7917' || lpad(n::text, 7, '0'), '+74951230001', $4, moment,
                   moment + interval '30 s', 'abandoned_in_queue'
            FROM missed
        ), promise AS (
            INSERT INTO promises (phone, line, queue, reason, clause, missed_at, answer_mark_at, due_at, due_mark_at,
                                  next_attempt_at)
            SELECT '+7917' || lpad(n::text, 7, '0'), '+74951230001', $4, 'abandoned_in_queue', 'p. 13', moment,
                   moment + interval '5 min', moment + interval '10 min', moment + interval '10 min', moment
            FROM missed RETURNING id, phone
        )
        INSERT INTO promise_calls (call_id, promise_id)
        SELECT 'dozvon-' || $4 || '.' || substr(phone, 6)::integer, id FROM promise
        """,
        NOON,
        number,
        over,
        queue,
    )


async def _floor(database: asyncpg.Pool[Any]) -> float:
    """Seconds of the plainest statement that reads every promise: what this machine can do now."""
    began = time.perf_counter()
    for _ in range(3):
        await database.fetchval("SELECT count(*) FROM promises WHERE md5(phone || due_at) <> ''")
    return (time.perf_counter() - began) / 3


@pytest.mark.parametrize(("dispatchers", "marks"), [(0, [FIVE, TEN]), (3, [FIVE])])
async def test_with_ten_thousand_open_promises_every_mark_fires_within_a_second_of_its_moment(
    hotline: Hotline, database: asyncpg.Pool[Any], dispatchers: int, marks: list[float]
) -> None:
    hotline.desk.otherwise = Queue(dispatchers)
    await _many(database, 10_000)
    floor, took = await _floor(database), []
    for mark in marks:
        second = mark
        while second <= mark + 60.5:
            began = time.perf_counter()
            await hotline.looks(second)
            took.append(time.perf_counter() - began)
            second += 0.5
    late = await database.fetchrow(
        """
        SELECT count(*) AS marks, max(h.at - moment) AS most, min(h.at - moment) AS least
        FROM promise_history h JOIN promises p ON p.id = h.promise_id
        CROSS JOIN LATERAL (
            SELECT p.missed_at + CASE what WHEN 'broken' THEN interval '10 min' ELSE interval '5 min' END AS moment
        ) due
        WHERE what IN ('unanswered', 'broken')
        """
    )
    assert late is not None
    print(
        f"10,000 promises, {dispatchers} dispatchers: {len(took)} looks, {1000 * sum(took) / len(took):.0f} ms each, "
        f"{1000 * max(took):.0f} ms at most; marks at most {late['most'].total_seconds():.2f} s late; "
        f"reading them all once takes {1000 * floor:.0f} ms"
    )
    assert late["marks"] == 10_000 * len(marks)
    assert timedelta() <= late["least"] <= late["most"] < timedelta(seconds=1)
    assert sum(took) / len(took) < max(0.5, 30 * floor)


async def test_ten_thousand_marks_at_the_very_same_moment_fire_in_one_look(
    nobody: Hotline, database: asyncpg.Pool[Any]
) -> None:
    await _many(database, 10_000, over=0.0)
    floor, took = await _floor(database), []
    for mark in (FIVE, TEN):
        began = time.perf_counter()
        await nobody.looks(mark)
        took.append(time.perf_counter() - began)
    marks = await database.fetchval(
        "SELECT count(*) FROM promise_history WHERE what IN ('unanswered', 'broken')"
    )
    print(
        f"10,000 at once: five minutes {1000 * took[0]:.0f} ms, ten minutes {1000 * took[1]:.0f} ms; "
        f"reading them all once takes {1000 * floor:.0f} ms"
    )
    assert marks == 20_000
    assert max(took) < max(2.0, 100 * floor)


# -- whatever happens


def _rules(**changed: Any) -> Chase:
    given = {name: getattr(RULES, name) for name in Chase.__slots__}
    return Chase(**{**given, **changed})


async def test_whatever_happens_no_promise_is_stuck_and_nobody_is_rung_twice_at_once(
    hotline: Hotline, dice: Random, database: asyncpg.Pool[Any]
) -> None:
    """Six residents, two controllers of one Asterisk that die and come back, half an hour of anything."""
    numbers = [f"+7916000000{n}" for n in range(6)]
    hotline.desk.otherwise = Queue(3)
    going: dict[str, Order] = {}
    seen = 0
    for second in range(0, 1800, 7):
        for _ in range(dice.randrange(3)):
            who = dice.choice(numbers)
            busy = {order.phone for order in going.values()}
            match dice.choice(["misses", "calls", "end", "end", "refuse", "disconnect", "well", "staff"]):
                case "misses":
                    await hotline.misses(who, second, dice.choice([ABANDONED, EMERGENCY, ORDINARY]))
                case "calls" if who not in busy and dice.random() < 0.2:
                    await hotline.calls_herself(second, second + dice.choice([2.0, 40.0]), who)
                case "end" if going:
                    order = going.pop(dice.choice(list(going)))
                    await _ends_somehow(hotline, order, second, dice)
                case "refuse":
                    hotline.desk.refuses = PeerError("no")
                case "disconnect":
                    hotline.desk.refuses = Disconnected("gone")
                case "well":
                    hotline.desk.refuses = None
                case "staff":
                    hotline.desk.otherwise = Queue(dice.randrange(4))
        if dice.random() < 0.5:
            hotline.chaser = hotline.controller(hotline.desk)
        await hotline.looks(second)
        await hotline.chaser.look_after(set(going), at(second))
        for order in hotline.desk.placed[seen:]:
            going[order.call] = order
        seen = len(hotline.desk.placed)
        doubled = await database.fetch(
            "SELECT caller FROM calls WHERE direction = 'callback' AND ended_at IS NULL"
            " GROUP BY caller HAVING count(*) > 1"
        )
        assert not doubled
        assert not await _stuck(database)
    hotline.desk.refuses, hotline.desk.otherwise = None, Queue(6)
    for order in going.values():
        await hotline.talk(order, 1800, 1860)
    done = len(hotline.desk.placed)
    for second in range(1861, 20_000, 60):
        await hotline.looks(second)
        await hotline.chaser.look_after(set(), at(second))
        for order in hotline.desk.placed[done:]:
            await hotline.talk(order, second + 1, second + 30)
        done = len(hotline.desk.placed)
        if all(p["closed_at"] for p in await hotline.promises()):
            break
    made = await hotline.promises()
    assert made and all(p["closed_at"] and p["reached_at"] for p in made)
    for promise in made:
        _is_a_whole_story([what for what, _ in await hotline.history(promise["id"])], promise["status"])


async def _ends_somehow(hotline: Hotline, order: Order, second: float, dice: Random) -> None:
    match dice.choice(["talk", "short", "machine", "vain", "gone", "nobody"]):
        case "talk":
            await hotline.talk(order, second - 6, second)
        case "short":
            await hotline.talk(order, second - 2, second)
        case "machine":
            await hotline.talk(order, second - 4, second, machine=True)
        case "vain":
            await hotline.in_vain(order, second, dice.choice(["BUSY", "NOANSWER", "CONGESTION"]))
        case "gone":
            await hotline.not_rung(order, second, accepted=True)
        case _:
            await hotline.not_rung(order, second)


async def _stuck(database: asyncpg.Pool[Any]) -> list[Any]:
    """Living promises that nothing will ever wake: no next try, none going on, none that has yet to be rested."""
    return await database.fetch(
        """
        SELECT id FROM promises p
        WHERE closed_at IS NULL AND phone IS NOT NULL AND next_attempt_at IS NULL
          AND NOT EXISTS (SELECT FROM attempts WHERE promise_id = p.id)
        """
    )


def _is_a_whole_story(history: list[str], status: str) -> None:
    """Opened first, reached last; every try has its end but one that a talk overtook."""
    assert history[0] == "opened" and history.count("opened") == 1, history
    assert history[-1] == ("kept" if status == "kept" else "reached_late"), history
    assert history.count("unanswered") <= 1 and history.count("broken") <= 1, history
    trying = False
    for what in history:
        if what == "trying":
            assert not trying, history
            trying = True
        if what == "tried":
            assert trying, history
            trying = False


async def test_every_call_back_is_a_call_and_owes_nothing_itself(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    await hotline.misses()
    await hotline.looks(31)
    await hotline.in_vain(hotline.order, 60, "BUSY")
    row = await hotline.ledger.one("calls.show", id=hotline.order.call)
    assert row and (row["direction"], row["outcome"], row["caller"]) == ("callback", Outcome.BUSY, MARIA)
    assert await database.fetchval("SELECT count(*) FROM promise_calls") == 1


async def test_a_queue_that_is_no_more_passes_its_promises_on(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    await hotline.misses()
    await database.execute("UPDATE promises SET queue = 'renamed since'")
    await hotline.looks(31)
    assert [order.queue for order in hotline.desk.placed] == ["dispatch"]


async def test_a_call_back_that_only_the_exchanges_log_remembers_blocks_no_new_one(
    hotline: Hotline, database: asyncpg.Pool[Any]
) -> None:
    """The ledger was made anew, Asterisk's log was not: the number of a promise comes a second time."""
    await hotline.misses()
    await database.execute(
        """INSERT INTO calls (id, direction, caller, arrived_at, ended_at, outcome)
           VALUES ('dozvon-callback-1-3', 'callback', $1, $2, $2, 'talked')""",
        MARIA,
        at(-9000),
    )
    await hotline.looks(31)
    assert [order.call for order in hotline.desk.placed] == ["dozvon-callback-1-4"]
