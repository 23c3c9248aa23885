"""A hotline of one's own for a story or a test: free ports, a home of its own, started as the product starts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from appliance.hotline import Hotline
from appliance.supervisor import Supervisor
from ivr.settings import Settings
from ivr.speech.models import find_model


def free_ports(count: int) -> list[int]:
    """TCP ports of loopback that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def settings_for(home: Path, base: Settings) -> Settings:
    """`base` moved to its own home and to free ports."""
    postgres, ami, agi, audio, sip, panel = free_ports(6)
    return replace(
        base,
        home=home,
        native=(base.native or base.home / "native" / "root").resolve(),
        model=base.model or find_model(base),
        postgres_port=postgres,
        ami_port=ami,
        agi_port=agi,
        audio_port=audio,
        sip_port=sip,
        panel_port=panel,
    )


@asynccontextmanager
async def hotline(settings: Settings, *options: str) -> AsyncIterator[tuple[Hotline, Supervisor]]:
    """The running hotline; `options` are Postgres' ("fsync=off")."""
    it = Hotline(settings, postgres_options=options)
    supervisor = Supervisor(it.parts(), it.settings.home / "log")
    try:
        await supervisor.start()
        yield it, supervisor
    finally:
        await supervisor.stop()
