"""What must be ready before Asterisk starts: the database, the prompts, Asterisk's own files."""

from __future__ import annotations

import logging

from directory import lookup
from ivr.app import Controller
from ivr.asterisk import conf
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.speech.voice import Voice

log = logging.getLogger(__name__)


async def prepare(
    settings: Settings,
    ledger: Ledger,
    voice: Voice | None,
    layout: conf.Layout | None,
    test_account: tuple[str, str] | None = None,
) -> None:
    """Render prompts, and Asterisk's files where `layout` says; what is there already is left alone."""
    controller = Controller(settings, ledger, voice)
    await controller.prepare()
    if layout is not None:
        await write_conf(settings, ledger, layout, test_account)


async def write_conf(
    settings: Settings, ledger: Ledger, layout: conf.Layout, test_account: tuple[str, str] | None = None
) -> bool:
    """Asterisk's files from the directory; True when anything has changed."""
    companies = [lookup.company(row) for row in await ledger.all("directory.companies")]
    dispatchers = [lookup.dispatcher(row) for row in await ledger.all("directory.dispatchers")]
    for folder in (
        layout.recordings,
        layout.messages,
        layout.state / "log" / "cel-custom",
        layout.state / "keys",
    ):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = conf.render(settings, layout, companies, dispatchers, test_account)
    return conf.write(files, layout.etc)
