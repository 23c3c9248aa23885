"""Who is who: the companies served, the people who call, the people who answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A housing company the dispatch service answers for."""

    id: int
    code: str
    name: str
    greeting: str | None = None
    """What the line says first; None: the phrasebook's greeting."""
    phrases: Mapping[str, str] = field(default_factory=dict)
    """Phrase name to the company's own wording; it wins over the phrasebook."""
    time_zone: str = "Europe/Moscow"
    queue: str = "dispatch"
    lines: tuple[str, ...] = ()
    """The numbers residents dial, E.164."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    id: int
    address: str
    time_zone: str
    access: str | None = None
    """How the crew gets in: door codes, keys, the concierge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    id: int
    name: str
    """Empty: known by phone only."""
    flat: str
    """Empty: the house has no flats."""
    house: House


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling, as far as the number tells."""

    company: Company
    """Whose line was dialled."""
    number: str | None = None
    """E.164; None: hidden."""
    resident: Resident | None = None
    """The resident the phone belongs to; one of them when it belongs to several."""
    residents_known: int = 0
    one_flat: bool = False
    """Every resident with this phone lives in one flat, so house and flat are certain."""
    open_tickets: int = 0
    last_ticket: int | None = None
    """Id of the newest open ticket."""
    calls_lately: int = 0
    """Earlier calls from this number to this company, last 24 hours."""

    @property
    def known(self) -> bool:
        return self.resident is not None

    @property
    def repeats(self) -> bool:
        return self.calls_lately > 0

    @property
    def name(self) -> str | None:
        """The resident's name, when the phone belongs to one resident only."""
        return self.resident.name or None if self.resident and self.residents_known == 1 else None

    @property
    def house(self) -> House | None:
        """The house, when the phone belongs to one flat only."""
        return self.resident.house if self.resident and self.one_flat else None

    @property
    def flat(self) -> str | None:
        """The flat, when the phone belongs to one flat only."""
        return self.resident.flat if self.resident and self.one_flat else None

    @property
    def time_zone(self) -> str:
        """The house's time zone, or the company's when the house is not certain."""
        return self.house.time_zone if self.house else self.company.time_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Who answers, and the SIP account she answers with."""

    id: int
    extension: str
    name: str
    password: str = field(repr=False)
    serves: frozenset[int] | None = None
    """Ids of the companies she may serve; None: all of them."""

    def may_serve(self, company_id: int) -> bool:
        return self.serves is None or company_id in self.serves
