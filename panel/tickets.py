"""The JSON API of tickets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from ivr.store import Store
from panel.answers import answer, body_of, filters_of, moment_of
from tickets import book
from tickets.limits import Limits


@dataclass(frozen=True, slots=True)
class Tickets:
    """Each route reads the request, calls the book, and answers with what it shows."""

    store: Store
    limits: Limits
    now: Callable[[], datetime]

    async def list(self, request: web.Request) -> web.Response:
        query = filters_of(request, "status", "company", "before", "most")
        rows = await book.tickets(
            self.store,
            status=query.get("status"),
            company=query.get("company"),
            before=int(query["before"]) if "before" in query else None,
            most=query.get("most"),
        )
        return answer({"tickets": rows})

    async def show(self, request: web.Request) -> web.Response:
        return _ticket(await book.show(self.store, _number(request)))

    async def complete(self, request: web.Request) -> web.Response:
        fields = {"content": str, "category": str, "house_id": int, "flat": str, "damage_at": str}
        body = await body_of(request, fields, {"content": "what the resident told"})
        if "damage_at" in body:
            body["damage_at"] = moment_of("damage_at", body["damage_at"])
        number, now = _number(request), self.now()
        return _ticket(await book.complete(self.store, self.limits, number, "admin", now, **body))

    async def meet(self, request: web.Request) -> web.Response:
        clock = request.match_info["clock"]
        return _ticket(await book.meet(self.store, _number(request), clock, "admin", self.now()))

    async def close(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"result": str, "survey_at": str}, {})
        result, agreed = body.get("result", ""), body.get("survey_at")
        survey_at = None if agreed is None else moment_of("survey_at", agreed)
        return _ticket(await book.close(self.store, _number(request), "admin", self.now(), result, survey_at))

    async def reopen(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"why": str}, {})
        return _ticket(
            await book.reopen(self.store, _number(request), "admin", self.now(), body.get("why", ""))
        )


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _ticket(ticket: book.Ticket) -> web.Response:
    return answer(ticket.as_dict())
