"""Which calls were missed, and what is promised for them. Pure: no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ivr.call import Call, Direction, Outcome
from tickets.limits import Limits

HIDDEN = "hidden"
"""Why (`words.toml`): the caller's number is hidden, there is nobody to ring."""

HEARD = frozenset({Outcome.TALKED, Outcome.INFORMED})
"""Ends after which nobody is owed a call."""


@dataclass(frozen=True, slots=True)
class Promise:
    """We will call back: by when, whom, why, and which clause says so."""

    call: str
    company_id: int | None
    phone: str | None
    line: str | None
    category: str | None
    queue: str | None
    priority: int
    reason: Outcome
    clause: str
    missed_at: datetime
    answer_mark_at: datetime
    """When the time for answering is over."""
    due_at: datetime
    why: str | None = None
    """Why it cannot be kept."""


def missed(call: Call, limits: Limits) -> Promise | None:
    """The promise an ended call makes: each without a talk makes one, due from its arrival.

    A voice message is considered within the same time from its receipt (ПП РФ № 416, cl. 13). Whom the robot has
    rung is owed nothing, unless she asked it for a dispatcher: from then on.
    """
    if call.direction is Direction.CALLBACK or call.outcome is None or call.outcome in HEARD:
        return None
    came = call.arrived_at if call.direction is Direction.INBOUND else call.asked_at
    if came is None:
        return None
    is_message = call.outcome is Outcome.VOICEMAIL and call.ended_at is not None
    begins = call.ended_at if is_message and call.ended_at else came
    return Promise(
        call=call.id,
        company_id=call.company_id,
        phone=call.caller,
        line=call.dialled,
        category=call.category,
        queue=call.queue,
        priority=call.priority or 0,
        reason=call.outcome,
        clause=limits.callback.clause,
        missed_at=came,
        answer_mark_at=came + limits.answer.within,
        due_at=begins + limits.callback.within,
        why=None if call.caller else HIDDEN,
    )
