"""The campaign against a real Postgres, in virtual time: who is rung, when, how often; whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from ivr.call import Outcome
from ivr.errors import Disconnected, PeerError
from ivr.ledger import Ledger
from robocalls import rules
from robocalls.campaign import LAPSED, LATELY, LEASE, PLACED_WITHIN, Campaign, job_of
from robocalls.nouns import By, Job, Result
from robocalls.rules import Rules
from tests.fake_robot import FakeRobot
from tickets import book

from .calls import LIMITS, NOON

RULES = rules.read()
MOSCOW = ZoneInfo("Europe/Moscow")
MARIA, OLEG = "+79160000001", "+79160000002"
LINE = "+74951230001"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
"""NOON is a Wednesday, 12:00 in Moscow."""


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def rules_with(**changed: Any) -> Rules:
    return replace(RULES, **changed)


class Town:
    """A company, its residents, and what the robot and they do; moments are hours after noon."""

    def __init__(self, ledger: Ledger, changed: Rules = RULES) -> None:
        self.ledger, self.robot = ledger, FakeRobot()
        self.campaign = self.controller(self.robot, changed)
        self.company = 0
        self._numbers = itertools.count(1)

    def controller(self, robot: FakeRobot, changed: Rules = RULES, ledger: Ledger | None = None) -> Campaign:
        return Campaign(ledger or self.ledger, robot, changed, f"{robot.name}:1", MOSCOW, "dispatch")

    async def sql(self, text: str, *values: Any) -> Any:
        return await self.ledger.pool.fetchval(text, *values)

    async def founded(self) -> Town:
        self.company = await self.sql(
            "INSERT INTO companies (code, name, queue) VALUES ('north', 'Север', 'north') RETURNING id"
        )
        await self.sql("INSERT INTO lines VALUES ($1, $2)", LINE, self.company)
        return self

    async def resident(
        self, phone: str = MARIA, *, consent: bool | None = True, zone: str | None = None, flat: str | None = None
    ) -> int:
        """Lives in a house of her own; `consent` None: never asked."""
        number = next(self._numbers)
        house = await self.sql(
            "INSERT INTO houses (company_id, address, time_zone) VALUES ($1, $2, $3) RETURNING id",
            self.company,
            f"Лесная, {number}",
            zone,
        )
        flat_id = await self.sql(
            "INSERT INTO flats (company_id, house_id, number) VALUES ($1, $2, $3) RETURNING id",
            self.company,
            house,
            flat or str(number),
        )
        who: int = await self.sql(
            "INSERT INTO residents (company_id, flat_id, name) VALUES ($1, $2, 'Мария') RETURNING id",
            self.company,
            flat_id,
        )
        await self.sql("INSERT INTO resident_phones VALUES ($1, $2, $3)", phone, self.company, who)
        if consent is not None:
            await self.consents(who, given=consent)
        return who

    async def consents(self, resident: int, *, given: bool = True, since: date = date(2026, 1, 1)) -> None:
        await self.sql(
            "INSERT INTO consents (company_id, resident_id, kind, given, since, source)"
            " VALUES ($1, $2, 'robocall', $3, $4, 'заявление')",
            self.company,
            resident,
            given,
            since,
        )

    async def ticket(self, phone: str = MARIA, category: str = "water", **columns: Any) -> int:
        values = {
            "company_id": self.company,
            "phone": phone,
            "category": category,
            "content": "Течёт кран",
            "status": "registered",
            "registered_at": at(-24),
            **columns,
        }
        marks = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        return int(
            await self.sql(
                f"INSERT INTO tickets ({', '.join(values)}) VALUES ({marks}) RETURNING number", *values.values()
            )
        )

    async def closed(
        self, phone: str = MARIA, hour: float = 0, survey_at: float | None = None, **columns: Any
    ) -> int:
        """The number of a ticket that is closed at that hour."""
        number = await self.ticket(phone, **columns)
        await self.close(number, hour, survey_at)
        return number

    async def close(self, number: int, hour: float, survey_at: float | None = None) -> None:
        agreed = None if survey_at is None else at(survey_at)
        await book.close(self.ledger, number, "101", at(hour), "Заменён кран", agreed)

    async def looks(self, *hours: float, campaign: Campaign | None = None) -> None:
        for hour in hours:
            one = campaign or self.campaign
            await one.plan(at(hour))
            await one.settle(at(hour))
            await one.call_due(at(hour))

    async def ends(
        self, outcome: Outcome, hour: float, job: Job | None = None, *, queued: bool = False, rang: bool = True
    ) -> None:
        """The call is over; she has picked up unless the outcome says that nobody did."""
        call = (job or self.job).call
        moment = at(hour)
        unanswered = {Outcome.BUSY, Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.TAKEN_BACK}
        if rang:
            await self.sql(
                "INSERT INTO call_facts (call_id, key, at, kind) VALUES ($1, 'rang', $2, 'rang')"
                " ON CONFLICT DO NOTHING",
                call,
                moment,
            )
        await self.sql(
            "UPDATE calls SET ended_at = $2, outcome = $3, picked_up_at = $4, queued_at = $5 WHERE id = $1",
            call,
            moment,
            outcome,
            None if outcome in unanswered else moment,
            moment if queued else None,
        )

    async def says(
        self,
        result: Result,
        hour: float,
        rating: int | None = None,
        *,
        key: str = "said/1",
        by: By = By.VOICE,
        job: Job | None = None,
    ) -> None:
        self.ledger.write(
            "surveys.answer",
            call=(job or self.job).call,
            key=key,
            at=at(hour),
            result=result,
            rating=rating,
            by=by,
            detail={"words": ["пять"]},
        )
        await self.ledger.settled()

    @property
    def job(self) -> Job:
        """The last one rung."""
        return self.robot.rung[-1]

    async def surveys(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.ledger.pool.fetch("SELECT * FROM surveys ORDER BY id")]

    async def survey(self) -> dict[str, Any]:
        (only,) = await self.surveys()
        return only

    async def stands(self) -> tuple[str, str | None, int | None, str | None]:
        """Status, result, rating and why of the only one."""
        row = await self.survey()
        return row["status"], row["result"], row["rating"], row["why"]

    async def the_ticket(self, number: int) -> dict[str, Any]:
        return dict((await book.show(self.ledger, number)).row)

    async def history(self, number: int) -> list[str]:
        return [str(entry["what"]) for entry in (await book.show(self.ledger, number)).history]


@pytest.fixture
async def town(ledger: Ledger) -> Town:
    made = await Town(ledger).founded()
    await made.resident()
    return made


# -- planned


async def test_a_closed_ticket_is_asked_about_and_the_rating_is_on_it(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    (job,) = town.robot.rung
    assert (job.call, job.ticket, job.phone, job.line) == ("dozvon-survey-1-1", number, MARIA, LINE)
    await town.says(Result.RATED, 0.01, 5)
    assert (await town.the_ticket(number))["rating"] == 5, "at once"
    await town.ends(Outcome.SURVEYED, 0.02)
    await town.looks(0.03)
    assert await town.stands() == ("done", "rated", 5, None)
    await town.looks(1, 24, 100, 300)
    assert len(town.robot.rung) == 1
