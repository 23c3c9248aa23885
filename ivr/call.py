"""The nouns of a call: what happened to it (facts) and what it is now (`Call`), folded from them.

A fact is append-only: a moment, a subject, a kind. The same facts in the same order always make the same
call, whether they were heard live or read from Asterisk's log after a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

MESSAGE_WORTH_HEARING = timedelta(seconds=2)
"""A shorter voice message is a hang-up at the tone, not a message."""
TALK_WORTH_THE_NAME = timedelta(seconds=5)
"""Who is cut off sooner after the answer has not been helped: the call is missed."""
DEAD_LINE, NOTICED_AFTER = 44, timedelta(seconds=60)
"""Asterisk's cause for a line without sound, and how long it waits for some (`rtp_timeout` in pjsip.conf)."""


class Direction(StrEnum):
    """Who rang whom. The same words are the SQL enum `call_direction`."""

    INBOUND = "inbound"
    CALLBACK = "callback"
    """We ring a dispatcher, then the resident, to keep a promise."""
    SURVEY = "survey"
    """The robot rings the resident, to ask how the job was done."""


class Kind(StrEnum):
    """What can happen to a call. The same words are the SQL enum `fact_kind`."""

    ARRIVED = "arrived"
    """Reached the exchange."""
    STATIC_ROUTE = "static_route"
    """Carried by Asterisk alone: there was no controller."""
    IDENTIFIED = "identified"
    """The directory knows who calls."""
    PICKED_UP = "picked_up"
    """The line went off hook: the greeting starts."""
    PROMPT = "prompt"
    KEY = "key"
    WRONG_KEY = "wrong_key"
    SILENCE = "silence"
    WENT = "went"
    """The menu decided where the call goes."""
    QUEUED = "queued"
    QUEUE_PLACE = "queue_place"
    LEFT_QUEUE = "left_queue"
    """Left it unanswered: timed out, full, nobody there."""
    RANG = "rang"
    ANSWERED = "answered"
    """A dispatcher and the resident hear each other for the first time."""
    JOINED = "joined"
    """Another dispatcher is on the line now (after a transfer)."""
    HELD = "held"
    RESUMED = "resumed"
    TRANSFERRED = "transferred"
    MESSAGE = "message"
    """The tone sounded: the resident may leave a voice message."""
    OVERDUE = "overdue"
    """Five minutes have passed without an answer, and she still waits."""
    ACCEPTED = "accepted"
    """A dispatcher has taken a call back: now the resident is rung."""
    TRIED = "tried"
    """The resident was rung in vain."""
    MACHINE = "machine"
    """The dispatcher says that an answering machine has answered."""
    HEARD = "heard"
    """What the robot's ears made out, and what it took that for."""
    NOISE = "noise"
    """At the other end is no person."""
    SAID = "said"
    """An answer of the resident to the robot that counts."""
    HUNG_UP = "hung_up"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a call ended. The same words are the SQL enum `call_outcome`."""

    TALKED = "talked"
    ABANDONED_IN_GREETING = "abandoned_in_greeting"
    ABANDONED_IN_MENU = "abandoned_in_menu"
    ABANDONED_IN_QUEUE = "abandoned_in_queue"
    QUEUE_TIMED_OUT = "queue_timed_out"
    QUEUE_FULL = "queue_full"
    NO_DISPATCHER = "no_dispatcher"
    """Nobody was at a phone."""
    VOICEMAIL = "voicemail"
    CUT_OFF = "cut_off"
    """Neither side hung up: the exchange, the trunk or the network went away."""
    INFORMED = "informed"
    """Heard what she wanted to know and chose to end the call."""
    CALLBACK_ASKED = "callback_asked"
    """Would rather be called back than wait, and keeps her place."""
    # how a call back ends that reached nobody
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"
    MACHINE = "machine"
    DISPATCHER_GONE = "dispatcher_gone"
    """She hung up before the resident answered."""
    TAKEN_BACK = "taken_back"
    """Given up before a dispatcher took it: the resident was calling herself."""
    SURVEYED = "surveyed"
    """The robot had somebody on the line; what came of it says the survey."""


class Stage(StrEnum):
    """Where a call is now."""

    GREETING = "greeting"
    MENU = "menu"
    QUEUE = "queue"
    TALK = "talk"
    MESSAGE = "message"
    ENDED = "ended"


# Asterisk's QUEUESTATUS when Queue() gives the caller back.
_LEFT_QUEUE = {
    "TIMEOUT": Outcome.QUEUE_TIMED_OUT,
    "FULL": Outcome.QUEUE_FULL,
    "JOINEMPTY": Outcome.NO_DISPATCHER,
    "LEAVEEMPTY": Outcome.NO_DISPATCHER,
    "JOINUNAVAIL": Outcome.NO_DISPATCHER,
    "LEAVEUNAVAIL": Outcome.NO_DISPATCHER,
    # ours: the key she pressed while waiting; who would leave a message and says nothing has only given up
    "CALLBACK": Outcome.CALLBACK_ASKED,
    "MESSAGE": Outcome.ABANDONED_IN_QUEUE,
}
# Asterisk's DIALSTATUS of a resident who was rung in vain.
_TRIED = {"BUSY": Outcome.BUSY, "NOANSWER": Outcome.NO_ANSWER}

# Q.850 causes of a robot's call that nobody answered; all others are unreachable. 0: we gave up ringing.
_UNANSWERED = {
    0: Outcome.NO_ANSWER, 16: Outcome.NO_ANSWER, 19: Outcome.NO_ANSWER,
    17: Outcome.BUSY, 21: Outcome.BUSY, 26: Outcome.TAKEN_BACK,
}  # fmt: skip

# Q.850 causes of a call that nobody ended on purpose: no route, channel or network out of order, RTP timeout…
_CUT_OFF_CAUSES = frozenset({27, 38, 41, 44, 102, 111})


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened to one call, once.

    `key` names it uniquely within the call; two accounts of the same event carry the same key.
    """

    call: str
    at: datetime
    kind: Kind
    key: str
    who: str | None = None
    """The dispatcher's extension, or "resident"."""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A call between a resident and the hotline as far as it is known. Moments carry their zone (UTC)."""

    id: str
    arrived_at: datetime
    caller: str | None = None
    """The resident, whoever rang whom: E.164; None when the number is hidden."""
    dialled: str | None = None
    company_id: int | None = None
    resident_id: int | None = None
    house_id: int | None = None
    flat: str | None = None
    category: str | None = None
    queue: str | None = None
    priority: int | None = None
    picked_up_at: datetime | None = None
    queued_at: datetime | None = None
    answered_at: datetime | None = None
    answered_by: str | None = None
    ended_at: datetime | None = None
    hung_up_by: str | None = None
    outcome: Outcome | None = None
    static_route: bool = False
    direction: Direction = Direction.INBOUND
    stage: Stage = Stage.GREETING
    left_queue: Outcome | None = None
    message_at: datetime | None = None
    hangup_cause: int | None = None
    chose_to_end: bool = False
    accepted: bool = False
    tried: Outcome | None = None
    asked_at: datetime | None = None
    """When she went to, or asked the robot for, a dispatcher."""

    def follow(self, fact: Fact) -> None:
        """Take in what happened. A fact told twice changes nothing."""
        match fact.kind:
            case Kind.ARRIVED:
                self.arrived_at = min(self.arrived_at, fact.at)
                self.dialled = self.dialled or fact.detail.get("dialled")
                self._goes_with(fact)
            case Kind.STATIC_ROUTE:
                self.static_route = True
            case Kind.PICKED_UP:
                self.picked_up_at = _earlier(self.picked_up_at, fact.at)
            case Kind.PROMPT if self.stage is Stage.GREETING and "menu" in fact.detail:
                self.stage = Stage.MENU
            case Kind.WENT:
                self._went(fact)
            case Kind.QUEUED:
                self._queued(fact)
            case Kind.LEFT_QUEUE:
                self.left_queue = why_left_queue(str(fact.detail.get("status")))
            case Kind.ANSWERED:
                self.answered_at = _earlier(self.answered_at, fact.at)
                self.answered_by = self.answered_by or fact.who
                self._now(Stage.TALK)
            case Kind.MESSAGE:
                self.message_at = fact.at
                self._now(Stage.MESSAGE)
            case Kind.ACCEPTED:
                self.accepted = True
            case Kind.TRIED:
                self.tried = _TRIED.get(str(fact.detail.get("status")), Outcome.UNREACHABLE)
            case Kind.MACHINE:
                self.tried = Outcome.MACHINE
            case Kind.HUNG_UP:
                self.hung_up_by = fact.who
                self.hangup_cause = fact.detail.get("cause")
            case Kind.ENDED if self.ended_at is None:
                self.ended_at = fact.at
                self.outcome = self._how_it_ended(fact)
                self.stage = Stage.ENDED
            case _:
                pass

    def _went(self, fact: Fact) -> None:
        if self.stage is Stage.GREETING:  # a key during the greeting: the menu needed no words
            self.stage = Stage.MENU
        self.category = fact.detail.get("category", self.category)
        self.queue = fact.detail.get("queue", self.queue)
        self.priority = fact.detail.get("priority", self.priority)
        self.chose_to_end = fact.detail.get("place") == "hang-up"
        self.asked_at = _earlier(self.asked_at, fact.at)

    def _queued(self, fact: Fact) -> None:
        self.queued_at = _earlier(self.queued_at, fact.at)
        self.asked_at = _earlier(self.asked_at, fact.at)
        # whom the robot has rung, for who did not order that call
        self.caller = self.caller or fact.detail.get("caller") or None
        self.dialled = self.dialled or fact.detail.get("dialled") or None
        self.queue = self.queue or fact.detail.get("queue")
        self._goes_with(fact)
        self.left_queue = None
        self._now(Stage.QUEUE)

    def _goes_with(self, fact: Fact) -> None:
        """What Asterisk's own log tells of where it goes, for who has not heard the conversation."""
        self.category = self.category or fact.detail.get("category")
        if self.priority is None:
            self.priority = fact.detail.get("priority")

    def _now(self, stage: Stage) -> None:
        if self.stage is not Stage.ENDED:
            self.stage = stage

    def _how_it_ended(self, end: Fact) -> Outcome:
        broke_off = bool(end.detail.get("lost")) or self.hangup_cause in _CUT_OFF_CAUSES
        # These count after a talk, too: handed on to a colleague who did not answer, she fell back into the queue.
        if self.message_at is not None and end.at - self.message_at >= MESSAGE_WORTH_HEARING:
            return Outcome.VOICEMAIL
        if self.left_queue is Outcome.CALLBACK_ASKED:
            return self.left_queue
        if self.answered_at is not None:
            if self.tried is Outcome.MACHINE:
                return Outcome.MACHINE
            lasted = end.at - self.answered_at
            if self.hangup_cause == DEAD_LINE:
                lasted -= NOTICED_AFTER
            return Outcome.CUT_OFF if broke_off and lasted < TALK_WORTH_THE_NAME else Outcome.TALKED
        if self.direction is Direction.SURVEY and self.picked_up_at is None:
            lost = bool(end.detail.get("lost"))
            return (
                Outcome.TAKEN_BACK if lost else _UNANSWERED.get(self.hangup_cause or 0, Outcome.UNREACHABLE)
            )
        if broke_off:
            was_placed = self.direction is not Direction.CALLBACK or self.queued_at is not None
            return Outcome.CUT_OFF if was_placed else Outcome.TAKEN_BACK
        if self.direction is Direction.CALLBACK:
            return self._why_not_reached()
        if self.direction is Direction.SURVEY and self.queued_at is None:
            return Outcome.SURVEYED
        if self.left_queue is not None:
            return self.left_queue
        if self.queued_at is not None:
            return Outcome.ABANDONED_IN_QUEUE
        if self.chose_to_end:
            return Outcome.INFORMED
        if self.stage is Stage.MENU:
            return Outcome.ABANDONED_IN_MENU
        return Outcome.ABANDONED_IN_GREETING

    def _why_not_reached(self) -> Outcome:
        if self.tried is not None:
            return self.tried
        if self.picked_up_at is not None:
            return Outcome.NO_ANSWER  # put down before she was connected
        if self.accepted:
            return Outcome.DISPATCHER_GONE
        return self.left_queue or Outcome.TAKEN_BACK


def why_left_queue(status: str) -> Outcome:
    """What Asterisk's QUEUESTATUS says of a call the queue gave back."""
    return _LEFT_QUEUE.get(status, Outcome.QUEUE_TIMED_OUT)


def _earlier(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else min(known, at)
