"""What must be ready before Asterisk starts: the database, the prompts, Asterisk's own files."""

from __future__ import annotations

from ivr.app import Controller
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.speech.voice import Voice


async def prepare(settings: Settings, ledger: Ledger, voice: Voice | None) -> None:
    """Render prompts, and Asterisk's files where the layout says; what is there already is left alone."""
    controller = Controller(settings, ledger, voice)
    await controller.prepare()
    await controller.write_conf()
