"""The JSON API of promises: what is owed now, and what a person does about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from callback import book
from ivr.store import Store
from panel.answers import answer, body_of, day_of, filters_of, moment_of
from panel.doors import Who

REASON = {"reason": "why"}


@dataclass(frozen=True, slots=True)
class Promises:
    """Each route reads the request, calls the book, and answers with what it shows.

    A dispatcher sees and moves the promises of the companies she serves, and no others.
    """

    store: Store
    now: Callable[[], datetime]
    zone: ZoneInfo
    who: Callable[[web.Request], Who]

    async def board(self, request: web.Request) -> web.Response:
        return answer(await book.on_the_board(self.store, self.now(), self.zone, self.who(request).serves))

    async def list(self, request: web.Request) -> web.Response:
        query = filters_of(request, "status", "day", "by", "most")
        rows = await book.promises(
            self.store,
            status=query.get("status"),
            day=day_of("day", query["day"]) if "day" in query else None,
            zone=self.zone,
            by=query.get("by", "turn"),
            serves=self.who(request).serves,
            most=int(query.get("most", 50)),
        )
        return answer({"promises": rows})

    async def show(self, request: web.Request) -> web.Response:
        return answer((await book.show(self.store, _id(request), self.who(request).serves)).as_dict())

    async def keep(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"how": str}, {"how": "how they were spoken with"})
        id, who = await self._theirs(request)
        return answer((await book.keep(self.store, id, who, self.now(), **body)).as_dict())

    async def postpone(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"until": str, "reason": str}, {"until": "till when", **REASON})
        body["until"] = moment_of("until", body["until"])
        id, who = await self._theirs(request)
        return answer((await book.postpone(self.store, id, who, self.now(), **body)).as_dict())

    async def withdraw(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"reason": str}, REASON)
        id, who = await self._theirs(request)
        return answer((await book.withdraw(self.store, id, who, self.now(), **body)).as_dict())

    async def reopen(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"reason": str}, REASON)
        id, who = await self._theirs(request)
        return answer((await book.reopen(self.store, id, who, self.now(), **body)).as_dict())

    async def _theirs(self, request: web.Request) -> tuple[int, str]:
        """The promise and who moves it; Refused as if there were none when it is not hers to move."""
        who = self.who(request)
        if who.serves is not None:
            await book.show(self.store, _id(request), who.serves)
        return _id(request), who.name


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])
