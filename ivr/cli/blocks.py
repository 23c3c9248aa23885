"""`dozvon block …`: numbers nobody is owed a call."""

from __future__ import annotations

import argparse

from directory import blocked
from ivr.app import now
from ivr.cli.shown import cell, ledger_of, table
from ivr.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    moves = parser.add_subparsers(dest="move", required=True, metavar="MOVE")
    add = moves.add_parser("add", help="from now on nobody is owed a call who calls from it")
    add.add_argument("pattern", help="a number in any form, or all that begin so: +7900*")
    add.add_argument("--reason", required=True, help="why, for the inspector")
    add.add_argument("--author", required=True, help="who says so")
    listing = moves.add_parser("list", help="the latest first")
    listing.add_argument("--all", action="store_true", help="with those that were lifted")
    lift = moves.add_parser("lift", help="calls from it are promised a call back again")
    lift.add_argument("id", type=int)
    lift.add_argument("--author", required=True, help="who says so")


async def blocks(options: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        match options.move:
            case "add":
                pattern = blocked.pattern_of(
                    options.pattern, region=settings.region, area_code=settings.area_code
                )
                row = await blocked.add(
                    ledger, pattern, reason=options.reason, author=options.author, now=now()
                )
                print(f"№ {row['id']}: {row['pattern']} в списке с {cell(row['since'], settings)}")
                if phones := await blocked.residents_under(ledger, pattern):
                    print(f"Внимание: под него подходят телефоны жителей из справочника ({phones})")
            case "lift":
                row = await blocked.lift(ledger, options.id, author=options.author, now=now())
                print(f"№ {row['id']}: {row['pattern']} снят {cell(row['lifted_at'], settings)}")
            case _:
                columns = {"№": "id", "номер": "pattern", "причина": "reason", "кто": "author", "с": "since"}
                lifted = {"снят": "lifted_at", "кем": "lifted_by"} if options.all else {}
                table(await blocked.listed(ledger, lifted_too=options.all), columns | lifted, settings)
    return 0
