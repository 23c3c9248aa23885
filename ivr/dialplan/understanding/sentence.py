"""A sentence taken apart into phrases of the vocabulary, and which rating is left standing in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ivr.dialplan.understanding.meaning import Intent, Why
from ivr.dialplan.understanding.vocabulary import Lexicon, Phrase, Role, plain
from ivr.heard import UNKNOWN, Word

CHANGES_NOTHING = frozenset({Role.PADDING, Role.VAGUE})
"""Beside an answer."""
BESIDE_ANYTHING = CHANGES_NOTHING | {Role.CORRECTION}
"""Who says one of these is still alone with a wish: «ой, что?»"""

_STRAY = Phrase(Role.STRAY)
_ORDER = list(Intent)


@dataclass(frozen=True, slots=True)
class Piece:
    """A phrase of the vocabulary as it was heard, or one word that is in none."""

    phrase: Phrase
    words: tuple[Word, ...]

    @property
    def role(self) -> Role:
        return self.phrase.role

    @property
    def intent(self) -> Intent | None:
        return self.phrase.intent

    @property
    def is_wish(self) -> bool:
        """More than a mere yes or no."""
        return self.intent is not None and not self.says_yes_or_no

    @property
    def says_yes_or_no(self) -> bool:
        return self.intent in {Intent.YES, Intent.NO}


def take_apart(words: Sequence[Word], lexicon: Lexicon, from_the_end: bool = False) -> list[Piece]:
    """From the left, the longest phrase first. A wish that is denied is stray, and so is one that is not alone where
    it must be, if it is nothing else then.

    From the end, what could be said in two ways falls apart in the other: «пришли два», «два».
    """
    pieces = _split_from_the_end(words, lexicon) if from_the_end else list(_split(words, lexicon))
    pieces = [
        piece if _may_count(piece, pieces[:at], pieces[at + 1 :]) else _as_otherwise(piece)
        for at, piece in enumerate(pieces)
    ]
    return [
        replace(piece, phrase=_STRAY) if piece.is_wish and _denies(before) else piece
        for before, piece in zip([None, *pieces], pieces, strict=False)
    ]


def between_breaths(words: Sequence[Word], breath: float) -> tuple[Word, ...]:
    """The words without other speech at either end that is shorter than that (seconds), but of a known length."""
    first, last = 0, len(words)
    while first < last and _may_be_a_breath(words[first], breath):
        first += 1
    while last > first and _may_be_a_breath(words[last - 1], breath):
        last -= 1
    return tuple(words[first:last])


def between_scraps(pieces: Sequence[Piece], scrap: float, enough: float) -> tuple[Word, ...]:
    """The words without the first and the last, where these are in no phrase, shorter than `scrap` (seconds) and
    fainter than `enough`."""
    first, last = 0, len(pieces)
    if first < last and _may_be_a_scrap(pieces[first], scrap, enough):
        first += 1
    if first < last and _may_be_a_scrap(pieces[last - 1], scrap, enough):
        last -= 1
    return tuple(word for piece in pieces[first:last] for word in piece.words)


def amid_other_speech(pieces: Sequence[Piece], clause: float) -> tuple[Word, ...]:
    """The words that rate, where so many seconds of silence keep other speech from the marks: «пять, быстро [unk]».
    Empty where there is none, and where what is beside the marks may change them: «не», a number; «нет» after it."""
    clauses = _clauses(pieces, clause)
    marked = [at for at, one in enumerate(clauses) if _holds_mark(one)]
    if not marked or len(marked) == len(clauses):
        return ()
    before = [piece for one in clauses[: marked[0]] for piece in one]
    after = [piece for at, one in enumerate(clauses) if at > marked[0] and at not in marked for piece in one]
    beside = (
        *_nearest(reversed(before)),
        *_nearest(piece for one in clauses[marked[-1] + 1 :] for piece in one),
    )
    if (
        any(piece.role is Role.ELSEWHERE for piece in beside)
        or any(map(_denies, before))
        or _take_back(after)
    ):
        return ()
    rating = (
        piece for at, one in enumerate(clauses) for piece in one if at in marked or piece.role is Role.VERDICT
    )
    return tuple(word for piece in rating for word in piece.words)


def least_confidence(pieces: Iterable[Piece]) -> float:
    """Of the words that count."""
    counting = (piece for piece in pieces if piece.role not in CHANGES_NOTHING)
    return min((word.confidence for piece in counting for word in piece.words), default=0.0)


def foremost_wish(pieces: Sequence[Piece]) -> Piece | None:
    """The one that counts."""
    wishes = [piece for piece in pieces if piece.is_wish]
    return min(wishes, key=lambda piece: _ORDER.index(piece.intent or Intent.YES), default=None)


def rating(pieces: Sequence[Piece]) -> int | Why:
    """1 to 5, or why there is none that is certain."""
    roles = {piece.role for piece in pieces}
    if Role.STRAY in roles:
        return Why.OTHER_SPEECH
    if Role.ELSEWHERE in roles:
        return Why.ELSEWHERE
    values = list(_values(pieces))
    if not values:
        return Why.VAGUE if Role.VAGUE in roles else Why.NOTHING
    if _ends_in_doubt(pieces):
        return Why.TAKEN_BACK
    return _weigh(values)


def yes_or_no(pieces: Sequence[Piece]) -> Intent | Why:
    """YES, NO, or why it is neither for certain; of pieces that hold no rating and no other speech."""
    roles = {piece.role for piece in pieces}
    said = {piece.intent for piece in pieces if piece.says_yes_or_no}
    if Role.NEGATION in roles:
        return Why.TAKEN_BACK
    if len(said) > 1:
        return Why.SEVERAL
    if Role.VAGUE in roles:
        return Why.VAGUE
    return Intent.YES if Intent.YES in said else Intent.NO


@dataclass(frozen=True, slots=True)
class _Value:
    """One rating in a sentence, and what the words before it made of it."""

    role: Role
    value: int
    denied: bool
    corrects: bool


def _split(words: Sequence[Word], lexicon: Lexicon) -> Iterator[Piece]:
    tokens = tuple(plain(word.text) for word in words)
    at = 0
    while at < len(tokens):
        phrase, length = lexicon.begins(tokens[at:]) or (_STRAY, 1)
        yield Piece(phrase, tuple(words[at : at + length]))
        at += length


def _split_from_the_end(words: Sequence[Word], lexicon: Lexicon) -> list[Piece]:
    tokens = tuple(plain(word.text) for word in words)
    pieces: list[Piece] = []
    end = len(tokens)
    while end > 0:
        phrase, length = lexicon.ends(tokens[:end]) or (_STRAY, 1)
        pieces.append(Piece(phrase, tuple(words[end - length : end])))
        end -= length
    return pieces[::-1]


def _may_count(piece: Piece, before: Sequence[Piece], after: Sequence[Piece]) -> bool:
    """Is it alone, where it must be, or beside more of the same («каша убегает, потом»)? After a yes or no comes no
    more than another: «не» with a word after it denies that word."""
    if not piece.phrase.alone:
        return True
    if piece.says_yes_or_no and not all(other.says_yes_or_no for other in after):
        return False
    return all(
        other.role in BESIDE_ANYTHING
        or other.says_yes_or_no
        or (other.is_wish and other.intent is piece.intent)
        for other in (*before, *after)
    )


def _as_otherwise(piece: Piece) -> Piece:
    return replace(piece, phrase=piece.phrase.otherwise or _STRAY)


def _may_be_a_breath(word: Word, breath: float) -> bool:
    return word.text == UNKNOWN and 0.0 < word.seconds < breath


def _may_be_a_scrap(piece: Piece, scrap: float, enough: float) -> bool:
    word = piece.words[0]
    return piece.role is Role.STRAY and 0.0 < word.seconds < scrap and word.confidence < enough


def _clauses(pieces: Sequence[Piece], silence: float) -> list[list[Piece]]:
    clauses: list[list[Piece]] = [[]]
    for piece in pieces:
        if clauses[-1] and 0.0 < silence <= piece.words[0].pause:
            clauses.append([])
        clauses[-1].append(piece)
    return clauses


def _nearest(pieces: Iterable[Piece]) -> list[Piece]:
    """The first that changes anything."""
    return [piece for piece in pieces if piece.role not in CHANGES_NOTHING][:1]


def _take_back(after: Sequence[Piece]) -> bool:
    """«Нет», «вряд ли», «не поставлю», «не заслужил»; but not «мусор не [unk]»."""
    return any(
        _corrects(piece)
        or (
            _denies(piece) and (len(piece.words) > 1 or following is None or following.role is not Role.STRAY)
        )
        for piece, following in itertools.zip_longest(after, after[1:])
    )


def _holds_mark(clause: Iterable[Piece]) -> bool:
    return any(piece.role is Role.MARK for piece in clause)


def _denies(piece: Piece | None) -> bool:
    return piece is not None and piece.role is Role.NEGATION


def _corrects(piece: Piece) -> bool:
    return piece.role is Role.CORRECTION or piece.intent is Intent.NO


def _values(pieces: Iterable[Piece]) -> Iterator[_Value]:
    denied = corrects = any_yet = False
    for piece in pieces:
        if piece.role is Role.NEGATION:
            denied = True
        elif _corrects(piece):
            corrects = any_yet
        elif piece.role in {Role.MARK, Role.VERDICT}:
            yield _Value(piece.role, piece.phrase.value, denied, corrects)
            denied = corrects = False
            any_yet = True


def _ends_in_doubt(pieces: Iterable[Piece]) -> bool:
    """«Пять, нет…»"""
    telling = [
        piece for piece in pieces if piece.role not in CHANGES_NOTHING and piece.intent is not Intent.YES
    ]
    return _denies(telling[-1]) or _corrects(telling[-1])


def _weigh(values: Sequence[_Value]) -> int | Why:
    """A mark outranks a verdict that is not far from it: «хорошо, пять» is a five, «отлично, два» is neither."""
    marks = [value for value in values if value.role is Role.MARK]
    if marks and any(value.corrects for value in values if value.role is Role.VERDICT):
        return Why.SEVERAL  # «пять… нет, хорошо»
    corrections = [at for at, value in enumerate(values) if value.corrects]
    values = values[max(corrections, default=0) :]
    standing = _standing([value for value in values if value.role is Role.MARK] or values)
    verdicts = [value.value for value in values if value.role is Role.VERDICT and not value.denied]
    if marks and isinstance(standing, int) and any(abs(verdict - standing) > 1 for verdict in verdicts):
        return Why.SEVERAL
    return standing


def _standing(values: Sequence[_Value]) -> int | Why:
    """The one that is left when what is denied is taken away; a denial takes back what comes after it, too."""
    standing: int | None = None
    denied: set[int] = set()
    for value in values:
        if standing not in {None, value.value}:
            return Why.SEVERAL
        if value.denied:
            denied.add(value.value)
        standing = None if value.denied else value.value
    return Why.TAKEN_BACK if standing is None or standing in denied else standing
