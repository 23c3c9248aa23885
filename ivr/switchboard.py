"""Every call that is on now: facts come in, calls are folded from them, what is to be remembered goes out.

Facts come from three sides and in any order: the conversation (prompts, keys), Asterisk's event stream
(queue, ringing, answer, hang-up) and, after a gap, Asterisk's log. A fact's key makes telling it twice harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from callback.missed import missed
from directory.nouns import Caller, Company
from directory.phones import masked
from ivr.call import Call, Direction, Fact, Kind, Outcome
from ivr.store import Outbox
from tickets import book
from tickets.limits import Limits

log = logging.getLogger(__name__)

REMEMBERED = timedelta(minutes=2)
"""How long an ended call is kept for what its conversation still has to say."""

_ROW = (
    "id", "company_id", "caller", "dialled", "resident_id", "house_id", "flat", "category", "queue", "priority",
    "arrived_at", "picked_up_at", "queued_at", "answered_at", "answered_by", "ended_at", "hung_up_by", "outcome",
    "static_route", "direction",
)  # fmt: skip


@dataclass(slots=True)
class Numbers:
    """How numbers are read here."""

    to_e164: Callable[[str | None], str | None]
    company_of: Callable[[str | None], Company | None]
    """Whose line a dialled number is."""


@dataclass(slots=True)
class Switchboard:
    """Calls by id. Every method is synchronous: what is asked of the database goes through the outbox."""

    outbox: Outbox
    numbers: Numbers
    limits: Limits
    time_zone: ZoneInfo
    on_open: Callable[[Call], None] = lambda call: None
    """Called once for each call that is new."""
    watchers: list[Callable[[Call, Fact], None]] = field(default_factory=list)
    """Called with every fact once it is in force."""
    calls: dict[str, Call] = field(default_factory=dict)
    _told: dict[str, set[str]] = field(default_factory=dict)

    def open(
        self,
        call_id: str,
        at: datetime,
        caller: str | None,
        dialled: str | None,
        direction: Direction = Direction.INBOUND,
    ) -> Call:
        """The call of that id, made if it is new; the earliest moment heard of is its arrival."""
        if known := self.calls.get(call_id):
            return known
        number = self.numbers.to_e164(caller)
        if self.numbers.company_of(number):
            number = (
                None  # somebody's forwarding shows our own line: to call it back would be to call ourselves
            )
        call = Call(
            call_id,
            at,
            number,
            self.numbers.to_e164(dialled) or dialled,
            direction=direction,
        )
        if company := self.numbers.company_of(call.dialled):
            call.company_id = company.id
        self._admit(call)
        if direction is Direction.INBOUND:  # what we ring is recorded once the resident has answered
            self._expect_recording(call, at)
        self.on_open(call)
        log.info("call arrived", extra={"call": call.id, "caller": masked(call.caller), "dialled": dialled})
        return call

    def resume(self, call: Call, facts: list[Fact]) -> None:
        """Take up a call the ledger knows as going on (after a restart)."""
        self.calls[call.id] = call
        self._told[call.id] = {fact.key for fact in facts}
        for fact in facts:
            call.follow(fact)

    def identify(self, call: Call, caller: Caller, at: datetime) -> None:
        """The directory knows who calls."""
        call.company_id = caller.company.id
        if caller.known and caller.resident:
            call.resident_id = caller.resident.id if caller.residents_known == 1 else None
            call.house_id = caller.house.id if caller.house else None
            call.flat = caller.flat
        detail = {
            "name": caller.name,
            "flat": caller.flat,
            "residents_known": caller.residents_known,
            "open_tickets": caller.open_tickets,
            "calls_lately": caller.calls_lately,
        }
        self.take(Fact(call.id, at, Kind.IDENTIFIED, "identified", None, detail))
        if call.answered_at is not None:
            self.outbox.write(
                "tickets.place",
                call=call.id,
                house_id=call.house_id,
                flat=call.flat,
                resident_id=call.resident_id,
            )

    def take(self, fact: Fact) -> None:
        """Take in a fact: fold it, remember it, and do what it asks for."""
        call = self.calls.get(fact.call)
        if call is None:
            if fact.kind is not Kind.ARRIVED:
                return  # a call that ended before our time; the log knows it
            call = self.open(
                fact.call,
                fact.at,
                fact.detail.get("caller"),
                fact.detail.get("dialled"),
                Direction(fact.detail.get("direction", Direction.INBOUND)),
            )
        if fact.key in self._told[fact.call]:
            return
        self._told[fact.call].add(fact.key)
        call.follow(fact)
        self._remember(call, fact)
        if fact.kind is Kind.PICKED_UP and call.direction is not Direction.INBOUND:
            self._expect_recording(call, fact.at)
        if (
            fact.kind is Kind.ANSWERED and call.direction is not Direction.SURVEY
        ):  # that one is about a ticket
            book.draft(self.outbox, call, self.limits, self.zone_of(call))
        if fact.kind is Kind.ENDED:
            self._ended(call)
        for watch in self.watchers:
            watch(call, fact)

    def zone_of(self, call: Call) -> ZoneInfo:
        company = self.numbers.company_of(call.dialled)
        return ZoneInfo(company.time_zone) if company else self.time_zone

    def going_on(self) -> list[Call]:
        return [call for call in self.calls.values() if call.ended_at is None]

    def sweep(self, now: datetime) -> None:
        """Forget calls that ended a while ago; the ledger has them."""
        for call in [c for c in self.calls.values() if c.ended_at and now - c.ended_at > REMEMBERED]:
            del self.calls[call.id], self._told[call.id]

    def _admit(self, call: Call) -> None:
        self.calls[call.id] = call
        self._told[call.id] = set()
        self._save(call)

    def _remember(self, call: Call, fact: Fact) -> None:
        self._save(call)
        self.outbox.write(
            "calls.note",
            call=fact.call,
            key=fact.key,
            at=fact.at,
            kind=fact.kind,
            who=fact.who,
            detail=dict(fact.detail),
        )

    def _save(self, call: Call) -> None:
        self.outbox.write("calls.save", **{column: getattr(call, column) for column in _ROW})

    def _expect_recording(self, call: Call, at: datetime) -> None:
        self.outbox.write("recordings.expect", call=call.id, company_id=call.company_id, expected_at=at)

    def _ended(self, call: Call) -> None:
        log.info("call ended", extra={"call": call.id, "outcome": call.outcome})
        promise = missed(call, self.limits)
        if promise is not None:
            self.outbox.write(
                "promises.open", **{name: getattr(promise, name) for name in promise.__dataclass_fields__}
            )


def lost(call: Call, at: datetime) -> Fact:
    """The end of a call whose exchange went away under it."""
    return Fact(call.id, at, Kind.ENDED, f"lost/{Outcome.CUT_OFF}", None, {"lost": True})
