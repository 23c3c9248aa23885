"""The chase: every promise is tried until it is kept, and what the law's moments ask for happens in time.

The truth is in Postgres. `watch` and `chase` are called again and again, by any number of controllers, and do what
is due; nothing is lost when one of them dies between two lines of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

from callback import turns
from callback.rules import Chase
from directory.phones import masked
from ivr.errors import Disconnected, PeerError
from ivr.store import Row, Store
from tickets.limits import Limits

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""An attempt nobody has seen for so long…"""
LAPSED = timedelta(minutes=5)
"""…and then so long again is over: longer than a call back may wait in the queue and ring."""
PLACED_WITHIN = timedelta(seconds=10)
"""An order Asterisk carries out later than this is void."""
LOOKED_BACK = timedelta(seconds=30)
MOST = 10_000
LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Order:
    """Ring a dispatcher of this queue, then the resident."""

    call: str
    promise: int
    phone: str
    """E.164."""
    line: str | None
    """The company's number that the resident sees."""
    queue: str
    priority: int
    category: str | None
    position: int | None
    place_by: datetime
    title: str
    """What the dispatcher's phone shows beside the number."""


class Desk(Protocol):
    """The dispatchers' queues of one Asterisk (`ivr.asterisk.desk`)."""

    @property
    def name(self) -> str:
        """Which Asterisk."""

    def is_on_the_line(self, phone: str) -> bool:
        """Is that number on a call with us this very moment? The ledger hears of it a little later."""

    async def queue(self, name: str) -> turns.Queue:
        """Raises PeerError."""

    async def place(self, order: Order) -> None:
        """Put the resident's stand-in into the queue. Raises PeerError when Asterisk refuses."""

    async def take_back(self, call: str) -> None:
        """Take it out again, if no dispatcher has accepted it yet."""


Title = Callable[[Row, datetime], str]
"""What a dispatcher's phone shows of a promise at that moment."""


@dataclass(slots=True)
class Chaser:
    """What one controller does for the promises."""

    store: Store
    desk: Desk
    rules: Chase
    limits: Limits
    title: Title
    controller: str
    default_queue: str
    on_broken: Callable[[Sequence[Row]], None] = lambda rows: None
    _all_talks_at: datetime | None = None

    async def watch(self, now: datetime) -> None:
        """What the ledger alone tells: who is reached, and the law's moments. Raises LedgerAway."""
        await self.settle(now)
        await self.mark(now)

    async def chase(self, now: datetime) -> None:
        """What is to be done about the others; an Asterisk that is slow to answer keeps no mark waiting."""
        await self.rest(now)
        await self.take_back(now)
        await self.try_owed(now)

    async def settle(self, now: datetime) -> None:
        """Promises whose two have talked are kept. All talks are looked at now and then, the last ones always."""
        last = self._all_talks_at
        all_of_them = last is None or not timedelta() <= now - last <= LOOKED_BACK
        since = now - (self.rules.give_up if all_of_them else LOOKED_BACK)
        reached = await self.store.all(
            "promises.reach", now=now, since=since, talk=self.rules.talk, late="late"
        )
        if all_of_them:
            self._all_talks_at = now
        for row in reached:
            log.info("a promise is reached", extra={"promise": row["id"], "status": row["status"]})

    async def mark(self, now: datetime) -> None:
        """The law's five and ten minutes."""
        await self.store.all("promises.mark_unanswered", now=now, talk=self.rules.talk, most=MOST)
        await self.store.all(
            "promises.mark_overdue_calls",
            now=now,
            within=self.limits.answer.within,
            clause=self.limits.answer.clause,
        )
        broken = await self.store.all(
            "promises.break", now=now, talk=self.rules.talk, untried="untried", trying="trying", most=MOST
        )
        for row in broken:
            log.error(
                "a promise is broken",
                extra={"promise": row["id"], "phone": masked(row["phone"]), "why": row["why"]},
            )
        if broken:
            self.on_broken(broken)

    async def rest(self, now: datetime) -> None:
        """Sweep what is in between: attempts that ended, or that nobody sees any more, and the very old."""
        await self.store.all("promises.lapsed", now=now, before=now - LAPSED)
        await self.store.all("promises.rest", ladder=list(self.rules.ladder), pause=self.rules.pause)
        await self.store.all("promises.give_up", now=now, before=now - self.rules.give_up)

    async def take_back(self, now: datetime) -> None:
        """Nobody is rung for a promise that a person has closed or postponed."""
        for row in await self.store.all("promises.unwanted", asterisk=self.desk.name, now=now):
            with contextlib.suppress(PeerError):  # it is gone, or a dispatcher was quicker
                await self.desk.take_back(row["call_id"])

    async def try_owed(self, now: datetime) -> None:
        """Put those into the queues whose turn it is."""
        owed = await self.store.all(
            "promises.owed",
            now=now,
            talk=self.rules.talk,
            asterisk=self.desk.name,
            default_queue=self.default_queue,
            most=LOOKED_AT,
        )
        for queue, rows in groupby(sorted(owed, key=_queue), key=_queue):
            await self._try_in(queue, list(rows), now)

    async def _try_in(self, queue: str, rows: list[Row], now: datetime) -> None:
        try:
            state = await self.desk.queue(queue)
        except PeerError as error:
            log.warning("the queue cannot be asked now", extra={"queue": queue, "why": str(error)})
            return
        by_id = {row["id"]: row for row in rows}
        for turn in turns.turns(state, [_owed(row) for row in rows]):
            await self._try(by_id[turn.promise], turn, now)

    async def _try(self, row: Row, turn: turns.Turn, now: datetime) -> None:
        if self.desk.is_on_the_line(row["phone"]):
            return
        attempt = row["attempts"] + 1
        order = Order(
            call=f"{self.desk.name}-callback-{row['id']}-{attempt}",
            promise=row["id"],
            phone=row["phone"],
            line=row["line"],
            queue=row["queue"],
            priority=turn.priority,
            category=row["category"],
            position=turn.position,
            place_by=now + PLACED_WITHIN,
            title=self.title(row, now),
        )
        claimed = await self.store.one(
            "promises.claim",
            promise=order.promise,
            call=order.call,
            attempt=attempt,
            controller=self.controller,
            queue=order.queue,
            now=now,
            talk=self.rules.talk,
            lease_until=now + LEASE,
        )
        if claimed is None:
            return
        log.info("calling back", extra={"promise": order.promise, "call": order.call})
        try:
            await self.desk.place(order)
        except Disconnected as error:
            # The order may have been carried out all the same: `look_after` will see.
            log.warning(
                "nobody knows whether a call back was placed", extra={"call": order.call, "why": str(error)}
            )
        except PeerError as error:
            log.error("Asterisk refuses a call back", extra={"call": order.call, "why": str(error)})
            await self.store.run("promises.not_placed", calls=[order.call], now=now)

    async def look_after(self, alive: Container[str], now: datetime) -> None:
        """Renew the lease of the calls back that go on in our Asterisk; end those that never came to be there."""
        rows = await self.store.all("promises.attempts_on", asterisk=self.desk.name)
        if on := [row["call_id"] for row in rows if row["call_id"] in alive]:
            await self.store.run("promises.renew", calls=on, lease_until=now + LEASE)
        void = [
            row["call_id"]
            for row in rows
            if row["call_id"] not in alive
            and not row["heard_of"]
            and now - row["placed_at"] > 2 * PLACED_WITHIN
        ]
        if void:
            log.warning("calls back that were never placed", extra={"calls": void})
            await self.store.run("promises.not_placed", calls=void, now=now)

    async def mind_clock(self, machine: str, ahead: float) -> None:
        """The wall clock may have been set: what was to happen in three minutes still does.

        `ahead` is by how many seconds the wall clock of the machine is ahead of its steady one. Raises LedgerAway.
        """
        async with self.store.transaction() as one:
            row = await one.one("promises.clock_step", machine=machine, ahead=ahead, least=1.0)
            if row is not None:
                step = timedelta(seconds=row["step"])
                await one.run("promises.shift_marks", step=step, asterisk=self.desk.name)
                log.warning("the machine's clock was set", extra={"by": str(step)})


def _queue(row: Row) -> str:
    return str(row["queue"])


def _owed(row: Row) -> turns.Owed:
    return turns.Owed(row["id"], row["priority"], row["missed_at"], row["status"] == "broken", row["rung"])
