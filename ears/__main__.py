"""`make ears`: from a list of words to a model that was tried, in about an hour on two cores.

    python -m ears [--seed 1] [--folder var/ears] [--into var/ears/model]
    python -m ears --words ears/model

    words       what is to be heard, and how it is said
    speech      voices say it; people's recordings
    alignment   which phone is spoken when
    spoiling    other voices, mouths, rooms, telephones, noise
    network     what tells phones apart
    model       a folder that libvosk loads
    trial       how sure it may be of what it hears

What is made stays under the folder, and is made again only when what it was made from is another; a run that was
broken off goes on. The same seed gives the same model.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from appliance.native import Native
from ears import (
    alignment,
    augmentation,
    belarusian,
    features,
    morphing,
    network,
    ogg,
    people,
    speech,
    training,
)
from ears import words as wording
from ears.alignment import Aligned, align, read_aligned, write_aligned
from ears.card import LICENCE, NAME, machine, read_made, shares, write_card
from ears.model import write_model, write_words
from ears.network import Network
from ears.speech import Source, kept, sources, synthesise, write_pack
from ears.spent import Spent
from ears.texts import plan
from ears.training import Recipe, spoil_all, train
from ears.trial import Result, hear, is_reserved, worth
from ears.words import HERE, Words, held_out, lines, vocabulary
from ivr.errors import DozvonError, MissingPart
from ivr.lexicon import openfst
from ivr.settings import Settings
from ivr.speech import calibration

COMMAND = "make ears"
VOICES = "usr/share/RHVoice"
LEAST_RIGHT = 0.85
"""Of the answers kept for the trial; a model below that takes no other's place."""


@dataclass(slots=True)
class Workshop:
    """Where a model is made, and with what."""

    folder: Path
    native: Native
    fetched: Path
    """Where what only teaches is unpacked (`packages.txt`): people's recordings, Ukrainian voices."""
    recipe: Recipe
    share: float = 1.0
    """Of what there is to say; less only to try the tools."""
    began: float = field(default_factory=time.monotonic)
    sources: list[Source] = field(default_factory=sources)

    @property
    def spent(self) -> Spent:
        return Spent(self.folder / "spent.json")

    def make(self, into: Path) -> None:
        words = self.words()
        packs = self.speech(words)
        pieces, key = self.alignment(words, packs)
        kept_out = {variant for source in self.sources for variant in source.kept_out}
        learned = [piece for piece in pieces if not is_reserved(piece, tuple(kept_out))]
        reserved = [piece for piece in pieces if is_reserved(piece, tuple(kept_out))]
        times = {source.name: source.times for source in self.sources}
        taught = self.network([piece for piece in learned for _ in range(times[piece.source])], key)
        model = self.model(words, taught)
        result = self.trial(model, reserved, learned)
        write_card(model, self.made(words, taught, learned, result))
        _replace(model, into)
        self.say(f"{into} is the model")

    def give_words(self, model: Path, into: Path) -> None:
        """The words of today, and how they are said. Its network and its confidences stay: nothing is learned."""
        made, words = read_made(model), self.words()
        known = len(words.vocabulary.known)
        new = self.folder / "words.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(model, new)
        write_words(new, words, openfst(self.native))
        write_card(new, {"learned_with": made["words"], **made, "words": known})
        _replace(new, into)
        shutil.rmtree(new)
        self.say(f"{into} knows {known} words; it was not tried")

    def say(self, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3}:{seconds:02}  {what}", flush=True)

    def words(self) -> Words:
        words = Words.of(vocabulary(), self.native)
        known, other = len(words.vocabulary.known), len(words.vocabulary.other)
        phrases = sum(map(len, words.vocabulary.phrases.values()))
        self.say(f"words: {known} to hear, {other} for other speech, {phrases} phrases of them")
        return words

    def speech(self, words: Words) -> list[Path]:
        folder, packs = self.folder / "speech", []
        sentences, avoid = lines(HERE / "sentences.txt"), held_out()
        for source in self.sources:
            if source.engine == "recordings":
                packs.append(self._recordings(source))
                continue
            said = plan(
                source.name, words.vocabulary, sentences, self.share * source.says, self.recipe.seed, avoid
            )
            with self.spent.on(f"speech of {source.name}", _digest(source, said)):
                voices = self.fetched / VOICES if source.language == "ukrainian" else None
                packs += synthesise(source, said, self.native, folder, words.say, voices)
        self.say(f"speech: {sum(one.seconds for one in kept(packs)) / 3600:.1f} h in {len(packs)} packs")
        return packs

    def _recordings(self, source: Source) -> Path:
        file = (
            self.folder
            / "speech"
            / f"{source.name}-000-{_digest(source, _source_of(people, belarusian, ogg, speech))}.npz"
        )
        if not file.exists():
            spoken = people.recordings(source, self.fetched, self.native.sounds)
            write_pack(file, spoken[: max(1, round(len(spoken) * self.share))])
        return file

    def alignment(self, words: Words, packs: Sequence[Path]) -> tuple[list[Aligned], str]:
        key = _digest(packs, words.pronouncer.respelled, _source_of(alignment, features, wording))
        file = self.folder / "aligned" / f"{key}.npz"
        with self.spent.on("alignment", key):
            if not file.exists():
                spoken = list(kept(packs))
                uttered = {word for one in spoken for word in one.words}
                _alone(file.parent)
                machine = {"espeak-ng": words.as_written(uttered)}
                write_aligned(file, list(align(spoken, words.say(uttered), machine)))
            pieces = read_aligned(file)
        self.say(f"alignment: {len(pieces)} pieces")
        return pieces, key

    def network(self, pieces: Sequence[Aligned], key: str) -> Network:
        said = [(piece.voice, piece.words) for piece in pieces]
        what = (key, self.recipe.seed, self.recipe.copies, said)
        spoilt = self.folder / "spoilt" / _digest(*what, _source_of(augmentation, morphing, features))
        learned = _digest(spoilt.name, self.recipe, _source_of(network, training))
        file = self.folder / "learned" / f"{learned}.pt"
        _alone(spoilt.parent, spoilt.name)
        with self.spent.on("spoiling", spoilt.name):
            spoil_all(pieces, self.recipe, spoilt)
        self.say(f"spoiling: {self.recipe.copies} copies of {len(pieces)} pieces")
        file.parent.mkdir(parents=True, exist_ok=True)
        with self.spent.on("network", file.stem):
            taught = train(spoilt, self.recipe, file)
        self.say(f"network: {self.recipe.rounds} rounds")
        return taught

    def model(self, words: Words, taught: Network) -> Path:
        model = self.folder / "model.new"
        shutil.rmtree(model, ignore_errors=True)
        write_model(model, words, taught, openfst(self.native))
        size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
        self.say(f"model: {size / 1e6:.1f} MB")
        return model

    def trial(self, model: Path, reserved: Sequence[Aligned], others: Sequence[Aligned]) -> Result:
        with self.spent.on("trial"):
            heard = hear(model, reserved, others)
        result = Result.of(heard)
        self.say(f"trial: {result}")
        if self.share < 1.0:
            return result
        if result.share < LEAST_RIGHT:
            raise MissingPart(
                "the model",
                f"it hears {result} of what it did not learn from; {LEAST_RIGHT:.0%} are wanted",
                f"it stays in {model}, and takes no other's place: see what was changed since the last one",
            )
        worth(heard).write(model / calibration.FILE)
        return result

    def made(
        self, words: Words, taught: Network, learned: Sequence[Aligned], result: Result
    ) -> dict[str, object]:
        return {
            "name": NAME,
            "licence": LICENCE,
            "command": COMMAND,
            "seed": self.recipe.seed,
            "words": len(words.vocabulary.known),
            "pieces": len(learned),
            "hours": round(sum(len(piece.pcm) for piece in learned) / speech.RATE / 3600, 1),
            "copies": self.recipe.copies,
            "rounds": self.recipe.rounds,
            "minutes": self.spent.minutes,
            "cores": os.cpu_count(),
            "machine": machine(),
            "parameters": sum(each.numel() for each in taught.parameters()),
            "labels": alignment.LABELS,
            "knows_noise": True,
            "heard": str(result),
            "versions": {name: version(name) for name in ("torch", "numpy", "vosk", "soxr")},
            "sources": shares(self.sources, learned),
        }


def _replace(model: Path, into: Path) -> None:
    """The old one stays until the new one is whole beside it."""
    into.parent.mkdir(parents=True, exist_ok=True)
    aside = into.with_name(f".{into.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(model, aside)
    shutil.rmtree(into, ignore_errors=True)
    aside.rename(into)


def _alone(folder: Path, name: str = "") -> None:
    """What was made from something else is in nobody's way any more."""
    for other in folder.glob("*"):
        if other.name != name:
            shutil.rmtree(other) if other.is_dir() else other.unlink()


def _digest(*of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()[:12]


def _source_of(*modules: object) -> list[str]:
    """What a step does, as its code says: changed code makes its work anew."""
    return [Path(str(module.__file__)).read_text("utf-8") for module in modules]  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where what is made on the way is kept; default var/ears")
    parser.add_argument("--into", type=Path, help="where the model goes; default FOLDER/model, or MODEL")
    parser.add_argument(
        "--short", action="store_true", help="a hundredth of it, to try the tools: no use as a model"
    )
    parser.add_argument(
        "--words",
        type=Path,
        metavar="MODEL",
        help="give this model the words of today, in seconds: nothing is learned",
    )
    asked = parser.parse_args(arguments)
    try:
        settings = Settings.read()
        folder = (asked.folder or settings.home / ("ears-short" if asked.short else "ears")).resolve()
        native = Native(settings.native or settings.home / "native" / "root")
        fetched = settings.home / "ears" / "native" / "root"
        recipe = Recipe(asked.seed, 1, 1, 1) if asked.short else Recipe(asked.seed)
        workshop = Workshop(folder, native, fetched, recipe, share=0.01 if asked.short else 1.0)
        if asked.words:
            workshop.give_words(asked.words.resolve(), (asked.into or asked.words).resolve())
        else:
            workshop.make((asked.into or folder / "model").resolve())
    except (DozvonError, OSError) as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{COMMAND}: broken off; the next one goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
