"""What was heard, made sense of. Rather unsure than wrong: a rating is taken only when every word is accounted for;
else it is at most read back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ivr.dialplan.understanding import sentence, thresholds, vocabulary
from ivr.dialplan.understanding.meaning import READ_BACK, Intent, Meaning, Rating, Unsure, Why, Wish
from ivr.dialplan.understanding.sentence import Piece
from ivr.dialplan.understanding.thresholds import Thresholds
from ivr.dialplan.understanding.vocabulary import Lexicon, Role, Vocabulary, plain
from ivr.errors import DialplanError
from ivr.heard import UNKNOWN, Heard, Question, Reading, Word

HERE = Path(__file__).parent

QUESTIONS: Mapping[str, Mapping[Role, Role]] = {
    "rating": {},
    "yes_no": {Role.VERDICT: Role.VAGUE},
    "offer": {Role.VERDICT: Role.VAGUE, Role.MARK: Role.ELSEWHERE},
}
"""What may be asked, and what a phrase does in an answer to it in place of what it does else.

`rating`: how many of five? `yes_no`: was it a four? A mark said instead counts. `offer`: yes or no, and no marks.
How certain the ears must be of an answer is the admin's: `questions/*.toml`.
"""

EXPECTED = {Role.MARK: 5, Role.VERDICT: 2, Role.WISH: 2, Role.PADDING: 2}
"""How many times as likely an answer is as what only sounds like one."""
GO_WITH_A_RATING = frozenset({Intent.OPT_OUT, Intent.NOT_DONE, Intent.HUMAN})
"""Wishes that take nothing from a rating in the same breath."""
YES_OR_NO = frozenset({Intent.YES, Intent.NO})
UNSETTLE_A_RATING = frozenset(
    {Intent.LATER, Intent.REFUSED, Intent.WRONG_NUMBER, Intent.WHICH_JOB, Intent.REPEAT}
)
"""«Пять не поставлю, отстаньте», «пять, соседка вызывала»: which of the two was meant?"""
Trust = Callable[[float], float]
Sense = tuple[int, Intent | None] | Intent | type[Unsure]
"""What is the same in whichever words it is said: a rating with a wish, a wish, nothing that can be made sense of."""
HALF = 0.5
"""Another answer with more than this part of a rating's share is about as likely as it."""
NEARLY = 0.99
"""Of `sure`: just not that."""
BREATHLESS = 0.9
"""What each breath beside an answer leaves of its confidence."""
NONSENSE = 0.5
"""How much less often something is said that means nothing than the ears believe: they weigh words and their pairs.
With it 87 instead of 83 of a hundred ratings are understood or read back at 12 dB, and 91 instead of 89 wishes."""
GOOD = 4
"""Who says that nothing was done gives no such rating, whatever the word sounded like."""


@dataclass(slots=True)
class _Way:
    """What means the same."""

    likeliest: Reading
    share: float = 0.0
    """Of all that it may have been."""
    unforgiven: float = 0.0
    """… in which there was nothing to forgive: no breath, no other speech in another clause."""


class Pack:
    """One language: its vocabulary, and sense made with it."""

    def __init__(
        self,
        words: Vocabulary,
        certainty: Mapping[str, Thresholds],
        unheard: Collection[str] = (),
        trust: Trust = lambda share: share,
    ) -> None:
        self._trust = trust
        self.vocabulary = words
        self.thresholds = certainty
        """By question."""
        self._doubtful = {
            word for word, others in words.neighbours.items() if any(one in unheard for one in others)
        }
        self._lexicons = {name: _lexicon(name, words) for name in QUESTIONS}
        self._phrases = tuple(dict.fromkeys(phrase for line in words.lines.values() for phrase in line))
        self._questions: dict[str, Question] = {}
        """Made once: ten thousand phrases are too many to put together in every call."""

    @classmethod
    def read(cls, language: str, folder: Path = HERE) -> Pack:
        """Raises DialplanError naming everything that is wrong with the files of language and questions.

        A folder without `questions/` has a language only: the thresholds in force go with it.
        """
        questions = folder / "questions" if (folder / "questions").is_dir() else HERE / "questions"
        problems: list[str] = []
        certainty = {}
        with _noted(problems):
            words = vocabulary.read(folder / f"{language}.toml")
        for name in QUESTIONS:
            with _noted(problems):
                certainty[name] = thresholds.read(questions / f"{name}.toml")
        if problems:
            raise DialplanError("what the robot is to understand is refused", problems)
        return cls(words, certainty)

    def heard_by(self, missing: Collection[str], trust: Trust | None = None) -> Pack:
        """The same, for ears that do not know these words: a mark they might mistake one for is read back.

        `trust`: how often that which makes up a share of all their readings is right.
        """
        return Pack(self.vocabulary, self.thresholds, missing, trust or self._trust)

    @property
    def sure(self) -> float:
        """From this confidence on an answer to the question for a rating need not be read back."""
        return self.thresholds["rating"].sure

    def words(self) -> tuple[str, ...]:
        """Every word that is listened for, as the file spells it."""
        return tuple(sorted({word for phrase in self._phrases for word in phrase.split()}))

    def question(self, name: str) -> Question:
        """What the ears are to listen for: the whole vocabulary, so that nothing in it is taken for a rating.

        An answer is there more often than what merely sounds like one: people mostly say what they are asked for.
        """
        if name not in self._questions:
            self._questions[name] = self._asked(name)
        return self._questions[name]

    def _asked(self, name: str) -> Question:
        phrases = [phrase for phrase in self._phrases for _ in range(self._expected(phrase, name))]
        return Question(
            name,
            (*phrases, *(self._around_marks() if name == "rating" else ()), UNKNOWN),
            is_complete=lambda words: self._is_whole(words, name),
            is_machines=lambda words: self._is_machines(words, name),
        )

    def _around_marks(self) -> Iterator[str]:
        """«Ставлю один ставлю два … ставлю»: which words stand beside one another, and as good as nothing of how
        answers begin and end."""
        marks = [
            phrase
            for phrase in self._phrases
            if " " not in phrase and self._role(phrase, "rating") is Role.MARK
        ]
        for around in self.vocabulary.around:
            yield " ".join([*(f"{around} {mark}" for mark in marks), around])

    def _expected(self, phrase: str, question: str) -> int:
        return EXPECTED.get(self._role(phrase, question), 1)

    def _role(self, phrase: str, question: str) -> Role:
        """What it does as a whole."""
        tokens = tuple(map(plain, phrase.split()))
        meant, length = self._lexicons[question].begins(tokens) or (None, 0)
        return meant.role if meant and length == len(tokens) else Role.STRAY

    def understand(self, heard: Heard, question: str) -> Meaning:
        """Rather unsure than wrong: what is faint, doubled or not to the point is Unsure.

        Where the ears tell what it may have been, that counts which most of it means: «на двойку», «ну двойку» and
        «а двойку» are one answer, «не двойку» is another. A rating comes before what means nothing where it is worth
        asking about (`ask`); it is never as sure as to be taken unasked then.

        Where nothing certain comes of that, an indistinct mark is tried as the mark, and asked about. So is a mark
        that was heard well beside a scrap of a word.
        """
        meaning = self._with_slurred_marks(heard, question)
        if not isinstance(meaning, Unsure) or meaning.why is Why.SEVERAL:
            return meaning
        return self._beside_a_scrap(heard, question) or meaning

    def _with_slurred_marks(self, heard: Heard, question: str) -> Meaning:
        """Indistinct marks tried as the marks, where nothing certain was said."""
        meaning = self._plainly(heard, question)
        sure = self.thresholds[question].sure
        distinct = self._distinct(heard)
        if distinct == heard or isinstance(meaning, Wish) or _confidence(meaning) >= sure:
            return meaning
        meant = self._plainly(distinct, question)
        if not isinstance(meant, Rating):
            return meaning
        return replace(_never_sure(meant, sure), heard=heard)

    def _distinct(self, heard: Heard) -> Heard:
        """As if every mark had been said well."""

        def said(words: Sequence[Word]) -> tuple[Word, ...]:
            slurred = self.vocabulary.slurred
            return tuple(replace(word, text=slurred.get(plain(word.text), word.text)) for word in words)

        readings = tuple(replace(one, words=said(one.words)) for one in heard.readings)
        return replace(heard, words=said(heard.words), readings=readings)

    def _beside_a_scrap(self, heard: Heard, question: str) -> Rating | None:
        """The beginning of «на четвёрку» may be lost, and what is left of «на» sounds like a word."""
        limits = self.thresholds[question]
        pieces = sentence.take_apart(heard.words, self._lexicons[question])
        said = sentence.between_scraps(pieces, limits.scrap, limits.enough)
        scraps = len(heard.words) - len(said)
        if not scraps or min((word.confidence for word in said), default=0.0) < limits.sure:
            return None
        meaning = self._sense(heard, said, question, scraps)
        if not isinstance(meaning, Rating) or meaning.also or self._may_be_denied(heard, question):
            return None
        return meaning

    def _may_be_denied(self, heard: Heard, question: str) -> bool:
        """Is there a «не» in what it may have been?"""
        lexicon, sure = self._lexicons[question], self.thresholds[question].sure
        return any(
            piece.role is Role.NEGATION
            for reading in heard.readings
            if reading.share > 1 - sure
            for piece in sentence.take_apart(reading.words, lexicon)
        )

    def _plainly(self, heard: Heard, question: str) -> Meaning:
        """Every mark as it was said."""
        if not heard.readings:
            return self._understand(heard, question)
        ways = self._weighed(heard, question)

        def made(sense: Sense) -> Meaning:
            way, sure = ways[sense], self.thresholds[question].sure
            meaning = self._understand(_as_read(heard, way.likeliest, self._trust(way.share)), question)
            if isinstance(meaning, Rating) and self._trust(way.unforgiven) < sure:
                meaning = _never_sure(meaning, sure)
            return replace(meaning, heard=heard)

        most, *others = sorted(ways, key=lambda sense: -ways[sense].share)
        answer, *rivals = [sense for sense in (most, *others) if sense is not Unsure] or [most]
        if not isinstance(answer, tuple):
            return made(most)
        enough = HALF * ways[answer].share
        if any(ways[rival].share > enough for rival in rivals if not _is_same(rival, answer)):
            return Unsure(Why.SEVERAL, heard)
        rating = made(answer)
        return rating if isinstance(rating, Rating) else made(most)

    def shares(self, heard: Heard, question: str) -> Mapping[Sense, float]:
        """How much of what it may have been means what, the most first; uncalibrated."""
        ways = self._weighed(heard, question)
        return {sense: ways[sense].share for sense in sorted(ways, key=lambda sense: -ways[sense].share)}

    def _weighed(self, heard: Heard, question: str) -> dict[Sense, _Way]:
        ways: dict[Sense, _Way] = {}
        sure = self.thresholds[question].sure
        for reading in heard.readings or (Reading(heard.words, 1.0),):
            meaning = self._understand(_as_read(heard, reading, 1.0), question)
            sense = _sense(meaning)
            way = ways.setdefault(sense, _Way(reading))
            share = reading.share * (NONSENSE if sense is Unsure else 1.0)
            way.share += share
            way.unforgiven += share if _confidence(meaning) >= sure else 0.0
        whole = sum(way.share for way in ways.values())
        for way in ways.values():
            way.share, way.unforgiven = way.share / whole, way.unforgiven / whole
        return ways

    def _understand(self, heard: Heard, question: str) -> Meaning:
        meaning = self._sense(heard, heard.words, question)
        if not isinstance(meaning, Unsure):
            return meaning
        forgiven = self._between_breaths(heard, question) if meaning.why is Why.OTHER_SPEECH else None
        if meaning.why in {Why.OTHER_SPEECH, Why.ELSEWHERE}:
            forgiven = forgiven or self._in_a_clause(heard, question)
        return forgiven or meaning

    def _between_breaths(self, heard: Heard, question: str) -> Meaning | None:
        """Other speech at either end may be nothing but a breath."""
        said = sentence.between_breaths(heard.words, self.thresholds[question].breath)
        breaths = len(heard.words) - len(said)
        meaning = self._sense(heard, said, question, breaths) if said and breaths else None
        return meaning if meaning is not None and _is_answer(meaning) else None

    def _in_a_clause(self, heard: Heard, question: str) -> Rating | None:
        """«Пять, быстро пришли, вежливые»: who gives a reason says it after a pause. Never sure."""
        limits = self.thresholds[question]
        pieces = sentence.take_apart(heard.words, self._lexicons[question]) if limits.clause else ()
        said = sentence.amid_other_speech(pieces, limits.clause)
        if not said:
            return None
        alone = replace(heard, seconds=sum(word.seconds for word in said))
        meaning = self._sense(alone, said, question)
        if not isinstance(meaning, Rating):
            return None
        return replace(_never_sure(meaning, limits.sure), heard=heard)

    def _sense(self, heard: Heard, said: Sequence[Word], question: str, breaths: int = 0) -> Meaning:
        """What these words of it mean, with so many breaths beside them."""
        limits = self.thresholds[question]
        pieces = sentence.take_apart(said, self._lexicons[question])
        meaning = self._make(heard, pieces)
        if isinstance(meaning, Unsure):
            return meaning
        if breaths and not _has_mark(pieces):
            return Unsure(Why.OTHER_SPEECH, heard)  # «нехорошо» is not «хорошо» after a breath
        meaning = replace(meaning, confidence=self._certainty(meaning, said, breaths, limits))
        if _is_answer(meaning) and not self._reads_the_same(meaning, said, question):
            return Unsure(Why.SEVERAL, heard)
        doubt = _doubt(meaning, said, _enough(meaning, pieces, question, limits), limits)
        return Unsure(doubt, heard) if doubt else meaning

    def _certainty(
        self, meaning: Rating | Wish, said: Sequence[Word], breaths: int, limits: Thresholds
    ) -> float:
        """A rating is not sure if a word may have been another that the ears do not know, a breath a piece of a word,
        talk left out a part of it, or if any word beside it is fainter than enough."""
        confidence = meaning.confidence * BREATHLESS**breaths
        if not isinstance(meaning, Rating):
            return confidence
        if breaths or meaning.heard.over_talk or any(plain(word.text) in self._doubtful for word in said):
            confidence = min(confidence, NEARLY * limits.sure)
        faintest = min(word.confidence for word in said)
        return confidence if faintest >= limits.enough else min(confidence, faintest)

    def _reads_the_same(self, meaning: Meaning, said: Sequence[Word], question: str) -> bool:
        """Taken apart from the end, too? «Замечательно пришли пять» may be a five, or five people."""
        pieces = sentence.take_apart(said, self._lexicons[question], from_the_end=True)
        return _answer(self._make(meaning.heard, pieces)) == _answer(meaning)

    def _make(self, heard: Heard, pieces: Sequence[Piece]) -> Meaning:
        value = sentence.rating(pieces)
        confidence = sentence.least_confidence(pieces)
        wish = sentence.foremost_wish(pieces)
        if wish is not None:
            return _with_wish(value, wish, pieces, heard)
        if isinstance(value, int):
            return Rating(value, confidence, heard)
        if value in {Why.NOTHING, Why.VAGUE} and any(piece.says_yes_or_no for piece in pieces):
            said = sentence.yes_or_no(pieces)
            return Unsure(said, heard) if isinstance(said, Why) else Wish(said, confidence, heard)
        return Unsure(value, heard)

    def _is_machines(self, words: Sequence[Word], question: str) -> bool:
        """Does a machine say so much of itself in them that it matters little what else is there?

        `enough` will do: a machine cannot be asked, and who was taken for one is rung again.
        """
        wish = sentence.foremost_wish(sentence.take_apart(words, self._lexicons[question]))
        if wish is None or wish.intent is not Intent.MACHINE:
            return False
        return min(word.confidence for word in wish.words) >= self.thresholds[question].enough

    def _is_whole(self, words: Sequence[Word], question: str) -> bool:
        """Would hardly anybody go on after these words? However sure the ears are of them yet."""
        certain = tuple(replace(word, confidence=1.0) for word in words)
        pieces = sentence.take_apart(certain, self._lexicons[question])
        meaning = self._make(Heard(certain), pieces)
        roles = {piece.role for piece in pieces}
        if isinstance(meaning, Rating):
            return roles <= {Role.MARK, Role.PADDING}
        if isinstance(meaning, Wish):
            goes_on = {Intent.NO, Intent.YES} if question == "rating" else {Intent.NO}  # «да… слушаю»
            return meaning.intent not in goes_on and roles <= {Role.WISH, Role.PADDING}
        return False


@contextlib.contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """What a file is refused for joins the problems, so that all of them are named at once."""
    try:
        yield
    except DialplanError as error:
        problems.extend(error.problems)


def _lexicon(question: str, words: Vocabulary) -> Lexicon:
    roles = QUESTIONS[question]
    phrases = dict(words.always)
    for tokens, phrase in words.always.items():
        if phrase.role in roles:
            phrases[tokens] = replace(phrase, role=roles[phrase.role])
    if question != "rating":
        for tokens, phrase in words.asked.items():
            usual = phrases.get(tokens) if phrase.alone else None
            phrases[tokens] = replace(phrase, otherwise=usual)
    return Lexicon(phrases)


def _as_read(heard: Heard, reading: Reading, confidence: float) -> Heard:
    words = tuple(replace(word, confidence=confidence) for word in reading.words)
    return replace(heard, words=words, readings=())


def _sense(meaning: Meaning) -> Sense:
    match meaning:
        case Rating(value, also=also):
            return value, also
        case Wish(intent):
            return intent
        case Unsure():
            return Unsure


def _never_sure(rating: Rating, sure: float) -> Rating:
    """To be read back, however certain the ears are."""
    return replace(rating, confidence=min(rating.confidence, NEARLY * sure))


def _confidence(meaning: Meaning) -> float:
    return meaning.confidence if isinstance(meaning, Rating) else 0.0


def _is_same(one: Sense, other: Sense) -> bool:
    """The same rating, whatever is wished beside it?"""
    return isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0]


def _answer(meaning: Meaning) -> int | Intent | None:
    """The rating, yes or no it is; of these every word must be accounted for."""
    if isinstance(meaning, Rating):
        return meaning.value
    return meaning.intent if isinstance(meaning, Wish) and meaning.intent in YES_OR_NO else None


def _is_answer(meaning: Meaning) -> bool:
    return _answer(meaning) is not None


def _doubt(meaning: Rating | Wish, said: Sequence[Word], enough: float, limits: Thresholds) -> Why | None:
    """What speaks against it in the sound; of a wish only its own words must be certain."""
    if not _is_answer(meaning):
        return Why.FAINT if meaning.confidence < enough else None
    if min(meaning.confidence, *(word.confidence for word in said)) < enough:
        return Why.FAINT
    lasts = limits.spoken_in(letters=sum(len(word.text) for word in said))
    return Why.OTHER_SPEECH if meaning.heard.seconds > lasts else None


def _enough(meaning: Rating | Wish, pieces: Sequence[Piece], question: str, limits: Thresholds) -> float:
    """What is read back may be less certain, a mark above all: «хорошо» is said of anything. So may a yes where it is
    asked for: hardly anything else is said there."""
    if isinstance(meaning, Wish):
        is_asked = question != "rating" and meaning.intent in YES_OR_NO
        return limits.enough if is_asked or meaning.intent in READ_BACK else limits.taken
    return limits.ask if meaning.also is None and _has_mark(pieces) else limits.enough


def _has_mark(pieces: Sequence[Piece]) -> bool:
    return any(piece.role is Role.MARK for piece in pieces)


def _with_wish(value: int | Why, wish: Piece, pieces: Sequence[Piece], heard: Heard) -> Meaning:
    """A wish, and perhaps a rating in the same breath."""
    intent = wish.intent
    assert intent is not None
    alone = Wish(intent, min(word.confidence for word in wish.words), heard)
    if not _has_mark(pieces):
        return alone  # «хорошо, перезвоните» is no four
    if intent in UNSETTLE_A_RATING and value not in {Why.TAKEN_BACK, Why.ELSEWHERE}:
        return Unsure(Why.SEVERAL, heard)
    if isinstance(value, Why):
        return alone
    if intent not in GO_WITH_A_RATING or (intent is Intent.NOT_DONE and value >= GOOD):
        return alone
    return Rating(value, sentence.least_confidence(pieces), heard, also=intent)
