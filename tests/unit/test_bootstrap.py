from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import bootstrap
from appliance.bootstrap import (
    PACKAGES,
    PROJECT,
    Apt,
    Archive,
    PipProgress,
    Plan,
    Progress,
    PythonPackages,
    Tree,
    changed,
    downloaded,
    likely_mirrors,
    main,
    offered,
    pips_reason,
)
from appliance.native import Native
from ivr.errors import MissingPart

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this machine has no dpkg-deb")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# What is wanted


def test_the_shipped_list_of_packages_reads() -> None:
    plan = Plan.read(PACKAGES)
    assert plan.suite == "forky"
    assert {"asterisk", "rhvoice-russian", "sip-tester", "python3-pip-whl"} <= plan.want.keys()
    assert all(plan.unpacks(package) for package in plan.want)


def test_a_package_nobody_uses_is_not_unpacked() -> None:
    plan = Plan.read(PACKAGES)
    assert not plan.unpacks("perl-modules-5.42")
    assert not plan.unpacks("python3.14-minimal")
    assert plan.unpacks("libssl3t64")


def test_no_voice_under_a_non_commercial_licence_is_unpacked() -> None:
    omitted = Plan.read(PACKAGES).omit
    for voice in ("arina", "umka", "vitaliy*", "yuriy"):
        assert f"usr/share/RHVoice/voices/{voice}" in omitted


def asterisk(version: str) -> Archive:
    return Archive(f"asterisk_{version.replace(':', '%3a')}_amd64.deb", 1)


def plan(**want: str) -> Plan:
    return Plan("forky", ("main",), want, (), ())


def test_what_apt_lists_is_read_with_epoch_and_size() -> None:
    uris = (
        "'http://a.example/pool/a_1%3a22.1-1_amd64.deb' a_1%3a22.1-1_amd64.deb 2534036 MD5Sum:00\nNote: x\n"
    )
    [archive] = offered(uris)
    assert (archive.package, archive.version, archive.size) == ("a", "1:22.1-1", 2534036)


def test_another_version_than_was_tried_is_said_and_used() -> None:
    assert changed(plan(asterisk="1:22.10.1"), [asterisk("1:22.11.0")]) == [
        "asterisk: 1:22.11.0 (tried with 1:22.10.1)"
    ]


def test_the_version_that_was_tried_needs_no_word() -> None:
    assert changed(plan(asterisk="1:22.10.1"), [asterisk("1:22.10.1")]) == []


def test_an_asterisk_of_another_major_is_refused() -> None:
    with pytest.raises(MissingPart, match="made for Asterisk 22"):
        changed(plan(asterisk="1:22.10.1"), [asterisk("1:23.0.0")])


# Where it comes from


def test_each_mirror_is_tried_once_and_security_archives_last() -> None:
    listed = "http://a.example/debian-security/\nhttp://b.example/debian/\nhttp://b.example/debian\n"
    assert likely_mirrors(listed) == ("http://b.example/debian/", "http://a.example/debian-security/")


def test_mirrors_are_found_on_a_machine_that_was_never_updated() -> None:
    listed = "'https://b.example/debian/dists/bookworm/InRelease' b.example_InRelease 0 \n"
    assert likely_mirrors(listed) == ("https://b.example/debian/",)


def test_a_machine_without_apt_is_told_what_is_missing_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--var", str(tmp_path / "var")]) == 1
    said = capsys.readouterr().err
    assert "no apt-get" in said
    assert "what to do" in said
    assert "Traceback" not in said


def test_a_machine_without_debians_keys_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/somewhere")
    monkeypatch.setattr(bootstrap, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(MissingPart, match="signing keys"):
        Apt.of_this_machine(tmp_path)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt-get")
def test_a_mirror_that_does_not_answer_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RETRIES", 0)
    apt = Apt(tmp_path, "amd64", ("http://127.0.0.1:15499/debian/",))
    with pytest.raises(MissingPart, match=r"(?s)no mirror .*127\.0\.0\.1:15499.*Connection refused"):
        apt.refresh(plan(asterisk="1:22"))


# How far it is


def test_apts_status_lines_give_the_percentage() -> None:
    assert downloaded("dlstatus:1:20.4:Retrieving file 1 of 3\n") == 20.4
    assert downloaded("pmstatus:a:50:Unpacking\n") is None


def test_a_log_gets_a_line_every_ten_percent() -> None:
    out = io.StringIO()
    progress = Progress("fetching", out)
    for percent in range(101):
        progress.at(percent / 100)
    assert len(out.getvalue().splitlines()) == 11


def test_a_terminal_gets_one_line_that_moves() -> None:
    out = Terminal()
    progress = Progress("fetching", out)
    for percent in range(101):
        progress.at(percent / 100, f"{percent} of 100 MB")
    progress.done("100 MB")
    assert out.getvalue().count("\n") == 1
    assert "50 of 100 MB" in out.getvalue()


def test_pips_chatter_becomes_a_count() -> None:
    out = io.StringIO()
    progress = PipProgress(Progress("packages", out), known=2)
    for line in (
        "Collecting aiohttp~=3.14 (from dozvon)",
        "Progress 0 of 2000000",
        "Progress 2000000 of 2000000",
    ):
        assert progress.take(line)
    assert progress.take("Processing /somewhere/numpy-2.4-cp311.whl (from dozvon)")
    assert not progress.take("ERROR: No matching distribution found for baresip-python==9")
    assert "2 packages, 2 MB" in out.getvalue()


def test_a_failed_install_is_told_with_its_cause() -> None:
    broken = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(refused)': /x"
    error = "ERROR: No matching distribution found for aiosql~=15.0"
    assert (
        pips_reason([broken, "INFO: pip is looking", error])
        == f"{error}\n    connection broken by 'NewConnectionError(refused)': /x"
    )


# The native tree


def a_package(folder: Path, name: str, files: dict[str, str]) -> Archive:
    """A real Debian package of our making."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example>\nDescription: test\n"
    )
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    file = folder / "native/archives" / f"{name}_1_all.deb"
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
    return Archive(file.name, file.stat().st_size)


@needs_dpkg
def test_the_tree_is_there_only_when_all_of_it_is(tmp_path: Path) -> None:
    archives = [a_package(tmp_path, name, {f"usr/{name}": name}) for name in ("one", "two")]
    tree = Tree(tmp_path / "native", plan())
    assert not tree.is_there()
    tree.unpack(archives)
    assert tree.is_there()
    assert (tree.root / "usr/one").read_text() == "one"


@needs_dpkg
def test_a_damaged_package_leaves_the_old_tree_and_is_fetched_anew_next_time(tmp_path: Path) -> None:
    good = a_package(tmp_path, "good", {"usr/good": "good"})
    tree = Tree(tmp_path / "native", plan())
    tree.unpack([good])
    bad = tree.archives / "bad_1_all.deb"
    bad.write_bytes((tree.archives / good.file).read_bytes()[:200])
    with pytest.raises(MissingPart, match=r"bad_1_all\.deb"):
        tree.unpack([good, Archive(bad.name, 200)])
    assert (tree.root / "usr/good").exists()
    assert not bad.exists()


@needs_dpkg
def test_omitted_paths_are_not_unpacked(tmp_path: Path) -> None:
    files = {
        "usr/share/doc/x/copyright": "",
        "usr/share/voices/umka/data": "",
        "usr/share/voices/anna/data": "",
    }
    archive = a_package(tmp_path, "x", files)
    Tree(tmp_path / "native", Plan("s", (), {}, (), ("usr/share/doc", "usr/share/voices/um*"))).unpack(
        [archive]
    )
    assert [path.name for path in (tmp_path / "native/root/usr/share").rglob("*")] == [
        "voices",
        "anna",
        "data",
    ]


def test_a_tree_made_from_another_plan_is_not_taken(tmp_path: Path) -> None:
    tree = Tree(tmp_path, plan())
    tree.unpack([])
    assert tree.is_there()
    assert not Tree(tmp_path, replace(plan(), key="other")).is_there()


def test_programs_of_the_tree_run_through_its_own_loader(tmp_path: Path) -> None:
    loader = tmp_path / "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"
    loader.parent.mkdir(parents=True)
    loader.touch()
    command = Native(tmp_path).command("usr/sbin/asterisk", "-V")
    assert command[0] == str(loader)
    assert command[-2:] == [str(tmp_path / "usr/sbin/asterisk"), "-V"]
    assert Native(tmp_path).asterisk_modules == tmp_path / "usr/lib/aarch64-linux-gnu/asterisk/modules"


def test_a_tree_without_a_loader_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="what to do"):
        Native(tmp_path).command("usr/sbin/asterisk")


# What an extra takes besides


@pytest.mark.parametrize(
    ("extras", "made"),
    [
        ({"appliance", "dev"}, ["native"]),
        ({"appliance", "ears"}, ["native", "ears/native"]),
        ({"appliance", "bench-speech"}, ["native", "bench-speech/native"]),
    ],
)
def test_an_extra_brings_its_packages_into_a_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extras: set[str], made: list[str]
) -> None:
    trees: list[str] = []
    monkeypatch.setattr(
        Tree, "is_there", lambda tree: trees.append(str(tree.folder.relative_to(tmp_path))) or True
    )
    monkeypatch.setattr(PythonPackages, "are_there", lambda _: True)
    bootstrap.prepare(tmp_path, frozenset(extras))
    assert trees == made


# The Python environment


def ready(folder: Path, extras: set[str]) -> None:
    """An environment as a finished install leaves it."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin/python").touch()
    packages = PythonPackages(folder, frozenset(extras))
    packages._note(frozenset(extras))


def test_an_environment_with_more_than_is_asked_serves(tmp_path: Path) -> None:
    ready(tmp_path, {"appliance", "dev"})
    assert PythonPackages(tmp_path, frozenset({"appliance"})).are_there()


def test_an_environment_with_less_than_is_asked_does_not(tmp_path: Path) -> None:
    ready(tmp_path, {"appliance"})
    assert not PythonPackages(tmp_path, frozenset({"appliance", "dev"})).are_there()


def test_an_environment_of_another_interpreter_does_not_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(tmp_path, {"appliance"})
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert not PythonPackages(tmp_path, frozenset({"appliance"})).are_there()


def pip_that_fails(why: dict[bool, str | None], asked: list[frozenset[str]]) -> object:
    """A pip that answers by whether the softphone is among what is asked."""

    def pip(_packages: PythonPackages, _native: Native, extras: frozenset[str]) -> str | None:
        asked.append(extras)
        return why["softphone" in extras]

    return pip


def test_a_python_without_a_softphone_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[str]] = []
    monkeypatch.setattr(PythonPackages, "_pip", pip_that_fails({True: "ERROR: no wheel", False: None}, asked))
    packages = PythonPackages(tmp_path / "venv", frozenset({"appliance", "softphone"}))
    packages.install(Native(tmp_path))
    assert asked[-1] == {"appliance"}
    assert packages.are_there(), "it is not tried again at every start"


def test_a_network_that_is_away_is_not_taken_for_a_missing_softphone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[str]] = []
    away = "connection broken by 'NewConnectionError'"
    monkeypatch.setattr(PythonPackages, "_pip", pip_that_fails({True: away, False: away}, asked))
    with pytest.raises(MissingPart, match="NewConnectionError"):
        PythonPackages(tmp_path / "venv", frozenset({"softphone"})).install(Native(tmp_path))
    assert len(asked) == 1


def test_a_python_that_is_too_old_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert main(["--var", str(tmp_path)]) == 1
    assert "3.11" in capsys.readouterr().err


def test_two_setups_at_once_wait_for_each_other(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    script = "import sys; from pathlib import Path; from appliance.bootstrap import alone\n"
    script += "with alone(Path(sys.argv[1])): print('in', flush=True)"
    with bootstrap.alone(lock):
        other = subprocess.Popen(
            [sys.executable, "-c", script, lock], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert "waiting" in other.stdout.readline()
    assert other.communicate(timeout=10)[0] == "in\n"


def test_a_start_with_everything_there_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Tree(tmp_path / "native", Plan.read(PACKAGES)).unpack([])
    ready(tmp_path / "venv", {"appliance"})
    monkeypatch.setenv("PATH", os.devnull)  # nothing can be run
    began = time.monotonic()
    assert main(["--var", str(tmp_path), "--extras", "appliance"]) == 0
    assert time.monotonic() - began < 0.3
