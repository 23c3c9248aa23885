"""`dozvon import FILE.csv`: takes a file into the directory; each row goes in whole or not at all."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

from tqdm import tqdm

from directory import sheet
from directory.csv_file import (
    Columns,
    CompanyRow,
    DispatcherRow,
    Problem,
    Reading,
    Record,
    ResidentRow,
    columns,
    record,
)
from ivr.errors import DirectoryError
from ivr.store import Store

BATCH = 500
"""Rows in one transaction; larger ones take longer a row."""
PASSWORD_BYTES = 15
_ROWS_OWN_FAULT = ("22", "23", "54")
"""Classes of SQLSTATE that blame the data: data exception, integrity violation, limit exceeded."""

Values = dict[str, list[Any]]


@dataclass(slots=True)
class Report:
    """What became of a file."""

    file: str
    kind: str
    taken: int = 0
    """Rows that changed the directory."""
    unchanged: int = 0
    """Rows that said what the directory knew already."""
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    """Everything wrong with the refused rows; a row may have several."""
    refused_file: Path | None = None

    @property
    def ok(self) -> bool:
        return not self.refused

    def __str__(self) -> str:
        counts = f"{self.taken} taken in, {self.unchanged} unchanged, {self.refused} refused"
        return f"{self.file} ({self.kind}): {counts}"


async def import_file(
    path: Path,
    store: Store,
    now: datetime,
    *,
    region: str = "RU",
    area_code: str = "495",
    progress: bool = True,
    out: Callable[[str], object] = print,
) -> Report:
    """Take a CSV of companies, dispatchers or residents in; its header tells which.

    Refused rows are told to `out` and written to FILE.refused.csv, to be mended and imported again.
    Raises DirectoryError when the file as a whole cannot be read.
    """
    with sheet.opened(path) as table, _Refused(path, table) as refused:
        of = _columns(path, table)
        report = Report(path.name, of.kind)
        reading = Reading(
            today=_latest_day(now),
            region=region,
            area_code=area_code,
            companies=await _companies(store),
        )
        seen: dict[tuple[str, str], int] = {}
        with tqdm(total=table.size, unit="B", unit_scale=True, desc=path.name, disable=not progress) as bar:
            for rows in _batches(table.rows):
                good, bad = _read(rows, of, reading, seen)
                bad += await _take(good, store, report)
                refused.note(rows, bad, report)
                bar.update(table.position() - bar.n)
    _tell(report, of, out)
    return report


def _columns(path: Path, table: sheet.Sheet) -> Columns:
    try:
        return columns(table.header)
    except DirectoryError as error:
        raise DirectoryError(f"{path.name}:1: {error}") from None


def _latest_day(now: datetime) -> date:
    """The day it already is somewhere on Earth: no consent is refused for a time zone."""
    return (now.astimezone(UTC) + timedelta(hours=14)).date()


async def _companies(store: Store) -> dict[str, int]:
    """Every name a row may call a company by, casefolded; a name that two share is none."""
    rows = await store.all("directory.companies")
    names = [row["name"].casefold() for row in rows]
    known = {row["name"].casefold(): row["id"] for row in rows if names.count(row["name"].casefold()) == 1}
    for row in rows:
        known |= dict.fromkeys([row["code"], *row["lines"]], row["id"])
    return known


def _batches(rows: Iterator[sheet.Row]) -> Iterator[list[sheet.Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _read(
    rows: Iterable[sheet.Row], of: Columns, reading: Reading, seen: dict[tuple[str, str], int]
) -> tuple[list[Record], list[Problem]]:
    """Rows as records, and what is wrong with the others."""
    good: list[Record] = []
    bad: list[Problem] = []
    for row in rows:
        if row.broken:
            bad.append(Problem(row.line, "", row.broken))
            continue
        made = record(row.line, row.cells, of, reading)
        if isinstance(made, tuple):
            bad += made
        elif twins := _twins(made, of, seen) or _taken_lines(made, of, reading):
            bad += twins
        else:
            good.append(made)
    return good, bad


def _twins(made: Record, of: Columns, seen: dict[tuple[str, str], int]) -> list[Problem]:
    """What an earlier row of the file has claimed already: two rows cannot both be right."""
    claims: list[tuple[str, str]] = []
    if isinstance(made, CompanyRow):
        claims = [("code", made.code), *(("lines", number) for number in made.lines)]
    if isinstance(made, DispatcherRow):
        claims = [("extension", made.extension)]
    problems = [
        Problem(made.line, of.headings[column], f"{value!r}: line {seen[column, value]} has it already")
        for column, value in claims
        if (column, value) in seen
    ]
    if not problems:
        seen.update(dict.fromkeys(claims, made.line))
    return problems


def _taken_lines(made: Record, of: Columns, reading: Reading) -> list[Problem]:
    """A line that rings for another company is not taken from it by a row: its callers would be greeted wrongly."""
    if not isinstance(made, CompanyRow):
        return []
    return [
        Problem(
            made.line,
            of.headings["lines"],
            f"{number!r} is another company's line; take it from that one first",
        )
        for number in made.lines
        if reading.companies.get(number, None) not in {None, reading.companies.get(made.code)}
    ]


async def _take(records: Sequence[Record], store: Store, report: Report) -> list[Problem]:
    """Take records in, and count them; returns the ones the database itself refuses, found by halving."""
    if not records:
        return []
    try:
        async with store.transaction() as sole:
            await sole.one("directory.import_lock")
            rows = await sole.all(f"directory.take_{report.kind}", **_VALUES[report.kind](records))
    except Exception as error:
        if not str(getattr(error, "sqlstate", "")).startswith(_ROWS_OWN_FAULT):
            raise
        if len(records) == 1:
            return [Problem(records[0].line, "", f"the database refuses it: {error}")]
        half = len(records) // 2
        return [
            *await _take(records[:half], store, report),
            *await _take(records[half:], store, report),
        ]
    changed = sum(row["changed"] for row in rows)
    report.taken += changed
    report.unchanged += len(records) - changed
    return []


def _company_values(records: Sequence[Record]) -> Values:
    rows = cast(Sequence[CompanyRow], records)
    lines = [(row.line, number) for row in rows for number in row.lines]
    return {
        "rows": [row.line for row in rows],
        "codes": [row.code for row in rows],
        "names": [row.name for row in rows],
        "greetings": [row.greeting for row in rows],
        "time_zones": [row.time_zone for row in rows],
        "queues": [row.queue for row in rows],
        "phrases": [json.dumps(dict(row.phrases), ensure_ascii=False) for row in rows],
        "line_rows": [line for line, _ in lines],
        "line_numbers": [number for _, number in lines],
    }


def _dispatcher_values(records: Sequence[Record]) -> Values:
    rows = cast(Sequence[DispatcherRow], records)
    return {
        "rows": [row.line for row in rows],
        "extensions": [row.extension for row in rows],
        "names": [row.name for row in rows],
        "passwords": [secrets.token_urlsafe(PASSWORD_BYTES) for _ in rows],
        "serves": [None if row.serves is None else json.dumps(row.serves) for row in rows],
    }


def _resident_values(records: Sequence[Record]) -> Values:
    rows = cast(Sequence[ResidentRow], records)
    phones = [(row.line, phone) for row in rows for phone in row.phones]
    consents = [(row.line, consent) for row in rows for consent in row.consents]
    return {
        "rows": [row.line for row in rows],
        "company_ids": [row.company_id for row in rows],
        "addresses": [row.address for row in rows],
        "time_zones": [row.time_zone for row in rows],
        "accesses": [row.access for row in rows],
        "flats": [row.flat for row in rows],
        "names": [row.name for row in rows],
        "notes": [row.note for row in rows],
        "phone_rows": [line for line, _ in phones],
        "phones": [phone for _, phone in phones],
        "consent_rows": [line for line, _ in consents],
        "kinds": [consent.kind for _, consent in consents],
        "given": [consent.given for _, consent in consents],
        "since": [consent.since for _, consent in consents],
        "sources": [consent.source for _, consent in consents],
    }


_VALUES: Mapping[str, Callable[[Sequence[Record]], Values]] = {
    "companies": _company_values,
    "dispatchers": _dispatcher_values,
    "residents": _resident_values,
}


class _Refused:
    """FILE.refused.csv: refused rows as they came, and why; opened by the first of them."""

    def __init__(self, path: Path, table: sheet.Sheet) -> None:
        self.path = path.with_suffix(".refused.csv")
        self.table = table
        self.file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.file:
            self.file.close()

    def note(self, rows: Iterable[sheet.Row], problems: Sequence[Problem], report: Report) -> None:
        """Write down and count the rows of one batch that have problems."""
        if not problems:
            return
        reasons: dict[int, list[str]] = {}
        for problem in sorted(problems, key=lambda problem: problem.line):
            reasons.setdefault(problem.line, []).append(str(problem))
            report.problems.append(problem)
        report.refused += len(reasons)
        with suppress(OSError):  # a folder that cannot be written to; the problems are told anyway
            writer = csv.writer(self._opened(), delimiter=self.table.delimiter)
            width = len(self.table.header)
            for row in rows:
                if row.line in reasons:
                    cells = [*row.cells, *[""] * (width - len(row.cells))]
                    writer.writerow([*cells[:width], "; ".join(reasons[row.line]), *cells[width:]])
            report.refused_file = self.path

    def _opened(self) -> TextIO:
        if self.file is None:
            self.file = self.path.open("w", encoding="utf-8-sig", newline="")  # the mark is for Excel
            csv.writer(self.file, delimiter=self.table.delimiter).writerow([*self.table.header, "problem"])
        return self.file


def _tell(report: Report, of: Columns, out: Callable[[str], object]) -> None:
    if of.left_out:
        out(f"{report.file}: columns left out: {', '.join(map(repr, of.left_out))}")
    for problem in report.problems:
        out(f"{report.file}:{problem}")
    out(str(report))
    if report.refused_file:
        out(f"refused rows: {report.refused_file}; mend them and import that file")
