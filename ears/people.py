"""What people said: recordings whose words are known, read from the packages they come in."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from ears import belarusian
from ears.ogg import read_ogg
from ears.speech import Source, Spoken, as_learned
from ivr.errors import MissingPart
from ivr.speech.pronounce import ACCENT
from ivr.speech.sound import read_wav

TRANSCRIPTS = "usr/share/doc/asterisk-core-sounds-ru/core-sounds-ru.txt.gz"
SENTENCES = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
STAMPS = "usr/share/tuxpaint/stamps"
CODES = {"russian": "ru", "belarusian": "be"}
DIGITS = frozenset("ноль один одна одну два две три четыре пять шесть семь восемь девять".split())  # noqa: SIM905
"""What somebody says of these is for testing."""
LONGEST = 15.0
"""Seconds; longer prompts are menus with digits in them."""


def recordings(source: Source, fetched: Path, sounds: Path) -> list[Spoken]:
    """All that is to be learned from. `fetched`: where packages are unpacked; `sounds`: the hotline's own prompts."""
    match source.package:
        case "festvox-ru":
            return festival_sentences(source, fetched / SENTENCES)
        case "tuxpaint-stamps-default":
            return stamps(source, fetched / STAMPS)
        case "asterisk-core-sounds-ru-wav":
            transcripts = gzip.decompress((fetched / TRANSCRIPTS).read_bytes()).decode()
            return asterisk_prompts(source, sounds, transcripts)
    raise MissingPart(f"the recordings {source.name}", f"nobody reads {source.package}", "see ears/people.py")


def festival_sentences(source: Source, folder: Path) -> list[Spoken]:
    """Those of Debian's festvox-ru; a `+` in their text marks a stress."""
    listed = (folder / "etc" / "txt.done.data").read_text("utf-8")
    return [
        recorded(source.name, folder / "wav" / f"{name}.wav", words(text.replace("+", "")))
        for name, text in re.findall(r'^\( (\S+) "(.*)" \)', listed, re.MULTILINE)
    ]


def asterisk_prompts(source: Source, sounds: Path, transcripts: str) -> list[Spoken]:
    """The prompts whose text is plain words; digits and the like are for testing."""
    spoken = []
    for name, text in re.findall(r"^([\w-]+):\s*(.+)$", transcripts, re.MULTILINE):
        file = sounds / f"{name}.wav"
        if file.exists() and not re.search(r"[0-9A-Za-z<>\[«/]", text):
            spoken.append(recorded(source.name, file, words(text)))
    return [one for one in spoken if one.words and one.seconds < LONGEST and not DIGITS & {*one.words}]


def stamps(source: Source, folder: Path) -> list[Spoken]:
    """What is said of Tux Paint's stamps in the language of the source: each once, and only what is plain words."""
    code = CODES[source.language]
    spoken = {}
    for file in sorted(folder.rglob(f"*_desc_{code}.ogg")):
        said = _described(file.with_name(file.name.replace(f"_desc_{code}.ogg", ".txt")), code)
        if said and not DIGITS & {*said}:
            spoken[hashlib.sha256(file.read_bytes()).digest()] = recorded(source.name, file, said)
    if not spoken:
        raise MissingPart(
            f"the recordings {source.name}", f"none in {folder}", "see that its package is whole"
        )
    return list(spoken.values())


def _described(file: Path, code: str) -> tuple[str, ...]:
    """The words of a stamp's description; none if it cannot be read: numbers, foreign letters, no such language."""
    lines = file.read_text("utf-8", errors="replace").splitlines() if file.exists() else []
    for line in lines:
        language, _, text = line.partition("=")
        if language == f"{code}.utf8" and not re.search(r"[0-9A-Za-z]", text):
            return words(text) if code == "ru" else _belarusian(text)
    return ()


def _belarusian(text: str) -> tuple[str, ...]:
    return words(belarusian.respelled(text)) if belarusian.is_readable(text) else ()


def words(text: str) -> tuple[str, ...]:
    found = re.findall(rf"[а-яё{ACCENT}-]+", text.lower())
    return tuple(word for one in found if (word := one.strip("-")))


def recorded(voice: str, file: Path, said: tuple[str, ...]) -> Spoken:
    sound = read_wav(file.read_bytes()) if file.suffix == ".wav" else read_ogg(file)
    return Spoken(voice, said, as_learned(sound.samples, sound.rate))
