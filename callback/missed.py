"""Which calls were missed, and what is promised for them. Pure: no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ivr.call import Call, Outcome
from tickets.limits import Limit

HIDDEN = "the caller's number is hidden: there is nobody to ring"


@dataclass(frozen=True, slots=True)
class Promise:
    """We will call back: by when, whom, why, and which clause says so."""

    call: str
    company_id: int | None
    phone: str | None
    category: str | None
    reason: Outcome
    clause: str
    missed_at: datetime
    due_at: datetime
    why: str | None = None


def missed(call: Call, limit: Limit) -> Promise | None:
    """The promise an ended call makes: every call without a talk makes one, due from its arrival."""
    if call.outcome is None or call.outcome is Outcome.TALKED:
        return None
    return Promise(
        call=call.id,
        company_id=call.company_id,
        phone=call.caller,
        category=call.category,
        reason=call.outcome,
        clause=limit.clause,
        missed_at=call.arrived_at,
        due_at=call.arrived_at + limit.within,
        why=None if call.caller else HIDDEN,
    )
