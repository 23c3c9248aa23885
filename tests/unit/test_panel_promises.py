"""Who may ask the panel what; logins against those who guess; promises over the API; the page and its events."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer

from panel import doors, events
from panel.doors import Doorkeeper, Role, TooManyTries
from panel.events import Changes
from panel.web import FOLDER, ROUTES, Panel
from tests.fakes import NOON, Clock, FakeStore
from tickets import limits

TOKEN = "fictional-token"
ANNA, BORIS = "101", "102"
PASSWORDS = {ANNA: "fictional-anna-1", BORIS: "fictional-boris-2"}
DUE = NOON + timedelta(minutes=10)

Client = TestClient[Any, Any]
Headers = dict[str, str]


def basic(extension: str, password: str) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"{extension}:{password}".encode()).decode()}


LOGINS: dict[Role, Headers] = {
    Role.NOBODY: {},
    Role.DISPATCHER: basic(ANNA, PASSWORDS[ANNA]),
    Role.ADMIN: {"Authorization": f"Bearer {TOKEN}"},
}
MINE = LOGINS[Role.DISPATCHER]
BODIES: dict[str, dict[str, str]] = {
    "promises.keep": {"how": "У двери"},
    "promises.postpone": {"until": (NOON + timedelta(hours=1)).isoformat(), "reason": "Просит вечером"},
    "promises.withdraw": {"reason": "Ошиблись номером"},
    "promises.reopen": {"reason": "Автоответчик"},
    "tickets.complete": {"content": "Течёт кран"},
    "tickets.close": {"result": "Починили"},
    "tickets.reopen": {"why": "Снова капает"},
}
MOVES = ("keep", "postpone", "withdraw", "reopen")
PROVEN_HERE = [route for route in ROUTES if not route[2].startswith("surveys.")]
"""Those of surveys are in test_panel_surveys."""


def promise(**more: Any) -> dict[str, Any]:
    row = {"id": 7, "status": "open", "phone": "+79161234567", "due_at": DUE, "closed_at": None}
    return {**row, "reached_at": None, "reached_by": None, "company_id": 1, **more}


def shown(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    hers = values["serves"] is None or 1 in values["serves"]
    return [promise()] if values["id"] == 7 and hers else []


def dispatcher(extension: str, serves: list[int] | None) -> dict[str, Any]:
    return {
        "id": int(extension),
        "extension": extension,
        "name": "Имя",
        "password": PASSWORDS[extension],
        "serves": serves,
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> FakeStore:
    ticket = {
        "number": 7,
        "status": "draft",
        "category": "emergency",
        "registered_at": NOON,
        "damage_at": None,
    }
    ticket |= {"company_id": 1, "zone": "Europe/Moscow"}
    return FakeStore(
        {
            "directory.dispatchers": [dispatcher(ANNA, None), dispatcher(BORIS, [2])],
            "moves.show": shown,
            "moves.list": [promise()],
            "moves.now": [promise()],
            "moves.counts": [{"open": 1, "broken": 0, "kept_today": 0, "broken_today": 0}],
            **{f"moves.{move}": [{"promise_id": 7}] for move in MOVES},
            "tickets.show": [ticket],
            "tickets.clocks": [{"name": "localise", "clause": "c", "due_at": NOON, "met_at": None}],
            "tickets.complete": [ticket],
            "tickets.close": [ticket],
            "tickets.reopen": [ticket],
            "tickets.meet_clock": [{"name": "localise"}],
        }
    )


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
async def client(store: FakeStore, clock: Clock, changes: Changes) -> AsyncIterator[Client]:
    moscow = ZoneInfo("Europe/Moscow")
    panel = Panel(store, limits.read(), TOKEN, clock, lambda: {"well": True}, moscow, changes=changes)
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        yield client


async def says(client: Client, method: str, path: str, status: int, **more: Any) -> Any:
    more.setdefault("headers", MINE)
    async with client.request(method, path, **more) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


def asked(store: FakeStore, statement: str) -> list[dict[str, Any]]:
    return [values for name, values in store.asked if name == statement]


def concrete(path: str) -> str:
    path = re.sub(r"\{name[^/]*", "page.js", path)
    return re.sub(r"\{(number|id):\\d\{1,15\}\}", "7", path).replace("{clock}", "localise")


# who may ask what


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "name", "allowed"), PROVEN_HERE)
async def test_each_role_may_ask_what_the_table_says(
    client: Client, store: FakeStore, method: str, path: str, name: str, allowed: frozenset[Role], role: Role
) -> None:
    wanted = 200 if role in allowed else 401 if role is Role.NOBODY else 403
    request = client.request(method, concrete(path), headers=LOGINS[role], json=BODIES.get(name))
    async with request as answer:
        assert answer.status == wanted, f"{role} {method} {path}"
    if wanted != 200:
        assert {statement for statement, _ in store.asked} <= {"directory.dispatchers"}


def test_the_table_lets_nobody_but_the_administrator_at_tickets() -> None:
    for _, path, _, allowed in ROUTES:
        if path.startswith("/api/"):
            assert Role.NOBODY not in allowed
        if path.startswith("/api/tickets"):
            assert allowed == {Role.ADMIN}


@pytest.mark.parametrize(
    "headers",
    [
        basic(ANNA, PASSWORDS[BORIS]),
        basic(ANNA, PASSWORDS[ANNA] + "x"),
        basic(ANNA, ""),
        basic("", PASSWORDS[ANNA]),
        basic("999", PASSWORDS[ANNA]),
        basic("", ""),
        basic("admin", TOKEN),
        {"Authorization": f"Bearer {PASSWORDS[ANNA]}"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
        {"Authorization": "Basic " + "A" * 4000},
        {"Authorization": "Digest x"},
    ],
)
async def test_a_wrong_login_is_nobody(client: Client, headers: Headers) -> None:
    async with client.get("/api/now", headers=headers) as answer:
        assert answer.status == 401
        assert "WWW-Authenticate" not in answer.headers, "the browser's own dialogue stays away"


async def test_who_has_logged_in_is_told_who_she_is(client: Client) -> None:
    assert await says(client, "GET", "/api/me", 200) == {"role": "dispatcher", "name": ANNA, "title": "Имя"}


async def test_another_sites_page_moves_nothing(client: Client, store: FakeStore) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        headers = {**MINE, "Sec-Fetch-Site": site}
        await says(client, "POST", "/api/promises/7/keep", status, headers=headers, json={"how": "У двери"})
    assert len(asked(store, "moves.keep")) == 2


# who guesses


async def knock(keeper: Doorkeeper, password: str, address: str = "192.0.2.1", extension: str = ANNA) -> Role:
    try:
        return (await keeper.who(basic(extension, password)["Authorization"], address)).role
    except TooManyTries:
        return Role("nobody")


def refused_unheard(store: FakeStore, before: int) -> bool:
    return len(asked(store, "directory.dispatchers")) == before


async def test_who_guesses_is_soon_refused_unheard(store: FakeStore, clock: Clock) -> None:
    keeper = Doorkeeper(store, TOKEN, clock)
    for number in range(doors.TRIES):
        await knock(keeper, f"guess-{number}")
    heard = len(asked(store, "directory.dispatchers"))
    assert await knock(keeper, PASSWORDS[ANNA]) is Role.NOBODY, "not even the right one is heard now"
    assert refused_unheard(store, heard)
    assert await knock(keeper, PASSWORDS[ANNA], "192.0.2.2") is Role.DISPATCHER, "from elsewhere she may"
    clock.passes(doors.FORGOTTEN_AFTER.total_seconds() + 1)
    assert await knock(keeper, PASSWORDS[ANNA]) is Role.DISPATCHER


async def test_who_has_logged_in_stays_in_while_a_neighbour_guesses(store: FakeStore, clock: Clock) -> None:
    keeper = Doorkeeper(store, TOKEN, clock)
    assert await knock(keeper, PASSWORDS[ANNA]) is Role.DISPATCHER
    for number in range(doors.TRIES + 1):
        await knock(keeper, f"guess-{number}")
    assert await knock(keeper, PASSWORDS[ANNA]) is Role.DISPATCHER
    store.rows["directory.dispatchers"] = []
    assert await knock(keeper, PASSWORDS[ANNA]) is Role.NOBODY, "a login that is taken away is away at once"


async def test_a_whole_network_of_ipv6_is_one_address(store: FakeStore, clock: Clock) -> None:
    keeper = Doorkeeper(store, TOKEN, clock)
    for number in range(doors.TRIES):
        await knock(keeper, "guess", f"2001:db8::{number:x}")
    heard = len(asked(store, "directory.dispatchers"))
    await knock(keeper, "guess", "2001:db8::ffff")
    assert refused_unheard(store, heard)
    assert await knock(keeper, PASSWORDS[ANNA], "2001:db8:1::1") is Role.DISPATCHER


async def test_guessing_from_everywhere_takes_no_memory(store: FakeStore, clock: Clock) -> None:
    keeper = Doorkeeper(store, TOKEN, clock)
    for number in range(3 * doors.REMEMBERED):
        await knock(keeper, "guess", f"10.0.{number // 256}.{number % 256}")
    assert len(keeper._failed) == doors.REMEMBERED


async def test_too_many_tries_are_429(client: Client) -> None:
    for _ in range(doors.TRIES):
        await says(client, "GET", "/api/now", 401, headers=basic(ANNA, "guess"))
    answer = await says(client, "GET", "/api/now", 429, headers=basic(ANNA, "guess"))
    assert answer["error"].startswith("too many logins failed")
    await says(client, "GET", "/health", 200, headers={})


# promises


async def test_the_board_shows_how_long_is_left(client: Client, clock: Clock) -> None:
    clock.passes(60)
    board = await says(client, "GET", "/api/now", 200)
    assert (board["promises"][0]["left_s"], board["counts"]["open"]) == (540, 1)
    assert board["now"] == clock().isoformat()


async def test_promises_are_found_by_status_and_day(client: Client, store: FakeStore) -> None:
    await says(client, "GET", "/api/promises?status=kept&day=2026-11-18&by=due&most=7", 200)
    (values,) = asked(store, "moves.list")
    assert (values["status"], values["by"], values["most"]) == ("kept", "due", 7)
    assert values["since"].isoformat() == "2026-11-18T00:00:00+03:00"


@pytest.mark.parametrize(
    ("query", "status", "what"),
    [
        ("page=1", 400, "page: no such filter; status, day, by, most"),
        ("day=yesterday", 400, "day = 'yesterday': like 2026-11-21"),
        ("day=0001-01-01", 409, "from 2000 on"),
        ("most=-1", 400, "a number is wanted"),
        ("status=opened", 409, "did you mean 'open'"),
        ("status=%00", 400, "not a text that can be kept"),
    ],
)
async def test_a_bad_filter_is_named(
    client: Client, store: FakeStore, query: str, status: int, what: str
) -> None:
    assert what in (await says(client, "GET", f"/api/promises?{query}", status))["error"]
    assert not asked(store, "moves.list")


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(("role", "who"), [(Role.DISPATCHER, ANNA), (Role.ADMIN, "admin")])
async def test_a_move_carries_the_name_of_whoever_is_logged_in(
    client: Client, store: FakeStore, move: str, role: Role, who: str
) -> None:
    path, body = f"/api/promises/7/{move}", BODIES[f"promises.{move}"]
    await says(client, "POST", path, 200, json=body, headers=LOGINS[role])
    assert asked(store, f"moves.{move}")[0]["who"] == who
    await says(client, "POST", path, 400, json={**body, "who": BORIS}, headers=LOGINS[role])


@pytest.mark.parametrize("move", MOVES)
async def test_a_move_asks_for_its_reason(client: Client, store: FakeStore, move: str) -> None:
    for body in (
        {},
        {"how": 7, "reason": 7},
        {"how": "  ", "reason": "  ", "until": "2026-11-18T10:00:00+00:00"},
    ):
        async with client.post(f"/api/promises/7/{move}", headers=MINE, json=body) as answer:
            assert answer.status in {400, 409}
    assert not asked(store, f"moves.{move}")


@pytest.mark.parametrize("move", MOVES)
async def test_what_other_companies_owe_is_none_of_hers(client: Client, store: FakeStore, move: str) -> None:
    hers = basic(BORIS, PASSWORDS[BORIS])
    await says(client, "GET", "/api/promises/7", 404, headers=hers)
    path, body = f"/api/promises/7/{move}", BODIES[f"promises.{move}"]
    await says(client, "POST", path, 404, headers=hers, json=body)
    assert not asked(store, f"moves.{move}")
    await says(client, "GET", "/api/now", 200, headers=hers)
    assert asked(store, "moves.now")[0]["serves"] == (2,)


async def test_a_refused_move_is_409_with_words(client: Client, store: FakeStore) -> None:
    store.rows["moves.withdraw"] = []
    answer = await says(client, "POST", "/api/promises/7/withdraw", 409, json={"reason": "Ошибка"})
    assert answer == {"error": "promise 7 is open: it cannot withdraw", "code": "state"}


@pytest.mark.parametrize(
    "path", ["/api/promises/8", "/api/promises/" + "9" * 16, "/api/promises/-1", "/api/promises/x"]
)
async def test_a_promise_that_is_not_there_is_404(client: Client, path: str) -> None:
    await says(client, "GET", path, 404)


# the page


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/page.css", "/static/icon.svg"])
async def test_the_page_loads_nothing_from_elsewhere(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        text = await answer.text()
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", text)


async def test_the_page_writes_text_never_markup(client: Client) -> None:
    script = (FOLDER / "static" / "page.js").read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script
    )
    page = (FOLDER / "static" / "page.html").read_text("utf-8")
    assert not re.search(r"\son\w+=|<script>|style=", page)


@pytest.mark.parametrize("name", ["page.toml", "nothing.js", "..%2fweb.py", "web.py", "static"])
async def test_nothing_but_the_pages_files_is_served(client: Client, name: str) -> None:
    async with client.get(f"/static/{name}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_every_word_of_the_page_is_in_the_catalogue(
    store: FakeStore, clock: Clock, language: str
) -> None:
    panel = Panel(store, limits.read(), TOKEN, clock, lambda: {"well": True}, language=language)
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        said = await says(client, "GET", "/words.json", 200, headers={})
    static = FOLDER / "static"
    wanted = set(re.findall(r'data-word="(\w+)"', (static / "page.html").read_text("utf-8")))
    wanted |= set(re.findall(r'\bword\("(\w+)"', (static / "page.js").read_text("utf-8")))
    assert len(wanted) > 30
    assert wanted - set(said["page"]) == set()
    assert {"outcome", "why", "history", "stage", "category", "status"} <= set(said)
    assert said["language"] == language


# its events


async def until(true: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    while not true():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


async def event(lines: Any) -> str:
    """The next event or heartbeat, without the lines that are empty."""
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith((b"event:", b":")):
                return str(line.decode().strip())
    return "the end"


async def test_a_change_is_told_to_every_page_at_once(client: Client, changes: Changes) -> None:
    async with client.get("/api/events", headers=MINE) as one, client.get("/api/events", headers=MINE) as two:
        assert one.headers["Content-Type"] == "text/event-stream"
        for page in (one, two):
            assert await event(page.content) == "event: hello"
        for _ in range(2):
            changes.ring()
            for page in (one, two):
                assert await event(page.content) == "event: changed"


async def test_what_changes_while_a_page_is_told_is_told_too(
    client: Client, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "GATHER", 0.05)
    async with client.get("/api/events", headers=MINE) as page:
        await event(page.content)
        changes.ring()
        assert await event(page.content) == "event: changed"
        for _ in range(50):
            changes.ring()  # while it gathers
        assert await event(page.content) == "event: changed"


async def test_silence_is_broken_by_heartbeats(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    async with client.get("/api/events", headers=MINE) as page:
        assert [await event(page.content) for _ in range(3)] == ["event: hello", ": alive", ": alive"]


async def test_streams_are_bounded_and_given_back(
    client: Client, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    monkeypatch.setattr(events, "HEARTBEAT", 0.02)
    async with client.get("/api/events", headers=MINE) as page:
        await event(page.content)
        assert "too many pages" in (await says(client, "GET", "/api/events", 503))["error"]
        page.close()
    await until(lambda: not changes.streams, "the page that left is noticed")
    async with client.get("/api/events", headers=MINE) as page:
        assert await event(page.content) == "event: hello"


async def test_a_stream_ends_after_a_while_so_that_the_login_is_shown_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LONGEST", 0.05)
    async with client.get("/api/events", headers=MINE) as page:
        assert [await event(page.content), await event(page.content)] == ["event: hello", "the end"]


async def test_when_the_panel_stops_its_streams_end(store: FakeStore, clock: Clock, changes: Changes) -> None:
    panel = Panel(store, limits.read(), TOKEN, clock, lambda: {"well": True}, changes=changes)
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        page = await client.get("/api/events", headers=MINE)
        assert await event(page.content) == "event: hello"
        await panel._end_streams(client.app)
        assert json.dumps(await event(page.content)) in {'"event: changed"', '"the end"'}
        assert await event(page.content) == "the end"
