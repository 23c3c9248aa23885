"""The words Python and Postgres share are the same words."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from ivr.call import Kind, Outcome
from ivr.ledger.migrations import FOLDER
from tickets.book import MOVES, Status

ENUMS: dict[str, type[StrEnum] | None] = {
    "call_outcome": Outcome,
    "fact_kind": Kind,
    "ticket_status": Status,
    "promise_status": None,  # written by SQL alone, so far
}


def in_sql() -> dict[str, list[str]]:
    """Every enum as the migrations leave it."""
    found: dict[str, list[str]] = {}
    for file in sorted(FOLDER.glob("[0-9]*.sql")):
        text = re.sub(r"--.*", "", file.read_text("utf-8"))
        for name, words in re.findall(r"CREATE TYPE (\w+) AS ENUM \(([^)]*)\)", text):
            found[name] = re.findall(r"'([^']+)'", words)
        for name, word in re.findall(r"ALTER TYPE (\w+) ADD VALUE (?:IF NOT EXISTS )?'([^']+)'", text):
            found[name].append(word)
    return found


def test_every_enum_of_the_migrations_is_looked_at() -> None:
    assert set(in_sql()) == set(ENUMS)


@pytest.mark.parametrize("name", [name for name, enum in ENUMS.items() if enum])
def test_the_sql_enum_has_the_words_of_the_python_enum(name: str) -> None:
    enum = ENUMS[name]
    assert enum and sorted(in_sql()[name]) == sorted(enum)


def test_a_move_is_legal_from_statuses_that_exist() -> None:
    assert {status for statuses in MOVES.values() for status in statuses} <= set(Status)
    assert not any(Status.CLOSED in statuses for statuses in MOVES.values()), "closed is closed"
