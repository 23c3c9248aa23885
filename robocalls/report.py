"""What residents say of the jobs: asked, reached, rated; how, how much; and what needs a person's look.

Counted is each closing of a ticket, once, on the day it was closed. Pure but for `report`, which asks the ledger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from callback.report import Period, Share
from directory.nouns import Company
from ivr.store import Row, Store
from robocalls.nouns import Result, Status

STARS = range(1, 6)
LOW = 2
"""A rating up to this reopens the ticket."""
NOBODY = frozenset({Result.MACHINE, Result.FAX, Result.TONE, Result.UNREACHED})
"""The robot rang, and no person was there."""
MONTHS = 12
"""How many months the report of a month looks back."""


class Look(StrEnum):
    """What a person is to look at."""

    STILL_CLOSED = "still_closed"
    """Rated low, and the ticket was not opened again."""
    NOT_TALKED = "not_talked"
    """Wanted a person, and has talked with none."""
    NOT_UNDERSTOOD = "not_understood"
    """The recording says what the robot's ears did not make out."""
    WRONG_NUMBER = "wrong_number"
    """The directory has somebody else's number."""


@dataclass(slots=True)
class Figures:
    """What some of the surveys come to."""

    jobs: int = 0
    """Closed, whether anybody was to be asked or not."""
    waiting: int = 0
    """Not settled yet: in none of the shares."""
    asked: int = 0
    """Settled, and her phone has rung."""
    reached: int = 0
    """A person was on the line, whatever she said."""
    low: int = 0
    """Rated 1 or 2, or «не сделали»."""
    ratings: Counter[int] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        self.jobs += 1
        self.waiting += is_waiting(row)
        self.asked += was_asked(row)
        self.reached += was_reached(row)
        self.low += is_low(row)
        if row["rating"] is not None:
            self.ratings[row["rating"]] += 1

    @property
    def rated(self) -> int:
        return self.ratings.total()

    @property
    def average(self) -> float | None:
        """Of those who rated; None: nobody did."""
        return (
            sum(stars * count for stars, count in self.ratings.items()) / self.rated if self.rated else None
        )

    @property
    def response(self) -> Share:
        """Who rated, of those who were rung."""
        return Share(self.rated, self.asked, self.waiting)

    @property
    def willing(self) -> Share:
        """Who rated, of those who were reached."""
        return Share(self.rated, self.reached, self.waiting)

    def as_dict(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "waiting": self.waiting,
            "asked": self.asked,
            "reached": self.reached,
            "rated": self.rated,
            "low": self.low,
            "average": self.average,
            "ratings": {str(stars): self.ratings[stars] for stars in STARS},
            "response": self.response.as_dict(),
        }


@dataclass(slots=True)
class Report:
    """What the jobs closed in a period come to."""

    period: Period
    made_at: datetime
    company: str | None = None
    """Its name; None: all of them."""
    total: Figures = field(default_factory=Figures)
    by_company: dict[str | None, Figures] = field(default_factory=dict)
    by_category: dict[str, Figures] = field(default_factory=dict)
    outcomes: Counter[Result] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)
    """How a rating came: by voice, by key."""
    not_asked: Counter[str | None] = field(default_factory=Counter)
    """Why nobody was asked, to how many jobs; None: it is not known."""
    months: list[Row] = field(default_factory=list)
    """The months up to this one, when the report is a month's."""
    rows: list[Row] = field(default_factory=list)
    """Every job, by the moment it was closed."""

    def add(self, row: Row) -> None:
        """Take one more closed job in."""
        self.rows.append(row)
        for figures in (
            self.total,
            self.by_company.setdefault(row["company"], Figures()),
            self.by_category.setdefault(row["category"], Figures()),
        ):
            figures.add(row)
        if row["result"] is not None:
            self.outcomes[Result(row["result"])] += 1
        if row["rating"] is not None:
            self.by[row["by"]] += 1
        if not is_waiting(row) and not was_asked(row):
            self.not_asked[row["why"]] += 1

    @property
    def not_understood(self) -> Share:
        """Whose words nobody made out, of those who were reached."""
        return Share(self.outcomes[Result.NOT_UNDERSTOOD], self.total.reached)

    @property
    def low(self) -> list[Row]:
        """Jobs that were not well done, as their residents say."""
        return [row for row in self.rows if is_low(row)]

    @property
    def exceptions(self) -> list[tuple[Look, Row]]:
        """What a person is to look at, and why."""
        return [(look, row) for row in self.rows if (look := to_look_at(row)) is not None]

    def as_dict(self) -> dict[str, Any]:
        """For a machine: every figure, and the jobs that are listed one by one."""
        return {
            "first_day": self.period.first,
            "last_day": self.period.last,
            "time_zone": self.period.zone.key,
            "company": self.company,
            "made_at": self.made_at,
            **self.total.as_dict(),
            "not_understood": self.not_understood.as_dict(),
            "outcomes": dict(self.outcomes.most_common()),
            "by": dict(self.by.most_common()),
            "not_asked": [{"why": why, "jobs": jobs} for why, jobs in self.not_asked.most_common()],
            "companies": [{"company": name, **of.as_dict()} for name, of in self.by_company.items()],
            "categories": [{"category": name, **of.as_dict()} for name, of in self.by_category.items()],
            "months": [dict(month) for month in self.months],
            "low_ratings": [dict(row) for row in self.low],
            "exceptions": [{"look": look, **row} for look, row in self.exceptions],
        }


def is_waiting(row: Row) -> bool:
    """Has she yet to be asked, or is she being asked?"""
    return row["status"] in {Status.PLANNED, Status.CALLING}


def was_asked(row: Row) -> bool:
    return bool(row["attempts"]) and not is_waiting(row)


def was_reached(row: Row) -> bool:
    return not is_waiting(row) and row["result"] is not None and row["result"] not in NOBODY


def is_low(row: Row) -> bool:
    return row["result"] == Result.NOT_DONE or (row["rating"] is not None and row["rating"] <= LOW)


def to_look_at(row: Row) -> Look | None:
    """What a person is to do about a job, if anything."""
    if is_low(row):
        return None if row["reopened"] else Look.STILL_CLOSED
    match row["result"]:
        case Result.HUMAN if row["dispatcher"] is None:
            return Look.NOT_TALKED
        case Result.NOT_UNDERSTOOD:
            return Look.NOT_UNDERSTOOD
        case Result.WRONG_NUMBER:
            return Look.WRONG_NUMBER
        case _:
            return None


async def report(store: Store, period: Period, now: datetime, company: Company | None = None) -> Report:
    """The report of a period: of one company, or of all. Asks day by day, so that no question takes long."""
    made = Report(period, now, company.name if company else None)
    whose = company.id if company else None
    for since, before in period.days():
        for row in await store.all("survey_book.report", since=since, before=before, company=whose):
            made.add(row)
    if period.first != period.last:
        since = Period(_months_before(period.last, MONTHS - 1), period.last, period.zone).since
        made.months = await store.all(
            "survey_book.months", since=since, before=period.before, zone=period.zone.key, company=whose
        )
    return made


def _months_before(day: date, months: int) -> date:
    """The first day of the month that many months earlier."""
    count = day.year * 12 + day.month - 1 - months
    return date(count // 12, count % 12 + 1, 1)
