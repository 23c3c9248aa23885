"""What was heard, made sense of. Rather unsure than wrong: a rating counts only when every word is accounted for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ivr.dialplan.understanding import sentence, vocabulary
from ivr.dialplan.understanding.meaning import Intent, Meaning, Rating, Unsure, Why, Wish
from ivr.dialplan.understanding.sentence import Piece
from ivr.dialplan.understanding.vocabulary import Lexicon, Role, Vocabulary, plain
from ivr.heard import UNKNOWN, Heard, Question, Word

HERE = Path(__file__).parent

QUESTIONS: Mapping[str, Mapping[Role, Role]] = {
    "rating": {},
    "yes_no": {Role.VERDICT: Role.VAGUE},
    "offer": {Role.VERDICT: Role.VAGUE, Role.MARK: Role.ELSEWHERE},
}
"""What may be asked, and what a phrase does in an answer to it in place of what it does else.

`rating`: how many of five? `yes_no`: was it a four? A mark said instead counts. `offer`: yes or no, and no marks.
"""

GO_WITH_A_RATING = frozenset({Intent.OPT_OUT, Intent.NOT_DONE, Intent.HUMAN})
"""Wishes that take nothing from a rating in the same breath."""
UNSETTLE_A_RATING = frozenset({Intent.LATER, Intent.REFUSED})
"""«Пять не поставлю, отстаньте»: which of the two was meant?"""
NEARLY = 0.99
"""Of `sure`: just not that."""
GOOD = 4
"""Who says that nothing was done gives no such rating, whatever the word sounded like."""


class Pack:
    """One language: its vocabulary, and sense made with it."""

    def __init__(self, words: Vocabulary, unheard: Collection[str] = ()) -> None:
        self.vocabulary = words
        self._doubtful = {
            word for word, others in words.neighbours.items() if any(one in unheard for one in others)
        }
        self._lexicons = {name: _lexicon(name, words) for name in QUESTIONS}
        self._phrases = tuple(dict.fromkeys(phrase for line in words.lines.values() for phrase in line))

    @classmethod
    def read(cls, language: str, folder: Path = HERE) -> Pack:
        """Raises DialplanError naming everything that is wrong with the language's file."""
        return cls(vocabulary.read(folder / f"{language}.toml"))

    def heard_by(self, missing: Collection[str]) -> Pack:
        """The same, for ears that do not know these words: a mark they might mistake one for is read back."""
        return Pack(self.vocabulary, missing)

    @property
    def sure(self) -> float:
        """From this confidence on a rating need not be read back."""
        return self.vocabulary.sure

    def words(self) -> tuple[str, ...]:
        """Every word that is listened for, as the file spells it."""
        return tuple(sorted({word for phrase in self._phrases for word in phrase.split()}))

    def question(self, name: str) -> Question:
        """What the ears are to listen for: the whole vocabulary, so that nothing in it is taken for a rating."""
        return Question(
            name, (*self._phrases, UNKNOWN), is_complete=lambda words: self._is_whole(words, name)
        )

    def understand(self, heard: Heard, question: str) -> Meaning:
        """Never a guess: what is faint, doubled or not to the point is Unsure."""
        pieces = sentence.take_apart(heard.words, self._lexicons[question])
        meaning = self._make(heard, pieces)
        doubt = None if isinstance(meaning, Unsure) else self._doubt(meaning, pieces)
        return Unsure(doubt, heard) if doubt else meaning

    def _doubt(self, meaning: Rating | Wish, pieces: Sequence[Piece]) -> Why | None:
        """What speaks against it in the sound; of a wish only its own words must be certain."""
        words = meaning.heard.words
        if isinstance(meaning, Wish) and meaning.intent not in {Intent.YES, Intent.NO}:
            return Why.FAINT if meaning.confidence < self.vocabulary.enough else None
        if min(word.confidence for word in words) < self.vocabulary.enough:
            return Why.FAINT
        roles = {piece.role for piece in pieces}
        if Role.VERDICT in roles and Role.MARK not in roles and meaning.confidence < self.sure:
            return Why.FAINT  # «хорошо» is said of anything
        lasts = self.vocabulary.pause + self.vocabulary.letter * sum(len(word.text) for word in words)
        return Why.OTHER_SPEECH if meaning.heard.seconds > lasts else None

    def _in_doubt(self, confidence: float, heard: Heard) -> float:
        """Not sure, if one of the words might have been another that the ears do not know."""
        is_doubtful = any(plain(word.text) in self._doubtful for word in heard.words)
        return min(confidence, NEARLY * self.sure) if is_doubtful else confidence

    def _make(self, heard: Heard, pieces: Sequence[Piece]) -> Meaning:
        value = sentence.rating(pieces)
        confidence = sentence.least_confidence(pieces)
        wish = sentence.foremost_wish(pieces)
        if wish is not None:
            return _with_wish(value, wish, pieces, heard)
        if isinstance(value, int):
            return Rating(value, self._in_doubt(confidence, heard), heard)
        if value in {Why.NOTHING, Why.VAGUE} and any(piece.says_yes_or_no for piece in pieces):
            said = sentence.yes_or_no(pieces)
            return Unsure(said, heard) if isinstance(said, Why) else Wish(said, confidence, heard)
        return Unsure(value, heard)

    def _is_whole(self, words: Sequence[Word], question: str) -> bool:
        """Would hardly anybody go on after these words? However sure the ears are of them yet."""
        certain = tuple(replace(word, confidence=1.0) for word in words)
        pieces = sentence.take_apart(certain, self._lexicons[question])
        meaning = self._make(Heard(certain), pieces)
        roles = {piece.role for piece in pieces}
        if isinstance(meaning, Rating):
            return roles <= {Role.MARK, Role.PADDING}
        if isinstance(meaning, Wish):
            return meaning.intent is not Intent.NO and roles <= {Role.WISH, Role.PADDING}
        return False


def _lexicon(question: str, words: Vocabulary) -> Lexicon:
    roles = QUESTIONS[question]
    phrases = dict(words.always)
    for tokens, phrase in words.always.items():
        if phrase.role in roles:
            phrases[tokens] = replace(phrase, role=roles[phrase.role])
    return Lexicon(phrases if question == "rating" else phrases | dict(words.asked))


def _with_wish(value: int | Why, wish: Piece, pieces: Sequence[Piece], heard: Heard) -> Meaning:
    """A wish, and perhaps a rating in the same breath."""
    intent = wish.intent
    assert intent is not None
    alone = Wish(intent, min(word.confidence for word in wish.words), heard)
    if isinstance(value, Why) or Role.MARK not in {piece.role for piece in pieces}:
        return alone  # «хорошо, перезвоните» is no four
    if intent in UNSETTLE_A_RATING:
        return Unsure(Why.SEVERAL, heard)
    if intent not in GO_WITH_A_RATING or (intent is Intent.NOT_DONE and value >= GOOD):
        return alone
    return Rating(value, sentence.least_confidence(pieces), heard, also=intent)
