"""The admin's rules, read from TOML and checked as a whole: a conversation takes them as a value.

`read(folder)` returns `Rules` or raises DialplanError with every problem, each saying where, what, and the
near miss: `menus.toml: main.keys.1 = 'queue:emergensy': no such place; did you mean 'queue:emergency'?`
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from ivr.dialplan.hours import DAYS, Hours, read_days, read_spans
from ivr.errors import DialplanError, did_you_mean

KEYPAD = frozenset("0123456789*#")
FILES = ("menus.toml", "queues.toml", "hours.toml")
FIRST_MENU = "main"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Menu:
    """One question with its keys. Places are names: "queue:emergency", "menu:main", "repeat"…"""

    name: str
    prompt: str
    keys: Mapping[str, str]
    otherwise: str
    wait: float = 5.0
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Way:
    """A way into the dispatchers' queue."""

    name: str
    category: str
    prompt: str
    priority: int = 0
    hours: str | None = None
    closed: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What one version of the dialplan says."""

    menus: Mapping[str, Menu]
    ways: Mapping[str, Way]
    hours: Mapping[str, Hours] = field(default_factory=dict)

    def prompts(self) -> set[str]:
        """Every prompt a walk through these rules may say."""
        return {menu.prompt for menu in self.menus.values()} | {way.prompt for way in self.ways.values()}


def read(folder: Path, categories: Collection[str] = ()) -> Rules:
    """Read and check `menus.toml`, `queues.toml` and `hours.toml`; DialplanError names every problem.

    `categories` are those the tickets know; none: any will do.
    """
    problems: list[str] = []
    menus, ways, hours = (_load(folder / name, problems) for name in FILES)
    all_read = not problems
    rules = Rules(
        menus=_each("menus.toml", menus, _menu, problems),
        ways=_each("queues.toml", ways, _way, problems),
        hours=_each("hours.toml", hours, _hours, problems),
    )
    if all_read:  # or every place in the missing file would be a loose end
        problems += [*_loose_ends(rules), *unknown_categories(rules, categories)]
    if problems:
        raise DialplanError(f"the dialplan in {folder.name}/ is refused", problems)
    return rules


def _load(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        problems.append(f"{path.name}: no such file")
    except OSError as error:
        problems.append(f"{path.name}: it cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: {error}")
    return {}


def _each(
    file: str, tables: dict[str, Any], read_one: Callable[[str, _Table], T], problems: list[str]
) -> dict[str, T]:
    made = {}
    for name, values in tables.items():
        if not isinstance(values, dict):
            problems.append(f"{file}: {name}: a [{name}] table is wanted here")
            continue
        table = _Table(f"{file}: {name}", values, problems)
        made[name] = read_one(name, table)
        table.nothing_else()
    return made


class _Table:
    """One TOML table, read key by key; what is wrong is noted with its place and a stand-in goes on."""

    def __init__(self, where: str, values: dict[str, Any], problems: list[str]) -> None:
        self.where, self.values, self.problems = where, dict(values), problems
        self.asked: set[str] = set()

    def wrong(self, key: str, what: str) -> None:
        self.problems.append(f"{self.where}.{key}{what}")

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        self.asked.add(key)
        value = self.values.pop(key, default)
        if value is None:
            self.wrong(key, " is missing")
            return kind()
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return kind(value)  # type: ignore[call-arg]
        if not isinstance(value, kind) or isinstance(value, bool):
            self.wrong(key, f" = {value!r}: a {_PLAIN[kind]} is wanted")
            return kind()
        return value

    def maybe(self, key: str) -> str | None:
        self.asked.add(key)
        return self.take(key, str) if key in self.values else None

    def within(self, key: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            self.wrong(key, f" = {value:g}: from {low:g} to {high:g}")

    def nothing_else(self) -> None:
        for key in self.values:
            self.wrong(key, f": no such key{did_you_mean(key, self.asked)}")


_PLAIN: dict[type, str] = {str: "text", float: "number", int: "whole number", dict: "table", list: "list"}


def _menu(name: str, table: _Table) -> Menu:
    keys = table.take("keys", dict)
    for key, goes in keys.items():
        if key not in KEYPAD:
            table.wrong("keys", f": {key!r} is not a key of a phone (0-9, *, #)")
        if not isinstance(goes, str):
            table.wrong(f"keys.{key}", f" = {goes!r}: a place is wanted")
    menu = Menu(
        name=name,
        prompt=table.take("prompt", str),
        keys={key: str(goes) for key, goes in keys.items()},
        otherwise=table.take("otherwise", str),
        wait=table.take("wait", float, 5.0),
        tries=table.take("tries", int, 3),
    )
    table.within("wait", menu.wait, 1, 60)
    table.within("tries", menu.tries, 1, 10)
    return menu


def _way(name: str, table: _Table) -> Way:
    way = Way(
        name=name,
        category=table.take("category", str),
        prompt=table.take("prompt", str),
        priority=table.take("priority", int, 0),
        hours=table.maybe("hours"),
        closed=table.maybe("closed"),
    )
    table.within("priority", way.priority, 0, 99)
    if way.hours and not way.closed:
        table.wrong("closed", " is missing: where does a call go outside the hours?")
    return way


def _hours(_: str, table: _Table) -> Hours:
    week: dict[int, Any] = {}
    for key in [key for key in table.values if key.partition("-")[0] in DAYS]:
        try:
            week |= dict.fromkeys(read_days(key), read_spans(table.take(key, str)))
        except ValueError as error:
            table.wrong(key, f": {error}")
    yearly, once = set(), set()
    for text in table.take("holidays", list, []):
        try:
            if len(str(text)) == len("MM-DD"):
                leap = datetime.strptime(f"2024-{text}", "%Y-%m-%d")  # noqa: DTZ007 - a day, not a moment
                yearly.add((leap.month, leap.day))
            else:
                once.add(date.fromisoformat(str(text)))
        except ValueError:
            table.wrong("holidays", f": {text!r} is neither MM-DD nor YYYY-MM-DD")
    open_also = {}
    for text, spans in table.take("open_also", dict, {}).items():
        try:
            open_also[date.fromisoformat(text)] = read_spans(str(spans))
        except ValueError as error:
            table.wrong("open_also", f": {text!r}: {error}")
    table.asked.update(DAYS)
    return Hours(week, frozenset(yearly), frozenset(once), open_also, table.take("spoken", str, ""))


def _loose_ends(rules: Rules) -> Iterator[str]:
    """Places that lead nowhere, and menus from which nobody ever reaches a human."""
    places = {f"menu:{name}" for name in rules.menus} | {f"queue:{name}" for name in rules.ways}
    places |= {"voicemail", "hang-up"}
    if FIRST_MENU not in rules.menus:
        yield f"menus.toml: no [{FIRST_MENU}]: every call starts there"
    for menu in rules.menus.values():
        for key, goes in menu.keys.items():
            if goes != "repeat" and goes not in places:
                yield f"menus.toml: {menu.name}.keys.{key} = {goes!r}: no such place{did_you_mean(goes, places)}"
        if menu.otherwise not in places:
            near = did_you_mean(menu.otherwise, places)
            yield f"menus.toml: {menu.name}.otherwise = {menu.otherwise!r}: no such place{near}"
        elif not _reaches_a_human(rules, menu, places):
            yield f"menus.toml: {menu.name}.otherwise = {menu.otherwise!r}: silence never ends with a human"
    for way in rules.ways.values():
        if way.hours and way.hours not in rules.hours:
            near = did_you_mean(way.hours, rules.hours)
            yield f"queues.toml: {way.name}.hours = {way.hours!r}: no such hours{near}"
        if way.closed and way.closed not in places:
            near = did_you_mean(way.closed, places)
            yield f"queues.toml: {way.name}.closed = {way.closed!r}: no such place{near}"


def unknown_categories(rules: Rules, known: Collection[str]) -> Iterator[str]:
    """A line for each way whose category the tickets do not know, with the near miss."""
    for way in rules.ways.values():
        if known and way.category not in known:
            near = did_you_mean(way.category, known)
            yield f"queues.toml: {way.name}.category = {way.category!r}: no such category of tickets{near}"


def _reaches_a_human(rules: Rules, menu: Menu, places: set[str]) -> bool:
    """Does a resident who only stays silent get to a dispatcher who is there at any hour?"""
    place, seen = menu.otherwise, set()
    while place not in seen:
        seen.add(place)
        kind, _, name = place.partition(":")
        if place not in places:
            return True  # a loose end, named as one
        match kind:
            case "menu":
                place = rules.menus[name].otherwise
            case "queue" if rules.ways[name].hours is None:
                return True
            case "queue":
                place = rules.ways[name].closed or ""
            case _:
                return False
    return False
