"""Numbers about numbers: percentiles, ratios with their spread, the tables that are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all do not exceed: a value that was measured, none between."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure measured several times."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if not values:
            return cls(math.nan, math.nan, math.nan)
        return cls(min(values), median(values), max(values))

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f}–{self.high:.2f})"


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Round by round: what was measured in the same minute is compared."""
    return Spread.of([one / other for one, other in zip(of, to, strict=True)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads: the first to the left, figures to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def per_call(
    before: Mapping[str, float],
    after: Mapping[str, float],
    idle: Mapping[str, float],
    lasted: float,
    calls: int,
) -> dict[str, float]:
    """Milliseconds of processor a call: what was spent, less what the part spends doing nothing for so long."""
    return {
        part: 1000 * max(0.0, after[part] - before[part] - idle[part] * lasted) / max(1, calls)
        for part in before
    }
