"""Speech to learn from, with what is said in it: synthesised, and recorded by people.

Kept in packs of some hundred pieces, `VOICE-NUMBER-DIGEST.npz`; a pack that is there is not made again, and one of
other lines has another digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
from tqdm import tqdm

from appliance.native import Native
from ears import rutts, ukrainian
from ears.texts import Line
from ivr.errors import MissingPart
from ivr.speech.pronounce import Phones
from ivr.speech.sound import read_wav

HERE = Path(__file__).parent
RATE = 12_000
"""Hz: more than a telephone's, so that speech can be slowed down and keep its band."""
PACK = 120
PATIENCE = 60.0
PCM = npt.NDArray[np.int16]
Say = Callable[[Iterable[str]], Mapping[str, Sequence[Phones]]]
ESPEAK_SPEED, ESPEAK_PITCH = 160, 50
"""Its usual ones: words a minute, and of 99."""


@dataclass(frozen=True, slots=True)
class Source:
    """A voice or a speaker, as `sources.toml` has it."""

    name: str
    licence: str
    engine: str = "recordings"
    says: float = 1.0
    variants: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    """Variants that are not learned from."""
    package: str = "rhvoice-russian"
    language: str = "russian"
    """That its engine takes it to speak; in another it says Russian words with an accent."""
    of: str = ""
    times: int = 1
    """How often it is gone through in one copy, so that few recordings weigh more."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One piece of speech."""

    voice: str
    words: tuple[str, ...]
    pcm: PCM = field(repr=False)
    """At RATE."""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


def source_of(voice: str) -> str:
    """Whose voice it is: a source's name, and after a plus the variant of it."""
    return voice.partition("+")[0]


def variant_of(voice: str) -> str:
    return voice.partition("+")[2]


def sources(file: Path = HERE / "sources.toml") -> list[Source]:
    table = tomllib.loads(file.read_text("utf-8"))
    return [Source(**_hashable(one)) for one in (*table["voice"], *table["recordings"])]


def _hashable(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


# Packs


def kept(packs: Iterable[Path]) -> Iterator[Spoken]:
    for file in packs:
        yield from read_pack(file)


def read_pack(file: Path) -> Iterator[Spoken]:
    with np.load(file) as pack:
        pcm, ends = pack["pcm"], pack["ends"]
        texts = json.loads(str(pack["texts"]))
    begin = 0
    for end, (voice, text) in zip(ends.tolist(), texts, strict=True):
        yield Spoken(voice, tuple(text.split()), pcm[begin:end])
        begin = end


def write_pack(file: Path, spoken: Sequence[Spoken]) -> None:
    """Appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = json.dumps([(one.voice, " ".join(one.words)) for one in spoken], ensure_ascii=False)
    pcm = np.concatenate([one.pcm for one in spoken]) if spoken else np.zeros(0, np.int16)
    new = file.with_suffix(".new.npz")
    np.savez(new, pcm=pcm, ends=np.cumsum([len(one.pcm) for one in spoken]), texts=texts)
    new.rename(file)


# Voices


@dataclass(frozen=True, slots=True)
class Speaker:
    """A voice, or the mouths of one."""

    source: Source
    native: Native
    environment: Mapping[str, str]
    spelled: Mapping[str, str]
    """Words as this voice must have them written, where that is not as they are."""

    def say(self, line: Line) -> Spoken:
        variant = self._variant(line)
        name = f"{self.source.name}+{variant}" if variant else self.source.name
        text = re.sub(r"[а-яё-]+", lambda word: self.spelled.get(word[0], word[0]), line.text)
        if self.source.engine == "ru_tts":
            sound = rutts.say(text, woman=variant == "woman", speed=line.speed, pitch=line.pitch)
            return Spoken(name, line.words, as_learned(sound, rutts.RATE))
        sound, rate = self._by_program(line, text, variant)
        return Spoken(name, line.words, as_learned(sound, rate))

    def _by_program(self, line: Line, text: str, variant: str) -> tuple[npt.NDArray[np.float32], int]:
        with tempfile.TemporaryDirectory(prefix="ears-") as folder:
            wav = Path(folder, "spoken.wav")
            done = subprocess.run(
                self._command(line, wav, variant),
                input=text.encode(),
                env=dict(self.environment),
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            if not wav.exists():
                why = done.stderr.decode("utf-8", "replace").strip()[-200:] or f"exit {done.returncode}"
                raise MissingPart(f"voice {self.source.name}", why, "see that the native parts are whole")
            sound = read_wav(wav.read_bytes())
        return sound.samples, sound.rate

    def _variant(self, line: Line) -> str:
        """Which mouth says it: always the same one for the same line."""
        variants = (*self.source.variants, *self.source.kept_out)
        return variants[sum(line.text.encode()) % len(variants)] if variants else ""

    def _command(self, line: Line, wav: Path, variant: str) -> list[str]:
        if self.source.engine == "rhvoice":
            options = ["-p", self.source.name, "-r", str(line.speed), "-t", str(line.pitch), "-o", str(wav)]
            return self.native.command("usr/bin/RHVoice-test", *options)
        speed, pitch = round(ESPEAK_SPEED * line.speed / 100), round(ESPEAK_PITCH * line.pitch / 100)
        options = [
            "-v",
            f"ru+{variant}" if variant else "ru",
            "-s",
            str(speed),
            "-p",
            str(pitch),
            "-w",
            str(wav),
        ]
        return self.native.command("usr/bin/espeak-ng", *options, "--stdin")


def synthesise(
    source: Source,
    lines: Sequence[Line],
    native: Native,
    folder: Path,
    pronounce: Say,
    voices: Path | None = None,
) -> list[Path]:
    """Let a voice say its lines; returns the packs. `pronounce`: how words are said; `voices`: where RHVoice's data
    is, if not beside its program."""
    spelled = _spelled(source, lines, pronounce)
    elsewhere = {"RHVOICE_DATA_PATH": str(voices)} if voices else {}
    speaker = Speaker(source, native, {**native.environment(), **elsewhere}, spelled)
    packs = {
        _pack(source, at, lines[at : at + PACK], spelled): lines[at : at + PACK]
        for at in range(0, len(lines), PACK)
    }
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(lines), desc=f"  {source.name} speaks", unit=" lines", leave=False) as bar,
    ):
        for name, said in packs.items():
            if not (folder / name).exists():
                write_pack(folder / name, list(pool.map(speaker.say, said)))
            bar.update(len(said))
    return [folder / name for name in packs]


def _spelled(source: Source, lines: Sequence[Line], pronounce: Say) -> dict[str, str]:
    """As `Speaker` wants the words of these lines."""
    words = {word for line in lines for word in line.words}
    if source.engine == "ru_tts":
        return rutts.accented(pronounce(words))
    if source.language == "ukrainian":
        return ukrainian.spelled(pronounce(words))
    return {}


def _pack(source: Source, at: int, lines: Sequence[Line], spelled: Mapping[str, str]) -> str:
    written = [spelled[word] for line in lines for word in line.words if word in spelled]
    digest = hashlib.sha256(repr((source, lines, written)).encode()).hexdigest()[:12]
    return f"{source.name}-{at // PACK:03}-{digest}.npz"


def as_learned(samples: npt.NDArray[np.float32], rate: int) -> PCM:
    """At RATE, as loud as it can be, with a moment of quiet around it."""
    resampled = soxr.resample(samples, rate, RATE, quality="HQ")
    loudest = float(np.abs(resampled).max(initial=1e-6))
    quiet = np.zeros(RATE // 5, np.float32)
    return (np.concatenate([quiet, resampled * (0.7 / loudest), quiet]) * 32767).astype(np.int16)
