"""Surveys over the API: who may ask what, whom the robot hands over, numbers that opt out; the page's part of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer

from panel.doors import Role
from panel.web import FOLDER, ROUTES, Panel
from robocalls import book
from tests.fakes import NOON, Clock, FakeStore
from tickets import limits

from .test_panel_promises import ANNA, BORIS, LOGINS, MINE, PASSWORDS, TOKEN, asked, basic, dispatcher, says

Client = TestClient[Any, Any]
HERS = basic(BORIS, PASSWORDS[BORIS])
"""Boris serves company 2 only; the survey is of company 1."""
BODIES = {"surveys.cancel": {"reason": "Спросили сами"}, "surveys.opt_out": {"phone": "8 916 123-45-67"}}
SURVEYS = [route for route in ROUTES if route[2].startswith("surveys.")]
PHONE = "+79161234567"


def survey(**more: Any) -> dict[str, Any]:
    return {"id": 7, "ticket": 3, "status": "planned", "phone": PHONE, "company_id": 1, **more}


@pytest.fixture
def store() -> FakeStore:
    def shown(values: dict[str, Any]) -> list[dict[str, Any]]:
        hers = values["serves"] is None or 1 in values["serves"]
        return [survey()] if values["id"] == 7 and hers else []

    company = {
        "id": 1,
        "code": "severnaya",
        "name": "УК",
        "greeting": None,
        "phrases": "{}",
        "queue": "dispatch",
    }
    return FakeStore(
        {
            "directory.dispatchers": [dispatcher(ANNA, None), dispatcher(BORIS, [2])],
            "directory.companies": [{**company, "time_zone": "Asia/Yekaterinburg", "lines": []}],
            "survey_book.show": shown,
            "survey_book.list": [survey()],
            "survey_book.counts": [{"calling": 1, "rated": 0, "average": None}],
            "survey_book.handed_over": [
                survey(result="rated", rating=1, stage="ringing_dispatcher", dispatcher=ANNA)
            ],
            "survey_book.cancel": [{"id": 7}],
            "survey_book.opt_out": lambda values: [
                {**values, "since": values["now"], "new": True, "cancelled": 1}
            ],
            "survey_book.opt_outs": [
                {"phone": PHONE, "since": NOON, "how": "panel", "who": ANNA, "reason": None}
            ],
        }
    )


@pytest.fixture
async def client(store: FakeStore) -> AsyncIterator[Client]:
    number_of = partial(book.number_of, area_code="812")
    moscow = ZoneInfo("Europe/Moscow")
    panel = Panel(store, limits.read(), TOKEN, Clock(), lambda: {"well": True}, moscow, number_of=number_of)
    async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
        yield client


# who may ask what


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "name", "allowed"), SURVEYS)
async def test_each_role_may_ask_what_the_table_says(
    client: Client, store: FakeStore, method: str, path: str, name: str, allowed: frozenset[Role], role: Role
) -> None:
    wanted = 200 if role in allowed else 401 if role is Role.NOBODY else 403
    path = re.sub(r"\{id[^}]*\}\}", "7", path)
    async with client.request(method, path, headers=LOGINS[role], json=BODIES.get(name)) as answer:
        assert answer.status == wanted, f"{role} {method} {path}"
    if wanted != 200:
        assert {statement for statement, _ in store.asked} <= {"directory.dispatchers"}


def test_whose_work_is_rated_neither_cancels_nor_reads_the_report() -> None:
    roles = {name: allowed for _, _, name, allowed in SURVEYS}
    assert roles["surveys.cancel"] == roles["surveys.report"] == {Role.ADMIN}
    assert all(Role.NOBODY not in allowed for allowed in roles.values())


async def test_another_sites_page_opts_nobody_out(client: Client, store: FakeStore) -> None:
    headers = {**MINE, "Sec-Fetch-Site": "cross-site"}
    await says(client, "POST", "/api/opt-outs", 403, headers=headers, json={"phone": PHONE})
    assert not asked(store, "survey_book.opt_out")


# what is seen


async def test_who_is_handed_over_is_told_with_the_reason(client: Client) -> None:
    board = await says(client, "GET", "/api/surveys/now", 200)
    (row,) = board["handed_over"]
    assert (row["ticket"], row["rating"], row["dispatcher"], row["phone"]) == (3, 1, ANNA, PHONE)
    assert board["counts"]["calling"] == 1 and len(board["latest"]) == 1
    assert board["now"] == NOON.isoformat()


async def test_of_other_companies_she_sees_nothing(client: Client, store: FakeStore) -> None:
    for path in ("/api/surveys", "/api/surveys/now", "/api/opt-outs"):
        await says(client, "GET", path, 200, headers=HERS)
    seen = [values for name, values in store.asked if name.startswith("survey_book.")]
    assert len(seen) == 5 and all(values["serves"] == (2,) for values in seen)
    await says(client, "GET", "/api/surveys/7", 404, headers=HERS)


async def test_surveys_are_found_by_status_result_ticket_and_day(client: Client, store: FakeStore) -> None:
    await says(client, "GET", "/api/surveys?status=done&result=rated&ticket=3&day=2026-11-18&most=7", 200)
    (values,) = asked(store, "survey_book.list")
    assert (values["status"], values["result"], values["ticket"], values["most"]) == ("done", "rated", 3, 7)
    assert values["since"].isoformat() == "2026-11-17T21:00:00+00:00"


@pytest.mark.parametrize(
    ("path", "status", "what"),
    [
        ("/api/surveys?phone=7", 400, "phone: no such filter; status, result, ticket, day, most"),
        ("/api/surveys?ticket=x", 400, "ticket = 'x': a number is wanted"),
        ("/api/surveys?most=-1", 400, "a number is wanted"),
        ("/api/surveys?day=0001-01-01", 409, "from 2000 on"),
        ("/api/surveys?status=don", 409, "did you mean 'done'"),
        ("/api/surveys?result=%00", 400, "not a text that can be kept"),
        ("/api/surveys/report?month=2026-13", 400, "month = '2026-13': like 2026-11"),
        ("/api/surveys/report?month=0001-01", 409, "from 2000 on"),
        ("/api/surveys/report?month=2026-11&day=2026-11-18", 400, "one of them is wanted"),
        ("/api/surveys/report?company=severnya", 404, "did you mean 'severnaya'"),
        ("/api/surveys/8", 404, "no survey 8"),
        ("/api/surveys/" + "9" * 16, 404, ""),
    ],
)
async def test_a_bad_question_is_answered_with_what_is_wrong(
    client: Client, path: str, status: int, what: str
) -> None:
    answer = await says(client, "GET", path, status, headers=LOGINS[Role.ADMIN])
    assert what in answer["error"]


async def test_a_companys_report_is_by_its_own_clock(client: Client, store: FakeStore) -> None:
    admin = {"headers": LOGINS[Role.ADMIN]}
    made = await says(client, "GET", "/api/surveys/report?company=severnaya&month=2026-11", 200, **admin)
    assert (made["first_day"], made["last_day"], made["time_zone"], made["jobs"]) == (
        "2026-11-01", "2026-11-30", "Asia/Yekaterinburg", 0,
    )  # fmt: skip
    assert {values["company"] for values in asked(store, "survey_book.report")} == {1}
    made = await says(client, "GET", "/api/surveys/report", 200, **admin)
    assert (made["first_day"], made["last_day"], made["company"]) == ("2026-11-18", "2026-11-18", None)
    made = await says(client, "GET", "/api/surveys/report?day=2026-11-17", 200, **admin)
    assert made["first_day"] == "2026-11-17"


# what is done


async def test_a_cancel_carries_the_administrators_name(client: Client, store: FakeStore) -> None:
    admin = LOGINS[Role.ADMIN]
    await says(client, "POST", "/api/surveys/7/cancel", 200, headers=admin, json={"reason": "Спросили"})
    (values,) = asked(store, "survey_book.cancel")
    assert (values["who"], values["reason"], values["now"]) == ("admin", "Спросили", NOON)
    store.rows["survey_book.cancel"] = []
    answer = await says(
        client, "POST", "/api/surveys/7/cancel", 409, headers=admin, json={"reason": "Спросили"}
    )
    assert answer["code"] == "survey_state"
    for body in ({}, {"reason": 7}, {"reason": "  "}, {"reason": "x", "who": ANNA}):
        async with client.post("/api/surveys/7/cancel", headers=admin, json=body) as refused:
            assert refused.status in {400, 409}


@pytest.mark.parametrize(("role", "who"), [(Role.DISPATCHER, ANNA), (Role.ADMIN, "admin")])
async def test_an_opt_out_carries_the_name_of_whoever_is_logged_in(
    client: Client, store: FakeStore, role: Role, who: str
) -> None:
    body = {"phone": "8 (916) 123-45-67", "reason": "Просила не звонить"}
    answer = await says(client, "POST", "/api/opt-outs", 200, headers=LOGINS[role], json=body)
    assert (answer["phone"], answer["new"], answer["who"]) == (PHONE, True, who)
    (values,) = asked(store, "survey_book.opt_out")
    assert (values["phone"], values["how"], values["who"], values["reason"]) == (
        PHONE, "panel", who, "Просила не звонить",
    )  # fmt: skip
    await says(client, "POST", "/api/opt-outs", 400, headers=LOGINS[role], json={**body, "who": BORIS})


async def test_any_number_may_be_opted_out_also_of_another_company_and_nothing_is_told_of_it(
    client: Client, store: FakeStore
) -> None:
    store.rows["survey_book.opt_out"] = [
        {
            "phone": PHONE,
            "since": NOON,
            "how": "word",
            "who": "resident",
            "reason": None,
            "new": False,
            "cancelled": 0,
        }
    ]
    answer = await says(client, "POST", "/api/opt-outs", 200, headers=HERS, json={"phone": PHONE})
    assert set(answer) == {"phone", "since", "how", "who", "reason", "new", "cancelled"}


async def test_a_local_number_is_completed_as_the_hotline_says(client: Client, store: FakeStore) -> None:
    await says(client, "POST", "/api/opt-outs", 200, json={"phone": "323-45-67"})
    assert asked(store, "survey_book.opt_out")[0]["phone"] == "+78123234567"


@pytest.mark.parametrize("phone", ["", "101", "+7916", "позвоните"])
async def test_what_is_no_number_is_refused_with_a_code(client: Client, store: FakeStore, phone: str) -> None:
    answer = await says(client, "POST", "/api/opt-outs", 409, json={"phone": phone})
    assert answer["code"] == "no_number"
    assert not asked(store, "survey_book.opt_out")


# the page


async def test_the_page_has_every_word_of_surveys(store: FakeStore) -> None:
    script = (FOLDER / "static" / "surveys.js").read_text("utf-8")
    wanted = set(re.findall(r'\bword\("(\w+)"', script))
    rooms = set(re.findall(r'\bcoded\("(\w+)"', script))
    assert len(wanted) > 15 and len(rooms) > 5
    for language in ("ru", "en"):
        panel = Panel(store, limits.read(), TOKEN, Clock(), lambda: {"well": True}, language=language)
        async with TestClient(TestServer(panel.application(), host="127.0.0.1")) as client:
            said = await says(client, "GET", "/words.json", 200, headers={})
        assert wanted - set(said["page"]) == set()
        assert rooms - set(said["survey"]) == set()
        counted = re.search(r'\["calling", [^\]]*\]', script)
        assert counted and set(re.findall(r'"(\w+)"', counted[0])) <= set(said["page"])


async def test_the_pages_part_is_served_and_writes_text_never_markup(client: Client) -> None:
    async with client.get("/static/surveys.js") as answer:
        assert (answer.status, answer.content_type) == (200, "text/javascript")
        script = await answer.text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script
    )


def test_every_place_the_scripts_look_for_is_on_the_page() -> None:
    page = (FOLDER / "static" / "page.html").read_text("utf-8")
    for name in ("page.js", "surveys.js"):
        script = (FOLDER / "static" / name).read_text("utf-8")
        for place in re.findall(r'\$\("#([\w-]+)', script):
            assert f'id="{place}"' in page, f"{name}: #{place}"
