from __future__ import annotations

import asyncio
import os
import sys
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest

from ivr.errors import MissingPart
from ivr.speech import sound
from ivr.speech.prompts import FORMS, PromptShelf
from ivr.speech.sound import Sound, as_alaw, as_pcm, as_prompt, as_wav, read_wav
from ivr.speech.voice import Synthesiser, at_rate, pick

TREE = Path(os.environ.get("DOZVON_NATIVE", "var/native/root")).absolute()
LIBRARIES = TREE / "usr/lib/x86_64-linux-gnu"
LOADER = LIBRARIES / "ld-linux-x86-64.so.2"
real = pytest.mark.skipif(
    not (TREE / "usr/bin/RHVoice-test").exists(),
    reason="no unpacked tree with RHVoice; run `make run` once, or name one in DOZVON_NATIVE",
)


def unpacked(program: str) -> tuple[str, ...]:
    library_path = f"{LIBRARIES}:{TREE}/lib/x86_64-linux-gnu:{LIBRARIES}/pulseaudio"
    return (str(LOADER), "--library-path", library_path, str(TREE / "usr/bin" / program))


RHVOICE = Synthesiser(
    "rhvoice",
    unpacked("RHVoice-test"),
    "anna",
    {"RHVOICE_DATA_PATH": str(TREE / "usr/share/RHVoice"), "RHVOICE_CONFIG_PATH": str(TREE / "etc/RHVoice")},
)
ESPEAK = Synthesiser("espeak-ng", unpacked("espeak-ng"), "ru", {"ESPEAK_DATA_PATH": str(LIBRARIES)})


def tone(hz: float = 440, seconds: float = 0.5, rate: int = 24_000, level: float = 0.3) -> Sound:
    times = np.arange(int(seconds * rate)) / rate
    return Sound((level * np.sin(2 * np.pi * hz * times)).astype(np.float32), rate)


def silence(seconds: float, rate: int = 24_000) -> Sound:
    return Sound(np.zeros(int(seconds * rate), np.float32), rate)


def joined(*parts: Sound) -> Sound:
    return Sound(np.concatenate([part.samples for part in parts]), parts[0].rate)


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio))


def strongest_hz(heard: Sound) -> float:
    spectrum = np.abs(np.fft.rfft(heard.samples))
    return float(spectrum.argmax() * heard.rate / len(heard.samples))


class Whistler:
    """A voice that whistles instead of speaking, and counts how often it was asked."""

    identity = "whistler 1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.speaks = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def speak(self, text: str) -> Sound:
        self.asked.append(text)
        self.speaks.set()
        await self.may_finish.wait()
        return tone()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "recorded"
    (folder / "north").mkdir(parents=True)
    return folder


def program(tmp_path: Path, script: str) -> Synthesiser:
    """A speech program of our own making; it finds the WAV's name in argv[4]."""
    file = tmp_path / "speaker.py"
    file.write_text(script, "utf-8")
    return Synthesiser("espeak-ng", (sys.executable, str(file)), "ru")


# What a prompt sounds like


def test_silence_around_the_speech_is_trimmed_to_a_short_breath() -> None:
    prompt = as_prompt(joined(silence(1), tone(seconds=0.5), silence(2)))
    assert len(prompt.samples) / prompt.rate == pytest.approx(0.06 + 0.5 + 0.15, abs=0.02)


def test_speech_that_begins_and_ends_abruptly_gets_its_breath() -> None:
    prompt = as_prompt(tone(seconds=0.5))
    assert len(prompt.samples) / prompt.rate == pytest.approx(0.06 + 0.5 + 0.15, abs=0.02)
    assert not prompt.samples[: int(0.05 * prompt.rate)].any()


@pytest.mark.parametrize("level", [0.003, 0.1, 1.0])
def test_whisper_and_shout_come_out_equally_loud(level: float) -> None:
    prompt = as_prompt(joined(silence(0.3), tone(level=level), silence(0.3)))
    speech = prompt.samples[int(0.1 * prompt.rate) : int(0.5 * prompt.rate)]
    assert decibels(np.sqrt(np.mean(speech**2))) == pytest.approx(-20, abs=0.5)


def test_a_bang_among_quiet_speech_stays_below_the_peak() -> None:
    speech = joined(tone(level=0.02), tone(level=1.0, seconds=0.01), tone(level=0.02))
    assert decibels(np.abs(as_prompt(speech).samples).max()) <= -2.99


def test_a_prompt_ends_without_a_click() -> None:
    speech = joined(silence(1), tone(), silence(1))
    hum = tone(hz=97, seconds=2.5, level=0.004)
    prompt = as_prompt(Sound(speech.samples + hum.samples, 24_000))
    assert prompt.samples[0] == prompt.samples[-1] == 0
    assert np.abs(prompt.samples[240:480]).max() > 0


def test_what_a_narrow_line_cannot_carry_is_removed_not_folded_back() -> None:
    too_high = at_rate(tone(hz=7_000, rate=24_000), 8_000)
    assert decibels(np.abs(too_high.samples[400:-400]).max()) < -70
    assert strongest_hz(at_rate(tone(hz=3_000), 8_000)) == pytest.approx(3_000, abs=5)


def test_alaw_is_the_one_of_the_standard_library() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop")
    every_sample = np.arange(-32768, 32768).astype("<i2")
    assert as_alaw(every_sample) == audioop.lin2alaw(every_sample.tobytes(), 2)


def test_beyond_full_scale_is_clipped_and_not_wrapped() -> None:
    assert as_pcm(np.array([1.5, -1.5], np.float32)).tolist() == [32767, -32768]


def test_a_stereo_recording_is_mixed() -> None:
    left_only = np.stack([np.full(800, 0.5), np.zeros(800)], axis=1).astype(np.float32)
    content = bytearray(as_wav(Sound(left_only.ravel(), 8_000)))
    content[22:24], content[28:34] = b"\x02\x00", (32_000).to_bytes(4, "little") + b"\x04\x00"
    heard = read_wav(bytes(content))
    assert len(heard.samples) == 800
    assert heard.samples.max() == pytest.approx(0.25, abs=0.001)


# The shelf


async def test_a_prompt_lies_on_the_shelf_in_every_form(tmp_path: Path) -> None:
    stem = await PromptShelf(tmp_path / "prompts", None, Whistler()).prepare("north", "hold", "Ждите.")
    for form, rate in ((".wav", 8_000), (".wav16", 16_000)):
        with wave.open(str(stem.with_suffix(form))) as file:
            assert file.getparams()[:3] == (1, 2, rate)
            seconds = file.getnframes() / rate
            assert seconds == pytest.approx(0.71, abs=0.03)
    assert stem.with_suffix(".alaw").stat().st_size == pytest.approx(0.71 * 8_000, abs=240)
    assert sorted(file.name for file in stem.parent.iterdir()) == sorted(stem.name + form for form in FORMS)


async def test_a_prompt_is_rendered_once_even_over_a_restart(tmp_path: Path) -> None:
    voice = Whistler()
    first = await PromptShelf(tmp_path, None, voice).prepare("north", "hold", "Ждите.")
    again = await PromptShelf(tmp_path, None, voice).prepare("south", "hold", "Ждите.")
    assert first == again
    assert voice.asked == ["Ждите."]


async def test_other_words_or_another_voice_are_another_prompt(tmp_path: Path) -> None:
    voice, other = Whistler(), Whistler()
    other.identity = "whistler 2"
    shelf = PromptShelf(tmp_path, None, voice)
    stems = {
        await shelf.prepare("north", "hold", "Ждите."),
        await shelf.prepare("north", "hold", "Ждите!"),
        await PromptShelf(tmp_path, None, other).prepare("north", "hold", "Ждите."),
    }
    assert len(stems) == 3


async def test_two_who_ask_at_once_wait_for_one_rendering(tmp_path: Path) -> None:
    voice = Whistler()
    shelf = PromptShelf(tmp_path, None, voice)
    stems = await asyncio.gather(*(shelf.prepare("north", "hold", "Ждите.") for _ in range(5)))
    assert len(set(stems)) == 1
    assert len(voice.asked) == 1


async def test_one_who_hangs_up_does_not_spoil_it_for_the_other(tmp_path: Path) -> None:
    voice = Whistler()
    voice.may_finish.clear()
    shelf = PromptShelf(tmp_path, None, voice)
    gone = asyncio.create_task(shelf.prepare("north", "hold", "Ждите."))
    stays = asyncio.create_task(shelf.prepare("north", "hold", "Ждите."))
    await voice.speaks.wait()
    gone.cancel()
    voice.may_finish.set()
    assert (await stays).with_suffix(".wav").exists()
    assert voice.asked == ["Ждите."]


async def test_a_half_written_prompt_is_made_again(tmp_path: Path) -> None:
    voice = Whistler()
    shelf = PromptShelf(tmp_path, None, voice)
    stem = await shelf.prepare("north", "hold", "Ждите.")
    stem.with_suffix(".alaw").unlink()
    await shelf.prepare("north", "hold", "Ждите.")
    assert stem.with_suffix(".alaw").exists()
    assert len(voice.asked) == 2


async def test_all_prompts_are_prepared_and_the_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    texts = {"hold": "Ждите.", "goodbye": "До свидания."}
    stems = await PromptShelf(tmp_path, None, Whistler()).prepare_all(
        "north", texts, lambda *step: told.append(step)
    )
    assert stems.keys() == texts.keys()
    assert [step[:2] for step in told] == [(1, 2), (2, 2)]
    assert {step[2] for step in told} == texts.keys()


async def test_a_recorded_prompt_wins_and_the_companys_own_wins_over_the_common(
    tmp_path: Path, recorded: Path
) -> None:
    voice = Whistler()
    (recorded / "hold.wav").write_bytes(as_wav(tone(hz=1_000, rate=44_100)))
    (recorded / "north" / "hold.wav").write_bytes(as_wav(tone(hz=2_000, rate=48_000)))
    shelf = PromptShelf(tmp_path / "prompts", recorded, voice)
    own, common = [await shelf.prepare(company, "hold", "Ждите.") for company in ("north", "south")]
    heard = [strongest_hz(read_wav(stem.with_suffix(".wav").read_bytes())) for stem in (own, common)]
    assert heard == pytest.approx([2_000, 1_000], abs=10)
    assert not voice.asked


async def test_a_recording_that_was_replaced_is_another_prompt(tmp_path: Path, recorded: Path) -> None:
    shelf = PromptShelf(tmp_path / "prompts", recorded, None)
    (recorded / "hold.wav").write_bytes(as_wav(tone(hz=1_000)))
    old = await shelf.prepare("north", "hold", "Ждите.")
    (recorded / "hold.wav").write_bytes(as_wav(tone(hz=2_000)))
    assert await shelf.prepare("north", "hold", "Ждите.") != old


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a WAV"),
        (b"ID3 this is an mp3", "not a WAV"),
        (as_wav(tone())[:30], "not a WAV"),
        (as_wav(silence(1)), "it holds no sound"),
        (as_wav(silence(0)), "it holds no sound"),
        (as_wav(Sound(tone().samples, 1_000)), "1000 Hz"),
        (as_wav(tone()).replace(b"\x02\x00\x10\x00data", b"\x01\x00\x08\x00data"), "8 bits a sample"),
    ],
)
async def test_a_broken_recording_is_named_and_the_voice_speaks_instead(
    tmp_path: Path, recorded: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    file = recorded / "hold.wav"
    file.write_bytes(content)
    voice = Whistler()
    await PromptShelf(tmp_path / "prompts", recorded, voice).prepare("north", "hold", "Ждите.")
    assert voice.asked == ["Ждите."]
    assert str(file) in caplog.text
    assert why in caplog.text


async def test_without_a_voice_every_prompt_that_is_not_recorded_is_named(
    tmp_path: Path, recorded: Path
) -> None:
    (recorded / "hold.wav").write_bytes(as_wav(tone()))
    shelf = PromptShelf(tmp_path / "prompts", recorded, None)
    with pytest.raises(MissingPart, match="prompts goodbye, welcome of north: no usable recording"):
        await shelf.prepare_all(
            "north", {"hold": "Ждите.", "welcome": "Здравствуйте!", "goodbye": "До свидания."}
        )
    assert (await shelf.prepare_all("north", {"hold": "Ждите."})).keys() == {"hold"}


async def test_a_prompt_is_published_under_its_own_name(tmp_path: Path) -> None:
    shelf = PromptShelf(tmp_path / "prompts", None, Whistler())
    stem = await shelf.prepare("north", "static_welcome", "Здравствуйте!")
    await shelf.publish("static_welcome", stem, tmp_path / "sounds")
    published = {file.name: file.read_bytes() for file in (tmp_path / "sounds").iterdir()}
    assert published == {f"static_welcome{form}": stem.with_suffix(form).read_bytes() for form in FORMS}


@pytest.mark.parametrize(
    ("company", "name"), [("north", "../hold"), ("..", "hold"), ("a/b", "hold"), ("", "hold")]
)
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, company: str, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a"):
        await PromptShelf(tmp_path, tmp_path, Whistler()).prepare(company, name, "Ждите.")


# Programs that speak


async def test_the_first_program_that_speaks_is_picked_and_the_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "spoken.wav"
    source.write_bytes(as_wav(tone()))
    works = program(tmp_path, f"import sys, shutil; shutil.copy({str(source)!r}, sys.argv[4])")
    absent = Synthesiser("rhvoice", (str(tmp_path / "nothing"),))
    assert await pick([absent, works]) is works
    assert "nothing: No such file" in caplog.text


async def test_with_no_program_there_is_no_voice() -> None:
    assert await pick([]) is None


async def test_a_voice_a_hotline_may_not_use_is_passed_over_with_the_near_miss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await pick([Synthesiser("rhvoice", ("true",), "ana")]) is None
    assert "did you mean 'anna'?" in caplog.text


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.exit('no such language')", "no such language"),
        ("import sys; sys.exit(3)", "code 3"),
        ("pass", "no word in the text"),
        ("import sys; open(sys.argv[4], 'w').write('?')", "not a WAV"),
    ],
)
async def test_a_program_that_fails_says_why(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(MissingPart, match=why):
        await program(tmp_path, script).speak("раз")


async def test_a_program_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivr.speech.voice.PATIENCE", 0.2)
    with pytest.raises(MissingPart, match="not finished"):
        await program(tmp_path, "import time; time.sleep(60)").speak("раз")


@real
async def test_rhvoice_reads_numbers_and_addresses_by_itself() -> None:
    digits = await RHVOICE.speak("ул. Ленина, д. 15, кв. 123")
    words = await RHVOICE.speak("улица Ленина, дом пятнадцать, квартира сто двадцать три")
    assert len(digits.samples) == pytest.approx(len(words.samples), rel=0.15)
    assert sound.loudest(digits) > -30


@real
@pytest.mark.parametrize("voice", [RHVOICE, ESPEAK], ids=["rhvoice", "espeak-ng"])
async def test_a_real_voice_passes_its_audition_and_fills_the_shelf(
    tmp_path: Path, voice: Synthesiser
) -> None:
    assert await pick([voice]) is voice
    stem = await PromptShelf(tmp_path, None, voice).prepare(
        "north", "hold", "Оставайтесь на линии, пожалуйста."
    )
    heard = read_wav(stem.with_suffix(".wav").read_bytes())
    assert 1 < len(heard.samples) / heard.rate < 4
    assert decibels(np.abs(heard.samples).max()) <= -2.9


@real
async def test_a_text_without_a_word_is_refused() -> None:
    with pytest.raises(MissingPart, match="no word in the text"):
        await RHVOICE.speak("...")
