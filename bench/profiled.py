"""`python -m bench.profiled FILE`: the controller under cProfile, its statistics in FILE when it stops."""

from __future__ import annotations

import cProfile
import sys

from ivr.__main__ import main

if __name__ == "__main__":
    profile = cProfile.Profile()
    try:
        code = profile.runcall(main, ["serve"])
    finally:
        profile.dump_stats(sys.argv[1])
    sys.exit(code)
