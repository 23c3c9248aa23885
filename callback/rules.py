"""How promises are chased, read from `chase.toml` and checked as a whole."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ivr.errors import DialplanError, did_you_mean

FILE = Path(__file__).with_name("chase.toml")
LONGEST = {"talk": timedelta(minutes=1), "ring": timedelta(minutes=2), "pause": timedelta(minutes=1)}
"""Beyond these a promise could not be kept in its ten minutes at all."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Chase:
    """See `chase.toml` for what each of them means."""

    ladder: tuple[timedelta, ...]
    pause: timedelta
    talk: timedelta
    ring: timedelta
    stand_in: timedelta
    give_up: timedelta


def read(path: Path = FILE) -> Chase:
    """Raises DialplanError naming every problem."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DialplanError("the rules of the chase are refused", [f"{path.name}: {error}"]) from error
    problems = [
        f"{path.name}: {key}: no such key{did_you_mean(key, Chase.__slots__)}"
        for key in data
        if key not in Chase.__slots__
    ]

    def span(key: str, value: object) -> timedelta:
        match = re.fullmatch(r"([0-9]{1,4})([smhd])", str(value))
        made = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
        if not made:
            problems.append(f"{path.name}: {key} = {value!r}: like 30s, 2m, 1h or 1d")
        elif made > LONGEST.get(key, made):
            problems.append(
                f"{path.name}: {key} = {value!r}: at most {LONGEST[key].total_seconds():g} seconds"
            )
        return made

    steps = data.get("ladder")
    if not isinstance(steps, list) or not steps:
        problems.append(f"{path.name}: ladder = {steps!r}: a list of times is wanted, like ['30s', '2m']")
        steps = []
    spans = {key: span(key, data.get(key)) for key in Chase.__slots__ if key != "ladder"}
    chase = Chase(ladder=tuple(span("ladder", step) for step in steps), **spans)
    if problems:
        raise DialplanError("the rules of the chase are refused", problems)
    return chase
