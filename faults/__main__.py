"""`make faults`: everything is killed at every step, then at random; and nothing is lost, doubled or stuck.

python -m faults             the matrix, two controllers, and the storm
python -m faults --matrix    every step × every part, and two controllers
python -m faults --storm     500 random faults over 1,000 calls (--seed --calls --faults)
python -m faults --quick     a couple of minutes: the most telling steps

The exit code is 1 when anything is lost, doubled, stuck or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.asterisk import native
from faults import matrix, storm
from faults.checks import Finding
from faults.house import House
from faults.matrix import Case, Result
from faults.storm import Storm
from faults.truths import SORTS
from ivr.errors import DozvonError
from ivr.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)
    try:
        return asyncio.run(_run(options))
    except DozvonError as error:
        print(f"faults: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faults", description="Kill everything, and look at what is left.")
    parser.add_argument("--matrix", action="store_true", help="every step × every part, and two controllers")
    parser.add_argument("--quick", action="store_true", help="the most telling steps only")
    parser.add_argument("--storm", action="store_true", help="random faults over many calls")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="stories, steps and parts with these words in them"
    )
    parser.add_argument("--seed", type=int, help="of the storm; without it a new one")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--controllers", type=int, choices=(1, 2), default=1, help="in the storm")
    parser.add_argument("--keep", action="store_true", help="leave the hotline's home, with its logs")
    return parser


async def _run(options: argparse.Namespace) -> int:
    settings = Settings.read()
    everything = not (options.matrix or options.quick or options.storm or options.only)
    good = True
    if everything or options.matrix or options.quick or options.only:
        good &= await _matrix(settings, options)
    if everything or options.storm:
        good &= await _storm(settings, options)
    return 0 if good else 1


async def _matrix(settings: Settings, options: argparse.Namespace) -> bool:
    results: list[Result] = []
    for controllers, cases in ((1, matrix.CASES), (2, matrix.PAIR_CASES)):
        chosen = [
            case
            for case in cases
            if options.only in f"{case.step.story}: {case}" and (case.is_telling or not options.quick)
        ]
        if not chosen:
            continue
        with _home(keep=options.keep) as home:
            async with House(native(settings), home, controllers=controllers) as house:
                results += [await _told(house, case) for case in chosen]
    kills = Counter(str(result.case.part) for result in results)
    findings = [finding for result in results for finding in result.findings]
    _print_table(
        [("cases", len(results)), *((f"killed: {part}", count) for part, count in kills.items())], findings
    )
    for result in results:
        if not result.is_good:
            print(f"  not good: {result.case}")
    return all(result.is_good for result in results)


async def _told(house: House, case: Case) -> Result:
    result = await matrix.run(house, case)
    print(f"{'ok  ' if result.is_good else 'FAIL'} {result.seconds:5.1f} s  {case}", flush=True)
    _print_offenders(result.findings, result.trouble)
    return result


async def _storm(settings: Settings, options: argparse.Namespace) -> bool:
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"storm: {options.faults} faults over {options.calls} calls, --seed {seed}", flush=True)
    with _home(keep=options.keep) as home:
        async with storm.house(native(settings), home, options.controllers) as house:
            it = Storm(house, seed, options.calls, options.faults)
            await it.run()
            _print_table(await it.table(), it.findings)
            _print_offenders(it.findings, it.trouble)
    return it.is_good


@contextlib.contextmanager
def _home(*, keep: bool) -> Iterator[Path]:
    """A folder of its own that Postgres' user may pass through."""
    home = Path(tempfile.mkdtemp(prefix="dozvon-faults-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        if keep:
            print(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _print_offenders(findings: Sequence[Finding], trouble: str | None) -> None:
    for finding in findings:
        if finding.rows:
            print(f"  {finding}", flush=True)
    if trouble:
        print(f"  {trouble}", flush=True)


def _print_table(rows: Sequence[tuple[str, object]], findings: Sequence[Finding]) -> None:
    sums = Counter(finding.sort for finding in findings for _ in finding.rows)
    lines = [*rows, *((sort, sums[sort]) for sort in SORTS)]
    width = max(len(name) for name, _ in lines)
    print("\n".join(["", *(f"  {name:<{width}}  {value}" for name, value in lines), ""]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
