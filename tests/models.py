"""Folders that look like speech models."""

from __future__ import annotations

from pathlib import Path

from ivr.speech.models import PARTS


def put_model(folder: Path, conf: str = "--sample-frequency=8000\n") -> Path:
    """What looks like one."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()
    (folder / "conf/mfcc.conf").write_text(conf)
    return folder
