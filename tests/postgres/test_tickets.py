"""A ticket's life on a real Postgres: drafted once, completed, its clocks met, closed; every other move refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ivr.errors import Refused
from ivr.ledger import Ledger
from tickets import book

from .calls import ANNA, LIMITS, NOON, TALKED, new_id, switchboard, tell
from .test_directory import take_sample

ANSWERED = NOON + timedelta(seconds=5)
LATER = ANSWERED + timedelta(minutes=2)
CONTENT = "Прорвало стояк на кухне"


async def drafted(ledger: Ledger, **more: Any) -> int:
    """The number of a draft."""
    call = tell(switchboard(ledger), *TALKED, **more)
    await ledger.settled()
    ticket = await ledger.one("tickets.of_call", call=call.id)
    assert ticket is not None
    return int(ticket["number"])


async def complete(ledger: Ledger, number: int, **more: Any) -> book.Ticket:
    given = {"content": CONTENT, **more}
    return await book.complete(ledger, LIMITS, number, ANNA, LATER, **given)


def due(ticket: book.Ticket) -> dict[str, timedelta]:
    """How long after the registration each clock runs out."""
    return {str(clock["name"]): clock["due_at"] - ticket.row["registered_at"] for clock in ticket.clocks}


async def test_an_answer_opens_a_draft_with_its_clocks(ledger: Ledger) -> None:
    ticket = await book.show(ledger, await drafted(ledger))
    row = ticket.row
    assert (row["status"], row["category"], row["dispatcher"]) == ("draft", "emergency", ANNA)
    assert (row["phone"], row["registered_at"]) == ("+79161234567", ANSWERED)
    assert due(ticket) == {
        "tell_terms": timedelta(minutes=30),
        "localise": timedelta(minutes=30),
        "eliminate": timedelta(days=3),
    }
    assert [(entry["who"], entry["what"]) for entry in ticket.history] == [(ANNA, "opened")]


async def test_a_draft_told_again_is_the_same_and_numbers_have_no_gaps(ledger: Ledger) -> None:
    calls = [new_id() for _ in range(3)]
    for call in (*calls, *calls):
        await drafted(ledger, call=call)
    assert [row["number"] for row in await book.tickets(ledger)] == [3, 2, 1]
    assert await drafted(ledger) == 4
    for ticket in (1, 2, 3):
        shown = await book.show(ledger, ticket)
        assert (len(shown.clocks), len(shown.history)) == (3, 1)


async def test_completed_it_is_registered_with_the_residents_words(ledger: Ledger) -> None:
    ticket = await complete(ledger, await drafted(ledger), flat="12")
    assert (ticket.row["status"], ticket.row["content"], ticket.row["flat"]) == ("registered", CONTENT, "12")
    assert ticket.history[-1]["what"] == "completed"
    assert ticket.history[-1]["detail"] == {
        "content": CONTENT,
        "category": "emergency",
        "flat": "12",
    }


async def test_another_category_sets_the_clocks_anew_from_the_registration(ledger: Ledger) -> None:
    ticket = await complete(ledger, await drafted(ledger), category="sewer")
    assert due(ticket) == {
        "tell_terms": timedelta(minutes=30),
        "localise": timedelta(minutes=30),
        "unblock_sewer": timedelta(hours=2),
    }


async def test_a_clock_that_was_met_stays_met_when_the_category_changes(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await book.meet(ledger, number, "tell_terms", ANNA, LATER)
    ticket = await complete(ledger, number, category="roof")
    met = {clock["name"]: clock["met_at"] for clock in ticket.clocks}
    assert met == {"tell_terms": LATER, "roof_leak": None}


async def test_damage_that_began_earlier_is_due_earlier(ledger: Ledger) -> None:
    began = ANSWERED - timedelta(hours=10)
    ticket = await complete(ledger, await drafted(ledger), damage_at=began)
    assert due(ticket)["eliminate"] == timedelta(days=3) - timedelta(hours=10)
    assert due(ticket)["localise"] == timedelta(minutes=30)
    again = await complete(ledger, int(ticket.row["number"]))
    assert due(again)["eliminate"] == due(ticket)["eliminate"]


async def test_its_clocks_stand_in_the_houses_own_time_zone(ledger: Ledger) -> None:
    await take_sample(ledger.pool)
    house = await ledger.pool.fetchval("SELECT min(id) FROM houses")
    await ledger.pool.execute("UPDATE houses SET time_zone = 'Asia/Vladivostok' WHERE id = $1", house)
    number = await drafted(ledger, at=NOON.replace(hour=12, minute=30))  # 22:30 in Vladivostok
    ticket = await complete(ledger, number, house_id=house, category="waste_chute")
    (chute,) = [clock for clock in ticket.clocks if clock["name"] == "unblock_chute"]
    assert chute["due_at"] - ticket.row["registered_at"] == timedelta(hours=11)


async def test_a_clock_is_met_once(ledger: Ledger) -> None:
    number = await drafted(ledger)
    ticket = await book.meet(ledger, number, "localise", ANNA, LATER)
    assert {clock["name"]: clock["met_at"] for clock in ticket.clocks}["localise"] == LATER
    with pytest.raises(Refused, match=f"'localise' of ticket {number} was met already"):
        await book.meet(ledger, number, "localise", ANNA, LATER)
    with pytest.raises(Refused, match="no clock 'localize'; did you mean 'localise'"):
        await book.meet(ledger, number, "localize", ANNA, LATER)


async def test_closed_it_takes_no_other_move(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await complete(ledger, number)
    ticket = await book.close(ledger, number, ANNA, LATER, "Заменён кран")
    assert (ticket.row["status"], ticket.row["closed_at"]) == ("closed", LATER)
    assert (ticket.row["result"], ticket.history[-1]["what"]) == ("Заменён кран", "closed")
    with pytest.raises(Refused, match=f"ticket {number} is closed: it cannot close"):
        await book.close(ledger, number, ANNA, LATER, "ещё раз")
    with pytest.raises(Refused, match=f"ticket {number} is closed: it cannot complete"):
        await complete(ledger, number)
    with pytest.raises(Refused, match="its clocks do not run any more"):
        await book.meet(ledger, number, "localise", ANNA, LATER)
    assert (await book.show(ledger, number)).history == ticket.history


async def test_a_draft_that_was_nothing_is_completed_and_closed(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await complete(ledger, number, content="Ошиблись номером", category="other")
    assert (await book.close(ledger, number, ANNA, LATER, "Заявки нет")).row["status"] == "closed"


async def test_a_draft_is_closed_without_being_completed(ledger: Ledger) -> None:
    ticket = await book.close(ledger, await drafted(ledger), ANNA, LATER, "Ошиблись номером")
    assert ticket.row["status"] == "closed"
    assert ticket.history[-1]["detail"] == {"result": "Ошиблись номером"}


async def test_of_two_who_close_at_once_one_is_refused(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await complete(ledger, number)
    closing = (book.close(ledger, number, who, LATER, "Готово") for who in ("101", "102"))
    ends = await asyncio.gather(*closing, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Refused", "Ticket"]
    history = (await book.show(ledger, number)).history
    assert [entry["what"] for entry in history].count("closed") == 1


async def test_a_closed_ticket_is_opened_again_and_its_clocks_run_on_from_where_they_stood(
    ledger: Ledger,
) -> None:
    """An end that was none has bought no time: the law counts from the registration and the damage."""
    number = await drafted(ledger)
    await complete(ledger, number)
    before = await book.meet(ledger, number, "tell_terms", ANNA, LATER)
    await book.close(ledger, number, ANNA, LATER, "Заменён кран", LATER + timedelta(hours=5))
    again = await book.reopen(ledger, number, "102", LATER + timedelta(hours=1), "опять течёт")
    row = again.row
    assert (row["status"], row["closed_at"], row["survey_at"], row["reopened"]) == (
        "registered",
        None,
        None,
        1,
    )
    assert row["result"] == "Заменён кран", "what was done stays to be seen"
    assert again.clocks == before.clocks
    last = again.history[-1]
    assert (last["who"], last["what"], last["detail"]) == ("102", "reopened", {"why": "опять течёт"})
    met = await book.meet(ledger, number, "localise", ANNA, LATER + timedelta(hours=2))
    assert {clock["name"]: clock["met_at"] for clock in met.clocks}["localise"] == LATER + timedelta(hours=2)
    closed = await book.close(ledger, number, ANNA, LATER + timedelta(hours=3), "Заменена труба")
    assert (closed.row["status"], closed.row["result"]) == ("closed", "Заменена труба")


async def test_a_draft_opened_again_is_a_draft_and_is_completed(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await book.close(ledger, number, ANNA, LATER, "Ошиблись номером")
    again = await book.reopen(ledger, number, ANNA, LATER, "не ошиблись")
    assert again.row["status"] == "draft"
    assert (await complete(ledger, number)).row["status"] == "registered"


async def test_of_two_who_open_it_again_at_once_one_is_refused(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await complete(ledger, number)
    await book.close(ledger, number, ANNA, LATER, "Готово")
    opening = (book.reopen(ledger, number, who, LATER, "опять") for who in ("101", "102"))
    ends = await asyncio.gather(*opening, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Refused", "Ticket"]
    assert (await book.show(ledger, number)).row["reopened"] == 1


async def test_an_agreed_hour_is_kept_with_the_closing_and_shown(ledger: Ledger) -> None:
    number = await drafted(ledger)
    agreed = LATER + timedelta(hours=5)
    ticket = await book.close(ledger, number, ANNA, LATER, "Готово", agreed)
    assert ticket.row["survey_at"] == agreed
    assert ticket.history[-1]["detail"] == {"result": "Готово", "survey_at": agreed.isoformat()}


async def test_what_a_resident_rated_is_shown_and_listed(ledger: Ledger) -> None:
    number = await drafted(ledger)
    await ledger.pool.execute("UPDATE tickets SET rating = 4, rated_at = $1", LATER)
    assert (await book.show(ledger, number)).row["rating"] == 4
    assert (await book.tickets(ledger))[0]["rating"] == 4


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"content": "  "}, "content: say what the resident told"),
        ({"content": "ы" * 5000}, "content: 5000 characters, at most 4000"),
        ({"category": "sewar"}, "no such category; did you mean 'sewer'"),
        ({"damage_at": LATER + timedelta(days=1)}, "the damage cannot begin in the future"),
        ({"colour": "red"}, "colour: a ticket has no such field"),
    ],
)
async def test_what_does_not_fit_is_refused_in_words_and_changes_nothing(
    ledger: Ledger, given: dict[str, Any], why: str
) -> None:
    number = await drafted(ledger)
    before = await book.show(ledger, number)
    with pytest.raises(Refused, match=why):
        await complete(ledger, number, **given)
    assert await book.show(ledger, number) == before


async def test_a_house_nobody_knows_is_refused_in_words(ledger: Ledger) -> None:
    number = await drafted(ledger)
    for house in (999, 0, -1, 10**30):
        with pytest.raises(Refused, match=f"house_id = {house}: no such house"):
            await complete(ledger, number, house_id=house)


async def test_a_house_of_another_company_is_refused_in_words(ledger: Ledger) -> None:
    await take_sample(ledger.pool)
    number = await drafted(ledger)
    houses = await ledger.pool.fetch("SELECT min(id) AS id, company_id FROM houses GROUP BY 2 ORDER BY 2")
    await ledger.pool.execute("UPDATE tickets SET company_id = $1", houses[0]["company_id"])
    with pytest.raises(Refused, match="no such house of this company"):
        await complete(ledger, number, house_id=houses[1]["id"])
    assert (await complete(ledger, number, house_id=houses[0]["id"])).row["house_id"] == houses[0]["id"]


async def test_an_unknown_ticket_is_named(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="no ticket 7"):
        await book.show(ledger, 7)


async def test_tickets_are_listed_newest_first_by_status_and_page_by_page(ledger: Ledger) -> None:
    for _ in range(5):
        await drafted(ledger)
    await complete(ledger, 2)
    assert [row["number"] for row in await book.tickets(ledger, most=2)] == [5, 4]
    assert [row["number"] for row in await book.tickets(ledger, before=4, most=2)] == [3, 2]
    assert [row["number"] for row in await book.tickets(ledger, status="registered")] == [2]
    assert (await book.tickets(ledger, status="draft"))[0]["next_due_at"] == ANSWERED + timedelta(minutes=30)
    with pytest.raises(Refused, match="did you mean 'closed'"):
        await book.tickets(ledger, status="close")


async def test_a_status_reached_past_the_rules_is_refused_by_the_database(ledger: Ledger) -> None:
    number = await drafted(ledger)
    for move, values in (
        ("complete", {"content": "x", "category": "roof", "house_id": None, "flat": None, "damage_at": None}),
        ("close", {"closed_at": LATER, "result": "x", "survey_at": None}),
        ("reopen", {}),
    ):
        assert await ledger.one(f"tickets.{move}", number=number, legal=["closed"], **values) is None
