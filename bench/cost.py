"""What a process and its children have cost: processor seconds out of /proc/PID/stat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat."""

    pid: int
    parent: int
    ticks: int
    """In user and kernel mode, its own and of the children it has buried."""


def read_stat(line: str) -> Stat:
    """The name, in brackets, may hold anything; the fields after it are counted as proc(5) counts them."""
    pid, _, rest = line.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    return Stat(int(pid), int(fields[1]), sum(map(int, fields[11:15])))


def tree(stats: list[Stat], root: int) -> Iterator[Stat]:
    """The process and all that descend from it."""
    for stat in stats:
        if stat.pid == root:
            yield stat
        elif stat.parent == root:
            yield from tree(stats, stat.pid)


def seconds(pids: dict[str, int]) -> dict[str, float]:
    """Processor seconds spent so far by each named process with its children."""
    stats = list(_all())
    return {name: sum(stat.ticks for stat in tree(stats, pid)) / TICK for name, pid in pids.items()}


def _all() -> Iterator[Stat]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield read_stat(file.read_text())
        except OSError:
            continue  # it ended while we looked
