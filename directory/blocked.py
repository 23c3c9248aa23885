"""Numbers nobody is owed a call: each with who said so and why; lifted, never deleted.

A block holds for calls that arrive while it is in force. Promises made before stand.
"""

from __future__ import annotations

from datetime import datetime

from directory.phones import to_e164, why_not
from ivr.errors import Refused
from ivr.store import Row, Store

SHORTEST_PREFIX = 3
"""A shorter one would silence half a country: +7* is everybody."""


def pattern_of(text: str, *, region: str = "RU", area_code: str = "495") -> str:
    """`8 (900) 123-45-67`, `+7900…` or a local number as E.164; `+7900*` or `8900*` as a prefix.

    Raises Refused with the near miss.
    """
    text = text.strip()
    if not text.endswith("*"):
        number = to_e164(text, region=region, area_code=area_code)
        if number is None:
            raise Refused(f"{text!r}: {why_not(text, region=region, area_code=area_code)}")
        return number
    return f"+{_prefix(text, region)}*"


def _prefix(text: str, region: str) -> str:
    """The digits of a prefix, the country's first."""
    digits = "".join(sign for sign in text[:-1] if sign not in " ()-")
    international = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise Refused(f"{text!r}: a prefix is digits with one * at the end, like +7900*")
    if region == "RU" and not international and digits.startswith("8"):
        international, digits = True, "7" + digits[1:]
    if not international:
        raise Refused(f"{text!r}: a prefix begins with the country, like +7900*; did you mean '+7{digits}*'?")
    if len(digits) < SHORTEST_PREFIX:
        raise Refused(
            f"{text!r}: far too many numbers begin so; at least {SHORTEST_PREFIX} digits are wanted"
        )
    if len(digits) >= 15:
        raise Refused(f"{text!r}: no phone number is that long")
    return digits


async def add(store: Store, pattern: str, *, reason: str, author: str, now: datetime) -> Row:
    """Block a pattern as `pattern_of` gives it. Raises Refused when it is blocked already."""
    row = await store.one(
        "blocked.add",
        pattern=pattern,
        reason=_said("reason", reason),
        author=_said("author", author),
        now=now,
    )
    if row is not None:
        return row
    known = await store.one("blocked.in_force", pattern=pattern)
    by = f" by {known['author']} (number {known['id']} of the list)" if known else ""
    raise Refused(f"{pattern}: blocked already{by}")


async def lift(store: Store, number: int, *, author: str, now: datetime) -> Row:
    """Calls are promised a call back again from now on. Raises Refused when there is nothing to lift."""
    if not 0 < number < 2**63:
        raise Refused(f"no blocked number {number}: look at dozvon block list")
    row = await store.one("blocked.lift", id=number, author=_said("author", author), now=now)
    if row is not None:
        return row
    known = await store.one("blocked.show", id=number)
    if known is None:
        raise Refused(f"no blocked number {number}: look at dozvon block list")
    raise Refused(f"{known['pattern']} was lifted already by {known['lifted_by']}")


async def listed(store: Store, *, lifted_too: bool = False) -> list[Row]:
    """The latest first."""
    return await store.all("blocked.list", all=lifted_too)


async def residents_under(store: Store, pattern: str) -> int:
    """How many phones of known residents a pattern covers: worth a second look before it is blocked."""
    row = await store.one("blocked.residents_under", pattern=pattern)
    return row["phones"] if row else 0


def _said(what: str, text: str) -> str:
    if not text.strip():
        raise Refused(f"{what}: say it in words")
    return text.strip()
