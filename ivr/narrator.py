"""What each company's callers hear, ready as sound files before anybody calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from directory.nouns import Company
from ivr.dialplan.rules import Rules
from ivr.errors import DialplanError
from ivr.settings import Settings
from ivr.speech.phrasebook import Phrasebook
from ivr.speech.prompts import PromptShelf

log = logging.getLogger(__name__)

STATIC = (
    "static_welcome", "queue_offer", "place_kept", "number_hidden", "all_busy", "callback_promise", "voicemail_ask",
    "voicemail_thanks", "callback_accepted", "callback_greeting", "callback_busy",
    "callback_no_answer", "callback_machine",
)  # fmt: skip
"""What Asterisk says by itself."""
SPOKEN = ("welcome", "recording_notice", "wrong_key", "no_input", "no_dispatcher", "goodbye")
"""What only the conversations say, beside the menus (`ivr.dialplan.reception`)."""
NOBODY = Company(id=0, code="any", name="")
"""Whoever dials a number no company owns is greeted all the same."""


class Narrator:
    """Prompts by company. Rendered again only when a text, a voice or a recording is new."""

    def __init__(self, settings: Settings, shelf: PromptShelf) -> None:
        self._settings, self._shelf = settings, shelf
        self._stems: dict[int, Mapping[str, Path]] = {}
        self._alone = asyncio.Lock()

    def of(self, company: Company | None) -> Mapping[str, Path]:
        """The company's prompts by name, as Asterisk plays them (without extension)."""
        return self._stems.get(company.id if company else 0) or self._stems[NOBODY.id]

    async def prepare(self, companies: Iterable[Company], rules: Rules, dialplan: Path) -> None:
        """Render what is missing, with a progress bar; raises DialplanError or MissingPart and keeps the old.

        One at a time. Prompts that are no longer named stay: a call may be about to say one.
        """
        async with self._alone:
            await self._prepare([*companies, NOBODY], rules, dialplan)

    async def _prepare(self, companies: list[Company], rules: Rules, dialplan: Path) -> None:
        book = Phrasebook.read(dialplan / "phrases" / f"{self._settings.language}.toml")
        texts = {company.id: _texts(book, company, rules) for company in companies}
        codes = {company.id: company.code for company in companies}
        stems: dict[int, Mapping[str, Path]] = {}
        with tqdm(
            total=sum(map(len, texts.values())), desc="prompts", unit="", leave=False, disable=None
        ) as bar:
            for company, wanted in texts.items():
                stems[company] = await self._shelf.prepare_all(
                    codes[company], wanted, lambda *_: bar.update()
                )
        for name in STATIC:
            await self._shelf.publish(name, stems[NOBODY.id][name], self._settings.static_folder)
        self._stems = {company: {**self._stems.get(company, {}), **new} for company, new in stems.items()}


def _texts(book: Phrasebook, company: Company, rules: Rules) -> dict[str, str]:
    """Every prompt a caller of this company may hear, filled in."""
    own = book.of_company(company.code, company.phrases, company.greeting)
    names = sorted({*SPOKEN, *STATIC, *rules.prompts()})
    if problems := own.unknown(names):
        raise DialplanError("the dialplan names prompts nobody wrote", problems)
    spoken = [hours.spoken for hours in rules.hours.values() if hours.spoken]
    return {name: own.text(name, company=company.name, hours="; ".join(spoken)) for name in names}
