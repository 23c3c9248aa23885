"""The hotline's voice: text to sound. The only door to the speech programs, and to soxr.

RHVoice speaks Russian well and reads numbers and addresses («123», «д. 15») by itself; espeak-ng is what
is left without it. Both are programs given text on standard input that write a WAV.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import soxr

from ivr.errors import MissingPart, did_you_mean
from ivr.speech.sound import SILENT, Sound, loudest, read_wav

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds for one phrase; RHVoice needs a fiftieth of the speech's length."""

RHVOICE_VOICES = {
    "anna": "GPL-2+",
    "irina": "GPL-2+",
    "aleksandr": "GPL-2+",
    "elena": "GPL-3",
    "aleksandr-hq": "CC-BY-SA-4.0",
}
"""The voices a hotline may use, by licence; the others in Debian's package are for non-commercial use.

RHVoice takes an unknown voice for "any voice" and says nothing, hence a list.
"""


class Voice(Protocol):
    """Speaks text."""

    @property
    def identity(self) -> str:
        """Differs when the same text would sound differently."""

    async def speak(self, text: str) -> Sound:
        """The text as sound; raises MissingPart when it cannot be spoken."""


@dataclass(frozen=True, slots=True)
class Synthesiser:
    """A speech program as a Voice. Whoever unpacked it knows the command and what it must find around it."""

    name: str
    """`rhvoice` or `espeak-ng`."""
    command: tuple[str, ...]
    voice: str = "anna"
    """RHVoice: a name of RHVOICE_VOICES; espeak-ng: a language, such as `ru`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside our own environment."""
    version: str = ""
    """Where known: another version sounds differently and its prompts are rendered anew."""

    @property
    def identity(self) -> str:
        return " ".join(word for word in (self.name, self.version, self.voice) if word)

    async def speak(self, text: str) -> Sound:
        with tempfile.TemporaryDirectory(prefix="dozvon-voice-") as folder:
            wav = Path(folder, "spoken.wav")
            complaint = await self._run(text, [*self.command, *self._options(wav)])
            try:
                return await asyncio.to_thread(lambda: read_wav(wav.read_bytes()))
            except FileNotFoundError as error:
                raise self._fault(complaint or "it finds no word in the text") from error
            except ValueError as error:
                raise self._fault(str(error)) from error

    def _options(self, wav: Path) -> list[str]:
        if self.name == "rhvoice":
            return ["-p", self.voice, "-o", str(wav)]
        return ["-v", self.voice, "-w", str(wav), "--stdin"]

    async def _run(self, text: str, command: list[str]) -> str:
        """Run to the end; returns the last line the program complained with."""
        try:
            program = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **self.environment},
            )
        except OSError as error:
            raise self._fault(f"{command[0]}: {error.strerror}") from error
        try:
            async with asyncio.timeout(PATIENCE):
                _, errors = await program.communicate(text.encode())
        except TimeoutError as error:
            raise self._fault(f"not finished after {PATIENCE:.0f} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
            await program.wait()
        complaint = (errors.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
        if program.returncode:
            raise self._fault(complaint or f"it ended with code {program.returncode}")
        return complaint

    def _fault(self, why: str) -> MissingPart:
        return MissingPart(
            f"voice {self.identity}", why, "install RHVoice or espeak-ng, or put recorded prompts in place"
        )


async def pick(candidates: Iterable[Synthesiser]) -> Voice | None:
    """The first that really speaks, or None: then only recorded prompts can be said."""
    for candidate in candidates:
        try:
            await _audition(candidate)
        except MissingPart as fault:
            log.warning("voice passed over: %s", fault)
        else:
            log.info("voice: %s", candidate.identity)
            return candidate
    log.warning("no voice here: only recorded prompts can be said")
    return None


async def _audition(candidate: Synthesiser) -> None:
    if candidate.name == "rhvoice" and candidate.voice not in RHVOICE_VOICES:
        raise MissingPart(
            f"voice {candidate.identity}",
            "not one of the voices a hotline may use" + did_you_mean(candidate.voice, RHVOICE_VOICES),
            f"set DOZVON_VOICE to one of {', '.join(RHVOICE_VOICES)}",
        )
    if loudest(await candidate.speak("раз, два, три")) < SILENT:
        raise MissingPart(f"voice {candidate.identity}", "it speaks, but only silence", "install it again")


def at_rate(sound: Sound, rate: int) -> Sound:
    """Resampled without aliasing."""
    if rate == sound.rate:
        return sound
    return Sound(soxr.resample(sound.samples, sound.rate, rate, quality="HQ"), rate)
