"""The report asked of a real Postgres: each call once, spoken with however it came about."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import re
import stat
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import report
from callback.report import Period, Report, Share, Verdict
from directory import blocked, lookup
from ivr.__main__ import main
from ivr.ledger import Ledger
from tickets import limits

from .calls import MISSED, NOON, TALKED, switchboard, tell

MOSCOW = ZoneInfo("Europe/Moscow")
LIMITS = limits.read()
TALK = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
DAY = Period(date(2026, 11, 18), date(2026, 11, 18), MOSCOW)
LATER = NOON + timedelta(days=3)
ANNA = "+79160000001"

Dozvon = Callable[..., Awaitable[int]]
Said = pytest.CaptureFixture[str]

_ids = itertools.count()


class Diary:
    """Calls and promises written as the chase leaves them; moments are minutes after noon."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.company = ledger, None

    async def call(
        self,
        outcome: str | None,
        arrived: float = 0,
        *,
        answered: float | None = None,
        ended: float | None = None,
        caller: str | None = ANNA,
        direction: str = "inbound",
        company: int | None = None,
    ) -> str:
        name = f"dozvon-{next(_ids)}"
        await self.ledger.pool.execute(
            "INSERT INTO calls (id, arrived_at, queued_at, answered_at, ended_at, outcome, caller, direction,"
            " company_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8)",
            name, at(arrived), at(answered), at(ended), outcome, caller, direction, company,
        )  # fmt: skip
        return name

    async def missed(self, arrived: float = 0, **more: Any) -> str:
        return await self.call("abandoned_in_queue", arrived, ended=arrived + 1, **more)

    async def promise(self, *calls: str, phone: str | None = ANNA, **columns: Any) -> int:
        values = {
            "phone": phone, "reason": "abandoned_in_queue", "clause": "ПП РФ № 416, п. 13", "missed_at": NOON,
            "due_at": NOON + 10 * MINUTE, **columns,
        }  # fmt: skip
        numbers = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        number: int = await self.ledger.pool.fetchval(
            f"INSERT INTO promises ({', '.join(values)}) VALUES ({numbers}) RETURNING id", *values.values()
        )
        for call in calls:
            await self.ledger.pool.execute("INSERT INTO promise_calls VALUES ($1, $2)", call, number)
        return number

    async def kept(self, *calls: str, reached: float, **columns: Any) -> int:
        return await self.promise(
            *calls, status="kept", reached_at=at(reached), closed_at=at(reached), **columns
        )


@pytest.fixture
def diary(ledger: Ledger) -> Diary:
    return Diary(ledger)


def at(minutes: float | None) -> datetime | None:
    return None if minutes is None else NOON + timedelta(minutes=minutes)


async def reported(ledger: Ledger, period: Period = DAY, now: datetime = LATER, **more: Any) -> Report:
    return await report.report(ledger, period, LIMITS, TALK, now, **more)


async def verdicts(ledger: Ledger, **more: Any) -> dict[str, int]:
    return {verdict.value: count for verdict, count in (await reported(ledger, **more)).counts.items()}


async def test_of_a_day_without_calls_there_is_nothing_to_report(ledger: Ledger) -> None:
    made = await reported(ledger)
    assert (made.calls, made.answered_in_time.percent, made.exceptions) == (0, None, [])


async def test_a_call_kept_by_its_promise_was_spoken_with_in_time(ledger: Ledger, diary: Diary) -> None:
    await diary.kept(await diary.missed(), reached=4)
    assert await verdicts(ledger) == {"reached": 1}


async def test_each_call_of_a_promise_counts_with_its_own_ten_minutes(ledger: Ledger, diary: Diary) -> None:
    first, second = await diary.missed(0), await diary.missed(8)
    await diary.promise(first, second, status="broken", why="late", reached_at=at(12), closed_at=at(12))
    made = await reported(ledger)
    assert made.reached_in_time == Share(1, 2)
    (late,) = made.exceptions
    assert (late.row["id"], late.row["why"], late.late_by) == (first, "late", 2 * MINUTE)


async def test_a_moment_before_the_call_reached_nobody(ledger: Ledger, diary: Diary) -> None:
    await diary.kept(await diary.missed(5), reached=3)
    assert await verdicts(ledger) == {"never": 1}


async def test_a_talk_that_was_over_before_she_called_is_none_about_this_call(
    ledger: Ledger, diary: Diary
) -> None:
    await diary.call("talked", -8, answered=-7, ended=-2)
    await diary.missed(1)
    await diary.call("talked", 0, answered=0.5, ended=6, caller="+79160000002")
    await diary.missed(1, caller="+79160000002")
    now = await reported(ledger)
    assert now.counts == {Verdict.ANSWERED: 2, Verdict.NEVER: 2}


async def test_a_later_call_that_talked_is_a_talk_whatever_became_of_the_promise(
    ledger: Ledger, diary: Diary
) -> None:
    missed = await diary.missed(0)
    await diary.promise(missed, status="withdrawn", why="ошиблись номером", closed_at=at(2))
    await diary.call("talked", 6, answered=7, ended=9)
    made = await reported(ledger)
    assert made.counts == {Verdict.REACHED: 1, Verdict.ANSWERED: 1}
    assert made.unanswered[0].spoken_at == at(7)


@pytest.mark.parametrize(
    ("outcome", "answered", "ended"),
    [
        pytest.param("talked", 7, 7 + 4 / 60, id="four seconds are no talk"),
        pytest.param("machine", 7, 9, id="an answering machine is no talk"),
        pytest.param("cut_off", 7, 7 + 4 / 60, id="cut off"),
        pytest.param("no_answer", None, 9, id="not answered"),
    ],
)
async def test_a_call_back_that_was_no_talk_reached_nobody(
    ledger: Ledger, diary: Diary, outcome: str, answered: float | None, ended: float
) -> None:
    await diary.promise(await diary.missed(), status="broken", why="no_answer")
    await diary.call(outcome, 6, answered=answered, ended=ended, direction="callback")
    assert await verdicts(ledger) == {"never": 1}


@pytest.mark.parametrize("outcome", ["machine", "cut_off"])
async def test_who_was_answered_in_vain_is_reached_by_a_later_talk(
    ledger: Ledger, diary: Diary, outcome: str
) -> None:
    """A dispatcher may say afterwards that an answer was no talk."""
    await diary.call(outcome, answered=1, ended=2)
    await diary.call("talked", 5, answered=6, ended=8)
    assert await verdicts(ledger) == {"reached": 1, "answered": 1}


async def test_another_numbers_talk_reached_nobody(ledger: Ledger, diary: Diary) -> None:
    await diary.missed()
    await diary.call("talked", 1, answered=2, ended=5, caller="+79160000002")
    await diary.missed(caller=None)
    await diary.call("talked", 1, answered=2, ended=5, caller=None)
    assert await verdicts(ledger) == {"never": 2, "answered": 2}


async def test_a_hidden_number_was_not_reached_unless_a_person_says_so(ledger: Ledger, diary: Diary) -> None:
    await diary.promise(await diary.missed(caller=None), phone=None, status="broken", why="hidden")
    await diary.kept(await diary.missed(caller=None), phone=None, reached=9)
    assert await verdicts(ledger) == {"never": 1, "reached": 1}


async def test_calls_back_are_counted_apart(ledger: Ledger, diary: Diary) -> None:
    await diary.call("talked", 1, answered=2, ended=3, direction="callback")
    await diary.call("busy", 3, ended=4, direction="callback")
    made = await reported(ledger)
    assert (made.calls, made.callbacks_made, made.callbacks_talked) == (0, 2, 1)


async def test_calls_of_blocked_numbers_are_left_out_while_they_were_blocked(
    ledger: Ledger, diary: Diary
) -> None:
    first = await blocked.add(ledger, "+7916*", reason="реклама", author="Анна", now=NOON - MINUTE)
    await blocked.add(ledger, ANNA, reason="хулиган", author="Борис", now=NOON + 30 * MINUTE)
    await blocked.lift(ledger, first["id"], author="Анна", now=NOON + 60 * MINUTE)
    for minute in (-5, 0, 40, 61, 62):
        await diary.missed(minute, caller="+79160000002" if minute == 62 else ANNA)
    made = await reported(ledger)
    assert made.counts == {Verdict.NEVER: 2, Verdict.BLOCKED: 3}
    assert made.blocked == {("+7916*", "реклама", "Анна"): 1, (ANNA, "хулиган", "Борис"): 2}


async def test_one_company_is_reported_without_the_others(ledger: Ledger, diary: Diary) -> None:
    ids = [
        await ledger.pool.fetchval("INSERT INTO companies (code, name) VALUES ($1, $1) RETURNING id", code)
        for code in ("sever", "reka")
    ]
    for company in (*ids, ids[1], None):
        await diary.missed(company=company)
        await diary.call("busy", company=company, ended=1, direction="callback")
        await ledger.pool.execute("UPDATE calls SET caller = id")  # at most one attempt a number
    companies = {company.code: company for company in await lookup.companies(ledger)}
    made = await reported(ledger, company=companies["reka"])
    assert (made.calls, made.company, made.callbacks_made) == (2, "reka", 2)
    assert (await reported(ledger)).calls == 4


async def test_a_call_belongs_to_the_day_it_arrived_on(ledger: Ledger, diary: Diary) -> None:
    """Midnight in Moscow is 21:00 UTC; our noon is 09:00 UTC."""
    midnight = 12 * 60
    assert DAY.before == at(midnight)
    await diary.call("talked", midnight - 1, answered=midnight + 1, ended=midnight + 9)
    await diary.missed(midnight, caller="+79160000002")
    tomorrow = Period(date(2026, 11, 19), date(2026, 11, 19), MOSCOW)
    assert await verdicts(ledger) == {"answered": 1}
    assert await verdicts(ledger, period=tomorrow) == {"never": 1}


async def test_a_day_of_a_clock_change_has_all_its_calls_and_no_other(ledger: Ledger, diary: Diary) -> None:
    berlin, fall = ZoneInfo("Europe/Berlin"), date(2026, 10, 25)
    first = datetime(2026, 10, 24, 22, tzinfo=UTC)
    for hour in range(-1, 26):
        await diary.missed((first + timedelta(hours=hour) - NOON) / MINUTE, caller=f"+7916000{hour + 1:04}")
    assert (await reported(ledger, Period(fall, fall, berlin))).calls == 25
    assert (await reported(ledger, Period.month(2026, 10, berlin))).calls == 27


async def test_a_month_ends_with_its_last_day(ledger: Ledger, diary: Diary) -> None:
    november = Period.month(2026, 11, MOSCOW)
    second = timedelta(seconds=1)
    for moment in (november.since - second, november.since, november.before - second, november.before):
        await diary.missed((moment - NOON) / MINUTE)
    assert (await reported(ledger, november)).calls == 2


async def test_what_still_runs_is_not_decided_yet(ledger: Ledger, diary: Diary) -> None:
    await diary.call(None, 0)
    await diary.promise(await diary.missed(caller="+79160000002"), phone="+79160000002")
    assert await verdicts(ledger, now=NOON + 4 * MINUTE) == {"waiting": 1, "running": 1}
    assert await verdicts(ledger, now=NOON + 7 * MINUTE) == {"running": 2}
    assert await verdicts(ledger, now=NOON + 11 * MINUTE) == {"never": 2}


async def test_a_story_told_as_it_happens_comes_out_right(ledger: Ledger) -> None:
    board = switchboard(ledger)
    tell(board, *TALKED)
    tell(board, *MISSED, caller="+79160000002")
    tell(board, *TALKED, caller="+79160000002", at=NOON + 3 * MINUTE)
    await ledger.settled()
    made = await reported(ledger)
    assert made.answered_in_time == Share(2, 3)
    assert made.reached_in_time == Share(1, 1)


async def test_the_timeline_has_the_call_its_promise_and_its_attempts_in_one_order(
    ledger: Ledger, diary: Diary
) -> None:
    board = switchboard(ledger)
    call = tell(board, *MISSED, caller=ANNA).id
    await ledger.settled()
    (promise,) = await ledger.all("promises.of_call", call=call)
    back = await diary.call("busy", 2, ended=3, direction="callback")
    await ledger.pool.execute(
        "INSERT INTO attempts VALUES ($1, $2, 1, 'one', $3, $3)", back, promise["id"], at(2)
    )
    for minutes, kind in ((2.2, "accepted"), (3, "ended")):
        await ledger.pool.execute(
            "INSERT INTO call_facts (call_id, key, at, kind, who) VALUES ($1, $2, $3, $2::text::fact_kind, '101')",
            back, kind, at(minutes),
        )  # fmt: skip
    events = (await report.timelines(ledger, [call]))[call]
    assert [(event["source"], event["what"]) for event in events] == [
        ("call", "arrived"), ("promise", "opened"), ("call", "queued"), ("call", "ended"), ("call", "hung_up"),
        ("attempt", "placed"), ("attempt", "accepted"), ("attempt", "ended"),
    ]  # fmt: skip
    assert events[3]["detail"]["outcome"] == "abandoned_in_queue"
    assert events[-1]["detail"] == {"attempt": 1, "outcome": "busy"}
    assert (await report.timelines(ledger, [])) == {}


async def test_the_report_of_a_month_of_a_hundred_thousand_calls_takes_seconds(ledger: Ledger) -> None:
    """Every tenth was missed, every second of those was called back after eight minutes."""
    await ledger.pool.execute(A_BUSY_MONTH, timeout=60)
    begun = time.monotonic()
    made = await reported(ledger, Period.month(2026, 11, MOSCOW), now=LATER + timedelta(days=30))
    assert time.monotonic() - begun < 20, "it takes 3 s where nothing else runs"
    assert made.answered_in_time == Share(90_000, 100_000)
    assert made.reached_in_time == Share(5_000, 10_000)


A_BUSY_MONTH = """
    INSERT INTO calls (id, arrived_at, queued_at, answered_at, ended_at, outcome, caller)
    SELECT n, at, at, CASE WHEN n % 10 > 0 THEN at + interval '20 s' END, at + interval '2 minutes',
           CASE WHEN n % 10 > 0 THEN 'talked' ELSE 'abandoned_in_queue' END::call_outcome,
           '+7916' || lpad(n::text, 7, '0')
    FROM generate_series(0, 99999) n,
         LATERAL (SELECT timestamptz '2026-11-01 00:00+03' + n * interval '25.9 s' AS at);
    WITH promise AS (
        INSERT INTO promises (phone, reason, clause, status, missed_at, due_at, reached_at, closed_at)
        SELECT caller, outcome, 'п. 13', 'withdrawn', arrived_at, arrived_at + interval '10 minutes',
               CASE WHEN id::integer % 20 = 0 THEN arrived_at + interval '8 minutes' END,
               arrived_at + interval '1 hour'
        FROM calls WHERE answered_at IS NULL RETURNING id, phone
    )
    INSERT INTO promise_calls SELECT calls.id, promise.id FROM promise JOIN calls ON caller = phone;
"""


async def test_the_promises_of_a_period_say_how_long_they_took(ledger: Ledger, diary: Diary) -> None:
    await diary.kept(await diary.missed(), reached=4)
    await diary.promise(await diary.missed(), status="broken", why="busy")
    (kept,) = await report.promises(ledger, DAY, "kept")
    assert (kept["seconds"], kept["reason"]) == (240.0, "abandoned_in_queue")
    (broken,) = await report.promises(ledger, DAY, "broken")
    assert (broken["seconds"], broken["why"]) == (None, "busy")
    assert len(await report.promises(ledger, DAY)) == 2
    assert await report.promises(ledger, DAY, "withdrawn") == []


@pytest.fixture
def dozvon(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging_as_before: None) -> Dozvon:
    """`dozvon …` against the test's database, three days later; its exit code."""
    monkeypatch.setenv("DOZVON_DATABASE_URL", url)
    monkeypatch.setenv("DOZVON_HOME", str(tmp_path))
    for room in ("reports", "promises", "blocks"):
        monkeypatch.setattr(f"ivr.cli.{room}.now", lambda: LATER)

    async def run(*words: str) -> int:
        return await asyncio.to_thread(main, list(words))

    return run


async def a_day(ledger: Ledger, diary: Diary) -> str:
    """One call answered, one missed and called back in time, one never reached; its id."""
    board = switchboard(ledger)
    tell(board, *TALKED, caller="+79160000009")
    tell(board, *MISSED, caller="+79160000002")
    tell(board, *TALKED, caller="+79160000002", at=NOON + 3 * MINUTE)
    never = tell(board, *MISSED, caller=ANNA).id
    await ledger.settled()
    await ledger.pool.execute("UPDATE promises SET status = 'broken', why = 'untried' WHERE phone = $1", ANNA)
    return never


async def test_dozvon_report_prints_both_figures_and_the_exceptions(
    ledger: Ledger, diary: Diary, dozvon: Dozvon, capsys: Said
) -> None:
    never = await a_day(ledger, diary)
    assert await dozvon("report", "--day", "2026-11-18") == 0
    out = capsys.readouterr().out
    assert re.search(r"Отвечено за 5 мин +2 из 4 +50,0 %   ПП РФ № 416, п. 13\n", out)
    assert re.search(r"Из остальных поговорили за 10 мин +1 из 2 +50,0 %", out)
    assert f"1. 18.11.2026 12:00:00  +7 916 000-00-01  компания неизвестна  (звонок {never})" in out
    assert "Почему:     ни один диспетчер не освободился" in out
    assert "18.11.2026 12:00:30  звонок      завершение: звонивший не дождался ответа" in out


async def test_dozvon_report_of_a_day_without_calls_says_so(dozvon: Dozvon, capsys: Said) -> None:
    assert await dozvon("report", "--month", "2026-10") == 0
    assert "Звонков не поступало" in capsys.readouterr().out


@pytest.mark.parametrize("there_before", [False, True])
async def test_the_files_are_the_owners_alone(
    ledger: Ledger, diary: Diary, dozvon: Dozvon, tmp_path: Path, there_before: bool
) -> None:
    never = await a_day(ledger, diary)
    for form in ("json", "csv"):
        file = tmp_path / f"report.{form}"
        if there_before:
            file.write_text("x" * 100_000)
            file.chmod(0o644)
        assert await dozvon("report", "--day", "2026-11-18", f"--{form}", str(file)) == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert told["answered_in_time"] == {
        "within_s": 300.0, "clause": "ПП РФ № 416, п. 13", "good": 2, "of": 4, "undecided": 0, "percent": 50.0,
    }  # fmt: skip
    by_id = {call["id"]: call for call in told["unanswered"]}
    assert by_id[never]["verdict"] == "never"
    assert [event["what"] for event in by_id[never]["timeline"]][:2] == ["arrived", "opened"]
    with (tmp_path / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        titles, *rows = csv.reader(file, delimiter=";")
    assert [len(row) for row in rows] == [len(titles)] * 2
    assert {row[titles.index("итог")] for row in rows} == {"поговорили вовремя", "не поговорили"}


async def test_a_company_nobody_knows_is_refused_with_the_near_miss(
    ledger: Ledger, dozvon: Dozvon, capsys: Said
) -> None:
    await ledger.pool.execute("INSERT INTO companies (code, name) VALUES ('severnaya', 'Северная')")
    assert await dozvon("report", "--company", "severnya") == 1
    assert "no such company; did you mean 'severnaya'?" in capsys.readouterr().err


async def test_dozvon_promises_lists_the_living_and_what_became_of_a_day(
    ledger: Ledger, diary: Diary, dozvon: Dozvon, capsys: Said
) -> None:
    await diary.promise(await diary.missed(), due_at=LATER + 2.5 * MINUTE, next_attempt_at=LATER + MINUTE)
    await diary.kept(await diary.missed(caller="+79160000002"), phone="+79160000002", reached=4)
    assert await dozvon("promises") == 0
    out = capsys.readouterr().out
    assert "02:30" in out
    assert "+7 916 000-00-01" in out
    assert "следующая попытка в 12:01:00" in out
    assert "+7 916 000-00-02" not in out
    assert await dozvon("promises", "--kept", "--day", "2026-11-18") == 0
    out = capsys.readouterr().out
    assert re.search(r"\+7 916 000-00-02 .* 240 ", out)
    assert "+7 916 000-00-01" not in out
    assert await dozvon("promises", "--broken", "--month", "2026-11") == 0
    assert "обещаний нет (просрочено)" in capsys.readouterr().out


async def test_dozvon_promise_moves_one_and_shows_what_happened_to_it(
    ledger: Ledger, diary: Diary, dozvon: Dozvon, capsys: Said
) -> None:
    number = str(await diary.promise(await diary.missed(), due_at=LATER + MINUTE))
    by = ("--who", "101", "--reason", "перезвонит вечером")
    assert await dozvon("promise", "postpone", number, *by, "--until", "20m") == 0
    assert await dozvon("promise", "withdraw", number, *by) == 0
    assert await dozvon("promise", "reopen", number, *by) == 0
    capsys.readouterr()
    assert await dozvon("promise", "keep", number, *by) == 0
    out = capsys.readouterr().out
    assert "Состояние:   выполнено" in out
    assert "101        отложено  до 21.11.2026 12:20:00" in out.replace("перезвонит вечером, ", "")
    assert await dozvon("promise", "show", "999") == 1
    assert "no promise 999" in capsys.readouterr().err


async def test_dozvon_block_adds_lists_and_lifts(ledger: Ledger, dozvon: Dozvon, capsys: Said) -> None:
    why = ("--reason", "реклама", "--author", "Анна")
    assert await dozvon("block", "add", "8900*", *why) == 0
    assert await dozvon("block", "add", "+7*", *why) == 1
    capsys.readouterr()
    assert await dozvon("block", "list") == 0
    out = capsys.readouterr().out
    assert re.search(r"\+7900\* +реклама +Анна +21.11.2026 12:00:00", out)
    number = await ledger.pool.fetchval("SELECT id FROM blocked_numbers")
    assert await dozvon("block", "lift", str(number), "--author", "Борис") == 0
    capsys.readouterr()
    assert await dozvon("block", "list") == 0
    assert "+7900" not in capsys.readouterr().out
