"""The words of one language, read from its TOML file and checked as a whole.

`read(path)` returns `Vocabulary` or raises DialplanError with every problem, each saying where and what. The head
of `ru.toml` explains the notation.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ivr.dialplan.understanding.meaning import Intent
from ivr.errors import DialplanError, did_you_mean

Tokens = tuple[str, ...]

MOST_READINGS = 5000
"""More than this of one line is a slip of the pen."""


class Role(StrEnum):
    """What a phrase does in a sentence."""

    MARK = "mark"
    """A number from 1 to 5, or the name of one: «пять», «пятёрка»."""
    VERDICT = "verdict"
    """A judgement that stands for a mark: «отлично»."""
    WISH = "wish"
    NEGATION = "negation"
    CORRECTION = "correction"
    PADDING = "padding"
    VAGUE = "vague"
    ELSEWHERE = "elsewhere"
    STRAY = "stray"
    """In no vocabulary."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a phrase of the file means."""

    role: Role
    value: int = 0
    """1 to 5, of marks and verdicts."""
    intent: Intent | None = None
    """Of wishes."""
    alone: bool = False
    """Counts only where no rating, other wish or other speech is beside it; a yes or no, where nothing follows it."""
    otherwise: Phrase | None = None
    """What it is where it does not count; None: other speech."""


Phrases = Mapping[Tokens, Phrase]
"""By their words, `plain`."""


class Lexicon:
    """The phrases that count in the answer to one question."""

    def __init__(self, phrases: Phrases) -> None:
        self._phrases = phrases
        self._longest = max(map(len, phrases))

    def begins(self, tokens: Tokens) -> tuple[Phrase, int] | None:
        """The longest phrase these words begin with, and how many of them it takes."""
        for length in range(min(self._longest, len(tokens)), 0, -1):
            if phrase := self._phrases.get(tokens[:length]):
                return phrase, length
        return None

    def ends(self, tokens: Tokens) -> tuple[Phrase, int] | None:
        """The longest phrase these words end with, and how many of them it takes."""
        for length in range(min(self._longest, len(tokens)), 0, -1):
            if phrase := self._phrases.get(tokens[len(tokens) - length :]):
                return phrase, length
        return None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One language."""

    name: str
    always: Phrases
    asked: Phrases
    """More that says yes or no where that is the question; outranks `always`."""
    neighbours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a word is easily mistaken for."""
    slurred: Mapping[str, str] = field(default_factory=dict)
    """What a mark sounds like when it is said indistinctly, `plain`, and that mark."""
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each line of the file as many of its readings as it takes to say every word of it once."""
    around: tuple[str, ...] = ()
    """What is expected before and after a mark."""


def plain(word: str) -> str:
    """A word as it is compared: Ё is Е, capitals are small."""
    return word.lower().replace("ё", "е")


_ROLES = {
    "padding": Role.PADDING,
    "around": Role.PADDING,
    "corrections": Role.CORRECTION,
    "negations": Role.NEGATION,
    "vague": Role.VAGUE,
    "elsewhere": Role.ELSEWHERE,
}
_MAY_BE_MISSING = frozenset({"around"})
_TABLES = ("neighbours", "slurred", "groups", "marks", "verdicts", "wishes", "asked", *_ROLES)
_WORD = re.compile(r"[а-яё]+(-[а-яё]+)*|[a-z]+(['-][a-z]+)*")
_GROUP = re.compile(r"\{([^{}]*)\}")


def read(path: Path) -> Vocabulary:
    """Raises DialplanError naming every problem."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DialplanError("the words of understanding are refused", [f"{path.name}: {error}"]) from error
    reader = _Reader(path.name, data)
    vocabulary = reader.vocabulary()
    if reader.problems:
        raise DialplanError("the words of understanding are refused", reader.problems)
    return vocabulary


class _Reader:
    """Goes through the tables; what is wrong is noted with its place and left out."""

    def __init__(self, file: str, data: dict[str, Any]) -> None:
        self.file, self.data = file, data
        self.problems: list[str] = []
        self.groups: dict[str, str] = {}
        self.lines: dict[str, tuple[str, ...]] = {}
        self.around: tuple[str, ...] = ()

    def wrong(self, where: str, what: str) -> None:
        self.problems.append(f"{self.file}: {where}{what}")

    def vocabulary(self) -> Vocabulary:
        self.only(self.data, _TABLES, "")
        self.groups = self.read_groups()
        name = self.file.partition(".")[0]
        always, asked = self.always(), self.asked()
        neighbours = {plain(word): others for word, others in self.known_words("neighbours")}
        return Vocabulary(name, always, asked, neighbours, self.read_slurred(always), self.lines, self.around)

    def read_slurred(self, always: Phrases) -> dict[str, str]:
        marks: dict[str, str] = {}
        for mark, ones in self.known_words("slurred"):
            if not _is_one(always.get((plain(mark),)), Role.MARK):
                self.wrong(f"slurred.{mark}", ": a mark of one word is wanted here")
            for one in ones:
                if _is_one(always.get((plain(one),)), Role.MARK, Role.VERDICT, Role.WISH):
                    self.wrong(f"slurred.{mark}", f": {one} is an answer itself")
                if (other := marks.setdefault(plain(one), mark)) != mark:
                    self.wrong(f"slurred.{mark}", f": {one} is in slurred.{other} too: what does it mean?")
        return marks

    def read_groups(self) -> dict[str, str]:
        groups = {}
        for name, words in self.table("groups").items():
            if not _are_phrases(words):
                self.wrong(f"groups.{name}", f" = {words!r}: a list of words is wanted")
                continue
            groups[name] = "|".join(words)
            for word in groups[name].split("|"):
                if not _WORD.fullmatch(word):
                    self.wrong(f"groups.{name}", f": {_no_word(word)}")
        return groups

    def known_words(self, table: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """A word and others of each line of it. Only what is listened for: nobody would ever hear another."""
        known = {word for line in self.lines.values() for phrase in line for word in phrase.split()}
        for word, others in self.table(table).items():
            if not _are_phrases(others):
                self.wrong(f"{table}.{word}", f" = {others!r}: a list of words is wanted")
                continue
            for one in (word, *others):
                if one not in known:
                    self.wrong(f"{table}.{word}", f": {one} is in no line{did_you_mean(one, known)}")
            yield word, tuple(others)

    def always(self) -> Phrases:
        lexicon: dict[Tokens, Phrase] = {}
        places: dict[Tokens, str] = {}
        for table, role in (("marks", Role.MARK), ("verdicts", Role.VERDICT)):
            for key, lines in self.table(table, "12345").items():
                meaning = Phrase(role, value=int(key))
                self.add(lexicon, places, f"{table}.{key}", lines, meaning)
        for key, lines in self.table("wishes", tuple(Intent)).items():
            self.add(lexicon, places, f"wishes.{key}", lines, Phrase(Role.WISH, intent=Intent(key)))
        for key, role in _ROLES.items():
            if key in self.data or key not in _MAY_BE_MISSING:
                self.add(lexicon, places, key, self.data.get(key), Phrase(role))
        return lexicon

    def asked(self) -> Phrases:
        lexicon: dict[Tokens, Phrase] = {}
        places: dict[Tokens, str] = {}
        for key, lines in self.table("asked", ("yes", "no")).items():
            self.add(lexicon, places, f"asked.{key}", lines, Phrase(Role.WISH, intent=Intent(key)))
        return lexicon

    def table(self, name: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """A table of the file; with `keys` each must be there, and no other."""
        table = self.data.get(name, {})
        if not isinstance(table, dict):
            self.wrong(name, f": a [{name}] table is wanted here")
            return {}
        if keys is None:
            return table
        keys = tuple(keys)
        self.only(table, keys, f"{name}.")
        for key in keys:
            if key not in table:
                self.wrong(f"{name}.{key}", " is missing")
        return {key: value for key, value in table.items() if key in keys}

    def only(self, table: dict[str, Any], keys: Iterable[str], where: str) -> None:
        for key in table:
            if key not in keys:
                near = did_you_mean(key, keys) or f" (there are: {', '.join(keys)})"
                self.wrong(f"{where}{key}", f": no such key{near}")

    def add(
        self,
        lexicon: dict[Tokens, Phrase],
        places: dict[Tokens, str],
        where: str,
        lines: Any,
        meaning: Phrase,
    ) -> None:
        """Every reading of every line, refused when it already means something else."""
        if not _are_phrases(lines):
            self.wrong(
                where, f" = {lines!r}: a list of phrases is wanted" if lines else " is missing or empty"
            )
            return
        for line in lines:
            alone = line.endswith(".")
            phrase = Phrase(meaning.role, meaning.value, meaning.intent, alone)
            try:
                slots = self.slots(line.removesuffix("."))
            except ValueError as error:
                self.wrong(where, f": {line!r}: {error}")
                continue
            self.lines[line] = tuple(_cover(slots))
            if where == "around":
                self.around += tuple(" ".join(words) for words in _readings(slots))
            for words in _readings(slots):
                tokens = tuple(map(plain, words))
                if lexicon.setdefault(tokens, phrase) != phrase:
                    self.wrong(where, f": {' '.join(words)!r} is in {places[tokens]} too: what does it mean?")
                places.setdefault(tokens, where)

    def slots(self, line: str) -> list[Tokens]:
        """For each place in a line the words that may stand there, "" for none. Raises ValueError."""
        slots = [self.slot(text) for text in _GROUP.sub(self.group, line).split()]
        count = 1
        for slot in slots:
            count *= len(slot)
        if count > MOST_READINGS:
            raise ValueError(f"{count} readings, at most {MOST_READINGS}")
        if all("" in slot for slot in slots):
            raise ValueError("nothing is left when every word of it may be left out")
        return slots

    def group(self, match: re.Match[str]) -> str:
        if match[1] not in self.groups:
            raise ValueError(f"no such group {match[1]!r}{did_you_mean(match[1], self.groups)}")
        return self.groups[match[1]]

    def slot(self, text: str) -> Tokens:
        """ "а|б?" as the words that may stand there."""
        words = tuple(text.removesuffix("?").split("|"))
        for word in words:
            if not _WORD.fullmatch(word):
                raise ValueError(_no_word(word))
        return (*words, "") if text.endswith("?") else words


def _is_one(phrase: Phrase | None, *roles: Role) -> bool:
    return phrase is not None and phrase.role in roles


def _are_phrases(lines: Any) -> bool:
    return isinstance(lines, list) and bool(lines) and all(isinstance(line, str) for line in lines)


def _no_word(text: str) -> str:
    return f"{text!r} is not a word in small letters of one alphabet"


def _readings(slots: list[Tokens]) -> Iterator[Tokens]:
    """Everything a line may be said as."""
    return (tuple(filter(None, words)) for words in itertools.product(*slots))


def _cover(slots: list[Tokens]) -> Iterator[str]:
    """As few readings as say every word once: the ears learn words and neighbours, not whole sentences."""
    needed = [slot for slot in slots if "" not in slot] or slots
    most = max(map(len, needed))
    for turn in range(most):
        yield _reading(slots, turn)
    for place, slot in enumerate(slots):
        if "" in slot:
            for turn, word in enumerate(slot[:-1]):
                yield _reading([*slots[:place], (word,), *slots[place + 1 :]], turn)


def _reading(slots: list[Tokens], turn: int) -> str:
    """One of them: what may be left out is, and the turn decides among several."""
    return " ".join("" if "" in slot else slot[turn % len(slot)] for slot in slots if "" not in slot)
