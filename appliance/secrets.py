"""The appliance's own secrets: made once, kept in `secrets.json`, readable by its owner only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from ivr.errors import MissingPart
from ivr.settings import Settings

READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that are not taken for one another when typed off a screen."""


def _token() -> str:
    return secrets.token_urlsafe(24)


def _typed() -> str:
    """About 60 bits: as strong as a SIP password needs to be, and short enough to type into a softphone."""
    return "".join(secrets.choice(READABLE) for _ in range(12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Never shown by `repr`, so never in a log."""

    ami_secret: str = field(default_factory=_token, repr=False)
    postgres_password: str = field(default_factory=_token, repr=False)
    panel_token: str = field(default_factory=_token, repr=False)
    resident_password: str = field(default_factory=_typed, repr=False)

    @classmethod
    def load(cls, home: Path) -> Secrets:
        """Those of this home; what is missing is made and kept. Two processes at once get the same."""
        home.mkdir(parents=True, exist_ok=True)
        file = home / "secrets.json"
        with _alone(home):
            kept = _read(file)
            made = cls(**{name: text for name, text in kept.items() if name in _names()})
            if asdict(made).items() - kept.items():
                _write(file, {**kept, **asdict(made)})
            file.chmod(0o600)
        return made


def _names() -> set[str]:
    return {each.name for each in fields(Secrets)}


def _read(file: Path) -> dict[str, str]:
    try:
        kept = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(kept, dict) or not all(isinstance(text, str) and text for text in kept.values()):
        raise _damaged(file, "it is not a table of texts")
    return kept


def _damaged(file: Path, why: str) -> MissingPart:
    return MissingPart(
        str(file), why, "restore it, or remove it: new secrets are made and phones must be told"
    )


def _write(file: Path, kept: dict[str, str]) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(kept, out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def completed(settings: Settings) -> Settings:
    """The settings with what was not handed in taken from the appliance: its secrets and its Postgres."""
    own = Secrets.load(settings.home)
    url = f"postgresql://dozvon:{own.postgres_password}@127.0.0.1:{settings.postgres_port}/dozvon"
    return replace(
        settings,
        database_url=settings.database_url or url,
        ami_secret=settings.ami_secret or own.ami_secret,
        panel_token=settings.panel_token or own.panel_token,
    )
