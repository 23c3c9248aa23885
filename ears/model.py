"""A folder that libvosk loads: the network, what it is shown, and the words with their pronunciations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.native import Native
from ears.features import CONF
from ears.network import STRIDE, Network
from ears.packaging import final_mdl
from ears.words import HERE, Vocabulary
from ivr.errors import DialplanError
from ivr.speech.graph import LEXICON, Lexicon, OpenFst, OtherSpeech, build
from ivr.speech.pronounce import Phones, Pronouncer, read_respelled

RESPELLED = HERE / "respelled.txt"
DECODER = f"""\
--min-active=100
--max-active=3000
--beam=12.0
--lattice-beam=6.0
--acoustic-scale=1.0
--frame-subsampling-factor={STRIDE}
--frames-per-chunk=42
--endpoint.silence-phones=1
--endpoint.rule2.min-trailing-silence=0.5
--endpoint.rule3.min-trailing-silence=0.8
--endpoint.rule4.min-trailing-silence=1.5
"""
"""How it searches. With a beam of 10 a word that was added to a long grammar gets lost. The network scores 420 ms at
a time: its weights are read once for all of it, and a stream costs a quarter less than with the usual 200."""


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabulary, and how its words are said."""

    vocabulary: Vocabulary
    pronouncer: Pronouncer

    @classmethod
    def of(cls, vocabulary: Vocabulary, native: Native) -> Words:
        command = native.command("usr/bin/espeak-ng")
        return cls(vocabulary, Pronouncer(command, native.environment(), read_respelled(RESPELLED)))

    def say(self, words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
        """Raises DialplanError naming every word that cannot be said."""
        said = self.pronouncer.say(words)
        if silent := [
            f"{RESPELLED.name}: «{word}» cannot be said so" for word, ways in said.items() if not ways
        ]:
            raise DialplanError("how words are said", silent)
        return said

    def as_written(self, words: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
        """As espeak-ng's own voices say them, wherever people put the stress."""
        said = self.say(words)
        # a letter that is a word is spelled where it stands alone, and nowhere else
        return said | replace(self.pronouncer, respelled={}).say(word for word in said if len(word) > 1)

    def lexicon(self) -> Lexicon:
        return Lexicon.of(self.say(self.vocabulary.known), self.vocabulary.vital)

    def other_speech(self) -> OtherSpeech:
        every = self.say([*self.vocabulary.known, *self.vocabulary.other])
        return OtherSpeech.of(
            (ways[0] for ways in every.values()), (every[word][0] for word in self.vocabulary.other)
        )


def write_model(folder: Path, words: Words, network: Network, openfst: OpenFst) -> None:
    for part in ("am", "conf"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "am" / "final.mdl").write_bytes(final_mdl(network))
    (folder / "conf" / "mfcc.conf").write_text(CONF)
    (folder / "conf" / "model.conf").write_text(DECODER)
    write_words(folder, words, openfst)


def write_words(folder: Path, words: Words, openfst: OpenFst) -> None:
    """What a model with a network listens for."""
    words.lexicon().write(folder / LEXICON)
    words.other_speech().write(folder)
    build(folder, openfst=openfst)
