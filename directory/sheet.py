"""A table as Excel saves it: finds encoding and delimiter, hands out rows with their line numbers."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from ivr.errors import DirectoryError

DELIMITERS = ";,\t"
TALLEST = 30
"""Lines one row may span; above that a quote was opened and never closed."""
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    """Where the row starts in the file; the first line is 1."""
    cells: Sequence[str]
    broken: str | None = None
    """Why the row cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Sheet:
    header: Sequence[str]
    rows: Iterator[Row]
    delimiter: str
    size: int
    """Bytes of the file."""
    position: Callable[[], int]
    """Bytes read so far; ahead of the row in hand by a buffer."""


@contextmanager
def opened(path: Path) -> Iterator[Sheet]:
    """The file as a header and rows, read as they are asked for. Raises DirectoryError."""
    try:
        written_in = encoding(path)
    except OSError as error:
        raise DirectoryError(f"{path}: {error.strerror}; give the path of a CSV file") from error
    with path.open("rb") as raw, TextIOWrapper(raw, encoding=written_in, newline="") as file:
        try:
            delimiter, read = _delimiter(file)
            rows = _rows(file, delimiter, read)
            header = next(rows, None)
            if header is None:
                raise DirectoryError(f"{path.name}: empty; the first row must name the columns")
            yield Sheet(header.cells, rows, delimiter, path.stat().st_size, raw.tell)
        except UnicodeDecodeError as error:
            wrong = f"byte {error.object[error.start]:#x} is neither UTF-8 nor {written_in}"
            raise DirectoryError(f"{path.name}: {wrong}; save it as «CSV UTF-8»") from error


def encoding(path: Path) -> str:
    """What the file is written in: UTF-8 and UTF-16 are certain, else it is Windows' Cyrillic."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith(_WORKBOOKS):
            raise DirectoryError(f"{path.name}: an Excel workbook; save it as «CSV UTF-8» and import that")
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1251"
    return "utf-8-sig"


def _delimiter(file: TextIO) -> tuple[str, int]:
    """The delimiter the first row uses most, and how many lines it took to know.

    Excel's own first line "sep=;" is taken at its word.
    """
    first = file.readline()
    if first.startswith("sep="):
        return first.removeprefix("sep=").rstrip("\r\n") or "\t", 1
    file.seek(0)
    return max(DELIMITERS, key=first.count), 0


def _rows(file: TextIO, delimiter: str, before: int) -> Iterator[Row]:
    """Rows that hold anything, the header first; `before` lines of the file are read already."""
    reader = csv.reader(file, delimiter=delimiter)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            yield Row(line, (), "a quote opened here is not closed for many lines")
            continue
        if cells is None:
            return
        last = before + reader.line_num
        if last - line >= TALLEST:
            yield Row(line, cells, f"a quote opened here is not closed until line {last}")
        elif any(cell.strip() for cell in cells):
            yield Row(line, cells)
