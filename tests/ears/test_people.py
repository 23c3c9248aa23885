from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from appliance.native import Native
from ears import belarusian
from ears.people import (
    SENTENCES,
    STAMPS,
    TRANSCRIPTS,
    asterisk_prompts,
    festival_sentences,
    recorded,
    recordings,
    stamps,
    words,
)
from ears.speech import RATE, Source, sources
from ivr.errors import MissingPart
from ivr.settings import Settings
from ivr.speech.pronounce import PHONES, Pronouncer
from tests.sounds import put_wav, tone


def test_a_recording_becomes_12_khz_with_a_moment_of_quiet_around_it(tmp_path: Path) -> None:
    one = recorded("nsh", put_wav(tmp_path / "a.wav"), ("а",))
    assert len(one.pcm) == pytest.approx(12_000 * 1.4, abs=2)
    loudest = np.abs(np.fft.rfft(one.pcm[RATE // 5 : RATE // 5 + RATE])).argmax()
    assert loudest == 1000
    assert np.abs(one.pcm).max() / 32767 == pytest.approx(0.7, abs=0.02)


def test_festivals_sentences_are_read_without_their_stress_marks(tmp_path: Path) -> None:
    folder = tmp_path / SENTENCES
    put_wav(folder / "wav" / "ru_1.wav")
    (folder / "etc").mkdir()
    (folder / "etc" / "txt.done.data").write_text('( ru_1 "Дал+екий л+ес, кто-то - там." )\n', "utf-8")
    (one,) = festival_sentences(Source("nsh", "x"), folder)
    assert one.words == ("далекий", "лес", "кто-то", "там")


def test_prompts_with_digits_are_left_for_testing(tmp_path: Path) -> None:
    for name in ("hello", "option", "digits/1", "long", "greet"):
        put_wav(tmp_path / f"{name}.wav", seconds=20 if name == "long" else 0.5)
    transcripts = (
        "hello: Добрый день!\noption: Нажмите 1\ndigits/1: один\nlong: слова и слова\n"
        "absent: нет такого\ngreet: [гудок] да\n"
    )
    taken = asterisk_prompts(Source("ivrvoice", "CC-BY-3.0"), tmp_path, transcripts)
    assert [one.words for one in taken] == [("добрый", "день")]


def test_a_digit_that_a_prompt_says_as_a_word_is_left_for_testing_too(tmp_path: Path) -> None:
    put_wav(tmp_path / "folder.wav", seconds=0.5)
    assert asterisk_prompts(Source("ivrvoice", "CC-BY-3.0"), tmp_path, "folder: Директория пять\n") == []


def test_no_digit_of_the_real_prompts_is_learned_from(native: Native) -> None:
    fetched = Settings().home / "ears" / "native" / "root"
    listed = fetched / TRANSCRIPTS
    if not listed.exists():
        pytest.skip(f"no transcripts in {fetched}: make ears unpacks them")
    transcripts = gzip.decompress(listed.read_bytes()).decode()
    taken = asterisk_prompts(Source("ivrvoice", "CC-BY-3.0"), native.sounds, transcripts)
    digits = {recorded("", file, ()).pcm.tobytes() for file in (native.sounds / "digits").glob("?.wav")}
    assert taken
    assert digits
    assert digits.isdisjoint(one.pcm.tobytes() for one in taken)


def test_a_text_is_words_in_small_letters() -> None:
    assert words("Кто-то, «ЁЖ» - 12 тут!") == ("кто-то", "ёж", "тут")


# what is said of stamps


def put_stamp(folder: Path, name: str, text: str, code: str = "ru", hz: float = 500.0) -> None:
    soundfile = pytest.importorskip("soundfile", reason="neither the extra `ears` nor `dev` is installed")
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}_desc_{code}.ogg", np.stack([tone(hz, 0.5)] * 2, axis=1), 8000)
    (folder / f"{name}.txt").write_text(f"A picture.\n{code}.utf8={text}\nde.utf8=Ein Bild.\n", "utf-8")


VEBER = Source("veber", "GPL-2.0-or-later", package="tuxpaint-stamps-default")
BURAYA = Source("buraya", "GPL-2.0-or-later", package="tuxpaint-stamps-default", language="belarusian")


def test_a_stamp_is_told_with_the_words_of_its_description(tmp_path: Path) -> None:
    put_stamp(tmp_path / STAMPS / "animals", "frog", "Зелёная лягушка!")
    (one,) = recordings(VEBER, tmp_path, tmp_path)
    assert (one.voice, one.words) == ("veber", ("зелёная", "лягушка"))
    assert one.seconds == pytest.approx(0.9, abs=0.02)
    assert np.abs(np.fft.rfft(one.pcm[RATE // 5 : RATE // 5 + RATE // 2])).argmax() == pytest.approx(
        250, abs=2
    )


@pytest.mark.parametrize(
    "text", ["Буква A.", "5 йен.", "Пять.", ""], ids=["foreign letters", "numbers", "for testing", "no text"]
)
def test_what_cannot_be_read_or_is_for_testing_is_left(tmp_path: Path, text: str) -> None:
    put_stamp(tmp_path, "frog", "Лягушка.", hz=300)
    put_stamp(tmp_path, "other", text)
    assert [one.words for one in stamps(VEBER, tmp_path)] == [("лягушка",)]


def test_the_same_recording_of_two_stamps_is_learned_from_once(tmp_path: Path) -> None:
    put_stamp(tmp_path / "a", "frog", "Лягушка.")
    (tmp_path / "b").mkdir()
    for file in (tmp_path / "a").iterdir():
        (tmp_path / "b" / file.name).write_bytes(file.read_bytes())
    assert len(stamps(VEBER, tmp_path)) == 1


def test_where_no_stamp_is_told_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="veber"):
        stamps(VEBER, tmp_path)


def test_each_source_hears_its_own_language(tmp_path: Path) -> None:
    put_stamp(tmp_path, "milk", "Малако.", "be")
    assert [one.words for one in stamps(BURAYA, tmp_path)] == [("малако\u0301",)]
    with pytest.raises(MissingPart):
        stamps(VEBER, tmp_path)


def test_a_package_nobody_reads_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="nobody reads stories"):
        recordings(Source("ivan", "x", package="stories"), tmp_path, tmp_path)


def test_a_recording_that_is_none_is_named(tmp_path: Path) -> None:
    put_stamp(tmp_path, "frog", "Лягушка.")
    (tmp_path / "frog_desc_ru.ogg").write_bytes(b"no sound")
    with pytest.raises(MissingPart, match=r"frog_desc_ru\.ogg"):
        stamps(VEBER, tmp_path)


@pytest.mark.parametrize(
    "source", [one for one in sources() if one.engine == "recordings"], ids=lambda one: one.name
)
def test_every_recording_has_a_reader(tmp_path: Path, source: Source) -> None:
    with pytest.raises((MissingPart, OSError)) as missing:
        recordings(source, tmp_path, tmp_path)
    assert "nobody reads" not in str(missing.value)


# Belarusian


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("малако", "малако\u0301"),
        ("вялікі", "вялики"),
        ("дзень", "день"),
        ("пяць", "пять"),
        ("воўк", "во\u0301ук"),
        ("шчотка", "що\u0301тка"),
        ("з'ява", "зъява"),
        ("цэнтр", "цэнтр"),
        ("аўто-шоў", "ауто-шо\u0301у"),
    ],
)
def test_a_belarusian_word_is_written_as_a_russian_would_read_it(written: str, read: str) -> None:
    assert belarusian.respelled(written.capitalize()) == read


def test_what_russian_letters_cannot_say_is_left() -> None:
    assert not belarusian.is_readable("Мадэль Зямлі")
    assert belarusian.is_readable("Шэрань, экран, цэнтр")


def test_every_belarusian_word_it_knows_can_be_said(native: Native) -> None:
    pronouncer = Pronouncer(native.command("usr/bin/espeak-ng"), native.environment())
    text = "Малако дзяўчынка пяць воўк з'ява шчотка экран цэнтр вялікі каралё"
    said = pronouncer.say(words(belarusian.respelled(text)))
    assert {word: ways for word, ways in said.items() if not ways} == {}
    assert {phone for (way, *_) in said.values() for phone in way} <= {*PHONES}
    assert [phone for phone in said["малако\u0301"][0] if phone.isupper()] == ["O"]
