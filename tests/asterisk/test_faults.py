"""The most telling cases of the fault suite; `make faults` runs them all, and the storm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.native import Native
from faults import matrix
from faults.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

TELLING = [case for case in matrix.CASES if case.is_telling]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hurt(native: Native, new_home: Callable[[str], Path]) -> AsyncIterator[House]:
    async with House(native, new_home("faults")) as house:
        yield house


@pytest.mark.parametrize("case", TELLING, ids=str)
async def test_nothing_is_lost_doubled_or_stuck(hurt: House, case: matrix.Case) -> None:
    result = await matrix.run(hurt, case)
    assert not result.trouble
    assert [str(finding) for finding in result.findings if finding.rows] == []
