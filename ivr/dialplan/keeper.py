"""The rules in force: a good edit is taken up with the next call, a broken one is refused and the old stay."""

from __future__ import annotations

import logging
from pathlib import Path

from ivr.dialplan import rules
from ivr.errors import DialplanError, DozvonError

log = logging.getLogger(__name__)


class Keeper:
    """Holds one version of the rules; `look()` sees whether the admin has edited them."""

    def __init__(self, folder: Path) -> None:
        """Raises DialplanError: the first version must be good."""
        self.folder = folder
        self._seen = self._stamps()
        self.rules = rules.read(folder)
        self.refused: DozvonError | None = None

    def look(self) -> bool:
        """True when there is a new version, and it is good. Cheap: a stat a file."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self.rules = rules.read(self.folder)
        except DialplanError as error:
            self.refused = error
            log.error("the edit of the dialplan is refused, the old rules stay: %s", error)
            return False
        self.refused = None
        return True

    def _stamps(self) -> list[tuple[str, int, int]]:
        # Phrases count as well: a new wording is an edit of the dialplan.
        files = [self.folder / name for name in rules.FILES] + sorted(self.folder.glob("phrases/*.toml"))
        return [(f.name, *_stamp(f)) for f in files]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)
