from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recordings.keeper import LOST_AFTER, MESSAGES, look, look_for_spoken
from tests.fakes import NOON, FakeStore

CALL = "dozvon-1.0"


@dataclass
class Taken:
    seconds: float = 3.0
    sha256: str = "abc"
    bytes: int = 44
    voiced: tuple[float, float] = (1.0, 2.0)


class Desk:
    """The spool, the shelf, and the ledger that waits for one call's recording."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.kept = folder / "spool", folder / "kept"
        self.spool.mkdir()
        self.store = FakeStore({"recordings.capturing": [{"call_id": CALL, "ended_at": NOON}]})
        self.take_in: Callable[[Path, Path], Taken] = lambda raw, wav: Taken()

    def record(self, settled: datetime, call: str = CALL) -> Path:
        raw = self.spool / f"{call}.raw"
        raw.write_bytes(b"\0" * 64)
        os.utime(raw, (settled.timestamp(), settled.timestamp()))
        return raw

    async def look(self, at: datetime) -> int:
        return await look(self.store, self.take_in, self.spool, self.kept, at, asterisk="dozvon")

    def did(self, statement: str) -> list[dict[str, Any]]:
        return [values for name, values in self.store.asked if name == statement]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_settled_recording_is_attached_and_leaves_the_spool(desk: Desk) -> None:
    raw = desk.record(NOON)
    assert await desk.look(NOON + timedelta(seconds=1)) == 1
    (row,) = desk.did("recordings.attach")
    assert (row["call"], row["path"], row["sha256"]) == (CALL, f"2026/11/18/{CALL}.wav", "abc")
    assert (row["seconds"], row["voiced_in"], row["voiced_out"]) == (3.0, 1.0, 2.0)
    assert not raw.exists()


async def test_a_recording_still_being_written_waits(desk: Desk) -> None:
    raw = desk.record(NOON)
    assert await desk.look(NOON + timedelta(seconds=0.9)) == 0
    assert raw.exists() and not desk.did("recordings.attach")


async def test_a_recording_the_ledger_did_not_take_stays_in_the_spool(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = desk.record(NOON)

    async def away(*_: object, **__: object) -> None:
        raise OSError("Postgres is away")

    monkeypatch.setattr(desk.store, "run", away)
    with pytest.raises(OSError, match="Postgres is away"):
        await desk.look(NOON + timedelta(seconds=2))
    assert raw.exists()


async def test_a_recording_that_never_came_is_said_to_be_lost(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.look(NOON + LOST_AFTER)
    assert not desk.did("recordings.lose"), "it may still come"
    await desk.look(NOON + LOST_AFTER + timedelta(seconds=1))
    assert desk.did("recordings.lose") == [{"call": CALL, "why": "Asterisk left no file"}]
    assert "a recording is lost" in caplog.text


async def test_a_recording_that_cannot_be_taken_in_does_not_keep_the_others_back(desk: Desk) -> None:
    """A full disk, a damaged file: the next call's recording is attached all the same."""
    desk.store.rows["recordings.capturing"] = [
        {"call_id": CALL, "ended_at": NOON},
        {"call_id": "dozvon-2.0", "ended_at": NOON},
    ]
    desk.record(NOON)
    desk.record(NOON, "dozvon-2.0")

    def take_in(raw: Path, _: Path) -> Taken:
        if raw.stem == CALL:
            raise OSError("became shorter while it was read")
        return Taken()

    desk.take_in = take_in
    assert await desk.look(NOON + timedelta(seconds=2)) == 1
    assert [row["call"] for row in desk.did("recordings.attach")] == ["dozvon-2.0"]


# -- voice messages


class Machine(Desk):
    """The same for the message left in a call."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store.rows["recordings.left_messages"] = lambda asked: [
            {"call_id": call, "ended_at": NOON, "attached": bool(self.did("recordings.attach_message"))}
            for call in asked["calls"]
        ]

    def leave(self, settled: datetime = NOON, call: str = CALL) -> Path:
        return self.record(settled, call).rename(self.spool / f"{call}.wav")

    async def look(self, at: datetime) -> int:
        return await look_for_spoken(MESSAGES, self.store, self.take_in, self.spool, self.kept, at)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_a_message_is_attached_and_leaves_the_spool(machine: Machine) -> None:
    left = machine.leave()
    assert await machine.look(NOON + timedelta(seconds=1)) == 1
    (row,) = machine.did("recordings.attach_message")
    assert (row["call"], row["path"]) == (CALL, f"2026/11/18/{CALL}-message.wav")
    assert (row["seconds"], row["voiced"]) == (3.0, 1.0)
    assert not left.exists()


async def test_a_message_still_being_spoken_waits(machine: Machine) -> None:
    left = machine.leave()
    assert await machine.look(NOON + timedelta(seconds=0.9)) == 0
    assert left.exists() and not machine.store.asked


async def test_a_message_the_ledger_did_not_take_stays_in_the_spool(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = machine.leave()

    async def away(*_: object, **__: object) -> None:
        raise OSError("Postgres is away")

    monkeypatch.setattr(machine.store, "run", away)
    with pytest.raises(OSError, match="Postgres is away"):
        await machine.look(NOON + timedelta(seconds=2))
    assert left.exists()


async def test_who_died_between_attaching_and_dropping_drops_it_at_the_next_look(machine: Machine) -> None:
    await machine.store.run("recordings.attach_message")
    left = machine.leave()
    assert await machine.look(NOON + timedelta(seconds=2)) == 0
    assert not left.exists()
    assert len(machine.did("recordings.attach_message")) == 1


async def test_a_torn_message_is_said_and_set_aside_once(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    left = machine.leave()

    def take_in(*_: Path) -> Taken:
        raise ValueError("no WAV")

    machine.take_in = take_in
    for _ in range(2):
        assert await machine.look(NOON + timedelta(seconds=2)) == 0
    assert left.with_name(f"{CALL}.wav.torn").exists() and not left.exists()
    assert caplog.messages == ["what was spoken cannot be read; it is set aside"]
    assert not machine.did("recordings.attach_message")


async def test_a_message_the_disk_has_no_room_for_is_taken_in_later(machine: Machine) -> None:
    left, take_in = machine.leave(), machine.take_in

    def full(*_: Path) -> Taken:
        raise OSError("no space left on device")

    machine.take_in = full
    assert await machine.look(NOON + timedelta(seconds=2)) == 0
    assert left.exists()
    machine.take_in = take_in
    assert await machine.look(NOON + timedelta(seconds=3)) == 1
