"""`dozvon`: the command line of the hotline.

dozvon serve                  the controller (the appliance and docker/ start it)
dozvon prepare                migrate, render prompts and Asterisk's files, and end
dozvon check                  look at settings, rules, phrases, limits and the chase without starting anything
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
from callback import rules as chase
from directory import importer
from ivr import logs
from ivr.app import now, serve
from ivr.cli import blocks, promises, reports, surveys, tickets
from ivr.cli.shown import cell, ledger_of, table
from ivr.dialplan import rules
from ivr.dialplan.understanding import Pack
from ivr.errors import DozvonError
from ivr.prepare import prepare
from ivr.settings import Settings
from ivr.speech.ears import OTHER_WAYS, calls_at_once, find_model, open_ears, self_test
from ivr.speech.phrasebook import Phrasebook
from ivr.voices import voice
from robocalls import rules as survey_rules
from tickets import limits

NO_TRUNK = (
    "no trunk (see DOZVON_DIAL_OUT); under make run, through the softphone that is logged in as resident"
)

SOME = 24
"""Words shown of many."""

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
    check = command(
        "check", _check, "look at settings, rules, phrases and the robot's ears without starting anything"
    )
    check.add_argument("--words", action="store_true", help="every word that the ears do not know")
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


async def _check(options: argparse.Namespace, settings: Settings) -> int:
    law = limits.read()
    ladder = chase.read(settings.chase).ladder
    read = rules.read(settings.dialplan)
    phrases = Phrasebook.read(settings.dialplan / "phrases" / f"{settings.language}.toml")
    problems = [*phrases.unknown(sorted(read.prompts())), *rules.unknown_categories(read, law.categories)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(
            f"good: {len(read.menus)} menus, {len(read.ways)} ways to the queue, {len(phrases.phrases)} phrases, "
            f"{len(law.clocks)} clocks, {len(ladder)} steps of the chase"
        )
        print(f"residents are called back through {settings.outbound or NO_TRUNK}")
        await _check_robot(settings, options.words)
    return 1 if problems else 0


async def _check_robot(settings: Settings, all_words: bool) -> None:
    """Whom the robot may ring, and what it understands."""
    rules, pack = survey_rules.read(settings.surveys), Pack.read(settings.language)
    print(f"after a job residents are asked by the robot, {len(rules.ladder)} steps of tries")
    model = find_model(settings)
    if model is None:
        print(f"the robot has no ears: it asks for keys; {OTHER_WAYS}")
        return
    ears = open_ears(model)
    missing = ears.missing(pack.words())
    print(
        f"the robot hears with {ears.name}: {len(pack.words()) - len(missing)} of {len(pack.words())} words"
    )
    if missing:
        shown = missing if all_words else missing[:SOME]
        more = f" … and {len(missing) - SOME} more, see --words" if len(shown) < len(missing) else ""
        print(f"  words it does not know, and takes for other speech: {', '.join(shown)}{more}")
    if (speaks := await voice(settings)) is not None:
        trial = await self_test(ears, speaks)
        heard = zip(trial.said, trial.understood, strict=True)
        print(
            "  tried: " + "; ".join(f"said «{said}», understood «{understood}»" for said, understood in heard)
        )
        print(f"  it can follow {calls_at_once(trial.factor)} calls at once")


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
