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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from appliance.native import Native
from bench.speech import spoil
from bench.speech.noises import RATE, mixed_babble
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
CLEAN_VOICES = 6
"""That say each phrase clean."""
CHILD_SIZE = 80
"""A child's throat and mouth, per cent of an adult's."""
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
    """A person's: the file, its path or under the folder of recorded prompts; else it is synthesised."""

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
    size: int = 100
    """Of throat and mouth, per cent: smaller, the formants are higher, as a child's are."""

    @property
    def name(self) -> str:
        """The same for what sounds the same; a file's name."""
        said = f"{self.voice} {self.rate} {self.pitch} {self.phrase.recording or self.phrase.text}"
        if self.size != 100:
            said += f" {self.size}"
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


def voices_for(*models: str) -> Voices:
    """By the names of the models (`ivr.speech.models.name_of`): who is held out is held out from all of them.

    A voice counts as trained on when a sibling of it was.
    """
    data = _models()
    known = [_known(model) for model in models]
    siblings: dict[str, str] = data["siblings"]
    families = {siblings.get(voice, voice) for entry in known for voice in entry.get("trained_on", ())}
    free, everyone = data["voices"]["free"], sorted(data["voices"]["free"] + data["voices"]["non_commercial"])
    training = tuple(voice for voice in everyone if siblings.get(voice, voice) in families)
    return Voices(
        training=training,
        held_out=tuple(voice for voice in everyone if voice not in training),
        free=tuple(free),
        person_in_training=any(entry.get("human_trained_on", False) for entry in known),
    )


def called(model: str) -> str:
    """What tables call a model, by the name of its folder."""
    name: str = _known(model).get("called", model)
    return name


def _known(model: str) -> dict[str, Any]:
    return next((entry for entry in _models()["model"] if model in entry["names"]), {})


@cache
def _models(file: Path = HERE / "models.toml") -> dict[str, Any]:
    return tomllib.loads(file.read_text("utf-8"))


def spoken(phrase: Phrase, voice: str, condition: Condition = CLEAN) -> Spoken:
    """At a rate and a pitch drawn by its name, a quarter as the voice speaks by itself; or as the condition says."""
    if phrase.recording:
        return Spoken(phrase, PERSON)
    chance = random.Random(f"{voice} {phrase.text}")  # noqa: S311 - the same draw in every run
    if chance.random() < 0.25:
        piece = Spoken(phrase, voice)
    else:
        piece = Spoken(phrase, voice, chance.randint(70, 135), chance.randint(82, 122))
    if condition.child:
        return _as_a_child(piece)
    return replace(piece, rate=condition.rate) if condition.rate is not None else piece


def _as_a_child(piece: Spoken) -> Spoken:
    """Near 290 Hz, a throat of four fifths. What makes it smaller plays it faster, so it is spoken slower."""
    pitch = 115 if piece.voice in _models()["voices"]["high"] else 190
    return replace(piece, rate=piece.rate * CHILD_SIZE // 100, pitch=pitch, size=CHILD_SIZE)


def plan(phrases: Iterable[Phrase], voices: Sequence[str], *, quick: bool = False) -> Iterator[Clip]:
    """Clean by up to six voices; one voice after the other in every condition, or every so many-th (`_every`).

    Quick: every phrase about three times, the conditions in turn.
    """
    for number, phrase in enumerate(phrases):
        speakers = (PERSON,) if phrase.recording else tuple(voices)
        first = number % len(speakers)
        for voice in (speakers[first:] + speakers[:first])[: 1 if quick else CLEAN_VOICES]:
            yield Clip(spoken(phrase, voice), CLEAN)
        for turn, condition in enumerate(CONDITIONS[1:]):
            every = _every(phrase, condition, quick)
            if (turn + number) % every or (phrase.recording and condition.is_speakers):
                continue
            speaker = speakers[(number + turn // every + 1) % len(speakers)]
            yield Clip(spoken(phrase, speaker, condition), condition)


def _every(phrase: Phrase, condition: Condition, quick: bool) -> int:
    """One condition of how many a phrase is said in: answers in most; noises there are many of, and they are dear."""
    if quick:
        return 14
    weight = 4 if phrase.few else 2 if phrase.means == NONE else 1
    return weight if condition.snr is None else 2 * weight


def progress(total: int, what: str) -> tqdm[Any]:
    return tqdm(total=total, desc=what, unit="clip", mininterval=REFRESH, disable=not total)


class Studio:
    """Speaks what is not yet in its folder."""

    def __init__(self, native: Native, folder: Path) -> None:
        self._native, self._folder = native, folder
        self._turn = asyncio.Semaphore(PROGRAMS)

    async def speak_all(self, wanted: Iterable[Spoken]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        missing = {piece.name: piece for piece in wanted if not self._is_kept(piece)}
        with progress(len(missing), "speaking") as bar:
            async with asyncio.TaskGroup() as group:
                for piece in missing.values():
                    group.create_task(self._speak(piece, bar))

    async def _speak(self, piece: Spoken, bar: tqdm[Any]) -> None:
        async with self._turn:
            sound = await self._sound(piece)
            at_8k = await asyncio.to_thread(at_rate, sound, RATE)
            whole = self.file(piece).with_suffix(".part")
            whole.write_bytes(as_wav(at_8k))
            whole.rename(self.file(piece))
            bar.update()

    async def _sound(self, piece: Spoken) -> Sound:
        if piece.phrase.recording:
            return read_wav(self._recording(piece).read_bytes())
        sound = await self._voice(piece).speak(piece.phrase.text)
        return Sound(sound.samples, sound.rate * 100 // piece.size)

    def _is_kept(self, piece: Spoken) -> bool:
        file = self.file(piece)
        if not piece.phrase.recording or not file.exists():
            return file.exists()
        return file.stat().st_mtime >= self._recording(piece).stat().st_mtime

    def _recording(self, piece: Spoken) -> Path:
        return self._native.sounds / piece.phrase.recording

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
        return mixed_babble(talk, BABBLE, np.random.default_rng(1))

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
