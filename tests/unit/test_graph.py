from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from appliance.native import Native
from ivr.errors import DialplanError, MissingPart
from ivr.heard import UNKNOWN
from ivr.speech.graph import (
    LEXICON,
    PROGRAMS,
    Lexicon,
    OpenFst,
    OtherSpeech,
    Weights,
    _Graph,
    build,
    transition_phones,
)
from ivr.speech.pronounce import PHONES, Phones

MODEL = Path(__file__).resolve().parents[2] / "ears" / "model"
NO_TORCH = "torch is not installed; make ears sets it up"


def ways(**said: str) -> dict[str, tuple[Phones, ...]]:
    return {word: tuple(tuple(way.split()) for way in each.split(",")) for word, each in said.items()}


SAID = ways(да="d A", два="d v A", нет="n; E t", пять="p; A t;", опять="@ p; A t;", что="S t O, tS; O")
OTHER = tuple(way for each in ways(дом="d O m", кот="k O t", собака="s a b A k @").values() for way in each)


@pytest.fixture(scope="module")
def openfst(native: Native) -> OpenFst:
    if not (native.root / "usr/bin/fstcompile").exists():
        pytest.skip(f"no OpenFst in {native.root}")
    commands = {program: native.command(f"usr/bin/{program}") for program in PROGRAMS}
    return OpenFst(commands, native.environment())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_texts(tmp_path / "model")


def with_texts(folder: Path, said: Mapping[str, tuple[Phones, ...]] = SAID) -> Path:
    folder.mkdir()
    Lexicon.of(said).write(folder / LEXICON)
    OtherSpeech.of([way for each in said.values() for way in each], OTHER).write(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# the words


def test_of_words_that_sound_the_same_the_vital_one_is_heard() -> None:
    said = ways(кол="k O l", колл="k O l", да="d A")
    assert Lexicon.of(said).alike == {"колл": "кол"}
    lexicon = Lexicon.of(said, first=("колл",))
    assert lexicon.alike == {"кол": "колл"}
    assert set(lexicon.words) == {"колл", "да"}


def test_a_vital_word_that_is_not_said_is_no_matter() -> None:
    assert Lexicon.of(ways(да="d A"), first=("нет",)).words == ways(да="d A")


def test_no_two_words_of_a_lexicon_are_said_the_same_way() -> None:
    lexicon = Lexicon.of(ways(чего="tS; i v O, tS; O", что="S t O, tS; O", чё="tS; O"))
    every = [way for each in lexicon.words.values() for way in each]
    assert len(every) == len(set(every))
    assert lexicon.words["что"] == (("S", "t", "O"),)
    assert lexicon.alike == {"чё": "чего"}


def test_the_words_of_a_model_are_read_as_they_were_written(tmp_path: Path) -> None:
    lexicon = Lexicon.of({**SAID, **ways(нетъ="n; E t", неть="n; E t")})
    lexicon.write(tmp_path / LEXICON)
    assert Lexicon.read(tmp_path / LEXICON) == lexicon


def test_every_wrong_line_of_a_lexicon_is_named_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / LEXICON
    file.write_text("да: d A\nнет n; E t\nтри: t r I Q\n: d A\nдва:\nпять, пяць: p; A t;\n", "utf-8")
    with pytest.raises(DialplanError) as refused:
        Lexicon.read(file)
    assert [f":{line}:" in str(refused.value) for line in range(1, 7)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


# other speech


def test_other_speech_is_read_as_it_was_written(tmp_path: Path) -> None:
    other = OtherSpeech.of([way for each in SAID.values() for way in each], OTHER)
    other.write(tmp_path)
    read = OtherSpeech.read(tmp_path)
    assert read.words == other.words
    assert read.follows.keys() == other.follows.keys()
    for before, row in other.follows.items():
        assert read.follows[before] == pytest.approx(row, abs=1e-5)


def test_other_speech_learned_from_very_many_words_still_makes_a_graph(tmp_path: Path) -> None:
    OtherSpeech.of((("d", "A"),) * 50_000, OTHER).write(tmp_path)
    _Graph(Weights()).other(OtherSpeech.read(tmp_path).follows, 1)


def test_after_each_phone_something_follows_for_sure_and_speech_has_a_phone() -> None:
    follows = OtherSpeech.of([("d", "A"), ("d", "O", "m")], OTHER).follows
    assert "." not in follows["."]
    assert set(follows) == {".", *PHONES}
    for row in follows.values():
        assert sum(row.values()) == pytest.approx(1)
    assert follows["d"]["A"] == follows["d"]["O"] == max(follows["d"].values())


def test_a_word_of_other_speech_is_there_once() -> None:
    assert OtherSpeech.of([("d", "A")], [("k", "O"), ("k", "O")]).words == (("k", "O"),)


# the tree


def phones_in(*words: str) -> int:
    """Phones a graph of these words holds, silence left out."""
    graph = _Graph(Weights())
    before = len(graph.arcs)
    graph.words((number, tuple(word.split()), 0.0) for number, word in enumerate(words, 1))
    return sum(arc.transition > 0 and arc.transition % 2 == 0 for arc in graph.arcs[before:])


def test_words_that_begin_alike_share_their_beginnings() -> None:
    assert phones_in("p; A t;", "p; A t; O r k @") == 3 + 5  # the last phone of a word is its own
    assert phones_in("p; A t;", "d v A") == 6
    assert phones_in("t r; I", "t r; I", "t r; O") == 2 + 3


def test_every_phone_is_scored_alike_wherever_in_a_word_it_is() -> None:
    assert transition_phones(2) == [0, 1, 1, 1, 1, 2, 2, 2, 2]


# made by OpenFst


def test_the_same_words_make_the_same_graph_byte_for_byte(tmp_path: Path, openfst: OpenFst) -> None:
    made = []
    for name in ("one", "other"):
        folder = with_texts(tmp_path / name)
        build(folder, openfst=openfst)
        made.append(files(folder))
    assert made[0].keys() == made[1].keys()
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_what_is_built_is_what_libvosk_wants_and_nothing_else(folder: Path, openfst: OpenFst) -> None:
    build(folder, openfst=openfst)
    assert set(files(folder / "graph")) == {
        "HCLr.fst", "Gr.fst", "disambig_tid.int", "phones/word_boundary.int",
    }  # fmt: skip
    assert not list(folder.glob(".graph-*"))


def test_another_word_makes_another_graph(folder: Path, openfst: OpenFst) -> None:
    build(folder, openfst=openfst)
    before = files(folder / "graph")
    with (folder / LEXICON).open("a", encoding="utf-8") as words:
        words.write("шлагбаум: S l a g b A u m\n")
    build(folder, openfst=openfst)
    assert files(folder / "graph")["HCLr.fst"] != before["HCLr.fst"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_fails_leaves_the_old_graph(folder: Path, openfst: OpenFst, program: str) -> None:
    build(folder, openfst=openfst)
    before = files(folder)
    with (folder / LEXICON).open("a", encoding="utf-8") as words:
        words.write("шлагбаум: S l a g b A u m\n")
    broken = OpenFst({**openfst.commands, program: ["false"]}, openfst.environment)
    with pytest.raises(MissingPart, match=program):
        build(folder, openfst=broken)
    after = files(folder)
    assert {name: after[name] for name in after if name != LEXICON} == {
        name: before[name] for name in before if name != LEXICON
    }


def test_a_disk_that_is_full_leaves_no_half_a_graph(
    folder: Path, openfst: OpenFst, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(folder, openfst=openfst)
    old = files(folder / "graph")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    monkeypatch.setattr(shutil, "copytree", full)
    try:
        build(folder, openfst=openfst)
    except OSError:
        assert files(folder / "graph") == old
    else:
        assert set(files(folder / "graph")) == set(old)


def test_who_may_read_the_model_may_read_its_graph(folder: Path, openfst: OpenFst) -> None:
    build(folder, openfst=openfst)
    beside = folder / "beside"
    beside.mkdir()
    assert stat.S_IMODE((folder / "graph").stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


def test_without_openfst_it_says_what_is_missing(folder: Path) -> None:
    nowhere = OpenFst({program: [f"/no/such/{program}"] for program in PROGRAMS})
    with pytest.raises(MissingPart, match="libfst-tools"):
        build(folder, openfst=nowhere)
    assert not (folder / "graph").exists()


LOADED = """
import json, sys, vosk
vosk.SetLogLevel(-1)
model = vosk.Model(sys.argv[1])
words = json.loads(sys.argv[2])
hears = vosk.KaldiRecognizer(model, 8000, json.dumps(words[:2] + ["[unk]"], ensure_ascii=False))
hears.AcceptWaveform(bytes(16000))
known = [word for word in words if model.vosk_model_find_word(word) >= 0]
print(json.dumps([known, json.loads(hears.FinalResult())]))
"""


def test_libvosk_loads_the_graph_and_has_its_words(folder: Path, openfst: OpenFst) -> None:
    put_network(folder)
    build(folder, openfst=openfst)
    asked = [*SAID, UNKNOWN, "шлагбаум"]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(folder), json.dumps(asked)],
        capture_output=True, text=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    known, heard = json.loads(done.stdout)
    assert known == [*SAID, UNKNOWN]
    assert "text" in heard


def put_network(folder: Path) -> None:
    """The committed model's, or else one that has learned nothing."""
    if (MODEL / "am" / "final.mdl").exists():
        for part in ("am", "conf"):
            shutil.copytree(MODEL / part, folder / part)
        return
    pytest.importorskip("torch", reason=NO_TORCH)
    from ears.features import CONF
    from ears.model import DECODER
    from ears.network import Network
    from ears.packaging import final_mdl

    for name, content in {
        "am/final.mdl": final_mdl(Network().eval()),
        "conf/mfcc.conf": CONF.encode(),
        "conf/model.conf": DECODER.encode(),
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
