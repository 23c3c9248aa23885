"""Whom the robot rings after a job, and when, read from `survey.toml` and checked as a whole."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from ivr.errors import DialplanError, did_you_mean
from robocalls.nouns import Result
from tickets import limits

FILE = Path(__file__).with_name("survey.toml")
MAY_COME_AGAIN = (Result.SILENT, Result.HUNG_UP, Result.CHILD, Result.FOREIGN, Result.NOT_UNDERSTOOD)
"""What a call may come to for her to be rung a second time."""
SHORTEST = {"pause": timedelta(seconds=10), "ring": timedelta(seconds=5), "give_up": timedelta(hours=1)}
LONGEST = {"ring": timedelta(minutes=2), "agreed": timedelta(hours=4), "give_up": timedelta(days=60)}
MOST = {
    "a_day": 10,
    "a_week": 30,
    "at_once": 500,
    "channels": 10_000,
    "reserve": 10_000,
    "waiting": 1000,
    "owed": 1000,
}
FEWEST = {"a_day": 1, "a_week": 1, "at_once": 1, "channels": 1}
STEPS = 20

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MIDNIGHT = "24:00"


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when, by the clock on her wall; both the same: never."""

    begins: time
    ends: time
    """`time.max` is midnight."""

    def __contains__(self, moment: time) -> bool:
        return self.begins <= moment < self.ends or (self.ends == time.max and self.begins <= moment)

    def __bool__(self) -> bool:
        return self.begins < self.ends


NEVER = Window(time.min, time.min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """See `survey.toml` for what each of them means."""

    consent: bool
    skip: frozenset[str]
    drafts: bool
    weekdays: Window
    weekends: Window
    holidays: frozenset[str]
    agreed: timedelta
    a_day: int
    a_week: int
    ladder: tuple[timedelta, ...]
    once_more: frozenset[Result]
    later: timedelta
    pause: timedelta
    give_up: timedelta
    ring: timedelta
    at_once: int
    channels: int
    reserve: int
    waiting: int
    owed: int
    emergencies: frozenset[str]

    def window(self, day: date) -> Window:
        """When she may be rung on that day of her calendar."""
        is_holiday = bool(self.holidays & {f"{day:%m-%d}", f"{day:%Y-%m-%d}"})
        return self.weekends if is_holiday or day.isoweekday() > 5 else self.weekdays


def read(path: Path = FILE, categories: Iterable[str] | None = None) -> Rules:
    """Raises DialplanError naming every problem. `categories` are those of tickets; None: what `limits.toml` says."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DialplanError("the rules of surveys are refused", [f"{path.name}: {error}"]) from error
    reader = _Reader(path.name, data, tuple(limits.read().categories if categories is None else categories))
    made = reader.rules()
    if reader.problems:
        raise DialplanError("the rules of surveys are refused", reader.problems)
    return made


@dataclass(slots=True)
class _Reader:
    """Reads key by key, and goes on after a problem."""

    file: str
    data: Mapping[str, Any]
    categories: tuple[str, ...]
    problems: list[str] = field(default_factory=list)

    def rules(self) -> Rules:
        how: dict[str, Callable[[str], Any]] = {
            "consent": self._flag, "skip": self._categories, "drafts": self._flag,
            "weekdays": self._window, "weekends": self._window, "holidays": self._holidays, "agreed": self._span,
            "a_day": self._count, "a_week": self._count,
            "ladder": self._ladder, "once_more": self._results, "later": self._span, "pause": self._span,
            "give_up": self._span, "ring": self._span,
            "at_once": self._count, "channels": self._count, "reserve": self._count, "waiting": self._count,
            "owed": self._count, "emergencies": self._categories,
        }  # fmt: skip
        self.problems += [
            f"{self.file}: {key}: no such key{did_you_mean(key, how)}" for key in self.data if key not in how
        ]
        made = Rules(**{key: read(key) for key, read in how.items()})
        self._contradictions(made)
        return made

    def _contradictions(self, made: Rules) -> None:
        """What no single key shows."""
        if self.problems:
            return
        if not made.weekdays and not made.weekends:
            self._wrong("weekdays", '"never" beside weekends = "never": nobody would ever be rung')
        if made.reserve >= made.channels:
            self._wrong("reserve", f"less than the {made.channels} channels: nobody would ever be rung")
        if made.a_week < made.a_day:
            self._wrong("a_week", f"at least the {made.a_day} a day")

    def _wrong(self, key: str, wanted: str) -> None:
        given = f" = {_shown(self.data[key])}" if key in self.data else " is missing"
        self.problems.append(f"{self.file}: {key}{given}: {wanted}")

    def _flag(self, key: str) -> bool:
        value = self.data.get(key)
        if not isinstance(value, bool):
            self._wrong(key, "true or false is wanted")
        return value is True

    def _count(self, key: str) -> int:
        value, least, most = self.data.get(key), FEWEST.get(key, 0), MOST[key]
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._wrong(key, f"a number from {least} to {most} is wanted")
        return least

    def _span(self, key: str) -> timedelta:
        return self._time(key, self.data.get(key))

    def _time(self, key: str, value: object) -> timedelta:
        match = re.fullmatch(r"([0-9]{1,4})([smhd])", value) if isinstance(value, str) else None
        made = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
        if not made:
            self._wrong(key, "like 30s, 5m, 3h or 1d")
        elif not SHORTEST.get(key, made) <= made <= LONGEST.get(key, made):
            bounds = [f"at least {_said(SHORTEST[key])}"] if key in SHORTEST else []
            bounds += [f"at most {_said(LONGEST[key])}"] if key in LONGEST else []
            self._wrong(key, ", ".join(bounds))
        return made

    def _ladder(self, key: str) -> tuple[timedelta, ...]:
        steps = self._list(key, "a list of times is wanted, like ['30m', '1d']; [] is one call only")
        if len(steps) > STEPS:
            self._wrong(key, f"at most {STEPS} steps")
        return tuple(self._time(key, step) for step in steps)

    def _list(self, key: str, wanted: str) -> list[Any]:
        value = self.data.get(key)
        if isinstance(value, list):
            return value
        self._wrong(key, wanted)
        return []

    def _words(self, key: str, known: Iterable[str], what: str) -> frozenset[str]:
        known = list(map(str, known))
        words = self._list(key, f"a list of {what} is wanted")
        for word in words:
            if word not in known:
                self._wrong(key, f"{word!r}: none of {', '.join(known)}{did_you_mean(str(word), known)}")
        return frozenset(map(str, words))

    def _categories(self, key: str) -> frozenset[str]:
        return self._words(key, self.categories, "categories")

    def _results(self, key: str) -> frozenset[Result]:
        words = self._words(key, MAY_COME_AGAIN, "results")
        return frozenset(result for result in MAY_COME_AGAIN if result in words)

    def _holidays(self, key: str) -> frozenset[str]:
        days = self._list(key, 'a list of days is wanted, like ["05-09", "2027-05-10"]')
        for day in days:
            if not _is_day(day):
                self._wrong(
                    key, f"{day!r}: no such day; 05-09 is one of every year, 2027-05-10 one of that year"
                )
        return frozenset(map(str, days))

    def _window(self, key: str) -> Window:
        value = self.data.get(key)
        if value == "never":
            return NEVER
        match = (
            re.fullmatch(r"([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2})", value)
            if isinstance(value, str)
            else None
        )
        try:
            begins, ends = map(_clock, match.groups()) if match else (time.min, time.min)
        except ValueError:
            begins = ends = time.min
        if begins >= ends:
            self._wrong(key, 'like "08:00-22:00", the first before the second; or "never"')
        return Window(begins, ends)


def _clock(text: str) -> time:
    return time.max if text == _MIDNIGHT else time.fromisoformat(text)


def _is_day(text: object) -> bool:
    """A day of every year, or of one."""
    if not isinstance(text, str) or not re.fullmatch(r"([0-9]{4}-)?[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text if len(text) > 5 else f"2024-{text}")
    except ValueError:
        return False
    return True


def _said(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, of_it in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % of_it == 0:
            return f"{seconds // of_it}{unit}"
    return f"{seconds}s"


def _shown(value: object) -> str:
    return repr(value)[:60]
