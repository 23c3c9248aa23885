"""The conversation the robot has with a resident after a job: what was it worth, from one to five? Read it aloud.

Each step asks or says one thing and returns the next step, or how the conversation ends. `go_by` is what may come at
any moment: a rating, a key, a wish. What is only half understood is read back or asked again; nothing is ever
guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from typing import Any

from ivr.call import Kind
from ivr.dialplan.understanding import READ_BACK, Intent, Pack, Rating, Unsure, Why, Wish
from ivr.errors import HungUp
from ivr.heard import UNKNOWN, Answer, Heard, Key, Noise
from ivr.line import ListeningLine
from robocalls.nouns import By, Job, Result, Said

CHILD_HZ = 310.0
"""A voice whose median lies above is a child's: women speak at 165 to 255 Hz and rarely reach 300 over a whole
stretch of speech, children under ten at 250 to 400. It is set high, for who is taken for a child is only asked
to call a grown-up, but a woman would mind; an older child is therefore not noticed by its voice."""
STRANGE_SECONDS, STRANGE_STRETCHES = 1.0, 2
"""So much speech, so often, without a single word we know is most likely another language."""
COUGH = 0.4
"""Seconds; so short a sound that is no word of ours is no answer."""
MOST_ASKS, LONGEST = 16, timedelta(seconds=150)
"""After either nothing more is asked; with the last prompts it makes three minutes."""
STUMBLES = 2
"""So often a question is simply asked again, for who says «алло» or coughs."""
ANSWER_WAIT, KEY_WAIT, SORRY_WAIT, THANKS_WAIT = 5.0, 8.0, 0.6, 1.5
GROWN_UP_WAIT, GROWN_UP_WAITS = 15.0, 3
COMMENT_WAIT, COMMENT_AT_MOST = 4.0, 45.0
VERDICTS = {Result.RATED, Result.NOT_DONE}
LOW, GOOD = 2, 4
"""Up to LOW the job counts as badly done: the ticket is opened again. From GOOD on a rating says that it was done
after all, whatever was said before."""

PROMPTS = (
    "survey_welcome", "survey_question", "survey_by_key", "survey_clearer", "survey_keys", "survey_keys_foreign",
    "survey_wrong_key",
    "survey_confirm_1", "survey_confirm_2", "survey_confirm_3", "survey_confirm_4", "survey_confirm_5",
    "survey_confirm_not_done", "survey_confirm_opt_out",
    "survey_thanks", "survey_which", "survey_sorry", "survey_comment", "survey_reopened", "survey_offer",
    "survey_offer_keys", "survey_transfer", "survey_goodbye",
    "survey_live_here", "survey_was_it_you", "survey_grown_up",
    "survey_later", "survey_refused", "survey_opted_out", "survey_wrong_number", "survey_foreign", "survey_child",
    "survey_not_understood", "survey_silent",
)  # fmt: skip
"""What is the same for every job, rendered when the hotline starts."""
JOB_PROMPTS = ("survey_job", "survey_job_full")
"""What names the job, rendered before the phone rings; the second only for who has confirmed who she is."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Goodbye is said: put the line down."""


PUT_THROUGH = "survey_transfer"
"""Said to who is put through, once nothing that dies can keep her from it."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Put her through to the dispatchers."""

    why: str
    """What the dispatcher's panel shows."""
    category: str
    priority: int


Ending = HangUp | Transfer
Step = Callable[[], Coroutine[Any, Any, "Step | Ending"]]

ASKED_FOR, RATED, NOT_DONE = "Просит диспетчера", "Оценка {rating}", "Не сделано"
"""Why she is put through, for the panel."""
BAD_JOB_PRIORITY, OTHER_PRIORITY = 10, 5
"""A job badly done waits behind an emergency and ahead of a mere question (`ivr/dialplan/queues.toml`)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A rating, by voice or by key."""

    value: int
    sure: bool
    """Else it is read back."""
    by: By
    detail: Mapping[str, Any]
    """The evidence."""
    also: Intent | None = None
    """What was wanted in the same breath."""


@dataclass(frozen=True, slots=True)
class Wants:
    """Something other than a rating."""

    intent: Intent
    sure: bool
    by: By
    detail: Mapping[str, Any]


class Lost(Enum):
    """Nothing that could be used."""

    SILENCE = auto()
    NOTHING = auto()
    """«Алло», a cough."""
    UNSURE = auto()
    WRONG_KEY = auto()


Reply = Rates | Wants | Lost | Noise


async def survey(
    line: ListeningLine, job: Job, pack: Pack, tell: Callable[[Said], None], now: Callable[[], datetime]
) -> Ending:
    """Hold the conversation. `tell` is called with each answer as soon as it counts; the last one stands.

    Raises HungUp when she hangs up: what was said by then has been told, and HUNG_UP when it was nothing.
    """
    talk = _Talk(line, job, pack, tell, now, until=now() + LONGEST)
    try:
        try:
            step: Step | Ending = talk.greet
            while not isinstance(step, HangUp | Transfer):
                step = await talk.take_step(step)
            return step
        except _Enough:
            return await talk.give_up()
    except HungUp:
        talk.was_hung_up()
        raise
    finally:
        talk.settle()


class _Enough(Exception):
    """So often, or so long, nobody should be asked."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A step, and what was known before it."""

    step: Step
    known: Mapping[str, Any]


class _WentOn(Exception):
    """She has gone on from what was taken for her answer."""

    def __init__(self, turn: _Turn, whole: Heard) -> None:
        super().__init__(whole.text)
        self.turn, self.whole = turn, whole


@dataclass(slots=True)
class _Talk:
    """One conversation: its steps, and what is known so far."""

    line: ListeningLine
    job: Job
    pack: Pack
    tell: Callable[[Said], None]
    now: Callable[[], datetime]
    until: datetime
    asks: int = 0
    written: Said | None = None
    """The answer that was told last."""
    turn: _Turn | None = None
    """The step that is being taken."""
    answered: _Turn | None = None
    """The one that has heard her last; None once she has pressed a key or kept silent."""
    whole: Heard | None = None
    """All that she said in it, while it is taken again."""

    # what is known, from here on: a step is taken back with all that was learned in it
    told: Said | None = None
    """The answer that stands."""
    rung: int = 0
    """Which question is being asked: the full one, a clearer one, one for a key."""
    is_there: bool = False
    """Has anything come from her?"""
    strange: int = 0
    """Stretches of speech without a word of ours."""
    half_heard: Mapping[str, Any] = field(default_factory=dict)
    """What is being read back, should she hang up meanwhile."""
    is_known: bool = False
    """She has confirmed who she is."""
    is_bad: bool = False
    """The job, as far as she has said."""
    is_sorry: bool = False
    has_comment: bool = False
    offers: int = 0
    stumbles: int = 0
    waits_for_grown_up: int = 0

    async def take_step(self, step: Step) -> Step | Ending:
        """When she goes on from her answer, the step that heard it is taken back, and taken again with the whole."""
        self.turn = _Turn(step, {name: getattr(self, name) for name in KNOWN})
        try:
            return await step()
        except _WentOn as more:
            for name, value in more.turn.known.items():
                setattr(self, name, value)
            self.whole = more.whole
            return more.turn.step

    # the rating

    async def greet(self) -> Step:
        await self.line.say("survey_welcome", barge_in=False)  # «алло» is no answer
        return self.ask()

    def ask(self, *first: str) -> Step:
        """The question we are at; `first` is said before it. Who has answered is not asked again."""
        if self.told:
            return self.go_on()
        rungs = (self.ask_in_full, self.ask_more_clearly, self.ask_for_a_key)
        return partial(rungs[self.rung], *first) if self.rung < len(rungs) else self.give_up

    def ask_next(self) -> Step:
        self.rung += 1
        return self.ask()

    async def ask_in_full(self, *first: str) -> Step:
        question = "survey_question" if self.line.hears else "survey_by_key"
        return self.go_by(await self.hear(*first, "survey_job", question))

    async def ask_more_clearly(self, *first: str) -> Step:
        if not self.line.hears:
            return self.ask_next()
        return self.go_by(await self.hear(*first, "survey_clearer"))

    async def ask_for_a_key(self, *first: str) -> Step:
        """The voice has failed twice: it may still ask for a person, but no longer rate."""
        keys = "survey_keys_foreign" if self.is_foreign else "survey_keys"
        for prompts in ((*first, keys), ()):
            # Background noise, which has most likely brought us here, must not cut the prompt short.
            reply = await self.hear(*prompts, wait=KEY_WAIT, barge_in=not self.line.hears)
            match reply:
                case Lost.NOTHING | Lost.UNSURE | Rates(by=By.VOICE) | Wants(Intent.YES | Intent.NO):
                    continue
                case _:
                    return self.go_by(reply)
        return self.give_up

    async def read_back(self, rating: Rates) -> Step:
        """«Вы поставили четвёрку, верно?»"""
        self.half_heard = rating.detail
        confirmed = replace(rating, detail={**rating.detail, "read_back": True})
        reply = await self.hear(f"survey_confirm_{rating.value}", about="yes_no")
        self.half_heard = {}
        match reply:
            case Wants(Intent.YES):
                return partial(self.take, confirmed)
            case Rates(value=again) if again == rating.value:
                return partial(self.take, confirmed)  # twice the same
            case _:
                return self.go_by(reply)

    async def make_sure(self, wish: Wants) -> Step:
        """«Работа не выполнена, верно?»"""
        self.half_heard = wish.detail
        reply = await self.hear(f"survey_confirm_{wish.intent}", about="yes_no")
        self.half_heard = {}
        match reply:
            case Wants(Intent.YES):
                return self.go_by_wish(wish)
            case Wants(again) if again is wish.intent:
                return self.go_by_wish(wish)
            case _:
                return self.go_by(reply)

    async def take(self, rating: Rates) -> Step:
        self.is_bad = rating.value <= LOW
        if self.says_not_done(rating) and LOW < rating.value < GOOD:  # «три, но не доделали»
            return partial(self.not_done, Wants(Intent.NOT_DONE, True, rating.by, rating.detail))
        if not self.stands(rating.value):
            self.says(Said(Result.RATED, rating.by, rating.value, rating.detail))
        if rating.also and rating.also is not Intent.NOT_DONE:
            return self.go_by_wish(Wants(rating.also, True, rating.by, rating.detail))
        return self.be_sorry if self.is_bad else self.thank

    async def thank(self) -> Step | Ending:
        """«Ой, нет, четыре» is still heard; «хорошо, до свидания» is no four."""
        went_on = self.whole is not None
        reply = await self.hear("survey_thanks", about="yes_no", wait=THANKS_WAIT)
        match reply:
            case Wants(Intent.NO):
                return self.ask_which
            case Lost.UNSURE if went_on:
                return self.ask_which
            case Lost() | Wants(Intent.YES | Intent.REPEAT):
                return HangUp()
            case Rates(value=value) if self.stands(value):
                return HangUp()
            case _:
                return self.go_by(reply)

    async def ask_which(self) -> Step:
        """She takes her rating back and has named no other yet."""
        return self.go_by(await self.hear("survey_which"))

    # a job badly done

    async def not_done(self, wish: Wants) -> Step:
        self.is_bad = True
        if self.told is None or self.told.result is not Result.NOT_DONE:
            self.says(Said(Result.NOT_DONE, wish.by, None, wish.detail))
        return self.be_sorry

    async def be_sorry(self) -> Step:
        """Who took 1 for the best can put it right here."""
        if self.is_sorry:
            return self.go_on()
        self.is_sorry = True
        reply = await self.hear("survey_sorry", about="yes_no", wait=SORRY_WAIT)
        match reply:
            case Rates(value=value) if self.stands(value):
                return self.go_on()
            case Wants(Intent.NOT_DONE | Intent.CHILD):
                return self.go_on()
            case Wants(Intent.NO):
                return self.ask_which
            case _:
                return self.go_by(reply)

    def go_on(self) -> Step:
        """She has answered; what is left to do for her?"""
        if self.is_bad and not self.has_comment:
            return self.take_comment
        return self.offer_a_dispatcher if self.is_bad and not self.offers else self.part

    async def take_comment(self) -> Step:
        self.has_comment = True
        await self.line.record("survey_comment", wait=COMMENT_WAIT, at_most=COMMENT_AT_MOST)
        return self.go_on()

    async def offer_a_dispatcher(self) -> Step:
        """Once, and once more for who was not understood."""
        self.offers += 1
        offer = "survey_offer" if self.line.hears and self.offers == 1 else "survey_offer_keys"
        reopened = ("survey_reopened",) if self.offers == 1 else ()
        reply = await self.hear(*reopened, offer, about="offer")
        match reply:
            case Wants(Intent.YES):
                return partial(self.transfer, reply)
            case Wants(Intent.NO | Intent.REFUSED | Intent.LATER):
                return self.part
            case (
                Wants(Intent.HUMAN | Intent.OPT_OUT | Intent.WRONG_NUMBER) | Rates(value=3 | 4 | 5) | Noise()
            ):
                return self.go_by(reply)
            case _:
                return self.offer_a_dispatcher if self.offers == 1 else self.part

    async def transfer(self, wish: Wants) -> Ending:
        if self.told is None:
            self.says(Said(Result.HUMAN, wish.by, None, wish.detail))
        priority = BAD_JOB_PRIORITY if self.is_bad else OTHER_PRIORITY
        end = Transfer(self.why(), self.job.category, priority)
        # Now, so that who hangs up before she is in the queue is called back for what it was.
        self.line.note(
            Kind.WENT, place="queue", queue=self.job.queue,
            category=end.category, priority=end.priority, why=end.why,
        )  # fmt: skip
        return end

    def why(self) -> str:
        match self.told:
            case Said(result=Result.RATED, rating=rating):
                return RATED.format(rating=rating)
            case Said(result=Result.NOT_DONE):
                return NOT_DONE
        return ASKED_FOR

    # who is it?

    async def who_is_it(self) -> Step:
        """«Какая заявка?» Number and flat are for who lives there."""
        if self.is_known:
            return self.ask_about_hers
        confirm = "survey_live_here" if self.job.address else "survey_was_it_you"
        reply = await self.hear("survey_job", confirm, about="yes_no")
        match reply:
            case Wants(Intent.YES):
                self.is_known = True
                return self.ask_about_hers
            case Wants(Intent.NO):
                return partial(self.wrong_number, reply)
            case _:
                return self.go_by(reply)

    async def ask_about_hers(self) -> Step:
        return self.go_by(await self.hear("survey_job_full", "survey_clearer"))

    async def wrong_number(self, wish: Wants) -> Ending:
        """Who does not live there has rated nothing, whatever she said."""
        self.says(Said(Result.WRONG_NUMBER, wish.by, None, wish.detail))
        return await self.goodbye("survey_wrong_number")

    async def call_a_grown_up(self, wish: Wants) -> Step | Ending:
        """Ask for one and wait; what the child says meanwhile («мама, тебя!») does not end the waiting."""
        if self.waits_for_grown_up == GROWN_UP_WAITS:
            return await self.leave(Result.CHILD, "survey_child", wish)
        self.waits_for_grown_up += 1
        prompts = ("survey_grown_up",) if self.waits_for_grown_up == 1 else ()
        reply = await self.hear(*prompts, wait=GROWN_UP_WAIT)
        match reply:
            case Lost.SILENCE:
                return await self.leave(Result.CHILD, "survey_child", wish)
            case Lost.UNSURE | Lost.NOTHING | Rates(by=By.VOICE) | Wants(Intent.YES | Intent.WHICH_JOB):
                self.waits_for_grown_up = GROWN_UP_WAITS  # she is there; another child is not waited for
                self.rung = 0
                return self.greet
            case _:
                return self.go_by(reply)

    # how it ends

    async def opt_out(self, wish: Wants) -> Ending:
        """What she thinks of the job stays (`surveys.answer`)."""
        self.says(Said(Result.OPTED_OUT, wish.by, None, wish.detail))
        return await self.goodbye("survey_opted_out")

    async def leave(self, result: Result, prompt: str, wish: Wants) -> Ending:
        if self.told:
            return await self.part()
        self.says(Said(result, wish.by, None, wish.detail))
        return await self.goodbye(prompt)

    async def nobody(self, result: Result, detail: Mapping[str, Any]) -> Ending:
        """No person is there: nothing is said to a machine, and nothing a machine has said is a rating.

        A tone after an answer is only that she has hung up.
        """
        if self.told is None or (self.told.by is By.VOICE and result is not Result.TONE):
            self.says(Said(result, By.EARS, None, detail))
        return HangUp()

    async def give_up(self) -> Ending:
        """Enough was asked."""
        if self.told:
            return await self.part()
        result, prompt = Result.NOT_UNDERSTOOD, "survey_not_understood"
        if self.is_foreign:
            result, prompt = Result.FOREIGN, "survey_foreign"
        elif not self.is_there:
            result, prompt = Result.SILENT, "survey_silent"
        self.says(Said(result, By.EARS, None, {"asks": self.asks}))
        return await self.goodbye(prompt)

    async def part(self) -> Ending:
        return await self.goodbye("survey_goodbye")

    async def goodbye(self, prompt: str) -> Ending:
        await self.line.say(prompt, barge_in=False)
        return HangUp()

    def was_hung_up(self) -> None:
        if self.told is None:
            self.says(Said(Result.HUNG_UP, By.EARS, None, self.half_heard))

    # what may come at any moment

    def go_by(self, reply: Reply) -> Step:
        match reply:
            case Rates(sure=True):
                return partial(self.take, reply)
            case Rates():
                return partial(self.read_back, reply)
            case Wants(intent, sure=False) if intent in READ_BACK:
                return partial(self.make_sure, reply)
            case Lost.NOTHING | Wants(Intent.YES) if self.stumbles < STUMBLES:
                self.stumbles += 1
                return self.ask()
            case Wants():
                return self.go_by_wish(reply)
            case Noise():
                return partial(self.nobody, Result(reply), {})
            case Lost.WRONG_KEY:
                return self.ask("survey_wrong_key")
            case _:
                return self.ask_next()

    def go_by_wish(self, wish: Wants) -> Step:
        match wish.intent:
            case Intent.NOT_DONE:
                return partial(self.not_done, wish)
            case Intent.HUMAN:
                return partial(self.transfer, wish)
            case Intent.LATER:
                return partial(self.leave, Result.LATER, "survey_later", wish)
            case Intent.REFUSED:
                return partial(self.leave, Result.REFUSED, "survey_refused", wish)
            case Intent.OPT_OUT:
                return partial(self.opt_out, wish)
            case Intent.WRONG_NUMBER:
                return partial(self.wrong_number, wish)
            case Intent.WHICH_JOB:
                return self.who_is_it
            case Intent.CHILD:
                return self.part if self.told else partial(self.call_a_grown_up, wish)
            case Intent.FOREIGN:
                return partial(self.leave, Result.FOREIGN, "survey_foreign", wish)
            case Intent.MACHINE:
                return partial(self.nobody, Result.MACHINE, wish.detail)
            case Intent.REPEAT:
                return self.ask()
            case Intent.YES | Intent.NO:
                return self.ask_next()

    # listening and telling

    async def hear(
        self, *prompts: str, about: str = "rating", wait: float = ANSWER_WAIT, barge_in: bool = True
    ) -> Reply:
        answer = self.whole or await self.listen(*prompts, about=about, wait=wait, barge_in=barge_in)
        self.whole = None
        self.answered = self.turn if isinstance(answer, Heard) else None
        match answer:
            case Key(digit):
                return self.pressed(digit, about)
            case Heard():
                return self.spoken(answer, about)
            case Noise():
                return answer
        return Lost.SILENCE

    async def listen(self, *prompts: str, about: str, wait: float, barge_in: bool) -> Answer:
        if self.asks == MOST_ASKS or self.now() >= self.until:
            raise _Enough
        self.asks += 1
        self.settle()
        question = self.pack.question(about)
        answer = await self.line.ask(*prompts, question=question, wait=wait, barge_in=barge_in)
        if isinstance(answer, Heard) and answer.amends and self.answered:
            raise _WentOn(self.answered, answer)
        return answer

    def pressed(self, digit: str, about: str) -> Reply:
        self.is_there = True
        detail = {"key": digit, "ask": self.asks}
        match digit:
            case "1" | "2" if about == "offer":
                return Wants(Intent.YES if digit == "1" else Intent.NO, True, By.KEY, detail)
            case "1" | "2" | "3" | "4" | "5":
                return Rates(int(digit), True, By.KEY, detail)
            case "0":
                return Wants(Intent.HUMAN, True, By.KEY, detail)
            case "9":
                return Wants(Intent.OPT_OUT, True, By.KEY, detail)
            case "*":
                return Wants(Intent.REPEAT, True, By.KEY, detail)
        self.line.note(Kind.WRONG_KEY, key=digit)
        return Lost.WRONG_KEY

    def spoken(self, heard: Heard, about: str) -> Reply:
        detail = {"words": [[word.text, round(word.confidence, 3)] for word in heard.words], "ask": self.asks}
        is_known = any(word.text != UNKNOWN for word in heard.words)
        self.is_there |= is_known or heard.seconds >= COUGH
        self.strange += not is_known and heard.seconds >= STRANGE_SECONDS
        reply: Reply
        match self.pack.understand(heard, about):
            case Rating() | Unsure() if heard.pitch and heard.pitch > CHILD_HZ:
                reply = Wants(Intent.CHILD, True, By.EARS, {**detail, "pitch": round(heard.pitch)})
            case Rating() if self.waits_for_grown_up and heard.pitch is None:
                reply = Lost.UNSURE  # it may still be the child
            case Rating(value, confidence, also=also):
                reply = Rates(value, confidence >= self.pack.thresholds[about].sure, By.VOICE, detail, also)
            case Wish(intent, confidence):
                reply = Wants(intent, confidence >= self.pack.thresholds[about].sure, By.VOICE, detail)
            case Unsure(Why.NOTHING):
                reply = Lost.NOTHING
            case _:
                reply = Lost.UNSURE if is_known or heard.seconds >= COUGH else Lost.NOTHING
        self.line.note(Kind.HEARD, question=about, **_taken_for(reply))
        return reply

    def says(self, said: Said) -> None:
        if said.result not in VERDICTS:
            self.settle()  # a wish leaves the verdict before it
        self.told = said
        self.write(said)

    def settle(self) -> None:
        """What she went on from was told: what stands is told instead."""
        if self.written is not None:
            self.write(self.told or Said(Result.NOT_UNDERSTOOD, By.EARS, None, {"asks": self.asks}))

    def write(self, said: Said) -> None:
        """Once, however often it is said."""
        if self.written is None or (said.result, said.rating) != (self.written.result, self.written.rating):
            self.written = said
            self.tell(said)

    def says_not_done(self, rating: Rates) -> bool:
        before = self.told is not None and self.told.result is Result.NOT_DONE
        return before or rating.also is Intent.NOT_DONE

    def stands(self, rating: int) -> bool:
        return self.told is not None and self.told.rating == rating

    @property
    def is_foreign(self) -> bool:
        return self.strange >= STRANGE_STRETCHES


_NAMES = [one.name for one in fields(_Talk)]
KNOWN = _NAMES[_NAMES.index("told") :]
"""What a step may learn."""


def _taken_for(reply: Reply) -> dict[str, Any]:
    """What the timeline says of it."""
    match reply:
        case Rates(value, sure):
            return {"took": "rating", "rating": value, "sure": sure}
        case Wants(intent, sure):
            return {"took": intent, "sure": sure}
    return {"took": reply.name.lower()}
