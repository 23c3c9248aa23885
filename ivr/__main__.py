"""`dozvon`: the command line of the hotline.

dozvon serve                  the controller (the appliance and docker/ start it)
dozvon prepare                migrate, render prompts and Asterisk's files, and end
dozvon check                  look at settings, rules, phrases, limits and the chase without starting anything
dozvon ears …                 add, remove, list, say: words for the robot's ears; nothing is learned anew
dozvon import FILE.csv        take companies, dispatchers or residents in
dozvon dispatchers            the dispatchers and their SIP accounts
dozvon calls                  the latest calls; with an id: one call's timeline
dozvon ticket …               list, show, complete, meet, close, reopen
dozvon promises               whom we owe a call back; --kept, --broken, --withdrawn: what became of a day's
dozvon promise …              show, keep, postpone, withdraw, reopen
dozvon block …                add, list, lift: numbers nobody is owed a call
dozvon report                 the law's two figures for a day or a month, with every exception
dozvon survey …               plan, run, report, list, show, cancel, opt-out, opt-outs: what residents say of the jobs
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.secrets import completed
from directory import importer
from ivr import logs
from ivr.app import now, serve
from ivr.cli import blocks, check, ears, promises, reports, surveys, tickets
from ivr.cli.shown import cell, ledger_of, table
from ivr.errors import DozvonError
from ivr.prepare import prepare
from ivr.settings import Settings
from ivr.voices import voice

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
    except BrokenPipeError:
        pass  # whoever read it has seen enough
    except OSError as error:
        print(f"dozvon: {error}; does the hotline run (make run)?", file=sys.stderr)
    except KeyboardInterrupt:
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
    check.arguments(
        command(
            "check", check.check, "look at settings, rules, phrases and the robot's ears, starting nothing"
        )
    )
    ears.arguments(command("ears", ears.ears, "words for the robot's ears: add, remove, list, say"))
    command("prepare", _prepare, "migrate, render prompts and Asterisk's files, and end")
    take = command("import", _import, "take companies, dispatchers or residents in from a CSV file")
    take.add_argument("file", type=Path)
    command("dispatchers", _dispatchers, "the dispatchers and their SIP accounts")
    calls = command("calls", _calls, "the latest calls, or one call's timeline")
    calls.add_argument("id", nargs="?")
    calls.add_argument("--most", type=int, default=20)
    tickets.arguments(command("ticket", tickets.tickets, "list, show, complete, close and reopen tickets"))
    promises.arguments(
        command("promises", promises.promises, "whom we owe a call back; or what became of a day's promises")
    )
    promises.moves(
        command("promise", promises.promise, "show a promise, keep, postpone, withdraw or reopen it")
    )
    blocks.arguments(command("block", blocks.blocks, "numbers nobody is owed a call"))
    reports.arguments(command("report", reports.reports, "the law's two figures for a day or a month"))
    surveys.arguments(
        command("survey", surveys.surveys, "the robot asks what a job was worth, and what was said")
    )
    return parser


async def _serve(_: argparse.Namespace, settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = completed(settings)
    await serve(settings, await voice(settings), stop)
    return 0


async def _prepare(_: argparse.Namespace, settings: Settings) -> int:
    settings = completed(settings)
    async with ledger_of(settings) as ledger:
        await prepare(settings, ledger, await voice(settings))
    return 0


async def _import(options: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        report = await importer.import_file(
            options.file, ledger, now(), region=settings.region, area_code=settings.area_code
        )
    return 1 if report.refused else 0


async def _dispatchers(_: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        rows = await ledger.all("directory.dispatchers")
    table(rows, {"добавочный": "extension", "имя": "name", "пароль SIP": "password"}, settings)
    return 0


async def _calls(options: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        if options.id is None:
            rows = await ledger.all("calls.recent", most=options.most)
            columns = {
                "звонок": "id", "поступил": "arrived_at", "откуда": "caller", "компания": "company",
                "ответил": "answered_by", "итог": "outcome", "запись, с": "recorded_s",
            }  # fmt: skip
            table(rows, columns, settings)
            return 0
        facts = await ledger.all("calls.facts", calls=[options.id])
    if not facts:
        print(f"dozvon: no call {options.id}", file=sys.stderr)
        return 1
    for fact in facts:
        detail = json.dumps(fact["detail"], ensure_ascii=False) if fact["detail"] else ""
        print(f"{cell(fact['at'], settings)}  {fact['kind']:<13} {fact['who'] or '':<9} {detail}")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
