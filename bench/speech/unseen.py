"""Answers written without sight of the vocabulary: is what people say of their own accord understood?

Two things may fail: that the vocabulary has no line for it, which its text alone tells, and that it is misheard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.speech import clips
from bench.speech.clips import NONE, Clip, Phrase
from bench.speech.compare import table
from bench.speech.hearing import Judged
from bench.speech.people import words_of
from bench.speech.spoil import CLEAN, LOSSY
from ivr.dialplan.understanding import Pack, Rating, Wish
from ivr.heard import Heard, Word

FILE = Path(__file__).with_name("unseen.toml")
LINES = (CLEAN, LOSSY[-1])
PAUSE = 0.2
"""Seconds, for a comma."""
KINDS: dict[str, Callable[[Phrase], bool]] = {
    "ratings": lambda phrase: phrase.is_rating,
    "wishes": lambda phrase: phrase.means != NONE and not phrase.is_rating,
    "no answers": lambda phrase: phrase.means == NONE,
}


def plan(voices: Sequence[str], *, quick: bool = False) -> list[Clip]:
    """Each text by six of these voices; by one of them over a line that loses packets, but of what is no answer half.
    Quick: by one, and over the other line hardly any."""
    return [
        clip for clip in clips.plan(clips.read_phrases(FILE), voices, quick=quick) if clip.condition in LINES
    ]


def is_understood(phrase: Phrase, pack: Pack) -> bool:
    """Were every word heard for certain."""
    meaning = pack.understand(read(phrase.text), phrase.asked)
    means = NONE
    if isinstance(meaning, Rating):
        means = str(meaning.value) if phrase.is_rating or meaning.confidence >= pack.sure else NONE
    elif isinstance(meaning, Wish):
        means = meaning.intent
    return means in {phrase.means, *phrase.also}


def read(text: str) -> Heard:
    words = [
        Word(word, 1.0, pause=PAUSE if clause and not at else 0.0)
        for clause, said in enumerate(text.split(","))
        for at, word in enumerate(words_of(said))
    ]
    return Heard(tuple(words))


def report(judged: Sequence[Judged], understood: frozenset[str]) -> str:
    """`understood`: the texts that are, were every word heard for certain."""
    head = ("", "texts", "understood as text", "line", "clips", "right", "of them read back",
            "right, of texts understood", "asked back for nothing", "taken for a rating", "all wrong")  # fmt: skip
    rows = []
    for kind, is_one in KINDS.items():
        texts = {one.phrase.text for one in judged if is_one(one.phrase)}
        for line in LINES:
            mine = [one for one in judged if is_one(one.phrase) and one.clip.condition == line]
            known = [one for one in mine if one.phrase.text in understood]
            first = (kind, str(len(texts)), str(len(texts & understood))) if line is CLEAN else ("", "", "")
            rows.append((*first, str(line), str(len(mine)), *_counted(mine, known)))
    return table(head, rows)


def _counted(mine: Sequence[Judged], known: Sequence[Judged]) -> tuple[str, ...]:
    right = [one for one in mine if one.accepted]
    counts = (
        len(right),
        sum(one.read_back for one in right),
        f"{sum(one.accepted for one in known)} of {len(known)}",
        sum(one.doubted for one in mine),
        sum(one.wrong_rating for one in mine),
        sum(one.wrong for one in mine),
    )
    return tuple(map(str, counts))
