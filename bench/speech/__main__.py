"""`make bench-speech`: how well the robot hears, how fast, and how many calls at once. See docs/speech.md.

Speaks a test set in voices the model has not learned from, spoils it as telephones do, and puts every clip through
the very path of a call: listener, ears, understanding.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from bench.speech import bargein, capacity, clips, judge, people, pictures, report, streams, unseen
from bench.speech.capacity import Kind, Step
from bench.speech.clips import NONE, Clip, Phrase, Spoken, Studio
from bench.speech.measured import Measured
from bench.speech.noises import Background
from bench.speech.paced import Load
from bench.speech.spoil import CLEAN
from ivr import logs
from ivr.dialplan.understanding import Pack
from ivr.errors import DozvonError, MissingPart
from ivr.settings import Settings
from ivr.speech import calibration
from ivr.speech.models import choose_model, name_of

PARTS = ("table", "voices", "unseen", "pictures", "latency", "bargein", "capacity", "streams")
PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "speech.md"
PROMPT_VOICE = "anna"
"""The hotline's own."""
PROMPT = (
    "Здравствуйте! Это управляющая компания. Недавно у вас выполнена заявка по сантехнике. "
    "Оцените, пожалуйста, работу от одного до пяти: скажите число или нажмите клавишу."
)
CLOCK_CALLS = 4
ANSWERS = 160
"""Different clips in the measurements on the clock."""
STREAM_CLIPS = 48
"""… and of streams."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly."""

    quick: bool
    clock: float
    """Seconds of measuring the delay by the clock."""
    step: float
    """… and of a number of calls at once."""
    noise: float
    """Minutes of each kind of noise."""
    interruptions: int


QUICK = Plan(quick=True, clock=20.0, step=5.0, noise=0.5, interruptions=30)
FULL = Plan(quick=False, clock=90.0, step=12.0, noise=1.0, interruptions=60)


class BenchSpeech:
    """One go. What is not about the model (delays, barge-in, calls at once) is measured with the first."""

    def __init__(
        self, settings: Settings, models: Sequence[Path], voices: str, plan: Plan, own: Path | None = None
    ) -> None:
        self._home = settings.home / "bench-speech"
        self._home.mkdir(parents=True, exist_ok=True)
        self._plan, self._is_test = plan, voices == "held-out"
        native = clips.native_tree(settings.native or settings.home / "native" / "root")
        known = clips.voices_for(*map(name_of, models))
        used = known.held_out if self._is_test else known.training
        self._settings = settings
        self._pictures: Sequence[pictures.Picture] = ()
        self._phrases = clips.read_phrases()
        if self._is_test:
            self._phrases += people.digits(native.sounds)
        if own is not None:
            self._phrases += people.given(own, Pack.read(settings.language, settings.understanding))
        self._clips = list(clips.plan(self._phrases, used, quick=plan.quick))
        self._behind = clips.behind(self._phrases, used)
        self._prompt = Spoken(Phrase(PROMPT, "prompt", NONE), PROMPT_VOICE)
        self._studio = Studio(native, self._home / "spoken")
        self._benches = [
            judge.Bench(
                model,
                settings.language,
                settings.understanding,
                native.root,
                self._home / "spoken",
                self._home / "babble.npy",
            )
            for model in models
        ]
        self.measured = [
            Measured(
                clips.called(model.name), clips.voices_for(name_of(model)), used,
                f"{datetime.now():%d.%m.%Y}", machine(),  # noqa: DTZ005
                size=size_of(model), calibration=calibration.of_model(model),
            )
            for model in models
        ]  # fmt: skip

    @property
    def _first(self) -> Measured:
        return self.measured[0]

    def prepare(self, parts: Sequence[str]) -> None:
        """Everything spoken; and the models, the words and what these parts need are there at all."""
        if "pictures" in parts:
            self._pictures = pictures.pictures(self._home / "native" / "root")
        for bench, measured in zip(self._benches, self.measured, strict=True):
            self._look_into(bench, measured)
        said = [clip.spoken for clip in self._clips]
        if "voices" in parts:
            said += [clip.spoken for measured in self.measured for clip in self._of_more_voices(measured)]
        if "unseen" in parts:
            said += [clip.spoken for clip in self._of_unseen_texts()]
        asyncio.run(self._studio.speak_all([*said, *self._behind, self._prompt]))
        np.save(self._benches[0].babble, self._studio.babble(self._behind))

    def _look_into(self, bench: judge.Bench, measured: Measured) -> None:
        """What the model knows."""
        ears, pack = judge.opened(bench)
        texts = {one.text: people.words_of(one.text) for one in self._phrases}
        measured.known = frozenset(text for text, words in texts.items() if not ears.missing(words))
        measured.unknown = ears.missing(pack.words())
        measured.listened_for = len(pack.words())
        say(f"{measured.model}: of {measured.listened_for} words it does not know {len(measured.unknown)}")
        ears.close()

    def table(self) -> None:
        say(f"{len(self._clips)} clips of {len(self._phrases)} phrases, {', '.join(self._first.used)}")
        for bench, measured in zip(self._benches, self.measured, strict=True):
            began = time.perf_counter()
            with clips.progress(len(self._clips), measured.model) as bar:
                measured.judged = judge.hear_all(bench, self._clips, bar)
            measured.unpaced = time.perf_counter() - began

    def voices(self) -> None:
        """Each model by all voices that are held out from it, where these are more than are from every one."""
        for bench, measured in zip(self._benches, self.measured, strict=True):
            if more := self._of_more_voices(measured):
                say(f"{len(more)} clips for {measured.model} alone, {', '.join(measured.voices.held_out)}")
                with clips.progress(len(more), measured.model) as bar:
                    measured.wider = judge.hear_all(bench, more, bar)
            else:
                say(f"{measured.model}: no more voices (none in a quick run, nor by those it learned from)")

    def _of_more_voices(self, measured: Measured) -> list[Clip]:
        if self._plan.quick or not self._is_test or set(measured.voices.held_out) <= set(self._first.used):
            return []
        return list(clips.plan(self._phrases, measured.voices.held_out))

    def unseen(self) -> None:
        bench, measured = self._benches[0], self._first
        heard = self._of_unseen_texts()
        say(f"{len(heard)} clips of texts that nobody widened the vocabulary by")
        pack = Pack.read(bench.language, bench.understanding)
        measured.readable = frozenset(
            clip.spoken.phrase.text for clip in heard if unseen.is_understood(clip.spoken.phrase, pack)
        )
        with clips.progress(len(heard), measured.model) as bar:
            measured.unseen = judge.hear_all(bench, heard, bar)

    def _of_unseen_texts(self) -> list[Clip]:
        voices = self._first.voices.held_out if self._is_test else self._first.used
        return unseen.plan(voices, quick=self._plan.quick)

    def pictures(self) -> None:
        say(f"{len(self._pictures)} words of two people whom nobody learned from")
        for bench, measured in zip(self._benches, self.measured, strict=True):
            measured.named = pictures.measure(bench.model, self._pictures, self._settings)

    def latency(self) -> None:
        say(f"{CLOCK_CALLS} calls by the clock, {self._plan.clock:.0f} s")
        self._first.clock = capacity.measure(self._step(Kind.ANSWERS, CLOCK_CALLS, self._plan.clock))

    def bargein(self) -> None:
        say("barge-in: noise, echoes of our own prompt, speech over both")
        prompt, babble = self._studio.samples(self._prompt), np.load(self._benches[0].babble)
        self._first.false_starts = bargein.false_starts(prompt, babble, self._plan.noise)
        answers = [
            clip for clip in self._clips if clip.condition is CLEAN and clip.spoken.phrase.means != NONE
        ]
        some = random.Random(4).sample(answers, min(self._plan.interruptions, len(answers)))  # noqa: S311
        speeches = [self._studio.samples(clip.spoken) for clip in some]
        self._first.interrupted = bargein.interrupted(prompt, speeches)

    def capacity(self) -> None:
        def load_of(calls: int) -> Load:
            load = capacity.measure(self._step(Kind.ANSWERS, calls, self._plan.step))
            say(f"{calls} calls at once: {load}{'' if capacity.holds(load) else ': too many'}")
            return load

        say(f"how many calls at once: {self._plan.step:.0f} s each")
        self._first.steps, self._first.held = capacity.most(load_of)
        calls = max(16, self._first.held // 2)
        for kind, name in (
            (Kind.NOBODY, "frames fed to nobody: the floor"),
            (Kind.SILENCE, "silence"),
            (Kind.TALK, "talk without a pause"),
        ):
            self._first.alone[name] = capacity.measure(self._step(kind, calls, self._plan.step))

    def streams(self) -> None:
        say("how many recognisers hold real time: about two minutes a model")
        some = tuple(clip for clip in self._answers(self._first) if clip.condition is CLEAN)[:STREAM_CLIPS]
        for bench, measured in zip(self._benches, self.measured, strict=True):
            step = Step(bench, some, Kind.STREAM, streams.FIRST, streams.LASTS)
            say(measured.model)
            measured.streams = streams.measure(step, say)

    def _step(self, kind: Kind, calls: int, lasts: float) -> Step:
        return Step(self._benches[0], self._answers(self._first), kind, calls, lasts)

    def _answers(self, measured: Measured) -> tuple[Clip, ...]:
        """What is said on the clock: answers in words the model knows."""
        fitting = [
            clip
            for clip in self._clips
            if clip.spoken.phrase.means != NONE
            and clip.spoken.phrase.text in measured.known
            and clip.condition.name in {"clean", "20 dB", "loss 1 %"}
            and clip.condition.noise is not Background.BABBLE  # talk that goes on has no end to measure from
        ]
        return tuple(random.Random(5).sample(fitting, min(ANSWERS, len(fitting))))  # noqa: S311

    def write(self, into: Path | None) -> None:
        text = report.markdown(self.measured)
        figures = self._home / "report.json"
        figures.write_text(json.dumps(report.as_json(self.measured), ensure_ascii=False), "utf-8")
        print(f"\n{text}\n", flush=True)
        say(f"every clip: {figures}")
        if into is not None:
            report.put_into(into, text)
            say(f"the tables: {into}")


def machine() -> str:
    return f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def size_of(model: Path) -> float:
    """MB on disk."""
    return sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / 1e6


def models_for(settings: Settings, named: Sequence[str]) -> list[Path]:
    """Those that are named, or every one that is here: first the one the robot would take."""
    if named:
        return [Path(folder).resolve() for folder in named]
    choice = choose_model(settings)
    models = [*([choice.folder] if choice.folder else []), *(folder for folder, _ in choice.others)]
    if not models:
        raise MissingPart("the ears", "no model is here", "run `make model`, or name one: --model FOLDER")
    return models


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.speech", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--quick", action="store_true", help="a couple of minutes; docs/speech.md stays as it is"
    )
    parser.add_argument(
        "--model", metavar="FOLDER", action="append", default=[],
        help="this one and no other; several are compared. Without it: every model that is here",
    )  # fmt: skip
    parser.add_argument(
        "--clips", metavar="FOLDER", type=Path,
        help=f"hear these recordings, too: WAV files, and {people.TEXT} with a file's name, a tab, what is said",
    )  # fmt: skip
    parser.add_argument(
        "--voices", choices=("held-out", "training"), default="held-out",
        help="training: the voices the model learned from, to tune on; docs/speech.md stays as it is",
    )  # fmt: skip
    parser.add_argument("--only", metavar="PART", choices=PARTS, action="append", help=", ".join(PARTS))
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        logs.set_up("warning")
        settings = Settings.read()
        models, plan = models_for(settings, options.model), QUICK if options.quick else FULL
        bench = BenchSpeech(settings, models, options.voices, plan, options.clips)
        parts = options.only or PARTS
        bench.prepare(parts)
        for part in parts:
            getattr(bench, part)()
        own = options.quick or options.only or options.clips or options.voices != "held-out"
        bench.write(None if own else DOCUMENT)
    except BrokenProcessPool:
        print(
            "\na process of the benchmark was killed; what to do: see what the kernel says, start again",
            file=sys.stderr,
        )
        return 1
    except (DozvonError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"done in {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
