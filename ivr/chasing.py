"""Runs the chase of promises: when something wakes it, and at every tick."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from callback.chase import Chaser
from ivr.asterisk.follower import Follower
from ivr.errors import LedgerAway
from ivr.ledger import Ledger
from ivr.ticks import whenever

STOCK_WITHIN = 30.0
WRITTEN_WITHIN = 5.0
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""A machine since its start."""


class Chasing:
    """Neither half of the chase runs twice at once."""

    def __init__(
        self, chaser: Chaser, follower: Follower, ledger: Ledger, now: Callable[[], datetime]
    ) -> None:
        self._chaser, self._follower, self._ledger, self._now = chaser, follower, ledger, now
        self._wanted = (asyncio.Event(), asyncio.Event())
        self._knew_all = time.monotonic()
        self._stock_is_written = False
        self._machine = f"{BOOT.read_text().strip()}/{chaser.desk.name}" if BOOT.exists() else None

    def wake(self) -> None:
        for wanted in self._wanted:
            wanted.set()

    async def run(self) -> None:
        halves = zip(self._wanted, (self._watch, self._chase), strict=True)
        await asyncio.gather(*(whenever(wanted, half) for wanted, half in halves))

    async def _watch(self) -> None:
        """What has happened comes first: a talk the ledger does not know yet breaks no promise; nor does a clock that
        was set since the last look. But the law's minutes go on when Asterisk stays away."""
        try:
            await self._mind_clock()
        except LedgerAway:
            self._knew_all = time.monotonic()  # what waits on disk comes first, once Postgres is there again
            raise
        await self._write_stock()
        if self.knows_all():
            self._knew_all = time.monotonic()
        elif time.monotonic() - self._knew_all < STOCK_WITHIN:
            return
        await self._chaser.watch(self._now())

    async def _chase(self) -> None:
        if self.knows_all():
            await self._chaser.chase(self._now())

    def knows_all(self) -> bool:
        """Is everything that happened before now in the ledger?"""
        return self._stock_is_written and not self._ledger.is_behind

    async def _write_stock(self) -> None:
        """What the stock told of the time we were away must have reached the ledger."""
        if not self._follower.took_stock.is_set():
            self._stock_is_written = False
        elif not self._stock_is_written:
            with contextlib.suppress(TimeoutError):  # calls come without a break: then it was among the first
                async with asyncio.timeout(WRITTEN_WITHIN):
                    await self._ledger.settled()
            self._stock_is_written = True
            await self.look_after()

    async def look_after(self) -> None:
        if self.knows_all():
            await self._chaser.look_after(await self._follower.alive(), self._now())

    async def _mind_clock(self) -> None:
        if self._machine is not None:
            ahead = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            await self._chaser.mind_clock(self._machine, ahead)
