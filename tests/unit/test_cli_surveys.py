"""What the command line says of surveys, and how it follows the robot."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import words
from callback.report import Period
from ivr.__main__ import _parser
from ivr.cli import survey_reports, surveys
from ivr.errors import DozvonError
from ivr.settings import Settings
from robocalls import book
from robocalls.outlook import Outlook
from robocalls.report import Report
from tests.fakes import NOON, FakeStore

from .test_survey_book import job

MOSCOW = ZoneInfo("Europe/Moscow")
SETTINGS = Settings()
SAID, CALLS = book.words(), words.read()
NOVEMBER = Period.month(2026, 11, MOSCOW)
PHONE = "+79000000001"


def clock() -> datetime:
    return NOON


# the command line


def test_every_move_is_understood() -> None:
    for line in (
        "plan", "plan --day 2026-11-21", "run", "run --ticket 7", "report", "report --month 2026-11 --csv out.csv",
        "report --day 2026-11-21 --company severnaya --json", "list", "list --status done --result rated --ticket 7",
        "show 7", "cancel 7 --reason спросили", "opt-out +79000000001", "opt-out 89000000001 --reason просила",
        "opt-outs",
    ):  # fmt: skip
        _parser().parse_args(["survey", *line.split()])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "plan --day yesterday",
        "run --ticket all",
        "report --day 2026-11-21 --month 2026-11",
        "report --csv a --json b",
        "list --result good",
        "show",
        "cancel 7",
        "opt-out",
    ],
)
def test_a_wrong_command_line_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["survey", *line.split()])
    assert "usage: dozvon survey" in capsys.readouterr().err


# the plan


def look(at: datetime | None = None, why: str | None = None, **more: Any) -> Outlook:
    row = {
        "id": 7, "ticket": 3, "status": "planned", "phone": PHONE, "company": "УК «Северная»", "category": "water",
        "attempts": 0, "next_attempt_at": at, "settled_at": None,
    }  # fmt: skip
    return Outlook(row | more, at, why)


def test_the_plan_says_whom_when_and_whom_not_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    surveys.planned(
        [
            look(NOON),
            look(NOON + timedelta(hours=3), "later", id=8),
            look(None, None, id=9, status="calling"),
            look(None, "opted_out", id=None),
        ],
        NOON,
        SAID,
        SETTINGS,
    )
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    same = "+7 900 000-00-01 УК «Северная» Водоснабжение"
    assert told == [
        "Спросит робот:",
        "когда заявка опрос кому компания категория ждёт",
        f"можно сейчас 3 7 {same} –",
        f"18.11.2026 15:00:00 3 8 {same} житель просил перезвонить позже",
        f"сейчас говорит 3 9 {same} –",
        "",
        "Не спросит:",
        "заявка опрос кому компания категория почему",
        f"3 – {same} житель просил роботу больше не звонить",
        "",
        "Всего: спросит 3, из них можно сейчас 1, говорит сейчас 1; не спросит 1",
    ]


def test_a_plan_of_nobody_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    surveys.planned([], NOON, SAID, SETTINGS)
    assert capsys.readouterr().out.startswith("Спрашивать некого.\n")


# following


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def state(**more: Any) -> dict[str, Any]:
    return {"calling": 0, "due": 0, "later": 0, "settled": 0, "rated": 0, "average": None} | more


def campaign(*states: dict[str, Any], controllers: Sequence[int] = ()) -> FakeStore:
    """One state and one count of controllers a look, the last of each from then on."""
    return FakeStore(
        {"survey_book.progress": _one_after_another(states),
         "survey_book.listeners": _one_after_another([{"count": count} for count in controllers] or [{"count": 1}])}
    )  # fmt: skip


def _one_after_another(rows: Sequence[dict[str, Any]]) -> Any:
    coming: Iterator[dict[str, Any]] = iter(rows)
    last = rows[-1]
    return lambda values: [next(coming, last)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "LOOK_EVERY", 0)


async def test_it_is_followed_until_nothing_is_under_way_or_due() -> None:
    out = io.StringIO()
    due, on = state(due=2), state(calling=2)
    of = campaign(due, due, on, state(settled=2, rated=1, average=4.0, later=1))
    await surveys.follow(of, NOON, None, clock, out)
    assert out.getvalue().splitlines() == [
        "Говорит 0, ждут очереди 2, закончено 0 (оценили 0), позже 0",
        "Говорит 2, ждут очереди 0, закончено 0 (оценили 0), позже 0",
        "Говорит 0, ждут очереди 0, закончено 2 (оценили 1, средняя 4,0), позже 1",
    ]


async def test_on_a_terminal_it_is_one_line() -> None:
    out = Terminal()
    await surveys.follow(campaign(state(due=1), state()), NOON, [7], clock, out)
    assert out.getvalue().count("\n") == 1 and out.getvalue().count("\r") == 2


async def test_whoever_stops_looking_is_told_that_the_calls_go_on() -> None:
    out = Terminal()
    following = asyncio.create_task(surveys.follow(campaign(state(calling=1)), NOON, None, clock, out))
    async with asyncio.timeout(5):
        while not out.getvalue():  # noqa: ASYNC110 - nobody tells that a line was written
            await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert out.getvalue().endswith("\nОбзвон идёт дальше без нас: смотрите dozvon survey list\n")


async def test_a_controller_that_goes_away_is_waited_for_and_then_missed() -> None:
    back = [0] * (surveys.GONE_AFTER - 1) + [1]
    of = campaign(*[state(due=1)] * 2 * surveys.GONE_AFTER, state(), controllers=back)
    await surveys.follow(of, NOON, None, clock, io.StringIO())
    with pytest.raises(DozvonError, match="the controller is gone"):
        await surveys.follow(campaign(state(due=1), controllers=[0]), NOON, None, clock, io.StringIO())


# one survey


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ({"words": [["на", 0.7], ["троечку", 0.934]], "ask": 2}, "на 70 %, троечку 93 %"),
        ({"text": "пять [unk]", "confidences": [0.5, 1.0]}, "пять 50 %, … 100 %"),
        ({"key": "4", "ask": 1}, "клавиша 4"),
        ({"noise": "fax"}, "факс"),
        ({"took": "rating", "rating": 3, "sure": False}, "понято как: 3; не уверен"),
        ({"took": "which_job", "sure": True}, "понято как: спрашивает, о какой заявке речь"),
        ({}, ""),
    ],
)
def test_the_evidence_is_read_with_how_sure_the_ears_were(detail: dict[str, Any], told: str) -> None:
    assert surveys.evidence(detail, SAID) == told


def test_a_survey_reads_as_a_story() -> None:
    def at(minutes: float) -> datetime:
        return NOON + timedelta(minutes=minutes)

    survey = book.Survey(
        {
            "id": 7, "ticket": 3, "category": "water", "content": "Течёт кран", "done": None, "closed_at": NOON,
            "phone": PHONE, "name": None, "address": None, "flat": None, "company": None, "status": "done",
            "result": "rated", "rating": 1, "why": None, "agreed_at": None, "next_attempt_at": None, "reopened": True,
            "opted_out_at": None,
        },
        [
            {"attempt": 1, "placed_at": at(1), "ended_at": at(2), "outcome": "busy", "answered_by": None,
             "answered_at": None, "comment_s": None, "transcript": None},
            {"attempt": 2, "placed_at": at(30), "ended_at": at(34), "outcome": "surveyed", "answered_by": "101",
             "answered_at": at(33), "comment_s": 6.6, "transcript": None},
        ],
        [{"at": at(31), "result": "rated", "rating": 1, "by": "key", "detail": {"key": "1"}}],
        [{"at": at(30.5), "kind": "silence", "detail": {}}],
        [{"at": at(31), "who": "robot", "what": "reopened", "detail": {"call": "x"}}],
    )  # fmt: skip
    told = surveys.story(survey, SAID, SETTINGS)
    assert "Кому:          +7 900 000-00-01" in told and not any(line.startswith("Жилец") for line in told)
    assert told[told.index("Что было:") + 1 :] == [
        "  18.11.2026 12:01:00  1-й звонок:  было занято",
        "  18.11.2026 12:30:00  2-й звонок:  разговор с роботом",
        "  18.11.2026 12:30:30  молчание:",
        "  18.11.2026 12:31:00  ответ кнопкой:  оценка 1  клавиша 1",
        "  18.11.2026 12:31:00  заявка снова открыта",
        "  18.11.2026 12:33:00  говорит диспетчер  101",
        "  18.11.2026 12:34:00  комментарий, 7 с",
    ]


# the report


def row(result: str | None = None, rating: int | None = None, **more: Any) -> dict[str, Any]:
    where = {"address": "ул. Лесная, д. 15", "flat": "1", "answered_at": NOON if result else None}
    return job(result, rating, **{**where, **more})


def report_of(*rows: dict[str, Any]) -> Report:
    made = Report(NOVEMBER, NOON)
    for one in rows:
        made.add(one)
    return made


def printed(*rows: dict[str, Any]) -> str:
    return "\n".join(survey_reports.text(report_of(*rows), SAID, CALLS))


def test_a_report_of_no_jobs_says_so() -> None:
    assert printed().endswith("Закрытых заявок не было: считать нечего.")


def test_a_report_without_complaints_says_so() -> None:
    said = printed(row("rated", 5))
    assert "Жалоб нет.\n\nВсё в порядке: смотреть нечего." in said
    assert "Не спрашивали:" not in said and "Ещё не спрошены" not in said


def test_a_report_in_which_nobody_rated_has_no_average() -> None:
    said = printed(row("refused"), row())
    assert "Средняя оценка                                           –" in said
    assert "Ещё не спрошены: 1; в доли не входят" in said
    assert "Оценки:" not in said


@pytest.mark.parametrize(
    ("complaint", "became"),
    [
        (row("rated", 2), "заявка осталась закрытой"),
        (row("rated", 2, reopened=True), "заявка снова открыта"),
        (row("rated", 2, reopened=True, handed_over=True), "заявка снова открыта; диспетчера не дождались"),
        (row("not_done", reopened=True, handed_over=True, dispatcher="101"),
         "заявка снова открыта; говорил диспетчер 101"),
    ],
)  # fmt: skip
def test_a_complaint_says_what_became_of_it(complaint: dict[str, Any], became: str) -> None:
    assert f"   Что дальше:  {became}\n" in printed(complaint)


@pytest.mark.parametrize(
    ("comment", "told"),
    [
        ({"transcript": "опять [unk] течёт", "comment_s": 7.0}, "«опять … течёт»"),
        ({"comment_s": 7.0}, "голосом, 7 с, не разобран"),
        ({}, "нет"),
    ],
)
def test_a_comment_is_told_as_far_as_it_was_made_out(comment: dict[str, Any], told: str) -> None:
    assert f"   Комментарий: {told}\n" in printed(row("rated", 1, **comment))


def test_of_two_ratings_the_bars_are_as_long_as_they_are_many() -> None:
    lines = printed(*[row("rated", 5)] * 3, row("rated", 2)).splitlines()
    bars = {line.split()[0]: line.count("█") for line in lines if line[:3].strip().isdigit() and "%" in line}
    assert bars == {"5": 30, "4": 0, "3": 0, "2": 10, "1": 0}


def test_every_closed_job_is_in_the_sheet() -> None:
    rows = (
        row("rated", 5),
        row(None, status="cancelled", why="no_consent", attempts=0),
        row(None, id=None, status=None, attempts=0),
        row(None, attempts=0),
        row("unreached", why="busy", attempts=3),
    )
    titles, *lines = survey_reports.sheet(report_of(*rows), SAID, CALLS)
    cells = [dict(zip(titles, line, strict=True)) for line in lines]
    assert [(one["опрос"], one["итог"], one["оценка"], one["как"], one["почему"]) for one in cells] == [
        (7, "оценка поставлена", 5, "голосом", ""),
        (7, "", "", "", "нет согласия жителя на звонки робота"),
        ("", "", "", "", "опрос не планировался"),
        (7, "", "", "", ""),
        (7, "никто не ответил", "", "", "было занято"),
    ]
    assert cells[0]["закрыта"] == "2026-11-18T12:00:00+03:00"


def test_somebodys_own_words_are_never_a_formula_for_excel() -> None:
    cancelled = row(
        None, status="cancelled", why="=HYPERLINK(1)", attempts=0, company="@ЖЭК", transcript="+7"
    )
    titles, line = survey_reports.sheet(report_of(cancelled), SAID, CALLS)
    cells = dict(zip(titles, line, strict=True))
    assert (cells["почему"], cells["компания"]) == ("'=HYPERLINK(1)", "'@ЖЭК")
    assert cells["комментарий"] == "«+7»"


def test_which_day_a_survey_falls_on_is_the_hotlines_own() -> None:
    night = datetime.fromisoformat("2026-11-18T22:00:00+00:00")
    assert surveys._day_of(look(night), MOSCOW) == date(2026, 11, 19)
    assert surveys._day_of(look(None, "opted_out", settled_at=night), MOSCOW) == date(2026, 11, 19)
