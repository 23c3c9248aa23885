"""The panel's web side: a live page for dispatchers, and the JSON API of promises, surveys and tickets.

`ROUTES` says who may ask what. The page itself holds no data: it asks the API with the login it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from callback import words
from callback.book import Cannot
from ivr.errors import DozvonError, LedgerAway, Refused
from ivr.store import Store
from panel.answers import BadRequest, answer, says
from panel.doors import NOBODY, Doorkeeper, Role, TooManyTries, Who
from panel.events import Changes
from panel.promises import Promises
from panel.surveys import Surveys
from panel.tickets import Tickets
from robocalls import book as surveys
from tickets.limits import Limits

LARGEST_BODY = 64 * 1024
FOLDER = Path(__file__).parent
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

EVERYBODY = frozenset(Role)
STAFF = frozenset({Role.DISPATCHER, Role.ADMIN})
ADMIN = frozenset({Role.ADMIN})

TICKET = r"/api/tickets/{number:\d{1,15}}"
PROMISE = r"/api/promises/{id:\d{1,15}}"
SURVEY = r"/api/surveys/{id:\d{1,15}}"

ROUTES: tuple[tuple[str, str, str, frozenset[Role]], ...] = (
    ("GET", "/", "page", EVERYBODY),
    ("GET", r"/static/{name:[a-z]+\.[a-z]+}", "static", EVERYBODY),
    ("GET", "/words.json", "say_words", EVERYBODY),
    ("GET", "/health", "show_health", EVERYBODY),
    ("GET", "/api/me", "me", STAFF),
    ("GET", "/api/now", "promises.board", STAFF),
    ("GET", "/api/events", "changes.stream", STAFF),
    ("GET", "/api/promises", "promises.list", STAFF),
    ("GET", PROMISE, "promises.show", STAFF),
    ("POST", f"{PROMISE}/keep", "promises.keep", STAFF),
    ("POST", f"{PROMISE}/postpone", "promises.postpone", STAFF),
    ("POST", f"{PROMISE}/withdraw", "promises.withdraw", STAFF),
    ("POST", f"{PROMISE}/reopen", "promises.reopen", STAFF),
    ("GET", "/api/surveys", "surveys.list", STAFF),
    ("GET", "/api/surveys/now", "surveys.board", STAFF),
    ("GET", "/api/surveys/report", "surveys.report", ADMIN),
    ("GET", SURVEY, "surveys.show", STAFF),
    ("POST", f"{SURVEY}/cancel", "surveys.cancel", ADMIN),
    ("GET", "/api/opt-outs", "surveys.opt_outs", STAFF),
    ("POST", "/api/opt-outs", "surveys.opt_out", STAFF),
    ("GET", "/api/tickets", "tickets.list", ADMIN),
    ("GET", TICKET, "tickets.show", ADMIN),
    ("PUT", TICKET, "tickets.complete", ADMIN),
    ("POST", f"{TICKET}/clocks/{{clock}}", "tickets.meet", ADMIN),
    ("POST", f"{TICKET}/close", "tickets.close", ADMIN),
    ("POST", f"{TICKET}/reopen", "tickets.reopen", ADMIN),
)
"""Method, path, what answers, and who may ask. Whose work is rated does not choose who is asked: she cancels none."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Health = Callable[[], Mapping[str, Any]]

OWN_PAGES = frozenset({"none", "same-origin"})
LOGIN = "the API asks for the header 'Authorization: Bearer TOKEN', or Basic with a dispatcher's login"
WHO = web.RequestKey("who", Who)


@dataclass(frozen=True, slots=True)
class Panel:
    """What the routes work with."""

    store: Store
    limits: Limits
    token: str
    now: Callable[[], datetime]
    health: Health
    """What the hotline says of itself; no personal data."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    """Whose midnight "today" begins at."""
    language: str = "ru"
    changes: Changes = field(default_factory=Changes)
    """Rung when a promise or a survey has changed: the pages look again."""
    number_of: Callable[[str], str] = surveys.number_of
    """A phone number as people write it, as E.164. Raises Refused."""

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY)
        rooms = {
            "": _Pages(self.health, self.language),
            "promises": Promises(self.store, self.now, self.zone, _who),
            "surveys": Surveys(self.store, self.now, self.zone, _who, self.number_of),
            "tickets": Tickets(self.store, self.limits, self.now),
            "changes": self.changes,
        }
        roles: dict[object, frozenset[Role]] = {}
        for method, path, name, allowed in ROUTES:
            room, _, verb = name.rpartition(".")
            handler = getattr(rooms[room], verb)
            app.router.add_route(method, path, handler)
            roles[handler] = allowed
        app.middlewares.append(_guard(roles, Doorkeeper(self.store, self.token, self.now)))
        app.on_response_prepare.append(_protect)
        app.on_shutdown.append(self._end_streams)
        return app

    async def _end_streams(self, _: web.Application) -> None:
        self.changes.close()


@dataclass(frozen=True, slots=True)
class _Pages:
    """What needs no login, and tells nothing of anybody."""

    health: Health
    language: str

    async def page(self, _: web.Request) -> web.Response:
        return _file("page.html")

    async def static(self, request: web.Request) -> web.Response:
        return _file(request.match_info["name"])

    async def say_words(self, _: web.Request) -> web.Response:
        codes, page = words.read(self.language), words.read(self.language, FOLDER / "page.toml")
        robot = surveys.words(self.language).rooms
        return answer({"language": self.language, **codes.rooms, **page.rooms, "survey": robot})

    async def show_health(self, _: web.Request) -> web.Response:
        health = self.health()
        return answer(health, status=200 if health["well"] else 503)

    async def me(self, request: web.Request) -> web.Response:
        who = request[WHO]
        return answer({"role": who.role, "name": who.name, "title": who.title})


def _who(request: web.Request) -> Who:
    return request[WHO]


def _guard(roles: Mapping[object, frozenset[Role]], doorkeeper: Doorkeeper) -> Middleware:
    """Whoever asks for the API says who she is; our errors become JSON with words in them."""

    async def admit(request: web.Request) -> None:
        """Raises what the client is told instead of an answer."""
        unknown = STAFF if request.path.startswith("/api/") else EVERYBODY  # strangers learn no paths
        allowed = roles.get(request.match_info.handler, unknown)
        if Role.NOBODY in allowed:
            return
        who = await doorkeeper.who(request.headers.get("Authorization", ""), request.remote)
        if who is NOBODY:
            raise _Unknown
        if who.role not in allowed:
            raise _NotYours
        if request.method != "GET" and request.headers.get("Sec-Fetch-Site", "none") not in OWN_PAGES:
            raise _NotYours
        request[WHO] = who

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await admit(request)
            return await handler(request)
        except _Unknown:
            return says(401, LOGIN)
        except _NotYours:
            return says(403, "this is for the administrator, and for the panel's own page only")
        except TooManyTries as error:
            return says(429, str(error))
        except LedgerAway:
            return says(503, "the ledger does not answer; try again in a moment")
        except Cannot as error:
            return says(409, str(error), code=error.code)
        except Refused as error:
            return says(404 if str(error).startswith("no ") else 409, str(error))
        except BadRequest as error:
            return says(400, str(error))
        except web.HTTPException as error:
            return says(error.status, error.reason)

    return guard


class _Unknown(DozvonError):
    """No login, or a wrong one."""


class _NotYours(DozvonError):
    """A login that may not do this, or a request that another site has made."""


async def _protect(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _file(name: str) -> web.Response:
    path = FOLDER / "static" / name
    kind = TYPES.get(path.suffix)
    if kind is None or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8")
