"""The directory on a real Postgres: taken in, and found again."""

from __future__ import annotations

import asyncio
import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from directory import lookup
from directory.importer import Report, import_file
from directory.nouns import Caller
from ivr.errors import DirectoryError
from ivr.ledger.ledger import Store
from ivr.ledger.statements import Statements

Database: TypeAlias = "asyncpg.Pool[Any]"

SAMPLE = Path(lookup.__file__).with_name("sample")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NORTH, RIVER = "+74951230001", "+74951230002"
HEADER = "ук;адрес;кв;фио;телефоны;согласие\n"


async def take(database: Database, path: Path, out: list[str] | None = None) -> Report:
    said: list[str] = [] if out is None else out
    return await import_file(path, Store(Statements(), database), NOW, progress=False, out=said.append)


async def take_sample(database: Database) -> list[Report]:
    return [
        await take(database, SAMPLE / f"{kind}.csv") for kind in ("companies", "dispatchers", "residents")
    ]


async def take_text(database: Database, folder: Path, text: str, out: list[str] | None = None) -> Report:
    file = folder / "residents.csv"
    file.write_text(text, "utf-8")
    return await take(database, file, out)


async def who(database: Database, number: str | None, line: str = NORTH) -> Caller | None:
    return await lookup.who_calls(Store(Statements(), database), number=number, line=line, now=NOW)


async def known(database: Database, number: str | None, line: str = NORTH) -> Caller:
    caller = await who(database, number, line)
    assert caller is not None
    return caller


async def flats(database: Database, address: str) -> set[str]:
    rows = await database.fetch(
        "SELECT f.number FROM flats f JOIN houses h ON h.id = f.house_id WHERE h.address = $1", address
    )
    return {row["number"] for row in rows}


async def everything(database: Database) -> list[Any]:
    tables = (
        "companies",
        "lines",
        "houses",
        "flats",
        "residents",
        "resident_phones",
        "dispatchers",
        "consents",
    )
    return [sorted(map(repr, await database.fetch(f"SELECT * FROM {table}"))) for table in tables]


async def test_the_sample_goes_in_and_the_second_time_changes_nothing(database: Database) -> None:
    first = await take_sample(database)
    assert [(report.taken, report.unchanged, report.refused) for report in first] == [
        (2, 0, 0),
        (2, 0, 0),
        (13, 0, 0),
    ]
    before = await everything(database)
    second = await take_sample(database)
    assert [(report.taken, report.unchanged, report.refused) for report in second] == [
        (0, 2, 0),
        (0, 2, 0),
        (0, 13, 0),
    ]
    assert await everything(database) == before


async def test_a_known_caller_is_named_with_flat_and_house(database: Database) -> None:
    await take_sample(database)
    caller = await known(database, "+79000000002")
    assert (caller.company.code, caller.company.name) == ("severnaya", "УК «Северная»")
    assert caller.company.greeting and caller.company.greeting.startswith("Здравствуйте!")
    assert (caller.name, caller.flat) == ("Смирнов Олег Павлович", "12")
    assert caller.house and caller.house.address == "Москва, ул. Лесная, д. 15"
    assert (caller.open_tickets, caller.last_ticket, caller.repeats) == (0, None, False)


async def test_the_line_decides_the_company_and_a_resident_of_another_is_a_stranger(
    database: Database,
) -> None:
    await take_sample(database)
    caller = await known(database, "+79000000002", RIVER)
    assert caller.company.code == "rechnoy"
    assert not caller.known


async def test_a_hidden_number_and_a_stranger_still_get_the_company(database: Database) -> None:
    await take_sample(database)
    for number in (None, "+79990000000"):
        caller = await known(database, number)
        assert (caller.company.code, caller.known, caller.calls_lately) == ("severnaya", False, 0)


async def test_nobodys_line_has_no_company(database: Database) -> None:
    await take_sample(database)
    assert await who(database, "+79000000002", "+74951239999") is None


async def test_a_phone_of_two_in_one_flat_gives_the_flat_but_no_name(database: Database) -> None:
    await take_sample(database)
    caller = await known(database, "+79000000012", RIVER)
    assert (caller.residents_known, caller.name, caller.flat) == (2, None, "9")


async def test_a_phone_of_two_flats_gives_no_flat_but_a_choice(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    await take_text(database, tmp_path, HEADER + "severnaya;Лесная 1;5;Смирнов Олег;+79000000002;\n")
    caller = await known(database, "+79000000002")
    assert (caller.known, caller.name, caller.flat, caller.house) == (True, None, None, None)
    choice = await lookup.residents(
        Store(Statements(), database), phone="+79000000002", company_id=caller.company.id
    )
    assert [resident.flat for resident in choice] == ["12", "5"]


async def test_open_tickets_and_calls_of_the_last_day_are_counted(database: Database) -> None:
    await take_sample(database)
    company = (await known(database, None)).company.id
    for n, hours in enumerate((0, 1, 23, 25)):  # the call itself, two repeats, one too old
        await database.execute(
            "INSERT INTO calls (id, company_id, caller, arrived_at) VALUES ($1, $2, $3, $4)",
            f"c{n}",
            company,
            "+79000000002",
            NOW - timedelta(hours=hours),
        )
    for status, closed in (("draft", None), ("registered", None), ("closed", NOW)):
        await database.execute(
            """INSERT INTO tickets (company_id, phone, category, content, status, registered_at, closed_at)
               VALUES ($1, '+79000000002', 'emergency', 'течёт', $2, $3, $4)""",
            company,
            status,
            NOW,
            closed,
        )
    newest = await database.fetchval("SELECT max(number) FROM tickets WHERE status <> 'closed'")
    caller = await known(database, "+79000000002")
    assert (caller.calls_lately, caller.open_tickets, caller.last_ticket) == (2, 2, newest)


async def test_good_rows_go_in_and_bad_ones_are_named_and_set_beside(
    database: Database, tmp_path: Path
) -> None:
    await take_sample(database)
    said: list[str] = []
    report = await take_text(
        database, tmp_path,
        HEADER
        + "severnaya;Лесная 1;1;Первая;+79000000101;\n"
        + "severnaya;Лесная 1;2;Вторая;8916123456;sms:вчера:договор\n"
        + "severnaya;Лесная 1;3;Третья;+79000000103;\n",
        said,
    )  # fmt: skip
    assert (report.taken, report.refused, report.ok) == (2, 1, False)
    assert said[0] == (
        "residents.csv:3: телефоны: '8916123456': 10 digits, a Russian number has 11; "
        "did you mean '8 916 123-45-67' or alike?"
    )
    assert said[1].startswith("residents.csv:3: согласие: 'вчера': no such date")
    assert said[2] == "residents.csv (residents): 2 taken in, 0 unchanged, 1 refused"
    assert await flats(database, "Лесная 1") == {"1", "3"}

    beside = tmp_path / "residents.refused.csv"
    with beside.open(encoding="utf-8-sig", newline="") as file:
        header, row = csv.reader(file, delimiter=";")
    assert header == [*HEADER.strip().split(";"), "problem"]
    assert row[:5] == ["severnaya", "Лесная 1", "2", "Вторая", "8916123456"]
    assert row[6].startswith("3: телефоны:")


async def test_mended_refusals_are_taken_in_from_the_file_beside(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    await take_text(database, tmp_path, HEADER + "severnaya;Лесная 1;2;Вторая;8916123456;\n")
    beside = tmp_path / "residents.refused.csv"
    beside.write_text(beside.read_text("utf-8-sig").replace("8916123456;", "89161234567;"), "utf-8")
    report = await take(database, beside)
    assert (report.taken, report.refused) == (1, 0)
    assert (await known(database, "+79161234567")).name == "Вторая"


async def test_a_row_the_database_refuses_takes_no_other_with_it(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    await database.execute("ALTER TABLE residents ADD CHECK (name <> 'Никто')")
    rows = "".join(f"severnaya;Лесная 1;{n};{'Никто' if n == 7 else 'Кто-то'};;\n" for n in range(1, 21))
    report = await take_text(database, tmp_path, HEADER + rows)
    assert (report.taken, report.refused) == (19, 1)
    assert str(report.problems[0]).startswith("8: the database refuses it")
    assert await flats(database, "Лесная 1") == {str(n) for n in range(1, 21) if n != 7}


async def test_a_database_that_goes_away_is_not_blamed_on_the_rows(
    database: Database, tmp_path: Path
) -> None:
    await take_sample(database)
    await database.execute("DROP TABLE consents")
    with pytest.raises(asyncpg.UndefinedTableError):
        await take_text(database, tmp_path, HEADER + "severnaya;Лесная 1;1;Первая;;\n")


async def test_what_a_row_leaves_out_stays_and_what_it_adds_is_added(
    database: Database, tmp_path: Path
) -> None:
    await take_sample(database)
    header = "ук;адрес;кв;фио;телефоны;примечание;доступ\n"
    await take_text(database, tmp_path, header + "severnaya;Лесная 1;1;Первая;+79000000101;глухая;код 5\n")
    report = await take_text(database, tmp_path, header + "severnaya;Лесная 1;1;Первая;+79000000102;;\n")
    assert report.taken == 1
    assert await database.fetchval("SELECT note FROM residents WHERE name = 'Первая'") == "глухая"
    for number in ("+79000000101", "+79000000102"):
        caller = await known(database, number)
        assert caller.house and caller.house.access == "код 5"


async def test_a_dispatcher_keeps_her_password_and_her_companies(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    store = Store(Statements(), database)
    anna, boris = await lookup.dispatchers(store)
    assert (anna.extension, anna.name, anna.serves) == ("101", "Анна Петрова", None)
    assert anna.password != boris.password
    assert anna.password not in repr(anna)

    file = tmp_path / "d.csv"
    file.write_text("доб;имя;ук\n101;Анна Петрова-Ли;rechnoy\n", "utf-8")
    await take(database, file)
    file.write_text("доб;имя\n101;Анна Ли\n", "utf-8")
    await take(database, file)
    later = (await lookup.dispatchers(store))[0]
    river = (await known(database, None, RIVER)).company.id
    assert (later.name, later.password, later.serves) == ("Анна Ли", anna.password, frozenset({river}))
    assert not later.may_serve(river + 1000)

    file.write_text("доб;имя;ук\n101;Анна Ли;все\n", "utf-8")
    await take(database, file)
    assert (await lookup.dispatchers(store))[0].serves is None


async def test_a_companys_phrases_and_another_line_are_taken_up(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    file = tmp_path / "c.csv"
    file.write_text(
        "код;название;линии;фраза.welcome\nrechnoy;УК «Река»;1230002, 1230003;Рады вам\n", "utf-8"
    )
    await take(database, file)
    river, north = await lookup.companies(Store(Statements(), database))
    assert (river.name, river.lines, river.phrases) == (
        "УК «Река»",
        (RIVER, "+74951230003"),
        {"welcome": "Рады вам"},
    )
    assert river.greeting
    assert north.lines == (NORTH,)


async def test_a_row_does_not_take_another_companys_line(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    file = tmp_path / "c.csv"
    file.write_text("код;название;линии\nvostok;ООО «Восток»;1230001\n", "utf-8")
    report = await take(database, file)
    assert [str(problem) for problem in report.problems] == [
        "2: линии: '+74951230001' is another company's line; take it from that one first"
    ]
    assert (await known(database, None)).company.code == "severnaya"


async def test_two_rows_of_one_file_cannot_claim_one_code_or_line(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("код;название;линии\na;А;1230001\nb;Б;1230001\na;Ц;1230003\n", "utf-8")
    report = await take(database, file)
    assert report.taken == 1
    assert [str(problem) for problem in report.problems] == [
        "3: линии: '+74951230001': line 2 has it already",
        "4: код: 'a': line 2 has it already",
    ]


async def test_consent_is_everybodys_and_a_withdrawal_ends_it(database: Database) -> None:
    await take_sample(database)
    store, north = Store(Statements(), database), (await known(database, None)).company.id

    async def consented(phone: str, day: date) -> object:
        row = await store.one("directory.consented", phone=phone, company_id=north, kind="robocall", day=day)
        return row and row["consented"]

    assert await consented("+79000000003", date(2026, 3, 1)) is False
    assert await consented("+79000000003", date(2026, 6, 9)) is True
    assert await consented("+79000000003", date(2026, 6, 10)) is False
    assert await consented("+79000000004", date(2026, 6, 9)) is False
    assert await consented("+79990000000", date(2026, 6, 9)) is None


@pytest.mark.parametrize(
    "change", ["UPDATE consents SET given = true", "DELETE FROM consents", "TRUNCATE consents"]
)
async def test_a_consent_is_never_rewritten(database: Database, change: str) -> None:
    await take_sample(database)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await database.execute(change)


async def test_a_change_of_companies_or_dispatchers_is_announced(database: Database) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    async with database.acquire() as listener:

        def hear(*message: object) -> None:
            heard.put_nowait(message[-1])

        await listener.add_listener("directory", hear)
        try:
            await take(database, SAMPLE / "companies.csv")
            await take(database, SAMPLE / "dispatchers.csv")
            async with asyncio.timeout(10):
                said = {await heard.get() for _ in range(3)}
        finally:  # a pool does not take a listening connection back
            await listener.remove_listener("directory", hear)
    assert said == {"companies", "lines", "dispatchers"}


async def test_an_import_waits_for_another_and_loses_no_row_to_it(database: Database, tmp_path: Path) -> None:
    await take_sample(database)
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(HEADER + "severnaya;Лесная 1;1;Первая;;\n", "utf-8")
    two.write_text(HEADER + "severnaya;Лесная 1;1;Вторая;+79000000101;\n", "utf-8")
    async with Store(Statements(), database).transaction() as unfinished:
        await import_file(one, unfinished, NOW, progress=False, out=lambda line: None)
        second = asyncio.create_task(take(database, two))
        await somebody_waits(database)
    assert (await second).taken == 1
    assert (await known(database, "+79000000101")).flat == "1"


async def somebody_waits(database: Database) -> None:
    """Until a session of this database waits for a lock that another holds."""
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with asyncio.timeout(10):
        while not await database.fetchval(waiting):  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.01)


async def test_a_file_refused_as_a_whole_names_file_and_line(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"^residents\.csv:1: taken for a file of residents"):
        await take_text(database, tmp_path, "ук;адрес;фио\n")


async def test_companies_come_first(database: Database) -> None:
    report = await take(database, SAMPLE / "residents.csv")
    assert report.refused == 13
    assert "no such company; import the companies first" in str(report.problems[0])
