from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from appliance.native import Native
from ears import rutts, speech, ukrainian
from ears.rutts import accented
from ears.speech import (
    RATE,
    Source,
    Speaker,
    Spoken,
    _pack,
    read_pack,
    sources,
    synthesise,
    write_pack,
)
from ears.texts import Line
from ivr.speech.pronounce import PHONES, Phones
from ivr.speech.sound import Samples

ALLOWED = {
    "GPL-2.0-or-later", "GPL-3.0-or-later", "LGPL-2.1-only", "MIT", "CC-BY-3.0", "CC-BY-SA-4.0",
    "LicenseRef-BSD-like-festvox-ru",
}  # fmt: skip
"""Licences that let a model be given away that was made from what they are for."""
VOICES = Path(__file__).resolve().parents[2] / "bench" / "speech" / "models.toml"


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


# whose speech


def russians() -> set[str]:
    """RHVoice's: only they could be among the benchmark's."""
    return {one.name for one in sources() if one.engine == "rhvoice" and one.language == "russian"}


def test_every_source_has_a_licence_that_lets_the_model_be_given_away() -> None:
    assert {source.name: source.licence for source in sources() if source.licence not in ALLOWED} == {}


def test_no_voice_for_non_commercial_use_is_among_the_sources() -> None:
    voices = tomllib.loads(VOICES.read_text("utf-8"))["voices"]
    assert russians().isdisjoint(voices["non_commercial"])
    assert russians() == set(voices["free"])


def test_the_benchmark_knows_which_voices_our_model_learned_from() -> None:
    models = tomllib.loads(VOICES.read_text("utf-8"))["model"]
    (ours,) = (model for model in models if "dozvon-ru-8k" in model["names"])
    assert set(ours["trained_on"]) == russians()


def test_a_variant_that_is_kept_out_is_not_one_of_those_learned_from() -> None:
    for source in sources():
        assert set(source.variants).isdisjoint(source.kept_out)


# packs


def test_a_pack_is_read_as_it_was_written(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    spoken = [
        Spoken(voice, said, dice.integers(-32768, 32767, length).astype(np.int16))
        for voice, said, length in [
            ("anna", ("не-а", "пять"), 500),
            ("espeak-ng+m5", ("да",), 1),
            ("nsh", (), 77),
        ]
    ]
    write_pack(tmp_path / "new" / "pack.npz", spoken)
    read = list(read_pack(tmp_path / "new" / "pack.npz"))
    assert [(one.voice, one.words) for one in read] == [(one.voice, one.words) for one in spoken]
    assert all((got.pcm == put.pcm).all() for got, put in zip(read, spoken, strict=True))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["pack.npz"]


def test_a_pack_of_words_stressed_otherwise_has_another_name() -> None:
    source, lines = Source("ru_tts", "MIT", "ru_tts"), [Line("щавель. лифт.")]
    names = {_pack(source, 0, lines, said) for said in ({}, {"щавель": "ща+вель"}, {"щавель": "щаве+ль"})}
    assert len(names) == 3
    assert _pack(source, 0, lines, {"дом": "до+м"}) == _pack(source, 0, lines, {})


def test_a_pack_of_nothing_is_read_as_nothing(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.npz", [])
    assert list(read_pack(tmp_path / "pack.npz")) == []


def test_a_pack_that_is_there_is_not_spoken_again_and_one_of_other_lines_is(
    tmp_path: Path, native: Native, monkeypatch: pytest.MonkeyPatch, one_core: None
) -> None:
    said = []

    def say(_: Speaker, line: Line) -> Spoken:
        said.append(line.text)
        return Spoken("anna", line.words, np.ones(len(line.text), np.int16))

    monkeypatch.setattr(Speaker, "say", say)
    monkeypatch.setattr(speech, "PACK", 2)
    anna = Source("anna", "GPL-2.0-or-later", "rhvoice")
    lines = [Line("раз."), Line("два."), Line("три.")]
    first = synthesise(anna, lines, native, tmp_path, said_so)
    assert said == ["раз.", "два.", "три."]
    assert synthesise(anna, lines, native, tmp_path, said_so) == first
    assert len(said) == 3
    changed = synthesise(anna, [*lines[:2], Line("три.", speed=120)], native, tmp_path, said_so)
    assert said[3:] == ["три."]
    assert (changed[0] == first[0], changed[1] == first[1]) == (True, False)


# voices


def said_so(words: Iterable[str]) -> dict[str, list[Phones]]:
    return {"двадцать": [("d", "v", "A", "ts", "@", "t;")], "пять": [("p;", "A", "t;")]}


@pytest.mark.parametrize(
    ("source", "program"),
    [
        (Source("anna", "GPL-2.0-or-later", "rhvoice"), "RHVoice-test"),
        (Source("espeak-ng", "GPL-3.0-or-later", "espeak-ng", variants=("f2",)), "espeak-ng"),
        (Source("ru_tts", "MIT", "ru_tts", variants=("woman",)), ""),
    ],
)
def test_a_voice_says_a_line_as_pieces_of_speech_at_12_khz(
    tmp_path: Path, native: Native, one_core: None, source: Source, program: str
) -> None:
    if not (native.root / "usr/bin" / program).exists():
        pytest.skip(f"no {program} in {native.root}")
    if source.engine == "ru_tts":
        pytest.importorskip("_ru_tts_native", reason="the extra `ears` is not installed")
    slow, fast = (
        list(
            read_pack(synthesise(source, [Line("двадцать пять.", speed=speed)], native, tmp_path, said_so)[0])
        )
        for speed in (70, 150)
    )
    (one,), (other,) = slow, fast
    assert one.words == ("двадцать", "пять")
    assert one.voice == "+".join((source.name, *source.variants))
    assert 0.8 < one.seconds < 3.5
    assert other.seconds < 0.8 * one.seconds
    assert 15_000 < np.abs(one.pcm).max() < 30_000
    quiet = one.pcm[: RATE // 5]
    assert np.abs(quiet).max() == 0


def test_ru_tts_is_told_where_the_stress_is() -> None:
    assert accented({"оценка": [("@", "ts", "E", "n", "k", "a")], "в": [("v",)]}) == {
        "оценка": "оце+нка", "в": "в",
    }  # fmt: skip
    assert accented({"алло": [("a", "l", "O")]}) == {"алло": "алло+"}, "two letters of one sound"
    assert accented({"сша": [("s", "S", "A", "A")]}) == {"сша": "сша"}, "letters and sounds do not match"


def test_ru_tts_is_given_words_with_their_stress(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    def say(text: str, **how: object) -> Samples:
        said.append((text, how))
        return np.ones(100, np.float32)

    monkeypatch.setattr(rutts, "say", say)
    source = Source("ru_tts", "MIT", "ru_tts", variants=("woman",))
    Speaker(source, Native(Path("/nowhere")), {}, {"пять": "пя+ть"}).say(Line("пять. опять.", 90, 110))
    assert said == [("пя+ть. опять.", {"woman": True, "speed": 90, "pitch": 110})]


@pytest.mark.parametrize(
    ("phones", "written"),
    [
        ("p; A t;", "піа́ть"),
        ("tS; i t Y r; i", "чіти́рі"),
        ("j i d; i n; I ts @", "їдіні́ца"),
        ("@ b j a v l; E n; i j i", "аб'явлє́нії"),
        ("j i S; O", "їшьо́"),
        ("d v A ts @ t;", "два́цать"),
        ("g O t", "ґо́т"),
        ("n; E t", "нє́т"),
        ("t r O j k @", "тро́йка"),
        ("s; E m;", "сє́м"),
        ("k r O f;", "кро́ф"),
    ],
)
def test_a_ukrainian_voice_is_given_russian_words_in_its_letters(phones: str, written: str) -> None:
    assert ukrainian.in_letters(tuple(phones.split())) == written


def test_a_ukrainian_voice_says_other_letters_of_the_same_words(
    tmp_path: Path, native: Native, monkeypatch: pytest.MonkeyPatch, one_core: None
) -> None:
    read: list[str] = []

    def by_program(_: Speaker, line: Line, text: str, variant: str) -> tuple[Samples, int]:
        read.append(text)
        return np.ones(100, np.float32), RATE

    monkeypatch.setattr(Speaker, "_by_program", by_program)
    natalia = Source("natalia", "LGPL-2.1-only", "rhvoice", language="ukrainian")
    (pack,) = synthesise(natalia, [Line("двадцать, пять.")], native, tmp_path, said_so)
    assert read == ["два́цать, піа́ть."]
    assert [one.words for one in read_pack(pack)] == [("двадцать", "пять")]


def test_every_phone_is_written_in_ukrainian_letters() -> None:
    assert all(ukrainian.in_letters((phone,)) for phone in PHONES if phone != "j")


def test_ru_tts_has_a_man_and_a_woman() -> None:
    pytest.importorskip("_ru_tts_native", reason="the extra `ears` is not installed")
    man, woman, again = (
        rutts.say("четы+ре", woman=woman, speed=100, pitch=100) for woman in (False, True, False)
    )
    assert 0.3 < len(man) / rutts.RATE < 2
    assert (man == again).all()
    assert len(man) != len(woman) or (man != woman).any()


def test_a_line_is_always_said_by_the_same_mouth_and_lines_by_all_of_them() -> None:
    source = Source("espeak-ng", "GPL-3.0-or-later", "espeak-ng", variants=("m1", "m2"), kept_out=("m5",))
    speaker = Speaker(source, Native(Path("/nowhere")), {}, {})
    mouths = [speaker._variant(Line(f"слово {chr(code)}")) for code in range(ord("а"), ord("я"))]
    assert set(mouths) == {"m1", "m2", "m5"}
    assert mouths == [speaker._variant(Line(f"слово {chr(code)}")) for code in range(ord("а"), ord("я"))]
