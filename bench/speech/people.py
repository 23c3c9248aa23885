"""Recordings of people: the digits of Asterisk's Russian prompts, and whatever is given with `--clips`."""

from __future__ import annotations

import re
from pathlib import Path

from bench.speech.clips import NONE, Phrase
from ivr.dialplan.understanding import Pack, Rating, Wish
from ivr.errors import DozvonError
from ivr.heard import Heard, Word

TEXT = "text.tsv"
OTHERS = "others, a person"
"""The group of what is no rating."""


def digits(folder: Path) -> list[Phrase]:
    """Asterisk's Russian prompts: 1 to 5 are ratings, all other numbers, days and months none."""
    ratings = {"1": "один", "2": "два", "2n": "две", "3": "три", "4": "четыре", "5": "пять"}
    others = [
        *(str(number) for number in (0, *range(6, 21), *range(30, 100, 10))),
        *(f"h-{number}" for number in (*range(1, 21), 30, 40, 50, 60, 70, 80, 90, "hundred", "thousand")),
        *(f"day-{number}" for number in range(7)),
        *(f"mon-{number}" for number in range(12)),
        "hundred", "thousand", "minus", "oclock", "today", "tomorrow", "yesterday", "a-m", "p-m",
    ]  # fmt: skip
    phrases = [
        Phrase(text, f"{name[0]}, a person", name[0], recording=f"digits/{name}.wav")
        for name, text in ratings.items()
    ]
    phrases += [
        Phrase(
            f"digits/{name}",
            "other numbers, a person",
            NONE,
            also=("later",) if name == "tomorrow" else (),  # who says «завтра» wants to be called then
            recording=f"digits/{name}.wav",
            few=True,
        )
        for name in others
    ]
    return [phrase for phrase in phrases if (folder / phrase.recording).exists()]


def given(folder: Path, pack: Pack) -> list[Phrase]:
    """Anybody's own recordings, by `text.tsv`: a line each, the file's name, a tab, what is said in it, in words.

    What the pack makes a rating of is that rating; everything else is no answer, though a wish may be heard in it.
    """
    return [_phrase(folder, file, text, pack) for file, text in _lines(folder)]


def words_of(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[а-яё]+", text.lower()))


def _phrase(folder: Path, file: str, text: str, pack: Pack) -> Phrase:
    said = Heard(tuple(Word(word, 1.0) for word in words_of(text)))
    recording = str((folder / file).resolve())
    match pack.understand(said, "rating"):
        case Rating(value=value, confidence=confidence) if confidence >= pack.sure:
            return Phrase(text, f"{value}, a person", str(value), recording=recording)
        case Wish(intent=intent):
            return Phrase(text, OTHERS, NONE, also=(intent,), recording=recording)
        case _:
            return Phrase(text, OTHERS, NONE, recording=recording)


def _lines(folder: Path) -> list[tuple[str, str]]:
    try:
        lines = (folder / TEXT).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadClips(f"{folder / TEXT}: {error}") from error
    told: list[tuple[str, str]] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        file, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not words_of(text):
            faults.append(f"line {number}: a file's name, a tab and Russian words are wanted")
        elif not (folder / file).is_file():
            faults.append(f"line {number}: no file {file}")
        else:
            told.append((file, text.strip()))
    if faults or not told:
        raise BadClips(f"{folder / TEXT}: " + ("; ".join(faults[:5]) or "it names no recording"))
    return told


class BadClips(DozvonError):
    """The recordings given cannot be told from their text."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the recordings: {why}\n"
            f"  what to do: a folder of WAV files with a {TEXT}: a line each, the file's name, a tab, what is said"
        )
