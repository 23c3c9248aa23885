"""The test set: phrases with their true meaning, voices, and the clips made of them.

Spoken once and kept in `var/`; what the telephone does to a clip (`spoil`) is made again each time, the same
every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from appliance.native import Native
from bench.speech import spoil
from bench.speech.spoil import CLEAN, CONDITIONS, Condition
from ivr.errors import DozvonError, MissingPart
from ivr.speech.sound import Samples, Sound, as_wav, read_wav
from ivr.speech.voice import Synthesiser, at_rate

HERE = Path(__file__).parent
PERSON = "person"
"""The voice of a recording that no program spoke."""
PROGRAMS = 3
"""RHVoices at a time."""
REFRESH = 0.2 if sys.stderr.isatty() else 15.0
"""Seconds between two looks of a progress bar: a log file need not hold each of them."""
BABBLE = 30.0
"""Seconds of talk behind the speaker."""
NONE = "none"
"""The meaning of what is no answer."""
RATINGS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is said and what it means."""

    text: str
    group: str
    """Its line in the table."""
    means: str
    """`1` to `5`, an intent, or NONE."""
    also: tuple[str, ...] = ()
    """Meanings that are no mistake either."""
    asked: str = "rating"
    """The question it answers."""
    few: bool = False
    """Said in fewer variants."""
    recording: str = ""
    """A person's: the file, under the folder of recorded prompts; else it is synthesised."""

    @property
    def is_rating(self) -> bool:
        return self.means in RATINGS


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase in one voice."""

    phrase: Phrase
    voice: str
    rate: int = 100
    """Per cent of the voice's own."""
    pitch: int = 100

    @property
    def name(self) -> str:
        """The same for what sounds the same; a file's name."""
        said = f"{self.voice} {self.rate} {self.pitch} {self.phrase.recording or self.phrase.text}"
        return hashlib.sha256(said.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Clip:
    """A spoken phrase as it comes out of the telephone."""

    spoken: Spoken
    condition: Condition

    @property
    def seed(self) -> int:
        noise = self.condition.noise if self.condition.snr is not None else ""
        return zlib.crc32(f"{self.spoken.name} {self.condition.name} {noise}".encode())

    def __str__(self) -> str:
        spoken, noise = self.spoken, self.condition.noise if self.condition.snr is not None else ""
        who = spoken.voice if spoken.voice == PERSON else f"{spoken.voice} {spoken.rate}/{spoken.pitch}"
        return f"«{spoken.phrase.text}» {who}, {' '.join(filter(None, (self.condition.name, noise)))}"


@dataclass(frozen=True, slots=True)
class Voices:
    """Whom a model learned from, and who is left to test it."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    free: tuple[str, ...]
    """By licence; the others are for non-commercial use only: they test, and nothing else."""
    person_in_training: bool
    """Did it learn from the speaker of the recorded prompts? (The digits were kept out even so.)"""


def read_phrases(file: Path = HERE / "phrases.toml") -> list[Phrase]:
    return [
        Phrase(
            text=text,
            group=group.get("name", group["means"]),
            means=group["means"],
            also=tuple(group.get("or", ())),
            asked=group.get("asked", "rating"),
            few=group.get("few", False),
        )
        for group in tomllib.loads(file.read_text("utf-8"))["group"]
        for text in group["say"]
    ]


def voices_for(model: str, file: Path = HERE / "models.toml") -> Voices:
    """By the name of the model's folder. A voice counts as trained on when a sibling of it was."""
    data: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    known: dict[str, Any] = next((entry for entry in data["model"] if model in entry["names"]), {})
    siblings: dict[str, str] = data["siblings"]
    families = {siblings.get(voice, voice) for voice in known.get("trained_on", ())}
    free, everyone = data["voices"]["free"], sorted(data["voices"]["free"] + data["voices"]["non_commercial"])
    training = tuple(voice for voice in everyone if siblings.get(voice, voice) in families)
    return Voices(
        training=training,
        held_out=tuple(voice for voice in everyone if voice not in training),
        free=tuple(free),
        person_in_training=known.get("human_trained_on", False),
    )


def recorded(folder: Path) -> list[Phrase]:
    """A person's digits: Asterisk's Russian prompts. 1 to 5 are ratings, all other numbers, days and months none."""
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
        Phrase(f"digits/{name}", "other numbers, a person", NONE, recording=f"digits/{name}.wav", few=True)
        for name in others
    ]
    return [phrase for phrase in phrases if (folder / phrase.recording).exists()]


def spoken(phrase: Phrase, voice: str) -> Spoken:
    """At a rate and a pitch drawn by its name: a quarter as the voice speaks by itself."""
    if phrase.recording:
        return Spoken(phrase, PERSON)
    chance = random.Random(f"{voice} {phrase.text}")  # noqa: S311 - the same draw in every run
    if chance.random() < 0.25:
        return Spoken(phrase, voice)
    return Spoken(phrase, voice, chance.randint(70, 135), chance.randint(82, 122))


def plan(phrases: Iterable[Phrase], voices: Sequence[str], *, quick: bool = False) -> Iterator[Clip]:
    """Every answer in every condition by one voice after the other, what is none in every second; clean by each.

    Quick: every phrase three times, the conditions in turn.
    """
    for number, phrase in enumerate(phrases):
        speakers = (PERSON,) if phrase.recording else voices
        for voice in speakers[number % len(speakers) :][:1] if quick else speakers:
            yield Clip(spoken(phrase, voice), CLEAN)
        for turn, condition in enumerate(CONDITIONS[1:]):
            if (turn + number) % _every(phrase, quick) == 0:
                speaker = speakers[(number + turn // _every(phrase, quick) + 1) % len(speakers)]
                yield Clip(spoken(phrase, speaker), condition)


def _every(phrase: Phrase, quick: bool) -> int:
    """One condition of how many a phrase is said in."""
    if quick:
        return 8
    return 4 if phrase.few else 2 if phrase.means == NONE else 1


def progress(total: int, what: str) -> tqdm[Any]:
    return tqdm(total=total, desc=what, unit="clip", mininterval=REFRESH, disable=not total)


class Studio:
    """Speaks what is not yet in its folder."""

    def __init__(self, native: Native, folder: Path) -> None:
        self._native, self._folder = native, folder
        self._turn = asyncio.Semaphore(PROGRAMS)

    async def speak_all(self, wanted: Iterable[Spoken]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        missing = {piece.name: piece for piece in wanted if not self.file(piece).exists()}
        with progress(len(missing), "speaking") as bar:
            async with asyncio.TaskGroup() as group:
                for piece in missing.values():
                    group.create_task(self._speak(piece, bar))

    async def _speak(self, piece: Spoken, bar: tqdm[Any]) -> None:
        async with self._turn:
            sound = await self._sound(piece)
            at_8k = await asyncio.to_thread(at_rate, sound, spoil.RATE)
            whole = self.file(piece).with_suffix(".part")
            whole.write_bytes(as_wav(at_8k))
            whole.rename(self.file(piece))
            bar.update()

    async def _sound(self, piece: Spoken) -> Sound:
        if piece.phrase.recording:
            return read_wav((self._native.sounds / piece.phrase.recording).read_bytes())
        return await self._voice(piece).speak(piece.phrase.text)

    def _voice(self, piece: Spoken) -> Synthesiser:
        rate, pitch = str(piece.rate), str(piece.pitch)
        command = (*self._native.command("usr/bin/RHVoice-test"), "-r", rate, "-t", pitch)
        return Synthesiser("rhvoice", command, piece.voice, self._native.with_every_voice())

    def file(self, piece: Spoken) -> Path:
        return self._folder / f"{piece.name}.wav"

    def samples(self, piece: Spoken) -> Samples:
        return read_wav(self.file(piece).read_bytes()).samples

    def babble(self, pieces: Sequence[Spoken]) -> Samples:
        """Out of what was spoken anyway: the phrases that are no answer, by several voices."""
        talk = [self.samples(piece) for piece in pieces]
        return spoil.mixed_babble(talk, BABBLE, np.random.default_rng(1))

    def received(self, clip: Clip, babble: Samples) -> spoil.Received:
        chance = np.random.default_rng(clip.seed)
        return spoil.received(self.samples(clip.spoken), clip.condition, babble, chance)


def behind(phrases: Iterable[Phrase], voices: Sequence[str]) -> list[Spoken]:
    """What is talked behind the speakers."""
    talk = [phrase for phrase in phrases if phrase.means == NONE and not phrase.recording]
    return [spoken(phrase, voices[number % len(voices)]) for number, phrase in enumerate(talk)]


def native_tree(root: Path) -> Native:
    native = Native(root)
    try:
        native.with_every_voice()
    except MissingPart as fault:
        raise NoVoices(root) from fault
    return native


class NoVoices(DozvonError):
    """Nothing can be spoken."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"the test set: no voices in {root}\n"
            "  what to do: `make bench-speech` unpacks them, or set DOZVON_NATIVE to the tree of native parts"
        )
