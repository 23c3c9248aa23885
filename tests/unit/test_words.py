"""Words that are added where a model serves: the admin's file, the model made anew beside its own, `dozvon ears`."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.native import Native
from ivr.__main__ import main
from ivr.cli import check
from ivr.cli import ears as command
from ivr.dialplan.understanding import Pack
from ivr.errors import DialplanError, MissingPart
from ivr.lexicon import openfst, pronouncer, served, words_file
from ivr.settings import Settings
from ivr.speech import extended as shelf
from ivr.speech import models
from ivr.speech.ears import RATE, Vosk, open_ears
from ivr.speech.extended import extended, lacking, with_words
from ivr.speech.graph import LEXICON, Lexicon, OpenFst, OtherSpeech
from ivr.speech.models import is_model
from ivr.speech.pronounce import Phones, stressed
from ivr.speech.voice import Voice
from ivr.speech.words import drop_words, put_words, read_words, word_of
from tests.models import put_model
from tests.sounds import spoken, telephoned

OURS = models.PROJECT / "ears" / "model"
PYAT: Phones = ("p;", "A", "t;")
DA: Phones = ("d", "A")
NET: Phones = ("n;", "E", "t")
SAID = {"пять": (PYAT,), "да": (DA,), "нет": (NET,)}
NO_OPENFST = OpenFst(dict.fromkeys(("fstcompile", "fstarcsort"), ("/none",)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small one with words as ours has them, and an ear of stone."""
    folder = put_model(tmp_path / "project" / "ears" / "model")
    Lexicon(SAID, {"пядь": "пять"}).write(folder / LEXICON)
    OtherSpeech.of([PYAT, DA, NET], [("A",)]).write(folder)
    (folder / "made.json").write_text('{"name": "dozvon-ru-8k"}')
    return folder


@pytest.fixture
def tools(native: Native) -> Native:
    """The tree with OpenFst and espeak-ng."""
    for program in ("fstcompile", "espeak-ng"):
        if not (native.root / "usr/bin" / program).exists():
            pytest.skip(f"no {program} in {native.root}; make test unpacks it")
    return native


@pytest.fixture
def settings(tmp_path: Path, native: Native) -> Settings:
    return Settings(home=tmp_path / "home", native=native.root)


@pytest.fixture
def nothing_here(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Neither espeak-ng nor OpenFst."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return replace(settings, native=tmp_path / "none")


def put(settings: Settings, text: str) -> Path:
    file = words_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def of(folder: Path) -> Lexicon:
    return Lexicon.read(folder / LEXICON)


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# the admin's file


def test_a_word_by_itself_is_said_as_it_is_written(settings: Settings) -> None:
    assert read_words(put(settings, "# ours\n\nдомофон\nза́мок  # not замо́к\n")) == {
        "домофон": ("домофон",),
        "замок": ("за́мок",),
    }


def test_a_word_may_be_said_in_several_ways_and_in_phones(settings: Settings) -> None:
    file = put(settings, "вайфай: вай фа́й, вифи\nв: [v], [f]\n")
    assert read_words(file) == {"вайфай": ("вай фа́й", "вифи"), "в": ("[v]", "[f]")}


def test_capitals_and_letters_in_two_pieces_are_the_same_word() -> None:
    assert word_of("Вайфай") == word_of("ваи\u0306фаи\u0306") == ("вайфай", ("вайфай",))


def test_every_wrong_line_is_named(settings: Settings) -> None:
    lines = ["hello", "дом", "дом: до́м", "два слова", "к: [q]", "мир:", "ь", "мир: peace"]
    with pytest.raises(DialplanError) as caught:
        read_words(put(settings, "\n".join(lines)))
    problems = caught.value.problems
    assert [problem.split(": ")[0] for problem in problems] == [
        f"words.txt:{n}" for n in (1, 3, 4, 5, 6, 7, 8)
    ]
    assert problems[0].endswith("'hello' is not one word in Russian letters")
    assert "put all it is said like into one line" in problems[1]
    assert "q is no phone; there are A O E" in problems[3]


def test_a_file_in_another_encoding_is_refused_in_words(settings: Settings) -> None:
    put(settings, "").write_bytes("домофон".encode("cp1251"))
    with pytest.raises(DialplanError, match=r"words\.txt: .* codec can't decode"):
        read_words(words_file(settings))


def test_without_a_file_nothing_is_added(settings: Settings) -> None:
    assert read_words(words_file(settings)) == {}


def test_adding_changes_the_words_own_line_and_leaves_the_rest(settings: Settings) -> None:
    file = put(settings, "# first\nвайфай: вифи\n# last\n")
    put_words(file, {"вайфай": ("вай фа́й",), "замок": ("за́мок",)})
    assert file.read_text() == "# first\nвайфай: вай фа́й\n# last\nза́мок\n"


def test_the_first_word_comes_with_an_explanation(settings: Settings) -> None:
    put_words(words_file(settings), {"дом": ("дом",)})
    assert words_file(settings).read_text().startswith("# Words that the model is to know")
    assert read_words(words_file(settings)) == {"дом": ("дом",)}


def test_removing_takes_the_words_line_and_no_other(settings: Settings) -> None:
    file = put(settings, "# first\nДом: до́м\nза́мок\n")
    drop_words(file, ["дом"])
    assert file.read_text() == "# first\nза́мок\n"
    assert [path.name for path in file.parent.iterdir()] == ["words.txt"]


# where the stress is


@pytest.mark.parametrize(
    ("spelling", "read", "said"),
    [
        ("замок", "z a m O k", "z a m O k"),
        ("за́мок", "z a m O k", "z A m @ k"),
        ("замо́к", "z a m O k", "z a m O k"),
        ("лимона́", "l; i m O n @", "l; i m @ n A"),
        ("жи́раф", "Z y r A f", "Z Y r @ f"),
        ("шины́", "S Y n y", "S y n Y"),
        ("вай фа́й", "v A j f A j", "v A j f A j"),
        ("ба́нка вода", "b A n k @ v @ d A", "b A n k @ v @ d A"),
        ("во́общем", "v @ p S; i m", ""),
    ],
)
def test_the_stress_is_where_the_spelling_has_it(spelling: str, read: str, said: str) -> None:
    assert stressed(spelling, tuple(read.split())) == tuple(said.split())


def test_a_word_is_read_with_the_stress_it_is_written_with(tools: Native) -> None:
    ways = {"замок": ("за́мок", "замо́к"), "в": ("[v]",), "вообще": ("вообще", "вообще́")}
    said = replace(pronouncer(tools), respelled=ways).say(ways)
    assert said["замок"] == (("z", "A", "m", "@", "k"), ("z", "a", "m", "O", "k"))
    assert said["в"] == (("v",),)
    assert said["вообще"] == ()


# the lexicon with more words


def test_a_word_is_lacking_however_it_is_spelled() -> None:
    lexicon = Lexicon({"чёрный": (PYAT,), "пять": (DA,)}, {"пядь": "пять"})
    assert lacking(lexicon, ["черный", "чёрный", "пядь", "лифт"]) == ("лифт",)


def test_of_words_that_sound_the_same_the_models_own_is_heard() -> None:
    lexicon = with_words(Lexicon(SAID), {"аа": (("A",),), "дда": (DA, ("d", "a"))})
    assert lexicon.words == {**SAID, "аа": (("A",),)}
    assert lexicon.alike == {"дда": "да"}


def test_a_word_of_the_model_may_be_said_otherwise() -> None:
    lexicon = with_words(Lexicon(SAID, {"пядь": "пять"}), {"пять": (("p;", "I", "t;"),)})
    assert lexicon.words["пять"] == (("p;", "I", "t;"),)
    assert lexicon.alike == {"пядь": "пять"}


def test_what_sounds_like_a_word_that_is_said_otherwise_goes_with_it() -> None:
    lexicon = with_words(Lexicon(SAID, {"пядь": "пять"}), {"пять": (DA,)})
    assert lexicon.alike == {"пядь": "да", "пять": "да"}


# the model with more words


def test_the_model_is_made_anew_elsewhere_and_its_own_folder_stays(
    model: Path, tmp_path: Path, tools: Native
) -> None:
    before = content(model)
    folder = extended(model, {"лифт": (("l;", "I", "f", "t"),)}, tmp_path / "served", openfst(tools))
    assert content(model) == before
    assert is_model(folder)
    assert folder.name == model.name
    assert "лифт" in of(folder).words
    assert set(of(model).words) < set(of(folder).words)
    assert {path.name for path in folder.iterdir()} >= {"made.json", "conf", "am", "other.txt", "phones.txt"}
    assert (folder / "graph" / "HCLr.fst").stat().st_size > 0


def test_what_is_there_is_not_made_again(model: Path, tmp_path: Path, tools: Native) -> None:
    said = {"лифт": (("l;", "I", "f", "t"),)}
    folder = extended(model, said, tmp_path / "served", openfst(tools))
    assert extended(model, said, tmp_path / "served", NO_OPENFST) == folder


def test_it_is_made_again_when_anything_it_is_made_of_changes(
    model: Path, tmp_path: Path, tools: Native
) -> None:
    said = {"лифт": (("l;", "I", "f", "t"),)}
    folders = {extended(model, said, tmp_path / "served", openfst(tools))}
    folders.add(extended(model, {"лифт": (("l;", "I", "f"),)}, tmp_path / "served", openfst(tools)))
    (model / "am" / "final.mdl").write_bytes(b"learned better")
    folders.add(extended(model, said, tmp_path / "served", openfst(tools)))
    (model / "confidence.json").write_text("{}")
    folders.add(extended(model, said, tmp_path / "served", openfst(tools)))
    assert len(folders) == 4


def test_what_cannot_be_made_leaves_nothing(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="OpenFst"):
        extended(model, {"лифт": (("l;", "I"),)}, tmp_path / "served", NO_OPENFST)
    assert list((tmp_path / "served").iterdir()) == []


def test_half_of_a_model_is_made_whole(model: Path, tmp_path: Path, tools: Native) -> None:
    said = {"лифт": (("l;", "I", "f", "t"),)}
    folder = extended(model, said, tmp_path / "served", openfst(tools))
    shutil.rmtree(folder / "graph")
    assert extended(model, said, tmp_path / "served", openfst(tools)) == folder
    assert is_model(folder)


def test_starts_at_the_same_time_get_the_same_whole_model(
    model: Path, tmp_path: Path, tools: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have made theirs before the first puts it in its place."""
    starts, got = 3, []
    ready = threading.Barrier(starts, timeout=60)
    put = shelf._put

    def put_together(whole: Path, place: Path, name: str) -> None:
        ready.wait()
        put(whole, place, name)

    monkeypatch.setattr(shelf, "_put", put_together)

    def start() -> None:
        got.append(extended(model, {"лифт": (("l;", "I", "f"),)}, tmp_path / "served", openfst(tools)))

    threads = [threading.Thread(target=start) for _ in range(starts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == starts
    assert len(set(got)) == 1
    assert is_model(got[0])
    assert [path.name for path in (tmp_path / "served").iterdir()] == [got[0].parent.name]


def test_what_nobody_asks_for_any_more_is_removed_but_not_at_once(
    model: Path, tmp_path: Path, tools: Native
) -> None:
    served_at = tmp_path / "served"
    old, late = (extended(model, {word: ((word, "A"),)}, served_at, openfst(tools)) for word in "bd")
    (served_at / ".new-broken-off").mkdir()
    for path in (old.parent, served_at / ".new-broken-off"):
        os.utime(path, (0, 0))
    now = extended(model, {"g": (("g", "A"),)}, served_at, openfst(tools))
    assert {path.name for path in served_at.iterdir()} == {late.parent.name, now.parent.name}


# what the hotline opens


def test_a_word_that_is_listened_for_is_added_by_itself(
    model: Path, settings: Settings, tools: Native
) -> None:
    folder = served(model, ["пять", "домофон", "пядь", "[unk]"], settings)
    assert folder.is_relative_to(settings.home.resolve() / "ears" / "served")
    assert of(folder).words["домофон"] == (("d", "@", "m", "@", "f", "O", "n"),)


def test_the_admins_words_are_added_as_he_says(model: Path, settings: Settings, tools: Native) -> None:
    put(settings, "вайфай: вай фа́й, вифи́\nпять: [p; a k]\nда\n")
    lexicon = of(served(model, [], settings))
    assert lexicon.words["вайфай"][1] == ("v;", "i", "f;", "I")
    assert lexicon.words["пять"] == (("p;", "a", "k"),)
    assert set(lexicon.words) == {*SAID, "вайфай"}


def test_with_nothing_to_add_the_model_itself_is_opened(model: Path, nothing_here: Settings) -> None:
    put(nothing_here, "пять\n")
    assert served(model, ["да", "пядь"], nothing_here) == model
    assert not (nothing_here.home / "ears" / "served").exists()


def test_without_espeak_the_model_itself_is_opened_and_the_log_says_what_is_not_heard(
    model: Path, nothing_here: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert served(model, ["домофон", "лифт"], nothing_here) == model
    assert "words that are not heard: домофон, лифт: espeak-ng, which says how a word" in caplog.text


def test_without_openfst_the_model_itself_is_opened_and_the_log_says_what_is_not_heard(
    model: Path, nothing_here: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    put(nothing_here, "лифт: [l; I f t]\n")
    assert served(model, [], nothing_here) == model
    assert "words that are not heard: лифт: OpenFst" in caplog.text
    assert "what to do: apt-get install libfst-tools" in caplog.text


def test_words_in_phones_need_no_espeak(
    model: Path, settings: Settings, tools: Native, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("ivr.lexicon.ESPEAK", "usr/bin/none")
    monkeypatch.setattr("ivr.lexicon.shutil.which", lambda program: "/none")
    put(settings, "лифт: [l; I f t]\nдомофон\n")
    assert set(of(served(model, [], settings)).words) == {*SAID, "лифт"}
    assert "words that are not heard: домофон: espeak-ng" in caplog.text


def test_a_broken_file_of_words_does_not_deafen_the_hotline(
    model: Path, settings: Settings, tools: Native, caplog: pytest.LogCaptureFixture
) -> None:
    put(settings, "hello\n")
    assert set(of(served(model, ["лифт"], settings)).words) == {*SAID, "лифт"}
    assert "the admin's words are not heard: the added words:\n  words.txt:1: 'hello' is not" in caplog.text


def test_a_model_that_is_not_ours_stays_as_it_is(
    model: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (model / LEXICON).unlink()
    assert served(model, ["домофон"], settings) == model
    assert not caplog.text
    put(settings, "лифт\n")
    assert served(model, ["домофон"], settings) == model
    assert "words that are not heard: лифт: more words:" in caplog.text
    assert "it has no lexicon.txt, its words are fixed" in caplog.text


def test_the_log_warns_of_confusable_neighbours(
    model: Path, settings: Settings, tools: Native, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        served(model, ["опять"], settings)
    assert "«опять» sounds like «пять»: one may be heard for the other" in caplog.text


def test_a_word_from_a_foreign_vocabulary_is_left_alone(model: Path, nothing_here: Settings) -> None:
    assert served(model, Pack.read("en").words(), nothing_here) == model


def test_ears_are_called_as_the_model_calls_itself(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivr.speech.ears._try_elsewhere", lambda folder: None)
    monkeypatch.setattr("ivr.speech.ears.vosk.Model", lambda folder: None)
    assert open_ears(model).name == "dozvon-ru-8k"
    for nameless in ("{}", "[]", "no JSON", '{"name": ""}'):
        (model / "made.json").write_text(nameless)
        assert open_ears(model).name == "model"


@pytest.mark.parametrize(("made", "knows"), [('{"knows_noise": true}', True), ("{}", False), ("[]", False)])
def test_a_model_says_itself_whether_it_learned_from_noise(
    model: Path, monkeypatch: pytest.MonkeyPatch, made: str, knows: bool
) -> None:
    monkeypatch.setattr("ivr.speech.ears._try_elsewhere", lambda folder: None)
    monkeypatch.setattr("ivr.speech.ears.vosk.Model", lambda folder: None)
    (model / "made.json").write_text(made)
    assert open_ears(model).knows_noise is knows


async def test_a_word_that_was_added_is_heard(settings: Settings, tools: Native) -> None:
    if not (OURS / LEXICON).exists():
        pytest.skip(f"no model of ours in {OURS}; make ears makes one")
    word = "шиншилла"
    assert lacking(of(OURS), [word])
    hears = open_ears(served(OURS, [word], settings))
    pcm = telephoned(await asyncio.to_thread(spoken, tools, word))
    hearing = hears.listen((*Pack.read("ru").question("rating").phrases, word))
    await hearing.feed(pcm)
    heard = await hearing.finish()
    hears.close()
    assert word in [one.text for one in heard]


# the command line


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dozvon(
    model: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    logging_as_before: None,
) -> Run:  # fmt: skip
    """`dozvon …` with that model and no voice; the vocabulary has five words."""

    async def mute(settings: Settings) -> Voice | None:
        return None

    for module in (command, check):
        monkeypatch.setattr(module, "voice", mute)
    monkeypatch.setattr(Pack, "words", lambda self: ("да", "нет"))
    monkeypatch.setattr(models, "PROJECT", model.parent.parent)
    monkeypatch.setenv("DOZVON_HOME", str(settings.home))
    monkeypatch.setenv("DOZVON_NATIVE", str(settings.native))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_say_shows_phones_and_neighbours_and_adds_nothing(
    dozvon: Run, settings: Settings, tools: Native
) -> None:
    code, out, _ = dozvon("ears", "say", "опять", "пядь", "лифт: ли́фт, лиф", "да")
    assert code == 0
    assert out.splitlines()[0] == "опять [@ p; A t;]"
    assert out.splitlines()[1].startswith("  «опять» sounds like «пять»: ")
    assert "лифт [l; I f t], [l; I f]\n  nothing that the model knows sounds like it\n" in out
    assert "пядь [p; A t;], known already\n" in out
    assert "да [d A], known already\n" in out
    assert not settings.home.exists()


def test_add_makes_the_model_and_writes_the_file(dozvon: Run, settings: Settings, tools: Native) -> None:
    code, out, _ = dozvon("ears", "add", "лифт", "опять: [@ p; A t;]", "да")
    assert code == 0
    assert "warning: «опять» sounds like «пять»" in out
    assert "words.txt: 2 added; the model was made anew in " in out
    assert read_words(words_file(settings)) == {"лифт": ("лифт",), "опять": ("[@ p; A t;]",)}
    assert len(list((settings.home / "ears" / "served").iterdir())) == 1


def test_add_tells_that_a_word_sounds_the_same_as_another(dozvon: Run, tools: Native) -> None:
    _, out, _ = dozvon("ears", "add", "дда: да")
    assert "warning: «дда» sounds the same as «да»: nobody can tell them apart" in out


def test_what_was_added_is_listed_and_can_be_removed(dozvon: Run, settings: Settings, tools: Native) -> None:
    assert dozvon("ears", "list")[1] == "nothing was added; dozvon ears add WORD\n"
    dozvon("ears", "add", "лифт")
    assert dozvon("ears", "list")[1] == "лифт [l; I f t]  words.txt\n"
    code, _, error = dozvon("ears", "remove", "лифы")
    assert (code, error.endswith("words.txt; did you mean 'лифт'?\n")) == (1, True)
    assert dozvon("ears", "remove", "лифт")[0] == 0
    assert read_words(words_file(settings)) == {}


def test_a_word_that_is_listened_for_is_listed_with_why(
    dozvon: Run, tools: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pack, "words", lambda self: ("да", "лифт"))
    assert dozvon("ears", "list")[1] == "лифт [l; I f t]  it is listened for\n"


def test_what_is_no_russian_word_is_refused(dozvon: Run, settings: Settings) -> None:
    code, _, error = dozvon("ears", "add", "hello", "два слова", "дом: [d]", "дом")
    assert code == 1
    assert error == (
        "dozvon: the added words:\n"
        "  'hello' is not one word in Russian letters\n"
        "  'два слова' is not one word in Russian letters\n"
        "  'дом' is named twice: 'дом: so, or so' is both\n"
    )
    assert not settings.home.exists()


def test_without_openfst_nothing_is_written_and_what_to_do_is_said(
    dozvon: Run, nothing_here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOZVON_NATIVE", str(nothing_here.native))
    code, _, error = dozvon("ears", "add", "лифт: [l; I f t]")
    assert code == 1
    assert "what to do: apt-get install libfst-tools" in error
    assert not words_file(nothing_here).exists()


def test_without_espeak_nothing_is_written_and_what_to_do_is_said(
    dozvon: Run, nothing_here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOZVON_NATIVE", str(nothing_here.native))
    code, _, error = dozvon("ears", "add", "лифт")
    assert code == 1
    assert "what to do: install espeak-ng" in error
    assert not words_file(nothing_here).exists()


def test_a_model_that_is_not_ours_takes_no_words(dozvon: Run, model: Path) -> None:
    (model / LEXICON).unlink()
    code, _, error = dozvon("ears", "add", "лифт")
    assert code == 1
    assert "is not a model of ours: it has no lexicon.txt, its words are fixed" in error


def test_check_tells_of_added_words_with_their_phones_and_warnings(
    dozvon: Run, settings: Settings, tools: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KnowsAll:
        def vosk_model_find_word(self, word: str) -> int:
            return 1

    opened: list[Path] = []

    def as_such(folder: Path) -> Vosk:
        opened.append(folder)
        return Vosk(folder.name, KnowsAll(), RATE, 1)

    monkeypatch.setattr(check, "open_ears", as_such)
    put(settings, "опять\n")
    code, out, _ = dozvon("check")
    assert code == 0
    assert "  added to it: опять [@ p; A t;]\n  warning: «опять» sounds like «пять»: " in out
    assert "опять" in of(opened[0]).words


def test_check_tells_what_cannot_be_added(
    dozvon: Run, nothing_here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOZVON_NATIVE", str(nothing_here.native))
    monkeypatch.setattr(check, "open_ears", lambda folder: Vosk(folder.name, None, RATE, 1))
    monkeypatch.setattr(Vosk, "missing", lambda self, phrases: ())
    put(nothing_here, "опять\n")
    code, out, _ = dozvon("check")
    assert code == 0
    assert "  not added to it: опять: espeak-ng, which says how a word is pronounced: " in out


def test_espeak_and_openfst_of_the_path_serve_where_the_tree_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "espeak-ng").write_text('#!/bin/sh\ncat >/dev/null\necho "d_\'A"\n')
    (bin_ / "espeak-ng").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setattr("ivr.lexicon.PLUGINS", tmp_path)
    nowhere = Native(tmp_path / "none")
    assert pronouncer(nowhere).say(["да"]) == {"да": (DA,)}
    assert openfst(nowhere) == OpenFst()
    assert subprocess.run(["espeak-ng"], input=b"", capture_output=True, check=True).stdout == b"d_'A\n"


def test_openfst_on_the_path_is_told_where_debian_has_its_kinds_of_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = tmp_path / "lib" / "aarch64-linux-gnu" / "fst" / "27"
    kinds.mkdir(parents=True)
    monkeypatch.setattr("ivr.lexicon.PLUGINS", tmp_path / "lib")
    assert openfst(Native(tmp_path / "none")) == OpenFst(environment={"LD_LIBRARY_PATH": str(kinds)})
