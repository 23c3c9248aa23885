"""An admin's words: a text file that says which words a model is to know beside its own, and how they are said.

    домофон                         as it is written
    вайфай: вай фа́й, вафля          in these ways; an acute accent follows the stressed vowel
    в: [v], [f]                     in phones, those of `ivr.speech.pronounce`

`#` begins a comment. `ears/respelled.txt` is written in the same way.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from ivr.errors import DialplanError
from ivr.speech.pronounce import ACCENT, PHONES

Ways = tuple[str, ...]
"""How a word is said, as it is spelled for whoever reads it aloud."""

WHAT = "the added words"
WORD = re.compile(r"[а-яё]+(?:-[а-яё]+)*")
SAID = re.compile(r"[а-яё\u0301-]+(?: [а-яё\u0301-]+)*")
DUMB = frozenset("ъь-")
HEADER = """\
# Words that the model is to know beside its own, a line each: `домофон`, or `вайфай: вай фа́й, вифи́` where it is said
# otherwise than it is written. See docs/ears.md. Heard from the next start of the hotline on.
"""


def is_word(word: str) -> bool:
    """One Russian word in small letters."""
    return WORD.fullmatch(word) is not None and not DUMB.issuperset(word)


def is_phones(way: str) -> bool:
    return way.startswith("[") and way.endswith("]")


def read_words(file: Path) -> dict[str, Ways]:
    """{} where there is no file. Raises DialplanError naming every wrong line."""
    words: dict[str, Ways] = {}
    wrong = []
    for number, line in enumerate(_lines(file), 1):
        if not (text := _without_comment(line)):
            continue
        try:
            word, ways = word_of(text)
        except ValueError as error:
            wrong.append(f"{file.name}:{number}: {error}")
            continue
        if word in words:
            wrong.append(
                f"{file.name}:{number}: {word!r} is there already: put all it is said like into one line"
            )
        words[word] = ways
    if wrong:
        raise DialplanError(WHAT, wrong)
    return words


def word_of(text: str) -> tuple[str, Ways]:
    """A word and how it is said, of `вайфай: вай фа́й, вифи́`. Raises ValueError that says what is wrong."""
    name, colon, said = unicodedata.normalize("NFC", text).partition(":")
    spelled = name.strip().lower()
    word = spelled.replace(ACCENT, "")
    ways = tuple(dict.fromkeys(_way(way) for way in said.split(",")))
    if not is_word(word):
        raise ValueError(f"{name.strip()!r} is not one word in Russian letters")
    if not colon:
        return word, (spelled,)
    for way in ways:
        if fault := _fault(way):
            raise ValueError(f"{word!r} cannot be said {way!r}: {fault}")
    return word, ways


def put_words(file: Path, added: Mapping[str, Ways]) -> None:
    """Add lines, or change those that are there; comments stay. The file is there whole, before and after."""
    left = dict(added)
    lines = [_line(word, left.pop(word)) if (word := _word(line)) in left else line for line in _lines(file)]
    _write(file, [*(lines or HEADER.splitlines()), *(_line(*each) for each in left.items())])


def drop_words(file: Path, words: Iterable[str]) -> None:
    gone = set(words)
    _write(file, [line for line in _lines(file) if _word(line) not in gone])


def _way(text: str) -> str:
    way = " ".join(text.split())
    return way if is_phones(way) else way.lower()  # of phones capitals are stressed


def _fault(way: str) -> str:
    """What is wrong with a way to say a word; "" when nothing is."""
    if is_phones(way):
        phones = way[1:-1].split()
        strange = [phone for phone in phones if phone not in PHONES]
        if strange or not phones:
            return f"{' '.join(strange) or 'nothing'} is no phone; there are {' '.join(PHONES)}"
        return ""
    if SAID.fullmatch(way) is None or DUMB.issuperset(way.replace(" ", "")):
        return "Russian letters are wanted, or [p h o n e s]"
    return ""


def _word(line: str) -> str:
    """The word a line is about, "" for a comment."""
    name = _without_comment(line).partition(":")[0]
    return unicodedata.normalize("NFC", name).strip().lower().replace(ACCENT, "")


def _without_comment(line: str) -> str:
    return line.partition("#")[0].strip()


def _line(word: str, ways: Ways) -> str:
    if len(ways) == 1 and ways[0].replace(ACCENT, "") == word:
        return ways[0]
    return f"{word}: {', '.join(ways)}"


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8-sig").splitlines() if file.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise DialplanError(WHAT, [f"{file}: {error}"]) from error


def _write(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}-", delete=False
    ) as fresh:
        fresh.writelines(f"{line}\n" for line in lines)
    Path(fresh.name).chmod(0o644)
    os.replace(fresh.name, file)  # noqa: PTH105 - as short as it gets
