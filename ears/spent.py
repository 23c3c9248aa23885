"""How long each step took, however often it was broken off: kept beside what the steps make."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    file: Path

    @contextmanager
    def on(self, step: str, made_from: str = "") -> Iterator[None]:
        """Counts what is done inside. Its time begins anew when it is made from something else, or is never kept."""
        began = time.monotonic()
        try:
            yield
        finally:
            kept = self._read()
            before, seconds = kept.get(step, ("", 0.0))
            goes_on = made_from and made_from == before
            kept[step] = (made_from, round(time.monotonic() - began + (seconds if goes_on else 0.0), 1))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(kept, indent=1) + "\n")

    @property
    def minutes(self) -> int:
        return round(sum(seconds for _, seconds in self._read().values()) / 60)

    def _read(self) -> dict[str, tuple[str, float]]:
        try:
            return {step: (str(a), float(b)) for step, (a, b) in json.loads(self.file.read_text()).items()}
        except (OSError, ValueError):
            return {}
