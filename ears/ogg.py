"""A recording in Ogg, Vorbis or Opus, as sound."""

from __future__ import annotations

from pathlib import Path

from ivr.errors import MissingPart
from ivr.speech.sound import Sound


def read_ogg(file: Path) -> Sound:
    """All channels as one, at the rate it was recorded with. Raises MissingPart where nothing can read it."""
    try:
        import soundfile  # noqa: PLC0415 - of the extras `ears` and `bench-speech`; nothing else takes it

        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (ImportError, OSError, RuntimeError) as error:
        what_to_do = "`make ears` and `make bench-speech` set up what reads it"
        raise MissingPart(f"the recording {file}", str(error), what_to_do) from error
    return Sound(samples.mean(axis=1), rate)
