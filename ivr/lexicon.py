"""Which words the robot's model knows: its own, those that are listened for, and the admin's (`ears/words.txt`)."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.native import Native
from ivr.errors import DialplanError, DozvonError, MissingPart
from ivr.settings import Settings
from ivr.speech.extended import Said, can_be_extended, extended, lacking, with_words
from ivr.speech.graph import LEXICON, PROGRAMS, Lexicon, OpenFst
from ivr.speech.neighbours import warnings
from ivr.speech.pronounce import Pronouncer
from ivr.speech.words import Ways, is_word, read_words

log = logging.getLogger(__name__)

ESPEAK = "usr/bin/espeak-ng"
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
    why: DozvonError | None = None

    def warnings(self, most: int = LOOKED_AT) -> Iterator[str]:
        """Which of them are easily mistaken for other words, and what to do."""
        looked_at = dict(list(self.said.items())[:most])
        yield from warnings(looked_at, {**self.lexicon.words, **self.said})


def words_file(settings: Settings) -> Path:
    return settings.home / "ears" / "words.txt"


def served(model: Path, words: Iterable[str], settings: Settings) -> Path:
    """The folder to open for this model: its own, or one with the words it lacks, made in seconds if need be.

    What cannot be added is logged, and not heard.
    """
    words = tuple(words)
    try:
        additions = additions_to(model, words, settings, read_words(words_file(settings)))
    except DialplanError as error:
        log.error("the admin's words are not heard: %s", error)
        additions = additions_to(model, words, settings, {})
    if additions.why:
        _tell_unheard(additions.unheard, additions.why)
    try:
        folder = extend(model, additions, settings)
    except (MissingPart, OSError) as error:
        _tell_unheard(additions.said, error)
        return model
    if additions.said:
        log.info(
            "words were added to the model", extra={"model": str(folder), "words": sorted(additions.said)}
        )
        for warning in additions.warnings():
            log.warning("%s", warning)
    return folder


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
    """Raises MissingPart without OpenFst."""
    if not additions.said:
        return model
    shelf = settings.home / "ears" / "served"
    return extended(model, additions.said, shelf.resolve(), openfst(native_of(settings)))


def native_of(settings: Settings) -> Native:
    return Native(settings.native or settings.home / "native" / "root")


def openfst(native: Native) -> OpenFst:
    """OpenFst's programs of the tree, else those on the path."""
    if not _has(native, f"usr/bin/{PROGRAMS[0]}"):
        return OpenFst()
    return OpenFst({one: native.command(f"usr/bin/{one}") for one in PROGRAMS}, native.environment())


def pronouncer(native: Native, respelled: Mapping[str, Ways]) -> Pronouncer:
    """espeak-ng of the tree, else the one on the path."""
    if not _has(native, ESPEAK):
        return Pronouncer((shutil.which("espeak-ng") or "espeak-ng",), {}, respelled)
    return Pronouncer(native.command(ESPEAK), native.environment(), respelled)


def _has(native: Native, program: str) -> bool:
    try:
        return native.loader.exists() and (native.root / program).exists()
    except MissingPart:
        return False


def _knows(lexicon: Lexicon, word: str, ways: Ways) -> bool:
    return ways == (word,) and (word in lexicon.words or word in lexicon.alike)


def _read_aloud(wanted: Mapping[str, Ways], settings: Settings) -> tuple[Said, DozvonError | None]:
    """How the words are said, as far as can be known, and why not all are."""
    reader = pronouncer(native_of(settings), wanted)
    try:
        said, why = reader.say(wanted), None
    except MissingPart as error:
        in_phones = [word for word, ways in wanted.items() if all(way.startswith("[") for way in ways)]
        return reader.say(in_phones), error
    if silent := [word for word, ways in said.items() if not ways]:
        why = DialplanError(
            "how words are said",
            [f"espeak-ng says nothing for «{word}»: write its phones" for word in silent],
        )
    return {word: ways for word, ways in said.items() if ways}, why


def _fixed(model: Path) -> MissingPart:
    return MissingPart(
        "more words",
        f"{model} is not a model of ours: it has no {LEXICON}, its words are fixed",
        "hear with the project's own model (dozvon check says which are here), or take words this one knows",
    )


def _tell_unheard(words: Iterable[str], why: Exception) -> None:
    log.error("words that are not heard: %s: %s", ", ".join(sorted(words)), why)
