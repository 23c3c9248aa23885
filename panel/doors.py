"""Who asks: nobody, a dispatcher (her extension and SIP password) or the administrator (the bearer token).

Tries that fail are counted an address, in bounded memory: whoever guesses is soon refused unheard.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from directory import lookup
from ivr.errors import DozvonError
from ivr.store import Store

TRIES = 10
"""Failed tries an address has…"""
FORGOTTEN_AFTER = timedelta(minutes=1)
"""…before it is refused until nobody has failed from there for so long."""
REMEMBERED = 1024
LONGEST_HEADER = 512


class Role(StrEnum):
    NOBODY = "nobody"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and what the history calls her."""

    role: Role
    name: str
    title: str = ""
    serves: tuple[int, ...] | None = None
    """Companies she may see; None: all of them."""


NOBODY = Who(Role.NOBODY, "nobody")
ADMIN = Who(Role.ADMIN, "admin")


class TooManyTries(DozvonError):
    """Too many logins failed from this address."""


class _Bounded(OrderedDict[Hashable, tuple[int, datetime]]):
    """The latest things seen, with how often and when; the oldest are forgotten."""

    def see(self, key: Hashable, times: int, now: datetime) -> None:
        self[key] = (times, now)
        self.move_to_end(key)
        while len(self) > REMEMBERED:
            self.popitem(last=False)


@dataclass(slots=True)
class Doorkeeper:
    """`await who(header, address)` for every request."""

    store: Store
    token: str
    now: Callable[[], datetime]
    _failed: _Bounded = field(default_factory=_Bounded)
    _proven: _Bounded = field(default_factory=_Bounded)
    """Logins that were good: somebody else's guessing from the same office does not shut them out."""
    _pepper: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    async def who(self, header: str, address: str | None) -> Who:
        """Raises TooManyTries; LedgerAway when a dispatcher cannot be looked up."""
        if not header:
            return NOBODY
        now, place = self.now(), _network(address)
        login = hmac.digest(self._pepper, header.encode(), hashlib.sha256)
        if login not in self._proven and self._exhausted(place, now):
            raise TooManyTries("too many logins failed from here; wait a minute")
        who = await self._known(header[:LONGEST_HEADER])
        if who is NOBODY:
            self._proven.pop(login, None)
            self._failed.see(place, self._failed.get(place, (0, now))[0] + 1, now)
        else:
            self._proven.see(login, 1, now)
        return who

    def _exhausted(self, place: str, now: datetime) -> bool:
        times, last = self._failed.get(place, (0, now))
        if abs(now - last) > FORGOTTEN_AFTER:
            self._failed.pop(place, None)
            return False
        return times >= TRIES

    async def _known(self, header: str) -> Who:
        scheme, _, shown = header.partition(" ")
        match scheme.lower():
            case "bearer" if _same(shown, self.token):
                return ADMIN
            case "basic":
                return await self._dispatcher(*_extension_and_password(shown))
            case _:
                return NOBODY

    async def _dispatcher(self, extension: str, password: str) -> Who:
        if not extension:
            return NOBODY
        found = NOBODY
        for dispatcher in await lookup.dispatchers(self.store):
            # every password is compared: how long it takes does not say which extensions there are
            good = _same(password, dispatcher.password)
            if good and dispatcher.extension == extension:
                serves = None if dispatcher.serves is None else tuple(sorted(dispatcher.serves))
                found = Who(Role.DISPATCHER, extension, dispatcher.name, serves)
        return found


def _same(shown: str, secret: str) -> bool:
    return hmac.compare_digest(shown.encode(), secret.encode())


def _extension_and_password(shown: str) -> tuple[str, str]:
    """Empty when it is not what RFC 7617 asks for."""
    try:
        text = base64.b64decode(shown, validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    extension, _, password = text.partition(":")
    return (extension, password) if password else ("", "")


def _network(address: str | None) -> str:
    """A home has one IPv4 address, but a whole /64 of IPv6."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    return str(ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False))
