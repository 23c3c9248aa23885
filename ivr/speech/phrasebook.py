"""What a resident hears, by name: `welcome` → "Здравствуйте! Вы позвонили … {company}."

A phrasebook is one TOML file, `NAME = "text with {fields}"`, with a company's own words laid over it.
A name is also a file name (of the recorded prompt), hence its narrow alphabet.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from ivr.errors import DialplanError, did_you_mean

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Phrases by name. A value: a company's book is another one, `book.of_company(…)`."""

    source: str
    """The file the phrases came from, as messages name it."""
    phrases: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Phrasebook:
        """Read a catalogue; raises DialplanError with every phrase that cannot be said."""
        source = f"{path.parent.name}/{path.name}"
        try:
            content = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise DialplanError(source, [f"no such file: {path}"]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DialplanError(source, [str(error)]) from error
        problems = [f"{name}: {why}" for name, text in content.items() if (why := _fault(name, text))]
        if problems:
            raise DialplanError(source, problems)
        return cls(source, {name: _in_one_line(text) for name, text in content.items()})

    def of_company(self, company: str, own: Mapping[str, str], greeting: str | None = None) -> Phrasebook:
        """This book with a company's own words laid over it; its greeting replaces `welcome`.

        A replacement may use the fields of the phrase it replaces, and no others: nobody would fill them.
        """
        words = {**({"welcome": greeting} if greeting else {}), **own}
        problems = [f"{name}: {why}" for name, text in words.items() if (why := self._misfit(name, text))]
        if problems:
            raise DialplanError(f"phrases of {company}", problems)
        return Phrasebook(
            f"{self.source} with the phrases of {company}",
            {**self.phrases, **{name: _in_one_line(text) for name, text in words.items()}},
        )

    def text(self, name: str, **fields: object) -> str:
        """The phrase with its fields filled in; fields it does not use are ignored."""
        if problems := self.unknown([name]):
            raise DialplanError(self.source, problems)
        template = self.phrases[name]
        missing = [field for field in _fields(template) if field not in fields]
        if missing:
            raise DialplanError(
                self.source,
                [f"{name}: no value for {{{field}}}{did_you_mean(field, fields)}" for field in missing],
            )
        return _in_one_line(template.format(**fields))

    def unknown(self, names: Iterable[str]) -> list[str]:
        """A line for each name that is not in the book, with its near miss. For the dialplan's checker."""
        return [
            f"{name}: no such phrase{did_you_mean(name, self.phrases)}"
            for name in names
            if name not in self.phrases
        ]

    def ready(self, **known: object) -> dict[str, str]:
        """The phrases that need only the `known` fields, filled in: to be rendered ahead of calls."""
        return {
            name: self.text(name, **known)
            for name, template in self.phrases.items()
            if _fields(template) <= known.keys()
        }

    def _misfit(self, name: str, text: str) -> str | None:
        if name not in self.phrases:
            return f"no such phrase to replace{did_you_mean(name, self.phrases)}"
        if fault := _fault(name, text):
            return fault
        fillable = _fields(self.phrases[name])
        strange = sorted(_fields(text) - fillable)
        return (
            "; ".join(f"nobody fills {{{field}}} here{did_you_mean(field, fillable)}" for field in strange)
            or None
        )


def _fault(name: str, text: object) -> str | None:
    """Why this cannot be a phrase; None when it can."""
    if not NAME.fullmatch(name):
        return "a phrase's name is small Latin letters, digits and _, beginning with a letter"
    if not isinstance(text, str):
        return f"a phrase is text in quotes, not {type(text).__name__}"
    if not text.strip():
        return "says nothing"
    try:
        strange = [field for field in _fields(text) if not NAME.fullmatch(field)]
        plain = all(not spec and not conversion for _, _, spec, conversion in Formatter().parse(text))
    except ValueError as error:
        return f"{error}; to say a brace write it twice"
    if strange or not plain:
        return "a field is a plain {name}, nothing more"
    return None


def _fields(template: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def _in_one_line(text: str) -> str:
    """Line breaks of the file are not pauses of the voice."""
    return " ".join(text.split())
