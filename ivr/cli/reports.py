"""`dozvon report`: the two figures of the law for a day or a month, with the exceptions and their timelines."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from callback import report, rules, words
from callback.report import Judged, Report, Share, Verdict
from directory import lookup
from directory.nouns import Company
from directory.phones import shown
from ivr.app import now
from ivr.call import Kind
from ivr.cli import days
from ivr.cli.promises import particulars
from ivr.cli.shown import clock, ledger_of, moment, private_file
from ivr.errors import Refused, did_you_mean
from ivr.settings import Settings
from ivr.store import Row, Store
from tickets import limits

VERDICTS = {
    Verdict.REACHED: "поговорили вовремя",
    Verdict.RUNNING: "срок ещё идёт",
    Verdict.LATE: "поговорили позже срока",
    Verdict.NEVER: "не поговорили",
}
HAPPENED = {
    Kind.ARRIVED: "вызов поступил",
    Kind.STATIC_ROUTE: "принято без контроллера",
    Kind.IDENTIFIED: "номер найден в справочнике",
    Kind.PICKED_UP: "линия ответила",
    Kind.PROMPT: "фраза",
    Kind.KEY: "нажата клавиша",
    Kind.WRONG_KEY: "нажата другая клавиша",
    Kind.SILENCE: "ничего не нажато",
    Kind.WENT: "выбрано направление",
    Kind.QUEUED: "в очереди",
    Kind.QUEUE_PLACE: "место в очереди",
    Kind.LEFT_QUEUE: "очередь покинута",
    Kind.RANG: "звонил телефон диспетчера",
    Kind.ANSWERED: "ответили, слышат друг друга",
    Kind.JOINED: "на линии другой диспетчер",
    Kind.HELD: "на удержании",
    Kind.RESUMED: "снято с удержания",
    Kind.TRANSFERRED: "перевод",
    Kind.MESSAGE: "предложено оставить сообщение",
    Kind.OVERDUE: "время ответа вышло",
    Kind.ACCEPTED: "диспетчер принял, набираем жителя",
    Kind.TRIED: "до жителя не дозвонились",
    Kind.MACHINE: "отмечен автоответчик",
    Kind.HEARD: "робот услышал",
    Kind.NOISE: "на линии не человек",
    Kind.SAID: "ответ роботу",
    Kind.HUNG_UP: "положена трубка",
    Kind.ENDED: "завершение",
}
"""What happened to a call, for people to read."""
UNSAID = frozenset({Kind.PROMPT, Kind.QUEUE_PLACE, Kind.IDENTIFIED})
"""Too small for the printed timeline; the JSON has them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    days.arguments(parser)
    parser.add_argument(
        "--company", metavar="CODE", help="one company, by its own time zone; without it: all"
    )
    form = parser.add_mutually_exclusive_group()
    for name, what in (
        ("json", "everything, for a machine"),
        ("csv", "every call not answered in time, for Excel"),
    ):
        form.add_argument(
            f"--{name}",
            metavar="FILE",
            type=Path,
            nargs="?",
            const=Path("-"),
            help=f"{what}; - or nothing: print it",
        )


async def reports(options: argparse.Namespace, settings: Settings) -> int:
    async with ledger_of(settings) as ledger:
        company = await company_of(ledger, options.company)
        zone = ZoneInfo(company.time_zone if company else settings.time_zone)
        period = days.period(options, zone, now())
        made = await report.report(ledger, period, limits.read(), rules.read().talk, now(), company)
        timelines = (
            {} if options.csv else await report.timelines(ledger, [c.row["id"] for c in made.exceptions])
        )
    said = words.read(settings.language)
    if options.json:
        with file_of(options.json) as file:
            json.dump(made.as_dict(timelines), file, ensure_ascii=False, indent=2, default=plain)
            file.write("\n")
    elif options.csv:
        with file_of(options.csv, "utf-8-sig") as file:
            csv.writer(file, delimiter=";").writerows(sheet(made, said))
    else:
        print("\n".join(text(made, timelines, said)))
    return 0


async def company_of(store: Store, code: str | None) -> Company | None:
    """By its code; None: all of them. Raises Refused with the near miss."""
    if code is None:
        return None
    known = {company.code: company for company in await lookup.companies(store)}
    if code not in known:
        raise Refused(f"--company {code}: no such company{did_you_mean(code, known)}")
    return known[code]


def file_of(path: Path, encoding: str = "utf-8") -> AbstractContextManager[TextIO]:
    """To write a report to; `-` is standard output."""
    return nullcontext(sys.stdout) if path == Path("-") else private_file(path, encoding)


def plain(value: object) -> str:
    """A value JSON does not know."""
    return value.isoformat() if isinstance(value, date) else str(value)  # a datetime is a date, too


def text(made: Report, timelines: Mapping[str, Sequence[Row]], said: words.Words) -> list[str]:
    """The report as lines to read."""
    zone = made.period.zone
    whose = made.company or "все компании"
    head = f"Звонки за {days.named(made.period)}, {whose}, время {zone.key}; составлено {moment(made.made_at, zone)}"
    if not made.calls:
        return [head, "", "Звонков не поступало: считать нечего."]
    return [head, "", *_figures(made), "", *_exceptions(made, timelines, said)]


def _figures(made: Report) -> list[str]:
    answer, callback = made.limits.answer, made.limits.callback
    rows = [
        (f"Отвечено за {_minutes(answer.within)}", made.answered_in_time, answer.clause),
        (f"Из остальных поговорили за {_minutes(callback.within)}", made.reached_in_time, callback.clause),
    ]
    trade = [
        ("Ответ за 20 с в очереди (цель 80 %)", made.service_level, ""),
        ("Не дождались в очереди (норма до 10 %)", made.abandoned, ""),
    ]
    lines = [f"{'Поступило звонков':<42}{made.calls:>16}", *(figure(*row) for row in rows)]
    if made.answered_in_time.undecided or made.reached_in_time.undecided:
        lines.append(
            f"Ещё не решено: ждут ответа {made.answered_in_time.undecided}, "
            f"ждут перезвона {made.reached_in_time.undecided}; в доли не входят"
        )
    lines += _left_out(made)
    lines.append(
        f"{'Перезвонов сделано':<42}{made.callbacks_made:>16}, из них с разговором {made.callbacks_talked}"
    )
    lines += ["", "Отраслевые показатели, от постановки в очередь:", *(figure(*row) for row in trade)]
    speed = made.speed_of_answer
    lines.append(
        f"{'Среднее ожидание ответа (цель до 30 с)':<42}{'–' if speed is None else f'{speed:.0f} с':>16}"
    )
    return lines


def _left_out(made: Report) -> list[str]:
    lines = []
    if informed := made.counts[Verdict.INFORMED]:
        lines.append(f"{'Не входят: выслушали объявление и ушли':<42}{informed:>16}")
    if made.blocked:
        lines.append(f"{'Не входят: номера из списка блокировки':<42}{made.blocked.total():>16}")
    lines += [
        f"    {f'{pattern}: {reason} (внёс {author})':<38}{calls:>16}"
        for (pattern, reason, author), calls in made.blocked.most_common()
    ]
    return lines


def figure(title: str, share: Share, clause: str) -> str:
    percent = "–" if share.percent is None else f"{share.percent:.1f} %".replace(".", ",")
    return f"{title:<42}{f'{share.good} из {share.of}':>16}{percent:>10}   {clause}".rstrip()


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} мин"


def _exceptions(made: Report, timelines: Mapping[str, Sequence[Row]], said: words.Words) -> list[str]:
    calls, zone = made.exceptions, made.period.zone
    if not calls:
        return ["Нарушений срока нет."]
    lines = [f"Нарушения срока: {len(calls)}"]
    for place, call in enumerate(calls, 1):
        row = call.row
        company = row["company"] or "компания неизвестна"
        lines += [
            "",
            f"{place}. {moment(row['arrived_at'], zone)}  {shown(row['phone'])}  {company}  (звонок {row['id']})",
            f"   Что было:   {happened(call, said)}",
            f"   Почему:     {why(call, said)}",
            f"   Поговорили: {_spoken(call, zone)}",
            *(f"   {line}" for line in timeline(timelines.get(row["id"], ()), said, zone)),
        ]
    return lines


def happened(call: Judged, said: words.Words) -> str:
    """How the call went."""
    answered = report.answered_at(call.row)
    if answered:
        return f"ответили через {clock(answered - call.row['arrived_at'])}"
    return said.of("outcome", call.row["outcome"]) or "всё ещё ждёт ответа"


def why(call: Judged, said: words.Words) -> str:
    """Why nobody spoke with her in time, as far as it is known."""
    if call.row["why"]:
        return said.of("why", call.row["why"])
    if call.row["phone"] is None:
        return said.of("why", "hidden")
    if report.answered_at(call.row) or call.row["ended_at"] is None:
        return "долгое ожидание в очереди"
    return "обещания перезвонить нет в журнале" if call.row["promise"] is None else "–"


def _spoken(call: Judged, zone: ZoneInfo) -> str:
    if call.spoken_at is None:
        return "нет"
    late = f", на {clock(call.late_by)} позже срока" if call.late_by else ""
    return f"{moment(call.spoken_at, zone)}{late}"


def timeline(events: Sequence[Row], said: words.Words, zone: ZoneInfo) -> list[str]:
    """What happened, a line each, in one order of time."""
    return [
        f"{moment(event['at'], zone)}  {_subject(event):<10}  {_event(event, said, zone)}"
        for event in events
        if event["source"] == "promise" or event["what"] not in UNSAID
    ]


def _subject(event: Row) -> str:
    if event["source"] == "attempt":
        return f"попытка {event['detail']['attempt']}"
    return "обещание" if event["source"] == "promise" else "звонок"


def _event(event: Row, said: words.Words, zone: ZoneInfo) -> str:
    who = f" ({event['who']})" if event["who"] and event["who"] != "hotline" else ""
    if event["source"] == "promise":
        more = particulars(event, said, zone)
        return f"{said.of('history', event['what'])}{who}{': ' if more else ''}{more}"
    what = "начата" if event["what"] == "placed" else HAPPENED[Kind(event["what"])]
    outcome = said.of("why", event["detail"].get("outcome"))  # of a try that came to nothing
    return f"{what}{who}{': ' if outcome else ''}{outcome}"


def sheet(made: Report, said: words.Words) -> list[list[Any]]:
    """Every call that was not answered in time, a row each under their titles."""
    zone = made.period.zone
    titles = [
        "звонок", "поступил", "номер", "компания", "категория", "что было", "срок", "поговорили", "опоздание, с",
        "итог", "почему", "обещание",
    ]  # fmt: skip
    return [
        titles,
        *(
            [
                call.row["id"],
                iso(call.row["arrived_at"], zone),
                shown(call.row["phone"]),
                harmless(call.row["company"]),
                said.of("category", call.row["category"]),
                happened(call, said),
                iso(call.due_at, zone),
                iso(call.spoken_at, zone),
                round(call.late_by.total_seconds()) if call.late_by else "",
                VERDICTS[call.verdict],
                harmless(why(call, said)) if call.is_exception else "",
                call.row["promise"] or "",
            ]
            for call in made.unanswered
        ),
    ]


def iso(at: datetime | None, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds") if at else ""


def harmless(words: str | None) -> str:
    """Somebody's own words, never a formula for Excel."""
    return f"'{words}" if words and words[0] in "=+-@\t\r" else words or ""
