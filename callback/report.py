"""The two figures the law asks for, call by call: answered in five minutes; or else spoken with in ten.

Counted is each call of a resident, not each promise. Pure but for `report` and `timelines`, which ask the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from directory.nouns import Company
from ivr.call import Outcome
from ivr.store import Row, Store
from tickets.limits import Limit, Limits

QUICKLY = timedelta(seconds=20)
"""The trade's own mark: 80 % of the calls answered within 20 s of waiting in the queue."""

_AT_A_TIME = 500
"""Timelines asked for in one go."""


class Verdict(StrEnum):
    """What the law says of a call."""

    ANSWERED = "answered"
    """Within the time for answering."""
    WAITING = "waiting"
    """Not decided yet: that time still runs."""
    REACHED = "reached"
    """Not answered in time, but spoken with in time."""
    RUNNING = "running"
    """Not answered in time; the time for speaking with her still runs."""
    LATE = "late"
    """Spoken with, too late."""
    NEVER = "never"
    """Nobody has spoken with her."""
    INFORMED = "informed"
    """Left out: heard what she wanted to know and chose to end the call."""
    BLOCKED = "blocked"
    """Left out: her number was blocked when the call came."""


UNANSWERED = (Verdict.REACHED, Verdict.RUNNING, Verdict.LATE, Verdict.NEVER)
"""Not answered in time: what the second figure is about."""
EXCEPTIONS = (Verdict.LATE, Verdict.NEVER)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days by the calendar of a zone: from the midnight that begins `first` to the one that ends `last`."""

    first: date
    last: date
    zone: ZoneInfo

    @classmethod
    def month(cls, year: int, month: int, zone: ZoneInfo) -> Period:
        first = date(year, month, 1)
        next_month = date(year + month // 12, month % 12 + 1, 1)
        return cls(first, next_month - timedelta(days=1), zone)

    @property
    def since(self) -> datetime:
        return _midnight(self.first, self.zone)

    @property
    def before(self) -> datetime:
        return _midnight(self.last + timedelta(days=1), self.zone)

    def days(self) -> Iterator[tuple[datetime, datetime]]:
        """The borders of each day; a day with a clock change has 23 or 25 hours."""
        count = (self.last - self.first).days + 1
        yield from pairwise(
            _midnight(self.first + timedelta(days=day), self.zone) for day in range(count + 1)
        )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, and how many are not decided yet (they are in neither)."""

    good: int
    of: int
    undecided: int = 0

    @property
    def percent(self) -> float | None:
        """To a tenth, rounded down: 100 only when it is all of them. None when there is nothing to count."""
        return self.good * 1000 // self.of / 10 if self.of else None

    def as_dict(self) -> dict[str, Any]:
        return {"good": self.good, "of": self.of, "undecided": self.undecided, "percent": self.percent}


@dataclass(frozen=True, slots=True)
class Judged:
    """A call that was not answered in time, and what the law says of it."""

    row: Row
    verdict: Verdict
    due_at: datetime
    spoken_at: datetime | None

    @property
    def is_exception(self) -> bool:
        return self.verdict in EXCEPTIONS

    @property
    def late_by(self) -> timedelta | None:
        """How long after its limit she was spoken with; None: in time, or never."""
        return self.spoken_at - self.due_at if self.spoken_at and self.verdict is Verdict.LATE else None

    def as_dict(self) -> dict[str, Any]:
        names = ("id", "arrived_at", "phone", "company", "category", "outcome", "promise", "why")
        return {
            **{name: self.row[name] for name in names},
            "verdict": self.verdict,
            "due_at": self.due_at,
            "spoken_at": self.spoken_at,
            "late_by_s": self.late_by.total_seconds() if self.late_by else None,
        }


@dataclass(slots=True)
class Report:
    """What the calls of a period come to."""

    period: Period
    limits: Limits
    made_at: datetime
    company: str | None = None
    """Its name; None: all of them."""
    counts: Counter[Verdict] = field(default_factory=Counter)
    unanswered: list[Judged] = field(default_factory=list)
    """Every call that was not answered in time, by arrival."""
    blocked: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(pattern, reason, author) to how many calls."""
    callbacks_made: int = 0
    callbacks_talked: int = 0
    queued: int = 0
    answered: int = 0
    quickly: int = 0
    gave_up: int = 0
    waited: timedelta = timedelta()

    def add(self, row: Row) -> None:
        """Take one more call in."""
        verdict = judge(row, self.limits, self.made_at)
        self.counts[verdict] += 1
        if verdict is Verdict.BLOCKED:
            self.blocked[row["pattern"], row["blocked_reason"], row["blocked_author"]] += 1
            return
        if verdict in UNANSWERED:
            self.unanswered.append(Judged(row, verdict, due_at(row, self.limits), spoken_at(row)))
        self._add_to_the_trades_figures(row)

    def _add_to_the_trades_figures(self, row: Row) -> None:
        if row["queued_at"] is None or (row["ended_at"] is None and row["answered_at"] is None):
            return
        self.queued += 1
        self.gave_up += row["outcome"] == Outcome.ABANDONED_IN_QUEUE
        if answered := answered_at(row):
            wait = max(answered - row["queued_at"], timedelta())
            self.answered += 1
            self.quickly += wait <= QUICKLY
            self.waited += wait

    @property
    def calls(self) -> int:
        """All that arrived, those left out included."""
        return self.counts.total()

    @property
    def answered_in_time(self) -> Share:
        """The first figure of the law."""
        good = self.counts[Verdict.ANSWERED]
        return Share(good, good + len(self.unanswered), self.counts[Verdict.WAITING])

    @property
    def reached_in_time(self) -> Share:
        """The second: of those not answered in time, with whom somebody spoke in time."""
        good, running = self.counts[Verdict.REACHED], self.counts[Verdict.RUNNING]
        return Share(good, len(self.unanswered) - running, running)

    @property
    def service_level(self) -> Share:
        """Of the calls that came to the queue, those answered within 20 s there."""
        return Share(self.quickly, self.queued)

    @property
    def abandoned(self) -> Share:
        """Of the calls that came to the queue, those whose caller hung up waiting there."""
        return Share(self.gave_up, self.queued)

    @property
    def speed_of_answer(self) -> float | None:
        """Seconds from the queue to the answer, on average; None when nothing was answered."""
        return self.waited.total_seconds() / self.answered if self.answered else None

    @property
    def exceptions(self) -> list[Judged]:
        """The calls that missed their limit: spoken with too late, or never."""
        return [call for call in self.unanswered if call.is_exception]

    def as_dict(self, timelines: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        """For a machine: every figure, and every call that was not answered in time with its timeline if given."""
        blocked = [
            {"pattern": pattern, "reason": reason, "author": author, "calls": calls}
            for (pattern, reason, author), calls in self.blocked.most_common()
        ]
        return {
            "first_day": self.period.first,
            "last_day": self.period.last,
            "time_zone": self.period.zone.key,
            "company": self.company,
            "made_at": self.made_at,
            "calls": self.calls,
            "answered_in_time": _by(self.limits.answer) | self.answered_in_time.as_dict(),
            "reached_in_time": _by(self.limits.callback) | self.reached_in_time.as_dict(),
            "left_out": {"informed": self.counts[Verdict.INFORMED], "blocked": blocked},
            "callbacks": {"made": self.callbacks_made, "talked": self.callbacks_talked},
            "trade": {
                "service_level": self.service_level.as_dict(),
                "abandoned": self.abandoned.as_dict(),
                "speed_of_answer_s": self.speed_of_answer,
            },
            "unanswered": [
                call.as_dict()
                | {"timeline": [_without_call(row) for row in timelines.get(call.row["id"], ())]}
                for call in self.unanswered
            ],
        }


def _by(limit: Limit) -> dict[str, Any]:
    return {"within_s": limit.within.total_seconds(), "clause": limit.clause}


def _without_call(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "call_id"}


def judge(row: Row, limits: Limits, now: datetime) -> Verdict:
    """What the law says of a call as it is known now."""
    if row["blocked"] is not None:
        return Verdict.BLOCKED
    if row["outcome"] == Outcome.INFORMED:
        return Verdict.INFORMED
    answer_by = row["arrived_at"] + limits.answer.within
    answered = answered_at(row)
    if answered and answered <= answer_by:
        return Verdict.ANSWERED
    if row["ended_at"] is None and answered is None and now <= answer_by:
        return Verdict.WAITING
    due, spoken = due_at(row, limits), spoken_at(row)
    if spoken:
        return Verdict.REACHED if spoken <= due else Verdict.LATE
    return Verdict.RUNNING if now <= due else Verdict.NEVER


def answered_at(row: Row) -> datetime | None:
    """When a dispatcher answered; None, too, when it was no talk: cut off at once, or said so afterwards."""
    moment: datetime | None = row["answered_at"]
    return moment if row["outcome"] in {None, Outcome.TALKED} else None


def spoken_at(row: Row) -> datetime | None:
    """When somebody first spoke with her: this call's own answer, or a later talk with her number."""
    return min(filter(None, (answered_at(row), row["reached_at"])), default=None)


def due_at(row: Row, limits: Limits) -> datetime:
    """By when to speak with who was not answered: so long from the arrival, a message from its receipt."""
    received = row["ended_at"] if row["outcome"] == Outcome.VOICEMAIL else None
    moment: datetime = received or row["arrived_at"]
    return moment + limits.callback.within


async def report(
    store: Store,
    period: Period,
    limits: Limits,
    talk: timedelta,
    now: datetime,
    company: Company | None = None,
) -> Report:
    """The report of a period: of one company, or of all. A talk shorter than `talk` is none.

    Asks day by day, so that no question takes long.
    """
    made = Report(period, limits, now, company.name if company else None)
    whose = company.id if company else None
    for since, before in period.days():
        rows = await store.all(
            "report.calls",
            since=since, before=before, company=whose, within=limits.answer.within, talk=talk, now=now,
        )  # fmt: skip
        for row in rows:
            made.add(row)
    callbacks = await store.one(
        "report.callbacks", since=period.since, before=period.before, company=whose, talk=talk
    )
    if callbacks:
        made.callbacks_made, made.callbacks_talked = callbacks["made"], callbacks["talked"]
    return made


async def timelines(store: Store, calls: Sequence[str]) -> dict[str, list[Row]]:
    """All that is known of each call in one order of time: facts, its promise's history, its attempts."""
    found: dict[str, list[Row]] = defaultdict(list)
    for start in range(0, len(calls), _AT_A_TIME):
        for row in await store.all("report.timelines", calls=list(calls[start : start + _AT_A_TIME])):
            found[row["call_id"]].append(row)
    return found


async def promises(store: Store, period: Period, status: str | None = None) -> list[Row]:
    """The promises whose first missed call arrived in a period, with the seconds it took to reach them."""
    return await store.all("report.promises", status=status, since=period.since, before=period.before)
