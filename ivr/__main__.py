"""`dozvon`: the command line of the hotline.

dozvon serve                  the controller (the appliance and docker/ start it)
dozvon prepare                migrate, render prompts and Asterisk's files, and end
dozvon check                  look at settings, rules, phrases and limits without starting anything
dozvon import FILE.csv        take companies, dispatchers or residents in
dozvon dispatchers            the dispatchers and their SIP accounts
dozvon calls                  the latest calls; with an id: one call's timeline
dozvon ticket …               list, show, complete, meet, close
dozvon promises               whom we still owe a call back
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.secrets import completed
from directory import importer
from directory.phones import shown
from ivr import logs
from ivr.app import now, serve
from ivr.dialplan import rules
from ivr.errors import DozvonError
from ivr.ledger import Ledger
from ivr.prepare import prepare
from ivr.settings import Settings
from ivr.speech.phrasebook import Phrasebook
from ivr.store import Row
from ivr.voices import voice
from tickets import book, limits

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 refused or failed (said on standard error), 2 a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.read()
        logs.set_up(settings.log_level if options.command is _serve else "warning")
        run: Command = options.command
        return asyncio.run(_run(run, options, settings))
    except DozvonError as error:
        print(f"dozvon: {error}", file=sys.stderr)
    except OSError as error:
        print(f"dozvon: {error}; does the hotline run (make run)?", file=sys.stderr)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    return 1


async def _run(command: Command, options: argparse.Namespace, settings: Settings) -> int:
    return await command(options, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dozvon", description="Nobody who calls is left unheard.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.set_defaults(command=run)
        return made

    command("serve", _serve, "run the controller")
    command("check", _check, "look at settings, rules, phrases and limits without starting anything")
    command("prepare", _prepare, "migrate, render prompts and Asterisk's files, and end")
    take = command("import", _import, "take companies, dispatchers or residents in from a CSV file")
    take.add_argument("file", type=Path)
    command("dispatchers", _dispatchers, "the dispatchers and their SIP accounts")
    calls = command("calls", _calls, "the latest calls, or one call's timeline")
    calls.add_argument("id", nargs="?")
    calls.add_argument("--most", type=int, default=20)
    owed = command("promises", _promises, "whom we still owe a call back")
    owed.add_argument("--most", type=int, default=50)
    _ticket_parser(command("ticket", _tickets, "list, show, complete and close tickets"))
    return parser


def _ticket_parser(parser: argparse.ArgumentParser) -> None:
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


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()


async def _serve(_: argparse.Namespace, settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = completed(settings)
    await serve(settings, await voice(settings), stop)
    return 0


async def _check(_: argparse.Namespace, settings: Settings) -> int:
    law = limits.read()
    read = rules.read(settings.dialplan)
    phrases = Phrasebook.read(settings.dialplan / "phrases" / f"{settings.language}.toml")
    problems = [*phrases.unknown(sorted(read.prompts())), *rules.unknown_categories(read, law.categories)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(
            f"good: {len(read.menus)} menus, {len(read.ways)} ways to the queue, {len(phrases.phrases)} phrases, "
            f"{len(law.clocks)} clocks"
        )
    return 1 if problems else 0


async def _prepare(_: argparse.Namespace, settings: Settings) -> int:
    settings = completed(settings)
    async with _ledger(settings) as ledger:
        await prepare(settings, ledger, await voice(settings))
    return 0


async def _import(options: argparse.Namespace, settings: Settings) -> int:
    async with _ledger(settings) as ledger:
        report = await importer.import_file(
            options.file, ledger, now(), region=settings.region, area_code=settings.area_code
        )
    return 1 if report.refused else 0


async def _dispatchers(_: argparse.Namespace, settings: Settings) -> int:
    async with _ledger(settings) as ledger:
        rows = await ledger.all("directory.dispatchers")
    _table(rows, {"добавочный": "extension", "имя": "name", "пароль SIP": "password"}, settings)
    return 0


async def _calls(options: argparse.Namespace, settings: Settings) -> int:
    async with _ledger(settings) as ledger:
        if options.id is None:
            rows = await ledger.all("calls.recent", most=options.most)
            columns = {
                "звонок": "id", "поступил": "arrived_at", "откуда": "caller", "компания": "company",
                "ответил": "answered_by", "итог": "outcome", "запись, с": "recorded_s",
            }  # fmt: skip
            _table(rows, columns, settings)
            return 0
        facts = await ledger.all("calls.facts", calls=[options.id])
    if not facts:
        print(f"dozvon: no call {options.id}", file=sys.stderr)
        return 1
    for fact in facts:
        detail = json.dumps(fact["detail"], ensure_ascii=False) if fact["detail"] else ""
        print(f"{_cell(fact['at'], settings, 'at')}  {fact['kind']:<13} {fact['who'] or '':<9} {detail}")
    return 0


async def _promises(options: argparse.Namespace, settings: Settings) -> int:
    async with _ledger(settings) as ledger:
        rows = await ledger.all("promises.list_open", most=options.most)
    left = [{**row, "left": f"{(row['due_at'] - now()).total_seconds():+.0f} с"} for row in rows]
    columns = {
        "№": "id", "кому": "phone", "компания": "company", "причина": "reason", "звонков": "missed",
        "до": "due_at", "осталось": "left",
    }  # fmt: skip
    _table(left, columns, settings)
    return 0


async def _tickets(options: argparse.Namespace, settings: Settings) -> int:
    async with _ledger(settings) as ledger:
        match options.move:
            case "list":
                rows = await book.tickets(
                    ledger, status=options.status, company=options.company, most=options.most
                )
                columns = {
                    "№": "number", "состояние": "status", "категория": "category", "компания": "company",
                    "адрес": "address", "кв.": "flat", "телефон": "phone", "срок": "next_due_at",
                }  # fmt: skip
                _table(rows, columns, settings)
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
            case _:
                ticket = await book.close(ledger, options.number, options.who, now(), options.result)
    _show_ticket(ticket, settings)
    return 0


def _show_ticket(ticket: book.Ticket, settings: Settings) -> None:
    row = ticket.row
    for title, name in (
        ("Заявка", "number"), ("Состояние", "status"), ("Компания", "company"), ("Категория", "category"),
        ("Адрес", "address"), ("Квартира", "flat"), ("Телефон", "phone"), ("Содержание", "content"),
        ("Диспетчер", "dispatcher"), ("Зарегистрирована", "registered_at"), ("Звонок", "call_id"),
        ("Запись", "recording"), ("Длительность, с", "recorded_s"), ("SHA-256", "recording_sha256"),
        ("Закрыта", "closed_at"), ("Результат", "result"),
    ):  # fmt: skip
        if row[name] is not None:
            print(f"{title + ':':<18} {_cell(row[name], settings, name)}")
    print("Сроки:")
    for clock in ticket.clocks:
        met = f"выполнено {_cell(clock['met_at'], settings, '')}" if clock["met_at"] else "идёт"
        print(f"  {clock['name']:<16} до {_cell(clock['due_at'], settings, '')}  {met:<30} {clock['clause']}")
    print("История:")
    for entry in ticket.history:
        print(
            f"  {_cell(entry['at'], settings, '')}  {entry['who']:<10} {entry['what']} {entry['detail'] or ''}"
        )


def _table(rows: Sequence[Row], columns: dict[str, str], settings: Settings) -> None:
    """Rows under their titles, each column as wide as it must be."""
    cells = [list(columns)] + [
        [_cell(row.get(name), settings, name) for name in columns.values()] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object, settings: Settings, name: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(ZoneInfo(settings.time_zone)).strftime("%d.%m.%Y %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}"
    return shown(value) if name in {"phone", "caller"} and isinstance(value, str) else str(value)


@asynccontextmanager
async def _ledger(settings: Settings) -> AsyncIterator[Ledger]:
    if settings.database_url is None and not (settings.home / "secrets.json").exists():
        where = settings.home.resolve()
        raise DozvonError(f"no hotline in {where}: go to its folder, or set DOZVON_HOME; make run starts one")
    settings = completed(settings)
    assert settings.database_url is not None
    async with Ledger(settings.database_url, settings.home / "parked.jsonl") as ledger:
        yield ledger


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
