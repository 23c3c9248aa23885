"""How the command line shows things: tables, moments, spans; and how it comes to the ledger."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from appliance.secrets import completed
from directory.phones import shown
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.store import Row


def table(rows: Sequence[Row], columns: dict[str, str], settings: Settings) -> None:
    """Rows under their titles, each column as wide as it must be."""
    cells = [list(columns)] + [
        [cell(row.get(name), settings, name) for name in columns.values()] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: object, settings: Settings, name: str = "") -> str:
    """A value of the column `name` as people read it; moments in the hotline's own zone."""
    if name in {"phone", "caller"} and (value is None or isinstance(value, str)):
        return shown(value)
    if value is None or value == "":
        return "–"
    if isinstance(value, datetime):
        return moment(value, ZoneInfo(settings.time_zone))
    if isinstance(value, timedelta):
        return clock(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def moment(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%d.%m.%Y %H:%M:%S")


def clock(span: timedelta) -> str:
    """`04:20`, `-00:07` when it is past, `1:02:03` from an hour on."""
    seconds = round(abs(span).total_seconds())
    minutes, seconds = divmod(seconds, 60)
    text = f"{minutes:02}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return f"-{text}" if span < timedelta() else text


@asynccontextmanager
async def ledger_of(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger of the hotline in whose folder we are."""
    if settings.database_url is None and not (settings.home / "secrets.json").exists():
        where = settings.home.resolve()
        raise DozvonError(f"no hotline in {where}: go to its folder, or set DOZVON_HOME; make run starts one")
    settings = completed(settings)
    assert settings.database_url is not None
    async with Ledger(settings.database_url, settings.home / "parked.jsonl") as ledger:
        yield ledger


@contextmanager
def private_file(path: Path, encoding: str = "utf-8") -> Iterator[TextIO]:
    """A file with personal data, written anew: nobody but its owner reads it."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise DozvonError(
            f"{path}: {error.strerror}; give a file in a folder that you may write to"
        ) from error
    with os.fdopen(number, "w", encoding=encoding, newline="") as file:
        os.fchmod(number, 0o600)  # one that was there before
        file.truncate()
        yield file
