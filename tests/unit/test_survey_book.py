"""What a person does with surveys and what a report of them says, over a store in memory; the SQL is proven in
tests/postgres."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import words as promise_words
from callback.book import Cannot
from callback.report import Period, Share
from directory.nouns import Company
from ivr.call import Kind, Outcome
from ivr.dialplan.understanding import Intent
from ivr.errors import Refused
from panel.web import FOLDER
from robocalls import book, report
from robocalls.allowed import Why
from robocalls.nouns import By, Result, Status
from robocalls.report import Look, Report
from tests.fakes import NOON, FakeStore

MOSCOW = ZoneInfo("Europe/Moscow")
NOVEMBER = Period.month(2026, 11, MOSCOW)
PHONE = "+79161234567"


def survey(**more: Any) -> dict[str, Any]:
    return {"id": 7, "ticket": 3, "status": "planned", "phone": PHONE, "company_id": 1, **more}


def store(**more: Any) -> FakeStore:
    """One survey, number 7; it can be cancelled."""
    return FakeStore(
        {
            "survey_book.show": lambda values: [survey(**more)] if values["id"] == 7 else [],
            "survey_book.cancel": [{"id": 7}],
        }
    )


def asked(of: FakeStore, statement: str) -> list[dict[str, Any]]:
    return [values for name, values in of.asked if name == f"survey_book.{statement}"]


# moves


async def test_a_cancel_tells_who_when_and_why_and_from_where_it_is_legal() -> None:
    of = store()
    await book.cancel(of, 7, "101", NOON, "  Уже спросили  ")
    (values,) = asked(of, "cancel")
    assert (values["who"], values["now"], values["reason"]) == ("101", NOON, "Уже спросили")
    assert values["legal"] == [Status.PLANNED]


@pytest.mark.parametrize(("reason", "why"), [("  ", "say why"), ("ы" * 501, "501 characters, at most 500")])
async def test_a_reason_is_asked_for_and_bounded(reason: str, why: str) -> None:
    of = store()
    with pytest.raises(Refused, match=why):
        await book.cancel(of, 7, "101", NOON, reason)
    assert not asked(of, "cancel")


async def test_what_is_under_way_is_refused_in_words_people_know() -> None:
    of = store(status="calling")
    of.rows["survey_book.cancel"] = []
    with pytest.raises(Cannot, match="survey 7 is calling: it cannot cancel") as refused:
        await book.cancel(of, 7, "101", NOON, "Передумали")
    page = promise_words.read("ru", FOLDER / "page.toml")
    assert refused.value.code in page.rooms["survey_refusal"]


@pytest.mark.parametrize("id", [0, -1, 8, 2**63])
async def test_a_survey_nobody_knows_is_named(id: int) -> None:
    with pytest.raises(Refused, match=f"no survey {id}"):
        await book.show(store(), id)


@pytest.mark.parametrize(
    "text", ["8 (916) 123-45-67", "+79161234567", "9161234567", "79161234567", "8 916 123 45 67 "]
)
def test_a_number_is_read_however_it_is_written(text: str) -> None:
    assert book.number_of(text) == PHONE


@pytest.mark.parametrize("text", ["", "101", "звоните", "8916123456", "+7 916"])
def test_what_is_no_number_is_refused_in_words_people_know(text: str) -> None:
    with pytest.raises(Cannot, match="phone = ") as refused:
        book.number_of(text)
    page = promise_words.read("ru", FOLDER / "page.toml")
    assert refused.value.code in page.rooms["survey_refusal"]


async def test_an_opt_out_needs_no_reason_but_somebody_who_says_so() -> None:
    of = FakeStore({"survey_book.opt_out": [{"phone": PHONE, "new": True}]})
    await book.opt_out(of, PHONE, "panel", "101", NOON, "   ")
    (values,) = asked(of, "opt_out")
    assert (values["who"], values["how"], values["reason"]) == ("101", "panel", None)
    with pytest.raises(Refused, match="say who does it"):
        await book.opt_out(of, PHONE, "panel", " ", NOON)
    with pytest.raises(Refused, match="at most 500"):
        await book.opt_out(of, PHONE, "panel", "101", NOON, "ы" * 501)


async def test_who_is_opted_out_by_somebody_else_in_this_very_moment_is_looked_for_again() -> None:
    answers = iter([[], [{"phone": PHONE, "new": False}]])
    of = FakeStore({"survey_book.opt_out": lambda _: next(answers)})
    assert not (await book.opt_out(of, PHONE, "cli", "admin", NOON))["new"]


@pytest.mark.parametrize("most", [-1, 0, 10_000])
async def test_no_list_is_longer_than_a_person_reads(most: int) -> None:
    of = FakeStore()
    await book.surveys(of, most=most)
    await book.opt_outs(of, most=most)
    assert {values["most"] for _, values in of.asked} <= {1, book.MOST}


# words


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_code_has_its_words(language: str) -> None:
    rooms = book.words(language).rooms
    for room, codes in {
        "status": Status,
        "result": Result,
        "by": By,
        "why": Why,
        "look": Look,
        "how": book.HOW,
        "took": Intent,
    }.items():
        assert set(codes) <= set(rooms[room]), room
    reached = {Outcome.BUSY, Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.MACHINE, Outcome.CUT_OFF}
    assert reached | {Outcome.SURVEYED, Outcome.TAKEN_BACK, Outcome.TALKED} <= set(rooms["outcome"])
    assert set(rooms["fact"]) <= set(Kind)


def test_every_kind_of_fact_that_is_shown_has_its_words() -> None:
    sql = (FOLDER.parent / "robocalls" / "book.sql").read_text("utf-8")
    (kinds,) = re.findall(r"f\.kind IN \(([^)]*)\)\nORDER BY f\.at", sql)
    assert set(re.findall(r"'(\w+)'", kinds)) == set(book.words().rooms["fact"])


# the report


def job(result: str | None = None, rating: int | None = None, **more: Any) -> dict[str, Any]:
    """A closed job, rung once."""
    status = "planned" if result is None else "given_up" if result == "unreached" else "done"
    return {
        "id": 7, "ticket": 3, "closed_at": NOON, "company": "УК «Северная»", "category": "water", "phone": PHONE,
        "status": status, "result": result, "rating": rating, "why": None, "attempts": 1, "by": "voice",
        "reopened": False, "handed_over": False, "dispatcher": None, "transcript": None, "comment_s": None,
    } | more  # fmt: skip


def of_jobs(rows: Iterable[dict[str, Any]]) -> Report:
    made = Report(NOVEMBER, NOON)
    for row in rows:
        made.add(row)
    return made


def test_shares_are_of_those_who_were_rung_and_who_were_reached() -> None:
    machine, unreached = job("machine", status="given_up"), job("unreached")
    made = of_jobs([job("rated", 5), job("rated", 4, by="key"), job("refused"), machine, unreached, job()])
    total = made.total
    assert (total.jobs, total.waiting, total.asked, total.reached, total.rated) == (6, 1, 5, 3, 2)
    assert (total.response, total.willing) == (Share(2, 5, 1), Share(2, 3, 1))
    assert total.average == 4.5
    assert made.by == {"voice": 1, "key": 1}


def test_who_was_reached_and_only_asked_for_later_was_reached_all_the_same() -> None:
    assert of_jobs([job("later", status="given_up")]).total.reached == 1


@pytest.mark.parametrize("result", sorted(set(Result) - {Result.RATED}))
def test_only_a_rating_is_a_rating(result: Result) -> None:
    made = of_jobs([job(result)])
    assert (made.total.rated, made.total.average, made.by.total()) == (0, None, 0)
    assert made.outcomes == {result: 1}


def test_nobody_was_asked_and_why() -> None:
    made = of_jobs([
        job(None, status="cancelled", why="no_consent", attempts=0),
        job(None, id=None, status=None, attempts=0),
    ])  # fmt: skip
    assert (made.total.asked, made.not_asked) == (0, {"no_consent": 1, None: 1})


@pytest.mark.parametrize(
    ("row", "look"),
    [
        (job("rated", 3), None),
        (job("rated", 2), Look.STILL_CLOSED),
        (job("rated", 1, reopened=True), None),
        (job("not_done"), Look.STILL_CLOSED),
        (job("human"), Look.NOT_TALKED),
        (job("human", dispatcher="101"), None),
        (job("not_understood"), Look.NOT_UNDERSTOOD),
        (job("wrong_number"), Look.WRONG_NUMBER),
        (job("refused"), None),
        (job("unreached"), None),
        (job(), None),
    ],
)
def test_what_a_person_is_to_look_at(row: dict[str, Any], look: Look | None) -> None:
    assert report.to_look_at(row) is look
    assert [found for found, _ in of_jobs([row]).exceptions] == [look] * (look is not None)


async def test_a_month_is_asked_for_day_by_day_and_looks_back_a_year() -> None:
    of = FakeStore(
        {"survey_book.report": lambda values: [job("rated", 5)] if values["since"].day == 3 else []}
    )
    made = await report.report(of, NOVEMBER, NOON, Company(id=4, code="s", name="УК"))
    days = asked(of, "report")
    assert (len(days), {values["company"] for values in days}) == (30, {4})
    assert made.total.jobs == 1
    (months,) = asked(of, "months")
    assert months["since"].astimezone(MOSCOW).date() == date(2025, 12, 1)
    assert months["before"] == NOVEMBER.before


async def test_for_a_machine_the_report_has_every_figure() -> None:
    made = of_jobs([job("rated", 1), job("rated", 5), job("wrong_number")]).as_dict()
    assert made["ratings"] == {"1": 1, "2": 0, "3": 0, "4": 0, "5": 1}
    assert made["outcomes"] == {"rated": 2, "wrong_number": 1}
    assert [row["rating"] for row in made["low_ratings"]] == [1]
    assert [row["look"] for row in made["exceptions"]] == ["still_closed", "wrong_number"]
    assert made["categories"][0]["category"] == "water"


async def test_today_is_from_midnight_where_the_hotline_is() -> None:
    of = FakeStore({"survey_book.counts": [{"rated": 0}]})
    board = await book.on_the_board(of, NOON + timedelta(hours=13), MOSCOW, (1,))  # one o'clock at night
    (values,) = asked(of, "counts")
    assert values["since"].astimezone(MOSCOW).isoformat() == "2026-11-19T00:00:00+03:00"
    assert {values["serves"] for _, values in of.asked} == {(1,)}
    assert set(board) == {"now", "handed_over", "latest", "counts"}
