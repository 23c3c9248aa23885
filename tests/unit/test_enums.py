"""The words Python and Postgres share are the same words."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from callback import book as promises
from ivr.call import Direction, Kind, Outcome
from ivr.ledger.migrations import FOLDER
from robocalls import nouns as surveys
from tickets import book as tickets

ENUMS: dict[str, type[StrEnum]] = {
    "call_direction": Direction,
    "call_outcome": Outcome,
    "fact_kind": Kind,
    "promise_status": promises.Status,
    "survey_result": surveys.Result,
    "survey_status": surveys.Status,
    "ticket_status": tickets.Status,
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


@pytest.mark.parametrize("name", ENUMS)
def test_the_sql_enum_has_the_words_of_the_python_enum(name: str) -> None:
    assert sorted(in_sql()[name]) == sorted(ENUMS[name])


@pytest.mark.parametrize(
    ("moves", "statuses"), [(tickets.MOVES, tickets.Status), (promises.MOVES, promises.Status)]
)
def test_a_move_is_legal_from_statuses_that_exist(
    moves: dict[str, tuple[StrEnum, ...]], statuses: type[StrEnum]
) -> None:
    assert {status for legal in moves.values() for status in legal} <= set(statuses)


def test_a_closed_ticket_is_closed_until_it_is_opened_again() -> None:
    legal = {move for move, statuses in tickets.MOVES.items() if tickets.Status.CLOSED in statuses}
    assert legal == {"reopen"}
