"""Which voice speaks the prompts: RHVoice of the unpacked tree, else espeak-ng, else those on the path."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from appliance.native import Native
from ivr.errors import MissingPart
from ivr.settings import Settings
from ivr.speech.voice import Synthesiser, Voice, pick


async def voice(settings: Settings) -> Voice | None:
    """The first that speaks, or None: then only recorded prompts can be said."""
    return await pick(_candidates(settings))


def _candidates(settings: Settings) -> Iterator[Synthesiser]:
    tree = Native(settings.native or settings.home / "native" / "root")
    try:
        environment = tree.environment()
    except MissingPart:
        environment = None
    # RHVoice's unpacked data speaks Russian only.
    if environment is not None:
        if settings.language == "ru":
            command = tuple(tree.command("usr/bin/RHVoice-test"))
            yield Synthesiser("rhvoice", command, settings.voice, environment)
        yield Synthesiser(
            "espeak-ng", tuple(tree.command("usr/bin/espeak-ng")), settings.language, environment
        )
    if settings.language == "ru" and (program := shutil.which("RHVoice-test")):
        yield Synthesiser("rhvoice", (program,), settings.voice)
    if program := shutil.which("espeak-ng"):
        yield Synthesiser("espeak-ng", (program,), settings.language)
