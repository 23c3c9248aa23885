"""How a Russian word is said: its phones, by espeak-ng.

espeak-ng writes phones in ASCII after Kirshenbaum, with a stress mark before the stressed vowel. What differs only
for its own synthesis is made one phone here, so that a network can learn each from little speech: 12 vowels
(capitals: stressed), 37 consonants, `;` for a soft one.

A word whose spelling misleads espeak-ng, or that people say in several ways, is respelled: `сейчас: сейчас, щас`;
an acute accent follows the stressed vowel; where letters cannot say it, phones can: `в: [v], [f]`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ivr.errors import DialplanError, MissingPart

Phones = tuple[str, ...]

VOWELS = {
    "A": ("A", "V!"),
    "O": ("o!", "8", "8!", "o"),
    "E": ("e!", "E!", "e"),
    "I": ("i!", "I!"),
    "Y": ("y!",),
    "U": ("u!", 'u"!', "u#!"),
    "a": ("a",),
    "@": ("V", "a#", "@"),
    "e": ("E#", "E", "E#!"),
    "i": ("i", "I", "I^"),
    "y": ("y",),
    "u": ("u", 'u"', "u#"),
}
"""Each vowel and what espeak-ng writes for it; `!` stands for the stress mark."""
SOFT_OR_HARD = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "x", "z")
CONSONANTS = (*SOFT_OR_HARD, *(f"{one};" for one in SOFT_OR_HARD), "j", "S", "S;", "tS;", "ts", "Z", "w")
PHONES: Phones = (*VOWELS, *(one for one in CONSONANTS if one != "w"))
"""All there are; silence is none of them."""
ACCENT = "\u0301"
"""Follows the stressed vowel. espeak-ng 1.52 pays no heed to it in Russian, so the stress is put in afterwards."""
STRONG = dict(zip("аоуыэиеёюя", "AOUYEIEOUA", strict=True))
WEAK = dict(zip("аоуыэиеёюя", "@@uyeiiiua", strict=True))
"""As espeak-ng mostly says them."""
HARDENED = {"I": "Y", "i": "y"}
ALWAYS_HARD = frozenset({"S", "Z", "ts"})
PATIENCE = 60.0
"""Seconds for one request; a thousand words take less than one."""

_VOWEL = {written: vowel for vowel, all_of_it in VOWELS.items() for written in all_of_it}
_SINGLE = {"R": "r", "Z;": "Z", "ts;": "ts", "j;": "j", "tS": "tS;", "w": "v", "h": "x", "Q": "g"}
_STRESS = "',%="


@dataclass(frozen=True, slots=True)
class Pronouncer:
    """espeak-ng as a reader of words. Whoever unpacked it knows the command and what it must find around it."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    respelled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words that are said otherwise than they are written, or in several ways."""

    def say(self, words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
        """Every way each word is said, the usual one first; () where one of them cannot be known.

        Raises MissingPart without espeak-ng.
        """
        asked = {word: self.respelled.get(word, (word,)) for word in words}
        every = dict.fromkeys(one for ways in asked.values() for one in ways)
        spelled = list(dict.fromkeys(one.replace(ACCENT, "") for one in every if not one.startswith("[")))
        read = dict(zip(spelled, self._read(spelled), strict=True))
        said = {
            one: tuple(one[1:-1].split())
            if one.startswith("[")
            else stressed(one, read[one.replace(ACCENT, "")])
            for one in every
        }
        return {
            word: tuple(dict.fromkeys(said[one] for one in ways)) if all(said[one] for one in ways) else ()
            for word, ways in asked.items()
        }

    def _read(self, spellings: Sequence[str]) -> list[Phones]:
        if not spellings:
            return []
        # a sentence a word: then each is a line of the answer
        text = "".join(f"{one}.\n" for one in spellings)
        command = [*self.command, "-v", "ru", "-q", "-x", "--sep=_", "--stdin"]
        try:
            done = subprocess.run(
                command,
                input=text,
                env=dict(self.environment) or None,
                capture_output=True,
                encoding="utf-8",
                timeout=PATIENCE,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _cannot_read(str(error)) from error
        lines = done.stdout.removesuffix("\n").split("\n")
        if len(lines) != len(spellings):
            raise _cannot_read(f"{len(lines)} answers for {len(spellings)} words")
        return [phones(line) for line in lines]


def phones(written: str) -> Phones:
    """The phones in what espeak-ng writes, as in `p_;_'A_t_;`.

    >>> phones("p_;_'A_t_;")
    ('p;', 'A', 't;')
    """
    single = (one for piece in _written(written) for one in _phone(piece))
    lasting = [one for one, _ in groupby(single)]  # «алло» has one l that lasts, «двадцать» one ts
    return tuple(
        one
        for one, following in zip(lasting, [*lasting[1:], ""], strict=False)
        if not (one in {"t", "t;"} and following in {"ts", "tS;"})
    )


def _written(written: str) -> Iterator[str]:
    """Each phone in one piece: the softness that follows a consonant is part of it."""
    pieces = [piece for piece in re.split(r"[_\s]+", written) if piece not in {"", "@-"}]
    for at, piece in enumerate(pieces):
        following = pieces[at + 1] if at + 1 < len(pieces) else ""
        if piece == ";" or (piece == "I^" and at and pieces[at - 1] == "R"):
            continue  # «дверь» ends in «R I^»: a soft r
        soft = following == ";" or (piece == "R" and following == "I^")
        yield ("r" if piece == "R" else piece) + (";" if soft else "")


def _phone(piece: str) -> Iterator[str]:
    stressed = piece[0] in _STRESS and piece[0] != "%"
    bare = piece.lstrip(_STRESS).rstrip(":")
    if not bare or bare.startswith("("):
        return
    if len(bare) > 1 and bare[0] == "j" and bare != "j;":
        yield "j"
        bare = bare[1:]
    for written in (f"{bare}!" if stressed else bare, bare):
        if written in _VOWEL:
            vowel = _VOWEL[written]
            yield vowel.upper() if stressed and vowel.upper() in VOWELS else vowel
            return
    consonant = _SINGLE.get(bare, bare)
    if consonant not in PHONES:
        consonant = consonant.rstrip(";")
    if consonant in PHONES:
        yield consonant


def stressed(spelling: str, phones: Phones) -> Phones:
    """The phones with the stress where the spelling has it; () when vowels and letters do not match.

    >>> stressed("за́мок", ("z", "a", "m", "O", "k"))
    ('z', 'A', 'm', '@', 'k')
    """
    if ACCENT not in spelling:
        return phones
    letters = [
        (letter, bool(accent), ACCENT in part)
        for part in re.split(r"[ -]", spelling)
        for letter, accent in re.findall(f"([{''.join(STRONG)}])({ACCENT}?)", part)
    ]
    places = [at for at, phone in enumerate(phones) if phone in VOWELS]
    if len(letters) != len(places):
        return ()
    said = list(phones)
    for at, (letter, accented, is_told) in zip(places, letters, strict=True):
        if is_told and accented != said[at].isupper():
            said[at] = _vowel(letter, accented, said[at - 1] if at else "")
    return tuple(said)


def _vowel(letter: str, accented: bool, before: str) -> str:
    vowel = (STRONG if accented else WEAK)[letter]
    return HARDENED.get(vowel, vowel) if before in ALWAYS_HARD else vowel


def read_respelled(file: Path) -> dict[str, tuple[str, ...]]:
    """`word: said, or said so` a line, `#` begins a comment. Raises DialplanError naming every wrong line."""
    respelled: dict[str, tuple[str, ...]] = {}
    wrong = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        word, colon, said = text.partition(":")
        ways = tuple(one.strip() for one in said.split(",") if one.strip())
        if (
            not colon
            or not re.fullmatch(r"[а-яё-]+", word.strip())
            or not ways
            or not all(map(_is_way, ways))
        ):
            wrong.append(f"{file.name}:{number}: {text!r} is not «word: said, or said so, or [p h o n e s]»")
        respelled[word.strip()] = ways
    if wrong:
        raise DialplanError("how words are said", wrong)
    return respelled


def _is_way(said: str) -> bool:
    if said.startswith("[") and said.endswith("]"):
        return bool(said[1:-1].split()) and all(phone in PHONES for phone in said[1:-1].split())
    return re.fullmatch(r"[а-яё\u0301-]+", said) is not None


def _cannot_read(why: str) -> MissingPart:
    return MissingPart(
        "espeak-ng, which says how a word is pronounced",
        why,
        "install espeak-ng, or write the word's phones into the home's ears/words.txt: word: [p h o n e s]",
    )
