from __future__ import annotations

import ast
import logging
import sys
from collections.abc import Callable

import pytest

from directory.phones import masked
from ivr import logs
from tests.unit.test_floors import HERE

PERSONAL = {"caller", "phone", "number", "resident", "key", "keys", "digits"}
"""Fields of a log line that would tell who somebody is, or what she pressed."""


Speak = Callable[[], logging.Logger]


@pytest.fixture
def speak(logging_as_before: None) -> Callable[[], logging.Logger]:
    """Sets the logs up as the controller does; called in the test, so that `capsys` hears them."""

    def set_up() -> logging.Logger:
        logs.set_up("info")
        return logging.getLogger("ivr.try")

    return set_up


def test_a_line_is_static_text_with_its_fields(speak: Speak, capsys: pytest.CaptureFixture[str]) -> None:
    speak().info("call arrived", extra={"call": "dozvon-1.2", "caller": masked("+79000000001")})
    line = capsys.readouterr().err
    assert line.endswith("INFO ivr.try: call arrived · call=dozvon-1.2 caller=+7900•••••01\n")


def test_a_line_without_fields_has_no_tail(speak: Speak, capsys: pytest.CaptureFixture[str]) -> None:
    speak().warning("AMI link lost")
    assert capsys.readouterr().err.endswith("WARNING ivr.try: AMI link lost\n")


def test_the_fields_stand_on_the_first_line_of_a_trace(
    speak: Speak, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ValueError("a bug")
    except ValueError:
        speak().exception("a tick failed", extra={"work": "look"})
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("a tick failed · work=look")
    assert rest[-1] == "ValueError: a bug"


def test_what_is_below_the_level_is_not_said(speak: Speak, capsys: pytest.CaptureFixture[str]) -> None:
    speak().debug("not said")
    assert capsys.readouterr().err == ""


def test_logs_go_to_standard_error(speak: Speak) -> None:
    speak()
    ours = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    assert [handler.stream for handler in ours] == [sys.stderr]


@pytest.mark.parametrize("number", ["+79161234567", "+74951230001", "+491701234567", "89161234567"])
def test_a_masked_number_cannot_be_dialled(number: str) -> None:
    shown = masked(number)
    assert number not in shown
    assert sum(char.isdigit() for char in shown) <= len(number) - 4


@pytest.mark.parametrize("name", HERE)
def test_who_calls_is_masked_wherever_it_is_logged(name: str) -> None:
    """In `log.…(…, extra={"caller": x})` the x is masked(…)."""
    for node in ast.walk(ast.parse(HERE[name].read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")):
            continue
        for keyword in node.keywords:
            if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                for field, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                    if isinstance(field, ast.Constant) and field.value in PERSONAL:
                        assert ast.unparse(value).startswith("masked("), (
                            f"{name}:{node.lineno}: {field.value}"
                        )


@pytest.mark.parametrize("name", HERE)
def test_the_text_of_a_log_line_is_static(name: str) -> None:
    for node in ast.walk(ast.parse(HERE[name].read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.") and node.args:
            assert isinstance(node.args[0], ast.Constant), f"{name}:{node.lineno}: data belongs in fields"
