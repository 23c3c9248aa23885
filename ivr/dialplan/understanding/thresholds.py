"""How certain the ears must be of an answer: a file a question, `questions/*.toml`, checked as a whole."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ivr.errors import DialplanError, did_you_mean

REFUSED = "the thresholds of understanding are refused"
AT_MOST: Mapping[str, float] = {
    "sure": 1,
    "enough": 1,
    "taken": 1,
    "ask": 1,
    "pause": 10,
    "letter": 10,
    "breath": 1,
    "scrap": 1,
    "clause": 1,
}
AS_ENOUGH = frozenset({"ask", "taken"})
"""Where they are missing."""
AS_NOTHING = frozenset({"scrap", "clause"})
MAY_BE_MISSING = AS_ENOUGH | AS_NOTHING
MAY_BE_NOTHING = AS_NOTHING | {"breath"}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """See `questions/rating.toml` for what each of them does."""

    sure: float
    """Confidence from which a rating need not be read back."""
    enough: float
    """Confidence from which what is read back is understood, but for a mark: a judgement, a wish that weighs much.
    So are a yes and a no where they are asked for."""
    taken: float
    """Confidence from which another wish is taken. As `enough` where it is missing."""
    ask: float
    """Confidence from which a mark is worth reading back, even where it was rather nothing that means anything. As
    `enough` where it is missing."""
    pause: float
    """Seconds of a stretch of speech that need no words."""
    letter: float
    """Seconds a letter accounts for."""
    breath: float
    """Seconds below which other speech at either end may be a breath."""
    scrap: float
    """Seconds below which a faint word at either end may be a scrap of one. 0 where it is missing."""
    clause: float
    """Seconds of silence that keep a mark and other speech apart; 0, also where it is missing: nothing does."""

    def spoken_in(self, letters: int) -> float:
        """Seconds that words of so many letters account for."""
        return self.pause + self.letter * letters


def read(path: Path) -> Thresholds:
    """Raises DialplanError naming every problem."""
    where = f"questions/{path.name}"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DialplanError(REFUSED, [f"{where}: {error}"]) from error
    problems = [f"{where}: {key}: no such key{_near(key)}" for key in data if key not in AT_MOST]
    problems += [f"{where}: {key} is missing" for key in AT_MOST if key not in {*data, *MAY_BE_MISSING}]
    problems += [
        f"{where}: {key} = {data[key]!r}: a number {_range(key)}"
        for key in AT_MOST
        if key in data and not _fits(key, data[key])
    ]
    if not problems:
        data = dict.fromkeys(AS_NOTHING, 0.0) | dict.fromkeys(AS_ENOUGH, data["enough"]) | data
        problems = [
            f"{where}: {higher} ({data[higher]:g}) is below {lower} ({data[lower]:g})"
            for higher, lower in (("sure", "enough"), ("sure", "ask"))
            if data[higher] < data[lower]
        ]
    if problems:
        raise DialplanError(REFUSED, problems)
    return Thresholds(**{key: float(data[key]) for key in AT_MOST})


def _near(key: str) -> str:
    return did_you_mean(key, AT_MOST) or f" (there are: {', '.join(AT_MOST)})"


def _fits(key: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= AT_MOST[key] or (value == 0 and key in MAY_BE_NOTHING)


def _range(key: str) -> str:
    return f"{'from' if key in MAY_BE_NOTHING else 'above'} 0, at most {AT_MOST[key]:g}"
