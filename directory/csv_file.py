"""Rows of text into typed records, or into problems named by line and column. Pure: no files, no clock."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import available_timezones

from directory.phones import to_e164, why_not
from ivr.errors import DirectoryError, did_you_mean

LONGEST = 300
"""Characters a cell may hold; texts that are spoken or read may hold more."""
LONGEST_TEXT = 2000
TEXTS = frozenset({"greeting", "access", "note"})

CONSENTS = {
    "robocall": ("robocall", "робот", "робозвонок", "обзвон", "автообзвон"),
    "sms": ("sms", "смс"),
    "personal_data": ("personal_data", "пд", "персональные данные"),
}
WITHDRAWN = ("withdrawn", "отозвано", "отозван", "отказ")
NO_FLAT = ("-", "–", "—", "нет", "none")
ALL = ("all", "все", "*")

_NOT_SHOWN = dict.fromkeys((*range(9), *range(14, 32), 0x7F, 0xAD, 0x200B, 0xFEFF))
_BROKEN_BY_EXCEL = ("#N/A", "#Н/Д", "#REF!", "#ССЫЛКА!", "#VALUE!", "#ЗНАЧ!", "#NAME?", "#ИМЯ?")
_MONTHS = "янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_COMMA_IN_NUMBER = re.compile(r"(\d),(\d+[eе]\+?\d)", re.IGNORECASE)
_DECIMAL = re.compile(r"(\d{10,})[.,]0(?!\d)")
_DATE_BY_EXCEL = re.compile(rf"\d{{1,2}}[. -]?(?:{_MONTHS})\w*|(?:{_MONTHS})[. -]?\d{{1,2}}", re.IGNORECASE)
_PHRASE = re.compile(r"(?:phrase|фраза)[.: ]\s*([a-z][a-z0-9_]*)", re.IGNORECASE)
_OUR_OWN = ("problem", "problems", "ошибка", "ошибки")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row."""

    line: int
    column: str
    what: str

    def __str__(self) -> str:
        return f"{self.line}: {self.column}: {self.what}" if self.column else f"{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Consent:
    kind: str
    given: bool
    since: date
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyRow:
    line: int
    code: str
    name: str
    lines: tuple[str, ...]
    greeting: str | None
    time_zone: str | None
    queue: str | None
    phrases: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherRow:
    line: int
    extension: str
    name: str
    serves: tuple[int, ...] | None
    """Ids of companies; empty: all of them; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentRow:
    line: int
    company_id: int
    address: str
    time_zone: str | None
    access: str | None
    flat: str
    """Empty: the house has none."""
    name: str
    phones: tuple[str, ...]
    consents: tuple[Consent, ...]
    note: str | None


Record = CompanyRow | DispatcherRow | ResidentRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What cells are read against."""

    today: date
    region: str = "RU"
    area_code: str = "495"
    companies: Mapping[str, int] = field(default_factory=dict)
    """Code, name or line number of every company in the directory, casefolded, to its id."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a file holds what."""

    kind: str
    """`companies`, `dispatchers` or `residents`."""
    names: tuple[str | None, ...]
    """Our name of each column; None: left out."""
    headings: Mapping[str, str]
    """The file's own heading of each of our columns, for messages."""
    left_out: tuple[str, ...]
    """Headings that mean nothing to us."""


def columns(header: Sequence[str]) -> Columns:
    """Tell a file's kind from its header. Raises DirectoryError naming every doubtful column at once."""
    headings = _headings(header)
    kind = _kind(headings)
    names = tuple(_column(heading, kind) for heading in headings)
    strange = [
        h for h, name in zip(headings, names, strict=True) if h and not name and _normal(h) not in _OUR_OWN
    ]
    problems = [
        f"column {h!r}: not known; did you mean {near!r}?" for h in strange if (near := _near(h, kind))
    ]
    problems += [f"column {headings[n]!r}: there is one like it before" for n in _twice(names, kind)]
    problems += _missing(names, kind)
    if problems:
        raise DirectoryError("; ".join([f"taken for a file of {kind}", *problems]))
    own = {name: heading for heading, name in reversed(list(zip(headings, names, strict=True))) if name}
    return Columns(kind, names, own, tuple(strange))


def record(line: int, cells: Sequence[str], of: Columns, reading: Reading) -> Record | tuple[Problem, ...]:
    """One row as a record, or everything that is wrong with it."""
    row = _Row(line, of, reading)
    row.fill(cells)
    made = _MAKE[of.kind](row)
    return tuple(row.problems) or made


class _Row:
    """A row being read: hands out its cells and gathers what is wrong with them."""

    def __init__(self, line: int, of: Columns, reading: Reading) -> None:
        self.line = line
        self.of = of
        self.reading = reading
        self.cells: dict[str, str] = {}
        self.problems: list[Problem] = []

    def fill(self, cells: Sequence[str]) -> None:
        joined = _table()[self.of.kind]["joined"]
        for name, cell in zip(self.of.names, cells, strict=False):
            if name is None or not (text := _plain(cell, between_lines=joined.get(name, " "))):
                continue
            self.cells[name] = f"{self.cells[name]}{joined[name]}{text}" if name in self.cells else text
            self._check(name, text)
        if any(cell.strip() for cell in cells[len(self.of.names) :]):
            self.bad(
                "",
                f"more cells than the {len(self.of.names)} headings; is a cell with a delimiter not quoted?",
            )

    def _check(self, name: str, text: str) -> None:
        limit = LONGEST_TEXT if name in TEXTS or name.startswith("phrase.") else LONGEST
        if len(text) > limit:
            self.bad(name, f"{len(text)} characters, at most {limit}")
        if text[0] == "#" and text.upper() in _BROKEN_BY_EXCEL:
            self.bad(name, f"{text!r} is Excel's error, not a value")

    def bad(self, name: str, what: str) -> None:
        self.problems.append(Problem(self.line, self.of.headings.get(name, name), what))

    def text(self, name: str) -> str | None:
        return self.cells.get(name)

    def needed(self, name: str, otherwise: str = "") -> str:
        if name not in self.cells:
            self.bad(name, f"empty{otherwise}")
        return self.cells.get(name, "")

    def matching(self, name: str, pattern: str, meaning: str) -> str:
        text = self.needed(name)
        if text and not re.fullmatch(pattern, text):
            self.bad(name, f"{text!r}: {meaning}")
        return text

    def number(self, name: str) -> str:
        """A house's or flat's number as people write it ("15/2", "7а", "12.0"), or nothing."""
        text = self.cells.get(name, "")
        if _DATE_BY_EXCEL.fullmatch(text):
            self.bad(
                name, f"{text!r}: Excel has made a date of it; format the column as text and enter it again"
            )
        return re.sub(r"^(\d+)[.,]0$", r"\1", text)

    def time_zone(self) -> str | None:
        zone = self.text("time_zone")
        if zone and zone not in _zones():
            self.bad("time_zone", f"{zone!r}: no such time zone{did_you_mean(zone, _zones())}")
        return zone

    def phones(self, name: str) -> tuple[str, ...]:
        """Every number of a cell as E.164, each once."""
        found = (self._phone(name, part) for part in _listed(self.cells.get(name, "")))
        return tuple(dict.fromkeys(number for number in found if number))

    def _phone(self, name: str, text: str) -> str | None:
        region, area_code = self.reading.region, self.reading.area_code
        number = to_e164(text, region=region, area_code=area_code)
        if number is None:
            self.bad(name, f"{text!r}: {why_not(text, region=region, area_code=area_code)}")
        return number

    def company(self, name: str, text: str) -> int:
        """Id of the company that a cell names by code, name or line number."""
        companies = self.reading.companies
        found = companies.get(text.casefold(), 0)
        if not found:
            near = did_you_mean(text.casefold(), companies) or "; import the companies first"
            self.bad(name, f"{text!r}: no such company{near}")
        return found

    def consents(self) -> tuple[Consent, ...]:
        parts = (part for part in re.split(r"\s*;\s*", self.cells.get("consent", "")) if part)
        return tuple(consent for part in parts if (consent := self._consent(part)))

    def _consent(self, text: str) -> Consent | None:
        parts = [part.strip() for part in text.split(":")]
        given = parts[-1].casefold() not in WITHDRAWN
        kind, when, *source = (parts if given else parts[:-1]) + [""] * 2
        if not any(source):
            self.bad("consent", f"{text!r}: write kind:date:source, like 'robocall:2026-03-01:заявление'")
            return None
        known, since = _kind_of_consent(kind), _day(when)
        if known is None:
            words = [word for words in CONSENTS.values() for word in words]
            self.bad("consent", f"{kind!r}: no such consent{did_you_mean(kind.casefold(), words)}")
        if since is None:
            self.bad("consent", f"{when!r}: no such date; write 2026-03-01 or 01.03.2026")
        elif since > self.reading.today:
            self.bad("consent", f"{when!r}: in the future; a consent starts on the day it is given")
        if known is None or since is None:
            return None
        return Consent(known, given, since, ":".join(filter(None, source)))


def _company(row: _Row) -> CompanyRow:
    return CompanyRow(
        line=row.line,
        code=row.matching(
            "code", r"[a-z][a-z0-9-]{0,31}", "a code is small Latin letters, digits and dashes"
        ),
        name=row.needed("name"),
        lines=row.phones("lines") if row.needed("lines") else (),
        greeting=row.text("greeting"),
        time_zone=row.time_zone(),
        queue=row.matching(
            "queue", r"[a-z][a-z0-9_-]{0,31}", "a queue is small Latin letters, digits and dashes"
        )
        if row.text("queue")
        else None,
        phrases={name[7:]: text for name, text in row.cells.items() if name.startswith("phrase.")},
    )


def _dispatcher(row: _Row) -> DispatcherRow:
    return DispatcherRow(
        line=row.line,
        extension=row.matching("extension", r"[1-9]\d{1,4}", "an extension is 2 to 5 digits"),
        name=row.needed("name"),
        serves=_serves(row),
    )


def _serves(row: _Row) -> tuple[int, ...] | None:
    named = _listed(row.cells.get("companies", ""))
    if any(text.casefold() in ALL for text in named):
        return ()
    return tuple(sorted({row.company("companies", text) for text in named})) or None


def _resident(row: _Row) -> ResidentRow:
    if not (row.text("name") or row.text("phones")):
        row.bad("name", "neither a name nor a phone")
    return ResidentRow(
        line=row.line,
        company_id=_companys_id(row),
        address=_address(row),
        time_zone=row.time_zone(),
        access=row.text("access"),
        flat=_flat(row),
        name=row.cells.get("name", ""),
        phones=row.phones("phones"),
        consents=row.consents(),
        note=row.text("note"),
    )


_MAKE: Mapping[str, Callable[[_Row], Record]] = {
    "companies": _company,
    "dispatchers": _dispatcher,
    "residents": _resident,
}


def _companys_id(row: _Row) -> int:
    """The company by its own column, by the line's number, or by both when they agree."""
    company, line = row.text("company"), row.text("line")
    if not (company or line):
        row.bad("company" if "company" in row.of.headings else "line", "empty")
    by_name = row.company("company", company) if company else 0
    by_line = row.company("line", next(iter(row.phones("line")), line)) if line else 0
    if by_name and by_line and by_name != by_line:
        row.bad("line", f"{line!r} is another company's line, not of {company!r}")
    return by_name or by_line


def _address(row: _Row) -> str:
    """One address out of the columns it was given in: "Москва, ул. Лесная, д. 15, корп. 2"."""
    place = [row.text("city"), row.text("address")]
    house = row.number("house")
    if house and any(place):
        house = _labelled("д.", house)
    block = row.number("block")
    if not (house or place[1]):
        row.bad("address" if "address" in row.of.headings else "house", "empty")
    return ", ".join(filter(None, [*place, house, block and _labelled("корп.", block)]))


def _labelled(label: str, number: str) -> str:
    return f"{label} {number}" if number[0].isdigit() else number


def _flat(row: _Row) -> str:
    row.needed("flat", "; write '-' when the house has no flats")
    flat = re.sub(r"^(?:кв\.?|квартира|№)\s*(?=\d)", "", row.number("flat"), flags=re.IGNORECASE)
    return "" if flat.casefold() in NO_FLAT else flat


def _plain(cell: str, *, between_lines: str = " ") -> str:
    """A cell without what Excel and people leave around it: apostrophe, odd spaces, invisible characters."""
    text = cell.translate(_NOT_SHOWN)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return between_lines.join(filter(None, lines)).removeprefix("'").strip()


def _listed(text: str) -> list[str]:
    """The parts of a cell that lists several, in any of the ways people separate them."""
    whole = _DECIMAL.sub(r"\1", _COMMA_IN_NUMBER.sub(r"\1.\2", text))
    parts = re.split(r"[,;/]", whole)
    return [part.strip().removeprefix("'") for part in parts if part.strip()]


def _day(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day, not a moment
        except ValueError:
            continue
    return None


def _kind_of_consent(text: str) -> str | None:
    return next((kind for kind, words in CONSENTS.items() if text.casefold() in words), None)


def _headings(header: Sequence[str]) -> list[str]:
    """The header's cells without the empty ones Excel leaves at the end."""
    headings = [_plain(cell) for cell in header]
    while headings and not headings[-1]:
        headings.pop()
    return headings


def _normal(heading: str) -> str:
    """A heading as the table of columns spells it: "№ Телефона_2:" is "телефона"."""
    words = re.sub(r"[\W_]+", " ", heading.casefold().replace("ё", "е"))
    return re.sub(r" ?\d+ ?$", "", words).strip()


def _kind(headings: Iterable[str]) -> str:
    """The first kind whose needed columns are all there, else the one the file comes nearest to."""
    found = {kind: [name for h in headings if (name := _column(h, kind))] for kind in _table()}
    whole = [kind for kind, names in found.items() if not _missing(names, kind)]
    return whole[0] if whole else max(found, key=lambda kind: len(found[kind]))


def _column(heading: str, kind: str) -> str | None:
    if kind == "companies" and (phrase := _PHRASE.fullmatch(heading)):
        return f"phrase.{phrase[1].lower()}"
    return _aliases(kind).get(_normal(heading))


def _missing(names: Iterable[str | None], kind: str) -> list[str]:
    there = set(names)
    lacking = [group for group in _table()[kind]["needed"] if not there.intersection(group)]
    return [f"no column {' or '.join(map(repr, group))}" for group in lacking]


def _twice(names: Sequence[str | None], kind: str) -> list[int]:
    joined = _table()[kind]["joined"]
    return [n for n, name in enumerate(names) if name and name in names[:n] and name not in joined]


def _near(heading: str, kind: str) -> str | None:
    """A column so near to the heading that it must be a slip; files have many others of their own."""
    near = difflib.get_close_matches(_normal(heading), _aliases(kind), n=1, cutoff=0.8)
    return near[0] if near else None


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files("directory").joinpath("columns.toml").read_text(encoding="utf-8"))


@cache
def _aliases(kind: str) -> Mapping[str, str]:
    return {alias: name for name, aliases in _table()[kind]["columns"].items() for alias in aliases}


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
