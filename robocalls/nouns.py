"""The nouns of a survey: the job that is asked about, what was answered, what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Status(StrEnum):
    """Of a survey. The same words are the SQL enum `survey_status`."""

    PLANNED = "planned"
    CALLING = "calling"
    DONE = "done"
    """Somebody answered, whatever she said."""
    GIVEN_UP = "given_up"
    """Never reached within the ladder, or the time."""
    CANCELLED = "cancelled"
    """She must not be rung: no consent, opted out, the ticket was reopened."""


class Result(StrEnum):
    """What came of it. The same words are the SQL enum `survey_result`."""

    RATED = "rated"
    NOT_DONE = "not_done"
    """«Не сделали», «никто не приходил», «опять течёт»."""
    REFUSED = "refused"
    """Does not want to answer this time."""
    OPTED_OUT = "opted_out"
    """Does not want to be rung by the robot ever again."""
    HUMAN = "human"
    """Asked for a person, and rated nothing."""
    LATER = "later"
    WRONG_NUMBER = "wrong_number"
    NOT_UNDERSTOOD = "not_understood"
    SILENT = "silent"
    CHILD = "child"
    FOREIGN = "foreign"
    """Spoke at length, and not a word of ours was in it: most likely another language."""
    MACHINE = "machine"
    FAX = "fax"
    TONE = "tone"
    HUNG_UP = "hung_up"
    """Before anything was answered."""
    UNREACHED = "unreached"
    """Busy, no answer, unreachable, cut off: nobody was there."""


class By(StrEnum):
    """How an answer came."""

    VOICE = "voice"
    KEY = "key"
    EARS = "ears"
    """Nobody answered it: the robot concludes it from what it heard."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that counts from now on; a later one of the same call replaces it."""

    result: Result
    by: By
    rating: int | None = None
    """1 to 5, with RATED and only with it."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """The evidence: words with confidences, the key, which try it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job that is asked about. What is personal (name, flat) is not spoken before the person confirms."""

    survey: int
    call: str
    ticket: int
    phone: str
    company_id: int | None
    line: str | None
    """The company's number that the resident sees."""
    category: str
    queue: str
    registered_at: datetime
    zone: str
    """The resident's own time zone."""
    address: str | None = None
    """The house; without the flat."""
    flat: str | None = None
    name: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """How busy one Asterisk and the ears are at this moment."""

    waiting: int
    """Residents in the queues."""
    channels: int
    """Calls to and from outside, the robot's own included."""
    robots: int
    """The robot's own."""


class Robot(Protocol):
    """Who rings for the campaign, through one Asterisk (`ivr.asterisk.robot`)."""

    @property
    def name(self) -> str:
        """Which Asterisk."""

    @property
    def carries(self) -> int:
        """How many calls at once its ears can follow."""

    def is_on_the_line(self, phone: str) -> bool:
        """Is that number on a call with us this very moment?"""

    async def load(self) -> Load:
        """Raises PeerError."""

    async def ring(self, job: Job, place_by: datetime) -> None:
        """Have its prompts ready, then ring her. Raises PeerError when she was not rung, Disconnected when nobody
        knows."""
