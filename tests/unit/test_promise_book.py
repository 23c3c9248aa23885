"""What a person does with promises, over a store in memory; the SQL itself is proven in tests/postgres."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import book, words
from callback.book import MOVES, Status
from ivr.call import Outcome
from ivr.errors import Refused
from tests.fakes import NOON, FakeStore
from tickets import limits

DUE = NOON + timedelta(minutes=10)
LATER = NOON + timedelta(minutes=4)
MOVED = [{"promise_id": 7}]


def promise(status: str = "open", **more: Any) -> dict[str, Any]:
    row = {
        "id": 7,
        "status": status,
        "phone": "+79161234567",
        "missed_at": NOON,
        "due_at": DUE,
        "category": None,
    }
    return {**row, "reached_at": None, "reached_by": None, "closed_at": None, **more}


def store(status: str = "open", **more: Any) -> FakeStore:
    """One promise, number 7; each move is done."""
    row = promise(status, **more)
    moves = {f"moves.{move}": MOVED for move in MOVES}
    return FakeStore({"moves.show": lambda values: [row] if values["id"] == 7 else [], **moves})


def asked(of: FakeStore, move: str) -> list[dict[str, Any]]:
    return [values for name, values in of.asked if name == f"moves.{move}"]


async def do(of: FakeStore, move: str, text: str = "Ошиблись номером", **more: Any) -> book.Promise:
    if move == "keep":
        return await book.keep(of, 7, "101", LATER, text)
    if move == "postpone":
        until = more.get("until", LATER + timedelta(hours=1))
        return await book.postpone(of, 7, "101", LATER, until, text)
    return await getattr(book, move)(of, 7, "101", LATER, text)  # type: ignore[no-any-return]


@pytest.mark.parametrize("move", MOVES)
async def test_a_move_tells_who_when_and_why_and_from_where_it_is_legal(move: str) -> None:
    of = store("kept" if move == "reopen" else "open")
    await do(of, move, "  Житель просит вечером  ")
    (values,) = asked(of, move)
    assert (values["who"], values["now"], values["legal"]) == ("101", LATER, list(MOVES[move]))
    assert values["how" if move == "keep" else "reason"] == "Житель просит вечером"


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(("text", "why"), [("  ", "say "), ("ы" * 501, "501 characters, at most 500")])
async def test_a_reason_is_asked_for_and_bounded(move: str, text: str, why: str) -> None:
    of = store()
    with pytest.raises(Refused, match=why):
        await do(of, move, text)
    assert not asked(of, move)


@pytest.mark.parametrize("move", MOVES)
async def test_a_move_that_is_not_legal_is_refused_with_the_status_in_it(move: str) -> None:
    of = store("broken", closed_at=NOON)
    of.rows[f"moves.{move}"] = []
    with pytest.raises(Refused, match=f"promise 7 is broken and closed: it cannot {move}"):
        await do(of, move)


@pytest.mark.parametrize(
    ("until", "why"),
    [
        (LATER, "that is in the past"),
        (LATER - timedelta(days=1), "that is in the past"),
        (LATER + timedelta(days=7, seconds=1), "at most 7 days from now"),
    ],
)
async def test_it_is_postponed_into_the_next_seven_days_only(until: datetime, why: str) -> None:
    of = store()
    with pytest.raises(Refused, match=why):
        await do(of, "postpone", until=until)
    assert not asked(of, "postpone")


async def test_who_has_no_number_cannot_be_rung_later() -> None:
    with pytest.raises(Refused, match="promise 7 has no number"):
        await do(store(phone=None), "postpone")


async def test_who_was_talked_with_is_not_kept_again() -> None:
    with pytest.raises(Refused, match="cannot keep, they have talked already"):
        await do(store("kept", reached_at=NOON, closed_at=NOON), "keep")


async def test_with_another_open_promise_of_the_number_none_is_reopened() -> None:
    of = store("kept", closed_at=NOON)
    of.rows["moves.other_open"] = [{"id": 9}]
    with pytest.raises(Refused, match="promise 9 of this number is open already"):
        await do(of, "reopen")
    assert not asked(of, "reopen")


async def test_while_the_call_that_closed_it_is_on_it_is_not_reopened() -> None:
    of = store("kept", closed_at=NOON, reached_by="dozvon-1")
    with pytest.raises(Refused, match="still on; hang up first"):
        await do(of, "reopen")
    of.rows["moves.not_a_talk"] = [{"call_id": "dozvon-1"}]
    await do(of, "reopen")


@pytest.mark.parametrize("id", [0, -1, 8, 2**63, 10**30])
async def test_a_promise_nobody_knows_is_named(id: int) -> None:
    with pytest.raises(Refused, match=f"no promise {id}"):
        await book.show(store(), id)


async def test_a_day_is_from_midnight_to_midnight_where_the_house_stands() -> None:
    of = store()
    await book.promises(of, day=date(2026, 3, 29), zone=ZoneInfo("Europe/Berlin"))
    (values,) = asked(of, "list")
    assert values["until"].astimezone(UTC) - values["since"].astimezone(UTC) == timedelta(hours=23)


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"status": "opened"}, "did you mean 'open'"),
        ({"by": "dew"}, "did you mean 'due'"),
        ({"day": date(1, 1, 1)}, "from 2000 on"),
        ({"day": date.max}, "from 2000 on"),
    ],
)
async def test_a_filter_that_does_not_fit_is_refused_in_words(filters: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        await book.promises(store(), **filters)


async def test_the_board_says_how_long_is_left() -> None:
    of = store()
    of.rows["moves.now"] = [promise(), promise(due_at=NOON)]
    board = await book.on_the_board(of, LATER, ZoneInfo("Europe/Moscow"))
    assert [row["left_s"] for row in board["promises"]] == [360, -240]
    assert asked(of, "counts")[0]["since"].isoformat() == "2026-11-18T00:00:00+03:00"


# words


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_code_has_its_words(language: str) -> None:
    said = words.read(language)
    assert set(said.rooms["status"]) == set(Status)
    assert set(said.rooms["outcome"]) == set(Outcome)
    assert set(said.rooms["category"]) >= set(limits.read().categories)
    assert all(text.strip() for room in said.rooms.values() for text in room.values())


def test_every_refusal_people_meet_has_its_words() -> None:
    codes = re.findall(r'Cannot\(\s*"(\w+)"', Path(book.__file__).read_text("utf-8"))
    assert len(codes) == 7
    assert set(words.read("ru").rooms["refusal"]) == set(codes)


def test_why_is_a_code_an_outcome_or_somebodys_own_words() -> None:
    said = words.read("ru")
    assert said.of("why", "untried") == "ни один диспетчер не освободился"
    assert said.of("why", "no_answer") == "не ответили"
    assert said.of("why", "Просил после шести") == "Просил после шести"
    assert said.of("why", None) == ""


def test_the_phone_that_rings_says_why_how_long_what_and_who() -> None:
    row = promise(category="emergency", name="Смирнов Олег", flat="12")
    assert words.read("ru").title(row, LATER) == "Перезвон 6:00 Авария, Смирнов Олег, кв. 12"
    late = promise(category=None, name=None, flat=None)
    assert words.read("en").title(late, DUE + timedelta(seconds=65)) == "Callback overdue 1:05"


def test_what_the_phone_shows_is_short_and_printable() -> None:
    title = words.read("ru").title(promise(name="Я\r\nX: y" + "я" * 200, flat="1"), LATER)
    assert len(title) <= words.LONGEST_TITLE and title.isprintable()
