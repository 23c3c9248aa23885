"""A folder that libvosk loads: the network, what it is shown, and the words with their pronunciations."""

from __future__ import annotations

from pathlib import Path

from ears.features import CONF
from ears.network import STRIDE, Network
from ears.packaging import final_mdl
from ears.words import Words
from ivr.speech.graph import LEXICON, OpenFst, build

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
