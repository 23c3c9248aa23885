"""A model of ours with more words than it was made with. Nothing is learned anew, and its own folder stays as it is.

    SHELF/KEY/NAME      the model again, with the lexicon and the graph of all the words

The key tells what it was made from: the model's files, how the words are said, how graphs are made. Several starts
may want the same at once: each makes it aside, the first to be ready puts it in its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ivr.speech import graph
from ivr.speech.graph import LEXICON, Lexicon, OpenFst, build
from ivr.speech.models import is_model
from ivr.speech.pronounce import Phones

Said = Mapping[str, tuple[Phones, ...]]
"""Words and every way each is said, the usual one first."""

LINGERS = 3600.0
"""Seconds that what nobody asks for any more is kept: another start may be about to load it."""


def can_be_extended(model: Path) -> bool:
    """Does it hold its words as text? The official ones do not."""
    return (model / LEXICON).exists()


def lacking(lexicon: Lexicon, words: Iterable[str]) -> tuple[str, ...]:
    """Those of the words that it does not know, be they spelled with «ё» or «е»."""
    known = {_plain(word) for word in (*lexicon.words, *lexicon.alike)}
    return tuple(sorted({word for word in words if _plain(word) not in known}))


def with_words(lexicon: Lexicon, said: Said) -> Lexicon:
    """Said otherwise if it is there. What sounds like a word of the lexicon is heard as that one."""
    own = {word: ways for word, ways in lexicon.words.items() if word not in said}
    fresh = Lexicon.of({**own, **said}, list(own))
    alike = {word: fresh.alike.get(other, other) for word, other in lexicon.alike.items() if word not in said}
    return Lexicon(fresh.words, {**alike, **fresh.alike})


def extended(model: Path, said: Said, shelf: Path, openfst: OpenFst) -> Path:
    """The folder of the model with these words, made if it is not there; takes seconds then.

    Raises MissingPart without OpenFst, OSError when there is no room.
    """
    model = model.resolve()
    place = shelf / _key(model, said)
    if is_model(place / model.name):
        os.utime(place)
        return place / model.name
    shelf.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shelf, prefix=".new-") as aside:
        _make(model, said, Path(aside) / "whole" / model.name, openfst)
        _put(Path(aside) / "whole", place, model.name)
    _sweep(shelf, place)
    return place / model.name


def _make(model: Path, said: Said, into: Path, openfst: OpenFst) -> None:
    for file in _files(model):
        copy = into / file.relative_to(model)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)  # without its mode: the project's folder may be read-only
    with_words(Lexicon.read(model / LEXICON), said).write(into / LEXICON)
    build(into, openfst=openfst)


def _put(whole: Path, place: Path, name: str) -> None:
    try:
        whole.rename(place)
    except OSError:
        if is_model(place / name):
            return  # another start was faster
        shutil.rmtree(place, ignore_errors=True)
        whole.rename(place)


def _sweep(shelf: Path, kept: Path) -> None:
    """What was left there long ago, finished or not."""
    for other in shelf.iterdir():
        if other != kept and _age(other) > LINGERS:
            shutil.rmtree(other, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0  # another start has swept it


def _key(model: Path, said: Said) -> str:
    made_from = hashlib.sha256(Path(graph.__file__).read_bytes())
    for file in _files(model):
        made_from.update(f"\n{file.relative_to(model)} {file.stat().st_size}\n".encode())
        made_from.update(file.read_bytes())
    made_from.update(repr(sorted(said.items())).encode())
    return made_from.hexdigest()[:24]


def _files(model: Path) -> list[Path]:
    """All but the graph, which is made."""
    return [
        file
        for file in sorted(model.rglob("*"))
        if file.is_file() and file.relative_to(model).parts[0] != "graph"
    ]


def _plain(word: str) -> str:
    return word.replace("ё", "е")
