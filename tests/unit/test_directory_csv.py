"""Files as housing companies prepare them in Excel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from directory import sheet
from directory.csv_file import (
    CompanyRow,
    Consent,
    DispatcherRow,
    Problem,
    Reading,
    Record,
    ResidentRow,
    columns,
    record,
)
from ivr.errors import DirectoryError

READING = Reading(
    today=date(2026, 11, 21), companies={"severnaya": 1, "ук «северная»": 1, "+74951230001": 1, "rechnoy": 2}
)
HEADER = ["УК", "Адрес", "Кв.", "ФИО", "Телефон", "Согласие"]


def read(header: Sequence[str], cells: Sequence[str]) -> Record | tuple[Problem, ...]:
    return record(17, cells, columns(header), READING)


def resident(cells: Sequence[str], header: Sequence[str] = HEADER) -> ResidentRow:
    made = read(header, cells)
    assert isinstance(made, ResidentRow), made
    return made


def problems(cells: Sequence[str], header: Sequence[str] = HEADER) -> list[str]:
    made = read(header, cells)
    assert isinstance(made, tuple), made
    return [str(problem) for problem in made]


def test_a_residents_row_becomes_a_record() -> None:
    row = resident(
        [
            "severnaya",
            "ул. Лесная, д. 15",
            "12",
            "Смирнов Олег",
            "8 900 000-00-02",
            "robocall:2026-03-02:заявление",
        ]
    )
    assert row == ResidentRow(
        line=17,
        company_id=1,
        address="ул. Лесная, д. 15",
        time_zone=None,
        access=None,
        flat="12",
        name="Смирнов Олег",
        phones=("+79000000002",),
        consents=(Consent("robocall", True, date(2026, 3, 2), "заявление"),),
        note=None,
    )


def test_english_headings_will_do_and_case_and_punctuation_do_not_matter() -> None:
    row = resident(["severnaya", "Main st. 1", "5", "Ann"], ["COMPANY:", "Address *", " flat", "Full_Name"])
    assert (row.address, row.flat, row.name) == ("Main st. 1", "5", "Ann")


def test_an_address_is_put_together_from_its_columns() -> None:
    header = ["ук", "город", "улица", "дом", "корпус", "квартира", "фио"]
    assert resident(["severnaya", "Москва", "ул. Лесная", "17", "2", "3", "Я"], header).address == (
        "Москва, ул. Лесная, д. 17, корп. 2"
    )
    assert resident(["severnaya", "Москва", "ул. Лесная", "дом 17", "", "3", "Я"], header).address == (
        "Москва, ул. Лесная, дом 17"
    )


def test_surname_and_first_name_in_two_columns_are_one_name() -> None:
    header = ["ук", "адрес", "кв", "Фамилия", "Имя", "Отчество"]
    assert (
        resident(["severnaya", "Лесная 1", "3", "Ли", "Марина", "Викторовна"], header).name
        == "Ли Марина Викторовна"
    )


def test_several_phones_may_stand_in_one_cell_or_in_several_columns() -> None:
    header = ["ук", "адрес", "кв", "Телефон 1", "Телефон 2"]
    row = resident(
        ["severnaya", "Лесная 1", "3", "8 900 000-00-01; 123-10-01\n9000000002", "+79000000001"], header
    )
    assert row.phones == ("+79000000001", "+74951231001", "+79000000002")


@pytest.mark.parametrize(
    "cell",
    [
        "'89161234567",
        "8.9161234567E+10",
        "8,9161234567E+10",
        "89161234567.0",
        "89161234567,0",
        "\ufeff8916 1234567",
    ],
)
def test_what_excel_does_to_a_phone_is_undone(cell: str) -> None:
    assert resident(["severnaya", "Лесная 1", "3", "", cell, ""]).phones == ("+79161234567",)


def test_a_phone_excel_has_rounded_is_refused_with_what_to_do() -> None:
    assert problems(["severnaya", "Лесная 1", "3", "", "8,91612E+10", ""]) == [
        "17: Телефон: '8.91612E+10': "
        "Excel has rounded this number; format the column as text and enter it again",
    ]


def test_a_bad_row_names_every_bad_cell_by_the_files_own_heading() -> None:
    assert problems(["severnya", "Лесная 1", "", "Я", "8916123456", "робозвонк:2026-02-30:заявление"]) == [
        "17: УК: 'severnya': no such company; did you mean 'severnaya'?",
        "17: Кв.: empty; write '-' when the house has no flats",
        "17: Телефон: '8916123456': "
        "10 digits, a Russian number has 11; did you mean '8 916 123-45-67' or alike?",
        "17: Согласие: 'робозвонк': no such consent; did you mean 'робозвонок'?",
        "17: Согласие: '2026-02-30': no such date; write 2026-03-01 or 01.03.2026",
    ]


def test_a_house_without_flats_is_said_with_a_dash() -> None:
    assert resident(["severnaya", "пос. Сосновка, 4", "-", "Я", "", ""]).flat == ""


def test_a_flat_is_the_same_with_and_without_its_label() -> None:
    assert resident(["severnaya", "Лесная 1", "кв. 12", "Я", "", ""]).flat == "12"
    assert resident(["severnaya", "Лесная 1", "12.0", "Я", "", ""]).flat == "12"
    assert resident(["severnaya", "Лесная 1", "офис 3", "Я", "", ""]).flat == "офис 3"


def test_a_house_number_that_excel_took_for_a_date_is_refused() -> None:
    header = ["ук", "улица", "дом", "кв", "фио"]
    assert "Excel has made a date of it" in problems(["severnaya", "Лесная", "05.фев", "1", "Я"], header)[0]


def test_a_cell_that_excel_could_not_compute_is_refused() -> None:
    assert problems(["severnaya", "#Н/Д", "1", "Я", "", ""]) == [
        "17: Адрес: '#Н/Д' is Excel's error, not a value"
    ]


def test_a_row_without_name_and_phone_is_nobody() -> None:
    assert problems(["severnaya", "Лесная 1", "3", "", "", ""]) == ["17: ФИО: neither a name nor a phone"]


def test_a_company_may_be_named_by_its_line() -> None:
    header = ["линия", "адрес", "кв", "фио"]
    assert resident(["8 495 123-00-01", "Лесная 1", "3", "Я"], header).company_id == 1
    assert resident(["УК «Северная»", "Лесная 1", "3", "Я"], ["ук", "адрес", "кв", "фио"]).company_id == 1


def test_a_line_of_another_company_is_a_contradiction() -> None:
    header = ["ук", "линия", "адрес", "кв", "фио"]
    found = problems(["rechnoy", "8 495 123-00-01", "Лесная 1", "3", "Я"], header)
    assert found == ["17: линия: '8 495 123-00-01' is another company's line, not of 'rechnoy'"]


def test_a_consent_may_be_withdrawn_and_a_cell_may_hold_several() -> None:
    row = resident(
        [
            "severnaya",
            "Лесная 1",
            "3",
            "Я",
            "",
            "обзвон:01.03.2026:заявление; robocall:2026-06-10:звонок:отозвано",
        ]
    )
    assert row.consents == (
        Consent("robocall", True, date(2026, 3, 1), "заявление"),
        Consent("robocall", False, date(2026, 6, 10), "звонок"),
    )


@pytest.mark.parametrize(
    "cell", ["robocall", "да", "robocall:2026-03-01", "robocall:2026-03-01:", "robocall:отозвано"]
)
def test_a_consent_without_date_or_source_proves_nothing(cell: str) -> None:
    assert "write kind:date:source" in problems(["severnaya", "Лесная 1", "3", "Я", "", cell])[0]


def test_a_consent_of_tomorrow_is_refused() -> None:
    found = problems(["severnaya", "Лесная 1", "3", "Я", "", "sms:2026-11-22:договор"])
    assert found == ["17: Согласие: '2026-11-22': in the future; a consent starts on the day it is given"]


def test_a_row_wider_than_the_header_is_refused_but_empty_tails_are_not() -> None:
    assert resident(["severnaya", "Лесная 1", "3", "Я", "", "", "", " "], [*HEADER, "", ""]).name == "Я"
    assert (
        "more cells than the 6 headings"
        in problems(["severnaya", "Лесная", "1", "3", "Я", "", "", "x"], HEADER)[0]
    )


def test_an_endless_cell_is_refused() -> None:
    assert problems(["severnaya", "Л" * 301, "3", "Я", "", ""]) == ["17: Адрес: 301 characters, at most 300"]


def test_a_companies_row_carries_its_lines_and_its_own_phrases() -> None:
    header = ["Код", "Название", "Линия 1", "Линия 2", "Приветствие", "Часовой пояс", "фраза.welcome"]
    row = read(
        header, ["uyut", "УК «Уют»", "123-00-09", "8 800 100-00-09", "Добрый день!", "Asia/Omsk", "Вы дома"]
    )
    assert row == CompanyRow(
        line=17,
        code="uyut",
        name="УК «Уют»",
        lines=("+74951230009", "+78001000009"),
        greeting="Добрый день!",
        time_zone="Asia/Omsk",
        queue=None,
        phrases={"welcome": "Вы дома"},
    )


def test_a_companys_code_and_time_zone_are_checked() -> None:
    found = problems(["Уют", "УК", "1230009", "Asia/Omks"], ["код", "название", "линии", "часовой пояс"])
    assert found == [
        "17: код: 'Уют': a code is small Latin letters, digits and dashes",
        "17: часовой пояс: 'Asia/Omks': no such time zone; did you mean 'Asia/Omsk'?",
    ]


@pytest.mark.parametrize(("cell", "serves"), [("rechnoy, severnaya", (1, 2)), ("все", ()), ("", None)])
def test_a_dispatcher_serves_the_named_companies_or_all(cell: str, serves: tuple[int, ...] | None) -> None:
    made = read(["внутренний", "имя", "компании"], ["101", "Анна Петрова", cell])
    assert made == DispatcherRow(line=17, extension="101", name="Анна Петрова", serves=serves)


def test_an_unknown_column_near_a_known_one_refuses_the_file() -> None:
    with pytest.raises(DirectoryError, match="column 'Телефн': not known; did you mean 'телефон'"):
        columns(["УК", "Адрес", "Кв", "ФИО", "Телефн"])


def test_a_column_of_the_companys_own_is_left_out() -> None:
    own = ["№ п/п", "Лицевой счёт", "Площадь", "Этаж", "Подъезд", "E-mail", "Долг, руб."]
    assert columns([*own, *HEADER]).left_out == tuple(own)


def test_a_missing_column_and_a_column_twice_refuse_the_file_together() -> None:
    with pytest.raises(DirectoryError) as refused:
        columns(["УК", "Адрес", "Адрес", "ФИО"])
    assert "column 'Адрес': there is one like it before" in str(refused.value)
    assert "no column 'flat'" in str(refused.value)


def test_the_header_tells_the_kind_of_file() -> None:
    assert columns(["внутренний номер", "ФИО"]).kind == "dispatchers"
    assert columns(["Код", "Название", "Линии"]).kind == "companies"
    assert (
        columns(["Код компании", "Компания", "Адрес", "Квартира", "Телефон"][:1] + HEADER[1:]).kind
        == "residents"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_a_file_is_read_in_any_way_excel_saves_it(tmp_path: Path, encoding: str, delimiter: str) -> None:
    file = tmp_path / "жители.csv"
    lines = [
        delimiter.join(HEADER),
        "",
        delimiter.join(["severnaya", "Лесная", "3", '"Я\r\nи ты"', "", ""]),
        delimiter * 5,
    ]
    file.write_bytes(
        "\r\n".join([*lines, delimiter.join(["rechnoy", "Речная", "4", "Он"]), ""]).encode(encoding)
    )
    with sheet.opened(file) as table:
        assert table.header == HEADER
        assert table.delimiter == delimiter
        rows = list(table.rows)
    assert [(row.line, row.cells[0]) for row in rows] == [(3, "severnaya"), (6, "rechnoy")]
    assert resident(rows[0].cells).name == "Я и ты"


def test_excels_own_first_line_names_the_delimiter(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("sep=;\nкод;имя, фамилия\nуют;я\n", "utf-8")
    with sheet.opened(file) as table:
        assert list(table.header) == ["код", "имя, фамилия"]
        assert [row.line for row in table.rows] == [3]


def test_a_quote_never_closed_costs_its_rows_only_with_a_word(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text('a;b\n1;"x\n' + "2;y\n" * 40 + '3;z"\n4;w\n', "utf-8")
    with sheet.opened(file) as table:
        broken, sound = table.rows
    assert (broken.line, broken.broken) == (2, "a quote opened here is not closed until line 43")
    assert (sound.line, list(sound.cells)) == (44, ["4", "w"])


def test_a_cell_beyond_any_size_is_refused_and_the_file_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("a;b\n1;" + "x" * 200_000 + "\n2;y\n", "utf-8")
    with sheet.opened(file) as table:
        broken, *rest = table.rows
    assert broken.broken
    assert [list(row.cells) for row in rest] == [["2", "y"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty; the first row must name the columns"),
        (b"PK\x03\x04rest", "an Excel workbook; save it as"),
        ("код\n".encode("cp1251") + b"\x98", "neither UTF-8 nor cp1251"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(content)
    with pytest.raises(DirectoryError, match=says), sheet.opened(file) as table:
        list(table.rows)


def test_a_file_that_is_not_there_is_said_without_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="No such file"), sheet.opened(tmp_path / "none.csv"):
        pass


@pytest.mark.parametrize("kind", ["companies", "dispatchers", "residents"])
def test_the_sample_reads_without_a_problem(kind: str) -> None:
    with sheet.opened(Path(sheet.__file__).with_name("sample") / f"{kind}.csv") as table:
        of = columns(table.header)
        assert (of.kind, of.left_out) == (kind, ())
        made = [record(row.line, row.cells, of, READING) for row in table.rows]
    assert made
    assert not [row for row in made if isinstance(row, tuple)]
