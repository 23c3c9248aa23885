"""The tickets' moves over a store in memory; the SQL itself is proven in tests/postgres."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer

from ivr.call import Call
from ivr.errors import Refused
from panel.web import Panel
from tests.fakes import NOON, Clock, FakeOutbox, FakeStore
from tickets import book, limits

LAW = limits.read()
LATER = NOON + timedelta(minutes=20)


def store(status: str = "draft", **more: Any) -> FakeStore:
    """One ticket, number 7."""
    row = {"number": 7, "status": status, "category": "emergency", "registered_at": NOON, "damage_at": None}
    row |= {"zone": "Europe/Moscow", **more}
    legal = [row] if status != "closed" else []
    closed = [row] if status == "closed" else []
    return FakeStore(
        {
            "tickets.show": lambda values: [row] if values["number"] == 7 else [],
            "tickets.clocks": [{"name": "localise", "clause": "c", "due_at": NOON, "met_at": None}],
            "tickets.complete": legal,
            "tickets.close": legal,
            "tickets.reopen": closed,
            "tickets.meet_clock": legal,
        }
    )


def asked(of: FakeStore, statement: str) -> list[dict[str, Any]]:
    return [values for name, values in of.asked if name == statement]


def test_a_draft_has_what_the_call_knows() -> None:
    outbox, call = (
        FakeOutbox(),
        Call("dozvon-1.0", NOON, caller="+79000000001", company_id=1, house_id=3, flat="1"),
    )
    call.answered_at, call.answered_by, call.category = LATER, "101", "sewer"
    book.draft(outbox, call, LAW, ZoneInfo("Europe/Moscow"))
    (draft,) = outbox.of("tickets.draft")
    assert (draft["phone"], draft["house_id"], draft["flat"], draft["dispatcher"]) == (
        "+79000000001",
        3,
        "1",
        "101",
    )
    assert draft["registered_at"] == LATER
    due = {clock["name"]: clock["due_at"] for clock in draft["clocks"]}
    assert due["unblock_sewer"] == (LATER + timedelta(hours=2)).isoformat()


async def test_a_ticket_that_is_not_there_is_said() -> None:
    with pytest.raises(Refused, match="no ticket 8"):
        await book.show(store(), 8)


async def test_completing_sets_the_clocks_anew_from_the_registration() -> None:
    kept = store()
    damage = NOON - timedelta(hours=1)
    await book.complete(
        kept, LAW, 7, "anna", LATER, content=" Течёт кран ", category="water", damage_at=damage
    )
    assert asked(kept, "tickets.complete")[0]["content"] == "Течёт кран"
    clocks = {clock["name"]: clock["due_at"] for clock in asked(kept, "tickets.set_clock")}
    assert clocks["localise"] == NOON + timedelta(minutes=30)
    assert clocks["eliminate"] == damage + timedelta(days=3)
    statements = [name for name, _ in kept.asked]
    assert statements.index("tickets.drop_clocks") < statements.index("tickets.set_clock")


async def test_every_move_is_remembered_with_who_and_when() -> None:
    kept = store()
    await book.complete(kept, LAW, 7, "anna", LATER, content="Течёт")
    await book.meet(kept, 7, "localise", "boris", LATER)
    await book.close(kept, 7, "vera", LATER, "Починили")
    assert [(h["who"], h["what"], h["at"]) for h in asked(kept, "tickets.remember")] == [
        ("anna", "completed", LATER),
        ("boris", "met", LATER),
        ("vera", "closed", LATER),
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"content": "  "}, "content: say what the resident told"),
        ({"content": "x" * 4001}, "content: 4001 characters, at most 4000"),
        ({"category": "sewr"}, "category = 'sewr': no such category; did you mean 'sewer'?"),
        ({"flat_number": "1"}, "flat_number: a ticket has no such field"),
        ({"damage_at": LATER + timedelta(seconds=1)}, "the damage cannot begin in the future"),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_written(more: dict[str, Any], says: str) -> None:
    kept = store()
    with pytest.raises(Refused) as caught:
        await book.complete(kept, LAW, 7, "anna", LATER, **{"content": "Течёт", **more})
    assert says in str(caught.value)
    assert not asked(kept, "tickets.complete")


async def test_a_closed_ticket_stays_closed() -> None:
    kept = store("closed")
    for move in (
        book.complete(kept, LAW, 7, "anna", LATER, content="Течёт"),
        book.close(kept, 7, "anna", LATER, "Починили"),
        book.meet(kept, 7, "localise", "anna", LATER),
    ):
        with pytest.raises(Refused, match="ticket 7 is closed"):
            await move
    assert not asked(kept, "tickets.remember")


async def test_an_hour_agreed_for_the_robots_question_goes_with_the_closing() -> None:
    kept = store()
    agreed = LATER + timedelta(hours=6)
    await book.close(kept, 7, "anna", LATER, "Починили", agreed)
    assert asked(kept, "tickets.close")[0]["survey_at"] == agreed
    assert asked(kept, "tickets.remember")[0]["detail"] == {
        "result": "Починили",
        "survey_at": agreed.isoformat(),
    }
    await book.close(kept, 7, "anna", LATER, "Починили")
    assert asked(kept, "tickets.close")[1]["survey_at"] is None, "none is left over from an earlier closing"


@pytest.mark.parametrize(
    "agreed", [LATER - timedelta(seconds=1), LATER + book.FURTHEST_SURVEY + timedelta(seconds=1)]
)
async def test_an_hour_nobody_can_keep_is_refused(agreed: datetime) -> None:
    kept = store()
    with pytest.raises(Refused, match=r"survey_at = .*: from now on, and within 14 days"):
        await book.close(kept, 7, "anna", LATER, "Починили", agreed)
    assert not asked(kept, "tickets.close")


async def test_a_closed_ticket_is_opened_again_with_why() -> None:
    kept = store("closed")
    await book.reopen(kept, 7, "anna", LATER, " Опять течёт ")
    (entry,) = asked(kept, "tickets.remember")
    assert (entry["who"], entry["what"], entry["detail"]) == ("anna", "reopened", {"why": "Опять течёт"})
    assert not asked(kept, "tickets.drop_clocks") and not asked(kept, "tickets.set_clock"), "they run on"


async def test_an_open_ticket_is_not_opened_again() -> None:
    kept = store("registered")
    with pytest.raises(Refused, match="ticket 7 is registered: it cannot reopen"):
        await book.reopen(kept, 7, "anna", LATER, "Опять течёт")
    assert not asked(kept, "tickets.remember")


@pytest.mark.parametrize("why", ["", " ", "x" * 4001])
async def test_opening_again_asks_why(why: str) -> None:
    with pytest.raises(Refused, match="why: "):
        await book.reopen(store("closed"), 7, "anna", LATER, why)


@pytest.mark.parametrize("result", ["", " ", "x" * 4001])
async def test_closing_asks_what_was_done(result: str) -> None:
    with pytest.raises(Refused, match="result: "):
        await book.close(store(), 7, "anna", LATER, result)


async def test_a_clock_the_ticket_has_not_is_told_its_near_miss() -> None:
    with pytest.raises(Refused, match=r"ticket 7 has no clock 'localize'; did you mean 'localise'\?"):
        await book.meet(store(), 7, "localize", "anna", LATER)


async def test_a_clock_is_met_once() -> None:
    kept = store()
    kept.rows["tickets.meet_clock"] = []
    with pytest.raises(Refused, match="was met already"):
        await book.meet(kept, 7, "localise", "anna", LATER)
    assert not asked(kept, "tickets.remember")


async def test_a_wrong_status_is_told_its_near_miss() -> None:
    with pytest.raises(Refused, match=r"did you mean 'closed'\?"):
        await book.tickets(store(), status="close")


async def test_nobody_lists_everything_at_once() -> None:
    kept = store()
    await book.tickets(kept, most=10_000)
    await book.tickets(kept)
    assert [values["most"] for values in asked(kept, "tickets.list")] == [500, 50]


@pytest.mark.parametrize(
    ("body", "status", "agreed"),
    [
        ({"result": "Починили"}, 200, None),
        ({"result": "Починили", "survey_at": "2026-11-18T18:00:00+03:00"}, 200, NOON + timedelta(hours=6)),
        ({"result": "Починили", "survey_at": "2026-11-18T18:00:00"}, 400, None),
        ({"result": "Починили", "survey_at": ""}, 400, None),
        ({"result": "Починили", "survey_at": "вечером"}, 400, None),
        ({"result": "Починили", "survey_at": "2020-01-01T00:00:00Z"}, 409, None),
    ],
)
async def test_the_api_takes_an_agreed_hour_with_the_closing(
    body: dict[str, str], status: int, agreed: datetime | None
) -> None:
    kept = store()
    panel = Panel(kept, LAW, "fictional-token", Clock(), lambda: {"well": True})
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        headers = {"Authorization": "Bearer fictional-token"}
        async with client.post("/api/tickets/7/close", json=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()
    closings = asked(kept, "tickets.close")
    assert [closing["survey_at"] for closing in closings] == ([agreed] if status == 200 else [])
