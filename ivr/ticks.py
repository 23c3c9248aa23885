"""Work that is done again and again: one look after another, and a look that fails is not the last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ivr.errors import DozvonError

log = logging.getLogger(__name__)

AT_MOST_EVERY = 0.1


async def tick(work: Callable[[], Any]) -> bool:
    """One tick; what goes wrong is said and tried again with the next one. False when it went wrong."""
    try:
        done = work()
        if asyncio.iscoroutine(done):
            await done
        return True
    except (DozvonError, OSError, TimeoutError) as error:
        log.warning("a tick failed and comes again", extra={"work": str(work), "why": str(error)})
    except Exception:
        log.exception("a tick failed and comes again", extra={"work": str(work)})
    return False


async def whenever(wanted: asyncio.Event, work: Callable[[], Any]) -> None:
    """Do it each time it is wanted, for ever; however often it was asked for meanwhile, once."""
    while True:
        await wanted.wait()
        wanted.clear()
        await tick(work)
        await asyncio.sleep(AT_MOST_EVERY)
