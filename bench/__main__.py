"""`make bench`: what a call costs and how many a second are held, on this machine, now.

(a) a bare Asterisk answers, plays the greeting, hangs up; (b) the hotline takes the same call its whole way:
FastAGI, directory, menu key, ledger, recording, promise; (c) panoramisk's FastAGI gives the same commands
with no ledger. See docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import pstats
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from appliance.supervisor import Supervisor
from bench import cost
from bench.callers import Callers, Run
from bench.exchanges import A_LONG, B_LONG, B_UNRECORDED, LONG, PROBE, VARIANTS, A, B, C, Exchanges, Variant
from bench.figures import Spread, per_call, percentile, ratios, table
from bench.probe import Probe
from ivr import logs
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.settings import Settings

ROUNDS, ROUND_RATE, LONG_RATE, ROUND_LASTS = 3, 20, 10, 7.0
LONG_ROUNDS = 2
RATES, STEP_LASTS = (20, 30, 50, 70, 100), 5.0
LOWER_RATES = (10, 5)
"""Tried, downwards, when even the first of RATES is not held."""
SETTLES_WITHIN = 20.0
LOOK_EVERY = 1.0
"""Looking costs Postgres something too."""
IDLE = 5.0
AIM_RATE, AIM_RATIO, AIM_FIRST = 50, 2.0, 0.150


@dataclass(slots=True)
class Measured:
    """What is known of one variant."""

    costs: list[dict[str, float]] = field(default_factory=list)
    """Milliseconds of processor a call by part, a dictionary a round."""
    first_packets: list[float] = field(default_factory=list)
    held: int = 0
    first_at: dict[int, list[float]] = field(default_factory=dict)
    """Seconds to the first packet by rate."""

    @property
    def totals(self) -> list[float]:
        return [sum(cost.values()) for cost in self.costs]


@dataclass(frozen=True, slots=True)
class Load:
    """A number of calls and what they cost: milliseconds a call by part."""

    run: Run
    lost: int
    spent: dict[str, float]

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {spent:.1f}" for part, spent in self.spent.items())
        return (
            f"{self.run.made} calls, {f'{self.lost} lost' if self.lost else 'none lost'}; "
            f"{sum(self.spent.values()):.1f} ms a call ({parts}); "
            f"first packet p99 {ms(self.run.first_packets, 0.99)}"
        )


class Bench:
    """One go, from the first start to the last stop."""

    def __init__(
        self, exchanges: Exchanges, supervisor: Supervisor, callers: Callers, ledger: Ledger
    ) -> None:
        self._supervisor, self._callers, self._ledger = supervisor, callers, ledger
        self._idle: dict[str, float] = {}
        self.measured = {variant.name: Measured() for variant in VARIANTS}

    async def rest(self) -> None:
        """What every part spends while nobody calls, seconds a second."""
        say("idle: what everything costs while nobody calls")
        before = cost.seconds(self._pids())
        await asyncio.sleep(IDLE)
        after = cost.seconds(self._pids())
        self._idle = {part: (after[part] - before[part]) / IDLE for part in before}

    async def rounds(self) -> None:
        """The variants in turn, again and again, at a rate all of them hold."""
        for number in range(ROUNDS):
            for variant in VARIANTS:
                if variant.greeting is not LONG or number < LONG_ROUNDS:
                    await self._round(variant, number + 1)

    async def _round(self, variant: Variant, number: int) -> None:
        rate = LONG_RATE if variant.greeting is LONG else ROUND_RATE
        measured = self.measured[variant.name]
        load = await self._load(variant, rate, ROUND_LASTS)
        measured.costs.append(load.spent)
        measured.first_packets += load.run.first_packets
        say(f"round {number}/{ROUNDS} ({variant.name}) {variant.what}: {load}")

    async def steps(self) -> None:
        """Faster and faster, until a call is lost."""
        for variant in (A, B, C):
            held = await self._held(variant, RATES[0])
            for rate in RATES[1:] if held else LOWER_RATES:
                if await self._held(variant, rate) is not held:
                    break

    async def _held(self, variant: Variant, rate: int) -> bool:
        load = await self._load(variant, rate, STEP_LASTS)
        measured = self.measured[variant.name]
        measured.first_at[rate] = load.run.first_packets
        if not load.lost:
            measured.held = max(measured.held, rate)
        say(f"step ({variant.name}) {variant.what}: {rate} calls a second, {load}")
        return not load.lost

    async def _load(self, variant: Variant, rate: int, lasts: float) -> Load:
        """Calls at a rate, until everything they leave behind is done; what was lost and what they cost."""
        pids = {part: self._pids()[runs] for part, runs in variant.parts.items()}
        idle = {part: self._idle[runs] for part, runs in variant.parts.items()}
        before, began = cost.seconds(pids), time.monotonic()
        run = await self._callers.run(variant, rate, lasts)
        missing = await self._missing(variant, run)
        spent = per_call(before, cost.seconds(pids), idle, time.monotonic() - began, run.made)
        return Load(run, max(run.failed, missing), spent)

    async def _missing(self, variant: Variant, run: Run) -> int:
        """How many of its calls are not whole in the ledger, given time to settle."""
        if not variant.in_ledger:
            return 0
        until = time.monotonic() + SETTLES_WITHIN
        while True:
            row = await self._ledger.pool.fetchrow(WHOLE, *run.callers)
            assert row is not None
            settled = row["whole"] >= run.made and (row["attached"] >= run.made or not variant.recorded)
            if settled or time.monotonic() > until:
                break
            await asyncio.sleep(LOOK_EVERY)
        if not variant.recorded:
            await self._ledger.pool.execute(NOT_RECORDED, *run.callers)
        return max(0, run.made - int(row["whole"]))

    def _pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._supervisor.processes.items()}


WHOLE = """
SELECT count(*) FILTER (
           WHERE calls.ended_at IS NOT NULL AND calls.category = 'emergency' AND promise_calls.call_id IS NOT NULL
             AND EXISTS (SELECT FROM call_facts WHERE call_id = calls.id AND kind = 'key')
       ) AS whole,
       count(*) FILTER (WHERE recordings.status = 'attached') AS attached
FROM calls
LEFT JOIN promise_calls ON promise_calls.call_id = calls.id
LEFT JOIN recordings ON recordings.call_id = calls.id
WHERE caller BETWEEN $1 AND $2
"""
"""Whole: ended, the key understood, and a promise to call back."""

NOT_RECORDED = """
UPDATE recordings SET status = 'lost', why = 'not recorded: benchmark'
WHERE status = 'capturing' AND call_id IN (SELECT id FROM calls WHERE caller BETWEEN $1 AND $2)
"""
"""Nobody need look for a recording that was never made."""


def report(measured: dict[str, Measured]) -> str:
    variants = {variant.name: variant for variant in VARIANTS}
    rows = []
    for name, it in measured.items():
        parts = {part: Spread.of([cost[part] for cost in it.costs]) for part in variants[name].parts}
        rows.append(
            [
                f"({name}) {variants[name].what}",
                str(it.held) if it.first_at else "–",
                *(f"{parts[part].middle:.1f}" if part in parts else "–" for part in _PARTS),
                str(Spread.of(it.totals)),
                ms(it.first_packets, 0.50),
                ms(it.first_packets, 0.99),
            ]
        )
    head = [
        "",
        "calls/s held",
        *(f"{part} ms" for part in _PARTS),
        "ms a call (spread)",
        "first p50",
        "first p99",
    ]
    lines = [table(head, rows), ""]
    for one, base in COMPARED:
        ratio = ratios(measured[one.name].totals, measured[base.name].totals)
        lines.append(f"  {one.name} / {base.name}".ljust(10) + f"{ratio} of the processor time")
    return "\n".join([*lines, "", *verdict(measured)])


COMPARED = ((B, A), (B_UNRECORDED, A), (C, A), (B, C), (B_LONG, A_LONG))
_PARTS = ("Asterisk", "controller", "Postgres")


def verdict(measured: dict[str, Measured]) -> list[str]:
    """The aims, and whether they are met."""
    hotline, bare = measured[B.name], measured[A.name]
    ratio = ratios(hotline.totals, bare.totals).middle
    long = ratios(measured[B_LONG.name].totals, measured[A_LONG.name].totals).middle
    at_aim = percentile(hotline.first_at.get(AIM_RATE, []), 0.99)
    quiet = percentile(hotline.first_packets, 0.99)
    aims = [
        (hotline.held >= AIM_RATE, f"{AIM_RATE} calls a second, none lost: holds {hotline.held}"),
        (
            ratio <= AIM_RATIO,
            f"at most {AIM_RATIO:g} times the bare Asterisk's processor time: {ratio:.2f} times "
            f"for a call of {B.greeting.lasts:.1f} s, {long:.2f} times for one of {B_LONG.greeting.lasts:.1f} s",
        ),
        (
            max(quiet, at_aim) <= AIM_FIRST,
            f"first packet within {1000 * AIM_FIRST:.0f} ms p99: {1000 * quiet:.0f} ms at {ROUND_RATE}/s, "
            f"{1000 * at_aim:.0f} ms at {AIM_RATE}/s",
        ),
    ]
    return [f"  {'met    ' if met else 'NOT MET'}  {what}" for met, what in aims]


def ms(moments: list[float], share: float) -> str:
    at = percentile(moments, share)
    return "–" if math.isnan(at) else f"{1000 * at:.0f} ms"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


async def run(settings: Settings, options: argparse.Namespace) -> None:
    profile = Path(options.profile).resolve() if options.profile else None
    exchanges = Exchanges(settings, options.port, profile)
    probe = await Probe(PROBE).open()
    await exchanges.lay_out_prompts()
    supervisor = Supervisor(exchanges.parts(probe), exchanges.home / "log")
    say(f"starting two Asterisks, Postgres, the controller and the peer in {exchanges.home}")
    try:
        await supervisor.start()
        callers = Callers(
            exchanges.native, exchanges.home / "sipp", exchanges.pipe, exchanges.media_port, probe
        )
        async with Ledger(exchanges.database_url, exchanges.home / "bench-parked.jsonl") as ledger:
            bench = Bench(exchanges, supervisor, callers, ledger)
            for variant in (A, B, C):
                await callers.run(variant, 5, 1.0)  # everything loaded and warm
            await bench.rest()
            await bench.rounds()
            if not options.rounds_only:
                await bench.steps()
    finally:
        await supervisor.stop()
        probe.close()
    print(f"\n{report(bench.measured)}\n", flush=True)
    if profile is not None:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(40)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=15_700, help="the first of seven free ports (15700)")
    parser.add_argument(
        "--rounds-only", action="store_true", help="what a call costs, without stepping up the rate"
    )
    parser.add_argument("--profile", metavar="FILE", help="run the controller under cProfile")
    options = parser.parse_args()
    try:
        logs.set_up("warning")
        asyncio.run(run(Settings.read(), options))
    except DozvonError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
