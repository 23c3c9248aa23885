from __future__ import annotations

import os
import random
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


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance that can be had again: DOZVON_SEED=… repeats a run; the seed is printed when the test fails."""
    seed = int(os.environ.get("DOZVON_SEED", random.SystemRandom().randrange(2**32)))
    print(f"DOZVON_SEED={seed} repeats {request.node.nodeid}")
    return random.Random(seed)
