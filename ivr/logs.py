"""Logs: static text with its data in fields, one line each, on standard error."""

from __future__ import annotations

import logging
import sys

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Fields(logging.Formatter):
    """2026-11-21 02:10:00,123 INFO ivr.switchboard: call arrived · call=dozvon-1.2 caller=+7916•••••67"""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = " ".join(f"{name}={value}" for name, value in record.__dict__.items() if name not in _OWN)
        if not fields:
            return line
        first, newline, trace = line.partition("\n")
        return f"{first} · {fields}{newline}{trace}"


def set_up(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Fields("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("panoramisk").setLevel(logging.CRITICAL)  # ivr.asterisk.manager says it in our words
