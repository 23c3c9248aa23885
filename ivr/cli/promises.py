"""`dozvon promises` and `dozvon promise …`: whom we owe a call back, and what people do about it."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from callback import book, report, words
from directory.phones import shown
from ivr.app import now
from ivr.cli import days
from ivr.cli.shown import cell, clock, ledger_of, moment, table
from ivr.errors import Refused
from ivr.settings import Settings
from ivr.store import Row

STATUSES = (book.Status.KEPT, book.Status.BROKEN, book.Status.WITHDRAWN)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of `dozvon promises`."""
    which = parser.add_mutually_exclusive_group()
    for status in STATUSES:
        which.add_argument(
            f"--{status}", dest="status", action="store_const", const=status, help=f"those {status}"
        )
    days.arguments(parser)


def moves(parser: argparse.ArgumentParser) -> None:
    """Of `dozvon promise`."""
    commands = parser.add_subparsers(dest="move", required=True, metavar="MOVE")
    commands.add_parser("show", help="its calls, attempts and history").add_argument("id", type=int)
    for move, what, reason in (
        ("keep", "they have talked by another way", "how they were spoken with"),
        ("postpone", "they want the call later", "why it waits"),
        ("withdraw", "nobody need be rung", "why not"),
        ("reopen", "it was closed by mistake", "why it was no talk"),
    ):
        one = commands.add_parser(move, help=what)
        one.add_argument("id", type=int)
        one.add_argument("--who", required=True, help="who does it, for the history")
        one.add_argument("--reason", required=True, help=reason)
        if move == "postpone":
            one.add_argument("--until", required=True, help="17:30, 2026-11-21T17:30 or 20m from now")


async def promises(options: argparse.Namespace, settings: Settings) -> int:
    said, zone = words.read(settings.language), ZoneInfo(settings.time_zone)
    asked = options.status or options.day or options.month
    async with ledger_of(settings) as ledger:
        if asked:
            period = days.period(options, zone, now())
            rows = await report.promises(ledger, period, options.status)
            _past(rows, period, options.status, said, settings)
        else:
            board = await book.on_the_board(ledger, now(), zone)
            _living(board["promises"], board["counts"], said, settings)
    return 0


def _living(rows: list[Row], counts: Row, said: words.Words, settings: Settings) -> None:
    if not rows:
        print("Перезванивать некому: все обещания закрыты.")
        return
    columns = {
        "№": "id", "осталось": "left", "кому": "phone", "компания": "company", "категория": "category",
        "причина": "reason", "звонков": "missed", "попыток": "attempts", "сейчас": "now",
    }  # fmt: skip
    zone = ZoneInfo(settings.time_zone)
    lines = [
        {
            **row,
            "left": clock(timedelta(seconds=row["left_s"])),
            "category": said.of("category", row["category"]),
            "reason": said.of("outcome", row["reason"]),
            "now": happening(row, said, now(), zone),
        }
        for row in rows
    ]
    table(lines, columns, settings)
    more = counts["open"] + counts["broken"] - len(rows)
    hidden = f"; ещё {more} не показано" if more > 0 else ""
    print(f"\nВсего: ждут {counts['open']}, просрочено {counts['broken']}{hidden}")


def happening(row: Row, said: words.Words, now: datetime, zone: ZoneInfo) -> str:
    """What is being done about a promise now: whose phone rings, or when it is tried next."""
    if row["stage"]:
        return said.of("stage", row["stage"]).format(who=row["dispatcher"] or "")
    if row["calls_herself"]:
        return said.of("stage", "calls_herself")
    if row["phone"] is None:
        return said.of("why", "hidden")
    if row["next_attempt_at"] is None:
        return "попытка закончилась"
    if row["next_attempt_at"] <= now:
        return "ждёт свободного диспетчера"
    return f"следующая попытка в {row['next_attempt_at'].astimezone(zone):%H:%M:%S}"


def _past(
    rows: list[Row], period: report.Period, status: str | None, said: words.Words, settings: Settings
) -> None:
    kind = f" ({said.of('status', status)})" if status else ""
    if not rows:
        print(f"{days.named(period)}: обещаний нет{kind}.")
        return
    columns = {
        "№": "id", "пропущен": "missed_at", "кому": "phone", "компания": "company", "причина": "reason",
        "звонков": "missed", "попыток": "attempts", "итог": "status", "через, с": "seconds", "почему": "why",
    }  # fmt: skip
    lines = [
        {
            **row,
            "reason": said.of("outcome", row["reason"]),
            "status": said.of("status", row["status"]),
            "why": said.of("why", row["why"]),
            "seconds": None if row["seconds"] is None else round(row["seconds"]),
        }
        for row in rows
    ]
    table(lines, columns, settings)
    print(f"\n{days.named(period)}: всего {len(rows)}{kind}")


async def promise(options: argparse.Namespace, settings: Settings) -> int:
    number, zone = options.id, ZoneInfo(settings.time_zone)
    async with ledger_of(settings) as ledger:
        match options.move:
            case "show":
                shown_one = await book.show(ledger, number)
            case "keep":
                shown_one = await book.keep(ledger, number, options.who, now(), options.reason)
            case "postpone":
                until = when(options.until, now(), zone)
                shown_one = await book.postpone(ledger, number, options.who, now(), until, options.reason)
            case "withdraw":
                shown_one = await book.withdraw(ledger, number, options.who, now(), options.reason)
            case _:
                shown_one = await book.reopen(ledger, number, options.who, now(), options.reason)
    _show(shown_one, words.read(settings.language), settings)
    return 0


def when(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """`20m` from now; `17:30`, the next to come; or a moment in full. Raises Refused."""
    try:
        if text.endswith("m"):
            return now + timedelta(minutes=int(text[:-1]))
        if "-" in text:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=zone)
        at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - the day and the zone come next
    except (ValueError, OverflowError):
        raise Refused(f"until = {text!r}: 20m, 17:30 or 2026-11-21T17:30 is wanted") from None
    today = now.astimezone(zone).date()
    moment = datetime.combine(today, at, zone)
    return moment if moment > now else datetime.combine(today + timedelta(days=1), at, zone)


def _show(promise: book.Promise, said: words.Words, settings: Settings) -> None:
    row = promise.row
    facts = {
        "Обещание": row["id"],
        "Состояние": said.of("status", row["status"]),
        "Кому": shown(row["phone"]),
        "Жилец": ", ".join(filter(None, (row["name"], row["address"], row["flat"] and f"кв. {row['flat']}"))),
        "Компания": row["company"],
        "Категория": said.of("category", row["category"]),
        "Причина": said.of("outcome", row["reason"]),
        "Звонков": row["missed"],
        "Пропущен": row["missed_at"],
        "Срок": f"{cell(row['due_at'], settings)}  {row['clause']}",
        "Почему": said.of("why", row["why"]),
        "Следующая": row["next_attempt_at"],
        "Поговорили": row["reached_at"],
        "Через": row["reached_at"] and clock(row["reached_at"] - row["missed_at"]),
    }
    for title, value in facts.items():
        if value not in {None, ""}:
            print(f"{title + ':':<12} {cell(value, settings)}")
    zone = ZoneInfo(settings.time_zone)
    for title, events in (
        ("Пропущенные звонки:", _calls(promise, said)),
        ("Попытки:", _attempts(promise, said)),
        ("История:", _history(promise, said, zone)),
    ):
        print(title)
        for at, text in events:
            print(f"  {cell(at, settings)}  {text}".rstrip())


def _calls(promise: book.Promise, said: words.Words) -> list[tuple[datetime, str]]:
    return [
        (call["arrived_at"], f"{call['id']}  {said.of('outcome', call['outcome'])}") for call in promise.calls
    ]


def _attempts(promise: book.Promise, said: words.Words) -> list[tuple[datetime, str]]:
    return [
        (
            attempt["placed_at"],
            f"{attempt['attempt']}-я, диспетчер {attempt['accepted_by'] or '–'}: "
            f"{said.of('outcome', attempt['outcome']) or 'идёт'}",
        )
        for attempt in promise.attempts
    ]


def _history(promise: book.Promise, said: words.Words, zone: ZoneInfo) -> list[tuple[datetime, str]]:
    return [
        (
            entry["at"],
            f"{entry['who']:<10} {said.of('history', entry['what'])}  {particulars(entry, said, zone)}",
        )
        for entry in promise.history
    ]


def particulars(entry: Row, said: words.Words, zone: ZoneInfo) -> str:
    """What a row of a promise's history says beside its name: an outcome, a reason, a moment."""
    detail = entry["detail"]
    parts = [
        said.of("why", detail["outcome"])
        if "outcome" in detail
        else said.of("outcome", detail.get("reason")),
        said.of("why", detail.get("why")),
        detail.get("how"),
        *(
            f"{word} {moment(datetime.fromisoformat(detail[name]), zone)}"
            for name, word in (("next", "следующая"), ("until", "до"))
            if detail.get(name)
        ),
    ]
    return ", ".join(filter(None, parts))
