"""The campaign: every closing of a ticket is asked about once, and nobody is rung who must not be.

The truth is in Postgres. `plan`, `settle` and `call_due` are called again and again, by any number of controllers,
and do what is due; nothing is lost, and nobody rung twice, when one of them dies between two lines of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from directory.phones import masked
from ivr.call import Outcome
from ivr.errors import Disconnected, DozvonError, PeerError
from ivr.store import Row, Store
from robocalls.allowed import (
    LOOKED_BACK,
    Again,
    Ended,
    Go,
    Never,
    Standing,
    Wait,
    Why,
    after,
    allowed,
    first_moment,
    not_asked,
)
from robocalls.nouns import Job, Result, Robot, Status
from robocalls.rules import Rules
from tickets.book import FURTHEST_SURVEY

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""A call of the robot nobody has seen for so long…"""
LAPSED = timedelta(minutes=5)
"""…and then so long again is over: longer than the robot ever talks."""
PLACED_WITHIN = timedelta(seconds=20)
"""An order Asterisk carries out later than this is void."""
LATELY = timedelta(seconds=30)
"""What was closed so lately is looked at always; all that may still be asked about, every so often."""
PLANNED_AT_ONCE = 250
LOOKED_AT = 100


@dataclass(slots=True)
class Campaign:
    """What one controller does for the surveys."""

    store: Store
    robot: Robot
    rules: Rules
    controller: str
    zone: ZoneInfo
    """The hotline's own, for residents whose house and company have none."""
    default_queue: str
    held: str | None = None
    """Why the robot rings nobody at this moment: `waiting`, `owed`, `full` or `no_exchange`; None: it does."""
    _all_planned_at: datetime | None = None
    _seen: list[str] = field(default_factory=list)
    """Calls that were going on at the last look after them, whatever the clock has been set to since."""

    async def plan(self, now: datetime) -> list[int]:
        """Plan what was closed, and cancel what was opened again. Raises LedgerAway."""
        last = self._all_planned_at
        all_of_them = last is None or not timedelta() <= now - last <= LATELY
        planned = await plan(self.store, self.rules, self.zone, now, None if all_of_them else now - LATELY)
        if all_of_them:
            await self.store.all("surveys.outdated", why=Why.REOPENED, now=now)
            self._all_planned_at = now
        return planned

    async def settle(self, now: datetime) -> None:
        """What follows from calls that are over: done, rung again later, or given up."""
        lapsed = await self.store.all("surveys.lapsed", now=now, before=now - LAPSED, seen=self._seen)
        for row in lapsed:
            log.warning("a call of the robot was not seen for long", extra={"call": row["id"]})
        for row in await self.store.all("surveys.over"):
            await self._settle(row["id"], now)

    async def _settle(self, survey: int, now: datetime) -> None:
        async with self.store.transaction() as one:
            if await one.one("surveys.hold", survey=survey) is None:
                return
            row = await one.one("surveys.ended", survey=survey)
            (standing,) = await _standing(one, [survey], self.rules, self.zone, now)
            assert row is not None
            follows = after(_ended(row), _of(standing), self.rules, _zone(standing))
            settled: dict[str, Any]
            if isinstance(follows, Again):
                settled = {"status": Status.PLANNED, "result": None, "rating": None, "again_at": follows.at}
            else:
                settled = {
                    "status": follows.status,
                    "result": follows.result,
                    "rating": follows.rating,
                    "again_at": None,
                }
            await one.run("surveys.settle", survey=survey, why=follows.why, now=now, **settled)
        log.info("a call of the robot is over", extra={"survey": survey, "why": follows.why, **settled})

    async def call_due(self, now: datetime) -> None:
        """Ring those whose turn it is, as many as may be rung at once."""
        due = [row["id"] for row in await self.store.all("surveys.due", now=now, most=LOOKED_AT)]
        if not due:
            return
        room = await self._room(now)
        if room > 0:
            jobs = [await self._claim(survey, now) for survey in (await self._sift(due, now))[:room]]
            await _all_of(*(self._ring(job, now) for job in jobs if job is not None))

    async def _room(self, now: datetime) -> int:
        """How many more may be rung now."""
        try:
            load = await self.robot.load()
        except PeerError as error:
            self._hold("no_exchange", why=str(error))
            return 0
        under_way = await self._under_way(self.store, now)
        if load.waiting > self.rules.waiting:
            self._hold("waiting", count=load.waiting)
            return 0
        if under_way["owed"] > self.rules.owed:
            self._hold("owed", count=under_way["owed"])
            return 0
        here = max(load.robots, under_way["here"])  # the exchange hears of the latest a little later
        others = load.channels - load.robots
        room: int = min(
            self.rules.at_once - under_way["everywhere"],
            self.robot.carries - here,
            self.rules.channels - self.rules.reserve - others - here,
        )
        self._hold("full" if room <= 0 else None)
        return room

    def _hold(self, held: str | None, **more: Any) -> None:
        """Said when it changes; that there is no room for more is no news."""
        if held not in {self.held, "full", None}:
            log.info("the robot rings nobody now", extra={"held": held, **more})
        self.held = held

    async def _under_way(self, store: Store, now: datetime) -> Row:
        row = await store.one("surveys.under_way", asterisk=self.robot.name, now=now)
        assert row is not None
        return row

    async def _sift(self, due: Sequence[int], now: datetime) -> list[int]:
        """Those of them who may be rung, in their order. The others wait, or are asked no more."""
        rows = {row["id"]: row for row in await _standing(self.store, due, self.rules, self.zone, now)}
        verdicts = {survey: self._judge(rows[survey], now) for survey in due}
        await _write_down(self.store, verdicts, now)
        return [survey for survey in due if isinstance(verdicts[survey], Go)]

    def _judge(self, row: Row, now: datetime) -> Go | Wait | Never:
        verdict = allowed(_of(row), self.rules, now, _zone(row))
        if isinstance(verdict, Go) and self.robot.is_on_the_line(row["phone"]):
            return Wait(now + self.rules.pause, Why.ON_A_CALL)
        return verdict

    async def _claim(self, survey: int, now: datetime) -> Job | None:
        """Everything is looked at again, one claim at a time: what two controllers count is never one too many."""
        async with self.store.transaction() as one:
            await one.one("surveys.turn")
            if (await self._under_way(one, now))["everywhere"] >= self.rules.at_once:
                return None
            (row,) = await _standing(one, [survey], self.rules, self.zone, now)
            verdict = self._judge(row, now)
            if not isinstance(verdict, Go):
                return None
            claimed = await one.one(
                "surveys.claim",
                survey=survey,
                asterisk=self.robot.name,
                controller=self.controller,
                default_queue=self.default_queue,
                why=verdict.why,
                now=now,
                lease_until=now + LEASE,
            )
            return await job_of(one, claimed["call"], self.rules, self.zone, now) if claimed else None

    async def _ring(self, job: Job, now: datetime) -> None:
        log.info("asking", extra={"survey": job.survey, "call": job.call, "phone": masked(job.phone)})
        try:
            await self.robot.ring(job, now + PLACED_WITHIN)
        except Disconnected as error:
            # She may be rung all the same: `look_after` will see.
            log.warning("nobody knows whether she was rung", extra={"call": job.call, "why": str(error)})
        except DozvonError as error:
            log.error("she could not be rung", extra={"call": job.call, "why": str(error)})
            await self.store.run("surveys.not_placed", calls=[job.call], now=now)

    async def look_after(self, alive: Container[str], now: datetime) -> None:
        """Renew the lease of the robot's calls that go on in our Asterisk; end those that never came to be there."""
        rows = await self.store.all("surveys.attempts_on", asterisk=self.robot.name)
        self._seen = [row["call_id"] for row in rows if row["call_id"] in alive]
        if self._seen:
            await self.store.run("surveys.renew", calls=self._seen, lease_until=now + LEASE)
        void = [
            row["call_id"]
            for row in rows
            if row["call_id"] not in alive
            and not row["heard_of"]
            and now - row["placed_at"] > 2 * PLACED_WITHIN
        ]
        if void:
            log.warning("calls of the robot that were never placed", extra={"calls": void})
            await self.store.run("surveys.not_placed", calls=void, now=now)


async def plan(
    store: Store, rules: Rules, zone: ZoneInfo, now: datetime, since: datetime | None = None
) -> list[int]:
    """Plan a survey for every closing that has none; `since`: of those closed after it. Their ids.

    Nobody is asked about some of them; the others wait for the first moment that clock and windows allow.
    """
    oldest = now - rules.give_up - FURTHEST_SURVEY
    planned: list[int] = []
    while True:
        rows = await store.all(
            "surveys.plan", now=now, since=since or oldest, give_up=rules.give_up, most=PLANNED_AT_ONCE
        )
        new = [row["id"] for row in rows]
        await _place(store, new, rules, zone, now)
        planned += new
        if len(new) < PLANNED_AT_ONCE:
            break
    if planned:
        log.info("surveys are planned", extra={"count": len(planned)})
    return planned


async def _place(store: Store, new: list[int], rules: Rules, zone: ZoneInfo, now: datetime) -> None:
    """Who has consented, and whose line is busy, is asked when the time has come; the hour is known already."""
    verdicts: dict[int, Go | Wait | Never] = {}
    for row in await _standing(store, new, rules, zone, now) if new else ():
        it = _of(row)
        moment, why = first_moment(it, rules, now, _zone(row))
        if never := not_asked(it, rules):
            verdicts[row["id"]] = Never(never)
        elif why is not None:
            verdicts[row["id"]] = Wait(moment, why)
    await _write_down(store, verdicts, now)


async def _write_down(store: Store, verdicts: Mapping[int, Go | Wait | Never], now: datetime) -> None:
    """Those who may be rung now stay as they are."""
    waits = {survey: verdict for survey, verdict in verdicts.items() if isinstance(verdict, Wait)}
    if waits:
        await store.run(
            "surveys.wait",
            surveys=list(waits),
            untils=[verdict.until for verdict in waits.values()],
            whys=[verdict.why for verdict in waits.values()],
        )
    nevers = {survey: verdict for survey, verdict in verdicts.items() if isinstance(verdict, Never)}
    if nevers:
        await store.run(
            "surveys.never",
            surveys=list(nevers),
            statuses=[verdict.status for verdict in nevers.values()],
            whys=[verdict.why for verdict in nevers.values()],
            now=now,
        )


async def job_of(store: Store, call: str, rules: Rules, zone: ZoneInfo, now: datetime) -> Job | None:
    """What a call of the robot is about; None: it is none of ours."""
    row = await store.one("surveys.job", call=call)
    if row is None:
        return None
    (standing,) = await _standing(store, [row["survey"]], rules, zone, now)
    return Job(**row, zone=standing["zone"])


async def _standing(
    store: Store, surveys: Sequence[int], rules: Rules, zone: ZoneInfo, now: datetime
) -> list[Row]:
    return await store.all(
        "surveys.standing",
        surveys=list(surveys),
        emergencies=sorted(rules.emergencies),
        zone=zone.key,
        since=now - LOOKED_BACK,
        now=now,
    )


def _of(row: Row) -> Standing:
    return Standing(**{name: row[name] for name in Standing.__slots__})


def _zone(row: Row) -> ZoneInfo:
    return ZoneInfo(row["zone"])


def _ended(row: Row) -> Ended:
    return Ended(
        outcome=Outcome(row["outcome"]),
        at=row["at"],
        result=Result(row["result"]) if row["result"] else None,
        rating=row["rating"],
        handed_over=row["handed_over"],
        hung_up_by_her=row["hung_up_by_her"],
        in_vain=row["in_vain"],
        talks=row["talks"],
    )


async def _all_of(*works: Awaitable[None]) -> None:
    """Side by side, each to its end; then raises what the first of them raised."""
    for ended in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
