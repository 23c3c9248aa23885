"""What two people call the pictures of a game: nobody learned from either, and no program speaks.

They say hardly anything the robot listens for. So what the model lacks of their words is added as an admin adds
words, and each is heard among all of them, through the listener. The recordings are Debian's ktuberling-data.
"""

from __future__ import annotations

import asyncio
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.speech.hearing import listen
from bench.speech.noises import RATE
from bench.speech.spoil import CLEAN, LOSSY, Condition, received
from ears.ogg import read_ogg
from ivr.errors import MissingPart
from ivr.heard import UNKNOWN, Heard, Question
from ivr.lexicon import served
from ivr.settings import Settings
from ivr.speech.activity import Detectors
from ivr.speech.ears import Recogniser, open_ears
from ivr.speech.extended import can_be_extended
from ivr.speech.sound import Samples
from ivr.speech.voice import at_rate

NAMES = Path(__file__).with_name("pictures.toml")
SOUNDS = "usr/share/ktuberling/sounds/ru"
LINES = (CLEAN, LOSSY[-1])
WAYS = RIGHT, ANOTHER, NOTHING = "right", "another", "nothing"
"""How a word may be heard: as what it is, as something else of theirs, as none of their words."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One recording."""

    who: str
    file: Path
    names: tuple[str, ...]
    """What is said in it; several where it is spelled or called in more than one way."""

    def sound(self) -> Samples:
        """Raises MissingPart where nothing can read it."""
        return at_rate(read_ogg(self.file), RATE).samples


@dataclass(frozen=True, slots=True)
class Named:
    """How one person was heard on one kind of line."""

    who: str
    condition: Condition
    outcomes: Counter[str]

    @property
    def whole(self) -> int:
        return self.outcomes.total()


def pictures(root: Path) -> list[Picture]:
    """Those whose names are known, as far as the package has them. Raises MissingPart where it has none."""
    told = tomllib.loads(NAMES.read_text("utf-8"))
    listed = [
        Picture(who, root / SOUNDS / f"{name}.opus", tuple(names))
        for who, all_of_them in told.items()
        for name, names in all_of_them.items()
    ]
    found = [one for one in listed if one.file.is_file()]
    if not found:
        raise MissingPart(
            "the recordings of people", f"none in {root / SOUNDS}", "`make bench-speech` fetches them"
        )
    return found


def measure(model: Path, listed: Sequence[Picture], settings: Settings) -> list[Named]:
    """Each person on each line; nothing of a model whose words are what they are.

    Raises MissingPart where their words cannot be added; the log says why.
    """
    if not can_be_extended(model):
        return []
    names = tuple(dict.fromkeys(name for one in listed for name in one.names))
    ears = open_ears(served(model, {word for name in names for word in name.split()}, settings))
    try:
        if unheard := ears.missing(names):
            why = f"not added to the model: {', '.join(unheard[:5])}"
            raise MissingPart("words of people", why, "see what the log says of them")
        return asyncio.run(_heard(ears, Question("pictures", names), listed))
    finally:
        ears.close()


async def _heard(ears: Recogniser, question: Question, listed: Sequence[Picture]) -> list[Named]:
    detectors = Detectors()
    outcomes: dict[tuple[str, Condition], Counter[str]] = {}
    for condition in LINES:
        for one in listed:
            chance = np.random.default_rng(zlib.crc32(f"{one.file.name} {condition}".encode()))
            sound = received(one.sound(), condition, np.zeros(RATE, np.float32), chance)
            told = await listen(ears, detectors, question, sound.frames)
            heard = (event for _, event in told if isinstance(event, Heard))
            outcomes.setdefault((one.who, condition), Counter())[outcome(one, heard)] += 1
    return [Named(who, condition, counted) for (who, condition), counted in outcomes.items()]


def outcome(picture: Picture, heard: Iterable[Heard]) -> str:
    """Of all stretches of speech, as one."""
    words = [word.text for stretch in heard for word in stretch.words]
    if " ".join(words) in picture.names:
        return RIGHT
    return ANOTHER if any(word != UNKNOWN for word in words) else NOTHING
