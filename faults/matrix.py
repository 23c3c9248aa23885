"""Every step × every part, killed with `kill -9`; then the story goes on and the checks look at what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from demo.softphone import PhoneError
from faults import checks
from faults.checks import Finding
from faults.house import PARTS, SECOND, House, NotWithin
from faults.steps import STEPS, Scene, Step, scene

SETTLES_WITHIN = 90.0
CHASER = "the controller that chases"
ASKER = "the controller that asks"


@dataclass(frozen=True, slots=True)
class Case:
    step: Step
    part: str

    def __str__(self) -> str:
        return f"{self.step.name}: {self.part}"

    @property
    def is_telling(self) -> bool:
        """One of the few that are tried on every occasion."""
        return (self.step.name, self.part) in TELLING


CASES = tuple(Case(step, part) for step in STEPS for part in PARTS)
PAIR_CASES = tuple(
    Case(step, CHASER if step.story == "chase" else ASKER) for step in STEPS if step.story != "inbound"
)
"""With two controllers on one database."""
TELLING = frozenset(
    {
        ("menu", "controller"), ("ringing", "postgres"), ("just answered", "asterisk"),
        ("just hung up", "controller"),
        ("claimed, not placed", "postgres"), ("dispatcher rung", "postgres"), ("resident rung", "controller"),
        ("resident rung", "asterisk"), ("called back", "controller"), ("called back", "asterisk"),
        ("just ended", "postgres"),
        ("survey claimed, not placed", "postgres"), ("rung by the robot", "asterisk"), ("asked", "controller"),
        ("rated", "postgres"), ("a dispatcher wanted", "controller"),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    findings: list[Finding]
    seconds: float
    trouble: str | None = None
    """What did not come about."""

    @property
    def is_good(self) -> bool:
        return self.trouble is None and not any(finding.rows for finding in self.findings)


async def run(house: House, case: Case) -> Result:
    """One case; what was found in the house before is not held against this one."""
    began, trouble = time.monotonic(), None
    async with scene(house) as it:
        try:
            await case.step.bring(it)
            part = await _victim(it, case.part)
            dead = house.pid(part)
            await house.kill(part)
            await it.goes_on(exchange_died=part == "asterisk")
            await house.is_back(part, dead)
            await it.settled(SETTLES_WITHIN)
        except (NotWithin, TimeoutError, PhoneError) as error:
            trouble = str(error)
    findings = [_fresh(finding, house.offenders) for finding in await checks.look(house)]
    if trouble is not None:
        await house.forgets_what_is_owed()
    return Result(case, findings, time.monotonic() - began, trouble)


async def _victim(it: Scene, part: str) -> str:
    """Of two controllers the one that has claimed the call; before that the one that is asked first."""
    if part == CHASER:
        return await it.claimant("attempts") or SECOND
    if part == ASKER:
        return it.claimed_by or await it.claimant("survey_calls") or SECOND
    return part


def _fresh(finding: Finding, known: set[str]) -> Finding:
    rows = [row for row in finding.rows if f"{finding.name}: {row}" not in known]
    known |= {f"{finding.name}: {row}" for row in finding.rows}
    return Finding(finding.name, finding.sort, rows)
