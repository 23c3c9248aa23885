"""The hotline's ears: speech to words, offline. The only door to vosk.

One model is in memory for all calls. Each stretch of speech is a `Hearing` of its own, with the closed grammar of
the question asked. Worker threads decode: vosk lets go of Python's lock meanwhile. Sound is PCM as the line brings
it: 8 kHz, mono, 16 bits, little-endian.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import vosk

from ivr.errors import MissingPart
from ivr.heard import UNKNOWN, Word
from ivr.settings import Settings
from ivr.speech.sound import as_alaw, as_pcm, as_prompt
from ivr.speech.voice import Voice, at_rate

RATE = 8_000
"""The line's own, Hz."""
PROJECT = Path(__file__).resolve().parents[2]
PARTS = ("am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph")
"""What every model in Vosk's format holds."""
NO_MODEL = Path("none")
"""As a setting: keys only."""
OTHER_WAYS = "run `make model` to fetch one, or name a model's folder in DOZVON_MODEL"
OTHER_SPEECH = 0.05
"""The share of what is said that is expected to be none of the phrases, at the least. More of it makes the ears
surer of what they hear, and deafer. Tried with a small model: of 120 clear answers 98 were accepted instead of 101,
and of 150 non-answers none was taken for a rating instead of 2; at a half it is 80 and none."""
PATIENCE = 120.0
"""Seconds a model may take to load; the biggest Russian one takes about 20."""


class Hearing(Protocol):
    """One stretch of speech being recognised."""

    async def feed(self, pcm: bytes) -> tuple[Word, ...]:
        """Take more of it; returns the words that are certain already, often none before the end."""

    async def finish(self) -> tuple[Word, ...]:
        """All its words. Nothing is fed afterwards."""


class Recogniser(Protocol):
    """Ears for any number of calls at once."""

    @property
    def name(self) -> str:
        """Which model, as logs and tables name it."""

    @property
    def rate(self) -> int:
        """The rate the model hears at, Hz. It is fed 8 kHz all the same."""

    def listen(self, phrases: Sequence[str]) -> Hearing:
        """Listen for these phrases and nothing else; () for every word it knows."""

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        """The words of these phrases that it does not know, sorted."""


def find_model(settings: Settings) -> Path | None:
    """The folder of the model to hear with, or None: then only keys are answers.

    Raises MissingPart when the settings name a folder that is no model.
    """
    if settings.model == NO_MODEL:
        return None
    if settings.model is not None:
        _check(settings.model)
        return settings.model
    fetched = sorted(_models(settings.home / "models"), key=lambda model: model.stat().st_mtime, reverse=True)
    own = [model for model in [PROJECT / "ears" / "model"] if is_model(model)]
    # models that several checkouts share, beside this one
    shared = sorted(_models(PROJECT.parent / "shared" / "models"))
    return next(iter([*fetched, *own, *shared]), None)


def open_ears(folder: Path, threads: int | None = None) -> Vosk:
    """Load the model; blocks for seconds. Raises MissingPart.

    It is tried in a process of its own first: half a file makes vosk end the process it runs in.
    """
    _check(folder)
    _try_elsewhere(folder)
    vosk.SetLogLevel(-1)
    try:
        return Vosk(folder.name, vosk.Model(str(folder)), _rate(folder), threads)
    except Exception as error:  # vosk says nothing more exact
        raise _cannot_load(folder, str(error)) from error


def is_model(folder: Path) -> bool:
    """Does it look like one? Whether it loads, `open_ears` tells."""
    return not _lacking(folder)


def _models(folder: Path) -> Iterator[Path]:
    """The models in a folder of models; those that begin with a dot are still being made."""
    if folder.is_dir():
        yield from (model for model in folder.iterdir() if not model.name.startswith(".") and is_model(model))


def _lacking(folder: Path) -> list[str]:
    return [part for part in PARTS if not (folder / part).exists()]


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise MissingPart("the ears", f"{folder}: no such folder", OTHER_WAYS)
    if lacking := _lacking(folder):
        raise MissingPart("the ears", f"{folder} is no model: it lacks {', '.join(lacking)}", OTHER_WAYS)


def _cannot_load(folder: Path, why: str) -> MissingPart:
    return MissingPart(
        "the ears", f"{folder} cannot be loaded: {why}", f"remove that folder and {OTHER_WAYS}"
    )


def _rate(folder: Path) -> int:
    """What the model must be fed, Hz: the line's rate where it takes that, else its own.

    A model of 16 kHz whose `mfcc.conf` lacks `--allow-upsample=true` throws at 8 kHz, as the official small
    Russian one does.
    """
    try:
        conf = (folder / "conf" / "mfcc.conf").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _cannot_load(folder, f"conf/mfcc.conf: {error}") from error
    options = dict(re.findall(r"^\s*--([\w-]+)=(\S+)", conf, re.MULTILINE))
    own = round(float(options.get("sample-frequency", 16_000)))
    takes_ours = own == RATE or options.get("allow-upsample" if own > RATE else "allow-downsample") == "true"
    return RATE if takes_ours else own


def _try_elsewhere(folder: Path) -> None:
    """Load it and hear half a second of silence with it, in another process."""
    command = [sys.executable, "-m", "ivr.speech.ears", str(folder.resolve())]
    try:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _cannot_load(folder, f"not done after {PATIENCE:.0f} s") from error
    if done.returncode:
        complaints = done.stderr.decode("utf-8", "replace").strip().splitlines()
        says = [line for line in complaints if "ERROR" in line or "ASSERT" in line] or complaints[-1:]
        raise _cannot_load(folder, says[0][:300] if says else f"vosk ends with code {done.returncode}")


def _try_here(folder: Path) -> None:
    decoder = vosk.KaldiRecognizer(vosk.Model(str(folder)), _rate(folder), json.dumps([UNKNOWN]))
    decoder.AcceptWaveform(bytes(RATE))
    decoder.FinalResult()


class Vosk:
    """A model of Vosk's, and the threads that hear with it."""

    def __init__(self, name: str, model: Any, rate: int, threads: int | None = None) -> None:
        self.name = name
        self.rate = rate
        self._model = model
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="ears")
        self._spelled = lru_cache(maxsize=10_000)(self._look_up)
        self._grammar = lru_cache(maxsize=32)(self._make_grammar)

    def listen(self, phrases: Sequence[str]) -> Hearing:
        grammar = self._grammar(tuple(phrases))
        return _VoskHearing(lambda: self._decoder(grammar), grammar, self.rate, self._threads)

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        words = {word for phrase in phrases for word in phrase.split()}
        return tuple(sorted(word for word in words if self._spelled(word) is None))

    def close(self) -> None:
        """Let the threads go; what is being heard is heard to its end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _decoder(self, grammar: _Grammar) -> Any:
        closed = (json.dumps(grammar.phrases, ensure_ascii=False),) if grammar.phrases else ()
        decoder = vosk.KaldiRecognizer(self._model, self.rate, *closed)
        decoder.SetWords(True)
        return decoder

    def _make_grammar(self, phrases: tuple[str, ...]) -> _Grammar:
        """The phrases in the model's spelling, without the words it does not know."""
        if not phrases:
            return _Grammar((), {})
        asked: dict[str, str] = {}
        lines: dict[str, None] = {}
        for phrase in phrases:
            words = [(spelled, word) for word in phrase.split() if (spelled := self._spelled(word))]
            asked.update(words)
            lines[" ".join(spelled for spelled, _ in words)] = None
        lines.pop("", None)
        other_speech = math.ceil(len(lines) * OTHER_SPEECH / (1 - OTHER_SPEECH)) or 1
        return _Grammar((*lines, *[UNKNOWN] * other_speech), asked)

    def _look_up(self, word: str) -> str | None:
        """The word as the model spells it; None when it does not know it."""
        return next((s for s in _spellings(word) if self._model.vosk_model_find_word(s) >= 0), None)


def _spellings(word: str) -> Iterator[str]:
    """The word itself, then with «е» for every «ё», then with «ё» for one «е»."""
    yield word
    if "ё" in word:
        yield word.replace("ё", "е")
    for at, letter in enumerate(word):
        if letter == "е":
            yield f"{word[:at]}ё{word[at + 1 :]}"


@dataclass(frozen=True, slots=True)
class _Grammar:
    phrases: tuple[str, ...]
    """As vosk takes them; none: every word of the model."""
    asked: Mapping[str, str]
    """Each word of the grammar: in the model's spelling, and in that of who asks."""

    def word(self, spelled: str) -> str:
        """A model with a grammar of its own hears words that nobody listens for."""
        return self.asked.get(spelled, UNKNOWN) if self.phrases else spelled


class _VoskHearing:
    """Its steps run one after another, in whichever thread is free."""

    def __init__(
        self, decoder: Callable[[], Any], grammar: _Grammar, rate: int, threads: ThreadPoolExecutor
    ) -> None:
        self._make_decoder = decoder
        self._grammar = grammar
        self._threads = threads
        self._decoder: Any = None
        self._resampler = soxr.ResampleStream(RATE, rate, 1, "int16") if rate != RATE else None
        self._words: list[Word] = []
        self._turn = asyncio.Lock()
        self._busy = threading.Lock()  # who was cancelled lets go of the turn while the thread is still at it

    async def feed(self, pcm: bytes) -> tuple[Word, ...]:
        return await self._in_turn(lambda: self._feed(pcm))

    async def finish(self) -> tuple[Word, ...]:
        return await self._in_turn(self._finish)

    async def _in_turn(self, step: Callable[[], None]) -> tuple[Word, ...]:
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._do, step)

    def _do(self, step: Callable[[], None]) -> tuple[Word, ...]:
        with self._busy:
            step()
            return tuple(self._words)

    def _feed(self, pcm: bytes, last: bool = False) -> None:
        if self._decoder is None:
            self._decoder = self._make_decoder()
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2"), last=last).tobytes()
        if pcm and self._decoder.AcceptWaveform(pcm):
            self._keep(self._decoder.Result())

    def _finish(self) -> None:
        self._feed(b"", last=True)
        self._keep(self._decoder.FinalResult())

    def _keep(self, result: str) -> None:
        heard = json.loads(result).get("result", ())
        self._words += [Word(self._grammar.word(one["word"]), _confidence(one)) for one in heard]


def _confidence(one: Mapping[str, Any]) -> float:
    return min(1.0, max(0.0, round(float(one["conf"]), 3)))


# The ears try themselves on the hotline's own voice.

TRIED = ("четыре", "на пятёрочку")
AMONG = ("один", "два", "три", "четыре", "пять", "на троечку", "на пятёрочку", "да", "нет")


@dataclass(frozen=True, slots=True)
class Trial:
    said: tuple[str, ...]
    understood: tuple[str, ...]
    factor: float
    """Seconds of work a second of speech, one stream on one core."""

    @property
    def passed(self) -> bool:
        return self.understood == self.said


async def self_test(ears: Recogniser, voice: Voice) -> Trial:
    """Let the voice say something through a telephone line, and hear what it was.

    Raises MissingPart when the voice cannot speak.
    """
    understood = []
    seconds = worked = 0.0
    for phrase in TRIED:
        pcm = await _telephoned(voice, phrase)
        began = time.perf_counter()
        hearing = ears.listen(AMONG)
        await hearing.feed(pcm)
        words = await hearing.finish()
        worked += time.perf_counter() - began
        seconds += len(pcm) / 2 / RATE
        understood.append(" ".join(word.text for word in words))
    return Trial(TRIED, tuple(understood), worked / seconds)


async def _telephoned(voice: Voice, phrase: str) -> bytes:
    """The phrase as G.711 brings it."""
    sound = as_prompt(at_rate(await voice.speak(phrase), RATE))
    return from_alaw(as_alaw(as_pcm(sound.samples)))


def from_alaw(alaw: bytes) -> bytes:
    """PCM of G.711 A-law, one byte a sample."""
    return _SAMPLES[np.frombuffer(alaw, np.uint8)].tobytes()


def _alaw_samples() -> npt.NDArray[np.int16]:
    """The sample of every A-law byte: the middle of those that become it."""
    every = np.arange(-32768, 32768).astype(np.int16)
    codes = np.frombuffer(as_alaw(every), np.uint8)
    return np.round(np.bincount(codes, weights=every) / np.bincount(codes)).astype("<i2")


_SAMPLES = _alaw_samples()

LISTENING = 0.02
"""Seconds of work a second of a robot's call beside recognition: its sound both ways, voice activity, echo."""
LOAD = 0.5
"""The share of the processor that calls may take; above it the threads wait for one another."""
MOST = 100
"""More robot calls at once than this no house needs, and nobody has tried."""


def calls_at_once(factor: float, cores: int | None = None) -> int:
    """How many robot calls ears of this factor carry with everybody speaking all the time: 1 to MOST."""
    return max(1, min(MOST, math.floor(LOAD * (cores or os.cpu_count() or 1) / (factor + LISTENING))))


if __name__ == "__main__":
    _try_here(Path(sys.argv[1]))
