"""Opening hours: is it open at this moment, in the company's own time zone?"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Span = tuple[time, time]


@dataclass(frozen=True, slots=True)
class Hours:
    """A week, its holidays and its exceptions. A span that ends at or before its start runs past midnight."""

    week: dict[int, tuple[Span, ...]]
    """Monday is 0."""
    yearly_holidays: frozenset[tuple[int, int]] = frozenset()
    """(month, day)"""
    holidays: frozenset[date] = frozenset()
    open_also: dict[date, tuple[Span, ...]] = field(default_factory=dict)
    spoken: str = ""

    def spans(self, day: date) -> tuple[Span, ...]:
        """When it opens on that day: a named day outranks a holiday, a holiday outranks the week."""
        if day in self.open_also:
            return self.open_also[day]
        if day in self.holidays or (day.month, day.day) in self.yearly_holidays:
            return ()
        return self.week.get(day.weekday(), ())

    def open_at(self, moment: datetime, zone: ZoneInfo) -> bool:
        local = moment.astimezone(zone)
        today, clock = local.date(), local.time()
        for opens, closes in self.spans(today):
            if opens < closes and opens <= clock < closes:
                return True
            if closes <= opens <= clock:
                return True
        yesterday = date.fromordinal(today.toordinal() - 1)
        return any(closes <= opens and clock < closes for opens, closes in self.spans(yesterday))


def read_spans(text: str) -> tuple[Span, ...]:
    """ "08:00-12:00, 13:00-17:00" as spans. Raises ValueError saying what is wrong."""
    return tuple(_span(part.strip()) for part in text.split(","))


def _span(text: str) -> Span:
    opens, dash, closes = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return _clock(opens), _clock(closes)
    except ValueError:
        raise ValueError(f"{text!r} is not HH:MM-HH:MM") from None


def _clock(text: str) -> time:
    text = text.strip()
    return time(0) if text == "24:00" else time.fromisoformat(text)


def read_days(text: str) -> range:
    """ "mon-fri" or "sat" as weekday numbers. Raises ValueError."""
    first, _, last = text.partition("-")
    start, end = DAYS.index(first), DAYS.index(last or first)
    if end < start:
        raise ValueError(f"{text!r} runs backwards")
    return range(start, end + 1)
