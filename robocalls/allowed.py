"""When the robot may ring somebody, and what follows from how its call went. Pure: time is an argument.

Calls of a day are counted by the calendar on her wall, calls of a week within any seven days before the moment.
An hour agreed with her outside the windows is her wish and is kept; the counts of calls are kept even then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from ivr.call import Outcome
from robocalls.nouns import Result, Status
from robocalls.rules import Rules

WEEK = timedelta(days=7)
LOOKED_BACK = WEEK + timedelta(days=2)
"""Calls of the robot longer ago than this forbid nothing, in whatever time zone."""


class Why(StrEnum):
    """Why a survey waits, was given up or was cancelled; its words are in `words.toml`."""

    # it waits
    AGREED = "agreed"
    """For the hour agreed with her; while it is called: outside the windows, as agreed."""
    QUIET_HOURS = "quiet_hours"
    A_DAY = "a_day"
    A_WEEK = "a_week"
    ON_A_CALL = "on_a_call"
    OWED = "owed"
    """We owe her a call back: that comes first."""
    EMERGENCY = "emergency"
    LATER = "later"
    """She asked for it."""
    ONCE_MORE = "once_more"
    # it is settled
    CATEGORY = "category"
    DRAFT = "draft"
    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    BLOCKED = "blocked"
    REOPENED = "reopened"
    """The closing it was to ask about is none any more."""
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand with a survey: what the ledger knows of the ticket, the resident and her number."""

    category: str
    has_content: bool
    """Somebody has written down what was wrong."""
    closed_at: datetime
    agreed_at: datetime | None = None
    stands: bool = True
    """The ticket is closed still, by the closing that is asked about."""
    consented: bool = True
    opted_out: bool = False
    blocked: bool = False
    on_a_call: bool = False
    owed: bool = False
    has_emergency: bool = False
    rung: Sequence[datetime] = ()
    """When the robot had her phone ring within the last `LOOKED_BACK`."""


@dataclass(frozen=True, slots=True)
class Go:
    """She may be rung now."""

    why: Why | None = None
    """AGREED: outside the windows, because she wanted it so."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not before then."""

    until: datetime
    why: Why


@dataclass(frozen=True, slots=True)
class Never:
    """Not for this closing."""

    why: Why
    status: Status = Status.CANCELLED


def allowed(it: Standing, rules: Rules, now: datetime, zone: ZoneInfo) -> Go | Wait | Never:
    """May she be rung at this moment?"""
    if why := _forbidden(it, rules):
        return Never(why)
    if now > last_moment(it, rules):
        return Never(Why.TOO_LATE, Status.GIVEN_UP)
    moment, why = first_moment(it, rules, now, zone)
    if moment > last_moment(it, rules):
        return Never(Why.TOO_LATE, Status.GIVEN_UP)
    if moment > now:
        assert why is not None
        return Wait(moment, why)
    if why := _at_a_bad_moment(it):
        return Wait(now + rules.pause, why)
    return Go(None if _is_open(now, rules, zone) else Why.AGREED)


def not_asked(it: Standing, rules: Rules) -> Why | None:
    """Is nobody asked about such a ticket at all?"""
    if it.category in rules.skip:
        return Why.CATEGORY
    return None if it.has_content or rules.drafts else Why.DRAFT


def _forbidden(it: Standing, rules: Rules) -> Why | None:
    if not it.stands:
        return Why.REOPENED
    if why := not_asked(it, rules):
        return why
    if it.opted_out:
        return Why.OPTED_OUT
    if it.blocked:
        return Why.BLOCKED
    return None if it.consented or not rules.consent else Why.NO_CONSENT


def _at_a_bad_moment(it: Standing) -> Why | None:
    if it.on_a_call:
        return Why.ON_A_CALL
    if it.owed:
        return Why.OWED
    return Why.EMERGENCY if it.has_emergency else None


def last_moment(it: Standing, rules: Rules) -> datetime:
    """Later nobody remembers the job."""
    return max(it.closed_at, it.agreed_at or it.closed_at) + rules.give_up


def first_moment(
    it: Standing, rules: Rules, earliest: datetime, zone: ZoneInfo
) -> tuple[datetime, Why | None]:
    """From `earliest` on the first moment at which clock and counts let her be rung, and why not before."""
    moment, why = earliest.astimezone(UTC), None
    if it.agreed_at is not None and it.agreed_at > moment:
        moment, why = it.agreed_at.astimezone(UTC), Why.AGREED
    last = max(last_moment(it, rules), moment) + timedelta(days=1)
    while moment <= last:
        if not _is_open(moment, rules, zone) and not _is_her_hour(it, rules, moment):
            moment, why = _next_opening(moment, rules, zone), why or Why.QUIET_HOURS
        elif _rung_that_day(it, moment, zone) >= rules.a_day:
            moment, why = _midnight_after(moment, zone), why or Why.A_DAY
        elif len(week := sorted(rung for rung in it.rung if rung > moment - WEEK)) >= rules.a_week:
            moment, why = (week[-rules.a_week] + WEEK).astimezone(UTC), why or Why.A_WEEK
        else:
            break
    return moment, why


def _is_her_hour(it: Standing, rules: Rules, moment: datetime) -> bool:
    return it.agreed_at is not None and it.agreed_at <= moment <= it.agreed_at + rules.agreed


def _is_open(moment: datetime, rules: Rules, zone: ZoneInfo) -> bool:
    local = moment.astimezone(zone)
    return local.time() in rules.window(local.date())


def _next_opening(moment: datetime, rules: Rules, zone: ZoneInfo) -> datetime:
    """A window opens by the clock on her wall, twice when that hour comes twice."""
    day = moment.astimezone(zone).date()
    while True:
        window = rules.window(day)
        for fold in (0, 1):
            opens = datetime.combine(day, window.begins, zone).replace(fold=fold).astimezone(UTC)
            if window and opens > moment:
                return opens
        day += timedelta(days=1)


def _midnight_after(moment: datetime, zone: ZoneInfo) -> datetime:
    day = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _rung_that_day(it: Standing, moment: datetime, zone: ZoneInfo) -> int:
    day = moment.astimezone(zone).date()
    return sum(rung.astimezone(zone).date() == day for rung in it.rung)


# what follows from a call

IN_VAIN = frozenset({Outcome.BUSY, Outcome.NO_ANSWER, Outcome.UNREACHABLE, Outcome.CUT_OFF})
"""Nobody was there, or the line broke before anything was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A call of the robot that is over."""

    outcome: Outcome
    at: datetime
    result: Result | None = None
    """What was answered in it, if anything."""
    rating: int | None = None
    handed_over: bool = False
    """She went to a dispatcher."""
    hung_up_by_her: bool = True
    """Else, when nothing was answered, the line broke: a part of us died."""
    in_vain: int = 0
    """Calls of this survey that reached nobody, this one included; those that never rang are none."""
    talks: int = 0
    """Calls of this survey in which somebody picked up and no machine was, this one included."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nobody is rung about it any more."""

    status: Status
    result: Result | None
    rating: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """She is rung again, from then on."""

    at: datetime
    why: str
    """What the call came to."""


def after(call: Ended, it: Standing, rules: Rules, zone: ZoneInfo) -> Settled | Again:
    """What follows from a call. Whatever she has answered counts, also when the line broke afterwards."""
    result = call.result or _result_of(call)
    if result is Result.HUNG_UP and not call.hung_up_by_her:
        result = None
    if result is not None and _is_final(result, call, rules):
        return Settled(Status.DONE, result, call.rating)
    if not it.stands:
        return Settled(Status.CANCELLED, None, why=Why.REOPENED)
    waits, why = _wait_after(call, result, rules)
    unreached = Result.MACHINE if result is Result.MACHINE else Result.UNREACHED
    if waits is None:
        return Settled(Status.GIVEN_UP, unreached, why=why)
    moment, _ = first_moment(it, rules, call.at + waits, zone)
    if moment > last_moment(it, rules):
        return Settled(
            Status.GIVEN_UP, unreached if result in {None, Result.MACHINE} else result, why=Why.TOO_LATE
        )
    return Again(moment, why)


def _result_of(call: Ended) -> Result | None:
    """Of a call in which nothing was answered; None: nobody was reached."""
    if call.outcome in IN_VAIN or call.outcome is Outcome.TAKEN_BACK:
        return None
    if call.outcome is Outcome.MACHINE:
        return Result.MACHINE
    return Result.HUMAN if call.handed_over else Result.HUNG_UP


def _is_final(result: Result, call: Ended, rules: Rules) -> bool:
    if result in {Result.LATER, Result.MACHINE}:
        return False
    return result not in rules.once_more or call.talks > 1


def _wait_after(call: Ended, result: Result | None, rules: Rules) -> tuple[timedelta | None, str]:
    """How long it waits, and what for; None: the ladder is at its end."""
    if result is Result.LATER:
        return rules.later, Why.LATER
    if result in rules.once_more:
        return rules.ladder[0] if rules.ladder else rules.later, Why.ONCE_MORE
    if call.outcome is Outcome.TAKEN_BACK:
        return rules.pause, Outcome.TAKEN_BACK
    why = Outcome.MACHINE if result is Result.MACHINE else call.outcome
    if why is Outcome.SURVEYED:
        why = Outcome.CUT_OFF
    step = max(call.in_vain, 1) - 1
    return (rules.ladder[step] if step < len(rules.ladder) else None), why
