"""The law's limits as data (`limits.toml`) and the clocks they start. Pure: time is an argument."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ivr.errors import DialplanError, did_you_mean

FILE = Path(__file__).with_name("limits.toml")
STARTS = ("arrived", "registered", "damage")
KEYS = ("within", "from", "clause", "for", "pause", "since", "until", "note")

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Limit:
    """So much time from such a moment, as a clause gives it."""

    name: str
    within: timedelta
    starts: str
    clause: str
    categories: frozenset[str] = frozenset({"*"})
    pause: tuple[time, time] | None = None
    since: date = date.min
    until: date = date.max

    def holds(self, category: str, day: date) -> bool:
        return bool(self.categories & {category, "*"}) and self.since <= day < self.until


@dataclass(frozen=True, slots=True)
class Clock:
    """A due moment of a ticket, with the clause that asks for it."""

    name: str
    clause: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything `limits.toml` says."""

    answer: Limit
    callback: Limit
    clocks: tuple[Limit, ...]
    categories: Mapping[str, str]

    def start(
        self, category: str, registered_at: datetime, zone: ZoneInfo, damage_at: datetime | None = None
    ) -> list[Clock]:
        """The clocks of a ticket of that category, soonest first."""
        day = registered_at.astimezone(zone).date()
        began = min(registered_at, damage_at or registered_at)
        started = [
            Clock(
                limit.name,
                limit.clause,
                due(began if limit.starts == "damage" else registered_at, limit, zone),
            )
            for limit in self.clocks
            if limit.holds(category, day)
        ]
        return sorted(started, key=lambda clock: clock.due_at)


def due(start: datetime, limit: Limit, zone: ZoneInfo) -> datetime:
    """When the limit runs out, standing still during its nightly pause. In UTC arithmetic: DST does no harm."""
    start = start.astimezone(UTC)
    if limit.pause is None:
        return start + limit.within
    moment, left = start, limit.within
    while True:
        pauses_at, resumes_at = _next_pause(moment, limit.pause, zone)
        if pauses_at > moment:
            if moment + left <= pauses_at:
                return moment + left
            left -= pauses_at - moment
        moment = resumes_at


def _next_pause(moment: datetime, pause: tuple[time, time], zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The pause that is on at `moment` or comes next: (begins, ends), in the zone of `moment`."""
    begins, ends = pause
    today = moment.astimezone(zone).date()
    for days in (-1, 0, 1):
        day = today + timedelta(days=days)
        start = datetime.combine(day, begins, zone).astimezone(moment.tzinfo)
        last = day + timedelta(days=1) if ends <= begins else day
        end = datetime.combine(last, ends, zone).astimezone(moment.tzinfo)
        if end > moment:
            return start, end
    raise AssertionError("a pause comes every day")


def read(path: Path = FILE) -> Limits:
    """Raises DialplanError naming every problem."""
    problems: list[str] = []
    data = _load(path)
    tables = {
        name: _table(name, data, path, problems) for name in ("answer", "callback", "categories", "clocks")
    }
    categories = tables["categories"]
    clocks = [
        _limit(name, _table(name, tables["clocks"], path, problems), path, problems)
        for name in tables["clocks"]
    ]
    named = [_limit(name, tables[name], path, problems) for name in ("answer", "callback")]
    problems += _unknown_categories(clocks, categories, path)
    if problems:
        raise _refused(problems)
    answer, callback = named
    return Limits(answer, callback, tuple(clocks), categories)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise _refused([f"{path.name}: no such file"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused([f"{path.name}: {error}"]) from error


def _refused(problems: list[str]) -> DialplanError:
    return DialplanError("the legal limits are refused", problems)


def _table(name: str, data: Mapping[str, Any], path: Path, problems: list[str]) -> Mapping[str, Any]:
    table = data.get(name, {})
    if isinstance(table, dict):
        return table
    problems.append(f"{path.name}: {name}: a [{name}] table is wanted here")
    return {}


def _limit(name: str, table: Mapping[str, Any], path: Path, problems: list[str]) -> Limit:
    def wrong(key: str, what: str) -> None:
        problems.append(f"{path.name}: {name}.{key}{what}")

    for key in table:
        if key not in KEYS:
            wrong(key, f": no such key{did_you_mean(key, KEYS)}")
    within = timedelta()
    match = re.fullmatch(r"(\d+)([mhd])", str(table.get("within", "")))
    if match:
        within = timedelta(**{_UNITS[match[2]]: int(match[1])})
    else:
        wrong("within", f" = {table.get('within')!r}: 30m, 2h or 3d is wanted")
    starts = str(table.get("from", ""))
    if starts not in STARTS:
        wrong("from", f" = {starts!r}: one of {', '.join(STARTS)}{did_you_mean(starts, STARTS)}")
    if not table.get("clause"):
        wrong("clause", " is missing: every deadline names its clause")
    pause = None
    if "pause" in table:
        try:
            begins, _, ends = str(table["pause"]).partition("-")
            pause = (time.fromisoformat(begins), time.fromisoformat(ends))
        except ValueError:
            wrong("pause", f" = {table['pause']!r}: HH:MM-HH:MM is wanted")
        else:
            if pause[0] == pause[1]:
                wrong("pause", f" = {table['pause']!r}: a pause that lasts all day never ends")
    wanted = table.get("for", ["*"])
    if not isinstance(wanted, list) or not all(isinstance(category, str) for category in wanted):
        wrong("for", f" = {wanted!r}: a list of categories is wanted")
        wanted = []
    days = {"since": table.get("since", date.min), "until": table.get("until", date.max)}
    for key, day in days.items():
        if type(day) is not date:  # a datetime is a date, too
            wrong(key, f" = {day!r}: a date like 2019-03-01, without quotes, is wanted")
    return Limit(
        name=name,
        within=within,
        starts=starts,
        clause=str(table.get("clause")),
        categories=frozenset(wanted),
        pause=pause,
        **days,
    )


def _unknown_categories(clocks: list[Limit], known: Mapping[str, str], path: Path) -> Iterator[str]:
    for limit in clocks:
        for category in sorted(limit.categories - {"*"} - set(known)):
            near = did_you_mean(category, known)
            yield f"{path.name}: clocks.{limit.name}.for: {category!r}: no such category{near}"
