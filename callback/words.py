"""What codes are called in people's language: `words.toml`, used by the panel, the CLI and a dispatcher's phone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from ivr.store import Row

FILE = Path(__file__).with_name("words.toml")
LONGEST_TITLE = 60
"""What the display of a desk phone shows without scrolling for long."""


@dataclass(frozen=True, slots=True)
class Words:
    """`words.of("outcome", "busy")` in one language."""

    language: str
    rooms: Mapping[str, Mapping[str, str]]

    def of(self, room: str, code: str | None) -> str:
        """The code in words; what has none is somebody's own words, and stays."""
        if not code:
            return ""
        known = self.rooms.get(room, {})
        if room == "why" and code not in known:
            known = self.rooms["outcome"]
        return known.get(code, code)

    def title(self, promise: Row, now: datetime) -> str:
        """Beside the number on the phone that rings: «Перезвон 4:20 Авария, Иванова, кв. 12».

        What she must know comes first: a display cuts the end off.
        """
        left = round((promise["due_at"] - now).total_seconds())
        clock = f"{abs(left) // 60}:{abs(left) % 60:02}"
        title = self.rooms["title"]
        head = f"{title['callback']} {clock if left >= 0 else title['overdue'].format(by=clock)}"
        return self._shown(
            head, self.of("category", promise["category"]), promise.get("name"), flat=promise.get("flat")
        )

    def whose(self, why: str, name: str | None, flat: str | None) -> str:
        """Whom the robot hands over, and why: «Оценка 2: Иванова, кв. 12»."""
        return self._shown(f"{why}:" if name or flat else why, name, flat=flat)

    def _shown(self, head: str, *parts: str | None, flat: str | None = None) -> str:
        where = flat and self.rooms["title"]["flat"].format(number=flat)
        text = " ".join(filter(None, (head, ", ".join(filter(None, (*parts, where))))))
        return "".join(char for char in text if char.isprintable())[:LONGEST_TITLE]


@cache
def read(language: str = "ru", path: Path = FILE) -> Words:
    """Every code has its words in every language of the file; KeyError when one is missing."""
    with path.open("rb") as file:
        data: dict[str, dict[str, dict[str, Any]]] = tomllib.load(file)
    return Words(
        language,
        {room: {code: str(said[language]) for code, said in codes.items()} for room, codes in data.items()},
    )
