"""One hotline a module; each test has its own caller and its own dispatchers, so that tests do not meet."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.native import Native

from .running import Running

_numbers = itertools.count(9_160_000_001)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path]) -> AsyncIterator[Running]:
    async with Running(native, new_home("house")) as running:
        yield running


@pytest.fixture
def number() -> str:
    """A number nobody has called from yet."""
    return f"+7{next(_numbers)}"


@pytest.fixture
def another() -> str:
    return f"+7{next(_numbers)}"
