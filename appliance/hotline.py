"""The whole hotline on one machine: Postgres, Asterisk and the controller under one supervisor."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path

from appliance import asterisk
from appliance.postgres import Postgres
from appliance.secrets import Secrets, completed
from appliance.supervisor import Part
from directory import importer
from ivr.app import now
from ivr.ledger import Ledger
from ivr.prepare import prepare
from ivr.settings import PREFIX, Settings
from ivr.voices import voice

DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Our own panel on loopback is never behind a proxy."""
SAMPLE = ("companies.csv", "dispatchers.csv", "residents.csv")


class Hotline:
    """The parts in the order they start; `parts()` is for the supervisor."""

    def __init__(self, settings: Settings, postgres_options: tuple[str, ...] = ()) -> None:
        settings = replace(settings, home=settings.home.resolve())
        self.secrets = Secrets.load(settings.home)
        self.postgres: Postgres | None = None
        if settings.database_url is None:
            self.postgres = Postgres(
                settings.home,
                settings.postgres_port,
                self.secrets.postgres_password,
                options=postgres_options,
            )
        self.settings = completed(settings)
        if settings.asterisk == "embedded":
            layout = asterisk.layout(settings).write(settings.home / "asterisk" / "layout.toml")
            self.settings = replace(
                self.settings,
                asterisk_layout=layout,
                test_resident=settings.test_resident or self.secrets.resident_password,
            )

    def parts(self) -> list[Part]:
        return list(self._parts())

    def _parts(self) -> Iterator[Part]:
        if self.postgres is not None:
            yield self.postgres.part
        if self.settings.asterisk == "embedded":
            yield replace(asterisk.part(self.settings), before=self.prepare)
            yield self.controller()
        else:
            yield replace(self.controller(), before=self.prepare)

    def controller(self) -> Part:
        return Part(
            name="controller",
            command=[sys.executable, "-m", "ivr", "serve"],
            env={**os.environ, **_environment(self.settings)},
            ready=self._is_well,
            alive=self._answers,
        )

    async def prepare(self) -> None:
        """Between Postgres and Asterisk: tables, the sample directory if there is none, prompts, config."""
        assert self.settings.database_url is not None
        async with Ledger(self.settings.database_url, self.settings.home / "parked.jsonl") as ledger:
            if not await ledger.all("directory.companies"):
                await self._import_sample(ledger)
            await prepare(self.settings, ledger, await voice(self.settings))

    async def _import_sample(self, ledger: Ledger) -> None:
        for name in SAMPLE:
            await importer.import_file(
                Path(str(files("directory") / "sample" / name)),
                ledger,
                now(),
                region=self.settings.region,
                area_code=self.settings.area_code,
                progress=False,
            )

    async def _is_well(self) -> bool:
        return await asyncio.to_thread(_status, self._health) == 200

    async def _answers(self) -> bool:
        """Does its event loop still turn? An unwell controller does; a frozen one does not."""
        return await asyncio.to_thread(_status, self._health) is not None

    @property
    def _health(self) -> str:
        host = self.settings.panel_host if self.settings.panel_host != "0.0.0.0" else "127.0.0.1"  # noqa: S104
        return f"http://{host}:{self.settings.panel_port}/health"


def _status(url: str) -> int | None:
    try:
        with DIRECTLY.open(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def taken_ports(settings: Settings) -> list[str]:
    """What of ours is listened on by somebody else, each with what to do."""
    wanted = {
        "SIP": (settings.sip_host, settings.sip_port, (socket.SOCK_DGRAM, socket.SOCK_STREAM)),
        "PANEL": (settings.panel_host, settings.panel_port, (socket.SOCK_STREAM,)),
        "AGI": (settings.agi_host, settings.agi_port, (socket.SOCK_STREAM,)),
    }
    if settings.asterisk == "embedded":
        wanted["AMI"] = (settings.ami_host, settings.ami_port, (socket.SOCK_STREAM,))
    else:
        del wanted["SIP"]
    if settings.database_url is None:
        wanted["POSTGRES"] = ("127.0.0.1", settings.postgres_port, (socket.SOCK_STREAM,))
    return [
        f"{PREFIX}{name}_PORT={port}: something on this machine listens there already; stop it or set another"
        for name, (host, port, kinds) in wanted.items()
        if any(_is_taken(host, port, kind) for kind in kinds)
    ]


def _is_taken(host: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed one that lingers is free
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables they came from."""
    values = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value is not None and value != ():
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            values[PREFIX + field.name.upper()] = text
    return values
