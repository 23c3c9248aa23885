"""Calls at a steady rate: sipp's for the load, the probe's beside them for the time to the first packet."""

from __future__ import annotations

import asyncio
import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.native import Native
from appliance.supervisor import tied
from bench.exchanges import SIPP, Variant
from bench.probe import Probe

PROBED = 5
"""One call of so many is the probe's."""
SLACK = 15.0
"""Seconds beyond its calls that a run may last before sipp is stopped."""
SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a number of calls."""

    made: int
    failed: int
    first_packets: list[float]
    """Seconds from the INVITE to the first packet of the greeting: the probe's calls."""
    callers: tuple[str, str]
    """The lowest and the highest number that called."""


class Callers:
    """Every call of the whole benchmark comes from another number."""

    def __init__(self, native: Native, folder: Path, pipe: Path, media_port: int, probe: Probe) -> None:
        self._native, self._folder, self._pipe = native, folder, pipe
        self._media_port, self._probe = media_port, probe
        self._numbers = itertools.count(1)
        self._runs = 0
        folder.mkdir()

    async def run(self, variant: Variant, rate: int, lasts: float) -> Run:
        """`rate` calls a second for `lasts` seconds, and until the last of them is over."""
        probed = round(rate * lasts / PROBED)
        driven = round(rate * lasts) - probed
        fresh = itertools.islice(self._numbers, driven + probed)
        numbers = [f"{variant.callers}{number:07}" for number in fresh]
        failed, first = await asyncio.gather(
            self._drive(variant, numbers[:driven], driven / lasts),
            self._measure(variant, numbers[driven:], probed / lasts),
        )
        heard = [moment for moment in first if moment is not None]
        return Run(len(numbers), failed + len(first) - len(heard), heard, (numbers[0], numbers[-1]))

    async def _measure(self, variant: Variant, numbers: list[str], rate: float) -> list[float | None]:
        greeting = variant.greeting
        talk = greeting.lasts if variant.caller_hangs_up else None
        calls = []
        for number in numbers:
            call = self._probe.call(number, variant.dialled, variant.at, greeting.press_after, talk)
            calls.append(asyncio.create_task(call))
            await asyncio.sleep(1 / rate)
        return await asyncio.gather(*calls)

    async def _drive(self, variant: Variant, numbers: list[str], rate: float) -> int:
        """sipp's calls; returns how many failed."""
        self._runs += 1
        numbers_file, counts = (self._folder / f"{self._runs}.{kind}" for kind in ("numbers", "counts"))
        numbers_file.write_text("SEQUENTIAL\n" + "".join(f"{number};\n" for number in numbers))
        seconds = len(numbers) / rate + variant.greeting.lasts + SLACK
        process = await asyncio.create_subprocess_exec(
            *tied(self._command(variant, numbers_file, counts, len(numbers), rate, seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
        )
        try:
            async with asyncio.timeout(seconds + SLACK):
                _, complaint = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if not counts.exists():
            raise RuntimeError(f"sipp did not run: {complaint.decode(errors='replace').strip()[-400:]}")
        with counts.open(newline="") as file:
            return len(numbers) - successes(file)

    def _command(
        self, variant: Variant, numbers: Path, counts: Path, calls: int, rate: float, seconds: float
    ) -> list[str]:
        scenario = "caller_hangs_up" if variant.caller_hangs_up else "line_hangs_up"
        words = {
            "-sf": SCENARIOS / f"{scenario}.xml",
            "-s": variant.dialled,
            "-i": SIPP,
            "-inf": numbers,
            "-m": calls,
            "-r": f"{rate:.0f}",
            "-l": calls,
            "-d": round(variant.greeting.lasts * 1000),
            "-timeout": f"{seconds:.0f}s",
            "-stf": counts,
            "-fd": 1,
            "-log_file": self._pipe,
        }
        options = [str(word) for pair in words.items() for word in pair]
        keys = {"media_at": self._media_port, "press_after": variant.greeting.press_after}
        flags = ["-trace_stat", "-trace_logs", "-nostdin"]
        for key, value in keys.items():
            flags += ["-key", key, str(value)]
        host, port = variant.at
        return self._native.command("usr/bin/sipp", f"{host}:{port}", *options, *flags)


def successes(counts: Iterator[str]) -> int:
    """Calls that went as the scenario says, out of sipp's statistics: the last line counts them all."""
    rows = list(csv.DictReader(counts, delimiter=";"))
    return int(rows[-1]["SuccessfulCall(C)"]) if rows else 0
