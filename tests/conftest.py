from __future__ import annotations

import logging
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.native import Native
from ivr.errors import MissingPart

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def native() -> Native:
    """The unpacked tree of Asterisk, the voices and sipp; without it the test is skipped and says why."""
    given = os.environ.get("DOZVON_NATIVE")
    tree = Native(Path(given) if given else HERE.parent / "var" / "native" / "root")
    try:
        asterisk = tree.root / "usr/sbin/asterisk"
        if not (tree.loader and asterisk.exists()):
            pytest.skip(f"no Asterisk in {tree.root}; make test unpacks one")
    except MissingPart as error:
        pytest.skip(f"{error}; make test unpacks one")
    return tree


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[str], Path]]:
    """Makes folders that user nobody can reach, whom Postgres runs as when we are root.

    Not among pytest's own folders: each pytest that starts closes those to everybody else.
    """
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix=f"dozvon-{name}-")))
        made[-1].chmod(0o711)
        return made[-1]

    yield make
    # Dozens of Postgres trees, and what is waited for here counts as the last test's time: a busy disk uses that up.
    os.spawnvp(os.P_NOWAIT, "rm", ["rm", "-rf", "--", *map(str, made)])


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance that can be had again: DOZVON_SEED=… repeats a run; the seed is printed when the test fails."""
    seed = int(os.environ.get("DOZVON_SEED", random.SystemRandom().randrange(2**32)))
    print(f"DOZVON_SEED={seed} repeats {request.node.nodeid}")
    return random.Random(seed)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """For a test that sets the logs up: afterwards they are as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
