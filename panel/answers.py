"""What the panel's routes have in common: bodies read with every field checked, answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from ivr.errors import DozvonError


class BadRequest(DozvonError):
    """What the client sent does not fit; the message says where."""


async def body_of(
    request: web.Request, fields: Mapping[str, type], wanted: Mapping[str, str]
) -> dict[str, Any]:
    """The JSON object of the request, each field of the type it must have; `wanted` must be there and say what."""
    try:
        body = json.loads(await request.text())
    except (ValueError, LookupError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    for name, value in body.items():
        if name not in fields:
            raise BadRequest(f"{name[:40]}: no such field; {', '.join(fields)}")
        if not isinstance(value, fields[name]) or isinstance(value, bool):
            raise BadRequest(f"{name}: {fields[name].__name__} is wanted")
        if not storable(value):
            raise BadRequest(f"{name}: not a text or a number that can be kept")
    for name, what in wanted.items():
        if name not in body:
            raise BadRequest(f"{name} is missing: {what}")
    return body


def filters_of(request: web.Request, *known: str) -> dict[str, str]:
    """The query of the request; BadRequest names a filter nobody knows, and a number or a text that is none."""
    query = dict(request.query)
    if wrong := set(query) - set(known):
        raise BadRequest(f"{', '.join(sorted(wrong))[:80]}: no such filter; {', '.join(known)}")
    for name, text in query.items():
        if name in {"before", "most"} and not (text.isascii() and text.isdigit() and len(text) < 16):
            raise BadRequest(f"{name} = {text[:20]!r}: a number is wanted")
        if not storable(text):
            raise BadRequest(f"{name}: not a text that can be kept")
    return query


def moment_of(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} = {text[:40]!r}: like 2026-11-21T02:10:00+03:00") from None
    if moment.tzinfo is None:
        raise BadRequest(f"{name} = {text!r}: a moment needs its time zone, like +03:00")
    return moment


def day_of(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name} = {text[:20]!r}: like 2026-11-21") from None


def storable(value: object) -> bool:
    """Postgres keeps neither a zero character, nor half a surrogate pair, nor more than 63 bits."""
    if isinstance(value, int):
        return abs(value) < 2**63
    text = str(value)
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def says(status: int, what: str, **more: str) -> web.Response:
    return answer({"error": what, **more}, status=status)


def answer(content: Any, status: int = 200) -> web.Response:
    return web.json_response(
        content, status=status, dumps=lambda value: json.dumps(value, ensure_ascii=False, default=_plain)
    )


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
