"""`dozvon survey …`: whom the robot will ask and whom not, asking now, what residents have said, who opts out."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from callback import words
from callback.words import Words
from directory.phones import shown
from ivr.app import now
from ivr.cli import days, survey_reports
from ivr.cli.shown import cell, ledger_of, moment, table
from ivr.errors import DozvonError, Refused
from ivr.heard import UNKNOWN
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.store import Row, Store
from robocalls import book, rules
from robocalls.nouns import Result, Status
from robocalls.outlook import Outlook, askable, outlook

LOOK_EVERY = 0.5
"""Seconds between two looks at how far they are."""
GONE_AFTER = 10
"""Looks that find no controller before it counts as gone: one that lost Postgres for a moment is back by then."""
NOBODY_CALLS = (
    "no controller is running on this ledger: nobody would be rung\n"
    "  what to do: start the hotline (make run, or dozvon serve), then ask again"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    moves = parser.add_subparsers(dest="move", required=True, metavar="MOVE")
    plan = moves.add_parser(
        "plan", help="whom the robot will ask and when, whom not and why; changes nothing"
    )
    plan.add_argument("--day", type=days.day, metavar="2026-11-21", help="only what falls on that day")
    run = moves.add_parser("run", help="ask now whoever may be asked now, and watch it")
    run.add_argument("--ticket", type=int, help="about that ticket only")
    survey_reports.arguments(moves.add_parser("report", help="what the residents say, of a day or a month"))
    listing = moves.add_parser("list", help="the latest first")
    days.arguments(listing, without="of any day")
    listing.add_argument("--status", choices=list(Status))
    listing.add_argument("--result", choices=list(Result))
    listing.add_argument("--ticket", type=int)
    listing.add_argument("--most", type=int, default=20)
    moves.add_parser("show", help="its calls, its answers and what was heard").add_argument("id", type=int)
    cancel = moves.add_parser("cancel", help="she need not be asked about this job")
    cancel.add_argument("id", type=int)
    out = moves.add_parser("opt-out", help="the robot never rings that number again")
    out.add_argument("phone", help="in any form")
    for move in (cancel, out):
        move.add_argument("--reason", required=move is cancel, help="why, for the history")
        move.add_argument("--who", default="admin", help="who does it, for the history")
    outs = moves.add_parser("opt-outs", help="numbers the robot never rings, the latest first")
    outs.add_argument("--most", type=int, default=50)


async def surveys(options: argparse.Namespace, settings: Settings) -> int:
    said = book.words(settings.language)
    async with ledger_of(settings) as ledger:
        match options.move:
            case "plan":
                await _plan(options, settings, ledger, said)
            case "run":
                await _run(options, settings, ledger, said)
            case "report":
                await survey_reports.report_on(options, settings, ledger, said)
            case "list":
                await _list(options, settings, ledger, said)
            case "show":
                print("\n".join(story(await book.show(ledger, options.id), said, settings)))
            case "cancel":
                survey = await book.cancel(ledger, options.id, options.who, now(), options.reason)
                print("\n".join(story(survey, said, settings)))
            case "opt-out":
                await _opt_out(options, settings, ledger)
            case _:
                rows = await book.opt_outs(ledger, most=options.most)
                _table(
                    [{**row, "how": said.of("how", row["how"])} for row in rows],
                    {"номер": "phone", "с": "since", "как": "how", "кто": "who", "почему": "reason"},
                    settings,
                    "Больше не звонить никто не просил.",
                )
    return 0


def _table(rows: Sequence[Row], columns: dict[str, str], settings: Settings, none: str) -> None:
    if rows:
        table(rows, columns, settings)
    else:
        print(none)


# what will be asked


async def _plan(options: argparse.Namespace, settings: Settings, ledger: Ledger, said: Words) -> None:
    at, zone = now(), ZoneInfo(settings.time_zone)
    since = datetime.combine(min(options.day or date.max, at.astimezone(zone).date()), time(), zone)
    looks = await outlook(ledger, rules.read(settings.surveys), zone, at, since)
    if options.day:
        looks = [look for look in looks if _day_of(look, zone) == options.day]
    planned(looks, at, said, settings)
    if not await book.is_anybody_calling(ledger):
        print("\nКонтроллер не запущен: пока его нет, робот никому не звонит.")


def _day_of(look: Outlook, zone: ZoneInfo) -> date | None:
    at = look.at or look.row["settled_at"] or look.row["next_attempt_at"]
    return at.astimezone(zone).date() if at else None


def planned(looks: Sequence[Outlook], at: datetime, said: Words, settings: Settings) -> None:
    """Print whom the robot will ask, and whom not."""
    ask, off = [look for look in looks if not look.is_off], [look for look in looks if look.is_off]
    columns = {
        "заявка": "ticket",
        "опрос": "id",
        "кому": "phone",
        "компания": "company",
        "категория": "category",
    }
    if ask:
        print("Спросит робот:")
        table(
            [_line(look, at, said, settings) for look in ask],
            {"когда": "when", **columns, "ждёт": "why"},
            settings,
        )
    else:
        print("Спрашивать некого.")
    if off:
        print("\nНе спросит:")
        table([_line(look, at, said, settings) for look in off], {**columns, "почему": "why"}, settings)
    ready, on = sum(look.at is not None and look.at <= at for look in ask), sum(look.is_on for look in ask)
    print(
        f"\nВсего: спросит {len(ask)}, из них можно сейчас {ready}, говорит сейчас {on}; не спросит {len(off)}"
    )


def _line(look: Outlook, at: datetime, said: Words, settings: Settings) -> dict[str, Any]:
    row = look.row
    if look.is_on:
        when = "сейчас говорит"
    elif look.at and look.at > at:
        when = moment(look.at, ZoneInfo(settings.time_zone))
    else:
        when = "можно сейчас"
    return {
        **row,
        "when": when,
        "category": words.read(settings.language).of("category", row["category"]),
        "why": said.of("why", look.why),
    }


# asking now


async def _run(options: argparse.Namespace, settings: Settings, ledger: Ledger, said: Words) -> None:
    if not await book.is_anybody_calling(ledger):
        raise DozvonError(NOBODY_CALLS)
    began, zone = now(), ZoneInfo(settings.time_zone)
    ids, others = await askable(ledger, rules.read(settings.surveys), zone, began, options.ticket)
    only = None if options.ticket is None else [*ids, *(look.row["id"] for look in others)]
    if options.ticket is not None and not only:
        raise Refused(f"ticket {options.ticket} has no survey that is planned: see dozvon survey list")
    moved = await book.bring_forward(ledger, ids, began)
    print(f"Можно спросить сейчас: {len(ids)} (раньше срока {len(moved)}); позже или никогда: {len(others)}")
    for why, count in Counter(look.why for look in others).most_common():
        print(f"  {said.of('why', why) or 'ждёт своего часа'}: {count}")
    await follow(ledger, began, only, now, sys.stdout)


async def follow(
    store: Store,
    began: datetime,
    ids: Sequence[int] | None,
    clock: Callable[[], datetime],
    out: TextIO,
) -> None:
    """One line of progress until nothing is under way or due. Whoever stops looking stops no call."""
    line, gone = _Line(out), 0
    try:
        while True:
            state = await book.progress(store, began, clock(), ids)
            line.show(progress(state))
            if not state["calling"] and not state["due"]:
                break
            gone = 0 if await book.is_anybody_calling(store) else gone + 1
            if gone == GONE_AFTER:
                raise DozvonError(f"the controller is gone; {NOBODY_CALLS}")
            await asyncio.sleep(LOOK_EVERY)
    except asyncio.CancelledError:
        line.end()
        print("Обзвон идёт дальше без нас: смотрите dozvon survey list", file=out)
        raise
    line.end()


def progress(state: Row) -> str:
    """How far they are, in a line."""
    stars = f", средняя {_decimal(state['average'])}" if state["rated"] else ""
    return (
        f"Говорит {state['calling']}, ждут очереди {state['due']}, закончено {state['settled']} "
        f"(оценили {state['rated']}{stars}), позже {state['later']}"
    )


class _Line:
    """A line that is written over on a terminal, and once per change elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._shown = out, ""

    def show(self, text: str) -> None:
        if text == self._shown:
            return
        terminal = self._out.isatty()
        self._out.write(f"\r{text}\033[K" if terminal else f"{text}\n")
        self._out.flush()
        self._shown = text

    def end(self) -> None:
        if self._out.isatty():
            self._out.write("\n")


# what was said


async def _list(options: argparse.Namespace, settings: Settings, ledger: Ledger, said: Words) -> None:
    asked = options.day or options.month
    period = days.period(options, ZoneInfo(settings.time_zone), now()) if asked else None
    rows = await book.surveys(
        ledger,
        status=options.status,
        result=options.result,
        ticket=options.ticket,
        period=period,
        most=options.most,
    )
    columns = {
        "опрос": "id", "заявка": "ticket", "кому": "phone", "компания": "company", "категория": "category",
        "состояние": "status", "оценка": "rating", "итог": "result", "когда": "at", "почему": "why",
    }  # fmt: skip
    calls = words.read(settings.language)
    lines = [
        {
            **row,
            "category": calls.of("category", row["category"]),
            "status": said.of("status", row["status"]),
            "result": said.of("result", row["result"]),
            "why": said.of("why", row["why"]),
            "at": row["answered_at"] or row["settled_at"] or row["next_attempt_at"],
        }
        for row in rows
    ]
    _table(lines, columns, settings, "Таких опросов нет.")


def story(survey: book.Survey, said: Words, settings: Settings) -> list[str]:
    """One survey: what is known of it, then everything that happened in one order of time."""
    row = survey.row
    facts = {
        "Опрос": row["id"],
        "Заявка": f"{row['ticket']}, {words.read(settings.language).of('category', row['category'])}",
        "Содержание": row["content"],
        "Сделано": row["done"],
        "Закрыта": row["closed_at"],
        "Кому": shown(row["phone"]),
        "Жилец": ", ".join(filter(None, (row["name"], row["address"], row["flat"] and f"кв. {row['flat']}"))),
        "Компания": row["company"],
        "Состояние": said.of("status", row["status"]),
        "Итог": said.of("result", row["result"]),
        "Оценка": row["rating"],
        "Почему": said.of("why", row["why"]),
        "Договорились": row["agreed_at"],
        "Следующий": row["next_attempt_at"],
        "Открыта снова": "да" if row["reopened"] else None,
        "Отказ": row["opted_out_at"],
    }
    lines = [
        f"{title + ':':<15}{cell(value, settings)}"
        for title, value in facts.items()
        if value not in {None, ""}
    ]
    zone = ZoneInfo(settings.time_zone)
    lines.append("Что было:")
    return lines + [
        f"  {moment(at, zone)}  {'  '.join(filter(None, parts))}".rstrip()
        for at, *parts in _events(survey, said)
    ]


def _events(survey: book.Survey, said: Words) -> list[tuple[datetime, *tuple[str, ...]]]:
    events: list[tuple[datetime, *tuple[str, ...]]] = []
    for call in survey.calls:
        outcome = said.of("outcome", call["outcome"]) or "идёт"
        events.append((call["placed_at"], f"{call['attempt']}-й звонок:", outcome))
        if call["answered_by"]:
            events.append((call["answered_at"], "говорит диспетчер", call["answered_by"]))
        if call["comment_s"] is not None:
            heard = f"«{spoken(call['transcript'])}»" if call["transcript"] else ""
            events.append(
                (call["ended_at"] or call["placed_at"], f"комментарий, {call['comment_s']:.0f} с", heard)
            )
    events += [
        (fact["at"], f"{said.of('fact', fact['kind'])}:", evidence(fact["detail"], said))
        for fact in survey.facts
    ]
    events += [
        (
            answer["at"],
            f"ответ {said.of('by', answer['by'])}:",
            f"оценка {answer['rating']}" if answer["rating"] else said.of("result", answer["result"]),
            evidence(answer["detail"], said),
        )
        for answer in survey.answers
    ]
    events += [
        (
            entry["at"],
            "" if entry["who"] == "robot" else entry["who"],
            said.of("history", entry["what"]),
            entry["detail"].get("reason") or said.of("why", entry["detail"].get("why")),
        )
        for entry in survey.history
    ]
    return sorted(events, key=lambda event: event[0])


def evidence(detail: Mapping[str, Any], said: Words) -> str:
    """The words with how sure the ears were of each, the key, or what it was taken for."""
    text = detail.get("text", "").split()
    pairs = detail.get("words") or list(zip(text, detail.get("confidences", []), strict=False))
    took = detail.get("took")
    parts = [
        ", ".join(f"{spoken(word)} {100 * sure:.0f} %" for word, sure in pairs),
        f"клавиша {detail['key']}" if "key" in detail else "",
        said.of("result", detail.get("noise")),
        f"понято как: {detail.get('rating') or said.of('took', took)}" if took else "",
        "не уверен" if detail.get("sure") is False else "",
    ]
    return "; ".join(filter(None, parts))


def spoken(text: str) -> str:
    """A transcript for people to read: what the ears did not know is three dots."""
    return text.replace(UNKNOWN, "…")


def _decimal(number: float) -> str:
    return f"{number:.1f}".replace(".", ",")


# no more calls


async def _opt_out(options: argparse.Namespace, settings: Settings, ledger: Ledger) -> None:
    number = book.number_of(options.phone, region=settings.region, area_code=settings.area_code)
    row = await book.opt_out(ledger, number, "cli", options.who, now(), options.reason)
    if row["new"]:
        print(
            f"{shown(number)}: робот больше никогда не позвонит на этот номер. Отменено опросов: {row['cancelled']}"
        )
    else:
        print(
            f"{shown(number)}: робот не звонит на этот номер уже с {cell(row['since'], settings)}, внёс {row['who']}"
        )
