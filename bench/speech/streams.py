"""How many recognisers hold real time on this machine, and what one costs: no listener around them, no call.

Each is fed 100 ms at a time when they are over. In real time is what is decoded before the next 100 ms are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.speech import capacity
from bench.speech.capacity import LATE, SPEECH, Kind, Step
from bench.speech.paced import Load

FIRST = 64
"""Streams that are tried at first."""
BUDGET = 70.0
"""Seconds for finding the most of one kind; what began goes on to its end."""
LASTS, WARM = 4.0, 3.0
"""Seconds of a step, and of the same before it: decoders are made and know their way, as after the first calls."""
KINDS = {Kind.STREAM: "speech all the time", Kind.GATED: "behind voice activity"}


@dataclass(frozen=True, slots=True)
class Streams:
    """The most that hold."""

    what: str
    speech: float
    """Its share of the sound."""
    tried: tuple[Load, ...]
    held: int
    floor: Load
    """As much sound, fed to nobody."""

    @property
    def best(self) -> Load:
        """At the most streams that held, or at the fewest."""
        fitting = [load for load in self.tried if load.calls == self.held] or list(self.tried)
        return min(fitting, key=lambda load: load.calls)

    @property
    def cost(self) -> float:
        """Seconds of processor a second of a stream, the feeding not counted."""
        return self.best.processor - self.floor.processor

    @property
    def memory(self) -> float:
        """MB a stream, what the process has without them not counted."""
        return (self.best.memory - self.floor.memory) / self.best.calls


def in_real_time(load: Load) -> bool:
    return load.late_p99 <= LATE


def measure(step: Step, told: Callable[[str], None]) -> list[Streams]:
    """Of both kinds."""
    step = replace(step, lasts=LASTS, warm=WARM)

    def load_of(calls: int) -> Load:
        load = capacity.measure(replace(step, calls=calls))
        told(f"{calls} streams, {step.kind}: 99 of 100 decoded within {1000 * load.late_p99:.0f} ms")
        return load

    floor = capacity.measure(replace(step, kind=Kind.PIECES, calls=FIRST))
    measured = []
    for kind, what in KINDS.items():
        step = replace(step, kind=kind)
        tried, held = capacity.most(load_of, FIRST, in_real_time, ends=time.monotonic() + BUDGET)
        measured.append(Streams(what, 1.0 if kind is Kind.STREAM else SPEECH, tuple(tried), held, floor))
    return measured
