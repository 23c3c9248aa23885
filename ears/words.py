"""What the model is to know: words with their pronunciations, and words that stand for all other speech."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.native import Native
from ivr.dialplan.understanding.meaning import Intent
from ivr.dialplan.understanding.pack import Pack
from ivr.dialplan.understanding.vocabulary import Phrase, Role, plain
from ivr.errors import DialplanError, did_you_mean
from ivr.speech.graph import Lexicon, OtherSpeech
from ivr.speech.pronounce import Phones, Pronouncer, read_respelled

HERE = Path(__file__).parent
RESPELLED = HERE / "respelled.txt"
LANGUAGE = "ru"
BESIDE_MARKS = "beside marks"
"""What rates, or is said beside it, or sounds like it: all that is no wish."""
LETTERS = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюя-")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    known: tuple[str, ...]
    """Every word the model can hear, sorted."""
    vital: tuple[str, ...]
    """Of these, the ones whose mistake is a wrong rating or a wrong «да»: learned from more speech."""
    other: tuple[str, ...]
    """Words for `[unk]`: what people say beside them."""
    phrases: Mapping[str, tuple[str, ...]]
    """What the robot listens for, several words each: by the wish it is, or BESIDE_MARKS."""


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabulary, and how its words are said."""

    vocabulary: Vocabulary
    pronouncer: Pronouncer

    @classmethod
    def of(cls, vocabulary: Vocabulary, native: Native) -> Words:
        command = native.command("usr/bin/espeak-ng")
        return cls(vocabulary, Pronouncer(command, native.environment(), read_respelled(RESPELLED)))

    def say(self, words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
        """Raises DialplanError naming every word that cannot be said."""
        said = self.pronouncer.say(words)
        if silent := [
            f"{RESPELLED.name}: «{word}» cannot be said so" for word, ways in said.items() if not ways
        ]:
            raise DialplanError("how words are said", silent)
        return said

    def as_written(self, words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
        """As espeak-ng's own voices say them, wherever people put the stress."""
        said = self.say(words)
        # a letter that is a word is spelled where it stands alone, and nowhere else
        return said | replace(self.pronouncer, respelled={}).say(word for word in said if len(word) > 1)

    def lexicon(self) -> Lexicon:
        return Lexicon.of(self.say(self.vocabulary.known), self.vocabulary.vital)

    def other_speech(self) -> OtherSpeech:
        every = self.say([*self.vocabulary.known, *self.vocabulary.other])
        return OtherSpeech.of(
            (ways[0] for ways in every.values()), (every[word][0] for word in self.vocabulary.other)
        )


def vocabulary(folder: Path = HERE, pack: Pack | None = None) -> Vocabulary:
    """The words of what is listened for, and those of `vocabulary.toml`. Raises DialplanError."""
    pack = pack or Pack.read(LANGUAGE)
    spelled = {plain(word): word for word in pack.words()}
    meant = {
        " ".join(spelled[token] for token in tokens if token in spelled): phrase
        for tokens, phrase in {**pack.vocabulary.always, **pack.vocabulary.asked}.items()
    }
    known = set(pack.words()) | {
        word for words in _lists(folder / "vocabulary.toml").values() for word in words
    }
    return Vocabulary(
        known=tuple(sorted(known)),
        vital=tuple(
            sorted(
                {word for text, phrase in meant.items() if _is_vital(text, phrase) for word in text.split()}
            )
        ),
        other=tuple(dict.fromkeys(word for word in lines(folder / "other.txt") if word not in known)),
        phrases={kind: tuple(sorted(texts)) for kind, texts in sorted(_by_kind(meant).items())},
    )


def _by_kind(meant: Mapping[str, Phrase]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for text, phrase in meant.items():
        if " " in text:
            kinds.setdefault(phrase.intent or BESIDE_MARKS, []).append(text)
    return kinds


def _is_vital(text: str, phrase: Phrase) -> bool:
    """Longer ones are known by more than one word."""
    answers = phrase.role in {Role.MARK, Role.VERDICT} or phrase.intent in {Intent.YES, Intent.NO}
    return answers and len(text.split()) <= 2


def held_out(folder: Path = HERE.parent / "bench" / "speech") -> frozenset[str]:
    """What the benchmark says in several words, whole and between commas: nobody says it in what the model learns
    from."""
    said: set[str] = set()
    for file in ("phrases.toml", "unseen.toml"):
        for group in tomllib.loads((folder / file).read_text("utf-8"))["group"]:
            for text in group["say"]:
                said |= {re.sub(r"[^а-яё -]+", "", part.lower()).strip() for part in (text, *text.split(","))}
    return frozenset(text for text in said if " " in text)


def lines(file: Path) -> list[str]:
    """The lines of a text; `#` begins a comment."""
    read = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in read if line]


def _lists(file: Path) -> dict[str, list[str]]:
    with file.open("rb") as content:
        try:
            table = tomllib.load(content)
        except tomllib.TOMLDecodeError as error:
            raise DialplanError("the words of the model", [f"{file.name}: {error}"]) from error
    wrong = [
        f"{file.name}: {name!r}: no such table{did_you_mean(name, ['words'])}"
        for name in table
        if name != "words"
    ]
    words = table.get("words", {})
    if not isinstance(words, dict):
        raise DialplanError("the words of the model", [f"{file.name}: words: {words!r} is no table"])
    wrong += [
        f"{file.name}: words.{name}: {word!r} is not one word in small Russian letters"
        for name, listed in words.items()
        for word in _listed(listed)
        if not _is_word(word)
    ]
    if wrong:
        raise DialplanError("the words of the model", wrong)
    return {name: [str(word) for word in _listed(listed)] for name, listed in words.items()}


def _listed(listed: object) -> Iterable[object]:
    return listed if isinstance(listed, list) else [listed]


def _is_word(word: object) -> bool:
    return isinstance(word, str) and bool(word) and LETTERS.issuperset(word)
