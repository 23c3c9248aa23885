"""Days and months on the command line."""

from __future__ import annotations

import argparse
from datetime import date, datetime
from zoneinfo import ZoneInfo

from callback.report import Period


def arguments(parser: argparse.ArgumentParser, without: str = "today") -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--day", type=day, metavar="2026-11-21", help=f"without it: {without}")
    when.add_argument("--month", type=month, metavar="2026-11")


def period(options: argparse.Namespace, zone: ZoneInfo, now: datetime) -> Period:
    """What was asked for, or today."""
    if options.month:
        return Period.month(options.month.year, options.month.month, zone)
    today = options.day or now.astimezone(zone).date()
    return Period(today, today, zone)


def named(asked: Period) -> str:
    """«21.11.2026» or «01.11.2026–30.11.2026»."""
    first, last = f"{asked.first:%d.%m.%Y}", f"{asked.last:%d.%m.%Y}"
    return first if first == last else f"{first}–{last}"


def day(text: str) -> date:
    """For argparse."""
    try:
        return _in_this_calendar(date.fromisoformat(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a day is wanted, like 2026-11-21") from None


def month(text: str) -> date:
    """Its first day; for argparse."""
    try:
        return _in_this_calendar(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a month is wanted, like 2026-11") from None


def _in_this_calendar(day: date) -> date:
    """There was no such hotline then; and at its ends the calendar has no midnight before or after."""
    if not 1970 <= day.year < 9999:
        raise ValueError
    return day
