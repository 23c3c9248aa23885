"""The JSON API of surveys: whom the robot hands over now and why, what residents say, numbers that opt out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from callback.report import Period
from directory import lookup
from directory.nouns import Company
from ivr.errors import Refused, did_you_mean
from ivr.store import Store
from panel.answers import BadRequest, answer, body_of, day_of, filters_of
from panel.doors import Who
from robocalls import book, report


@dataclass(frozen=True, slots=True)
class Surveys:
    """Each route reads the request, calls the book, and answers with what it shows.

    A dispatcher sees the surveys of the companies she serves, and no others; any number may be opted out by her.
    """

    store: Store
    now: Callable[[], datetime]
    zone: ZoneInfo
    who: Callable[[web.Request], Who]
    number_of: Callable[[str], str] = book.number_of
    """A phone number as people write it, as E.164. Raises Refused."""

    async def board(self, request: web.Request) -> web.Response:
        return answer(await book.on_the_board(self.store, self.now(), self.zone, self.who(request).serves))

    async def list(self, request: web.Request) -> web.Response:
        query = filters_of(request, "status", "result", "ticket", "day", "most")
        rows = await book.surveys(
            self.store,
            status=query.get("status"),
            result=query.get("result"),
            ticket=_number("ticket", query["ticket"]) if "ticket" in query else None,
            period=_day(query["day"], self.zone) if "day" in query else None,
            serves=self.who(request).serves,
            most=int(query.get("most", 50)),
        )
        return answer({"surveys": rows})

    async def show(self, request: web.Request) -> web.Response:
        return answer((await book.show(self.store, _id(request), self.who(request).serves)).as_dict())

    async def report(self, request: web.Request) -> web.Response:
        query = filters_of(request, "month", "day", "company")
        if "month" in query and "day" in query:
            raise BadRequest("month and day: one of them is wanted")
        company = await self._company(query["company"]) if "company" in query else None
        zone, now = ZoneInfo(company.time_zone) if company else self.zone, self.now()
        if "month" in query:
            period = _month(query["month"], zone)
        elif "day" in query:
            period = _day(query["day"], zone)
        else:
            period = book.whole_day(now.astimezone(zone).date(), zone)
        return answer((await report.report(self.store, period, now, company)).as_dict())

    async def cancel(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"reason": str}, {"reason": "why"})
        who = self.who(request)
        survey = await book.cancel(self.store, _id(request), who.name, self.now(), body["reason"], who.serves)
        return answer(survey.as_dict())

    async def opt_outs(self, request: web.Request) -> web.Response:
        query, who = filters_of(request, "most"), self.who(request)
        rows = await book.opt_outs(
            self.store, serves=who.serves, who=who.name, most=int(query.get("most", 50))
        )
        return answer({"opt_outs": rows})

    async def opt_out(self, request: web.Request) -> web.Response:
        fields = {"phone": str, "reason": str}
        body = await body_of(request, fields, {"phone": "the number that the robot is not to ring again"})
        number = self.number_of(body["phone"])
        row = await book.opt_out(
            self.store, number, "panel", self.who(request).name, self.now(), body.get("reason")
        )
        return answer(row)

    async def _company(self, code: str) -> Company:
        known = {company.code: company for company in await lookup.companies(self.store)}
        if code not in known:
            raise Refused(f"no company {code[:40]!r}{did_you_mean(code, known)}")
        return known[code]


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"{name} = {text[:20]!r}: a number is wanted")
    return int(text)


def _day(text: str, zone: ZoneInfo) -> Period:
    return book.whole_day(day_of("day", text), zone)


def _month(text: str, zone: ZoneInfo) -> Period:
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise BadRequest(f"month = {text[:20]!r}: like 2026-11") from None
    return Period.month(book.whole_day(first, zone).first.year, first.month, zone)
