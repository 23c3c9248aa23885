"""Which words the robot's model knows: its own, those that are listened for, and the admin's (`ears/words.txt`)."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from appliance.native import Native
from ivr.errors import DialplanError, MissingPart
from ivr.settings import Settings
from ivr.speech.extended import Said, can_be_extended, extended, lacking, with_words
from ivr.speech.graph import LEXICON, PROGRAMS, Lexicon, OpenFst
from ivr.speech.neighbours import warnings
from ivr.speech.pronounce import Phones, Pronouncer
from ivr.speech.words import Ways, is_phones, is_word, read_words

log = logging.getLogger(__name__)

ESPEAK = "usr/bin/espeak-ng"
PLUGINS = Path("/usr/lib")
"""Under it lie OpenFst's kinds of graph where Debian installs it: beside the library path."""
LOOKED_AT = 20
"""Words that are compared with all others at a start; each takes a twentieth of a second."""


@dataclass(frozen=True, slots=True)
class Additions:
    """What a model is given beside its own words."""

    said: Said = field(default_factory=dict)
    lexicon: Lexicon = field(default_factory=lambda: Lexicon({}))
    """All its words with them."""
    unheard: tuple[str, ...] = ()
    """Words it cannot be given."""
    why: Exception | None = None

    def warnings(self, words: Iterable[str] | None = None) -> Iterator[str]:
        """Which of these words (of all, but LOOKED_AT at most) are easily mistaken for others, and what to do."""
        every = {**self.lexicon.words, **self.said}
        chosen = list(islice(self.said, LOOKED_AT)) if words is None else words
        yield from warnings({word: every[word] for word in chosen if word in every}, every)


def words_file(settings: Settings) -> Path:
    return settings.home / "ears" / "words.txt"


def served(model: Path, words: Iterable[str], settings: Settings) -> Path:
    """The folder to open for this model: its own, or one with the words it lacks, made in seconds if need be.

    What cannot be added is logged, and not heard.
    """
    try:
        own = read_words(words_file(settings))
    except DialplanError as error:
        log.error("the admin's words are not heard: %s", error)
        own = {}
    try:
        folder, additions = with_words_of(model, words, settings, own)
    except DialplanError as error:
        log.error("nothing can be added to the model: %s", error)
        return model
    if additions.said:
        log.info("words are added to the model", extra={"words": sorted(additions.said)})
    if additions.why:
        log.error("words that are not heard: %s: %s", ", ".join(additions.unheard), additions.why)
    for warning in additions.warnings():
        log.warning("%s", warning)
    return folder


def with_words_of(
    model: Path, words: Iterable[str], settings: Settings, own: Mapping[str, Ways]
) -> tuple[Path, Additions]:
    """The folder to open, and what was added. Raises DialplanError for a broken lexicon."""
    additions = additions_to(model, words, settings, own)
    try:
        return extend(model, additions, settings), additions
    except (MissingPart, OSError) as error:
        return model, Additions(unheard=(*additions.said, *additions.unheard), why=error)


def additions_to(model: Path, words: Iterable[str], settings: Settings, own: Mapping[str, Ways]) -> Additions:
    """What the model needs to know these words, and the admin's own. Raises DialplanError for a broken lexicon."""
    if not can_be_extended(model):
        return Additions(unheard=tuple(own), why=_fixed(model) if own else None)
    lexicon = Lexicon.read(model / LEXICON)
    missing = {word: (word,) for word in lacking(lexicon, words) if is_word(word)}
    wanted = {**missing, **{word: ways for word, ways in own.items() if not _knows(lexicon, word, ways)}}
    said, why = _read_aloud(wanted, settings)
    unheard = tuple(word for word in wanted if word not in said)
    return Additions(said, with_words(lexicon, said), unheard, why)


def extend(model: Path, additions: Additions, settings: Settings) -> Path:
    """The folder to open. Raises MissingPart without OpenFst, OSError when there is no room."""
    if not additions.said:
        return model
    shelf = settings.home / "ears" / "served"
    return extended(model, additions.said, shelf.resolve(), openfst(native_of(settings)))


def native_of(settings: Settings) -> Native:
    return Native(settings.native or settings.home / "native" / "root")


def openfst(native: Native) -> OpenFst:
    """OpenFst's programs of the tree, else those on the path."""
    if not _has(native, f"usr/bin/{PROGRAMS[0]}"):
        plugins = ":".join(map(str, PLUGINS.glob("*/fst/*")))
        return OpenFst(environment={"LD_LIBRARY_PATH": plugins} if plugins else {})
    return OpenFst({one: native.command(f"usr/bin/{one}") for one in PROGRAMS}, native.environment())


def pronouncer(native: Native) -> Pronouncer:
    """espeak-ng of the tree, else the one on the path."""
    if not _has(native, ESPEAK):
        return Pronouncer((shutil.which("espeak-ng") or "espeak-ng",))
    return Pronouncer(native.command(ESPEAK), native.environment())


def _has(native: Native, program: str) -> bool:
    try:
        return native.loader.exists() and (native.root / program).exists()
    except MissingPart:
        return False


def _knows(lexicon: Lexicon, word: str, ways: Ways) -> bool:
    return ways == (word,) and (word in lexicon.words or word in lexicon.alike)


def _read_aloud(wanted: Mapping[str, Ways], settings: Settings) -> tuple[Said, Exception | None]:
    """How the words are said, as far as can be known, and why not all are."""
    reader = pronouncer(native_of(settings))
    why: Exception | None = None
    try:
        said = _say(reader, wanted)
    except MissingPart as error:
        why = error
        said = _say(reader, {word: ways for word, ways in wanted.items() if all(map(is_phones, ways))})
    if silent := [word for word, ways in said.items() if not ways]:
        unknown = [f"«{word}»: espeak-ng cannot tell; write its phones, [p h o n e s]" for word in silent]
        why = DialplanError("how words are said", unknown)
    return {word: ways for word, ways in said.items() if ways}, why


def _say(reader: Pronouncer, wanted: Mapping[str, Ways]) -> dict[str, tuple[Phones, ...]]:
    return replace(reader, respelled=wanted).say(wanted)


def _fixed(model: Path) -> MissingPart:
    return MissingPart(
        "more words",
        f"{model} is not a model of ours: it has no {LEXICON}, its words are fixed",
        "hear with the project's own model (dozvon check says which are here), or take words this one knows",
    )
