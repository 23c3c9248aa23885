"""A recording's way from Asterisk's spool into the ledger: captured, taken in, attached, or said to be lost.

So is a voice message's and a comment's: what a resident said after the tone, to the line or to the robot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ivr.store import Row, Store

log = logging.getLogger(__name__)

SETTLED = timedelta(seconds=1)
"""Asterisk has let go of a file it has not touched for so long after the call's end."""
LOST_AFTER = timedelta(minutes=5)
LOOKED_AT = 500
AT_ONCE = 60
"""Recordings taken in at one look; the rest waits for the next one."""
TORN = ".torn"
"""What is put behind the name of a message that cannot be read: it is kept for a person to look at."""


class Audio(Protocol):
    """What is known of a recording once it is taken in (`recordings.audio.Audio`)."""

    @property
    def seconds(self) -> float: ...
    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def voiced(self) -> tuple[float, float]: ...


TakeIn = Callable[[Path, Path], Audio]


async def look(
    store: Store, take_in: TakeIn, spool: Path, kept: Path, now: datetime, *, asterisk: str
) -> int:
    """Take in what this Asterisk has let go of; returns how many.

    Runs again and again; each recording is attached once.
    """
    await _sweep(store, spool, now)
    taken = 0
    for row in await store.all("recordings.capturing", asterisk=asterisk, most=LOOKED_AT):
        if taken == AT_ONCE:
            break
        raw = spool / f"{row['call_id']}.raw"
        if not raw.exists():
            if now - row["ended_at"] > LOST_AFTER:
                await store.run("recordings.lose", call=row["call_id"], why="Asterisk left no file")
                log.error("a recording is lost", extra={"call": row["call_id"]})
        elif now.timestamp() - raw.stat().st_mtime >= SETTLED.total_seconds():
            taken += await _take_in(store, take_in, raw, kept, row, now)
    return taken


async def _take_in(store: Store, take_in: TakeIn, raw: Path, kept: Path, row: Row, now: datetime) -> bool:
    """False when its audio cannot be read or kept now: it stays where it is, and the others go on."""
    wav = _place(kept, row, ".wav")
    try:
        audio = await asyncio.to_thread(take_in, raw, wav)
    except (OSError, ValueError) as error:
        log.error("a recording cannot be taken in yet", extra={"call": row["call_id"], "why": str(error)})
        return False
    await store.run(
        "recordings.attach",
        **_measured(audio, row, wav.relative_to(kept), now),
        voiced_in=audio.voiced[0],
        voiced_out=audio.voiced[1],
    )
    raw.unlink()  # only now: until the ledger has it, the raw file is the recording
    return True


async def _sweep(store: Store, spool: Path, now: datetime) -> None:
    """Drop raw files whose recording is attached: somebody died between the attaching and the dropping."""
    old = (now - LOST_AFTER).timestamp()
    left = [raw.stem for raw in spool.glob("*.raw") if raw.stat().st_mtime <= old]
    for row in await store.all("recordings.attached", calls=left) if left else ():
        (spool / f"{row['call_id']}.raw").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is spoken after a tone, of one kind: its statements, and how its files end."""

    left: str
    attach: str
    ending: str


MESSAGES = Spoken("recordings.left_messages", "recordings.attach_message", "-message.wav")
COMMENTS = Spoken("recordings.left_comments", "recordings.attach_comment", "-comment.wav")

Transcribe = Callable[[Path], Awaitable[Mapping[str, str | None]]]
"""What was said, and by whose ears, as the columns of the ledger."""


async def nothing(_: Path) -> Mapping[str, str | None]:
    """Messages are for a person to listen to."""
    return {}


async def look_for_spoken(
    what: Spoken,
    store: Store,
    take_in: TakeIn,
    spool: Path,
    kept: Path,
    now: datetime,
    transcribe: Transcribe = nothing,
) -> int:
    """Take in what was left after a tone and is not being written any more; returns how much.

    Runs again and again; each is attached once. Its file is dropped when the ledger has it, not sooner.
    """
    settled = (now - SETTLED).timestamp()
    left = sorted(path.stem for path in spool.glob("*.wav") if path.stat().st_mtime <= settled)[:LOOKED_AT]
    taken = 0
    for row in await store.all(what.left, calls=left) if left else ():
        wav = spool / f"{row['call_id']}.wav"
        if row["attached"]:  # somebody died between the attaching and the dropping
            wav.unlink(missing_ok=True)
        elif taken < AT_ONCE:
            taken += await _take_in_spoken(what, store, take_in, wav, kept, row, now, transcribe)
    return taken


async def _take_in_spoken(
    what: Spoken,
    store: Store,
    take_in: TakeIn,
    left: Path,
    kept: Path,
    row: Row,
    now: datetime,
    transcribe: Transcribe,
) -> bool:
    """False when it cannot be kept now, or not be read at all."""
    wav = _place(kept, row, what.ending)
    try:
        audio = await asyncio.to_thread(take_in, left, wav)
    except ValueError as error:
        log.error(
            "what was spoken cannot be read; it is set aside",
            extra={"call": row["call_id"], "why": str(error)},
        )
        left.rename(left.with_name(left.name + TORN))
        return False
    except OSError as error:
        log.error("what was spoken cannot be taken in yet", extra={"call": row["call_id"], "why": str(error)})
        return False
    await store.run(
        what.attach,
        **_measured(audio, row, wav.relative_to(kept), now),
        voiced=audio.voiced[0],
        **await transcribe(wav),
    )
    left.unlink()
    return True


def _place(kept: Path, row: Row, ending: str) -> Path:
    """A folder a day."""
    day: str = row["ended_at"].strftime("%Y/%m/%d")
    return kept / day / f"{row['call_id']}{ending}"


def _measured(audio: Audio, row: Row, path: Path, now: datetime) -> dict[str, Any]:
    """What the ledger keeps of either."""
    return {
        "call": row["call_id"],
        "path": str(path),
        "seconds": audio.seconds,
        "bytes": audio.bytes,
        "sha256": audio.sha256,
        "attached_at": now,
    }
