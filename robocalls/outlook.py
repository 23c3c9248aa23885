"""What is to become of each survey, as far as it is known now: whom the robot will ask and when; whom not, and why.

Asked of the campaign's own rules, and nothing is changed: what is not planned yet is planned and taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from ivr.store import Row, Store
from robocalls import campaign
from robocalls.allowed import LOOKED_BACK, Go, Never, Standing, Wait, Why, allowed
from robocalls.nouns import Status
from robocalls.rules import Rules


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to become of one survey."""

    row: Row
    """Its `id` is None when nobody has planned it yet."""
    at: datetime | None = None
    """Not before then; None: she is being asked now, or never will be."""
    why: str | None = None
    """What it waits for, or why she will not be asked."""

    @property
    def is_on(self) -> bool:
        """She is being asked now."""
        return bool(self.row["status"] == Status.CALLING)

    @property
    def is_off(self) -> bool:
        """She will not be asked."""
        return self.at is None and not self.is_on


async def outlook(
    store: Store, rules: Rules, zone: ZoneInfo, now: datetime, since: datetime, ticket: int | None = None
) -> list[Outlook]:
    """Of every survey, or of a ticket's; with those that were given up or cancelled from `since` on.

    `zone` is the hotline's own.
    """
    looks: list[Outlook] = []
    with suppress(_TakenBack):
        async with store.transaction() as one:
            new = set(await campaign.plan(one, rules, zone, now))
            rows = await one.all("survey_book.outlook", since=since, ticket=ticket)
            standings = await _standings(one, rows, rules, zone, now)
            looks = [_look(row, standings, rules, now) for row in rows]
            looks = [_unplanned(look) if look.row["id"] in new else look for look in looks]
            raise _TakenBack
    return looks


async def askable(
    store: Store, rules: Rules, zone: ZoneInfo, now: datetime, ticket: int | None = None
) -> tuple[list[int], list[Outlook]]:
    """Planned surveys whose residents may be rung at this moment; and the others, with what they wait for.

    The ladder's pause is passed over; an hour that was agreed, or asked for («позже»), is not.
    """
    rows = await store.all("survey_book.outlook", since=now, ticket=ticket)
    planned = [row for row in rows if row["status"] == Status.PLANNED]
    standings = await _standings(store, planned, rules, zone, now)
    at_once = [row if row["why"] == Why.LATER else {**row, "next_attempt_at": now} for row in planned]
    looks = [_look(row, standings, rules, now) for row in at_once]
    go = [look for look in looks if look.at is not None and look.at <= now]
    return [look.row["id"] for look in go], [look for look in looks if look not in go]


class _TakenBack(Exception):
    """Ends a transaction that was to change nothing."""


def _unplanned(look: Outlook) -> Outlook:
    return replace(look, row={**look.row, "id": None})


async def _standings(
    store: Store, rows: Sequence[Row], rules: Rules, zone: ZoneInfo, now: datetime
) -> dict[int, Row]:
    found = await store.all(
        "surveys.standing",
        surveys=[row["id"] for row in rows if row["status"] == Status.PLANNED],
        emergencies=sorted(rules.emergencies),
        zone=zone.key,
        since=now - LOOKED_BACK,
        now=now,
    )
    return {row["id"]: row for row in found}


def _look(row: Row, standings: dict[int, Row], rules: Rules, now: datetime) -> Outlook:
    if row["status"] != Status.PLANNED:
        return Outlook(row, None, row["why"])
    standing = standings[row["id"]]
    it = Standing(**{name: standing[name] for name in Standing.__slots__})
    moment = max(row["next_attempt_at"], now)
    match allowed(it, rules, moment, ZoneInfo(standing["zone"])):
        case Never(why):
            return Outlook(row, None, why)
        case Wait(until, why):
            return Outlook(row, until, why)
        case Go(why):
            return Outlook(row, moment, why or (row["why"] if moment > now else None))
