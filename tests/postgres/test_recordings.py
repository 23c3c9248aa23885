"""A recording's way into the ledger on a real Postgres: attached once, whatever dies in between; or said lost."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import sound
from ivr.ledger import Ledger
from recordings import audio, keeper

from .calls import NOON, TALKED, switchboard, tell

ENDED = NOON + timedelta(seconds=60)
SETTLED = ENDED + timedelta(seconds=5)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


async def ended_call(ledger: Ledger) -> str:
    call = tell(switchboard(ledger), *TALKED).id
    await ledger.settled()
    return call


def recorded(spool: Path, call: str, at: datetime = ENDED) -> Path:
    """What MixMonitor leaves of a call: 440 Hz from the resident, 1000 Hz to her."""
    raw = spool / f"{call}.raw"
    both = np.stack([sound.tone(440, 1), sound.tone(1000, 1)], axis=1)
    raw.write_bytes(both.astype("<i2").tobytes())
    os.utime(raw, (at.timestamp(), at.timestamp()))
    return raw


async def look(
    ledger: Ledger, spool: Path, kept: Path, at: datetime = SETTLED, take_in: Any = audio.take_in
) -> int:
    return await keeper.look(ledger, take_in, spool, kept, at, asterisk="dozvon")


async def state(ledger: Ledger, call: str) -> dict[str, Any]:
    row = await ledger.one("recordings.of_call", call=call)
    assert row is not None
    return dict(row)


async def test_a_recording_is_expected_with_its_call_and_attached_after_it(
    ledger: Ledger, spool: Path, kept: Path
) -> None:
    call = await ended_call(ledger)
    assert (await state(ledger, call))["status"] == "capturing"
    raw = recorded(spool, call)
    assert await look(ledger, spool, kept) == 1
    row = await state(ledger, call)
    wav = kept / row["path"]
    assert (row["status"], row["seconds"], row["bytes"]) == ("attached", 1.0, wav.stat().st_size)
    assert row["sha256"] == hashlib.sha256(wav.read_bytes()).hexdigest()
    assert row["path"] == f"2026/11/18/{call}.wav"
    assert min(row["voiced_in"], row["voiced_out"]) > 0.9
    assert (audio.dominant_hz(wav, audio.LEFT), audio.dominant_hz(wav, audio.RIGHT)) == (440, 1000)
    assert not raw.exists()
    assert await look(ledger, spool, kept) == 0


async def test_a_call_that_goes_on_is_left_to_asterisk(ledger: Ledger, spool: Path, kept: Path) -> None:
    call = tell(switchboard(ledger), *TALKED[:3]).id
    await ledger.settled()
    recorded(spool, call)
    assert await look(ledger, spool, kept) == 0


async def test_a_file_asterisk_still_writes_is_left_alone(ledger: Ledger, spool: Path, kept: Path) -> None:
    call = await ended_call(ledger)
    recorded(spool, call, at=SETTLED)
    assert await look(ledger, spool, kept, at=SETTLED) == 0
    assert await look(ledger, spool, kept, at=SETTLED + timedelta(seconds=1)) == 1


async def test_a_recording_that_never_came_is_said_to_be_lost_and_found_it_is_attached(
    ledger: Ledger, spool: Path, kept: Path
) -> None:
    call = await ended_call(ledger)
    await look(ledger, spool, kept, at=ENDED + keeper.LOST_AFTER)
    assert (await state(ledger, call))["status"] == "capturing"
    await look(ledger, spool, kept, at=ENDED + keeper.LOST_AFTER + timedelta(seconds=1))
    row = await state(ledger, call)
    assert (row["status"], row["why"]) == ("lost", "Asterisk left no file")


async def test_who_dies_before_attaching_attaches_at_the_next_look(
    ledger: Ledger, spool: Path, kept: Path
) -> None:
    call = await ended_call(ledger)
    raw = recorded(spool, call)

    def dies(raw: Path, wav: Path) -> audio.Audio:
        audio.take_in(raw, wav)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await look(ledger, spool, kept, take_in=dies)
    assert raw.exists()
    assert (await state(ledger, call))["status"] == "capturing"
    assert await look(ledger, spool, kept) == 1
    row = await state(ledger, call)
    assert row["sha256"] == hashlib.sha256((kept / row["path"]).read_bytes()).hexdigest()


async def test_who_dies_after_attaching_leaves_no_raw_file_for_ever(
    ledger: Ledger, spool: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await ended_call(ledger)
    raw = recorded(spool, call)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", _dies)
        with pytest.raises(KeyboardInterrupt):
            await look(ledger, spool, kept)
    before = await state(ledger, call)
    assert before["status"] == "attached"
    assert raw.exists()
    assert await look(ledger, spool, kept, at=SETTLED + keeper.LOST_AFTER) == 0
    assert not raw.exists()
    assert await state(ledger, call) == before


def _dies(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


async def test_one_file_that_cannot_be_read_keeps_nobody_elses_from_the_ledger(
    ledger: Ledger, spool: Path, kept: Path
) -> None:
    broken, good = [await ended_call(ledger) for _ in range(2)]
    for call in (broken, good):
        recorded(spool, call)

    def take_in(raw: Path, wav: Path) -> audio.Audio:
        if raw.stem == broken:
            raise OSError("the disk says no")
        return audio.take_in(raw, wav)

    assert await look(ledger, spool, kept, take_in=take_in) == 1
    assert (await state(ledger, good))["status"] == "attached"
    assert (await state(ledger, broken))["status"] == "capturing"
    assert await look(ledger, spool, kept) == 1


async def test_an_empty_file_is_attached_as_silence(ledger: Ledger, spool: Path, kept: Path) -> None:
    call = await ended_call(ledger)
    recorded(spool, call).write_bytes(b"")
    os.utime(spool / f"{call}.raw", (ENDED.timestamp(), ENDED.timestamp()))
    assert await look(ledger, spool, kept) == 1
    assert (await state(ledger, call))["seconds"] == 0


async def test_a_file_of_no_known_call_is_never_removed(ledger: Ledger, spool: Path, kept: Path) -> None:
    raw = recorded(spool, "dozvon-9.9")
    await look(ledger, spool, kept, at=SETTLED + 10 * keeper.LOST_AFTER)
    assert raw.exists()


# -- voice messages


@pytest.fixture
def machine(spool: Path) -> Path:
    folder = spool / "messages"
    folder.mkdir()
    return folder


def left(machine: Path, call: str, seconds: float = 2.5, hz: float = 440) -> Path:
    """What Record leaves: a mono WAV."""
    wav = machine / f"{call}.wav"
    sound.to_wav(sound.tone(hz, seconds), wav)
    return _settled(wav)


def _settled(wav: Path) -> Path:
    os.utime(wav, (ENDED.timestamp(), ENDED.timestamp()))
    return wav


async def hear(ledger: Ledger, machine: Path, kept: Path, take_in: Any = audio.take_in_message) -> int:
    return await keeper.look_for_spoken(keeper.MESSAGES, ledger, take_in, machine, kept, SETTLED)


async def message(ledger: Ledger, call: str) -> dict[str, Any] | None:
    row = await ledger.one("recordings.message_of_call", call=call)
    return None if row is None else dict(row)


async def test_a_message_is_attached_once_with_its_length_and_voice(
    ledger: Ledger, machine: Path, kept: Path
) -> None:
    call = await ended_call(ledger)
    wav = left(machine, call)
    assert await hear(ledger, machine, kept) == 1
    row = await message(ledger, call)
    assert row is not None
    file = kept / row["path"]
    assert row["path"] == f"2026/11/18/{call}-message.wav"
    assert (row["seconds"], row["bytes"], row["attached_at"]) == (2.5, file.stat().st_size, SETTLED)
    assert row["voiced"] > 2.3
    assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert audio.dominant_hz(file, 0) == 440
    assert file.stat().st_mode & 0o077 == 0
    assert not wav.exists()
    assert await hear(ledger, machine, kept) == 0


async def test_a_message_without_a_word_is_silence(ledger: Ledger, machine: Path, kept: Path) -> None:
    call = await ended_call(ledger)
    sound.to_wav(sound.silence(3), left(machine, call))
    _settled(machine / f"{call}.wav")
    assert await hear(ledger, machine, kept) == 1
    row = await message(ledger, call)
    assert row is not None and (row["seconds"], row["voiced"]) == (3.0, 0.0)


async def test_a_word_and_a_hang_up_are_kept(ledger: Ledger, machine: Path, kept: Path) -> None:
    call = await ended_call(ledger)
    left(machine, call, seconds=0.5)
    assert await hear(ledger, machine, kept) == 1
    row = await message(ledger, call)
    assert row is not None and row["voiced"] > 0.4


async def test_what_a_killed_asterisk_had_heard_is_kept_whatever_its_header_says(
    ledger: Ledger, machine: Path, kept: Path
) -> None:
    call = await ended_call(ledger)
    wav = left(machine, call)
    whole = wav.read_bytes()
    wav.write_bytes(whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:-1])
    _settled(wav)
    assert await hear(ledger, machine, kept) == 1
    row = await message(ledger, call)
    assert row is not None and row["seconds"] == 2.5 - 1 / 8000
    assert audio.dominant_hz(kept / row["path"], 0) == 440


@pytest.mark.parametrize("torn", [b"", b"RIFF", b"\0" * 4096])
async def test_a_torn_message_is_set_aside_and_nobody_elses_waits(
    ledger: Ledger, machine: Path, kept: Path, torn: bytes
) -> None:
    broken, good = [await ended_call(ledger) for _ in range(2)]
    left(machine, broken).write_bytes(torn)
    _settled(machine / f"{broken}.wav")
    left(machine, good)
    assert await hear(ledger, machine, kept) == 1
    assert await message(ledger, good)
    assert await message(ledger, broken) is None
    assert (machine / f"{broken}.wav.torn").read_bytes() == torn
    assert not list(kept.rglob(f"{broken}*"))


async def test_a_message_in_a_call_that_goes_on_is_left_to_asterisk(
    ledger: Ledger, machine: Path, kept: Path
) -> None:
    call = tell(switchboard(ledger), *TALKED[:3]).id
    await ledger.settled()
    wav = left(machine, call)
    assert await hear(ledger, machine, kept) == 0
    assert wav.exists()


async def test_a_message_of_no_known_call_is_never_removed(ledger: Ledger, machine: Path, kept: Path) -> None:
    wav = left(machine, "dozvon-9.9")
    assert await hear(ledger, machine, kept) == 0
    assert wav.exists()


async def test_who_dies_after_attaching_a_message_drops_its_file_at_the_next_look(
    ledger: Ledger, machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await ended_call(ledger)
    wav = left(machine, call)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", _dies)
        with pytest.raises(KeyboardInterrupt):
            await hear(ledger, machine, kept)
    before = await message(ledger, call)
    assert before and wav.exists()
    assert await hear(ledger, machine, kept) == 0
    assert not wav.exists()
    assert await message(ledger, call) == before
