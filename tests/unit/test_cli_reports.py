"""What the command line says of reports and promises."""

from __future__ import annotations

import argparse
import stat
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import words
from callback.report import Period, Report
from directory.blocked import pattern_of
from ivr.__main__ import _parser
from ivr.call import Kind, Outcome
from ivr.cli import days, reports
from ivr.cli.promises import happening, particulars, when
from ivr.cli.shown import clock, private_file
from ivr.errors import DozvonError, Refused
from tests.fakes import NOON
from tickets import limits

MOSCOW = ZoneInfo("Europe/Moscow")
SAID = words.read("ru")
TODAY = Period(date(2026, 11, 18), date(2026, 11, 18), MOSCOW)
LATER = NOON + timedelta(days=1)


def at(minutes: float | None) -> datetime | None:
    return None if minutes is None else NOON + timedelta(minutes=minutes)


def call(outcome: Outcome | None, *, answered: float | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "dozvon-1.0", "arrived_at": NOON, "queued_at": NOON, "answered_at": at(answered), "ended_at": at(20),
        "outcome": outcome, "phone": "+79160000001", "company": "УК «Северная»", "category": "water", "promise": 7,
        "why": None, "reached_at": None, "blocked": None,
    } | more  # fmt: skip


def report_of(*rows: dict[str, Any], now: datetime = LATER) -> Report:
    made = Report(TODAY, limits.read(), now)
    for row in rows:
        made.add(row)
    return made


def printed(*rows: dict[str, Any], now: datetime = LATER) -> str:
    return "\n".join(reports.text(report_of(*rows, now=now), {}, SAID))


def test_a_report_of_no_calls_says_so() -> None:
    assert printed().endswith("Звонков не поступало: считать нечего.")


def test_a_report_without_breaches_says_so() -> None:
    said = printed(call(Outcome.TALKED, answered=1))
    assert "1 из 1   100,0 %   ПП РФ № 416, п. 13" in said
    assert "0 из 0         –" in said
    assert said.endswith("Нарушений срока нет.")


def test_what_is_not_decided_yet_is_said() -> None:
    waiting = call(None, ended_at=None)
    assert "ждут ответа 1, ждут перезвона 0" in printed(waiting, now=NOON)
    assert "ждут ответа 0, ждут перезвона 1" in printed(waiting, now=NOON + timedelta(minutes=6))
    assert "не решено" not in printed(waiting)


@pytest.mark.parametrize(
    ("row", "what", "why", "spoken"),
    [
        pytest.param(
            call(Outcome.ABANDONED_IN_QUEUE, why="busy", reached_at=at(12.5)),
            "звонивший не дождался ответа", "было занято", "18.11.2026 12:12:30, на 02:30 позже срока",
            id="called back late",
        ),
        pytest.param(
            call(Outcome.QUEUE_TIMED_OUT, why="перезвоню сам", promise=7),
            "вышло время ожидания", "перезвоню сам", "нет",
            id="in a person's own words",
        ),
        pytest.param(
            call(Outcome.TALKED, answered=12),
            "ответили через 12:00", "долгое ожидание в очереди", "18.11.2026 12:12:00, на 02:00 позже срока",
            id="answered late",
        ),
        pytest.param(
            call(None, ended_at=None), "всё ещё ждёт ответа", "долгое ожидание в очереди", "нет", id="still waiting"
        ),
        pytest.param(
            call(Outcome.VOICEMAIL, promise=None), "оставлено голосовое сообщение",
            "обещания перезвонить нет в журнале", "нет", id="without a promise",
        ),
        pytest.param(
            call(Outcome.CUT_OFF, phone=None), "связь оборвалась", "номер скрыт, перезвонить некуда", "нет",
            id="hidden",
        ),
    ],
)  # fmt: skip
def test_an_exception_says_what_happened_why_and_how_late(
    row: dict[str, Any], what: str, why: str, spoken: str
) -> None:
    lines = printed(row).splitlines()
    assert f"   Что было:   {what}" in lines
    assert f"   Почему:     {why}" in lines
    assert f"   Поговорили: {spoken}" in lines


def event(source: str, what: str, who: str | None = None, **detail: Any) -> dict[str, Any]:
    return {"call_id": "dozvon-1.0", "at": NOON, "source": source, "what": what, "who": who, "detail": detail}


def test_a_timeline_reads_as_a_story() -> None:
    events = [
        event("call", "arrived"),
        event("call", "prompt", prompt="welcome"),
        event("promise", "opened", "hotline", reason="abandoned_in_queue"),
        event("attempt", "placed", attempt=1),
        event("attempt", "accepted", "101", attempt=1),
        event("attempt", "ended", attempt=1, outcome="busy"),
        event("promise", "postponed", "101", reason="просила вечером", until="2026-11-18T17:00:00+00:00"),
        event("promise", "broken", "hotline", why="busy"),
    ]
    assert [line.partition("  ")[2] for line in reports.timeline(events, SAID, MOSCOW)] == [
        "звонок      вызов поступил",
        "обещание    пропущен звонок, обещан перезвон: звонивший не дождался ответа",
        "попытка 1   начата",
        "попытка 1   диспетчер принял, набираем жителя (101)",
        "попытка 1   завершение: было занято",
        "обещание    отложено (101): просила вечером, до 18.11.2026 20:00:00",
        "обещание    срок вышел: было занято",
    ]


def test_every_kind_of_fact_has_its_words() -> None:
    assert set(reports.HAPPENED) == set(Kind)


def test_somebodys_own_words_are_never_a_formula_for_excel() -> None:
    made = report_of(call(Outcome.QUEUE_FULL, why="=HYPERLINK(1)", company="@ЖЭК"))
    titles, row = reports.sheet(made, SAID)
    cells = dict(zip(titles, row, strict=True))
    assert (cells["почему"], cells["компания"]) == ("'=HYPERLINK(1)", "'@ЖЭК")
    assert cells["поступил"] == "2026-11-18T12:00:00+03:00"
    assert cells["итог"] == "не поговорили"


def test_every_call_not_answered_in_time_is_in_the_sheet_and_no_other() -> None:
    made = report_of(
        call(Outcome.TALKED, answered=1),
        call(Outcome.TALKED, answered=6),
        call(Outcome.ABANDONED_IN_MENU, reached_at=at(11)),
        call(Outcome.INFORMED),
    )
    titles, *rows = reports.sheet(made, SAID)
    late, final = titles.index("опоздание, с"), titles.index("итог")
    assert [(row[late], row[final]) for row in rows] == [
        ("", "поговорили вовремя"),
        (60, "поговорили позже срока"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00"),
        (260, "04:20"),
        (-7, "-00:07"),
        (3599, "59:59"),
        (3723, "1:02:03"),
        (-90_000, "-25:00:00"),
    ],
)
def test_time_left_is_read_as_a_clock(seconds: int, text: str) -> None:
    assert clock(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"stage": "ringing_resident", "dispatcher": "101"}, "диспетчер 101 набирает"),
        ({"stage": "in_line", "dispatcher": None}, "в очереди к диспетчеру"),
        ({"calls_herself": True}, "звонит нам сейчас"),
        ({"phone": None}, "номер скрыт, перезвонить некуда"),
        ({"next_attempt_at": NOON}, "ждёт свободного диспетчера"),
        ({"next_attempt_at": at(2)}, "следующая попытка в 12:02:00"),
        ({"next_attempt_at": None}, "попытка закончилась"),
    ],
)
def test_what_is_happening_with_a_promise_now(row: dict[str, Any], text: str) -> None:
    plain = {"stage": None, "dispatcher": None, "calls_herself": False, "phone": "+79160000001"}
    assert happening({**plain, "next_attempt_at": None, **row}, SAID, NOON, MOSCOW) == text


def test_the_particulars_of_an_attempt_say_when_the_next_one_comes() -> None:
    entry = event("promise", "tried", outcome="no_answer", call="x", next="2026-11-18T09:01:00+00:00")
    assert particulars(entry, SAID, MOSCOW) == "не ответили, следующая 18.11.2026 12:01:00"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20m", NOON + timedelta(minutes=20)),
        ("17:30", datetime(2026, 11, 18, 14, 30, tzinfo=UTC)),
        ("11:30", datetime(2026, 11, 19, 8, 30, tzinfo=UTC)),
        ("2026-11-20T08:00", datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ("2026-11-20T08:00+05:00", datetime(2026, 11, 20, 3, tzinfo=UTC)),
    ],
)
def test_until_when_is_said_as_people_say_it(text: str, moment: datetime) -> None:
    assert when(text, NOON, MOSCOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "m", "25:00", "2026-13-01T10:00", "99999999999999m"])
def test_until_some_other_word_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="20m, 17:30 or"):
        when(text, NOON, MOSCOW)


def asked(*line: str) -> argparse.Namespace:
    return _parser().parse_args(line)


def test_a_day_or_a_month_is_asked_for_and_today_is_meant_without_either() -> None:
    late = datetime(2026, 11, 18, 22, tzinfo=UTC)  # one o'clock in Moscow
    november = days.period(asked("report", "--month", "2026-11"), MOSCOW, late)
    assert (november.first, november.last, days.named(november)) == (
        date(2026, 11, 1), date(2026, 11, 30), "01.11.2026–30.11.2026",
    )  # fmt: skip
    day = days.period(asked("promises", "--kept", "--day", "2026-11-21"), MOSCOW, late)
    assert (day.first, day.last, days.named(day)) == (date(2026, 11, 21), date(2026, 11, 21), "21.11.2026")
    assert days.period(asked("report"), MOSCOW, late).first == date(2026, 11, 19)


@pytest.mark.parametrize(
    "line",
    [
        ("report", "--day", "yesterday"),
        ("report", "--day", "2026-02-30"),
        ("report", "--day", "0001-01-01"),
        ("report", "--month", "2026-13"),
        ("report", "--month", "9999-12"),
        ("report", "--day", "2026-11-01", "--month", "2026-11"),
        ("report", "--json", "a", "--csv", "b"),
        ("promises", "--kept", "--broken"),
        ("promise", "keep", "7", "--reason", "so"),
        ("block", "add", "+7900*", "--author", "101"),
    ],
)
def test_a_wrong_command_line_is_refused(line: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        asked(*line)
    assert "usage: dozvon" in capsys.readouterr().err


def test_a_private_file_is_its_owners_alone_and_has_nothing_of_what_it_held(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    file.write_text("x" * 100)
    file.chmod(0o666)
    with private_file(file) as out:
        out.write("new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)


def test_a_file_in_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DozvonError, match="give a file in a folder"), private_file(tmp_path / "no" / "file"):
        pass


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("8 (916) 123-45-67", "+79161234567"),
        ("+79161234567", "+79161234567"),
        ("123-45-67", "+74951234567"),
        (" +7900* ", "+7900*"),
        ("8900*", "+7900*"),
        ("8 (900) 12*", "+790012*"),
        ("+380*", "+380*"),
    ],
)
def test_a_number_or_a_prefix_is_blocked_however_it_is_written(text: str, pattern: str) -> None:
    assert pattern_of(text) == pattern


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no digits"),
        ("*", "a prefix is digits with one \\*"),
        ("+*", "a prefix is digits with one \\*"),
        ("+79*00*", "a prefix is digits with one \\*"),
        ("+7900%*", "a prefix is digits with one \\*"),
        ("+7*", "far too many numbers"),
        ("8*", "far too many numbers"),
        ("900*", r"did you mean '\+7900\*'"),
        ("+7900123456789012*", "no phone number is that long"),
        ("101", "a Russian number has 11"),
        ("8916123456", "10 digits"),
    ],
)
def test_what_is_no_number_is_refused_with_what_to_do(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        pattern_of(text)
