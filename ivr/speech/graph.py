"""What the decoder may follow: the words of a model, phone by phone, and other speech.

A model of ours holds its words as text, `lexicon.txt`; from that the decoder's graph is made in a second, so a word
can be added where the model serves, and nothing is learned anew. OpenFst's programs (Debian: libfst-tools) compile
it.

    lexicon.txt      WORD[, WORD THAT SOUNDS THE SAME]: PHONES      a way to say it, a line
    other.txt        PHONES      a word that stands for other speech, a line
    phones.txt       the phones, and how likely one follows another in other speech
    graph/           what is made of them

Kaldi's HCL (phones to words) is composed with a grammar while it decodes; libvosk makes the grammar of the phrases
that are listened for.
"""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ivr.errors import DialplanError, MissingPart
from ivr.heard import UNKNOWN
from ivr.speech.pronounce import PHONES, Phones

PROGRAMS = ("fstcompile", "fstarcsort", "fstconvert", "fstsymbols")
PLACES = ("begin", "end", "internal", "singleton")
"""Of a phone in a word, as Kaldi's word_boundary.int calls them."""
LEXICON = "lexicon.txt"
RARE = 0.002
"""Phones that follow one another less often than that do not."""
PATIENCE = 60.0
"""Seconds for the programs; a graph of three thousand words takes one."""

_NUMBER = {phone: number for number, phone in enumerate(PHONES, 1)}


@dataclass(frozen=True, slots=True)
class Weights:
    """What the decoder pays, as negative logarithms."""

    pause: float = 0.5
    """A silence between words."""
    other: float = 4.0
    """Other speech begins."""
    phone: float = 1.0
    """Each of its phones, beside how rarely it follows the one before."""
    habit: float = 0.8
    """How much it matters what the phones before it make likely."""
    named: float = 7.0
    """It is one of the words of other.txt."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of a model and how they are said. Words that sound the same are heard as the first of them."""

    words: Mapping[str, tuple[Phones, ...]]
    alike: Mapping[str, str] = field(default_factory=dict)
    """A word that sounds like another → that one."""

    @classmethod
    def of(cls, said: Mapping[str, tuple[Phones, ...]], first: Sequence[str] = ()) -> Lexicon:
        """`first`: of words that sound the same these are heard."""
        words: dict[str, tuple[Phones, ...]] = {}
        alike: dict[str, str] = {}
        heard: dict[Phones, str] = {}
        for word in dict.fromkeys([*(word for word in first if word in said), *said]):
            usual = said[word][0]
            if usual in heard:
                alike[word] = heard[usual]
                continue
            for way in said[word]:
                heard.setdefault(way, word)
            words[word] = tuple(way for way in said[word] if heard[way] == word)
        return cls(words, alike)

    @classmethod
    def read(cls, file: Path) -> Lexicon:
        """Raises DialplanError naming every wrong line."""
        words: dict[str, tuple[Phones, ...]] = {}
        alike: dict[str, str] = {}
        wrong = []
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            names, colon, phones = line.partition(":")
            word, *same = [name.strip() for name in names.split(",")]
            way = tuple(phones.split())
            if not (colon and word and way) or any(phone not in _NUMBER for phone in way):
                wrong.append(f"{file.name}:{number}: {line!r} is not «word: p h o n e s»")
                continue
            words[word] = (*words.get(word, ()), way)
            alike.update(dict.fromkeys(same, word))
        if wrong:
            raise DialplanError("the words of the model", wrong)
        return cls(words, alike)

    def write(self, file: Path) -> None:
        same: dict[str, list[str]] = {}
        for word, other in self.alike.items():
            same.setdefault(other, []).append(word)
        rows = [
            f"{', '.join([word, *same.get(word, ())] if way is ways[0] else [word])}: {' '.join(way)}\n"
            for word, ways in sorted(self.words.items())
            for way in ways
        ]
        file.write_text("".join(rows), "utf-8")


@dataclass(frozen=True, slots=True)
class OtherSpeech:
    """What people say that is not listened for."""

    words: tuple[Phones, ...]
    follows: Mapping[str, Mapping[str, float]]
    """Phone → the next phone (`.`: none) → its probability; from `.` the first."""

    @classmethod
    def of(cls, said: Iterable[Phones], words: Iterable[Phones]) -> OtherSpeech:
        """Learned from how words are said."""
        count = {before: dict.fromkeys((*PHONES, "."), 0.2) for before in (".", *PHONES)}
        for way in said:
            for before, after in zip((".", *way), (*way, "."), strict=True):
                count[before][after] += 1
        count["."].pop(".")
        shares = {
            before: {after: number / sum(row.values()) for after, number in row.items()}
            for before, row in count.items()
        }
        return cls(tuple(dict.fromkeys(words)), shares)

    def write(self, folder: Path) -> None:
        (folder / "other.txt").write_text("".join(f"{' '.join(way)}\n" for way in self.words), "utf-8")
        rows = [
            f"{before} {after} {share:.5g}\n"
            for before, row in self.follows.items()
            for after, share in row.items()
        ]
        (folder / "phones.txt").write_text("".join(rows), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> OtherSpeech:
        words = tuple(tuple(line.split()) for line in (folder / "other.txt").read_text("utf-8").splitlines())
        follows: dict[str, dict[str, float]] = {}
        for line in (folder / "phones.txt").read_text("utf-8").splitlines():
            before, after, share = line.split()
            follows.setdefault(before, {})[after] = float(share)
        return cls(words, follows)


# Phones as Kaldi numbers them


def transition_phones(count: int) -> list[int]:
    """For Kaldi's phones 1, 2, … the score each is heard by: silence, then every phone in each of its PLACES."""
    return [0, *(phone for phone in range(1, count + 1) for _ in PLACES)]


def _kaldi(phone: str, place: str) -> int:
    return 2 + len(PLACES) * (_NUMBER[phone] - 1) + PLACES.index(place)


SILENCE = 1


def _enters(kaldi: int) -> int:
    """The transition that a phone begins with; each phone has two, to stay and to leave."""
    return 2 * kaldi


def _stays(kaldi: int) -> int:
    return 2 * kaldi - 1


# The graph


@dataclass(frozen=True, slots=True)
class _Arc:
    begin: int
    end: int
    transition: int
    word: int
    cost: float

    def __str__(self) -> str:
        return f"{self.begin}\t{self.end}\t{self.transition}\t{self.word}\t{self.cost:.4f}"


START, LOOP, ENDED = 0, 1, 2
"""The beginning; where a word begins, and all may end; where a word has ended."""


class _Graph:
    """Phones to words: a tree of the words, a net of phones for other speech, silence between them."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.arcs: list[_Arc] = []
        self._states = 3
        for begin in (START, ENDED):
            self.arc(begin, LOOP, cost=weights.pause)
            silence = self.phone(begin, SILENCE, cost=weights.pause)
            self.arc(silence, LOOP)

    def state(self) -> int:
        self._states += 1
        return self._states - 1

    def arc(self, begin: int, end: int, transition: int = 0, word: int = 0, cost: float = 0.0) -> None:
        self.arcs.append(_Arc(begin, end, transition, word, cost))

    def phone(self, begin: int, kaldi: int, word: int = 0, cost: float = 0.0) -> int:
        """A phone after `begin`; returns where it is, as long as it lasts."""
        state = self.state()
        self.arc(begin, state, _enters(kaldi), word, cost)
        self.arc(state, state, _stays(kaldi))
        return state

    def words(self, ways: Iterable[tuple[int, Phones, float]]) -> None:
        """A tree: words that begin alike share their beginnings, and part with their last phone at the latest."""
        tree: dict[Phones, int] = {(): LOOP}
        for word, way, cost in ways:
            for length in range(1, len(way)):
                stem = way[:length]
                if stem not in tree:
                    place = "begin" if length == 1 else "internal"
                    tree[stem] = self.phone(tree[stem[:-1]], _kaldi(stem[-1], place))
            place = "end" if len(way) > 1 else "singleton"
            last = self.phone(tree[way[:-1]], _kaldi(way[-1], place), word, cost)
            self.arc(last, ENDED)

    def other(self, follows: Mapping[str, Mapping[str, float]], word: int) -> None:
        """Any phones, two at least, by how likely one follows another."""
        inside, last = ({phone: self.state() for phone in PHONES} for _ in "io")
        begun = {phone: self.state() for phone in PHONES}
        for phone in PHONES:
            self.arc(begun[phone], begun[phone], _stays(_kaldi(phone, "begin")))
            self.arc(inside[phone], inside[phone], _stays(_kaldi(phone, "internal")))
            self.arc(last[phone], last[phone], _stays(_kaldi(phone, "end")))
            self.arc(last[phone], ENDED)
            first = self.weights.other + self._price(follows["."][phone])
            self.arc(LOOP, begun[phone], _enters(_kaldi(phone, "begin")), word, first)
        for before in PHONES:
            for after, share in follows[before].items():
                if after == "." or share < RARE:
                    continue
                goes_on, ends = self._price(share), self._price(share * follows[after]["."])
                for state in (begun[before], inside[before]):
                    self.arc(state, inside[after], _enters(_kaldi(after, "internal")), 0, goes_on)
                    self.arc(state, last[after], _enters(_kaldi(after, "end")), 0, ends)

    def _price(self, share: float) -> float:
        return self.weights.phone - self.weights.habit * math.log(share)

    def text(self) -> str:
        # OpenFst takes the first line's state for the start
        rows = sorted(self.arcs, key=lambda arc: arc.begin)
        return "".join(f"{arc}\n" for arc in rows) + f"{LOOP}\t0\n"


# Made by OpenFst


def build(folder: Path, weights: Weights | None = None, openfst: OpenFst | None = None) -> None:
    """Make `graph/` of the folder's texts; it appears whole or not at all. Raises MissingPart without OpenFst."""
    lexicon, other = Lexicon.read(folder / LEXICON), OtherSpeech.read(folder)
    words = [*sorted(lexicon.words), UNKNOWN]
    number = {word: at for at, word in enumerate(words, 1)}
    weights = weights or Weights()
    graph = _Graph(weights)
    ways = [(number[word], way, 0.0) for word, ways in sorted(lexicon.words.items()) for way in ways]
    taken = {way for _, way, _ in ways}
    ways += [(number[UNKNOWN], way, weights.named) for way in other.words if way not in taken]
    graph.words(ways)
    graph.other(other.follows, number[UNKNOWN])
    with tempfile.TemporaryDirectory(dir=folder, prefix=".graph-") as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        _compile(graph.text(), words, new, openfst or OpenFst())
        if (folder / "graph").exists():
            (folder / "graph").rename(old)
        new.rename(folder / "graph")


def _compile(text: str, words: Sequence[str], folder: Path, openfst: OpenFst) -> None:
    """HCLr.fst looks ahead for words, which renumbers them; Gr.fst and the grammars use the new numbers."""
    hcl, sorted_, renumbered = (folder / name for name in ("HCL", "HCL.sorted", "renumbered"))
    openfst.run("fstcompile", "-", hcl, text=text)
    openfst.run("fstarcsort", "--sort_type=olabel", hcl, sorted_)
    save = f"--save_relabel_opairs={renumbered}"
    openfst.run("fstconvert", "--fst_type=olabel_lookahead", save, sorted_, folder / "HCLr.fst")
    pairs = (line.split() for line in renumbered.read_text().splitlines())
    new = {int(old): int(at) for old, at in pairs}
    rows = sorted((new[at], word) for at, word in enumerate(words, 1) if at in new)
    symbols = folder / "symbols"
    symbols.write_text("".join(f"{word} {at}\n" for at, word in [(0, "<eps>"), *rows]), "utf-8")
    cost = math.log(len(rows) + 1)
    grammar = "".join(f"0\t0\t{at}\t{at}\t{cost:.3f}\n" for at, _ in rows) + f"0\t{cost:.3f}\n"
    openfst.run("fstcompile", "-", folder / "G", text=grammar)
    openfst.run("fstarcsort", "--sort_type=ilabel", folder / "G", folder / "G.sorted")
    # the symbols' path is kept in the graph as their name, so it must be the same everywhere
    named = symbols.read_text("utf-8")
    openfst.run("fstsymbols", "--isymbols=/dev/stdin", folder / "G.sorted", folder / "G.named", text=named)
    openfst.run("fstsymbols", "--osymbols=/dev/stdin", folder / "G.named", folder / "Gr.fst", text=named)
    (folder / "disambig_tid.int").write_text("")
    (folder / "phones").mkdir()
    places = ["1 nonword", *(f"{_kaldi(phone, place)} {place}" for phone in PHONES for place in PLACES)]
    (folder / "phones" / "word_boundary.int").write_text("".join(f"{row}\n" for row in places))
    for spare in (hcl, sorted_, renumbered, symbols, folder / "G", folder / "G.sorted", folder / "G.named"):
        spare.unlink()


@dataclass(frozen=True, slots=True)
class OpenFst:
    """OpenFst's programs: those on the path unless a command is named."""

    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, program: str, *arguments: str | Path, text: str | None = None) -> None:
        command = [*self.commands.get(program, (program,)), *map(str, arguments)]
        try:
            subprocess.run(
                command,
                input=text,
                env={**os.environ, **self.environment},
                capture_output=True,
                encoding="utf-8",
                timeout=PATIENCE,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise _no_openfst(f"{program}: {error.stderr.strip()[-300:]}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise _no_openfst(str(error)) from error


def _no_openfst(why: str) -> MissingPart:
    return MissingPart("OpenFst, which compiles the words of a model", why, "apt-get install libfst-tools")
