"""What waits to be written waits on disk: in order, bounded in memory, inherited from the dead."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ivr.call import Kind
from ivr.ledger import outbox
from ivr.ledger.outbox import Journal, Write
from tests.postgres.calls import MISSED, TALKED, switchboard, tell

Journals = list[Journal]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "home" / "outbox"


@pytest.fixture
def open_journals() -> Iterator[Journals]:
    """Closed after the test."""
    made: Journals = []
    yield made
    for journal in made:
        journal.close()


@pytest.fixture
def journal(spool: Path, open_journals: Journals) -> Journal:
    open_journals.append(Journal(spool))
    return open_journals[0]


@pytest.fixture
def heir(spool: Path, open_journals: Journals) -> Journal:
    open_journals.append(Journal(spool))
    return open_journals[-1]


def put(journal: Journal, *numbers: int) -> None:
    for number in numbers:
        journal.put("calls.note", {"key": number})


def die(journal: Journal) -> None:
    """As after a kill: the files stay as they are, and nobody holds the folder."""
    for lock in journal._locks.values():
        os.close(lock)
    journal._locks.clear()
    journal._close_file()


def waits(journal: Journal) -> list[Write]:
    """All that is to be written, in order."""
    journal.close_segment()
    return [write for segment in journal.closed for write in segment.load()]


def numbers(journal: Journal) -> list[int]:
    return [values["key"] for _, values in waits(journal)]


def files(spool: Path) -> list[Path]:
    return sorted(spool.rglob("*.jsonl"))


def write_all(journal: Journal) -> None:
    journal.close_segment()
    while journal.closed:
        journal.done(journal.closed[0])


# One journal


def test_a_write_is_on_disk_when_it_returns(journal: Journal, spool: Path) -> None:
    put(journal, 1)
    (file,) = files(spool)
    assert file.read_text("ascii") == '["calls.note",{"key":1}]\n'


def test_nothing_is_made_on_disk_before_the_first_write(journal: Journal, heir: Journal, spool: Path) -> None:
    assert journal.adopt() == 0
    heir.close()
    assert not spool.exists()


def test_personal_data_is_for_our_eyes_only(journal: Journal, spool: Path) -> None:
    put(journal, 1)
    (file,) = files(spool)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (spool, file.parent, file)]
    assert modes == [0o700, 0o700, 0o600]


def test_what_is_in_the_database_leaves_the_disk_and_a_stop_leaves_nothing(
    journal: Journal, spool: Path
) -> None:
    put(journal, 1, 2)
    write_all(journal)
    assert journal.waiting == 0
    assert files(spool) == []
    journal.close()
    assert list(spool.iterdir()) == []


VALUES: dict[str, Any] = {
    "moscow": datetime(2026, 11, 18, 9, 0, 0, 123456, tzinfo=ZoneInfo("Europe/Moscow")),
    "utc": datetime(2026, 11, 18, 9, 0, tzinfo=UTC),
    "zoneless": datetime(2026, 11, 18, 9, 0),  # noqa: DTZ001
    "wait": timedelta(days=-1, microseconds=3),
    "kind": Kind.ANSWERED,
    "detail": {"at": [datetime(2026, 11, 18, tzinfo=UTC)], "@datetime": "no moment", "deep": {"a": [None]}},
    "text": 'кв. 5, «Ёж»\n"кавычки"\ud800',
    "numbers": [1, -2.5, 10**30, True, False, None],
    "empty": [{}, [], ""],
}


def test_values_come_back_as_they_were(journal: Journal, heir: Journal) -> None:
    journal.put("calls.note", VALUES)
    die(journal)
    assert heir.adopt() == 1
    ((statement, values),) = waits(heir)
    assert (statement, values) == ("calls.note", VALUES)
    assert values["moscow"].isoformat() == "2026-11-18T09:00:00.123456+03:00"
    assert values["detail"]["at"][0].tzinfo is not None


def test_all_that_a_switchboard_writes_comes_back_as_it_was(journal: Journal, heir: Journal) -> None:
    class Both:
        def __init__(self) -> None:
            self.written: list[Write] = []

        def write(self, statement: str, /, **values: Any) -> None:
            self.written.append((statement, values))
            journal.put(statement, values)

    both = Both()
    for story in (TALKED, MISSED):
        tell(switchboard(both), *story)
    die(journal)
    assert heir.adopt() == len(both.written)
    assert waits(heir) == both.written


# Bounded, and in order


def test_a_night_without_the_database_fills_the_disk_and_not_the_memory(
    journal: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SEGMENT", 10)
    put(journal, *range(995))
    kept = [segment.writes for segment in (*journal.closed, journal._filling) if segment and segment.writes]
    assert sum(map(len, kept)) == 10 + 5, "the oldest, which is being tried, and the one that fills"
    assert journal.waiting == 995
    assert max(len(file.read_bytes().splitlines()) for file in files(spool)) == 10
    assert numbers(journal) == list(range(995))


def test_what_can_go_in_at_once_is_not_read_back(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_read", lambda file: pytest.fail(f"{file} is read"))
    for _ in range(3):
        put(journal, 1, 2)
        assert numbers(journal) == [1, 2]
        write_all(journal)


# Inherited


def test_the_dead_ones_writes_go_first_and_the_folder_goes_with_the_last(
    journal: Journal, heir: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SEGMENT", 2)
    put(journal, 1, 2, 3)
    put(heir, 4)
    heir.close_segment()
    die(journal)
    assert heir.adopt() == 3
    assert heir.waiting == 4
    assert numbers(heir) == [1, 2, 3, 4]
    heir.done(heir.closed[0])
    assert len(list(spool.iterdir())) == 2
    heir.done(heir.closed[0])
    assert len(list(spool.iterdir())) == 1
    write_all(heir)
    assert heir.waiting == 0


def test_an_adoption_in_the_middle_of_a_transaction_mixes_nothing_up(journal: Journal, heir: Journal) -> None:
    put(journal, 1)
    put(heir, 2)
    heir.close_segment()
    going_in = heir.closed[0]
    die(journal)
    heir.adopt()
    heir.done(going_in)
    assert numbers(heir) == [1]


def test_a_living_one_is_not_robbed(journal: Journal, heir: Journal) -> None:
    put(journal, 1)
    assert heir.adopt() == 0
    assert journal.adopt() == 0
    assert numbers(journal) == [1]


def test_only_one_inherits(journal: Journal, heir: Journal, spool: Path, open_journals: Journals) -> None:
    open_journals.append(other := Journal(spool))
    put(journal, 1)
    die(journal)
    assert (heir.adopt(), other.adopt(), heir.adopt()) == (1, 0, 0)


def test_an_heir_who_dies_too_is_inherited_from(
    journal: Journal, heir: Journal, spool: Path, open_journals: Journals
) -> None:
    open_journals.append(third := Journal(spool))
    put(journal, 1)
    die(journal)
    heir.adopt()
    put(heir, 2)
    die(heir)
    assert third.adopt() == 2
    assert numbers(third) == [1, 2]


def test_a_folder_taken_between_its_making_and_its_locking_is_made_again(
    journal: Journal, heir: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, robbed = outbox._lock, []

    def rob(folder: Path) -> int | None:
        if not robbed:
            robbed.append(folder)
            monkeypatch.setattr(outbox, "_lock", real)
            heir.adopt()  # sees an empty folder without a lock, and removes it
        return real(folder)

    monkeypatch.setattr(outbox, "_lock", rob)
    put(journal, 1)
    assert not robbed[0].exists()
    assert len(files(robbed[0].parent)) == 1


def test_a_folder_removed_between_its_opening_and_its_locking_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def too_late(lock: int, how: int) -> None:
        tmp_path.rmdir()  # its heir has just left
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    assert outbox._lock(tmp_path) is None


def test_a_write_cut_short_by_the_kill_is_passed_over(
    journal: Journal, heir: Journal, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(journal, 1, 2, 3)
    die(journal)
    (file,) = files(spool)
    file.write_bytes(file.read_bytes()[:-4])
    assert heir.adopt() == 2
    assert numbers(heir) == [1, 2]
    assert "a write was cut short by a kill; passed over" in caplog.messages
    write_all(heir)
    assert heir.waiting == 0


def test_a_line_that_is_not_ours_costs_no_other(
    journal: Journal, heir: Journal, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(journal, 1, 2, 3)
    die(journal)
    (file,) = files(spool)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"\0\0\xff\0\n" + lines[2])
    heir.adopt()
    assert numbers(heir) == [1, 3]
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.__dict__["line"] == 2


# The disk says no


def test_a_full_disk_stops_no_write_and_is_told_once(
    journal: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.write
    monkeypatch.setattr(outbox, "SEGMENT", 2)
    put(journal, 1)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, line: real(file, line[:5]))
        put(journal, *range(2, 8))
    put(journal, 8, 9, 10)
    assert numbers(journal) == list(range(1, 11))
    assert len(caplog.messages) == 1
    assert "No space left" in caplog.records[0].__dict__["why"]
    only_in_memory = [values["key"] for kept in journal.only_in_memory() for _, values in kept.load()]
    assert only_in_memory == list(range(1, 9))


def test_a_spool_that_cannot_be_made_stops_no_write(
    tmp_path: Path, open_journals: Journals, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    open_journals.append(journal := Journal(tmp_path / "file" / "outbox"))
    put(journal, 1, 2)
    assert numbers(journal) == [1, 2]
    assert len(caplog.messages) == 1


def test_a_folder_that_cannot_be_locked_stops_no_write(
    journal: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_lock", lambda folder: None)
    put(journal, 1)
    assert numbers(journal) == [1]
    assert os.strerror(errno.ENOLCK) in caplog.records[0].__dict__["why"]
    assert list(spool.iterdir()) == []


def test_a_folder_removed_by_hand_is_made_again(journal: Journal, spool: Path) -> None:
    put(journal, 1)
    write_all(journal)
    (folder,) = spool.iterdir()
    folder.rmdir()
    put(journal, 2)
    write_all(journal)
    put(journal, 3)
    assert len(files(spool)) == 1


def test_what_json_has_no_word_for_waits_in_memory(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    thing = object()
    put(journal, 1)
    journal.put("calls.note", {"key": thing})
    put(journal, 2)
    assert [values["key"] for _, values in waits(journal)] == [1, thing, 2]
    assert caplog.messages == ["a write waits in memory only"]
