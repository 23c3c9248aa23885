"""The embedded Asterisk: run from the unpacked tree, everything it writes under the hotline's home."""

from __future__ import annotations

import asyncio

from appliance.native import Native
from appliance.supervisor import Part
from ivr.asterisk.conf import Layout
from ivr.settings import Settings


def native(settings: Settings) -> Native:
    return Native((settings.native or settings.home / "native" / "root").resolve())


def layout(settings: Settings) -> Layout:
    home, tree = settings.home.resolve(), native(settings)
    return Layout(
        etc=home / "asterisk" / "etc",
        state=home / "asterisk",
        modules=tree.asterisk_modules,
        data=tree.asterisk_data,
        moh=tree.music,
        recordings=home / "spool",
        messages=home / "spool" / "messages",
        static=home / "prompts" / "static",
    )


def part(settings: Settings) -> Part:
    """Asterisk as a part of the supervisor's; ready when its manager answers."""
    etc = layout(settings).etc
    command = native(settings).command("usr/sbin/asterisk", "-C", etc / "asterisk.conf", "-f", "-n")

    async def ready() -> bool:
        return await _greets(settings.ami_host, settings.ami_port)

    return Part(name="asterisk", command=command, ready=ready, stop_within=5)


async def _greets(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return (await reader.readline()).startswith(b"Asterisk Call Manager")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
