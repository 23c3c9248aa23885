"""What each company's callers hear, ready as sound files before anybody calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tqdm import tqdm

from directory.nouns import Company
from ivr.dialplan.rules import Rules
from ivr.errors import DialplanError
from ivr.settings import HERE, Settings
from ivr.speech.phrasebook import Phrasebook
from ivr.speech.prompts import FORMS, PromptShelf
from robocalls.nouns import Job
from robocalls.survey import JOB_PROMPTS, PROMPTS

log = logging.getLogger(__name__)

STATIC = (
    "static_welcome", "queue_offer", "place_kept", "number_hidden", "all_busy", "callback_promise", "voicemail_ask",
    "voicemail_thanks", "callback_accepted", "callback_greeting", "callback_busy",
    "callback_no_answer", "callback_machine",
)  # fmt: skip
"""What Asterisk says by itself."""
SPOKEN = ("welcome", "recording_notice", "wrong_key", "no_input", "no_dispatcher", "goodbye", *PROMPTS)
"""What only the conversations say, beside the menus (`ivr.dialplan.reception`, `robocalls.survey`)."""
FIELDS = {
    "survey_job": ("date", "about", "address"),
    "survey_job_full": ("date", "about", "address", "number", "flat"),
    "survey_date": ("day", "month"),
    "survey_flat": ("flat",),
}
"""What names a job may be told of it; what is personal is not for `survey_job`."""
COUNTED = {"words_days": 31, "words_months": 12}
"""Lists in the phrasebook, and how long they must be."""
JOBS_KEPT = timedelta(days=14)
"""A survey that is tried again finds its prompts ready for so long."""
SHIPPED = HERE / "dialplan"
NOBODY = Company(id=0, code="any", name="")
"""Whoever dials a number no company owns is greeted all the same."""


class Narrator:
    """Prompts by company. Rendered again only when a text, a voice or a recording is new."""

    def __init__(self, settings: Settings, shelf: PromptShelf) -> None:
        self._settings, self._shelf = settings, shelf
        self._jobs = PromptShelf(shelf.folder / "jobs", shelf.recorded, shelf.voice)
        self._stems: dict[int, Mapping[str, Path]] = {}
        self._books: dict[int, Phrasebook] = {}
        self._alone = asyncio.Lock()

    def of(self, company: Company | None) -> Mapping[str, Path]:
        """The company's prompts by name, as Asterisk plays them (without extension)."""
        return self._stems.get(company.id if company else 0) or self._stems[NOBODY.id]

    async def of_job(self, company: Company | None, job: Job) -> Mapping[str, Path]:
        """The company's prompts and the job's own, rendered now if they are new. Raises MissingPart."""
        known = company if company and company.id in self._books else NOBODY
        self._jobs.folder.mkdir(0o700, parents=True, exist_ok=True)  # they name a flat
        stems = await self._jobs.prepare_all(known.code, _job_texts(self._books[known.id], job))
        for stem in stems.values():
            for form in FORMS:
                os.utime(stem.with_suffix(form))  # used again: kept for longer
        return {**self.of(known), **stems}

    def sweep_jobs(self, now: datetime) -> int:
        """Throw away the prompts of jobs that were not asked about lately; returns how many files."""
        oldest, swept = (now - JOBS_KEPT).timestamp(), 0
        for file in [file for form in FORMS for file in self._jobs.folder.glob(f"*{form}")]:
            with contextlib.suppress(FileNotFoundError):  # another controller sweeps, too
                if file.stat().st_mtime < oldest:
                    file.unlink()
                    swept += 1
        return swept

    async def prepare(self, companies: Iterable[Company], rules: Rules, dialplan: Path) -> None:
        """Render what is missing, with a progress bar; raises DialplanError or MissingPart and keeps the old.

        One at a time. Prompts that are no longer named stay: a call may be about to say one.
        """
        async with self._alone:
            await self._prepare([*companies, NOBODY], rules, dialplan)

    async def _prepare(self, companies: list[Company], rules: Rules, dialplan: Path) -> None:
        book = _book(dialplan, self._settings.language)
        books = {company.id: _own_book(book, company) for company in companies}
        texts = {company.id: _texts(books[company.id], company, rules) for company in companies}
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
        self._books = {**self._books, **books}
        self._stems = {company: {**self._stems.get(company, {}), **new} for company, new in stems.items()}


def _book(dialplan: Path, language: str) -> Phrasebook:
    """The admin's phrases; what a copy made before an update lacks is said as we ship it."""
    own, ours = (Phrasebook.read(folder / "phrases" / f"{language}.toml") for folder in (dialplan, SHIPPED))
    return Phrasebook(own.source, {**ours.phrases, **own.phrases})


def _own_book(book: Phrasebook, company: Company) -> Phrasebook:
    own = book.of_company(company.code, company.phrases, company.greeting)
    for name, fields in FIELDS.items():
        own.text(name, **dict.fromkeys(fields, ""))
    if problems := list(_misread(own)):
        raise DialplanError(f"{own.source}: lists of words", problems)
    return own


def _texts(own: Phrasebook, company: Company, rules: Rules) -> dict[str, str]:
    """Every prompt a caller of this company may hear, filled in."""
    names = sorted({*SPOKEN, *STATIC, *rules.prompts()})
    if problems := own.unknown(names):
        raise DialplanError("the dialplan names prompts nobody wrote", problems)
    spoken = [hours.spoken for hours in rules.hours.values() if hours.spoken]
    fields = {"company": _in_full(own, company.name), "hours": "; ".join(spoken)}
    return {name: own.text(name, **fields) for name in names}


def _job_texts(own: Phrasebook, job: Job) -> dict[str, str]:
    """What names this job, filled in. Only `survey_job_full` knows what is personal."""
    day = job.registered_at.astimezone(ZoneInfo(job.zone))
    about = f"survey_about_{job.category}"
    known = {
        "date": own.text(
            "survey_date",
            day=_words(own, "words_days")[day.day - 1],
            month=_words(own, "words_months")[day.month - 1],
        ),
        "about": own.text(about if about in own.phrases else "survey_about_other"),
        "address": _in_full(own, job.address or ""),
        "number": job.ticket,
        "flat": own.text("survey_flat", flat=job.flat) if job.flat else "",
    }
    return {name: own.text(name, **{field: known[field] for field in FIELDS[name]}) for name in JOB_PROMPTS}


def _in_full(own: Phrasebook, text: str) -> str:
    """«УК» is «управляющая компания»: a voice reads out what is short as it stands."""
    for entry in _words(own, "words_short"):
        short, _, long = (part.strip() for part in entry.partition("="))
        after = r"(?=\s*\d)" if short.endswith("№") else "" if short.endswith(".") else r"(?!\w)"
        text = re.sub(rf"(?<!\w){re.escape(short.removesuffix('№').strip())}{after}", f"{long} ", text)
    return " ".join(text.split())


def _words(own: Phrasebook, name: str) -> list[str]:
    return [word.strip() for word in own.phrases[name].split(",")]


def _misread(own: Phrasebook) -> Iterator[str]:
    for name, wanted in COUNTED.items():
        if (given := len(_words(own, name))) != wanted:
            yield f"{name}: {given} words, {wanted} are wanted"
    for entry in _words(own, "words_short"):
        if not re.fullmatch(r"[^=\s][^=]*=\s*[^=\s][^=]*", entry):
            yield f"words_short: {entry!r} is not like 'ул. = улица'"
