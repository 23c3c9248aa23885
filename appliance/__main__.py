"""`make run`: the hotline on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import time

from appliance.hotline import Hotline, taken_ports
from appliance.supervisor import Supervisor
from directory import lookup
from directory.phones import shown
from ivr import logs
from ivr.asterisk.conf import TEST_ACCOUNT
from ivr.errors import DozvonError, SettingsError
from ivr.ledger import Ledger
from ivr.settings import Settings


def main() -> int:
    try:
        settings = Settings.read()
        logs.set_up(settings.log_level)
        asyncio.run(run(settings))
    except DozvonError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


async def run(settings: Settings) -> None:
    began = time.monotonic()
    if problems := taken_ports(settings):
        raise SettingsError("the hotline cannot listen", problems)
    hotline = Hotline(settings)
    supervisor = Supervisor(hotline.parts(), hotline.settings.home / "log")
    print("Starting the hotline…", flush=True)
    greeting: list[asyncio.Task[None]] = []
    await supervisor.run(lambda: greeting.append(asyncio.create_task(say_how_to_reach(hotline, began))))
    print("The hotline has stopped.")


async def say_how_to_reach(hotline: Hotline, began: float) -> None:
    """What somebody who has just started the hotline wants to know."""
    settings = hotline.settings
    assert settings.database_url is not None
    async with Ledger(settings.database_url, settings.home / "parked.jsonl") as ledger:
        companies, dispatchers = await lookup.companies(ledger), await lookup.dispatchers(ledger)
    sip = f"{settings.sip_host}:{settings.sip_port}"
    print(f"\nThe hotline is up after {time.monotonic() - began:.1f} s.\n")
    print(f"  panel        http://{settings.panel_host}:{settings.panel_port}/")
    print(f"  API token    {settings.panel_token}")
    for company in companies:
        numbers = ", ".join(f"{shown(line)} (dial {line})" for line in company.lines)
        print(f"  line         {numbers}  {company.name}")
    print(f"\n  SIP server {sip}, UDP or TCP")
    for dispatcher in dispatchers:
        print(f"  dispatcher   {dispatcher.extension:<9} password {dispatcher.password}  {dispatcher.name}")
    if settings.test_resident:
        print(f"  resident     {TEST_ACCOUNT:<9} password {settings.test_resident}  shows any caller id")
    print(f"\n  logs in {settings.home / 'log'}; the menus in {settings.dialplan}")
    print("  Ctrl-C stops everything.\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
