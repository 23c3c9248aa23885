"""What is to be written and is not in the database yet: on disk, in order, whoever is killed meanwhile.

Each running ledger has a folder of its own in the spool and holds it locked for as long as it lives:

    outbox/20261118T090000.123456-k3v9x2/000000001.jsonl    a segment: one write a line
                                       000000002.jsonl

Writes are appended to the newest segment. A segment goes into the database as one transaction, the oldest first,
and is unlinked after the commit. Killed between the two, it is written again: so every statement that is left
here must be idempotent. The folder of a controller that died is no longer locked, and whoever sees it adopts it.

At most two segments are in memory, the one that fills and the one that is being written; an outage of a night
fills the disk a little, and not the memory. Lines are handed to the operating system, not synced to the disk: a
`kill -9` loses nothing, a power cut the last seconds, which Asterisk's own log tells again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import logging
import os
import tempfile
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SEGMENT = 1000
"""Writes in a segment at most: what one transaction, and one reading back, can be asked to carry."""

Write = tuple[str, dict[str, Any]]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True, eq=False)
class Segment:
    """Writes that go in together."""

    file: Path | None
    writes: list[Write] | None
    """None while they are on disk only."""
    count: int = 0
    whole: bool = True
    """The file has every write."""

    def load(self) -> list[Write]:
        """Its writes, out of the file if memory has let go of them. Raises OSError."""
        if self.writes is None:
            assert self.file is not None
            self.writes = _read(self.file)
        return self.writes


class Journal:
    """The segments of one running ledger, and those it has adopted."""

    def __init__(self, spool: Path | None) -> None:
        """Without a spool all stays in memory. Nothing is made on disk before the first write."""
        self._spool = spool
        self.waiting = 0
        """Writes that are not in the database yet."""
        self.closed: deque[Segment] = deque()
        """To be written, the oldest first."""
        self._filling: Segment | None = None
        self._file: int | None = None
        self._own: Path | None = None
        self._locks: dict[Path, int] = {}
        self._numbers = itertools.count(1)
        self._troubled = False

    def put(self, statement: str, values: dict[str, Any]) -> None:
        """Keep a write. Never raises: what the disk does not take stays in memory."""
        segment = self._filling or self._begin()
        assert segment.writes is not None
        write = (statement, values)
        segment.writes.append(write)
        segment.count += 1
        self.waiting += 1
        if self._file is not None:
            self._append(segment, write)
        if segment.count >= SEGMENT:
            self.close_segment()

    def close_segment(self) -> None:
        """What has gathered is to be written; what comes now gathers anew."""
        segment, self._filling = self._filling, None
        if segment is None:
            return
        self._close_file()
        if self.closed and segment.whole:
            segment.writes = None  # it has to wait for another: the disk remembers it
        self.closed.append(segment)

    def done(self, segment: Segment) -> None:
        """It is in the database: the disk forgets it."""
        self.closed.remove(segment)
        self.waiting -= segment.count
        if segment.file is None:
            return
        try:
            segment.file.unlink(missing_ok=True)
        except OSError:
            log.exception("a written segment stays, and is written again by the next start")
        folder = segment.file.parent
        if folder != self._own and not any(left.file and left.file.parent == folder for left in self.closed):
            self._leave(folder)

    def adopt(self) -> int:
        """Take over what dead controllers left, to be written before our own; how many writes."""
        found = [segment for folder in self._others() for segment in self._take_over(folder)]
        self.closed.extendleft(reversed(found))
        count = sum(segment.count for segment in found)
        self.waiting += count
        return count

    def only_in_memory(self) -> list[Segment]:
        """Those the disk did not take, or not whole."""
        self.close_segment()
        return [segment for segment in self.closed if not segment.whole]

    def close(self) -> None:
        """Let go of everything; what is still on disk is the next one's to adopt."""
        self.close_segment()
        for folder in list(self._locks):
            self._leave(folder)
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    def _begin(self) -> Segment:
        file = self._new_file() if self._spool else None
        self._filling = Segment(file, writes=[], whole=file is not None)
        return self._filling

    def _new_file(self) -> Path | None:
        try:
            self._own = self._own or self._new_folder()
            file = self._own / f"{next(self._numbers):09}.jsonl"
            self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._own = None  # somebody removed it: the next segment makes another
            self._not_on_disk(error)
            return None
        return file

    def _new_folder(self) -> Path:
        assert self._spool is not None
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(5):
            folder = Path(tempfile.mkdtemp(prefix=f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-", dir=self._spool))
            if (lock := _lock(folder)) is not None:
                self._locks[folder] = lock
                return folder
            with contextlib.suppress(OSError):  # another was quicker, and took it for a dead one's
                folder.rmdir()
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), str(self._spool))

    def _append(self, segment: Segment, write: Write) -> None:
        assert self._file is not None
        try:
            line = _line(write)
        except Exception:  # nothing JSON can tell; Postgres will say what it thinks of it
            segment.whole = False
            log.exception("a write waits in memory only", extra={"statement": write[0]})
            return
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            segment.whole = False
            self._close_file()
            self._not_on_disk(error)
            return
        self._troubled = False

    def _not_on_disk(self, error: OSError) -> None:
        if not self._troubled:
            log.error(
                "the outbox cannot be kept on disk; writes wait in memory only",
                extra={"folder": str(self._spool), "why": str(error)},
            )
        self._troubled = True

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _others(self) -> list[Path]:
        if self._spool is None:
            return []
        try:
            return sorted(folder for folder in self._spool.iterdir() if folder not in self._locks)
        except OSError:
            return []

    def _take_over(self, folder: Path) -> list[Segment]:
        lock = _lock(folder)
        if lock is None:
            return []
        try:
            left = [_left(file) for file in sorted(folder.glob("*.jsonl"))]
        except OSError:
            os.close(lock)
            log.exception("what a dead controller left cannot be read yet", extra={"folder": str(folder)})
            return []
        self._locks[folder] = lock
        if not left:
            self._leave(folder)
        return left

    def _leave(self, folder: Path) -> None:
        """Remove a folder that is empty. One that is not stays ours until we close."""
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        os.close(self._locks.pop(folder))


def _lock(folder: Path) -> int | None:
    """Hold the folder until the descriptor is closed, by us or by our death; None if another holds it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _left(file: Path) -> Segment:
    return Segment(file, writes=None, count=file.read_bytes().count(b"\n"))


def _read(file: Path) -> list[Write]:
    try:
        *lines, torn = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        log.error("a segment of the outbox is gone: somebody removed it", extra={"file": str(file)})
        return []
    if torn:
        log.warning("a write was cut short by a kill; passed over", extra={"file": str(file)})
    return [write for number, line in enumerate(lines, 1) if (write := _write(line, file, number))]


def _write(line: bytes, file: Path, number: int) -> Write | None:
    try:
        statement, values = _decode(line.decode("ascii"))
    except (ValueError, TypeError):
        log.error(
            "a line of the outbox is unreadable; passed over", extra={"file": str(file), "line": number}
        )
        return None
    return statement, values


def _line(write: Write) -> bytes:
    return _encode(write).encode("ascii") + b"\n"


def _tagged(value: Any) -> dict[str, Any]:
    """What JSON has no word for."""
    if isinstance(value, datetime):
        return {"@datetime": value.isoformat()}
    if isinstance(value, timedelta):
        return {"@timedelta": value // _MICROSECOND}
    raise TypeError(f"{value!r} cannot wait on disk")


def _untagged(value: dict[str, Any]) -> Any:
    match value:
        case {"@datetime": str(moment), **rest} if not rest:
            return datetime.fromisoformat(moment)
        case {"@timedelta": int(microseconds), **rest} if not rest:
            return microseconds * _MICROSECOND
    return value


_encode = json.JSONEncoder(default=_tagged, check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(object_hook=_untagged).decode
