"""What somebody meant: the nouns of understanding."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ivr.heard import Heard


class Intent(StrEnum):
    """What a person wants of us. Of several in one breath the one that stands higher here counts."""

    MACHINE = "machine"
    """No person: an answering machine or a voice assistant."""
    OPT_OUT = "opt_out"
    """Wants never to be rung again."""
    WRONG_NUMBER = "wrong_number"
    CHILD = "child"
    FOREIGN = "foreign"
    """Speaks another language."""
    NOT_DONE = "not_done"
    """The job was not done, or it is as bad again."""
    HUMAN = "human"
    """Wants to talk with a person."""
    LATER = "later"
    REFUSED = "refused"
    """Does not want to answer."""
    WHICH_JOB = "which_job"
    """Asks what this is about."""
    REPEAT = "repeat"
    """Did not hear the question."""
    NO = "no"
    YES = "yes"


READ_BACK = frozenset({Intent.NOT_DONE, Intent.OPT_OUT})
"""Wishes that weigh so much that they are asked about like a rating where the ears are not sure: a ticket is opened
again, or a number never rung any more, on no half-heard word."""


class Why(StrEnum):
    """Why it is not sure what somebody meant."""

    NOTHING = "nothing"
    """Nothing was said, or nothing that says anything: «ну…», «алло»."""
    OTHER_SPEECH = "other_speech"
    """Words we do not know, alone or beside an answer: «три [unk]»."""
    FAINT = "faint"
    """The ears themselves are not sure of a word that counts."""
    SEVERAL = "several"
    """Two answers that do not go together: «три четыре», «да нет»."""
    TAKEN_BACK = "taken_back"
    """An answer denied with no other in its place: «не пять»."""
    VAGUE = "vague"
    """No answer, though about the matter: «нормально», «не знаю»."""
    ELSEWHERE = "elsewhere"
    """Words that we know to mean something else: «в пять часов», «пятнадцать»."""


@dataclass(frozen=True, slots=True)
class Rating:
    value: int
    """1 to 5."""
    confidence: float
    """0 to 1: how much of what it may have been means this. Below the question's `sure` it is to be read back."""
    heard: Heard
    also: Intent | None = None
    """What was wanted in the same breath: «два, и позовите человека»."""


@dataclass(frozen=True, slots=True)
class Wish:
    intent: Intent
    confidence: float
    heard: Heard


@dataclass(frozen=True, slots=True)
class Unsure:
    why: Why
    heard: Heard


Meaning = Rating | Wish | Unsure
