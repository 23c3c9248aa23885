"""Every error the hotline raises on purpose.

    DozvonError
    ├── SettingsError      start refused: every wrong setting at once
    ├── DialplanError      an admin's file says something that cannot be done
    ├── DirectoryError     a row of the directory is wrong
    ├── MissingPart        something the hotline stands on cannot be had here
    ├── LedgerAway         Postgres does not answer; what was to be written waits
    ├── PeerError          a peer on the network broke the protocol
    │   └── Disconnected   … by going away
    ├── HungUp             the resident is gone; not a failure
    └── Refused            a legal move was asked of the wrong state, or by the wrong role

An error says where, what, and what to do or the near miss.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DozvonError(Exception):
    """The root: catch this to catch everything of ours and nothing else."""


class Problems(DozvonError):
    """Several things are wrong with one input; the message names them all, a line each."""

    def __init__(self, what: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  ".join([f"{what}:", *self.problems]))


class SettingsError(Problems):
    """The settings do not fit; the hotline does not start."""


class DialplanError(Problems):
    """A dialplan file is refused; the one in force stays."""


class DirectoryError(DozvonError):
    """A row of the directory cannot be taken in."""


class MissingPart(DozvonError):
    """A part cannot be had: says which, why, and what to do."""

    def __init__(self, part: str, why: str, do: str) -> None:
        super().__init__(f"{part}: {why}\n  what to do: {do}")


class LedgerAway(DozvonError):
    """Postgres does not answer. Calls go on; what was to be written waits."""


class PeerError(DozvonError):
    """A peer broke the protocol it was to speak."""


class Disconnected(PeerError):
    """A peer went away, or did not answer within its time."""


class HungUp(DozvonError):
    """The person at the other end is gone. Rises at any await of a conversation, caught once by the runner."""


class Refused(DozvonError):
    """The move is not legal from this state, or not for this role."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The near miss as the tail of a message, or nothing: "; did you mean 'queue:orders'?"."""
    near = difflib.get_close_matches(word, map(str, known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
