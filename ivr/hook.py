"""The hook: a broken promise is told to somebody else's system, as JSON over HTTP.

    POST URL
    X-Dozvon-Event: promise.broken
    X-Dozvon-Id: promise-7-broken              the same at every try: take in once what comes twice
    X-Dozvon-Sent: 2026-11-21T02:10:00+00:00
    X-Dozvon-Signature: sha256=HEX             HMAC-SHA256 with the secret, over "SENT.BODY"

Any 2xx says that it was taken in. Everything else is tried again, after pauses that grow, until it is.

Several controllers do not tell the same at once: whoever claims one writes so into the promise's history, in a
short transaction under an advisory lock; the claim holds for the pause. No transaction waits for the network.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from ivr.store import Row, Store

log = logging.getLogger(__name__)

EVENT = "promise.broken"
WITHIN = 5.0
"""Seconds for one try, from looking up the host to the status line."""
PAUSE = timedelta(seconds=15)
"""Before the second try of a promise, doubled each time; longer than a try lasts."""
LONGEST_PAUSE = timedelta(hours=1)
LOOK = 5.0
"""Seconds after which a look claims no more: a claim is dated by the look's moment, and must outlast its try."""
QUIET = timedelta(minutes=5)
"""The longest pause of a controller whose receiver does not answer at all."""

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Posts a body with headers to a URL: the status. Raises OSError, TimeoutError or aiohttp.ClientError."""


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Follows no redirect and reads no answer beyond its headers."""
    timeout = aiohttp.ClientTimeout(total=WITHIN)
    async with (
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


@dataclass(slots=True)
class Hook:
    """Tells a receiver of broken promises; without a URL they are only marked, and the panel shows them."""

    store: Store
    url: str | None
    secret: str | None
    post: Post = post
    _quiet_until: datetime | None = None
    _failed: int = 0

    async def escalate(self, now: datetime) -> int:
        """Tell of what nobody was told of yet; how many were taken in. Raises LedgerAway. Called again and again."""
        if self.url is None:
            return len(await self.store.all("moves.escalated", id=None, now=now, to="panel"))
        if self._is_quiet(now):
            return 0
        taken, began = 0, time.monotonic()
        while time.monotonic() - began < LOOK and (row := await self._claim(now)) is not None:
            if not await self._tell(self.url, row, now):
                self._failed += 1
                self._quiet_until = now + min(QUIET, timedelta(seconds=2 ** min(self._failed, 20)))
                break
            self._failed = 0
            await self.store.all("moves.escalated", id=row["id"], now=now, to="hook")
            taken += 1
        return taken

    def _is_quiet(self, now: datetime) -> bool:
        """Not when the clock was set back far behind the pause."""
        until = self._quiet_until
        return until is not None and until - QUIET <= now < until

    async def _claim(self, now: datetime) -> Row | None:
        async with self.store.transaction() as one:
            turn = await one.one("moves.escalation_turn")
            if turn is None or not turn["mine"]:
                return None
            # a statement of its own, so that it sees what the holder before us has written
            rows = await one.all("moves.claim_escalation", now=now, pause=PAUSE, longest=LONGEST_PAUSE)
        return rows[0] if rows else None

    async def _tell(self, url: str, row: Row, now: datetime) -> bool:
        body = json.dumps(_event(row), ensure_ascii=False, default=_text).encode()
        about = {"promise": row["id"], "attempt": row["attempt"]}
        try:
            async with asyncio.timeout(WITHIN + 1):
                status = await self.post(url, body, self._headers(row, body, now))
        except (OSError, TimeoutError, ValueError, aiohttp.ClientError) as error:
            log.warning("the hook cannot be reached", extra={**about, "why": type(error).__name__})
            return False
        if not 200 <= status < 300:
            log.warning("the hook refuses a broken promise", extra={**about, "status": status})
            return False
        log.info("the hook has taken in a broken promise", extra=about)
        return True

    def _headers(self, row: Row, body: bytes, now: datetime) -> dict[str, str]:
        sent = now.isoformat()
        signed = hmac.digest((self.secret or "").encode(), f"{sent}.".encode() + body, hashlib.sha256)
        return {
            "Content-Type": "application/json; charset=utf-8",
            "X-Dozvon-Event": EVENT,
            "X-Dozvon-Id": f"promise-{row['id']}-broken",
            "X-Dozvon-Sent": sent,
            "X-Dozvon-Signature": f"sha256={signed.hex()}",
        }


def _event(row: Row) -> dict[str, Any]:
    return {
        "event": EVENT,
        "promise": row["id"],
        "phone": row["phone"],
        "company": row["company"],
        "company_name": row["company_name"],
        "category": row["category"],
        "reason": row["reason"],
        "why": row["why"],
        "clause": row["clause"],
        "missed": row["missed"],
        "missed_at": row["missed_at"],
        "due_at": row["due_at"],
        "attempts": row["attempts"],
    }


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
