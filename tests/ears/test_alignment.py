from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ears.alignment import LABELS, SILENCE, Aligned, align, read_aligned, write_aligned
from ears.speech import RATE, Spoken
from ivr.speech.pronounce import PHONES

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

TONES = {"A": (700, 1200, 2500), "I": (300, 2200, 3000), "U": (350, 700, 2100)}
"""Hz: three vowels as the three tones that matter of each."""
LEXICON = {"а": (("A",),), "и": (("I",),), "у": (("U",),), "аи": (("A", "I"),), "уа": (("U", "A"),)}
NEAR = 0.03

Segment = tuple[float, float, str]
"""From, to (seconds), phone."""


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def label(phone: str) -> int:
    return PHONES.index(phone) + 1


def vowel(phone: str, seconds: float) -> npt.NDArray[np.float64]:
    moments = np.arange(round(seconds * RATE)) / RATE
    swelling = np.minimum(1, np.minimum(moments, seconds - moments) / 0.005)
    return swelling * np.sum([np.sin(2 * np.pi * hz * moments) / 3 for hz in TONES[phone]], axis=0)


def made_up(
    voice: str, words: Sequence[str], dice: np.random.Generator, pause: tuple[float, float] = (0.2, 0.4)
) -> tuple[Spoken, list[Segment]]:
    """Words with pauses between them, and the truth about them."""
    sound = [np.zeros(round(0.2 * RATE))]
    truth, now = [], 0.2
    for word in words:
        for phone in LEXICON[word][0]:
            seconds = round(float(dice.uniform(0.1, 0.3)), 3)
            sound.append(vowel(phone, seconds))
            truth.append((now, now + seconds, phone))
            now += seconds
        quiet = round(float(dice.uniform(*pause)), 3)
        sound.append(np.zeros(round(quiet * RATE)))
        now += quiet
    whole = np.concatenate(sound) + dice.normal(0, 0.002, sum(map(len, sound)))
    return Spoken(voice, tuple(words), (whole * 20_000).astype(np.int16)), truth


@pytest.fixture(scope="module")
def utterances() -> list[tuple[Spoken, list[Segment]]]:
    dice = np.random.default_rng(5)
    words = list(LEXICON)
    return [made_up(f"toy+{number}", dice.choice(words, 4).tolist(), dice) for number in range(80)]


def runs(labels: npt.NDArray[np.int16]) -> list[Segment]:
    found, at = [], 0
    for number, run in groupby(labels.tolist()):
        length = len(list(run))
        if number != SILENCE:
            found.append((at / 100, (at + length) / 100, PHONES[number - 1]))
        at += length
    return found


def test_made_up_speech_is_aligned_within_30_ms(utterances: list[tuple[Spoken, list[Segment]]]) -> None:
    pieces = list(align([spoken for spoken, _ in utterances], LEXICON))
    late = []
    for spoken, truth in utterances:
        mine = [piece for piece in pieces if piece.voice == spoken.voice]
        found = runs(np.concatenate([piece.labels for piece in mine]))
        assert [phone for _, _, phone in found] == [phone for _, _, phone in truth]
        for (begin, end, _), (begins, ends, _) in zip(found, truth, strict=True):
            late += [begin - begins, end - ends]
    assert np.mean(np.abs(late) <= NEAR) > 0.98
    assert abs(np.mean(late)) < 0.01, "everything is early, or everything is late"


def test_what_was_said_with_pauses_is_cut_at_them(utterances: list[tuple[Spoken, list[Segment]]]) -> None:
    pieces = list(align([spoken for spoken, _ in utterances], LEXICON))
    for spoken, truth in utterances:
        mine = [piece for piece in pieces if piece.voice == spoken.voice]
        assert [piece.words for piece in mine] == [(word,) for word in spoken.words]
        joined = np.concatenate([piece.pcm for piece in mine])
        assert (joined == spoken.pcm[: len(joined)]).all()
        assert len(joined) / RATE > truth[-1][1]
        for piece in mine:
            assert len(piece.pcm) == len(piece.labels) * RATE // 100
            assert piece.labels[0] == piece.labels[-1] == SILENCE


def test_each_half_of_a_pause_goes_to_the_piece_beside_it(
    utterances: list[tuple[Spoken, list[Segment]]],
) -> None:
    pieces = list(align([spoken for spoken, _ in utterances], LEXICON))
    for one, following in pairwise(pieces):
        if one.voice == following.voice:
            after = len(one.labels) - 1 - np.flatnonzero(one.labels)[-1]
            assert abs(int(np.flatnonzero(following.labels)[0]) - int(after)) <= 2


def test_words_said_without_a_pause_stay_in_one_piece_and_no_silence_is_put_between_them() -> None:
    dice = np.random.default_rng(6)
    spoken = [made_up(f"toy+{number}", ["а", "и", "у"], dice, (0.0, 0.0))[0] for number in range(60)]
    spoken = [Spoken(one.voice, one.words, np.pad(one.pcm, (0, RATE // 5))) for one in spoken]
    pieces = list(align(spoken, LEXICON))
    assert [piece.words for piece in pieces] == [one.words for one in spoken]
    inside = [
        piece.labels[np.flatnonzero(piece.labels)[0] : np.flatnonzero(piece.labels)[-1]] for piece in pieces
    ]
    assert np.mean([(labels == SILENCE).any() for labels in inside]) < 0.1


def test_a_piece_with_more_states_than_frames_is_left_out(
    utterances: list[tuple[Spoken, list[Segment]]],
) -> None:
    short = Spoken("short+1", ("а", "и", "у"), np.zeros(RATE // 5, np.int16))
    pieces = list(align([*(spoken for spoken, _ in utterances[:70]), short], LEXICON))
    assert pieces
    assert all(piece.voice != "short+1" for piece in pieces)


def test_each_voice_is_aligned_alone_and_all_come_out(utterances: list[tuple[Spoken, list[Segment]]]) -> None:
    two = [
        Spoken(f"{'one' if number % 2 else 'two'}+{number}", spoken.words, spoken.pcm)
        for number, (spoken, _) in enumerate(utterances[:40])
    ]
    pieces = list(align(two, LEXICON))
    assert {piece.voice for piece in pieces} == {spoken.voice for spoken in two}


def test_a_source_that_says_words_in_its_own_way_is_aligned_as_it_says_them(
    utterances: list[tuple[Spoken, list[Segment]]],
) -> None:
    backwards = {word: tuple(way[::-1] for way in ways) for word, ways in LEXICON.items()}
    pieces = list(align([spoken for spoken, _ in utterances], backwards, {"toy": LEXICON}))
    for spoken, truth in utterances:
        mine = [piece.labels for piece in pieces if piece.voice == spoken.voice]
        assert [phone for _, _, phone in runs(np.concatenate(mine))] == [phone for _, _, phone in truth]


def test_the_same_speech_is_aligned_the_same(utterances: list[tuple[Spoken, list[Segment]]]) -> None:
    spoken = [spoken for spoken, _ in utterances[:40]]
    one, other = (list(align(spoken, LEXICON)) for _ in "ab")
    assert all((a.labels == b.labels).all() for a, b in zip(one, other, strict=True))


def test_what_is_aligned_is_read_as_it_was_written(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    pieces = [
        Aligned(
            voice, words, dice.integers(-32768, 32767, 120 * frames).astype(np.int16),
            dice.integers(0, LABELS, frames).astype(np.int16),
        )
        for voice, words, frames in [("anna", ("не-а", "да"), 7), ("espeak-ng+m1", (), 1), ("nsh", ("ёж",), 30)]
    ]  # fmt: skip
    write_aligned(tmp_path / "new" / "pieces.npz", pieces)
    read = read_aligned(tmp_path / "new" / "pieces.npz")
    assert [(one.voice, one.words) for one in read] == [(one.voice, one.words) for one in pieces]
    for got, put in zip(read, pieces, strict=True):
        assert (got.pcm == put.pcm).all()
        assert (got.labels == put.labels).all()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["pieces.npz"]
