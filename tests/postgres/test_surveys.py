"""The campaign against a real Postgres, in virtual time: who is rung, when, how often; whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
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

from .calls import LIMITS, NOON, notified

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
        self,
        phone: str = MARIA,
        *,
        consent: bool | None = True,
        zone: str | None = None,
        flat: str | None = None,
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
                f"INSERT INTO tickets ({', '.join(values)}) VALUES ({marks}) RETURNING number",
                *values.values(),
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
        self,
        outcome: Outcome,
        hour: float,
        job: Job | None = None,
        *,
        queued: bool = False,
        rang: bool = True,
        by: str | None = "resident",
    ) -> None:
        """The call is over, by whoever has hung up; she had picked up unless the outcome says that nobody did."""
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
            "UPDATE calls SET ended_at = $2, outcome = $3, picked_up_at = $4, queued_at = $5, hung_up_by = $6"
            " WHERE id = $1",
            call,
            moment,
            outcome,
            None if outcome in unanswered else moment,
            moment if queued else None,
            by,
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


async def test_a_job_is_told_with_all_that_is_said_of_it(town: Town) -> None:
    who = await town.resident(OLEG, zone="Asia/Omsk", flat="12")
    number = await town.closed(OLEG, resident_id=who)
    await town.looks(0)
    assert town.job == Job(
        survey=1, call="dozvon-survey-1-1", ticket=number, phone=OLEG, company_id=town.company, line=LINE,
        category="water", queue="north", registered_at=at(-24), zone="Asia/Omsk", address="Лесная, 2", flat="12",
        name="Мария", attempt=1,
    )  # fmt: skip
    assert town.robot.place_by == at(0) + PLACED_WITHIN
    assert await job_of(town.ledger, town.job.call, RULES, MOSCOW, at(1)) == town.job, (
        "for who took it up later"
    )
    assert await job_of(town.ledger, "dozvon-survey-9-1", RULES, MOSCOW, at(1)) is None


async def test_the_line_she_sees_is_the_one_she_had_dialled(town: Town) -> None:
    await town.sql("INSERT INTO lines VALUES ('+74951230009', $1)", town.company)
    for call, dialled in (("dozvon-1.0", "+74951230009"), ("dozvon-2.0", "+74959999999")):
        await town.sql(
            "INSERT INTO calls (id, caller, dialled, arrived_at, ended_at, outcome)"
            " VALUES ($1, $2, $3, $4, $4, 'talked')", call, MARIA, dialled, at(-24),
        )  # fmt: skip
    await town.closed(call_id="dozvon-1.0")
    await town.looks(0)
    assert town.job.line == "+74951230009"
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.closed(hour=24, call_id="dozvon-2.0")
    await town.looks(24)
    assert town.job.line == LINE, "the company has that other number no more"


async def test_a_closing_is_planned_once_by_however_many_controllers(
    town: Town, url: str, tmp_path: Path
) -> None:
    for number in range(20):
        await town.closed(f"+7916000{number:04}")
    async with controllers(town, url, tmp_path, 3) as all_of_them:
        await asyncio.gather(*(one.plan(at(0)) for one in all_of_them for _ in range(3)))
    assert len(await town.surveys()) == 20


async def test_many_closings_are_planned_in_one_look(town: Town) -> None:
    await closings(town, 2500)
    assert len(await town.campaign.plan(at(0))) == 2500
    assert await town.campaign.plan(at(1)) == []


@pytest.mark.parametrize("phone", [None, "112", "+7", "hidden"])
async def test_who_cannot_be_rung_is_not_planned(town: Town, phone: str | None) -> None:
    await town.closed(phone)  # type: ignore[arg-type]
    await town.looks(0)
    assert await town.surveys() == []


async def test_what_was_closed_long_ago_is_not_asked_about(town: Town) -> None:
    long_ago = RULES.give_up / HOUR
    await town.closed(hour=-long_ago - 0.01, registered_at=at(-300))
    await town.looks(0)
    assert await town.surveys() == []
    await town.closed(hour=-long_ago + 0.1, registered_at=at(-300))
    await town.looks(1 / 60)
    assert len(await town.surveys()) == 1, "all that may be asked about is looked at every so often"


async def test_a_closing_between_two_full_looks_is_planned_at_once(town: Town) -> None:
    await town.looks(0)
    await town.closed(hour=0.001)
    await town.campaign.plan(at(0.001) + timedelta(seconds=1))
    assert len(await town.surveys()) == 1
    assert timedelta(minutes=1) > LATELY


async def test_a_category_nobody_is_asked_about_says_so(town: Town) -> None:
    await town.closed(category="consultation")
    await town.looks(0)
    assert await town.stands() == ("cancelled", None, None, "category")
    assert not town.robot.rung


async def test_a_draft_closed_without_a_word_is_asked_about_only_where_the_rules_say_so(
    ledger: Ledger,
) -> None:
    strict = await Town(ledger, rules_with(drafts=False)).founded()
    await strict.resident()
    await strict.closed(content=None, status="draft")
    await strict.looks(0)
    assert await strict.stands() == ("cancelled", None, None, "draft")


# -- when


async def test_a_job_closed_at_night_is_asked_about_when_the_window_opens(town: Town) -> None:
    await town.closed(hour=11)  # 23:00 in Moscow
    await town.looks(11)
    row = await town.survey()
    assert (row["status"], row["why"], row["next_attempt_at"]) == ("planned", "quiet_hours", at(20))
    await town.looks(12, 19.99)
    assert not town.robot.rung
    await town.looks(20)
    assert len(town.robot.rung) == 1


@pytest.mark.parametrize(
    ("house", "company", "opens"),
    [
        (
            "Asia/Vladivostok",
            "Europe/Moscow",
            at(13),
        ),  # 19:00 there at noon: closes at 15 h, opens at 22:00 UTC
        (None, "Asia/Vladivostok", at(13)),
        (None, "Europe/Moscow", at(20)),
    ],
)
async def test_the_clock_on_her_wall_decides(
    town: Town, house: str | None, company: str, opens: datetime
) -> None:
    await town.sql("UPDATE companies SET time_zone = $1", company)
    await town.resident(OLEG, zone=house)
    await town.closed(OLEG, hour=10.5)  # 22:30 in Moscow, 05:30 in Vladivostok
    await town.looks(10.5)
    assert (await town.survey())["next_attempt_at"] == opens


async def test_the_house_of_the_ticket_goes_before_the_house_of_the_phone(town: Town) -> None:
    await town.resident(OLEG, zone="Asia/Vladivostok")
    here = await town.sql("SELECT min(id) FROM houses")
    await town.closed(OLEG, hour=10.5, house_id=here)
    await town.looks(10.5)
    assert (await town.survey())["next_attempt_at"] == at(20), "08:00 in Moscow"


async def test_a_phone_of_two_zones_has_its_companys(town: Town) -> None:
    for zone in ("Asia/Vladivostok", "Asia/Omsk"):
        await town.resident(OLEG, zone=zone)
    await town.closed(OLEG, hour=10.5)
    await town.looks(10.5)
    assert (await town.survey())["next_attempt_at"] == at(20)


async def test_an_agreed_hour_is_kept_though_it_is_late_and_says_why(town: Town) -> None:
    await town.closed(survey_at=10.5)  # 22:30 in Moscow
    await town.looks(0, 5, 10.49)
    assert not town.robot.rung
    assert (await town.survey())["why"] == "agreed"
    await town.looks(10.5)
    assert len(town.robot.rung) == 1
    assert await town.stands() == ("calling", None, None, "agreed")


async def test_an_agreed_hour_that_was_missed_waits_for_the_window(town: Town) -> None:
    """The exchange was away for an hour."""
    await town.closed(survey_at=10.5)
    town.robot.fails = Disconnected("no AMI link")
    await town.looks(0, 10.5)
    town.robot.fails = None
    await town.looks(11.5)
    assert not town.robot.rung
    assert (await town.survey())["next_attempt_at"] == at(20)


async def test_agreed_hours_go_first_then_whoever_was_planned_first(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(at_once=1)).founded()
    phones = [f"+7916000000{n}" for n in range(4)]
    for phone in phones:
        await town.resident(phone)
    await town.closed(phones[0], 0)
    await town.closed(phones[1], 0.001)
    await town.closed(phones[2], 0.002, survey_at=1)
    await town.closed(phones[3], 0.003, survey_at=0.9)
    town.robot.fails = PeerError("busy")
    await town.looks(0.003)
    town.robot.fails = None
    for place in range(4):
        await town.looks(1 + place / 100)
        await town.ends(Outcome.SURVEYED, 1.005 + place / 100)
    assert [job.phone for job in town.robot.rung] == [phones[3], phones[2], phones[0], phones[1]]


# -- who


async def test_without_consent_nobody_is_rung(town: Town) -> None:
    await town.resident(OLEG, consent=None)
    await town.closed(OLEG)
    await town.looks(0)
    assert await town.stands() == ("cancelled", None, None, "no_consent")
    assert not town.robot.rung


async def test_whom_nobody_knows_has_not_consented(town: Town) -> None:
    await town.closed("+79990000000")
    await town.looks(0)
    assert await town.stands() == ("cancelled", None, None, "no_consent")


@pytest.mark.parametrize(
    ("later", "rung"),
    [
        ([(False, date(2026, 6, 1))], 0),
        ([(False, date(2026, 6, 1)), (True, date(2026, 7, 1))], 1),
        ([(False, date(2026, 11, 18))], 0),
        ([(False, date(2026, 11, 19))], 1),
    ],
    ids=["withdrawn", "given again", "withdrawn today", "withdrawn from tomorrow on"],
)
async def test_the_consent_in_force_on_that_day_counts(
    town: Town, later: list[tuple[bool, date]], rung: int
) -> None:
    who = await town.resident(OLEG)
    for given, since in later:
        await town.consents(who, given=given, since=since)
    await town.closed(OLEG)
    await town.looks(0)
    assert len(town.robot.rung) == rung


async def test_everybody_a_phone_belongs_to_must_have_consented(town: Town) -> None:
    await town.resident(OLEG)
    await town.resident(OLEG, consent=None)
    await town.closed(OLEG)
    await town.looks(0)
    assert not town.robot.rung


async def test_consent_to_another_company_is_none(town: Town) -> None:
    other = await town.sql("INSERT INTO companies (code, name) VALUES ('south', 'Юг') RETURNING id")
    await town.closed(company_id=other)
    await town.looks(0)
    assert not town.robot.rung


async def test_a_consent_written_down_while_the_survey_waits_counts(town: Town) -> None:
    who = await town.resident(OLEG, consent=None)
    await town.closed(OLEG, hour=11)
    await town.looks(11)
    await town.consents(who)
    await town.looks(20)
    assert len(town.robot.rung) == 1


async def test_where_the_rules_ask_for_no_consent_everybody_is_rung(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(consent=False)).founded()
    await town.closed()
    await town.looks(0)
    assert len(town.robot.rung) == 1


async def test_who_has_opted_out_is_never_rung(town: Town) -> None:
    await town.sql("INSERT INTO opt_outs VALUES ($1, $2, 'panel', 'Anna', NULL)", MARIA, at(-100))
    await town.closed()
    await town.looks(0)
    assert await town.stands() == ("cancelled", None, None, "opted_out")
    assert not town.robot.rung


@pytest.mark.parametrize("pattern", [MARIA, "+7916*"])
async def test_a_blocked_number_is_not_rung(town: Town, pattern: str) -> None:
    await town.sql(
        "INSERT INTO blocked_numbers (pattern, reason, author) VALUES ($1, 'spam', 'Anna')", pattern
    )
    await town.closed()
    await town.looks(0)
    assert await town.stands() == ("cancelled", None, None, "blocked")


LANDLINE = "+74957770001"


@pytest.mark.parametrize("phone", [MARIA, LANDLINE], ids=["that phone", "another of hers"])
@pytest.mark.parametrize("what", ["on_a_call", "owed", "emergency"])
async def test_at_a_bad_moment_she_is_left_alone_until_it_has_passed(
    town: Town, what: str, phone: str
) -> None:
    await town.sql(
        "INSERT INTO resident_phones SELECT $1, company_id, resident_id FROM resident_phones", LANDLINE
    )
    over = await bad_moment(town, what, phone)
    await town.closed()
    await town.looks(0)
    assert await town.stands() == ("planned", None, None, what)
    assert (await town.survey())["next_attempt_at"] == at(0) + RULES.pause
    await town.looks(0.05)
    await town.sql(over)
    await town.looks(0.1)
    assert len(town.robot.rung) == 1


@pytest.mark.parametrize("what", ["on_a_call", "owed", "emergency"])
async def test_a_neighbours_bad_moment_is_hers(town: Town, what: str) -> None:
    await town.resident(OLEG)
    await bad_moment(town, what, OLEG)
    await town.closed()
    await town.looks(0)
    assert len(town.robot.rung) == 1


async def bad_moment(town: Town, what: str, phone: str) -> str:
    """Makes one; how it ends, as SQL."""
    if what == "on_a_call":
        await town.sql(
            "INSERT INTO calls (id, caller, arrived_at) VALUES ('dozvon-1.0', $1, $2)", phone, at(-0.1)
        )
        return "UPDATE calls SET ended_at = arrived_at, outcome = 'talked'"
    if what == "owed":
        await promised(town, phone, next_attempt_at=at(9))
        return "UPDATE promises SET status = 'withdrawn', closed_at = missed_at"
    await town.ticket(phone, "emergency")
    return "UPDATE tickets SET status = 'closed', closed_at = '2020-01-01' WHERE status <> 'closed'"


async def promised(town: Town, phone: str, next_attempt_at: datetime | None) -> int:
    promise: int = await town.sql(
        "INSERT INTO promises (phone, reason, clause, missed_at, due_at, next_attempt_at)"
        " VALUES ($1, 'abandoned_in_queue', 'c', $2, $2, $3) RETURNING id",
        phone,
        at(-0.1),
        next_attempt_at,
    )
    return promise


async def test_an_ordinary_open_ticket_is_no_emergency(town: Town) -> None:
    await town.ticket(category="planned")
    await town.closed()
    await town.looks(0)
    assert len(town.robot.rung) == 1


async def test_who_is_on_the_line_this_very_moment_is_not_rung(town: Town) -> None:
    """The ledger does not know it yet."""
    town.robot.on_the_line.add(MARIA)
    await town.closed()
    await town.looks(0)
    assert await town.stands() == ("planned", None, None, "on_a_call")


# -- how often


async def test_her_phone_rings_once_a_day_and_twice_a_week_whatever_the_ticket(town: Town) -> None:
    for hour in (0, 0.1, 0.2, 0.3):
        await town.closed(hour=hour)
    rung = []
    for hour in [half / 2 for half in range(2, 24 * 2 * 9)]:
        before = len(town.robot.rung)
        await town.looks(hour)
        if len(town.robot.rung) > before:
            rung.append(hour)
            await town.ends(Outcome.NO_ANSWER, hour + 0.01)
    assert rung == [1, 20], "12:00 on Wednesday, 08:00 on Thursday; then it is too late"
    assert Counter(row["status"] for row in await town.surveys()) == {"given_up": 4}


async def test_after_a_week_she_may_be_rung_again(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(give_up=timedelta(days=30), ladder=(HOUR,) * 9)).founded()
    await town.resident()
    await town.closed()
    rung = []
    for hour in range(24 * 20):
        before = len(town.robot.rung)
        await town.looks(hour)
        if len(town.robot.rung) > before:
            rung.append(hour)
            await town.ends(Outcome.NO_ANSWER, hour + 0.01)
    assert rung == [0, 20, 168, 188, 336, 356]


async def test_calls_for_another_company_count_too(town: Town) -> None:
    other = await town.sql("INSERT INTO companies (code, name) VALUES ('south', 'Юг') RETURNING id")
    await town.sql(
        "INSERT INTO calls (id, direction, company_id, caller, arrived_at, ended_at, outcome)"
        " VALUES ('dozvon2-survey-1-1', 'survey', $1, $2, $3, $3, 'surveyed')", other, MARIA, at(-1),
    )  # fmt: skip
    await town.closed()
    await town.looks(0)
    assert await town.stands() == ("planned", None, None, "a_day")


@pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.UNREACHABLE])
async def test_a_phone_that_did_not_ring_is_tried_again_the_same_day_step_by_step(
    ledger: Ledger, outcome: Outcome
) -> None:
    town = await Town(ledger, rules_with(ladder=(HOUR, 2 * HOUR))).founded()
    await town.resident()
    await town.closed()
    rung = []
    for hour in [quarter / 4 for quarter in range(4 * 30)]:
        before = len(town.robot.rung)
        await town.looks(hour)
        if len(town.robot.rung) > before:
            rung.append(hour)
            await town.ends(outcome, hour)
    assert rung == [0, 1, 3]
    assert await town.stands() == ("given_up", "unreached", None, outcome)


async def test_a_machine_is_tried_again_and_given_up_as_one(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(ladder=(HOUR,))).founded()
    await town.resident()
    await town.closed()
    await town.looks(0)
    await town.says(Result.MACHINE, 0.1, by=By.EARS)
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.looks(0.2)
    assert await town.stands() == ("planned", None, None, "machine")
    await town.looks(20)
    await town.says(Result.MACHINE, 20.1, by=By.EARS)
    await town.ends(Outcome.SURVEYED, 20.1)
    await town.looks(20.2, 48)
    assert await town.stands() == ("given_up", "machine", None, "machine")
    assert len(town.robot.rung) == 2


async def test_who_asks_for_later_is_rung_later(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(a_day=2, later=2 * HOUR)).founded()
    await town.resident()
    await town.closed()
    await town.looks(0)
    await town.says(Result.LATER, 0.1)
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.looks(0.2, 2)
    assert await town.stands() == ("planned", None, None, "later")
    await town.looks(2.1)
    assert len(town.robot.rung) == 2


async def test_who_said_nothing_is_rung_once_more_only(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.says(Result.SILENT, 0.1, by=By.EARS)
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.looks(0.2)
    assert await town.stands() == ("planned", None, None, "once_more")
    await town.looks(20)
    await town.says(Result.SILENT, 20.1, by=By.EARS)
    await town.ends(Outcome.SURVEYED, 20.1)
    await town.looks(20.2, 100)
    assert await town.stands() == ("done", "silent", None, None)
    assert len(town.robot.rung) == 2


@pytest.mark.parametrize(
    "result",
    [Result.REFUSED, Result.OPTED_OUT, Result.HUMAN, Result.WRONG_NUMBER, Result.FAX, Result.TONE,
     Result.NOT_UNDERSTOOD, Result.FOREIGN, Result.NOT_DONE],
)  # fmt: skip
async def test_what_is_answered_settles_it(town: Town, result: Result) -> None:
    await town.closed()
    await town.looks(0)
    await town.says(result, 0.1)
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.looks(0.2, 24, 48)
    assert await town.stands() == ("done", result, None, None)
    assert len(town.robot.rung) == 1


async def test_who_hangs_up_before_an_answer_is_asked_no_more(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.SURVEYED, 0.1)
    await town.looks(0.2, 24)
    assert await town.stands() == ("done", "hung_up", None, None)


@pytest.mark.parametrize("told", [True, False])
async def test_a_call_we_broke_off_before_an_answer_is_tried_again(town: Town, told: bool) -> None:
    """The controller died under the conversation: Asterisk hangs up, she did not."""
    await town.closed()
    await town.looks(0)
    if told:
        await town.says(Result.HUNG_UP, 0.1, by=By.EARS)
    await town.ends(Outcome.SURVEYED, 0.1, by=None)
    await town.looks(0.2)
    assert await town.stands() == ("planned", None, None, "cut_off")


async def test_who_went_to_a_dispatcher_without_an_answer_wanted_a_person(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.ABANDONED_IN_QUEUE, 0.1, queued=True)
    await town.looks(0.2)
    assert await town.stands() == ("done", "human", None, None)


async def test_what_nobody_was_reached_for_is_given_up_in_the_end(town: Town) -> None:
    town.robot.fails = Disconnected("no AMI link")
    await town.closed()
    await town.looks(0, 24)
    town.robot.fails = None
    await town.looks(RULES.give_up / HOUR + 0.1)
    assert await town.stands() == ("given_up", "unreached", None, "too_late")
    assert not town.robot.rung


# -- the ticket was opened again


async def test_a_ticket_opened_again_is_not_asked_about_and_closed_anew_it_is(town: Town) -> None:
    number = await town.closed(hour=11)
    await town.looks(11)
    await book.reopen(town.ledger, number, "101", at(12), "опять течёт")
    await town.looks(12)
    assert await town.stands() == ("cancelled", None, None, "reopened")
    await town.close(number, 13)
    await town.looks(13, 20)
    assert [row["status"] for row in await town.surveys()] == ["cancelled", "calling"]
    assert len(town.robot.rung) == 1


async def test_a_ticket_opened_between_the_look_and_the_claim_is_not_asked_about(town: Town) -> None:
    number = await town.closed()
    await town.campaign.plan(at(0))
    await book.reopen(town.ledger, number, "101", at(0.01), "опять течёт")
    assert await town.campaign._claim(1, at(0.02)) is None
    await town.campaign.call_due(at(0.02))
    assert not town.robot.rung
    assert await town.stands() == ("cancelled", None, None, "reopened")


async def test_a_call_in_vain_about_a_ticket_opened_again_is_the_last(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    await book.reopen(town.ledger, number, "101", at(0.01), "опять течёт")
    await town.ends(Outcome.NO_ANSWER, 0.02)
    await town.looks(0.03, 24)
    assert await town.stands() == ("cancelled", None, None, "reopened")


# -- one call at a time


@asynccontextmanager
async def controllers(
    town: Town, url: str, folder: Path, number: int, changed: Rules = RULES, one_asterisk: bool = True
) -> AsyncIterator[list[Campaign]]:
    """So many more controllers of the ledger, each with its own connections and its own robot."""
    ledgers = [Ledger(url, folder / f"{n}.jsonl") for n in range(number)]
    for ledger in ledgers:
        await ledger.__aenter__()
    try:
        yield [
            town.controller(FakeRobot("dozvon" if one_asterisk else f"dozvon{n}"), changed, ledger)
            for n, ledger in enumerate(ledgers)
        ]
    finally:
        for ledger in ledgers:
            await ledger.__aexit__(None, None, None)


def rung(campaigns: list[Campaign]) -> list[Job]:
    return [job for one in campaigns for job in one.robot.rung]  # type: ignore[attr-defined]


async def test_the_calls_row_and_the_attempt_are_written_before_the_phone_rings(town: Town) -> None:
    seen: list[dict[str, Any]] = []

    async def look_into_the_ledger(job: Job) -> None:
        found = await town.ledger.pool.fetchrow(
            "SELECT direction::text, caller, dialled, queue, category, calls.company_id, ended_at, attempt,"
            " controller, lease_until, status::text"
            " FROM calls JOIN survey_calls ON call_id = calls.id JOIN surveys ON surveys.id = survey_id"
            " WHERE calls.id = $1",
            job.call,
        )
        seen.append(dict(found or {}))

    town.robot.watch = look_into_the_ledger
    await town.closed()
    await town.looks(0)
    assert seen == [
        {
            "direction": "survey", "caller": MARIA, "dialled": LINE, "queue": "north", "category": "water",
            "company_id": town.company, "ended_at": None, "attempt": 1, "controller": "dozvon:1",
            "lease_until": at(0) + LEASE, "status": "calling",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("one_asterisk", [True, False])
async def test_of_many_controllers_exactly_one_rings_her(
    town: Town, url: str, tmp_path: Path, one_asterisk: bool
) -> None:
    wide = rules_with(at_once=100, channels=200)
    phones = [f"+7916100{number:04}" for number in range(30)]
    for phone in phones:
        await town.resident(phone)
        await town.closed(phone)
        await town.closed(phone)
    async with controllers(town, url, tmp_path, 3, wide, one_asterisk) as all_of_them:
        await asyncio.gather(*(town.looks(0, 0.01, campaign=one) for one in all_of_them))
        assert Counter(job.phone for job in rung(all_of_them)) == dict.fromkeys(phones, 1)


async def test_over_all_controllers_no_more_calls_go_on_than_the_rules_say(
    town: Town, url: str, tmp_path: Path
) -> None:
    for number in range(30):
        phone = f"+7916100{number:04}"
        await town.resident(phone)
        await town.closed(phone)
    async with controllers(town, url, tmp_path, 3, rules_with(at_once=7), one_asterisk=False) as all_of_them:
        await town.campaign.plan(at(0))
        await asyncio.gather(*(town.looks(0, 0.01, campaign=one) for one in all_of_them))
        assert len(rung(all_of_them)) == 7


async def test_who_claims_counts_what_the_one_before_has_claimed(
    town: Town, database: asyncpg.Pool[Any]
) -> None:
    await town.closed()
    await town.campaign.plan(at(0))
    async with database.acquire() as before, before.transaction():
        await town.ledger._statements.find("surveys.turn")(before)
        claiming = asyncio.create_task(town.campaign._claim(1, at(0)))
        await somebody_waits_for_a_lock(town)
        await before.execute(
            "INSERT INTO calls (id, direction, caller, arrived_at)"
            " SELECT 'other-survey-' || n || '-1', 'survey', '+7916200000' || n, $1 FROM generate_series(1, $2) n",
            at(0),
            RULES.at_once,
        )
    assert await claiming is None


async def test_the_database_itself_refuses_a_second_call_to_a_number(
    town: Town, database: asyncpg.Pool[Any]
) -> None:
    """A callback and a survey are claimed at the same moment: the index lets one through."""
    await town.closed()
    await town.campaign.plan(at(0))
    promise = await promised(town, MARIA, at(0))
    for first, second in (("surveys", "promises"), ("promises", "surveys")):
        claims = {"surveys": survey_claim(1), "promises": callback_claim(promise)}
        async with database.acquire() as one, database.acquire() as other:
            find = town.ledger._statements.find
            ours, theirs = one.transaction(), other.transaction()
            await ours.start()
            await theirs.start()
            won = await find(f"{first}.claim")(one, **claims[first])
            waits = asyncio.create_task(find(f"{second}.claim")(other, **claims[second]))
            await somebody_waits_for_a_lock(town)
            await ours.commit()
            assert won is not None and await waits is None
            await theirs.commit()
        on = await town.sql("SELECT count(*) FROM calls WHERE ended_at IS NULL")
        assert on == 1
        await town.sql("UPDATE calls SET ended_at = arrived_at, outcome = 'taken_back'")
        await town.sql("UPDATE surveys SET status = 'planned', next_attempt_at = $1", at(0))
        await town.sql("UPDATE promises SET next_attempt_at = $1", at(0))


def survey_claim(survey: int, asterisk: str = "dozvon") -> dict[str, Any]:
    return {
        "survey": survey, "asterisk": asterisk, "controller": "x", "default_queue": "dispatch", "why": None,
        "now": at(0.1), "lease_until": at(0.2),
    }  # fmt: skip


def callback_claim(promise: int, attempt: int = 1) -> dict[str, Any]:
    return {
        "promise": promise, "call": f"dozvon-callback-{promise}-{attempt}", "attempt": attempt, "controller": "x",
        "queue": "dispatch", "talk": timedelta(seconds=5), "now": at(0.1), "lease_until": at(0.2),
    }  # fmt: skip


async def somebody_waits_for_a_lock(town: Town) -> None:
    async with asyncio.timeout(5):
        while not await town.sql(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


async def test_while_the_robot_has_her_on_the_line_nobody_calls_her_back(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    promise = await promised(town, MARIA, at(0))
    assert await town.ledger.one("promises.claim", **callback_claim(promise)) is None
    await town.ends(Outcome.SURVEYED, 0.05)
    assert await town.ledger.one("promises.claim", **callback_claim(promise)) is not None


async def test_what_the_robot_talked_with_her_keeps_no_promise(town: Town) -> None:
    await town.closed()
    promise = await promised(town, MARIA, at(9))
    await town.sql("UPDATE promises SET closed_at = missed_at, status = 'withdrawn'")
    await town.looks(0)
    await town.sql("UPDATE promises SET closed_at = NULL, status = 'open'")
    await town.ends(Outcome.SURVEYED, 0.1)
    kept = await town.ledger.all(
        "promises.reach", now=at(1), since=at(-1), talk=timedelta(seconds=5), late="late"
    )
    assert kept == [] and promise


async def test_while_a_dispatcher_calls_her_back_the_robot_does_not(town: Town) -> None:
    await town.closed()
    promise = await promised(town, MARIA, at(0))
    assert await town.ledger.one("promises.claim", **callback_claim(promise)) is not None
    await town.campaign.plan(at(0.1))
    assert await town.ledger.one("surveys.claim", **survey_claim(1)) is None
    assert await town.campaign._claim(1, at(0.1)) is None


async def test_a_controller_that_slept_over_anothers_call_claims_nothing(town: Town) -> None:
    """It read what is due; meanwhile another one rang her: busy, and it waits for the next step."""
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.BUSY, 0.01)
    await town.looks(0.02)
    assert await town.campaign._claim(1, at(0.03)) is None, "not before its step"
    await town.sql(
        "UPDATE surveys SET status = 'done', result = 'refused', settled_at = $1, next_attempt_at = NULL",
        at(0),
    )
    assert await town.campaign._claim(1, at(5)) is None, "not when it is settled"
    assert len(town.robot.rung) == 1
    assert await town.sql("SELECT count(*) FROM survey_calls") == 1


async def test_names_of_calls_the_log_already_knows_are_not_used_again(town: Town) -> None:
    """The ledger was made anew; Asterisk's log knows calls of an older survey 1."""
    for attempt in (1, 2):
        await town.sql(
            "INSERT INTO calls (id, direction, arrived_at, ended_at, outcome)"
            " VALUES ($1, 'survey', $2, $2, 'surveyed')", f"dozvon-survey-1-{attempt}", at(-100),
        )  # fmt: skip
    await town.closed()
    await town.looks(0)
    assert town.job.call == "dozvon-survey-1-3"


# -- pacing


@pytest.mark.parametrize(
    ("load", "changed", "rings"),
    [
        ({}, {}, 5),
        ({}, {"at_once": 3}, 3),
        ({"carries": 2}, {}, 2),
        ({"carries": 0}, {}, 0),
        ({"others": 8}, {"channels": 20, "reserve": 10}, 2),
        ({"others": 10}, {"channels": 20, "reserve": 10}, 0),
        ({"others": 30}, {"channels": 20, "reserve": 10}, 0),
        ({"waiting": 2}, {"waiting": 2}, 5),
        ({"waiting": 3}, {"waiting": 2}, 0),
    ],
)
async def test_as_many_are_rung_as_trunk_ears_and_queues_allow(
    ledger: Ledger, load: dict[str, int], changed: dict[str, int], rings: int
) -> None:
    town = await Town(ledger, rules_with(**changed)).founded()
    for number in range(5):
        await town.resident(f"+7916100000{number}")
        await town.closed(f"+7916100000{number}")
    for name, value in load.items():
        setattr(town.robot, name, value)
    await town.looks(0, 0.01, 0.02)
    assert len(town.robot.rung) == rings


async def test_calls_the_exchange_has_not_heard_of_yet_are_counted_once(ledger: Ledger) -> None:
    town = await Town(ledger, rules_with(at_once=9, channels=14, reserve=10)).founded()
    for number in range(6):
        await town.resident(f"+7916100000{number}")
        await town.closed(f"+7916100000{number}")
    await town.looks(0)
    assert len(town.robot.rung) == 4
    town.robot.robots = 2  # it has heard of two of them
    await town.looks(0.01)
    assert len(town.robot.rung) == 4
    for job in town.robot.rung[:2]:
        await town.ends(Outcome.SURVEYED, 0.02, job)
    await town.looks(0.03)
    assert len(town.robot.rung) == 6


async def test_while_residents_wait_for_a_call_back_the_robot_rings_nobody(town: Town) -> None:
    await town.closed()
    promise = await promised(town, OLEG, at(0))
    await town.looks(0)
    assert not town.robot.rung and town.campaign.held == "owed"
    await town.sql("UPDATE promises SET next_attempt_at = $1 WHERE id = $2", at(5), promise)
    await town.looks(0.01)
    assert len(town.robot.rung) == 1 and town.campaign.held is None


async def test_an_exchange_that_cannot_be_asked_rings_nobody_and_nothing_is_lost(town: Town) -> None:
    town.robot.fails = Disconnected("no AMI link")
    await town.closed()
    await town.looks(0)
    assert town.campaign.held == "no_exchange"
    town.robot.fails = None
    await town.looks(0.01)
    assert len(town.robot.rung) == 1


# -- who dies


async def test_an_order_that_is_refused_counts_as_no_call_and_comes_again_after_the_pause(town: Town) -> None:
    town.robot.refuses = PeerError("no such context")
    await town.closed()
    await town.looks(0, 0.01)
    assert await town.stands() == ("planned", None, None, "taken_back")
    assert (await town.survey())["next_attempt_at"] == at(0) + RULES.pause
    town.robot.refuses = None
    await town.looks(0.1)
    assert town.job.call == "dozvon-survey-1-2"


async def test_an_order_nobody_knows_the_fate_of_is_not_given_twice(town: Town) -> None:
    town.robot.refuses = Disconnected("no answer within 5 s")
    await town.closed()
    await town.looks(0)
    town.robot.refuses = None
    await town.campaign.look_after({"dozvon-survey-1-1"}, at(0.02))
    await town.looks(0.02)
    assert not town.robot.rung, "it had been carried out"
    assert await town.stands() == ("calling", None, None, None)


async def test_one_who_cannot_be_rung_keeps_nobody_else_waiting(town: Town) -> None:
    await town.resident(OLEG)
    await town.closed(MARIA)
    await town.closed(OLEG)

    async def only_oleg(job: Job) -> None:
        if job.phone == MARIA:
            raise RuntimeError("a bug")

    town.robot.watch = only_oleg
    with pytest.raises(RuntimeError):
        await town.looks(0)
    assert [job.phone for job in town.robot.rung] == [OLEG]


async def test_a_claim_whose_controller_died_is_ended_by_the_next_one_of_its_asterisk(town: Town) -> None:
    """It died after the claim: the phone never rang, and that is no call of the day."""

    async def dies(_: Job) -> None:
        raise asyncio.CancelledError

    town.robot.watch = dies
    await town.closed()
    with pytest.raises(asyncio.CancelledError):
        await town.looks(0)
    town.robot.watch = None
    early = 2 * PLACED_WITHIN / HOUR
    await town.campaign.look_after(set(), at(early))
    await town.looks(early)
    assert await town.stands() == ("calling", None, None, None), "it may still be carried out"
    await town.campaign.look_after(set(), at(early + 0.001))
    await town.looks(early + 0.002, early + 0.002 + RULES.pause / HOUR)
    assert [job.call for job in town.robot.rung] == ["dozvon-survey-1-2"]


async def test_a_call_of_an_asterisk_that_is_gone_is_over_when_its_lease_has_lapsed(town: Town) -> None:
    other = town.controller(FakeRobot("elsewhere"))
    await town.closed()
    await town.looks(0, campaign=other)
    lapsed = (LEASE + LAPSED) / HOUR
    await town.campaign.look_after(set(), at(lapsed))
    await town.looks(lapsed)
    assert await town.stands() == ("calling", None, None, None)
    await town.looks(lapsed + 0.001)
    assert await town.stands() == ("planned", None, None, "cut_off")
    await town.looks(1, 5)
    assert not town.robot.rung, "she may have been rung: once a day"
    await town.looks(20)
    assert [job.call for job in town.robot.rung] == ["dozvon-survey-1-2"]


async def test_a_call_that_is_seen_going_on_is_left_alone_for_as_long_as_it_takes(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    for minute in range(60):
        await town.campaign.look_after({town.job.call}, at(minute / 60))
        await town.looks(minute / 60)
    assert await town.stands() == ("calling", None, None, None)
    assert len(town.robot.rung) == 1


async def test_a_clock_set_forward_ends_no_call_that_is_seen_going_on(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.campaign.look_after({town.job.call}, at(0.001))
    await town.looks(5)
    assert await town.stands() == ("calling", None, None, None)
    await town.campaign.look_after(set(), at(5.001))
    await town.looks(5.002)
    assert (await town.survey())["status"] == "planned", "it is seen no more"


async def test_a_call_that_was_heard_of_ends_by_its_own_end_not_by_a_look(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.sql(
        "INSERT INTO call_facts (call_id, key, at, kind) VALUES ($1, 'rang', $2, 'rang')",
        town.job.call,
        at(0),
    )
    await town.campaign.look_after(set(), at(0.02))
    await town.looks(0.02)
    assert await town.stands() == ("calling", None, None, None)


async def test_a_survey_cut_off_before_an_answer_is_tried_again(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.CUT_OFF, 0.1)
    await town.looks(0.2)
    assert await town.stands() == ("planned", None, None, "cut_off")
    await town.looks(20)
    assert len(town.robot.rung) == 2


async def test_a_survey_cut_off_after_an_answer_is_done(town: Town) -> None:
    await town.closed()
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 4)
    await town.ends(Outcome.CUT_OFF, 0.1)
    await town.looks(0.2, 24)
    assert await town.stands() == ("done", "rated", 4, None)
    assert len(town.robot.rung) == 1


async def test_a_call_is_settled_once_by_however_many_controllers(
    town: Town, url: str, tmp_path: Path
) -> None:
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.BUSY, 0.1)
    async with controllers(town, url, tmp_path, 3) as all_of_them:
        await asyncio.gather(*(one.settle(at(0.2)) for one in all_of_them for _ in range(3)))
    assert await town.stands() == ("planned", None, None, "busy")
    assert (await town.survey())["next_attempt_at"] == at(0.1) + RULES.ladder[0]


async def test_whoever_dies_between_two_lines_nobody_is_rung_twice_and_nobody_forgotten(
    town: Town, url: str, tmp_path: Path, dice: Random
) -> None:
    """Three controllers, cut off at any await, again and again, for six days; calls end as chance will have it."""
    phones = [f"+7916100{number:04}" for number in range(6)]
    for phone in phones:
        await town.resident(phone)
        for _ in range(3):
            await town.closed(phone, dice.random())
    async with controllers(town, url, tmp_path, 3, rules_with(at_once=3), one_asterisk=False) as all_of_them:
        for hour in [1 + half / 2 for half in range(2 * 24 * 6)]:
            for one in all_of_them:
                await cut_off(town.looks(hour, campaign=one), dice.choice((5, 20, 60, 10_000)))
            await one_of_them_ends(town, hour, dice)
            for one in all_of_them:
                await one.look_after(set(), at(hour + 0.25))
        for one in all_of_them:
            await town.looks(24 * 8, 24 * 8 + 1, campaign=one)
        placed = rung(all_of_them)
    assert len(placed) == len({job.call for job in placed}), "no order is given twice"
    surveys = await town.surveys()
    assert len(surveys) == 3 * len(phones)
    assert {row["status"] for row in surveys} <= {"done", "given_up"}, "nothing is stuck"
    assert any(row["status"] == "done" for row in surveys)
    rows = await town.ledger.pool.fetch(
        "SELECT caller, (arrived_at AT TIME ZONE 'Europe/Moscow')::date AS day, count(*) AS calls FROM calls"
        " WHERE direction = 'survey' AND outcome NOT IN ('busy', 'unreachable', 'taken_back') GROUP BY 1, 2"
    )
    assert rows and {row["calls"] for row in rows} == {1}, "once a day"
    assert max(Counter(row["caller"] for row in rows).values()) <= RULES.a_week


async def cut_off(work: Coroutine[Any, Any, None], steps: int) -> None:
    """Lets it run for so many turns of the event loop, then it dies."""
    task = asyncio.create_task(work)
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0)
    else:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def one_of_them_ends(town: Town, hour: float, dice: Random) -> None:
    """Of the calls that go on each ends sooner or later; some are only noticed when their lease has lapsed."""
    for row in await town.ledger.pool.fetch(
        "SELECT id, caller FROM calls WHERE ended_at IS NULL ORDER BY id"
    ):
        how = dice.choice(("answers", "busy", "no answer", "cut off", "nobody hears of it"))
        job = SimpleNamespace(call=row["id"])
        if how == "answers":
            await town.says(Result.RATED, hour + 0.1, dice.randrange(3, 6), job=job)  # type: ignore[arg-type]
        if how != "nobody hears of it":
            outcome = {"busy": Outcome.BUSY, "no answer": Outcome.NO_ANSWER, "cut off": Outcome.CUT_OFF}.get(
                how
            )
            await town.ends(outcome or Outcome.SURVEYED, hour + 0.1, job)  # type: ignore[arg-type]


# -- answers


async def test_an_answer_told_again_changes_nothing(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 2)
    before = await everything(town)
    for _ in range(2):
        await town.says(Result.RATED, 0.1, 2)
    assert await everything(town) == before
    assert (await town.the_ticket(number))["reopened"] == 1


async def test_an_answer_told_again_after_more_has_happened_changes_nothing(town: Town) -> None:
    """Killed between the database's yes and the dropping of the file: the whole outbox is run again."""
    number = await town.closed()
    await town.looks(0)
    story = [("said/1", Result.RATED, 2), ("said/2", Result.RATED, 4), ("said/3", Result.OPTED_OUT, None)]
    for place, (key, result, rating) in enumerate(story):
        await town.says(result, 0.1 + place / 100, rating, key=key)
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3)
    before = await everything(town)
    for place, (key, result, rating) in enumerate(story):
        await town.says(result, 0.1 + place / 100, rating, key=key)
    assert await everything(town) == before
    assert (await town.the_ticket(number))["rating"] == 4


async def everything(town: Town) -> list[Any]:
    tables = ("surveys", "survey_answers", "survey_calls", "tickets", "ticket_history", "opt_outs", "calls")
    return [sorted(map(repr, await town.ledger.pool.fetch(f"SELECT * FROM {table}"))) for table in tables]


@pytest.mark.parametrize(
    ("result", "rating"), [(Result.RATED, 1), (Result.RATED, 2), (Result.NOT_DONE, None)]
)
async def test_a_bad_answer_opens_the_ticket_again(town: Town, result: Result, rating: int | None) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(result, 0.1, rating)
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["closed_at"], ticket["reopened"]) == ("registered", None, 1)
    assert (ticket["rating"], ticket["result"]) == (rating, "Заменён кран")
    assert (await town.history(number))[-2:] == [str(result), "reopened"]
    last = (await book.show(town.ledger, number)).history[-1]
    assert (last["who"], last["at"]) == ("robot", at(0.1))
    assert last["detail"]["evidence"] == {"words": ["пять"]}
    assert (last["detail"]["result"], last["detail"].get("rating")) == (result, rating)
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3, 24)
    assert await town.stands() == ("done", result, rating, None)


@pytest.mark.parametrize("rating", [3, 4, 5])
async def test_a_fair_rating_leaves_the_ticket_closed(town: Town, rating: int) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(Result.RATED, 0.1, rating)
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["rating"], ticket["rated_at"]) == ("closed", rating, at(0.1))


async def test_a_draft_opened_again_is_a_draft(town: Town) -> None:
    number = await town.closed(content=None, status="draft")
    await town.looks(0)
    await town.says(Result.NOT_DONE, 0.1)
    assert (await town.the_ticket(number))["status"] == "draft"


async def test_a_ticket_closed_anew_meanwhile_is_not_opened_by_the_old_question(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    await book.reopen(town.ledger, number, "101", at(0.01), "опять течёт")
    await town.close(number, 0.02)
    await town.says(Result.RATED, 0.1, 1)
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["closed_at"], ticket["rating"]) == ("closed", at(0.02), 1)


async def test_a_rating_corrected_in_the_same_call_closes_the_ticket_as_it_was(town: Town) -> None:
    number = await town.closed()
    before = await town.the_ticket(number)
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 2)
    await town.says(Result.RATED, 0.11, 4, key="said/2")
    after = await town.the_ticket(number)
    assert after == {**before, "rating": 4, "rated_at": at(0.11)}
    assert (await town.history(number))[-5:] == ["closed", "rated", "reopened", "rated", "closed"]
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3, 24, 48)
    assert await town.stands() == ("done", "rated", 4, None)
    assert len(town.robot.rung) == 1, "nobody asks about the same closing twice"


async def test_a_rating_corrected_for_the_worse_opens_it(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    for place, rating in enumerate((4, 2, 5, 1)):
        await town.says(Result.RATED, 0.1 + place / 100, rating, key=f"said/{place}")
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["rating"], ticket["reopened"]) == ("registered", 1, 1)


async def test_what_a_person_has_taken_up_since_is_not_closed_by_a_correction(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(Result.NOT_DONE, 0.1)
    await book.complete(town.ledger, LIMITS, number, "101", at(0.105), content="Опять течёт кран")
    await town.says(Result.RATED, 0.11, 4, key="said/2")
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["rating"]) == ("registered", 4)


async def test_a_machine_that_sounded_like_a_rating_takes_it_back(town: Town) -> None:
    """«Нажмите один» — and then the beep."""
    number = await town.closed()
    before = await town.the_ticket(number)
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 1)
    await town.says(Result.MACHINE, 0.11, key="said/2", by=By.EARS)
    assert await town.the_ticket(number) == before
    assert (await town.history(number))[-4:] == ["rated", "reopened", "unrated", "closed"]
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3)
    assert await town.stands() == ("planned", None, None, "machine")


async def test_a_rating_that_is_taken_back_leaves_the_one_of_the_time_before(town: Town) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 2)
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3)
    await town.close(number, 24)
    await town.looks(24)
    await town.says(Result.RATED, 24.1, 5)
    await town.says(Result.NOT_UNDERSTOOD, 24.2, key="said/2")
    ticket = await town.the_ticket(number)
    assert (ticket["rating"], ticket["rated_at"]) == (2, at(0.1))


@pytest.mark.parametrize("wish", [Result.OPTED_OUT, Result.HUMAN, Result.REFUSED, Result.LATER])
async def test_what_she_wishes_after_a_rating_leaves_the_rating(town: Town, wish: Result) -> None:
    number = await town.closed()
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 2)
    await town.says(wish, 0.11, key="said/2")
    ticket = await town.the_ticket(number)
    assert (ticket["status"], ticket["rating"]) == ("registered", 2)
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3)
    assert await town.stands() == ("done", "rated", 2, None)
    opted_out = await town.sql("SELECT count(*) FROM opt_outs")
    assert opted_out == (wish is Result.OPTED_OUT)


@pytest.mark.parametrize("wish", [Result.OPTED_OUT, Result.HUMAN, Result.REFUSED, Result.LATER])
async def test_what_she_wishes_after_she_has_taken_her_rating_back_leaves_none(
    town: Town, wish: Result
) -> None:
    number = await town.closed()
    before = await town.the_ticket(number)
    await town.looks(0)
    await town.says(Result.RATED, 0.1, 2)
    await town.says(Result.NOT_UNDERSTOOD, 0.101, key="said/2", by=By.EARS)
    await town.says(wish, 0.11, key="said/3")
    assert await town.the_ticket(number) == before
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.looks(0.3)
    status, result, rating, _ = await town.stands()
    assert rating is None
    assert (status, result) == (("planned", None) if wish is Result.LATER else ("done", wish))


@pytest.mark.parametrize(("by", "how"), [(By.VOICE, "word"), (By.KEY, "key")])
async def test_who_wants_no_more_calls_is_rung_no_more_about_anything(town: Town, by: By, how: str) -> None:
    await town.closed()
    await town.closed(hour=0.01)
    await town.looks(0.02)
    await town.says(Result.OPTED_OUT, 0.1, by=by)
    row = await town.ledger.pool.fetchrow("SELECT phone, since, how, who FROM opt_outs")
    assert tuple(row or ()) == (MARIA, at(0.1), how, "resident")
    assert [row["status"] for row in await town.surveys()] == ["calling", "cancelled"], "at once"
    await town.ends(Outcome.SURVEYED, 0.2)
    await town.closed(hour=0.3)
    await town.looks(0.3, 24, 48)
    assert [(row["status"], row["why"]) for row in await town.surveys()] == [
        ("done", None), ("cancelled", "opted_out"), ("cancelled", "opted_out"),
    ]  # fmt: skip
    assert len(town.robot.rung) == 1


@pytest.mark.parametrize("settled_as", ["done", "planned", "given_up", "cancelled"])
async def test_an_answer_written_down_late_counts_all_the_same(town: Town, settled_as: str) -> None:
    """The controller died with it on its disk; another one settled the call, and then inherits it."""
    await town.closed()
    await town.looks(0)
    call = town.job
    await town.ends(Outcome.SURVEYED if settled_as == "done" else Outcome.CUT_OFF, 0.1)
    await town.looks(0.2)
    if settled_as in {"given_up", "cancelled"}:
        await town.sql(
            "UPDATE surveys SET status = $1::survey_status, next_attempt_at = NULL, settled_at = $2",
            settled_as,
            at(0.3),
        )
    assert (await town.survey())["status"] == settled_as
    await town.says(Result.RATED, 0.05, 3, job=call)
    assert await town.stands() == ("done", "rated", 3, None)
    await town.looks(24)
    assert len(town.robot.rung) == 1


async def test_an_answer_written_down_while_she_is_rung_again_counts_when_that_call_is_over(
    town: Town,
) -> None:
    await town.closed()
    await town.looks(0)
    first = town.job
    await town.ends(Outcome.CUT_OFF, 0.1)
    await town.looks(0.2, 20)
    assert len(town.robot.rung) == 2
    await town.says(Result.RATED, 0.05, 3, job=first)
    assert (await town.survey())["status"] == "calling"
    await town.ends(Outcome.NO_ANSWER, 20.1)
    await town.looks(20.2)
    assert await town.stands() == ("done", "rated", 3, None)


async def test_an_answer_between_the_look_and_the_settling_is_not_lost(
    town: Town, database: asyncpg.Pool[Any]
) -> None:
    """The settling holds the survey; the answer waits, and then finds it settled."""
    await town.closed()
    await town.looks(0)
    await town.ends(Outcome.SURVEYED, 0.1)
    async with town.ledger.transaction() as one:
        assert await one.one("surveys.hold", survey=1) is not None
        row = await one.one("surveys.ended", survey=1)
        assert row and row["result"] is None
        telling = asyncio.create_task(town.says(Result.RATED, 0.05, 3))
        await somebody_waits_for_a_lock(town)
        await one.run(
            "surveys.settle", survey=1, status="done", result="hung_up", rating=None, why=None, again_at=None,
            now=at(0.2),
        )  # fmt: skip
    await telling
    assert await town.stands() == ("done", "rated", 3, None)


async def test_an_answer_of_a_call_that_is_no_survey_is_kept_and_does_nothing(town: Town) -> None:
    await town.sql("INSERT INTO calls (id, caller, arrived_at) VALUES ('dozvon-1.0', $1, $2)", MARIA, at(0))
    town.ledger.write(
        "surveys.answer",
        call="dozvon-1.0",
        key="x",
        at=at(0),
        result="rated",
        rating=1,
        by="voice",
        detail={},
    )
    await town.ledger.settled()
    assert await town.sql("SELECT count(*) FROM survey_answers") == 1


# -- who listens


@pytest.fixture
async def told(url: str) -> AsyncIterator[Callable[[], Any]]:
    """How many times `surveys` was notified since it was last asked."""
    async with notified(url, "surveys") as asked:
        yield asked


async def test_whoever_listens_hears_of_every_change_and_of_nothing_else(
    town: Town, told: Callable[[], Any]
) -> None:
    await town.closed(hour=11)
    assert await told() > 0, "closed"
    await town.looks(11)
    assert await told() > 0, "planned"
    await town.looks(11.1, 15, 19.9)
    assert await told() == 0, "quiet hours"
    await town.looks(20)
    assert await told() > 0, "calling"
    await town.looks(20.001, 20.01)
    await town.campaign.look_after({town.job.call}, at(20.02))
    assert await told() == 0
    await town.says(Result.RATED, 20.03, 5)
    assert await told() > 0, "answered"
    await town.says(Result.RATED, 20.03, 5)
    assert await told() == 0, "told again"
    await town.ends(Outcome.SURVEYED, 20.04)
    await town.looks(20.05)
    assert await told() > 0, "done"
    await town.looks(20.06, 48)
    assert await told() == 0


async def test_while_the_lines_are_full_nobody_is_woken_for_nothing(
    town: Town, told: Callable[[], Any]
) -> None:
    await town.closed()
    town.robot.waiting = 99
    await town.looks(0)
    assert await told() > 0
    await town.looks(0.1, 0.2, 0.3)
    assert await told() == 0


# -- as many as a town has


async def closings(town: Town, number: int) -> None:
    """So many tickets of so many residents with consent, closed at noon."""
    await town.sql(
        """
        WITH house AS (
            INSERT INTO houses (company_id, address) VALUES ($1, 'Большая') RETURNING id
        ), flat AS (
            INSERT INTO flats (company_id, house_id, number)
            SELECT $1, id, n::text FROM house, generate_series(1, $2) n RETURNING id
        ), who AS (
            INSERT INTO residents (company_id, flat_id, name) SELECT $1, id, 'Ж' FROM flat RETURNING id
        ), consented AS (
            INSERT INTO consents (company_id, resident_id, kind, given, since, source)
            SELECT $1, id, 'robocall', true, '2026-01-01', 'заявление' FROM who
        ), phone AS (
            INSERT INTO resident_phones (phone, company_id, resident_id)
            SELECT '+7917' || lpad(id::text, 7, '0'), $1, id FROM who RETURNING phone
        )
        INSERT INTO tickets (company_id, phone, category, content, status, registered_at, closed_at, result)
        SELECT $1, phone, 'water', 'x', 'closed', $3, $3, 'x' FROM phone
        """,
        town.company,
        number,
        at(0),
    )


async def test_with_ten_thousand_planned_a_look_in_vain_is_short(town: Town) -> None:
    await closings(town, 10_000)
    await town.sql("ANALYZE")
    await town.campaign.plan(at(11))
    assert await town.sql("SELECT count(*) FROM surveys WHERE status = 'planned'") == 10_000
    await town.sql("ANALYZE")
    spent = []
    for second in range(100):
        began = time.perf_counter()
        await town.looks(11 + second / 3600)
        spent.append(time.perf_counter() - began)
    spent.sort()
    print(f"a look: median {spent[50] * 1000:.1f} ms, the longest (at all of them) {spent[-1] * 1000:.1f} ms")
    assert spent[50] < 0.05
