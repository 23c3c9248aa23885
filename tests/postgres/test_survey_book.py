"""What people see of surveys and do about them, on a real Postgres; and what a month of them comes to."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import re
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from callback.report import Period, Share
from ivr.__main__ import main
from ivr.errors import Refused
from ivr.ledger import Ledger
from robocalls import book, report, rules
from robocalls.nouns import Result
from robocalls.outlook import Outlook, askable, outlook
from robocalls.report import Look

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TODAY = Period(date(2026, 11, 18), date(2026, 11, 18), MOSCOW)
NOVEMBER = Period.month(2026, 11, MOSCOW)
LATER = NOON + timedelta(days=3)
MARIA, OLEG = "+79000000001", "+79000000002"
ANNA = "101"
RULES = rules.read()

Dozvon = Callable[..., Awaitable[int]]
Said = pytest.CaptureFixture[str]

_ids = itertools.count()


class Jobs:
    """Tickets, surveys and the robot's calls written as the campaign leaves them; moments are minutes after noon."""

    def __init__(self, ledger: Ledger) -> None:
        self.pool = ledger.pool

    async def company(self, code: str = "severnaya") -> int:
        return int(
            await self.pool.fetchval(
                "INSERT INTO companies (code, name) VALUES ($1, $2) RETURNING id", code, f"УК «{code}»"
            )
        )

    async def resident(
        self,
        company: int,
        phone: str = MARIA,
        *,
        name: str = "Иванова Мария",
        flat: str = "1",
        consents: bool = True,
    ) -> None:
        house = await self.pool.fetchval(
            "INSERT INTO houses (company_id, address) VALUES ($1, $2)"
            " ON CONFLICT (company_id, address) DO UPDATE SET address = excluded.address RETURNING id",
            company, "ул. Лесная, д. 15",
        )  # fmt: skip
        flat_id = await self.pool.fetchval(
            "INSERT INTO flats (company_id, house_id, number) VALUES ($1, $2, $3) RETURNING id",
            company,
            house,
            flat,
        )
        resident = await self.pool.fetchval(
            "INSERT INTO residents (company_id, flat_id, name) VALUES ($1, $2, $3) RETURNING id",
            company, flat_id, name,
        )  # fmt: skip
        await self.pool.execute("INSERT INTO resident_phones VALUES ($1, $2, $3)", phone, company, resident)
        if consents:
            await self.pool.execute(
                "INSERT INTO consents (company_id, resident_id, kind, given, since, source)"
                " VALUES ($1, $2, 'robocall', true, '2026-03-01', 'заявление')",
                company, resident,
            )  # fmt: skip

    async def ticket(
        self,
        closed: float | None = 0,
        *,
        phone: str = MARIA,
        company: int | None = None,
        category: str = "water",
    ) -> int:
        number: int = await self.pool.fetchval(
            "INSERT INTO tickets (company_id, phone, category, content, status, registered_at, closed_at, result)"
            " VALUES ($1, $2, $3, 'Течёт кран', $4, $5, $6, 'Заменён кран') RETURNING number",
            company, phone, category, "registered" if closed is None else "closed", NOON - timedelta(days=1),
            at(closed),
        )  # fmt: skip
        return number

    async def survey(
        self,
        status: str = "planned",
        closed: float = 0,
        *,
        phone: str = MARIA,
        company: int | None = None,
        category: str = "water",
        ticket: int | None = None,
        **columns: Any,
    ) -> int:
        """Of a new ticket, or of that one."""
        ticket = ticket or await self.ticket(closed, phone=phone, company=company, category=category)
        settled = None if status in {"planned", "calling"} else at(closed + 60)
        values = {
            "ticket": ticket, "closed_at": at(closed), "company_id": company, "phone": phone, "status": status,
            "planned_at": at(closed), "next_attempt_at": at(closed) if status == "planned" else None,
            "settled_at": settled, **columns,
        }  # fmt: skip
        marks = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        return int(
            await self.pool.fetchval(
                f"INSERT INTO surveys ({', '.join(values)}) VALUES ({marks}) RETURNING id", *values.values()
            )
        )

    async def call(
        self,
        survey: int,
        outcome: str | None = "surveyed",
        arrived: float = 30,
        *,
        queued: float | None = None,
        answered: float | None = None,
        dispatcher: str | None = None,
    ) -> str:
        (row,) = await self.pool.fetch("SELECT phone, company_id FROM surveys WHERE id = $1", survey)
        attempt = 1 + await self.pool.fetchval(
            "SELECT count(*) FROM survey_calls WHERE survey_id = $1", survey
        )
        name = f"dozvon-survey-{survey}-{attempt}"
        await self.pool.execute(
            "INSERT INTO calls (id, direction, caller, company_id, arrived_at, picked_up_at, queued_at, answered_at,"
            " answered_by, ended_at, outcome) VALUES ($1, 'survey', $2, $3, $4, $4, $5, $6, $7, $8, $9)",
            name, row["phone"], row["company_id"], at(arrived), at(queued), at(answered), dispatcher,
            at(arrived + 2) if outcome else None, outcome,
        )  # fmt: skip
        await self.pool.execute(
            "INSERT INTO survey_calls VALUES ($1, $2, $3, 'test', $4, $4)", name, survey, attempt, at(arrived)
        )
        return name

    async def said(
        self,
        call: str,
        result: str,
        rating: int | None = None,
        minutes: float = 31,
        by: str = "voice",
        **detail: Any,
    ) -> None:
        await self.pool.execute(
            "INSERT INTO survey_answers VALUES ($1, $2, $3, $4, $5, $6, $7)",
            call, f"said/{next(_ids)}", at(minutes), result, rating, by, detail,
        )  # fmt: skip

    async def rated(self, rating: int, closed: float = 0, *, by: str = "voice", **more: Any) -> int:
        """Asked, and answered with that many stars."""
        survey = await self.survey("done", closed, result="rated", rating=rating, **more)
        await self.said(await self.call(survey, arrived=closed + 30), "rated", rating, closed + 31, by)
        return survey

    async def ended(self, result: str, closed: float = 0, *, rings: int = 1, **more: Any) -> int:
        """Asked, and it came to that."""
        status = "given_up" if result == "unreached" else "done"
        survey = await self.survey(status, closed, result=result, **more)
        for ring in range(rings):
            call = await self.call(
                survey, "no_answer" if result == "unreached" else "surveyed", closed + 30 + 5 * ring
            )
        if result != "unreached":
            await self.said(call, result, minutes=closed + 31)
        return survey

    async def comment(self, call: str, transcript: str) -> None:
        await self.pool.execute(
            "INSERT INTO survey_comments VALUES ($1, 'c.wav', 7, 100, 'x', 5, $2, 'vosk', $3)",
            call,
            transcript,
            NOON,
        )

    async def reopens(self, survey: int) -> None:
        await self.pool.execute(
            "UPDATE tickets SET status = 'registered', closed_at = NULL, reopened = reopened + 1"
            " FROM surveys WHERE ticket = number AND surveys.id = $1",
            survey,
        )


@pytest.fixture
def jobs(ledger: Ledger) -> Jobs:
    return Jobs(ledger)


def at(minutes: float | None) -> datetime | None:
    return None if minutes is None else NOON + minutes * MINUTE


async def of_november(ledger: Ledger, **more: Any) -> report.Report:
    return await report.report(ledger, NOVEMBER, LATER, **more)


# what is seen


async def test_a_survey_shows_its_calls_its_answers_and_what_was_heard(ledger: Ledger, jobs: Jobs) -> None:
    company = await jobs.company()
    await jobs.resident(company)
    survey = await jobs.survey("done", company=company, result="rated", rating=2)
    await jobs.call(survey, "no_answer")
    call = await jobs.call(survey, arrived=60, queued=61, answered=61.5, dispatcher=ANNA)
    words = [{"text": "двойка", "confidence": 0.93}]
    await jobs.said(call, "rated", 2, minutes=60.5, words=words)
    await jobs.comment(call, "опять течёт")
    await ledger.pool.execute(
        "INSERT INTO call_facts (call_id, key, at, kind, detail)"
        " VALUES ($1, 'h', $2, 'heard', $3), ($1, 'p', $2, 'prompt', '{}')",
        call, at(60.4), {"text": "двойка"},
    )  # fmt: skip
    shown = (await book.show(ledger, survey)).as_dict()
    assert (shown["name"], shown["flat"], shown["address"]) == ("Иванова Мария", "1", "ул. Лесная, д. 15")
    assert [(one["attempt"], one["outcome"], one["answered_by"], one["transcript"]) for one in shown["calls"]] == [
        (1, "no_answer", None, None), (2, "surveyed", ANNA, "опять течёт"),
    ]  # fmt: skip
    assert [(one["result"], one["rating"], one["detail"]) for one in shown["answers"]] == [
        ("rated", 2, {"words": words})
    ]
    assert [(one["kind"], one["detail"]) for one in shown["facts"]] == [("heard", {"text": "двойка"})]


@pytest.mark.parametrize("id", [0, 7, 2**70])
async def test_a_survey_that_is_not_there_is_refused(ledger: Ledger, id: int) -> None:
    with pytest.raises(Refused, match=f"no survey {id}"):
        await book.show(ledger, id)


async def test_of_other_companies_nothing_is_shown(ledger: Ledger, jobs: Jobs) -> None:
    north, river = await jobs.company(), await jobs.company("rechnoy")
    hers, theirs = await jobs.rated(5, company=north), await jobs.rated(1, company=river)
    unknown = await jobs.rated(3)
    assert {row["id"] for row in await book.surveys(ledger, serves=(north,))} == {hers, unknown}
    with pytest.raises(Refused, match=f"no survey {theirs}"):
        await book.show(ledger, theirs, (north,))
    with pytest.raises(Refused, match=f"no survey {theirs}"):
        await book.cancel(ledger, theirs, ANNA, NOON, "Ошибка", (north,))
    board = await book.on_the_board(ledger, LATER, MOSCOW, (north,))
    assert board["counts"]["rated"] == 0
    board = await book.on_the_board(ledger, NOON + 90 * MINUTE, MOSCOW, (north,))
    assert (board["counts"]["rated"], board["counts"]["average"], board["counts"]["low"]) == (2, 4.0, 0)


async def test_surveys_are_found_by_status_result_ticket_number_and_day(ledger: Ledger, jobs: Jobs) -> None:
    planned = await jobs.survey()
    low = await jobs.rated(2, phone=OLEG)
    old = await jobs.rated(5, closed=-48 * 60)
    ticket = (await book.show(ledger, low)).row["ticket"]

    async def found(**by: Any) -> set[int]:
        return {row["id"] for row in await book.surveys(ledger, **by)}

    assert await found() == {planned, low, old}
    assert await found(status="planned") == {planned}
    assert await found(result="rated") == {low, old}
    assert await found(ticket=ticket) == {low}
    assert await found(phone=OLEG) == {low}
    assert await found(period=TODAY) == {low}, "what is only planned is none of today's answers"
    assert [row["id"] for row in await book.surveys(ledger, most=1)] == [low]


@pytest.mark.parametrize(
    ("by", "why"), [({"status": "plannd"}, "'planned'"), ({"result": "rate"}, "'rated'")]
)
async def test_a_status_nobody_knows_is_refused_with_the_near_miss(
    ledger: Ledger, by: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refused, match=f"did you mean {why}"):
        await book.surveys(ledger, **by)


# who is handed over


async def test_who_is_handed_over_is_on_the_board_with_the_reason(ledger: Ledger, jobs: Jobs) -> None:
    company = await jobs.company()
    await jobs.resident(company)
    survey = await jobs.survey("calling", company=company, next_attempt_at=None)
    call = await jobs.call(survey, None)

    async def handed_over() -> list[Any]:
        return list((await book.on_the_board(ledger, NOON + 40 * MINUTE, MOSCOW))["handed_over"])

    assert await handed_over() == [], "the robot still speaks with her"
    await jobs.said(call, "rated", 3, minutes=30.4)
    await jobs.said(call, "rated", 1, minutes=30.5)
    await jobs.comment(call, "никто не приходил")
    await jobs.reopens(survey)
    await ledger.pool.execute("UPDATE calls SET queued_at = $2 WHERE id = $1", call, at(31))
    (row,) = await handed_over()
    assert (row["result"], row["rating"], row["stage"], row["dispatcher"]) == ("rated", 1, "in_line", None)
    assert (row["name"], row["flat"], row["address"], row["phone"]) == (
        "Иванова Мария", "1", "ул. Лесная, д. 15", MARIA,
    )  # fmt: skip
    assert (row["transcript"], row["category"], row["reopened"]) == ("никто не приходил", "water", True)

    for number, who in enumerate(("102", ANNA)):
        await ledger.pool.execute(
            "INSERT INTO call_facts (call_id, key, at, kind, who) VALUES ($1, $2, $3, 'rang', $4)",
            call, f"rang/{number}", at(31.1 + number), who,
        )  # fmt: skip
    (row,) = await handed_over()
    assert (row["stage"], row["dispatcher"]) == ("ringing_dispatcher", ANNA)
    await ledger.pool.execute(
        "UPDATE calls SET answered_at = $2, answered_by = '102' WHERE id = $1", call, at(33)
    )
    (row,) = await handed_over()
    assert (row["stage"], row["dispatcher"]) == ("talking", "102")
    await ledger.pool.execute(
        "UPDATE calls SET ended_at = $2, outcome = 'surveyed' WHERE id = $1", call, at(34)
    )
    assert await handed_over() == []


async def test_what_she_says_after_the_tone_is_told_before_the_call_is_over(
    ledger: Ledger, jobs: Jobs
) -> None:
    survey = await jobs.survey("calling", next_attempt_at=None)
    call = await jobs.call(survey, None, queued=32)
    heard = [
        ("prompt", {"prompt": "survey_question"}), ("heard", {"text": "двойка"}), ("heard", {"took": "rating"}),
        ("prompt", {"prompt": "survey_comment"}), ("heard", {"text": "опять [unk]"}), ("heard", {"text": "течёт"}),
        ("prompt", {"prompt": "survey_offer"}), ("heard", {"text": "да"}), ("heard", {"took": "yes"}),
    ]  # fmt: skip
    for number, (kind, detail) in enumerate(heard):
        await ledger.pool.execute(
            "INSERT INTO call_facts (call_id, key, at, kind, detail) VALUES ($1, $2, $3, $4, $5)",
            call, f"line/{number}", at(30 + number / 10), kind, detail,
        )  # fmt: skip
    (row,) = (await book.on_the_board(ledger, NOON, MOSCOW))["handed_over"]
    assert row["transcript"] == "опять [unk] течёт"
    await jobs.comment(call, "опять всё течёт")
    (row,) = (await book.on_the_board(ledger, NOON, MOSCOW))["handed_over"]
    assert row["transcript"] == "опять всё течёт", "what was taken in is what counts"


async def test_a_rating_that_was_followed_by_a_wish_is_still_why_she_is_handed_over(
    ledger: Ledger, jobs: Jobs
) -> None:
    survey = await jobs.survey("calling", next_attempt_at=None)
    call = await jobs.call(survey, None, queued=32)
    await jobs.said(call, "rated", 2, minutes=31)
    await jobs.said(call, "human", minutes=31.5)
    (row,) = (await book.on_the_board(ledger, NOON, MOSCOW))["handed_over"]
    assert (row["result"], row["rating"]) == ("rated", 2)


async def test_the_latest_on_the_board_are_those_who_answered_also_before_their_call_is_over(
    ledger: Ledger, jobs: Jobs
) -> None:
    refused = await jobs.ended("refused")
    await jobs.survey("cancelled", why="no_consent")
    await jobs.ended("unreached")
    on = await jobs.survey("calling", 60, next_attempt_at=None)
    await jobs.said(await jobs.call(on, None, arrived=70), "rated", 2, minutes=71, by="key")
    latest = (await book.on_the_board(ledger, NOON + 80 * MINUTE, MOSCOW))["latest"]
    assert [(row["id"], row["result"], row["rating"], row["by"]) for row in latest] == [
        (on, "rated", 2, "key"), (refused, "refused", None, "voice"),
    ]  # fmt: skip


async def test_an_answer_as_the_robot_writes_it_down_is_on_the_board_with_what_it_did(
    ledger: Ledger, jobs: Jobs
) -> None:
    survey = await jobs.survey("calling", next_attempt_at=None)
    call = await jobs.call(survey, None, queued=32)
    ledger.write(
        "surveys.answer", call=call, key="said/1", at=at(31), result="rated", rating=1, by="voice",
        detail={"words": [["кол", 0.9]]},
    )  # fmt: skip
    await ledger.settled()
    board = await book.on_the_board(ledger, NOON + 40 * MINUTE, MOSCOW)
    for row in (board["handed_over"][0], board["latest"][0]):
        assert (row["id"], row["result"], row["rating"], row["by"], row["reopened"]) == (
            survey, "rated", 1, "voice", True,
        )  # fmt: skip
    assert {entry["what"] for entry in (await book.show(ledger, survey)).history} == {"rated", "reopened"}


async def test_who_asked_for_a_person_and_said_nothing_else_is_handed_over_too(
    ledger: Ledger, jobs: Jobs
) -> None:
    survey = await jobs.survey("calling", next_attempt_at=None)
    await jobs.call(survey, None, queued=31)
    (row,) = (await book.on_the_board(ledger, NOON, MOSCOW))["handed_over"]
    assert (row["result"], row["rating"], row["id"]) == (None, None, survey)


# what people do


async def test_cancelled_it_says_who_and_why_in_the_tickets_history(ledger: Ledger, jobs: Jobs) -> None:
    survey = await jobs.survey()
    shown = await book.cancel(ledger, survey, ANNA, NOON, "  Уже спросили сами  ")
    row = shown.row
    assert (row["status"], row["why"], row["next_attempt_at"], row["settled_at"]) == (
        "cancelled", "Уже спросили сами", None, NOON,
    )  # fmt: skip
    assert [(entry["who"], entry["what"], entry["detail"]) for entry in shown.history] == [
        (ANNA, "survey_cancelled", {"survey": survey, "reason": "Уже спросили сами"})
    ]


@pytest.mark.parametrize("status", ["calling", "done", "given_up", "cancelled"])
async def test_what_is_under_way_or_over_is_not_cancelled(ledger: Ledger, jobs: Jobs, status: str) -> None:
    survey = await jobs.survey(status, next_attempt_at=None)
    with pytest.raises(Refused, match=f"survey {survey} is {status}: it cannot cancel"):
        await book.cancel(ledger, survey, ANNA, LATER, "Передумали")
    assert (await book.show(ledger, survey)).history == []


async def test_a_number_opts_out_once_and_for_ever(ledger: Ledger, jobs: Jobs) -> None:
    mine, other = await jobs.survey(), await jobs.survey(phone=OLEG)
    on = await jobs.survey("calling", next_attempt_at=None)
    row = await book.opt_out(ledger, MARIA, "panel", ANNA, NOON, "Просила не звонить")
    assert (row["new"], row["cancelled"], row["who"], row["reason"]) == (True, 1, ANNA, "Просила не звонить")
    rows = {id: (await book.show(ledger, id)).row for id in (mine, other, on)}
    assert {id: (row["status"], row["why"]) for id, row in rows.items()} == {
        mine: ("cancelled", "opted_out"), other: ("planned", None), on: ("calling", None),
    }  # fmt: skip
    again = await book.opt_out(ledger, MARIA, "cli", "admin", LATER)
    assert (again["new"], again["since"], again["who"], again["how"]) == (False, NOON, ANNA, "panel")
    for change in ("UPDATE opt_outs SET phone = '+79000000009'", "DELETE FROM opt_outs", "TRUNCATE opt_outs"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await ledger.pool.execute(change)


async def test_of_two_who_enter_the_same_number_at_once_both_are_told(ledger: Ledger) -> None:
    both = (book.opt_out(ledger, MARIA, "panel", who, NOON) for who in (ANNA, "102"))
    one, two = await asyncio.gather(*both)
    assert sorted((one["new"], two["new"])) == [False, True]
    assert one["who"] == two["who"]


async def test_who_serves_some_companies_sees_their_numbers_and_her_own_entries(
    ledger: Ledger, jobs: Jobs
) -> None:
    north, river = await jobs.company(), await jobs.company("rechnoy")
    await jobs.resident(north)
    await jobs.survey(phone=OLEG, company=north)
    for phone, who in ((MARIA, "102"), (OLEG, "102"), ("+79000000003", "102"), ("+79000000004", ANNA)):
        await book.opt_out(ledger, phone, "panel", who, NOON)

    async def seen(serves: tuple[int, ...] | None) -> set[str]:
        return {row["phone"][-1] for row in await book.opt_outs(ledger, serves=serves, who=ANNA)}

    assert await seen(None) == {"1", "2", "3", "4"}
    assert await seen((north,)) == {"1", "2", "4"}
    assert await seen((river,)) == {"4"}
    assert [row["phone"] for row in await book.opt_outs(ledger, phone=OLEG)] == [OLEG]


async def test_what_is_planned_is_brought_forward_and_what_was_agreed_stays(
    ledger: Ledger, jobs: Jobs
) -> None:
    evening, yesterday = NOON + timedelta(hours=8), NOON - timedelta(days=1)
    soon = await jobs.survey(next_attempt_at=evening)
    agreed = await jobs.survey(next_attempt_at=evening, agreed_at=evening)
    retry = await jobs.survey(next_attempt_at=evening, agreed_at=yesterday)
    due = await jobs.survey(next_attempt_at=yesterday)
    calling = await jobs.survey("calling", next_attempt_at=None)
    moved = await book.bring_forward(ledger, [soon, agreed, retry, due, calling], NOON)
    assert sorted(moved) == [soon, retry]
    rows = {id: (await book.show(ledger, id)).row["next_attempt_at"] for id in (soon, agreed, retry, due)}
    assert rows == {soon: NOON, agreed: evening, retry: NOON, due: yesterday}


async def test_bringing_forward_wakes_whoever_calls_even_when_nothing_moves(ledger: Ledger) -> None:
    woken = asyncio.Event()
    connection = await asyncpg.connect(ledger._url)
    try:
        await connection.add_listener("surveys", lambda *_: woken.set())
        await book.bring_forward(ledger, [], NOON)
        await asyncio.wait_for(woken.wait(), 5)
    finally:
        await connection.close()


async def test_it_is_known_whether_a_controller_listens(ledger: Ledger) -> None:
    assert not await book.is_anybody_calling(ledger)
    ledger.listen("surveys", lambda: None)
    await somebody_listens(ledger)


async def test_progress_says_what_is_on_what_is_due_and_what_has_come_of_it(
    ledger: Ledger, jobs: Jobs
) -> None:
    due = await jobs.survey()
    later = await jobs.survey(next_attempt_at=LATER)
    calling = await jobs.survey("calling", next_attempt_at=None)
    await jobs.rated(5)
    await jobs.rated(2)
    await jobs.ended("unreached")
    await jobs.rated(1, closed=-48 * 60)
    now = NOON + 90 * MINUTE
    everything = await book.progress(ledger, NOON, now)
    assert dict(everything) == {"calling": 1, "due": 1, "later": 1, "settled": 3, "rated": 2, "average": 3.5}
    some = await book.progress(ledger, NOON, now, [due, calling, later])
    assert (some["calling"], some["due"], some["later"], some["settled"], some["average"]) == (
        1,
        1,
        1,
        0,
        None,
    )


# the outlook


@pytest.fixture
async def north(jobs: Jobs) -> int:
    """A company with Maria, who has consented, and Oleg, who has not."""
    company = await jobs.company()
    await jobs.resident(company)
    await jobs.resident(company, OLEG, name="Смирнов Олег", flat="12", consents=False)
    return company


async def looks(
    ledger: Ledger, now: datetime = NOON, since: datetime = NOON, **more: Any
) -> dict[int, Outlook]:
    """By ticket."""
    return {look.row["ticket"]: look for look in await outlook(ledger, RULES, MOSCOW, now, since, **more)}


async def test_what_is_closed_and_not_planned_is_in_the_outlook_and_stays_unplanned(
    ledger: Ledger, jobs: Jobs, north: int
) -> None:
    hers, his = await jobs.ticket(-1, company=north), await jobs.ticket(-1, company=north, phone=OLEG)
    skipped = await jobs.ticket(-1, company=north, category="consultation")
    told = await looks(ledger)
    assert {number: (look.at, look.why) for number, look in told.items()} == {
        hers: (NOON, None), his: (None, "no_consent"), skipped: (None, "category"),
    }  # fmt: skip
    assert {look.row["id"] for look in told.values()} == {None}
    assert await ledger.pool.fetchval("SELECT count(*) FROM surveys") == 0
    assert set(await looks(ledger, ticket=hers)) == {hers}


async def test_the_outlook_says_when_and_what_each_waits_for(ledger: Ledger, jobs: Jobs, north: int) -> None:
    evening = NOON + timedelta(hours=6)
    agreed = await jobs.survey(company=north, agreed_at=evening, next_attempt_at=evening)
    retry = await jobs.survey(company=north, next_attempt_at=evening, why="busy")
    on = await jobs.survey("calling", company=north, next_attempt_at=None)
    before = await jobs.survey("cancelled", company=north, why="no_consent", settled_at=NOON - 2 * MINUTE)
    lately = await jobs.survey("given_up", company=north, why="no_answer", settled_at=NOON + MINUTE)
    told = {look.row["id"]: look for look in (await looks(ledger)).values()}
    assert before not in told
    assert {id: (look.at, look.why, look.is_on, look.is_off) for id, look in told.items()} == {
        agreed: (evening, None, False, False), retry: (evening, "busy", False, False),
        on: (None, None, True, False), lately: (None, "no_answer", False, True),
    }  # fmt: skip


async def test_quiet_hours_and_the_calls_of_the_day_are_in_the_outlook(
    ledger: Ledger, jobs: Jobs, north: int
) -> None:
    late, tomorrow = NOON + timedelta(hours=11), NOON + timedelta(hours=20)  # 23:00 and 8:00 in Moscow
    survey = await jobs.survey(company=north)
    (look,) = (await looks(ledger, late)).values()
    assert (look.at, look.why) == (tomorrow, "quiet_hours")
    await jobs.call(survey, "no_answer", arrived=-30)
    (look,) = (await looks(ledger)).values()
    assert look.at == tomorrow and look.why in {"a_day", "quiet_hours"}


async def test_an_open_emergency_a_call_and_an_opt_out_are_in_the_outlook(
    ledger: Ledger, jobs: Jobs, north: int
) -> None:
    await jobs.survey(company=north)
    emergency = await jobs.ticket(None, company=north, category="emergency")
    (look,) = (await looks(ledger)).values()
    assert look.why == "emergency" and look.at is not None and look.at > NOON
    await ledger.pool.execute("DELETE FROM tickets WHERE number = $1", emergency)
    await ledger.pool.execute(
        "INSERT INTO calls (id, caller, arrived_at) VALUES ('hers', $1, $2)", MARIA, NOON
    )
    (look,) = (await looks(ledger)).values()
    assert look.why == "on_a_call"
    await ledger.pool.execute("INSERT INTO opt_outs VALUES ($1, $2, 'word', 'resident')", MARIA, NOON)
    (look,) = (await looks(ledger)).values()
    assert (look.at, look.why) == (None, "opted_out")


async def test_askable_are_those_who_may_be_rung_now_whatever_was_planned(
    ledger: Ledger, jobs: Jobs, north: int
) -> None:
    evening = NOON + timedelta(hours=6)
    hers = await jobs.survey(company=north, next_attempt_at=evening, why="busy")
    agreed = await jobs.survey(company=north, next_attempt_at=evening, agreed_at=evening)
    his = await jobs.survey(company=north, phone=OLEG)
    later = await jobs.survey(company=north, next_attempt_at=evening, why="later")
    await jobs.survey("calling", company=north, next_attempt_at=None)
    ids, others = await askable(ledger, RULES, MOSCOW, NOON)
    assert ids == [hers]
    assert {look.row["id"]: (look.at, look.why) for look in others} == {
        agreed: (evening, "agreed"), his: (None, "no_consent"), later: (evening, "later"),
    }  # fmt: skip
    ticket = (await book.show(ledger, his)).row["ticket"]
    ids, others = await askable(ledger, RULES, MOSCOW, NOON, ticket)
    assert (ids, [look.row["id"] for look in others]) == ([], [his])


# the report


async def test_of_a_month_without_jobs_there_is_nothing_to_report(ledger: Ledger) -> None:
    made = await of_november(ledger)
    assert (made.total.jobs, made.total.average, made.exceptions, made.months) == (0, None, [], [])


async def test_the_report_counts_who_was_asked_reached_and_what_they_said(ledger: Ledger, jobs: Jobs) -> None:
    for stars in (5, 5, 4, 2):
        await jobs.rated(stars)
    await jobs.rated(5, by="key")
    for result in ("not_understood", "refused", "machine"):
        await jobs.ended(result)
    await jobs.ended("unreached", rings=3)
    await jobs.survey("cancelled", why="no_consent")
    await jobs.survey("calling", next_attempt_at=None)
    await jobs.survey()
    made = await of_november(ledger)
    total = made.total
    assert (total.jobs, total.waiting, total.asked, total.reached, total.rated, total.low) == (
        12,
        2,
        9,
        7,
        5,
        1,
    )
    assert total.response == Share(5, 9, 2)
    assert (total.ratings, total.average) == ({5: 3, 4: 1, 2: 1}, 4.2)
    assert made.by == {"voice": 4, "key": 1}
    assert made.not_understood == Share(1, 7)
    assert made.not_asked == {"no_consent": 1}
    assert made.outcomes[Result.RATED] == 5 and made.outcomes[Result.UNREACHED] == 1


async def test_a_closed_job_nobody_was_to_be_asked_about_is_counted_too(ledger: Ledger, jobs: Jobs) -> None:
    await jobs.ticket()
    await jobs.ticket(closed=None)
    made = await of_november(ledger)
    assert (made.total.jobs, made.total.asked, made.not_asked) == (1, 0, {None: 1})


async def test_a_ticket_closed_twice_is_two_jobs(ledger: Ledger, jobs: Jobs) -> None:
    first = await jobs.rated(1)
    ticket = (await book.show(ledger, first)).row["ticket"]
    await ledger.pool.execute(
        "UPDATE tickets SET closed_at = $2, reopened = 1 WHERE number = $1", ticket, at(600)
    )
    await jobs.rated(5, closed=600, ticket=ticket)
    made = await of_november(ledger)
    assert (made.total.jobs, made.total.ratings) == (2, {1: 1, 5: 1})
    (low,) = made.low
    assert low["reopened"], "it was open in between"
    assert made.exceptions == []


async def test_low_ratings_tell_the_comment_and_what_became_of_it(ledger: Ledger, jobs: Jobs) -> None:
    survey = await jobs.survey("done", result="rated", rating=1)
    call = await jobs.call(survey, queued=31, answered=32, dispatcher=ANNA)
    await jobs.said(call, "rated", 1)
    await jobs.comment(call, "опять течёт")
    await jobs.reopens(survey)
    (low,) = (await of_november(ledger)).low
    assert (low["transcript"], low["reopened"], low["dispatcher"], low["handed_over"]) == (
        "опять течёт", True, ANNA, True,
    )  # fmt: skip


async def test_exceptions_are_what_a_person_is_to_look_at(ledger: Ledger, jobs: Jobs) -> None:
    wanted = {
        await jobs.rated(2): Look.STILL_CLOSED,
        await jobs.ended("not_done"): Look.STILL_CLOSED,
        await jobs.ended("human"): Look.NOT_TALKED,
        await jobs.ended("not_understood"): Look.NOT_UNDERSTOOD,
        await jobs.ended("wrong_number"): Look.WRONG_NUMBER,
    }
    await jobs.rated(3)
    await jobs.ended("refused")
    await jobs.reopens(await jobs.rated(1))
    talked = await jobs.survey("done", result="human")
    await jobs.call(talked, queued=31, answered=32, dispatcher=ANNA)
    assert {row["id"]: look for look, row in (await of_november(ledger)).exceptions} == wanted


async def test_it_is_told_by_company_category_and_month(ledger: Ledger, jobs: Jobs) -> None:
    north, river = await jobs.company(), await jobs.company("rechnoy")
    await jobs.rated(5, company=north)
    await jobs.rated(3, company=north, category="lift")
    await jobs.rated(1, company=river)
    october = await jobs.rated(2, closed=-30 * 24 * 60, company=river)
    made = await of_november(ledger)
    assert {name: (of.rated, of.average) for name, of in made.by_company.items()} == {
        "УК «severnaya»": (2, 4.0), "УК «rechnoy»": (1, 1.0),
    }  # fmt: skip
    assert {name: of.average for name, of in made.by_category.items()} == {"water": 3.0, "lift": 3.0}
    columns = ("month", "jobs", "asked", "rated", "low", "average")
    assert [tuple(row[column] for column in columns) for row in made.months] == [
        ("2026-10", 1, 1, 1, 1, 2.0), ("2026-11", 3, 3, 3, 1, 3.0),
    ]  # fmt: skip
    assert october not in {row["id"] for row in made.rows}


async def test_a_month_begins_where_the_hotline_is(ledger: Ledger, jobs: Jobs) -> None:
    first = datetime(2026, 10, 31, 21, 30, tzinfo=UTC)  # half past midnight in Moscow
    await jobs.rated(5, closed=(first - NOON) / MINUTE)
    made = await of_november(ledger)
    assert (made.total.jobs, [row["month"] for row in made.months]) == (1, ["2026-11"])


async def test_a_days_report_is_that_days_and_has_no_months(ledger: Ledger, jobs: Jobs) -> None:
    midnight = -12 * 60.0
    await jobs.rated(5, closed=midnight)
    await jobs.rated(1, closed=midnight - 1)
    made = await report.report(ledger, TODAY, LATER)
    assert (made.total.jobs, made.total.average, made.months) == (1, 5.0, [])


# the command line


@pytest.fixture
def dozvon(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging_as_before: None) -> Dozvon:
    """`dozvon survey …` against the test's database, an hour after noon; its exit code."""
    monkeypatch.setenv("DOZVON_DATABASE_URL", url)
    monkeypatch.setenv("DOZVON_HOME", str(tmp_path))
    for room in ("surveys", "survey_reports"):
        monkeypatch.setattr(f"ivr.cli.{room}.now", lambda: NOON + 60 * MINUTE)

    async def run(*words: str) -> int:
        return await asyncio.to_thread(main, ["survey", *words])

    return run


async def test_dozvon_survey_plan_tells_whom_and_whom_not(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, capsys: Said
) -> None:
    await jobs.ticket(30, company=north)
    await jobs.ticket(30, company=north, phone=OLEG)
    await jobs.survey("planned", company=north, next_attempt_at=NOON + timedelta(days=1), why="busy")
    assert await dozvon("plan") == 0
    said = capsys.readouterr().out
    assert re.search(r"можно сейчас +1 +– +\+7 900 000-00-01 +УК «severnaya» +Водоснабжение", said)
    assert re.search(r"19\.11\.2026 12:00:00 .* было занято", said)
    assert re.search(r"Не спросит:\n.*\n2 .*\+7 900 000-00-02 .*нет согласия", said)
    assert "Всего: спросит 2, из них можно сейчас 1, говорит сейчас 0; не спросит 1" in said
    assert "Контроллер не запущен" in said
    assert await dozvon("plan", "--day", "2026-11-19") == 0
    assert "Всего: спросит 1, из них можно сейчас 0" in capsys.readouterr().out
    assert await ledger.pool.fetchval("SELECT count(*) FROM surveys") == 1


async def test_dozvon_survey_run_without_a_controller_says_what_to_do(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, capsys: Said
) -> None:
    survey = await jobs.survey(company=north, next_attempt_at=LATER)
    assert await dozvon("run") == 1
    assert "no controller is running on this ledger" in capsys.readouterr().err
    assert (await book.show(ledger, survey)).row["next_attempt_at"] == LATER


async def test_dozvon_survey_run_asks_now_and_follows_it_to_the_end(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.cli.surveys.LOOK_EVERY", 0.01)
    survey = await jobs.survey(company=north, next_attempt_at=LATER)
    await jobs.survey(company=north, phone=OLEG, next_attempt_at=LATER)

    async def ring() -> None:
        """A controller that takes whatever is due."""
        await ledger.pool.execute(
            "UPDATE surveys SET status = 'done', result = 'rated', rating = 4, next_attempt_at = NULL,"
            " settled_at = $2 WHERE id = $1 AND next_attempt_at <= $2",
            survey, NOON + 60 * MINUTE,
        )  # fmt: skip

    rings: set[asyncio.Task[None]] = set()
    ledger.listen("surveys", lambda: rings.add(asyncio.create_task(ring())))
    await somebody_listens(ledger)
    async with asyncio.timeout(20):
        assert await dozvon("run") == 0
    await asyncio.gather(*rings)
    said = capsys.readouterr().out
    assert "Можно спросить сейчас: 1 (раньше срока 1); позже или никогда: 1" in said
    assert "нет согласия жителя на звонки робота: 1" in said
    assert said.endswith("Говорит 0, ждут очереди 0, закончено 1 (оценили 1, средняя 4,0), позже 1\n")


async def test_dozvon_survey_run_of_a_ticket_nobody_plans_to_ask_about_says_so(
    ledger: Ledger, dozvon: Dozvon, capsys: Said
) -> None:
    ledger.listen("surveys", lambda: None)
    await somebody_listens(ledger)
    assert await dozvon("run", "--ticket", "7") == 1
    assert "ticket 7 has no survey that is planned" in capsys.readouterr().err


async def somebody_listens(ledger: Ledger) -> None:
    async with asyncio.timeout(5):
        while not await book.is_anybody_calling(ledger):  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.02)


async def a_month(ledger: Ledger, jobs: Jobs, north: int) -> int:
    """A five, a one whose resident talked with Anna, a wrong number, one without consent; the id of the one."""
    await jobs.rated(5, company=north)
    low = await jobs.survey("done", company=north, result="rated", rating=1)
    call = await jobs.call(low, queued=31, answered=32, dispatcher=ANNA)
    await jobs.said(call, "rated", 1, words=[["кол", 0.91]], ask=1)
    await jobs.comment(call, "=опять [unk]")
    await jobs.reopens(low)
    await jobs.ended("wrong_number", company=north, phone=OLEG, category="lift")
    await jobs.survey("cancelled", company=north, phone=OLEG, why="no_consent")
    return low


async def test_dozvon_survey_report_tells_everything_of_a_month(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, capsys: Said
) -> None:
    low = await a_month(ledger, jobs, north)
    assert await dozvon("report", "--month", "2026-11", "--company", "severnaya") == 0
    said = capsys.readouterr().out
    for line in (
        r"Закрыто заявок +4$",
        r"Оценили из тех, кому звонили +2 из 3 +66,6 %$",
        r"Средняя оценка +3,00$",
        r"Жалоб: 1–2 или «не сделано» +1$",
        r"  5  █{30} +1 +50,0 %$",
        r"  4   +0 +0,0 %$",
        r"  ошиблись номером +1$",
        r"  голосом +2$",
        r"  нет согласия жителя на звонки робота +1$",
        r"Лифт не работает +1 +1 +1 +0 +– +0$",
        r"2026-11 +4 +3 +2 +3,00 +1$",
        rf"1\. 1 из 5  заявка № 2, Водоснабжение, УК «severnaya»  \(опрос {low}\)$",
        r"   Комментарий: «=опять …»$",
        r"   Что дальше:  заявка снова открыта; говорил диспетчер 101$",
        r"  заявка № 3 .*\+7 900 000-00-02  чужой номер: исправьте справочник$",
    ):
        assert re.search(f"(?m)^{line}", said), line


async def test_dozvon_survey_report_of_a_day_without_closed_tickets_says_so(
    dozvon: Dozvon, capsys: Said
) -> None:
    assert await dozvon("report") == 0
    assert capsys.readouterr().out.endswith("Закрытых заявок не было: считать нечего.\n")


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_dozvon_survey_report_writes_a_file_for_its_owner_alone(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, tmp_path: Path, form: str
) -> None:
    await a_month(ledger, jobs, north)
    file = tmp_path / "november"
    assert await dozvon("report", "--month", "2026-11", f"--{form}", str(file)) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    if form == "csv":
        with file.open(encoding="utf-8-sig", newline="") as opened:
            titles, *rows = csv.reader(opened, delimiter=";")
        cells = [dict(zip(titles, row, strict=True)) for row in rows]
        assert [(row["оценка"], row["почему"], row["посмотреть"]) for row in cells] == [
            ("5", "", ""), ("1", "", ""),
            ("", "", "чужой номер: исправьте справочник"), ("", "нет согласия жителя на звонки робота", ""),
        ]  # fmt: skip
        assert cells[1]["комментарий"] == "«=опять …»"
    else:
        made = json.loads(file.read_text("utf-8"))
        assert (made["jobs"], made["average"], made["ratings"]["1"]) == (4, 3.0, 1)
        assert made["low_ratings"][0]["dispatcher"] == ANNA
        assert [row["look"] for row in made["exceptions"]] == ["wrong_number"]


async def test_dozvon_survey_show_and_list_tell_the_evidence(
    ledger: Ledger, jobs: Jobs, north: int, dozvon: Dozvon, capsys: Said
) -> None:
    low = await a_month(ledger, jobs, north)
    assert await dozvon("show", str(low)) == 0
    said = capsys.readouterr().out
    for line in (
        r"Оценка: +1$",
        r"Жилец: +Иванова Мария, ул\. Лесная, д\. 15, кв\. 1$",
        r"Открыта снова: да$",
        r"  18\.11\.2026 12:31:00  ответ голосом:  оценка 1  кол 91 %$",
        r"  18\.11\.2026 12:32:00  говорит диспетчер  101$",
        r"  .*  комментарий, 7 с  «=опять …»$",
    ):
        assert re.search(f"(?m)^{line}", said), line
    assert await dozvon("list", "--result", "rated") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert await dozvon("list", "--day", "2026-11-17") == 0
    assert capsys.readouterr().out == "Таких опросов нет.\n"
    assert await dozvon("show", "777") == 1
    assert "no survey 777" in capsys.readouterr().err


async def test_dozvon_survey_opt_out_is_for_ever_and_asks_nothing(
    ledger: Ledger, jobs: Jobs, dozvon: Dozvon, capsys: Said
) -> None:
    await jobs.survey()
    assert await dozvon("opt-outs") == 0
    assert capsys.readouterr().out == "Больше не звонить никто не просил.\n"
    assert await dozvon("opt-out", "8 (900) 000 00 01", "--reason", "просила") == 0
    assert "+7 900 000-00-01: робот больше никогда не позвонит на этот номер. Отменено опросов: 1" in (
        capsys.readouterr().out
    )
    assert await dozvon("opt-out", "+79000000001") == 0
    assert "уже с 18.11.2026 13:00:00, внёс admin" in capsys.readouterr().out
    assert await dozvon("opt-outs") == 0
    assert (
        "+7 900 000-00-01  18.11.2026 13:00:00  через администратора  admin  просила"
        in capsys.readouterr().out
    )
    assert await dozvon("opt-out", "8916123456") == 1
    assert "10 digits" in capsys.readouterr().err


async def test_dozvon_survey_cancel_says_who_and_why(
    ledger: Ledger, jobs: Jobs, dozvon: Dozvon, capsys: Said
) -> None:
    survey = await jobs.survey()
    assert await dozvon("cancel", str(survey), "--reason", "спросили сами", "--who", ANNA) == 0
    assert re.search(r"(?m)^  .*  101  опрос отменён  спросили сами$", capsys.readouterr().out)
