"""The rules in force: a good edit is taken up with the next call, a broken one is refused and the old stay."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from ivr.dialplan import rules
from ivr.errors import DialplanError, DozvonError

log = logging.getLogger(__name__)


class Keeper:
    """Holds one version of the rules; `look()` sees whether the admin has edited them."""

    def __init__(self, folder: Path, good: Path | None = None, categories: Collection[str] = ()) -> None:
        """`good` is where a copy of the last good version lies: a start falls back on it.

        Raises DialplanError when neither can be read.
        """
        self.folder, self._good, self._categories = folder, good, categories
        self.source = folder
        """The folder that is in force."""
        self.refused: DozvonError | None = None
        self._seen = self._stamps()
        try:
            self.rules = rules.read(folder, categories)
        except DialplanError as error:
            self.fall_back(error)

    def look(self) -> bool:
        """True when there is a new version, and it is good. Cheap: a stat a file."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self.rules = rules.read(self.folder, self._categories)
        except DialplanError as error:
            self.refused = error
            log.error("the edit of the dialplan is refused, the old rules stay: %s", error)
            return False
        self.refused = None
        return True

    def keep(self) -> None:
        """The admin's folder is in force, phrases and all: keep a copy for a start that finds it broken."""
        self.source = self.folder
        if self._good is None:
            return
        for path in self._files():
            if path.exists():
                kept = self._good / path.relative_to(self.folder)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, kept)

    def fall_back(self, why: DialplanError) -> None:
        """The last good version instead of what the folder says; raises `why` when there is none."""
        if self._good is None or self.source == self._good or not self._good.is_dir():
            raise why
        self.rules = rules.read(self._good, self._categories)
        self.source, self.refused = self._good, why
        log.error("the dialplan is broken, the last good one is in force: %s", why)

    def _stamps(self) -> list[tuple[str, int, int]]:
        return [(path.name, *_stamp(path)) for path in self._files()]

    def _files(self) -> list[Path]:
        # Phrases count as well: a new wording is an edit of the dialplan.
        return [self.folder / name for name in rules.FILES] + sorted(self.folder.glob("phrases/*.toml"))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)
