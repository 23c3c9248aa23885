"""`dozvon survey report`: what residents say of the jobs closed on a day or in a month."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from callback import words
from callback.report import Share
from callback.words import Words
from directory.phones import shown
from ivr.app import now
from ivr.cli import days
from ivr.cli.reports import company_of, figure, file_of, harmless, iso, plain
from ivr.cli.shown import moment
from ivr.heard import UNKNOWN
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.store import Row
from robocalls import report
from robocalls.nouns import Result
from robocalls.report import STARS, Figures, Report

UNKNOWN_COMPANY = "компания неизвестна"


def arguments(parser: argparse.ArgumentParser) -> None:
    days.arguments(parser)
    parser.add_argument(
        "--company", metavar="CODE", help="one company, by its own time zone; without it: all"
    )
    form = parser.add_mutually_exclusive_group()
    for name, what in (("json", "everything, for a machine"), ("csv", "every closed job, for Excel")):
        form.add_argument(
            f"--{name}",
            metavar="FILE",
            type=Path,
            nargs="?",
            const=Path("-"),
            help=f"{what}; - or nothing: print it",
        )


async def report_on(options: argparse.Namespace, settings: Settings, ledger: Ledger, said: Words) -> None:
    company = await company_of(ledger, options.company)
    zone = ZoneInfo(company.time_zone if company else settings.time_zone)
    made = await report.report(ledger, days.period(options, zone, now()), now(), company)
    calls = words.read(settings.language)
    if options.json:
        with file_of(options.json) as file:
            json.dump(made.as_dict(), file, ensure_ascii=False, indent=2, default=plain)
            file.write("\n")
    elif options.csv:
        with file_of(options.csv, "utf-8-sig") as file:
            csv.writer(file, delimiter=";").writerows(sheet(made, said, calls))
    else:
        print("\n".join(text(made, said, calls)))


def text(made: Report, said: Words, calls: Words) -> list[str]:
    """The report as lines to read. `said` has the words of surveys, `calls` those of categories."""
    zone = made.period.zone
    whose = made.company or "все компании"
    head = f"Оценки работ, закрытых за {days.named(made.period)}, {whose}, время {zone.key}; "
    head += f"составлено {moment(made.made_at, zone)}"
    if not made.total.jobs:
        return [head, "", "Закрытых заявок не было: считать нечего."]
    return [
        head,
        "",
        *_figures(made),
        "",
        *_stars(made.total),
        *_counts(
            "Чем закончились опросы:", ((said.of("result", of), n) for of, n in made.outcomes.most_common())
        ),
        *_counts("Как ставили оценку:", ((said.of("by", by), n) for by, n in made.by.most_common())),
        *_counts("Не спрашивали:", ((_why(why, said), n) for why, n in made.not_asked.most_common())),
        *_groups("По компаниям", {name or UNKNOWN_COMPANY: of for name, of in made.by_company.items()}),
        *_groups("По категориям", {calls.of("category", name): of for name, of in made.by_category.items()}),
        *_months(made),
        *_low(made, said, calls),
        *_exceptions(made, said),
    ]


def _figures(made: Report) -> list[str]:
    total = made.total
    lines = [
        f"{'Закрыто заявок':<42}{total.jobs:>16}",
        figure("Дозвонились из тех, кому звонили", Share(total.reached, total.asked), ""),
        figure("Оценили из тех, кому звонили", total.response, ""),
        figure("Оценили из тех, кто ответил", total.willing, ""),
        figure("Ответ не понят, из тех, кто ответил", made.not_understood, ""),
        f"{'Средняя оценка':<42}{_decimal(total.average):>16}",
        f"{'Жалоб: 1–2 или «не сделано»':<42}{total.low:>16}",
    ]
    if total.waiting:
        lines.append(f"Ещё не спрошены: {total.waiting}; в доли не входят")
    return lines


def _stars(total: Figures) -> list[str]:
    if not total.rated:
        return []
    widest = max(total.ratings.values())
    return [
        "Оценки:",
        *(
            f"  {stars}  {'█' * round(30 * total.ratings[stars] / widest):<30}{total.ratings[stars]:>6}"
            f"{_percent(Share(total.ratings[stars], total.rated)):>10}"
            for stars in reversed(STARS)
        ),
    ]


def _counts(title: str, counts: Iterable[tuple[str, int]]) -> list[str]:
    lines = [f"  {what:<56}{count:>8}" for what, count in counts]
    return ["", title, *lines] if lines else []


def _groups(title: str, groups: Mapping[str, Figures]) -> list[str]:
    width = max(map(len, (title, *groups)))
    return [
        "",
        f"{title:<{width}}  закрыто  звонили  ответили  оценили  средняя  жалоб",
        *(
            f"{name:<{width}}{of.jobs:>9}{of.asked:>9}{of.reached:>10}{of.rated:>9}{_decimal(of.average):>9}{of.low:>7}"
            for name, of in sorted(groups.items(), key=lambda group: -group[1].jobs)
        ),
    ]


def _months(made: Report) -> list[str]:
    if not made.months:
        return []
    return [
        "",
        "По месяцам  закрыто  звонили  оценили  средняя  жалоб",
        *(
            f"{row['month']:<10}{row['jobs']:>9}{row['asked']:>9}{row['rated']:>9}{_decimal(row['average']):>9}{row['low']:>7}"
            for row in made.months
        ),
    ]


def _low(made: Report, said: Words, calls: Words) -> list[str]:
    if not made.low:
        return ["", "Жалоб нет."]
    lines = ["", f"Жалобы: {len(made.low)}"]
    for place, row in enumerate(made.low, 1):
        lines += [
            "",
            f"{place}. {_graded(row, said)}  заявка № {row['ticket']}, {calls.of('category', row['category'])}, "
            f"{row['company'] or UNKNOWN_COMPANY}  (опрос {row['id']})",
            f"   Кто:         {', '.join(filter(None, (shown(row['phone']), row['address'], flat(row))))}",
            f"   Комментарий: {commented(row) or 'нет'}",
            f"   Что дальше:  {became(row)}",
        ]
    return lines


def _exceptions(made: Report, said: Words) -> list[str]:
    if not made.exceptions:
        return ["", "Всё в порядке: смотреть нечего."]
    zone = made.period.zone
    return [
        "",
        f"Нужно посмотреть: {len(made.exceptions)}",
        *(
            f"  заявка № {row['ticket']:<6} опрос {row['id']:<6} {moment(row['closed_at'], zone)}  "
            f"{shown(row['phone'])}  {said.of('look', look)}"
            for look, row in made.exceptions
        ),
    ]


def became(row: Row) -> str:
    """What became of a complaint."""
    opened = "заявка снова открыта" if row["reopened"] else "заявка осталась закрытой"
    if row["dispatcher"]:
        return f"{opened}; говорил диспетчер {row['dispatcher']}"
    return f"{opened}; диспетчера не дождались" if row["handed_over"] else opened


def commented(row: Row) -> str:
    if row["transcript"]:
        return f"«{row['transcript'].replace(UNKNOWN, '…')}»"
    return f"голосом, {row['comment_s']:.0f} с, не разобран" if row["comment_s"] else ""


def flat(row: Row) -> str:
    return f"кв. {row['flat']}" if row["flat"] else ""


def _graded(row: Row, said: Words) -> str:
    return f"{row['rating']} из 5" if row["rating"] else said.of("result", row["result"])


def _why(why: str | None, said: Words) -> str:
    return said.of("why", why) or "опрос не планировался"


def _percent(share: Share) -> str:
    return "–" if share.percent is None else f"{share.percent:.1f} %".replace(".", ",")


def _decimal(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}".replace(".", ",")


def sheet(made: Report, said: Words, calls: Words) -> list[list[Any]]:
    """Every closed job, a row each under their titles."""
    zone = made.period.zone
    titles = [
        "заявка", "опрос", "закрыта", "компания", "категория", "номер", "адрес", "квартира", "состояние", "итог",
        "оценка", "как", "звонков", "ответ", "почему", "открыта снова", "диспетчер", "комментарий", "посмотреть",
    ]  # fmt: skip
    return [
        titles,
        *(
            [
                row["ticket"],
                row["id"] or "",
                iso(row["closed_at"], zone),
                harmless(row["company"]),
                calls.of("category", row["category"]),
                shown(row["phone"]),
                harmless(row["address"]),
                harmless(row["flat"]),
                said.of("status", row["status"]),
                said.of("result", row["result"]),
                row["rating"] or "",
                said.of("by", row["by"] if row["result"] == Result.RATED else None),
                row["attempts"],
                iso(row["answered_at"], zone),
                harmless(_why(row["why"], said) if row["id"] is None else said.of("why", row["why"])),
                "да" if row["reopened"] else "",
                row["dispatcher"] or "",
                harmless(commented(row)),
                said.of("look", report.to_look_at(row)),
            ]
            for row in made.rows
        ),
    ]
