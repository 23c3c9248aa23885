from __future__ import annotations

import hashlib
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

from recordings import audio
from recordings.audio import LINE, RATE, RESIDENT, dominant_hz, excerpt, take_in, tone_seconds


def tone(hz: float, seconds: float, level: float = 0.3) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


def raw(file: Path, resident: np.ndarray, line: np.ndarray) -> Path:
    file.write_bytes((np.stack([resident, line], axis=1) * 32767).astype("<i2").tobytes())
    return file


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """12.3 s: the line speaks for 2 s, the resident for 5, then both are silent."""
    resident = np.concatenate([silence(3), tone(440, 5), silence(4.3)])
    line = np.concatenate([tone(1_000, 2), silence(10.3)])
    return raw(tmp_path / "call.raw", resident, line)


def test_a_recording_is_taken_in_with_its_length_hash_and_both_voices(talk: Path, tmp_path: Path) -> None:
    taken = take_in(talk, tmp_path / "2025" / "call.wav")
    assert taken.seconds == pytest.approx(12.3)
    assert taken.voiced == pytest.approx((5, 2), abs=0.03)
    content = taken.path.read_bytes()
    assert taken.bytes == len(content)
    assert taken.sha256 == hashlib.sha256(content).hexdigest()
    with wave.open(str(taken.path)) as file:
        assert file.getparams()[:4] == (2, 2, RATE, int(12.3 * RATE))
        assert file.readframes(file.getnframes()) == talk.read_bytes()


def test_a_quiet_line_holds_no_voice(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.001, RATE)
    assert take_in(raw(tmp_path / "a.raw", noise, silence(1)), tmp_path / "a.wav").voiced == (0, 0)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01\x02\x03"])
def test_a_call_without_sound_is_a_recording_of_no_seconds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.raw").write_bytes(content)
    taken = take_in(tmp_path / "a.raw", tmp_path / "a.wav")
    assert (taken.seconds, taken.voiced, taken.bytes) == (0, (0, 0), 44)
    with wave.open(str(taken.path)) as file:
        assert file.getnframes() == 0
    assert dominant_hz(taken.path, RESIDENT) is None


def test_a_byte_too_many_is_dropped(talk: Path, tmp_path: Path) -> None:
    whole = take_in(talk, tmp_path / "whole.wav")
    talk.write_bytes(talk.read_bytes() + b"\x7f")
    assert take_in(talk, tmp_path / "odd.wav").sha256 == whole.sha256


def test_a_recording_that_cannot_be_read_to_its_end_leaves_no_wav(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(block: audio.Stereo) -> np.ndarray:
        talk.write_bytes(b"")
        return np.zeros(2)

    monkeypatch.setattr(audio, "_voiced", cut_short)
    with pytest.raises(OSError, match="became shorter"):
        take_in(talk, tmp_path / "call.wav")
    assert not (tmp_path / "call.wav").exists()


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    with (tmp_path / "long.raw").open("wb") as file:
        file.truncate(3_600 * RATE * 4)
    tracemalloc.start()
    try:
        taken = take_in(tmp_path / "long.raw", tmp_path / "long.wav")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken.seconds == 3_600
    assert peak < 8_000_000


def test_who_whistled_what_for_how_long_is_heard_in_the_right_channel(talk: Path, tmp_path: Path) -> None:
    wav = take_in(talk, tmp_path / "call.wav").path
    assert dominant_hz(wav, RESIDENT) == pytest.approx(440, abs=10)
    assert dominant_hz(wav, LINE) == pytest.approx(1_000, abs=10)
    assert tone_seconds(wav, RESIDENT, 440) == pytest.approx(5, abs=0.2)
    assert tone_seconds(wav, LINE, 440) == 0


def test_an_excerpt_holds_both_voices_in_one_channel(talk: Path, tmp_path: Path) -> None:
    wav = take_in(talk, tmp_path / "call.wav").path
    cut = excerpt(wav, 1.0, 4.0, tmp_path / "cut.wav")
    with wave.open(str(cut)) as file:
        assert file.getparams()[:4] == (1, 2, RATE, 3 * RATE)
    assert tone_seconds(cut, 0, 1_000) == pytest.approx(1, abs=0.15)
    assert tone_seconds(cut, 0, 440) == pytest.approx(1, abs=0.15)


def test_an_excerpt_beyond_the_end_holds_what_there_is(talk: Path, tmp_path: Path) -> None:
    wav = take_in(talk, tmp_path / "call.wav").path
    with wave.open(str(excerpt(wav, 12.0, 99.0, tmp_path / "cut.wav"))) as file:
        assert file.getnframes() == pytest.approx(0.3 * RATE, abs=1)
