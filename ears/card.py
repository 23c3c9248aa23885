"""What the model is, whose speech it learned from, and how it was made: beside it, for people and for programs."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ears.alignment import Aligned
from ears.network import AHEAD, BACK
from ears.speech import RATE, Source
from ivr.errors import MissingPart

CARD, MADE = "README.md", "made.json"
LICENCE = "GPL-3.0-only"
"""The one that every source's licence leads to, whatever a model is of what it learned from: GPL 2 "or later" and LGPL 2.1
allow it, CC-BY-SA 4.0 is compatible with version 3 and no other, the rest ask for no licence of their own."""
COPYING = "COPYING"
"""Its text, beside this module and beside the model."""
NAME = "dozvon-ru-8k"


def write_card(folder: Path, made: Mapping[str, Any]) -> None:
    (folder / MADE).write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (folder / CARD).write_text(card(made), "utf-8")
    shutil.copyfile(Path(__file__).with_name(COPYING), folder / COPYING)


def read_made(folder: Path) -> dict[str, Any]:
    """What `write_card` wrote there. Raises MissingPart."""
    try:
        made = json.loads((folder / MADE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _no_model(folder, str(error)) from error
    try:
        card(made)
    except (KeyError, TypeError) as error:
        raise _no_model(folder, f"{MADE} lacks {error}") from error
    return dict(made)


def _no_model(folder: Path, why: str) -> MissingPart:
    return MissingPart(
        f"the model in {folder}", why, "name a folder that `make ears` made, such as ears/model"
    )


def shares(sources: Sequence[Source], pieces: Sequence[Aligned]) -> list[dict[str, Any]]:
    """For each source how many seconds of it were learned from."""
    seconds: dict[str, float] = {}
    for piece in pieces:
        seconds[piece.source] = seconds.get(piece.source, 0.0) + len(piece.pcm) / RATE
    whole = sum(seconds.values()) or 1.0
    return [
        {
            "name": source.name,
            "what": source.of or f"synthesised by {source.engine}",
            "package": source.package,
            "licence": source.licence,
            "hours": round(seconds.get(source.name, 0.0) / 3600, 2),
            "share": round(seconds.get(source.name, 0.0) / whole, 3),
        }
        for source in sources
    ]


def card(made: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| {one['name']} | {one['what']} | {one['package']} | {one['licence']} | {one['hours']} h | {one['share']:.1%} |"
        for one in made["sources"]
    )
    return f"""\
# {NAME}: Russian on the telephone, for a closed vocabulary

A model in Vosk's format, native 8 kHz, {made["words"]} words. Made by this project; no one's recordings or weights are in
it but what is listed below.

Licence: {made["licence"]} (COPYING). Give it away and change it; name its sources (below), and give what you make of it under
the same licence.

## How it was made

    {made["command"]}

Seed {made["seed"]}; {made["pieces"]} pieces of speech, {made["hours"]} h, each spoilt {made["copies"]} times and gone through in
{made["rounds"]} rounds; {made["minutes"]} minutes on {made["cores"]} cores ({made["machine"]}). The same seed and the same versions give
the same decisions: {", ".join(f"{name} {version}" for name, version in made["versions"].items())}.

{_words_of_later(made)}The network has {made["parameters"]} parameters in 16 bits, scores {made["labels"]} sounds 33 times a second, and sees
{10 * BACK} ms back and {10 * AHEAD} ms ahead.

## Whose speech it learned from

| source | what | package | licence | learned | share |
|---|---|---|---|--:|--:|
{rows}

Attribution: the recordings "ivrvoice" are the Russian prompts of Asterisk, spoken for ivrvoice.ru, CC-BY-3.0; the
recordings "nsh" are Copyright (c) 2005 Nickolay V. Shmyrev, all rights reserved, used under the permission of Debian's
festvox-ru, which disclaims all warranties; "ru_tts" is Copyright (C) 1990, 1991 Speech Research Laboratory, Minsk, 2005
Igor Poretsky, 2021 Boris Lobanov and Alexander Ivanov, 2025 Andrey Loginov (a Python package, the others are Debian's);
voice "aleksandr-hq" and the other voices are RHVoice's; the recordings "veber" and "buraya" are of Tux Paint's stamps,
Copyright 2002-2022 by Bill Kendrick and contributors, spoken by Edwin Veber and Kseniya Buraya. All were changed: cut,
resampled, mixed with noise, and made into statistics.

## What it is for, and what not

For answers to a robot's questions and for menus: the words of `lexicon.txt`, on a telephone line. Everything else is
`[unk]`, other speech. It is no dictation machine. Of pieces it had not learned from, spoilt a fifth as often as those it
learned from, {made["heard"]}. How well it hears voices it never met, and how it compares, is in the project's docs/speech.md.

Words can be added without learning anew: see docs/ears.md.
"""


def _words_of_later(made: Mapping[str, Any]) -> str:
    if "learned_with" not in made:
        return ""
    return f"""\
It learned when {made["learned_with"]} words were listened for. The words it has now, and how they are said, were given to it
later, without learning (`{made["command"]} EARS="--words …"`): what `{made["command"]}` learns with them is another network. It was
tried before.

"""


def machine() -> str:
    return f"{platform.machine()}, Python {platform.python_version()}"
