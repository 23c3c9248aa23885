"""`dozvon ticket …`: list, show, complete, meet, close, reopen."""

from __future__ import annotations

import argparse
from datetime import datetime

from ivr.app import now
from ivr.cli.shown import cell, ledger_of, table
from ivr.settings import Settings
from tickets import book, limits


def arguments(parser: argparse.ArgumentParser) -> None:
    moves = parser.add_subparsers(dest="move", required=True, metavar="MOVE")
    listing = moves.add_parser("list", help="newest first")
    listing.add_argument("--status", choices=list(book.Status))
    listing.add_argument("--company")
    listing.add_argument("--most", type=int, default=20)
    for move, what in (
        ("show", "a ticket with its clocks and history"),
        ("complete", "say what is wrong and register it"),
        ("meet", "a clock's duty is done"),
        ("close", "the job is done"),
        ("reopen", "it was not done after all"),
    ):
        one = moves.add_parser(move, help=what)
        one.add_argument("number", type=int)
        one.add_argument("--who", default="admin", help="who does it, for the history")
        if move == "complete":
            one.add_argument("content")
            one.add_argument("--category")
            one.add_argument("--house-id", type=int)
            one.add_argument("--flat")
            one.add_argument("--damage-at", type=_moment, help="when it began: 2026-11-21T02:10+03:00")
        if move == "meet":
            one.add_argument("clock")
        if move == "close":
            one.add_argument("result", help="what was done")
            one.add_argument(
                "--survey-at",
                type=_moment,
                help="the hour agreed for the robot's question: 2026-11-21T18:00+03:00; else the next allowed one",
            )
        if move == "reopen":
            one.add_argument("why", help="what was not done")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()


async def tickets(options: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        match options.move:
            case "list":
                rows = await book.tickets(
                    ledger, status=options.status, company=options.company, most=options.most
                )
                columns = {
                    "№": "number", "состояние": "status", "категория": "category", "компания": "company",
                    "адрес": "address", "кв.": "flat", "телефон": "phone", "срок": "next_due_at", "оценка": "rating",
                }  # fmt: skip
                table(rows, columns, settings)
                return 0
            case "show":
                ticket = await book.show(ledger, options.number)
            case "complete":
                more = {
                    name: getattr(options, name) for name in ("category", "house_id", "flat", "damage_at")
                }
                ticket = await book.complete(
                    ledger, limits.read(), options.number, options.who, now(), content=options.content, **more
                )
            case "meet":
                ticket = await book.meet(ledger, options.number, options.clock, options.who, now())
            case "reopen":
                ticket = await book.reopen(ledger, options.number, options.who, now(), options.why)
            case _:
                ticket = await book.close(
                    ledger, options.number, options.who, now(), options.result, options.survey_at
                )
    _show(ticket, settings)
    return 0


def _show(ticket: book.Ticket, settings: Settings) -> None:
    row = ticket.row
    for title, name in (
        ("Заявка", "number"), ("Состояние", "status"), ("Компания", "company"), ("Категория", "category"),
        ("Адрес", "address"), ("Квартира", "flat"), ("Телефон", "phone"), ("Содержание", "content"),
        ("Диспетчер", "dispatcher"), ("Зарегистрирована", "registered_at"), ("Звонок", "call_id"),
        ("Запись", "recording"), ("Длительность, с", "recorded_s"), ("SHA-256", "recording_sha256"),
        ("Закрыта", "closed_at"), ("Результат", "result"), ("Опрос назначен на", "survey_at"),
        ("Оценка жителя", "rating"), ("Оценена", "rated_at"), ("Открыта снова, раз", "reopened"),
    ):  # fmt: skip
        if row[name] is not None and (name != "reopened" or row[name]):
            print(f"{title + ':':<20} {cell(row[name], settings, name)}")
    print("Сроки:")
    for clock in ticket.clocks:
        met = f"выполнено {cell(clock['met_at'], settings)}" if clock["met_at"] else "идёт"
        print(f"  {clock['name']:<16} до {cell(clock['due_at'], settings)}  {met:<30} {clock['clause']}")
    print("История:")
    for entry in ticket.history:
        print(f"  {cell(entry['at'], settings)}  {entry['who']:<10} {entry['what']} {entry['detail'] or ''}")
