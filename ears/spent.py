"""How long each step took, also where it was broken off in between: kept beside what the steps make."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Work(NamedTuple):
    made_from: str
    seconds: float
    is_done: bool


@dataclass(frozen=True, slots=True)
class Spent:
    file: Path

    @contextmanager
    def on(self, step: str, made_from: str = "") -> Iterator[None]:
        """Counts what is done inside, until it was done: what is there already is only looked at.

        The step begins anew, and so does its time, when it is `made_from` something else; without, every time.
        """
        kept = self._read()
        before = kept.get(step)
        if before is None or not made_from or before.made_from != made_from:
            before = Work(made_from, 0.0, is_done=False)
        if before.is_done:
            yield
            return
        began, is_done = time.monotonic(), False
        try:
            yield
            is_done = True
        finally:
            kept[step] = Work(made_from, round(before.seconds + time.monotonic() - began, 1), is_done)
            self._write(kept)

    @property
    def minutes(self) -> int:
        return round(sum(work.seconds for work in self._read().values()) / 60)

    def _read(self) -> dict[str, Work]:
        try:
            kept = json.loads(self.file.read_text())
            return {step: Work(str(a), float(b), bool(c)) for step, (a, b, c) in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, kept: dict[str, Work]) -> None:
        """Appears whole or not at all."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1) + "\n")
        new.rename(self.file)
