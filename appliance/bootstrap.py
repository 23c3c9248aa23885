"""Make `var/` ready: the native parts and the Python environment. Run by the system's own python3.

    python3 -m appliance.bootstrap --extras appliance,softphone

    var/native/root       Asterisk, RHVoice, espeak-ng, sipp: Debian packages, unpacked, not installed
    var/native/archives   the packages as they were fetched, for the next time
    var/venv              this project and what it stands on
    var/ears/native       with the extra `ears`: people's recordings, which a model of our own learns from
    var/bench-speech/native   with the extra `bench-speech`: people's recordings, which test it

Standard library only: nothing else exists yet when this runs. When all is there it returns at once.
What is fetched comes from where this machine's apt and pip are set up to fetch from.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from appliance.native import Native
from ivr.errors import MissingPart

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = Path(__file__).with_name("packages.txt")
MORE_PACKAGES = {
    "ears": PROJECT / "ears" / "packages.txt",
    "bench-speech": PROJECT / "bench" / "speech" / "packages.txt",
}
"""What some extras take besides; unpacked into `var/EXTRA/native`, apart from what serves."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ASTERISK_MAJOR = 22
ROOM_NEEDED = 1_500_000_000
"""Bytes on disk for a first start: fetched packages, the unpacked tree, the Python environment."""
RETRIES = 3
"""Of a fetch that fails, with a growing pause."""
MB = 1_000_000
STAMP = ".dozvon"
"""The file in a finished tree or environment that says what it was made from."""
TIED = ("setpriv", "--pdeathsig=TERM", "--")
"""Before a long command: it ends when this process is killed, and does not go on beside the next one."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m appliance.bootstrap", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--extras", default="appliance", help="comma-separated extras of pyproject.toml")
    parser.add_argument("--var", type=Path, default=PROJECT / "var", help="where everything is put")
    asked = parser.parse_args(arguments)
    try:
        prepare(asked.var.resolve(), frozenset(filter(None, asked.extras.split(","))))
    except MissingPart as missing:
        print(f"\n{missing}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"\n{error}\n  what to do: see that this user may write there, and start again", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next start goes on from here", file=sys.stderr)
        return 130
    return 0


def prepare(var: Path, extras: frozenset[str]) -> None:
    """Everything under `var` that a start needs. Idempotent; two at once wait for each other."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is the system's python3 that runs this
        raise MissingPart("Python", f"{sys.executable} is older than 3.11", "make PYTHON=/path/to/python3.11")
    tree = Tree(var / "native", Plan.read(PACKAGES))
    more = [extra for extra in MORE_PACKAGES if extra in extras]
    trees = [tree, *(Tree(var / extra / "native", Plan.read(MORE_PACKAGES[extra])) for extra in more)]
    packages = PythonPackages(var / "venv", extras)
    if all(each.is_there() for each in trees) and packages.are_there():
        return
    var.mkdir(parents=True, exist_ok=True)
    with alone(var / "bootstrap.lock"):
        for each in trees:
            if not each.is_there():
                each.make()
        tree.native.check()
        if not packages.are_there():
            packages.install(tree.native)


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold `lock` for the length of the block; waits, and says so, while another process holds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another setup is at work in this folder; waiting for it …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Progress:
    """How far one long piece of work is: one line that moves on a terminal, else a line every 10 %."""

    def __init__(self, what: str, out: IO[str] | None = None) -> None:
        self.what = what
        self.out = sys.stdout if out is None else out
        self.began = time.monotonic()
        self._terminal = self.out.isatty()
        self._tenth = -1
        self._said = ""

    def at(self, share: float, detail: str = "") -> None:
        """`share` is 0 to 1 of the whole."""
        tenth = int(share * 10)
        line = f"{self.what}: {share:4.0%}  {detail}  {self.elapsed}"
        if self._terminal:
            self._move(line)
        elif tenth > self._tenth:
            self._tenth = tenth
            print(line, file=self.out, flush=True)

    def done(self, detail: str) -> None:
        line = f"{self.what}: {detail}  {self.elapsed}"
        if self._terminal:
            self._move(line + "\n")
        else:
            print(line, file=self.out, flush=True)

    @property
    def elapsed(self) -> str:
        return f"{time.monotonic() - self.began:.0f} s"

    def _move(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        end = "\n" if line.endswith("\n") else ""
        print(f"\r\033[K{line.rstrip()[:width]}", end=end, file=self.out, flush=True)


# What is wanted


@dataclass(frozen=True)
class Plan:
    """`packages.txt`, read."""

    suite: str
    components: tuple[str, ...]
    want: dict[str, str]
    """Package → the version that was tried."""
    leave: tuple[str, ...]
    omit: tuple[str, ...]
    key: str = "-"
    """Another for another plan, or another kind of machine."""

    @classmethod
    def read(cls, file: Path) -> Plan:
        text = file.read_text()
        lines = [line.split("#")[0].split() for line in text.splitlines()]
        said: dict[str, list[Any]] = {"suite": [], "want": [], "leave": [], "omit": []}
        for verb, *words in filter(None, lines):
            said[verb].append(words)
        [[suite, *components]] = said["suite"]
        return cls(
            suite=suite,
            components=tuple(components),
            want=dict(said["want"]),
            leave=tuple(pattern for [pattern] in said["leave"]),
            omit=tuple(pattern for [pattern] in said["omit"]),
            key=_hash(text.encode(), os.uname().machine.encode()),
        )

    def unpacks(self, package: str) -> bool:
        return not any(fnmatch.fnmatchcase(package, pattern) for pattern in self.leave)


@dataclass(frozen=True)
class Archive:
    """One package file as the mirror offers it."""

    file: str
    size: int
    """Bytes."""

    @property
    def package(self) -> str:
        return self.file.split("_")[0]

    @property
    def version(self) -> str:
        return unquote(self.file.split("_")[1])


def offered(uris: str) -> list[Archive]:
    """What `apt-get --print-uris` lists: `'URI' FILE SIZE HASH` a line."""
    found = re.findall(r"^'[^']+' (\S+_\S+_\S+\.deb) (\d+)", uris, flags=re.MULTILINE)
    return [Archive(file, int(size)) for file, size in found]


def changed(plan: Plan, archives: Sequence[Archive]) -> list[str]:
    """A sentence for each wanted package that is not of the version that was tried."""
    now = {archive.package: archive.version for archive in archives}
    if "asterisk" in now and int(re.sub(r"^\d+:", "", now["asterisk"]).split(".")[0]) != ASTERISK_MAJOR:
        raise MissingPart(
            "Asterisk",
            f"the mirror offers {now['asterisk']}, and this hotline is made for Asterisk {ASTERISK_MAJOR}",
            f"use a mirror whose suite {plan.suite} has Asterisk {ASTERISK_MAJOR},"
            " or run your own and set DOZVON_ASTERISK=external",
        )
    return [
        f"{package}: {now[package]} (tried with {tried})"
        for package, tried in plan.want.items()
        if now[package] != tried
    ]


# The native tree


class Tree:
    """`var/native`: fetched packages, unpacked."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.root = folder / "root"
        self.archives = folder / "archives"
        self.native = Native(self.root)

    def is_there(self) -> bool:
        """The tree is renamed into its place only when whole, and carries the plan it was made from."""
        return _text(self.root / STAMP) == self.plan.key

    def make(self) -> None:
        apt = Apt.of_this_machine(self.folder)
        _room(self.folder)
        mirror = apt.refresh(self.plan)
        archives = apt.offered(self.plan)
        for sentence in changed(self.plan, archives):
            print(f"another version than was tried: {sentence}", flush=True)
        apt.fetch(self.plan, archives, mirror)
        self.unpack([archive for archive in archives if self.plan.unpacks(archive.package)])

    def unpack(self, archives: Sequence[Archive]) -> None:
        """All of `archives` into a new tree beside the old, then in its place at one stroke."""
        new, old = self.folder / "root.new", self.folder / "root.old"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        progress = Progress("unpacking the native parts")
        with ThreadPoolExecutor(max_workers=2) as pool:
            work = pool.map(lambda archive: self._unpack_one(self.archives / archive.file, new), archives)
            for count, _ in enumerate(work, start=1):
                progress.at(count / len(archives), f"{count} of {len(archives)} packages")
        progress.done(f"{len(archives)} packages in {self.root}")
        (new / STAMP).write_text(self.plan.key)
        shutil.rmtree(old, ignore_errors=True)
        if self.root.exists():
            self.root.rename(old)
        new.rename(self.root)
        shutil.rmtree(old, ignore_errors=True)

    def _unpack_one(self, archive: Path, into: Path) -> None:
        """Like `dpkg-deb -x`, without the paths the plan omits."""
        omit = [
            f"--exclude=./{path}" if not path.startswith("*") else f"--exclude={path}"
            for path in self.plan.omit
        ]
        tar = ["tar", "--extract", "--no-same-owner", "--wildcards", f"--directory={into}", *omit]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as deb:
            unpacked = subprocess.run(tar, stdin=deb.stdout, capture_output=True, text=True, check=False)
        if deb.returncode or unpacked.returncode:
            archive.unlink(missing_ok=True)
            raise MissingPart(
                archive.name,
                f"it cannot be unpacked: {unpacked.stderr.strip()[-300:] or 'the file is damaged'}",
                "start again: it has been removed and will be fetched anew",
            )


@dataclass(frozen=True)
class Apt:
    """An apt of our own: the machine's settings, but its own state, sources and (no) installed packages."""

    folder: Path
    architecture: str
    mirrors: tuple[str, ...]

    @classmethod
    def of_this_machine(cls, folder: Path) -> Apt:
        for tool in ("apt-get", "dpkg-deb", "dpkg", "tar"):
            if shutil.which(tool) is None:
                raise MissingPart(
                    "the native parts (Asterisk, RHVoice)",
                    f"this machine has no {tool}: they are unpacked from Debian's packages",
                    "run the hotline on Debian 12 or later, or in a container of it",
                )
        if not KEYRING.exists():
            raise MissingPart(
                "Debian's signing keys",
                f"{KEYRING} is not there, and nothing is unpacked whose signature was not checked",
                "apt-get install debian-archive-keyring",
            )
        architecture = _said("dpkg", "--print-architecture").strip()
        return cls(folder, architecture, mirrors_of_this_machine())

    def refresh(self, plan: Plan) -> str:
        """Fetch the list of packages from the first mirror that serves the suite; returns that mirror.

        Without a network the list of the last time does.
        """
        for part in ("state/lists/partial", "cache", "empty/partial"):
            (self.folder / "apt" / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "apt" / "status").touch()
        progress = Progress(f"reading the list of packages of {plan.suite}")
        before = _text(self._sources)
        refused = []
        for mirror in self.mirrors:
            options = f"arch={self.architecture} signed-by={KEYRING}"
            self._sources.write_text(f"deb [{options}] {mirror} {plan.suite} {' '.join(plan.components)}\n")
            failed = self._run(["update"], progress.at)
            if failed is None:
                progress.done(f"from {mirror}")
                return mirror
            refused.append(f"{mirror}: {failed}")
        if before and self._knows(plan, before):
            print(f"no mirror answers ({refused[-1]}); going on with the list of the last time", flush=True)
            return "the last time"
        raise MissingPart(
            f"the packages of Debian {plan.suite}",
            "no mirror this machine's apt is set up with serves them:\n    " + "\n    ".join(refused),
            "see that the network is up and that /etc/apt/sources.list names a full Debian mirror",
        )

    def offered(self, plan: Plan) -> list[Archive]:
        """Every package file that is needed, already fetched or not."""
        nowhere = f"Dir::Cache::archives={self.folder}/apt/empty"
        command = [*self._command(), "-qq", "-o", nowhere, "--print-uris", *self._install(plan)]
        return offered(_said(*command))

    def fetch(self, plan: Plan, archives: Sequence[Archive], mirror: str) -> None:
        """Download what is not yet in `archives`; what was broken off goes on where it stopped."""
        here = {file.name: file.stat().st_size for file in (self.folder / "archives").glob("*.deb")}
        missing = [archive for archive in archives if here.get(archive.file) != archive.size]
        if not missing:
            return
        total = sum(archive.size for archive in missing) / MB
        progress = Progress("fetching the native parts")

        def said(share: float) -> None:
            progress.at(share, f"{share * total:.0f} of {total:.0f} MB")

        failed = self._run(["-y", *self._install(plan)], said)
        if failed is not None:
            raise MissingPart(
                "the native parts (Asterisk, RHVoice)",
                f"fetching from {mirror} broke off: {failed}",
                "see that the network is up, and start again: it goes on from where it stopped",
            )
        progress.done(f"{len(missing)} packages, {total:.0f} MB")

    @property
    def _sources(self) -> Path:
        return self.folder / "apt" / "sources.list"

    def _knows(self, plan: Plan, sources: str) -> bool:
        self._sources.write_text(sources)
        with contextlib.suppress(MissingPart):
            return bool(self.offered(plan))
        return False

    def _install(self, plan: Plan) -> list[str]:
        return ["--download-only", "install", *plan.want]

    def _command(self) -> list[str]:
        apt = self.folder / "apt"
        options = {
            "Dir::State": apt / "state",
            "Dir::State::status": apt / "status",
            "Dir::Cache": apt / "cache",
            "Dir::Cache::archives": self.folder / "archives",
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Default-Release": "",
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": _user_name(),
            "Acquire::Check-Valid-Until": "false",  # a frozen mirror is as good; signatures are still checked
            "Acquire::Languages": "none",
            "Acquire::Retries": RETRIES,
            "Debug::NoLocking": "true",
        }
        return ["apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]

    def _run(self, words: list[str], share: Callable[[float], None]) -> str | None:
        """Run apt-get, telling how far it is; returns why it failed, or nothing."""
        told, tell = os.pipe()
        status = ["-o", f"APT::Status-Fd={tell}"]
        with (self.folder / "apt" / "log").open("w+") as log:
            running = subprocess.Popen(
                [*TIED, *self._command(), *status, "-q", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[tell],
                env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            )
            os.close(tell)
            with os.fdopen(told) as lines:
                for line in lines:
                    if (percent := downloaded(line)) is not None:
                        share(percent / 100)
            failed = running.wait() != 0
            log.seek(0)
            said = log.read()
        complaints = [line for line in said.splitlines() if line.startswith(("E:", "W:", "Err:"))]
        # `update` ends with 0 even when a list could not be had; it only warns.
        if failed or any("Failed to fetch" in line for line in complaints):
            return " ".join(complaints)[:400] or said[-400:]
        return None


def downloaded(line: str) -> float | None:
    """Percent of an apt status line `dlstatus:ITEM:PERCENT:TEXT`, or nothing for another kind of line."""
    words = line.split(":")
    return float(words[2]) if words[0] == "dlstatus" and len(words) > 3 else None


def mirrors_of_this_machine() -> tuple[str, ...]:
    """The archives apt is set up with, the likeliest first."""
    listed = _said("apt-get", "indextargets", "--format", "$(REPO_URI)")
    if not listed.strip():  # nothing was ever updated here, as in a fresh container
        listed = _said("apt-get", "update", "--print-uris")
    mirrors = likely_mirrors(listed)
    if not mirrors:
        raise MissingPart(
            "a Debian mirror",
            "this machine's apt is not set up with any",
            "name one in /etc/apt/sources.list: deb MIRROR bookworm main",
        )
    return mirrors


def likely_mirrors(listed: str) -> tuple[str, ...]:
    """Archives out of what apt lists, each once; security archives last, as they hold no whole suite."""
    found = re.findall(r"'?((?:https?|ftp|file|mirror\+\w+|tor\+https?)://?[^\s']+)", listed)
    archives = dict.fromkeys(uri.split("/dists/")[0].rstrip("/") + "/" for uri in found)
    return tuple(sorted(archives, key=lambda uri: "security" in uri))


# The Python environment


class PythonPackages:
    """`var/venv`: made without ensurepip (Debian keeps it apart), filled by the pip of the native tree."""

    def __init__(self, folder: Path, extras: frozenset[str]) -> None:
        self.folder = folder
        self.extras = extras
        self.python = folder / "bin" / "python"
        self._stamp = folder / STAMP

    def are_there(self) -> bool:
        return self._asked_before() >= self.extras and self.python.exists()

    def install(self, native: Native) -> None:
        earlier = self._asked_before()
        if not earlier:
            self._make_environment()
        asked = self.extras | earlier
        self._stamp.unlink(missing_ok=True)
        failed = self._pip(native, asked)
        if failed is not None and "softphone" in asked and BROKEN not in failed:
            print(f"trying without the softphone, which has no wheel for every Python: {failed}", flush=True)
            failed = self._pip(native, asked - {"softphone"})
        if failed is not None:
            raise MissingPart(
                "the Python packages",
                failed,
                "see that the network is up and that `pip config list` names an index with them; start again",
            )
        self._note(asked)

    def _note(self, asked: frozenset[str]) -> None:
        self._stamp.write_text(json.dumps({"key": self._key(), "asked": sorted(asked)}))

    def _make_environment(self) -> None:
        print("making the Python environment", flush=True)
        try:
            _said(sys.executable, "-m", "venv", "--clear", "--without-pip", str(self.folder))
        except MissingPart as error:
            raise MissingPart(
                "the Python environment",
                f"{sys.executable} cannot make one: {error}",
                "use a python3 of 3.11 or later that has the venv module: make PYTHON=/path/to/python3",
            ) from error

    def _pip(self, native: Native, extras: frozenset[str]) -> str | None:
        """Install the project with `extras`, telling how far it is; returns why it failed, or nothing."""
        project = f"{PROJECT}[{','.join(sorted(extras))}]" if extras else str(PROJECT)
        constraints = PROJECT / "constraints.txt"
        pip = [*TIED, str(self.python), str(native.pip)]
        options = ["--progress-bar=raw", "-c", str(constraints), "-e", project]
        environment = {
            **os.environ,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_USER": "0",
            "PYTHONUNBUFFERED": "1",
            **self._certificates(native),
        }
        progress = PipProgress(Progress("installing the Python packages"), known=_count_of(constraints))
        said: deque[str] = deque(maxlen=40)
        with subprocess.Popen(
            [*pip, "install", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        ) as running:
            for line in running.stdout or ():
                if not progress.take(line):
                    said.append(line.strip())
        if running.returncode:
            return pips_reason(said)
        progress.done()
        return None

    def _certificates(self, native: Native) -> dict[str, str]:
        """A machine without ca-certificates still has to check its index: the tree brings them along."""
        if (
            SYSTEM_CERTIFICATES.exists()
            or {"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"} & os.environ.keys()
        ):
            return {}
        return {"PIP_CERT": str(native.certificates())}

    def _asked_before(self) -> frozenset[str]:
        """The extras this environment was made with; nothing when it was made from other files."""
        try:
            stamp = json.loads(_text(self._stamp))
        except ValueError:
            return frozenset()
        return frozenset(stamp["asked"]) if stamp["key"] == self._key() else frozenset()

    def _key(self) -> str:
        files = (PROJECT / "pyproject.toml", PROJECT / "constraints.txt")
        interpreter = f"{tuple(sys.version_info[:2])} {sys.base_prefix} {PROJECT}"
        return _hash(*(file.read_bytes() for file in files), interpreter.encode())


BROKEN = "connection broken by"
"""Pip's words for a network that is away."""


def pips_reason(said: Sequence[str]) -> str:
    """Why pip failed, out of its last lines: its errors, and what broke the connection if that was it."""
    errors = [line for line in said if line.startswith("ERROR:")]
    broken = [line[line.index(BROKEN) :][:300] for line in said if BROKEN in line]
    return "\n    ".join([*errors, *broken[-1:]] or list(said)[-5:])


class PipProgress:
    """Pip's chatter as one share of the whole: packages collected, of those known."""

    _COLLECTED = re.compile(
        r"\s*(?:Collecting |Requirement already satisfied: |Processing \S*/)([A-Za-z0-9._]+)"
    )

    def __init__(self, progress: Progress, known: int) -> None:
        self._progress = progress
        self._known = known
        self._collected = 0
        self._fetched = 0
        self._current = 0

    def take(self, line: str) -> bool:
        """True when the line was only about progress."""
        if found := re.match(r"Progress (\d+) of \d+", line):
            self._current = int(found[1])
        elif self._COLLECTED.match(line):
            self._collected += 1
            self._fetched, self._current = self._fetched + self._current, 0
        elif line.startswith("Installing collected packages"):
            self._progress.at(0.95, f"putting {self._collected} packages in place")
            return True
        else:
            return False
        megabytes = (self._fetched + self._current) / MB
        share = min(0.9, self._collected / self._known)
        self._progress.at(share, f"{self._collected} packages, {megabytes:.0f} MB")
        return True

    def done(self) -> None:
        self._progress.done(f"{self._collected} packages")


# Small things


def _room(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < ROOM_NEEDED:
        raise MissingPart(
            "room on the disk",
            f"{free / MB:.0f} MB are free at {folder}, and a first start takes {ROOM_NEEDED / MB:.0f} MB",
            "make room, or put the project on a larger disk",
        )


def _said(*command: str) -> str:
    """What a short command prints; MissingPart with its complaint when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise MissingPart(
            command[0], done.stderr.strip()[-400:] or f"exit {done.returncode}", "see the message above"
        )
    return done.stdout


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _count_of(constraints: Path) -> int:
    return sum(1 for line in constraints.read_text().splitlines() if "==" in line)


def _user_name() -> str:
    import pwd  # noqa: PLC0415

    return pwd.getpwuid(os.getuid()).pw_name


if __name__ == "__main__":
    sys.exit(main())
