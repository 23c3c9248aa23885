"""The shelf of prompts: each rendered once, in every form Asterisk likes to play, and known by its content.

A prompt's stem, `FOLDER/welcome-1f0c…`, is what `Playback` takes; beside it lie `.wav` (8 kHz), `.wav16`
(16 kHz) and `.alaw` (8 kHz G.711, which most Russian trunks speak: nothing to transcode). A recorded WAV
of the same name wins over the rendered one.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ivr.errors import MissingPart
from ivr.speech.phrasebook import NAME
from ivr.speech.sound import Sound, as_alaw, as_pcm, as_prompt, as_wav, read_recording
from ivr.speech.voice import Voice, at_rate

log = logging.getLogger(__name__)

COMPANY = re.compile(r"[\w-]+")
FORMS = (".wav", ".wav16", ".alaw")
RECIPE = "1"
"""Part of every key: raise it when the same text or recording is to be made into other files."""

Progress = Callable[[int, int, str], object]
"""Called with (done, all, name) as each prompt gets ready: "rendering prompt 7 of 24"."""


class PromptShelf:
    """Prompts ready to be played. Controllers may share its folder: files appear whole, or not at all."""

    def __init__(self, folder: Path, recorded: Path | None, voice: Voice | None, *, at_once: int = 2) -> None:
        self.folder = folder
        self.recorded = recorded
        self.voice = voice
        self._under_way: dict[Path, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(at_once)

    async def prepare(self, company: str, name: str, text: str) -> Path:
        """The stem of the prompt, recorded or else rendered. Raises MissingPart when it can be neither."""
        if file := self._recording(company, name):
            try:
                content = await asyncio.to_thread(file.read_bytes)
                return await self._shelved(self._stem(name, content), lambda: _decoded(content))
            except (ValueError, PermissionError) as why:
                log.error("recorded prompt refused, the voice speaks instead: %s: %s", file, why)
        if self.voice is None:
            raise self._missing(company, [name])
        voice = self.voice
        key = f"{voice.identity}\n{text}".encode()
        return await self._shelved(self._stem(name, key), lambda: voice.speak(text))

    async def prepare_all(
        self, company: str, texts: Mapping[str, str], progress: Progress = lambda done, of, name: None
    ) -> dict[str, Path]:
        """Stems by name, for texts by name.

        Without a voice, one MissingPart names all that lack a recording.
        """
        if self.voice is None and (missing := [name for name in texts if not self._recording(company, name)]):
            raise self._missing(company, missing)
        stems: dict[str, Path] = {}

        async def one(name: str, text: str) -> None:
            stems[name] = await self.prepare(company, name, text)
            progress(len(stems), len(texts), name)

        ends = await asyncio.gather(*(one(*item) for item in texts.items()), return_exceptions=True)
        for fault in filter(None, ends):
            raise fault
        return stems

    async def publish(self, name: str, stem: Path, folder: Path) -> None:
        """Lay the prompt out under its own name, `FOLDER/NAME.wav` …, for Asterisk's static route."""
        _checked(name)
        await asyncio.to_thread(lambda: _put(folder / name, _read_forms(stem)))

    async def _shelved(self, stem: Path, source: Callable[[], Awaitable[Sound]]) -> Path:
        """Make it, unless it is there or being made. Whoever waits may go away: the others still get it."""
        if _is_whole(stem):
            return stem
        if stem not in self._under_way:
            self._under_way[stem] = asyncio.create_task(self._make(stem, source))
            self._under_way[stem].add_done_callback(lambda task: self._made(stem, task))
        await asyncio.shield(self._under_way[stem])
        return stem

    async def _make(self, stem: Path, source: Callable[[], Awaitable[Sound]]) -> None:
        async with self._room:
            sound = await source()
            await asyncio.to_thread(lambda: _put(stem, _forms(sound)))

    def _made(self, stem: Path, task: asyncio.Task[None]) -> None:
        del self._under_way[stem]
        if not task.cancelled():
            task.exception()  # seen: asyncio need not complain when nobody waits any more

    def _stem(self, name: str, content: bytes) -> Path:
        key = hashlib.sha256(f"{RECIPE}\n".encode() + content).hexdigest()
        return self.folder / f"{name}-{key[:24]}"

    def _recording(self, company: str, name: str) -> Path | None:
        """The company's own recording, else everybody's."""
        wav = f"{_checked(name)}.wav"
        if not COMPANY.fullmatch(company):
            raise ValueError(f"{company!r} cannot be a company's code")
        if self.recorded is None:
            return None
        return next(
            (file for file in (self.recorded / company / wav, self.recorded / wav) if file.is_file()), None
        )

    def _missing(self, company: str, names: list[str]) -> MissingPart:
        place = f"{self.recorded / company}/NAME.wav" if self.recorded else "the folder DOZVON_RECORDED names"
        return MissingPart(
            f"prompts {', '.join(sorted(names))} of {company}",
            "no usable recording, and no voice to render them with",
            f"install RHVoice or espeak-ng, or put recordings there: {place}",
        )


async def _decoded(content: bytes) -> Sound:
    return await asyncio.to_thread(read_recording, content)


def _forms(sound: Sound) -> dict[str, bytes]:
    narrow, wide = (as_prompt(at_rate(sound, rate)) for rate in (8_000, 16_000))
    return {".wav": as_wav(narrow), ".wav16": as_wav(wide), ".alaw": as_alaw(as_pcm(narrow.samples))}


def _read_forms(stem: Path) -> dict[str, bytes]:
    return {form: stem.with_suffix(form).read_bytes() for form in FORMS}


def _put(stem: Path, forms: Mapping[str, bytes]) -> None:
    """Write each file aside, then rename it into place."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=stem.parent, prefix=".making-") as aside:
        for form, content in forms.items():
            with Path(aside, form).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for form in forms:
            Path(aside, form).replace(stem.with_suffix(form))


def _is_whole(stem: Path) -> bool:
    return all(stem.with_suffix(form).is_file() for form in FORMS)


def _checked(name: str) -> str:
    """A prompt's name becomes a file's name: nothing else may slip in."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a prompt's name")
    return name
