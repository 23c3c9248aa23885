"""The law's two figures, of calls whose right answer was worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import report
from callback.report import Period, Report, Share, Verdict
from ivr.call import Outcome
from tests.fakes import NOON, FakeStore
from tickets import limits

LIMITS = limits.read()
MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
TODAY = Period(date(2026, 11, 18), date(2026, 11, 18), MOSCOW)
LONG_AFTER = NOON + timedelta(days=1)


def at(minutes: float | None) -> datetime | None:
    return None if minutes is None else NOON + timedelta(minutes=minutes)


def call(
    outcome: Outcome | None = None,
    *,
    answered: float | None = None,
    ended: float | None = None,
    reached: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A row of `report.calls`; moments are minutes after its arrival at noon."""
    return {
        "id": "dozvon-1.0", "arrived_at": NOON, "queued_at": NOON, "answered_at": at(answered), "ended_at": at(ended),
        "outcome": outcome, "phone": "+79000000001", "reached_at": at(reached), "blocked": None,
    } | more  # fmt: skip


def talked(answered: float, **more: Any) -> dict[str, Any]:
    return call(Outcome.TALKED, answered=answered, ended=answered + 2, **more)


def hung_up(ended: float, **more: Any) -> dict[str, Any]:
    return call(Outcome.ABANDONED_IN_QUEUE, ended=ended, **more)


BLOCKED = {"blocked": 7, "pattern": "+7900*", "blocked_reason": "spam", "blocked_author": "101"}
SECOND = 1 / 60


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        pytest.param(talked(0.5), "answered", id="at once"),
        pytest.param(talked(5), "answered", id="on the last second of five minutes"),
        pytest.param(talked(5 + SECOND), "reached", id="a second after five minutes is spoken with in ten"),
        pytest.param(talked(10), "reached", id="on the last second of ten minutes"),
        pytest.param(talked(10 + SECOND), "late", id="a second after ten minutes"),
        pytest.param(hung_up(1, reached=10), "reached", id="called back on the last second"),
        pytest.param(hung_up(1, reached=10 + SECOND), "late", id="called back a second late"),
        pytest.param(hung_up(1), "never", id="never called back"),
        pytest.param(hung_up(1, phone=None), "never", id="hidden"),
        pytest.param(talked(12, reached=8), "reached", id="another call talked before this was answered"),
        pytest.param(
            call(Outcome.VOICEMAIL, ended=6, reached=16), "reached", id="ten minutes from a message"
        ),
        pytest.param(
            call(Outcome.VOICEMAIL, ended=6, reached=16 + SECOND), "late", id="message, a second late"
        ),
        pytest.param(call(Outcome.CUT_OFF, answered=1, ended=1), "never", id="answered and cut off at once"),
        pytest.param(call(Outcome.CUT_OFF, answered=1, ended=1, reached=3), "reached", id="and called back"),
        pytest.param(
            call(Outcome.CALLBACK_ASKED, ended=3, reached=9), "reached", id="asked to be called back"
        ),
        pytest.param(call(Outcome.INFORMED, ended=1), "informed", id="informed"),
        pytest.param(hung_up(1, **BLOCKED), "blocked", id="blocked"),
        pytest.param(talked(1, **BLOCKED), "blocked", id="blocked, though answered"),
        pytest.param(call(answered=2), "answered", id="still talking"),
    ],
)
def test_a_call_of_yesterday_is_judged(row: dict[str, Any], verdict: str) -> None:
    assert report.judge(row, LIMITS, LONG_AFTER) == verdict


@pytest.mark.parametrize(
    ("row", "minutes", "verdict"),
    [
        pytest.param(call(), 5, "waiting", id="may still be answered in time"),
        pytest.param(call(), 5 + SECOND, "running", id="not answered in time, may still be spoken with"),
        pytest.param(call(), 10, "running", id="on the last second"),
        pytest.param(call(), 10 + SECOND, "never", id="still waiting after ten minutes"),
        pytest.param(hung_up(1), 2, "running", id="who hung up will not be answered any more"),
        pytest.param(
            hung_up(1), 10 + SECOND, "never", id="ten minutes from the arrival, not from the hang-up"
        ),
        pytest.param(call(Outcome.VOICEMAIL, ended=6), 16, "running", id="ten minutes from a message"),
        pytest.param(hung_up(1, reached=2), 3, "reached", id="decided as soon as they have talked"),
    ],
)
def test_what_still_runs_is_not_decided_yet(row: dict[str, Any], minutes: float, verdict: str) -> None:
    assert report.judge(row, LIMITS, NOON + timedelta(minutes=minutes)) == verdict


def reported(rows: Iterable[dict[str, Any]], now: datetime = LONG_AFTER) -> Report:
    made = Report(TODAY, LIMITS, now)
    for row in rows:
        made.add(row)
    return made


def test_the_two_figures_of_a_day() -> None:
    """Ten calls: 5 answered in time, 4 not, of which 2 were spoken with in time; one informed."""
    made = reported(
        [
            talked(0.1), talked(1), talked(2), talked(4), talked(5),
            talked(7), hung_up(1, reached=6), hung_up(2, reached=25), hung_up(3),
            call(Outcome.INFORMED, ended=1),
        ]
    )  # fmt: skip
    assert made.calls == 10
    assert made.answered_in_time == Share(5, 9)
    assert made.answered_in_time.percent == 55.5
    assert made.reached_in_time == Share(2, 4)
    assert made.reached_in_time.percent == 50.0
    late, never = made.exceptions
    assert (late.verdict, late.late_by) == (Verdict.LATE, timedelta(minutes=15))
    assert (never.verdict, never.late_by, never.spoken_at) == (Verdict.NEVER, None, None)


def test_what_is_not_decided_yet_is_in_neither_figure_and_is_said() -> None:
    made = reported([talked(1), call(), hung_up(1), hung_up(1, reached=2)], now=NOON + timedelta(minutes=4))
    assert made.answered_in_time == Share(1, 3, undecided=1)
    assert made.reached_in_time == Share(1, 1, undecided=1)
    assert made.exceptions == []


def test_blocked_numbers_are_counted_apart_with_who_blocked_them() -> None:
    made = reported([talked(1), hung_up(1, **BLOCKED), hung_up(1, **BLOCKED)])
    assert made.answered_in_time == Share(1, 1)
    assert made.blocked == {("+7900*", "spam", "101"): 2}
    assert made.queued == 1


def test_of_an_empty_day_there_is_no_share_and_no_division_by_zero() -> None:
    made = reported([])
    assert made.calls == 0
    shares = (made.answered_in_time, made.reached_in_time, made.service_level, made.abandoned)
    assert [share.percent for share in shares] == [None] * 4
    assert made.speed_of_answer is None


def test_a_hundred_per_cent_is_all_of_them() -> None:
    assert Share(1000, 1000).percent == 100.0
    assert Share(9999, 10_000).percent == 99.9
    assert Share(2, 3).percent == 66.6
    assert Share(0, 3).percent == 0.0


def test_the_trades_figures_count_from_the_queue() -> None:
    """Waits of 10, 20 and 60 s, one hung up waiting, one timed out; who never queued is not in them."""
    queued = NOON + timedelta(seconds=30)
    made = reported(
        [
            *(talked((30 + wait) / 60, queued_at=queued) for wait in (10, 20, 60)),
            hung_up(2, queued_at=queued),
            call(Outcome.QUEUE_TIMED_OUT, ended=6, queued_at=queued),
            call(Outcome.ABANDONED_IN_MENU, ended=0.2, queued_at=None),
            call(queued_at=queued),
        ]
    )
    assert made.service_level == Share(2, 5)
    assert made.abandoned == Share(1, 5)
    assert made.speed_of_answer == 30.0


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 11, 18), MOSCOW, 24),
        (date(2026, 3, 29), BERLIN, 23),
        (date(2026, 10, 25), BERLIN, 25),
        # here the clock goes forward at midnight: the day begins at one o'clock
        (date(2026, 9, 6), ZoneInfo("America/Santiago"), 23),
    ],
)
def test_a_day_is_as_long_as_its_clock_says(day: date, zone: ZoneInfo, hours: int) -> None:
    period = Period(day, day, zone)
    assert period.before - period.since == timedelta(hours=hours)
    assert period.since.astimezone(zone).date() == day
    assert (period.since - timedelta(microseconds=1)).astimezone(zone).date() == day - timedelta(days=1)


def test_a_day_begins_at_the_zones_own_midnight() -> None:
    assert TODAY.since == datetime(2026, 11, 17, 21, tzinfo=UTC)
    assert TODAY.before == datetime(2026, 11, 18, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("year", "month", "last"),
    [(2026, 11, date(2026, 11, 30)), (2026, 12, date(2026, 12, 31)), (2028, 2, date(2028, 2, 29))],
)
def test_a_month_is_its_days_one_after_the_other(year: int, month: int, last: date) -> None:
    period = Period.month(year, month, BERLIN)
    days = list(period.days())
    assert (period.first, period.last, len(days)) == (date(year, month, 1), last, last.day)
    assert (days[0][0], days[-1][1]) == (period.since, period.before)
    assert all(one[1] == next_[0] for one, next_ in pairwise(days))


async def test_a_month_is_asked_for_day_by_day() -> None:
    store = FakeStore({"report.calls": lambda asked: [hung_up(1)] if asked["since"].day == 9 else []})
    made = await report.report(
        store, Period.month(2026, 11, ZoneInfo("UTC")), LIMITS, timedelta(seconds=5), LONG_AFTER
    )
    assert made.calls == 1
    assert sum(name == "report.calls" for name, _ in store.asked) == 30
