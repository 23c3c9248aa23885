"""`make demo`: the story on a hotline of its own, told as it happens; exit code 1 when anything is not so."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from dataclasses import replace

from demo.place import hotline, settings_for
from demo.softphone import free_port
from demo.story import Story
from ivr import logs
from ivr.asterisk.conf import TEST_ACCOUNT
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.settings import Settings


def main() -> int:
    try:
        base = Settings.read()
        logs.set_up("error")
        return asyncio.run(demo(base))
    except (DozvonError, TimeoutError, LookupError) as error:
        print(f"\nThe story broke off: {error}", file=sys.stderr)
        return 1


async def demo(base: Settings) -> int:
    began = time.monotonic()
    home = base.home.resolve() / "demo"
    shutil.rmtree(home, ignore_errors=True)
    print("Starting a hotline for the story…", flush=True)
    phones = free_port("127.0.0.1")
    dial_out = f"PJSIP/{TEST_ACCOUNT}/sip:{{number}}@127.0.0.1:{phones}"
    async with hotline(replace(settings_for(home, base), dial_out=dial_out)) as (it, _):
        assert it.settings.database_url is not None and it.settings.test_resident is not None
        async with Ledger(it.settings.database_url, home / "parked.jsonl") as ledger:
            wrong = await Story(it.settings, ledger, phones, say).tell(it.settings.test_resident)
    for what in wrong:
        print(f"\n  NOT SO: {what}")
    print(f"\n{'All of it is so' if not wrong else 'Something is not so'}; {time.monotonic() - began:.0f} s.")
    return 1 if wrong else 0


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
