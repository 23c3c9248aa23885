"""The JSON API against clients that do not behave, over a store in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from panel.web import LARGEST_BODY, Panel
from tests.fakes import NOON, Clock, FakeStore
from tickets import limits

TOKEN = "fictional-token"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
TICKET = "/api/tickets/7"
GOOD = {"content": "Течёт кран"}

Client = TestClient[Any, Any]


def ticket(**more: Any) -> dict[str, Any]:
    row = {"number": 7, "status": "draft", "category": "emergency", "registered_at": NOON, "damage_at": None}
    return {**row, "company_id": 1, "zone": "Europe/Moscow", **more}


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(
        {
            "tickets.show": lambda values: [ticket()] if values["number"] == 7 else [],
            "tickets.list": [ticket()],
            "tickets.clocks": [
                {"name": "localise", "clause": "ПП РФ № 416, п. 13", "due_at": NOON, "met_at": None}
            ],
            "tickets.house": [{"company_id": 1, "zone": "Europe/Moscow"}],
            "tickets.complete": [ticket()],
            "tickets.close": [ticket()],
            "tickets.meet_clock": [{"name": "localise"}],
        }
    )


@pytest.fixture
def health() -> dict[str, Any]:
    return {"well": True, "calls": 0}


@pytest.fixture
async def client(store: FakeStore, health: dict[str, Any]) -> AsyncIterator[Client]:
    panel = Panel(store, limits.read(), TOKEN, Clock(), lambda: health)
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        yield client


async def says(client: Client, method: str, path: str, status: int, **more: Any) -> Any:
    more.setdefault("headers", ADMIN)
    async with client.request(method, path, **more) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


def moves(store: FakeStore) -> set[str]:
    return {name for name, _ in store.asked} & {"tickets.complete", "tickets.close", "tickets.meet_clock"}


ROUTES = [
    ("GET", "/api/tickets"),
    ("GET", TICKET),
    ("PUT", TICKET),
    ("POST", f"{TICKET}/clocks/localise"),
    ("POST", f"{TICKET}/close"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer ключ"},
        {"Cookie": f"token={TOKEN}"},
    ],
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_the_token_nothing_is_told_or_done(
    client: Client, store: FakeStore, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await says(client, method, path, 401, headers=headers, json=GOOD)
    assert answer["error"].startswith("the API asks for the header")
    assert not store.asked


async def test_a_path_nobody_knows_does_not_tell_strangers_apart(client: Client) -> None:
    await says(client, "GET", "/api/nothing", 401, headers={})
    await says(client, "GET", "/api/nothing", 404)


async def test_the_tickets_are_listed(client: Client) -> None:
    (row,) = (await says(client, "GET", "/api/tickets", 200))["tickets"]
    assert (row["number"], row["registered_at"]) == (7, NOON.isoformat())


async def test_a_ticket_comes_with_its_clocks_and_their_clauses(client: Client) -> None:
    shown = await says(client, "GET", TICKET, 200)
    assert shown["clocks"][0]["clause"] == "ПП РФ № 416, п. 13"


async def test_cyrillic_is_sent_as_it_is(client: Client) -> None:
    async with client.get(TICKET, headers=ADMIN) as answer:
        assert "ПП РФ" in await answer.text()


async def test_a_ticket_is_completed(client: Client, store: FakeStore) -> None:
    body = {
        **GOOD,
        "category": "water",
        "flat": "12",
        "house_id": 3,
        "damage_at": "2026-11-18T10:00:00+03:00",
    }
    await says(client, "PUT", TICKET, 200, json=body)
    (values,) = [values for name, values in store.asked if name == "tickets.complete"]
    assert (values["category"], values["flat"], values["house_id"]) == ("water", "12", 3)
    assert values["damage_at"] == NOON - timedelta(hours=2)


async def test_a_clock_is_met_and_the_ticket_closed(client: Client, store: FakeStore) -> None:
    await says(client, "POST", f"{TICKET}/clocks/localise", 200)
    await says(client, "POST", f"{TICKET}/close", 200, json={"result": "Починили"})
    assert moves(store) == {"tickets.meet_clock", "tickets.close"}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b'"text"', "the body is not a JSON object"),
        (b"{}", "content is missing: what the resident told"),
        (b'{"content": 7}', "content: str is wanted"),
        (b'{"content": null}', "content: str is wanted"),
        (b'{"content": "x", "house_id": "3"}', "house_id: int is wanted"),
        (b'{"content": "x", "house_id": true}', "house_id: int is wanted"),
        (b'{"content": "x", "house_id": 1.5}', "house_id: int is wanted"),
        (b'{"content": "x", "number": 8}', "number: no such field; content, category, house_id, flat, damage_at"),
        (b'{"content": "x", "damage_at": "yesterday"}', "damage_at = 'yesterday': like 2026-11-21T02:10:00+03:00"),
        (b'{"content": "x", "damage_at": "0001-01-01T00:00:00+03:00"}', "damage_at = "),
        (b'{"content": "x", "damage_at": "2026-11-21T02:10:00"}', "a moment needs its time zone"),
        (b'{"content": "a\\u0000b"}', "content: "),
        (b'{"content": "\\ud800"}', "content: "),
        (b'{"content": "x", "house_id": 9223372036854775808}', "house_id"),
        (b"[" * 5000, "the body is not JSON"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_named_and_changes_nothing(
    client: Client, store: FakeStore, body: bytes, what: str
) -> None:
    answer = await says(client, "PUT", TICKET, 400, data=body)
    assert what in answer["error"]
    assert not moves(store)


async def test_a_charset_nobody_knows_is_a_bad_body(client: Client, store: FakeStore) -> None:
    headers = {**ADMIN, "Content-Type": "application/json; charset=klingon"}
    await says(client, "PUT", TICKET, 400, data=b"{}", headers=headers)
    assert not moves(store)


async def test_a_body_without_end_is_not_read(client: Client, store: FakeStore) -> None:
    large = json.dumps({"content": "x" * LARGEST_BODY}).encode()
    await says(client, "PUT", TICKET, 413, data=large)
    assert not moves(store)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("page=1", "page: no such filter; status, company, before, most"),
        ("before=x", "before = 'x': a number is wanted"),
        ("before=-1", "before = '-1': a number is wanted"),
        ("most=٣", "most = '٣': a number is wanted"),
        ("most=" + "9" * 30, "most = "),
        ("company=%00", "company: not a text that can be kept"),
    ],
)
async def test_a_bad_filter_is_named(client: Client, store: FakeStore, query: str, what: str) -> None:
    assert what in (await says(client, "GET", f"/api/tickets?{query}", 400))["error"]
    assert not store.asked


async def test_a_status_that_does_not_exist_is_told_its_near_miss(client: Client) -> None:
    answer = await says(client, "GET", "/api/tickets?status=close", 409)
    assert "did you mean 'closed'?" in answer["error"]


@pytest.mark.parametrize("path", ["/api/tickets/8", "/api/tickets/" + "9" * 15])
async def test_a_ticket_that_is_not_there_is_404(client: Client, path: str) -> None:
    assert (await says(client, "GET", path, 404))["error"].startswith("no ticket")


@pytest.mark.parametrize(
    "path", ["/api/tickets/7x", "/api/tickets/-7", "/api/tickets/" + "9" * 16, "/api/tickets/7;DROP", "/api/"]
)
async def test_a_number_that_is_none_is_404(client: Client, store: FakeStore, path: str) -> None:
    await says(client, "GET", path, 404)
    assert not store.asked


async def test_a_move_that_is_not_legal_is_409_with_words(client: Client, store: FakeStore) -> None:
    store.rows["tickets.close"] = []
    answer = await says(client, "POST", f"{TICKET}/close", 409, json={"result": "Починили"})
    assert answer["error"].startswith("ticket 7 is draft: it cannot close")


async def test_a_method_the_route_has_not_is_405(client: Client) -> None:
    await says(client, "DELETE", TICKET, 405)


async def test_health_needs_no_token_and_tells_no_secrets(client: Client, health: dict[str, Any]) -> None:
    assert await says(client, "GET", "/health", 200, headers={}) == health
    health["well"] = False
    await says(client, "GET", "/health", 503, headers={})


async def test_the_page_says_that_the_line_is_up(client: Client) -> None:
    async with client.get("/") as answer:
        assert answer.status == 200
        page = await answer.text()
    assert "Дозвон" in page and TOKEN not in page
