"""The panel's web side: for now the JSON API of tickets, and a page that says the hotline is up.

Every route of the API asks for the administrator's bearer token (DOZVON_PANEL_TOKEN). Bodies are bounded.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ivr.errors import DozvonError, LedgerAway, Refused
from ivr.store import Store
from tickets import book
from tickets.limits import Limits

LARGEST_BODY = 64 * 1024

Health = Callable[[], Mapping[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Panel:
    """What the routes work with."""

    store: Store
    limits: Limits
    token: str
    now: Callable[[], datetime]
    health: Health
    """What the hotline says of itself; no personal data."""

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self.page),
                web.get("/health", self.show_health),
                web.get("/api/tickets", self.list_tickets),
                web.get(r"/api/tickets/{number:\d{1,15}}", self.show_ticket),
                web.put(r"/api/tickets/{number:\d{1,15}}", self.complete_ticket),
                web.post(r"/api/tickets/{number:\d{1,15}}/clocks/{clock}", self.meet_clock),
                web.post(r"/api/tickets/{number:\d{1,15}}/close", self.close_ticket),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whoever asks for the API shows the token; our errors become JSON with words in them."""
        try:
            if request.path.startswith("/api/") and not self._is_admin(request):
                return _says(401, "the API asks for the header 'Authorization: Bearer TOKEN'")
            return await handler(request)
        except LedgerAway:
            return _says(503, "the ledger does not answer; try again in a moment")
        except Refused as error:
            return _says(404 if str(error).startswith("no ticket") else 409, str(error))
        except _BadBody as error:
            return _says(400, str(error))
        except web.HTTPException as error:
            return _says(error.status, error.reason)

    def _is_admin(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(shown.encode(), self.token.encode())

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def show_health(self, _: web.Request) -> web.Response:
        health = self.health()
        return _json(health, status=200 if health["well"] else 503)

    async def list_tickets(self, request: web.Request) -> web.Response:
        query = request.query
        wrong = set(query) - {"status", "company", "before", "most"}
        if wrong:
            raise _BadBody(f"{', '.join(sorted(wrong))}: no such filter; status, company, before, most")
        for name in ("before", "most"):
            if name in query and not (
                query[name].isascii() and query[name].isdigit() and len(query[name]) < 16
            ):
                raise _BadBody(f"{name} = {query[name][:20]!r}: a number is wanted")
        if not _storable(query.get("company", "")):
            raise _BadBody("company: not a text that can be kept")
        before = int(query["before"]) if "before" in query else None
        rows = await book.tickets(
            self.store,
            status=query.get("status"),
            company=query.get("company"),
            before=before,
            most=query.get("most"),
        )
        return _json({"tickets": rows})

    async def show_ticket(self, request: web.Request) -> web.Response:
        ticket = await book.show(self.store, _number(request))
        return _json(ticket.as_dict())

    async def complete_ticket(self, request: web.Request) -> web.Response:
        body = await _body(
            request, {"content": str, "category": str, "house_id": int, "flat": str, "damage_at": str}
        )
        if "content" not in body:
            raise _BadBody("content is missing: what the resident told")
        if "damage_at" in body:
            body["damage_at"] = _moment(body["damage_at"])
        ticket = await book.complete(self.store, self.limits, _number(request), "admin", self.now(), **body)
        return _json(ticket.as_dict())

    async def meet_clock(self, request: web.Request) -> web.Response:
        clock = request.match_info["clock"]
        ticket = await book.meet(self.store, _number(request), clock, "admin", self.now())
        return _json(ticket.as_dict())

    async def close_ticket(self, request: web.Request) -> web.Response:
        body = await _body(request, {"result": str})
        ticket = await book.close(self.store, _number(request), "admin", self.now(), body.get("result", ""))
        return _json(ticket.as_dict())


class _BadBody(DozvonError):
    """What the client sent does not fit; the message says where."""


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadBody(f"damage_at = {text[:40]!r}: like 2026-11-21T02:10:00+03:00") from None
    if moment.tzinfo is None:
        raise _BadBody(f"damage_at = {text!r}: a moment needs its time zone, like +03:00")
    return moment


async def _body(request: web.Request, fields: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object of the request, each field of the type it must have."""
    try:
        body = json.loads(await request.text())
    except (ValueError, LookupError, RecursionError):
        raise _BadBody("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _BadBody("the body is not a JSON object")
    for name, value in body.items():
        if name not in fields:
            raise _BadBody(f"{name[:40]}: no such field; {', '.join(fields)}")
        if not isinstance(value, fields[name]) or isinstance(value, bool):
            raise _BadBody(f"{name}: {fields[name].__name__} is wanted")
        if not _storable(value):
            raise _BadBody(f"{name}: not a text or a number that can be kept")
    return body


def _storable(value: object) -> bool:
    """Postgres keeps neither a zero character, nor half a surrogate pair, nor more than 63 bits."""
    if isinstance(value, int):
        return abs(value) < 2**63
    text = str(value)
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _says(status: int, what: str) -> web.Response:
    return _json({"error": what}, status=status)


def _json(content: Any, status: int = 200) -> web.Response:
    return web.json_response(
        content, status=status, dumps=lambda value: json.dumps(value, ensure_ascii=False, default=_plain)
    )


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


PAGE = """<!doctype html>
<html lang="ru"><meta charset="utf-8"><title>Дозвон</title>
<meta name="viewport" content="width=device-width">
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; }
  dt { font-weight: 600 } dd { margin: 0 0 .6rem }
  code { background: #8882; padding: .1em .3em; border-radius: .2em }
</style>
<h1>Дозвон</h1>
<p>Никто из позвонивших не останется неуслышанным.</p>
<dl id="health"></dl>
<p>Заявки: <code>dozvon ticket list</code> или <code>GET /api/tickets</code> с токеном администратора.</p>
<script>
  const words = { well: "Линия работает", calls: "Сейчас звонков", ami: "Связь с Asterisk",
                  waiting: "Ждут записи в журнал", dialplan: "Правила" };
  const told = { true: "да", false: "нет", ok: "последняя правка в силе" };
  async function look() {
    const health = await (await fetch("/health")).json();
    const list = document.getElementById("health");
    list.replaceChildren(...Object.entries(health).flatMap(([name, value]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = words[name] ?? name;
      dd.textContent = told[value] ?? value;
      return [dt, dd];
    }));
  }
  look(); setInterval(look, 2000);
</script>
"""
