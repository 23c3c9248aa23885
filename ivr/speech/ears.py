"""The hotline's ears: speech to words, offline. The only door to vosk.

One model is in memory for all calls. Each stretch of speech is a `Hearing` of its own, with the closed grammar of
the question asked. Worker threads decode: vosk lets go of Python's lock meanwhile. Sound is PCM as the line brings
it: 8 kHz, mono, 16 bits, little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import vosk

from ivr.errors import DialplanError
from ivr.heard import UNKNOWN, Reading, Word
from ivr.speech.calibration import AS_IT_IS, Calibration, of_model
from ivr.speech.graph import LEXICON, Lexicon
from ivr.speech.models import PROJECT, cannot_load, check_model, made, mfcc_options, name_of, native_rate
from ivr.speech.sound import as_alaw, as_pcm, as_prompt
from ivr.speech.voice import Voice, at_rate

RATE = 8_000
"""The line's own, Hz."""
BOUNDARIES = "graph/phones/word_boundary.int"
"""What a model must hold to know how long words are."""
OTHER_SPEECH = 0.05
"""The share of what is said that is expected to be none of the phrases, at the least. More of it makes the ears
surer of what they hear, and deafer. Tried with a small model: of 120 clear answers 98 were accepted instead of 101,
and of 150 non-answers none was taken for a rating instead of 2; at a half it is 80 and none."""
READINGS = 10
"""Of each stretch of speech; what is left after so many is next to nothing."""
IDLE = 128
"""Decoders kept ready for a grammar at most, up to 3 MB each; never more than were at work at once, which is a few in
a hundred surveys. To make one takes as long as to hear a second of speech."""
PATIENCE = 120.0
"""Seconds a model may take to load; the biggest Russian one takes about 20."""


class Hearing(Protocol):
    """One stretch of speech being recognised."""

    async def feed(self, pcm: bytes) -> tuple[Word, ...]:
        """Take more of it; returns the words that are certain already, often none before the end."""

    async def finish(self) -> tuple[Word, ...]:
        """All its words. Nothing is fed afterwards."""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Once finished: what it may have been, the likeliest first; () where the ears do not say."""


class Recogniser(Protocol):
    """Ears for any number of calls at once."""

    @property
    def name(self) -> str:
        """Which model, as logs and tables name it."""

    @property
    def rate(self) -> int:
        """The rate the model hears at, Hz. It is fed 8 kHz all the same."""

    @property
    def knows_noise(self) -> bool:
        """Did it learn from noisy speech? Then steady noise taken out of it would only be strange to it."""

    def listen(self, phrases: Sequence[str]) -> Hearing:
        """Listen for these phrases and nothing else; () for every word it knows."""

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        """The words of these phrases that it does not know, sorted."""

    def trust(self, share: float) -> float:
        """How often what makes up this share of all readings was right."""


def open_ears(folder: Path, threads: int | None = None, *, calibrated: bool = True) -> Vosk:
    """Load the model; blocks for seconds. Raises MissingPart.

    It is tried in a process of its own first: half a file makes vosk end the process it runs in. Not `calibrated`:
    confidences are vosk's own, whatever the model's folder says they are worth.
    """
    check_model(folder)
    calibration = of_model(folder) if calibrated else None
    _try_elsewhere(folder)
    vosk.SetLogLevel(-1)
    try:
        model = vosk.Model(str(folder))
    except Exception as error:  # vosk says nothing more exact
        raise cannot_load(folder, str(error)) from error
    return Vosk(
        name_of(folder),
        model,
        _rate(folder),
        threads,
        calibration,
        knows_lengths=(folder / BOUNDARIES).exists(),
        knows_noise=made(folder).get("knows_noise") is True,
        alike=_alike(folder),
    )


def _alike(folder: Path) -> Mapping[str, str]:
    """Words that sound like another, where the model says how its words sound."""
    lexicon = folder / LEXICON
    try:
        return Lexicon.read(lexicon).alike if lexicon.exists() else {}
    except DialplanError as error:
        raise cannot_load(folder, str(error)) from error


def _rate(folder: Path) -> int:
    """What the model must be fed, Hz: the line's rate where it takes that, else its own.

    A model of 16 kHz whose `mfcc.conf` lacks `--allow-upsample=true` throws at 8 kHz, as the official small
    Russian one does.
    """
    own = native_rate(folder)
    allows = mfcc_options(folder).get("allow-upsample" if own > RATE else "allow-downsample") == "true"
    return RATE if own == RATE or allows else own


def _try_elsewhere(folder: Path) -> None:
    """Load it and hear half a second of silence with it, in another process."""
    command = [sys.executable, "-m", "ivr.speech.ears", str(folder.resolve())]
    try:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise cannot_load(folder, f"not done after {PATIENCE:.0f} s") from error
    if done.returncode:
        complaints = done.stderr.decode("utf-8", "replace").strip().splitlines()
        says = [line for line in complaints if "ERROR" in line or "ASSERT" in line] or complaints[-1:]
        raise cannot_load(folder, says[0][:300] if says else f"vosk ends with code {done.returncode}")


def _try_here(folder: Path) -> None:
    decoder = vosk.KaldiRecognizer(vosk.Model(str(folder)), _rate(folder), json.dumps([UNKNOWN]))
    decoder.AcceptWaveform(bytes(RATE))
    decoder.FinalResult()


class Vosk:
    """A model of Vosk's, and the threads that hear with it."""

    def __init__(
        self,
        name: str,
        model: Any,
        rate: int,
        threads: int | None = None,
        calibration: Calibration | None = None,
        *,
        knows_lengths: bool = False,
        knows_noise: bool = False,
        alike: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.rate = rate
        self.calibration = calibration
        """What its confidences are worth; None: they are taken as they are."""
        self.knows_lengths = knows_lengths
        """Of words. Without, what vosk says of them is far off, and not told."""
        self.knows_noise = knows_noise
        self._alike = alike or {}
        self._model = model
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="ears")
        self._spelled = lru_cache(maxsize=10_000)(self._look_up)
        self._grammar = lru_cache(maxsize=32)(self._make_grammar)

    def listen(self, phrases: Sequence[str]) -> Hearing:
        grammar = self._grammar(tuple(phrases))
        return _VoskHearing(
            partial(self._lease, grammar),
            partial(self._give_back, grammar),
            partial(self._readings, grammar),
            self.trust,
            self.rate,
            self._threads,
        )

    def missing(self, phrases: Iterable[str]) -> tuple[str, ...]:
        words = {word for phrase in phrases for word in phrase.split()}
        return tuple(sorted(word for word in words if self._spelled(word) is None))

    def close(self) -> None:
        """Let the threads go; what is being heard is heard to its end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _lease(self, grammar: _Grammar) -> Any:
        """A decoder for it: one that has done its work, or a new one."""
        with contextlib.suppress(IndexError):
            return grammar.idle.pop()
        return self._decoder(grammar)

    def _give_back(self, grammar: _Grammar, decoder: Any) -> None:
        if len(grammar.idle) < IDLE:
            grammar.idle.append(decoder)

    def _decoder(self, grammar: _Grammar) -> Any:
        closed = (json.dumps(grammar.phrases, ensure_ascii=False),) if grammar.phrases else ()
        decoder = vosk.KaldiRecognizer(self._model, self.rate, *closed)
        decoder.SetWords(True)
        decoder.SetMaxAlternatives(READINGS)
        return decoder

    def trust(self, share: float) -> float:
        """How often what makes up this share of all readings was right."""
        return round((self.calibration or AS_IT_IS).of(min(1.0, share)), 3)

    def _readings(self, grammar: _Grammar, result: Mapping[str, Any]) -> tuple[Reading, ...]:
        """Of vosk's result: each of its alternatives, weighed by its likelihood."""
        ways = result.get("alternatives", ())
        if not ways:
            return ()
        likely = np.array([float(way["confidence"]) for way in ways])
        shares = np.exp(likely - likely.max())
        return tuple(
            Reading(self._words(grammar, way.get("result", ())), float(share))
            for way, share in zip(ways, shares / shares.sum(), strict=True)
        )

    def _words(self, grammar: _Grammar, said: Sequence[Mapping[str, Any]]) -> tuple[Word, ...]:
        if not self.knows_lengths:
            return tuple(Word(grammar.word(one["word"]), 1.0) for one in said)
        return tuple(
            Word(
                grammar.word(one["word"]),
                1.0,
                seconds=round(one["end"] - one["start"], 3),
                pause=round(one["start"] - before["end"], 3) if before else 0.0,
            )
            for before, one in zip((None, *said), said, strict=False)
        )

    def _make_grammar(self, phrases: tuple[str, ...]) -> _Grammar:
        """The phrases in the model's spelling, without the words it does not know."""
        if not phrases:
            return _Grammar((), {})
        asked: dict[str, str] = {}
        lines: dict[str, int] = {}
        for phrase, times in Counter(phrases).items():
            words = [(spelled, word) for word in phrase.split() if (spelled := self._spelled(word))]
            for spelled, word in words:
                asked.setdefault(spelled, word)  # of words that sound the same the first that is asked for
            line = " ".join(spelled for spelled, _ in words)
            lines[line] = max(times, lines.get(line, 0))
        lines.pop("", None)
        expected = [line for line, times in lines.items() for _ in range(times)]
        other_speech = math.ceil(len(expected) * OTHER_SPEECH / (1 - OTHER_SPEECH)) or 1
        return _Grammar((*expected, *[UNKNOWN] * other_speech), asked)

    def _look_up(self, word: str) -> str | None:
        """The word as the model spells it, or one that sounds the same; None when it does not know it."""
        spellings = [sounding for s in _spellings(word) for sounding in (s, self._alike.get(s, s))]
        return next((s for s in spellings if self._model.vosk_model_find_word(s) >= 0), None)


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
    idle: list[Any] = field(default_factory=list, compare=False, repr=False)
    """Decoders made for it that are free: vosk begins anew after a final result."""

    def word(self, spelled: str) -> str:
        """A model with a grammar of its own hears words that nobody listens for."""
        return self.asked.get(spelled, UNKNOWN) if self.phrases else spelled


class _VoskHearing:
    """Its steps run one after another, in whichever thread is free."""

    def __init__(
        self,
        lease: Callable[[], Any],
        give_back: Callable[[Any], None],
        readings: Callable[[Mapping[str, Any]], tuple[Reading, ...]],
        trust: Callable[[float], float],
        rate: int,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._lease, self._give_back = lease, give_back
        self._make_readings = readings
        self._trust = trust
        self.readings: tuple[Reading, ...] = ()
        self._threads = threads
        self._decoder: Any = None
        self._resampler = soxr.ResampleStream(RATE, rate, 1, "int16") if rate != RATE else None
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
            return weighed(self.readings, self._trust)

    def _feed(self, pcm: bytes, last: bool = False) -> None:
        if self._decoder is None:
            self._decoder = self._lease()
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2"), last=last).tobytes()
        if pcm and self._decoder.AcceptWaveform(pcm):
            self._keep(self._decoder.Result())

    def _finish(self) -> None:
        self._feed(b"", last=True)
        self._keep(self._decoder.FinalResult())
        self._give_back(self._decoder)
        self._decoder = None

    def _keep(self, result: str) -> None:
        """What was heard before a pause goes with whatever came after it."""
        heard = self._make_readings(json.loads(result))
        if not any(reading.words for reading in heard):
            return
        before = self.readings or (Reading((), 1.0),)
        both = [Reading(a.words + b.words, a.share * b.share) for a in before for b in heard]
        self.readings = tuple(heapq.nlargest(READINGS, both, key=lambda reading: reading.share))


def weighed(readings: Sequence[Reading], trust: Callable[[float], float]) -> tuple[Word, ...]:
    """The words of the likeliest reading, each as certain as the readings that have it there, too."""
    if not readings:
        return ()
    texts = [[word.text for word in reading.words] for reading in readings]
    shares = np.zeros(len(texts[0]))
    for reading, text in zip(readings, texts, strict=True):
        for at, _, size in SequenceMatcher(None, texts[0], text, autojunk=False).get_matching_blocks():
            shares[at : at + size] += reading.share
    return tuple(
        replace(word, confidence=trust(float(share)))
        for word, share in zip(readings[0].words, shares, strict=True)
    )


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
