"""Phone numbers as people and trunks write them."""

from __future__ import annotations

import time

import pytest

from directory.phones import masked, shown, spoken, to_e164, why_not


@pytest.mark.parametrize(
    "text",
    [
        "+79161234567",
        "79161234567",
        "89161234567",
        "9161234567",
        "8 (916) 123-45-67",
        "+7 916 123 45 67",
        "8-916-123‑45–67",
        "тел. 8 916 123.45.67 (мама)",
        "89161234567 доб. 12",
        "8 916 123 45 67 ext 3",
        "8.9161234567E+10",
        "sip:+79161234567@10.0.0.1",
    ],
)
def test_a_mobile_number_is_read_however_it_is_written(text: str) -> None:
    assert to_e164(text) == "+79161234567"


def test_a_short_local_number_is_completed_by_the_area_code() -> None:
    assert to_e164("123-45-67") == "+74951234567"
    assert to_e164("12-34-56", area_code="4852") == "+74852123456"
    assert to_e164("1234567", area_code="812") == "+78121234567"


def test_numbers_from_abroad_are_read_with_and_without_plus_and_by_the_way_out() -> None:
    assert to_e164("+380501234567") == "+380501234567"
    assert to_e164("380501234567") == "+380501234567"
    assert to_e164("8 10 380 50 123 45 67") == "+380501234567"
    assert to_e164("+77011234567") == "+77011234567"


def test_another_region_reads_its_own_national_numbers() -> None:
    assert to_e164("020 7946 0018", region="GB", area_code="20") == "+442079460018"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "anonymous",
        "Unknown",
        "private",
        "restricted",
        "unavailable",
        "<unknown>",
        "sip:anonymous@x",
    ],
)
def test_a_hidden_number_is_none(text: str | None) -> None:
    assert to_e164(text) is None


@pytest.mark.parametrize("text", ["10", "101", "2001", "10002", "112"])
def test_an_extension_of_the_exchange_is_no_phone(text: str) -> None:
    assert to_e164(text) is None


@pytest.mark.parametrize(
    "text", ["8916123456", "891612345678", "8.91612E+10", "8.916123E+10", "89161234567 89167654321"]
)
def test_a_number_that_cannot_be_is_not_guessed(text: str) -> None:
    assert to_e164(text) is None


def test_a_refusal_tells_how_many_digits_are_missing() -> None:
    assert why_not("8916123456").startswith("10 digits, a Russian number has 11; did you mean")


def test_a_refusal_offers_the_near_miss() -> None:
    assert "did you mean '+7 916 123-45-67'?" in why_not("8916I234567")
    assert "did you mean '+7 916 123-45-67'?" in why_not("+7 916 123 45 б7")
    assert "did you mean '+7 916 123-45-67'?" in why_not("889161234567")


def test_a_refusal_knows_a_number_excel_has_rounded() -> None:
    assert "Excel has rounded" in why_not("8,91612E+10")


def test_a_masked_number_keeps_its_operator_and_its_end_only() -> None:
    assert masked("+79161234567") == "+7916•••••67"
    assert masked("+380501234567") == "+3805••••••67"


def test_a_short_foreign_number_is_masked_too() -> None:
    assert masked("+3725123") == "+3725••3"
    assert masked("1234567") == "12345••"


def test_an_extension_and_a_hidden_number_need_no_mask() -> None:
    assert masked("101") == "101"
    assert masked(None) == "hidden"


def test_a_number_is_shown_and_spoken_in_groups() -> None:
    assert shown("+79161234567") == "+7 916 123-45-67"
    assert shown(None) == "номер скрыт"
    assert shown("101") == "101"
    assert spoken("+79161234567") == "8 916 123 45 67"
    assert spoken("+380501234567").startswith("380 ")


def test_a_callers_number_costs_the_call_next_to_nothing() -> None:
    numbers = [f"89{n:09d}" for n in range(20_000)]
    began = time.perf_counter()
    for number in numbers:
        to_e164(number)
    assert (time.perf_counter() - began) / len(numbers) < 100e-6
