"""The native tree: Debian packages unpacked into a folder, and how their programs are started from there.

Nothing of it is installed or chrooted. A program runs through the tree's own loader with the tree's own
libraries, so the machine's C library may be older.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ivr.errors import MissingPart

A_TESTER = "tatiana"
"""One of the voices the hotline may not speak with."""


@dataclass(frozen=True)
class Native:
    """What lies where under `root`."""

    root: Path

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """The command line that starts `program` (a path in the tree, "usr/sbin/asterisk")."""
        plugins = self.libraries.glob("fst/*")  # OpenFst's kinds of graph
        libraries = ":".join(map(str, (self.libraries, self.libraries / "pulseaudio", *plugins)))
        loader = [str(self.loader), "--library-path", libraries, "--argv0", program]
        return [*loader, str(self.root / program), *map(str, arguments)]

    @property
    def loader(self) -> Path:
        """The dynamic loader; where it lies tells the tree's architecture."""
        for loader in sorted(self.root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*")):
            return loader
        raise MissingPart(
            "the native parts (Asterisk, RHVoice)",
            f"{self.root} holds no dynamic loader",
            "remove that folder and start again: it is made anew",
        )

    @property
    def libraries(self) -> Path:
        return self.loader.parent

    @property
    def asterisk_modules(self) -> Path:
        return self.libraries / "asterisk" / "modules"

    @property
    def asterisk_data(self) -> Path:
        """Asterisk's `astdatadir`: its sounds, music on hold and documentation lie under it."""
        return self.root / "usr/share/asterisk"

    @property
    def sounds(self) -> Path:
        """The recorded Russian voice: digits, the queue's announcements."""
        return self.asterisk_data / "sounds/ru_RU_f_IvrvoiceRU"

    @property
    def music(self) -> Path:
        return self.asterisk_data / "moh"

    @property
    def pip(self) -> Path:
        """Pip as one file that any Python runs."""
        for wheel in sorted(self.root.glob("usr/share/python-wheels/pip-*.whl")):
            return wheel / "pip"
        raise MissingPart(
            "pip", f"{self.root} holds no pip wheel", "remove that folder and start again: it is made anew"
        )

    def environment(self) -> dict[str, str]:
        """The process environment in which the voices find their data."""
        return {
            **os.environ,
            "RHVOICE_DATA_PATH": str(self.root / "usr/share/RHVoice"),
            "RHVOICE_CONFIG_PATH": str(self.root / "etc/RHVoice"),
            "ESPEAK_DATA_PATH": str(self.libraries / "espeak-ng-data"),
        }

    def with_every_voice(self) -> dict[str, str]:
        """The environment with all of RHVoice's Russian voices, those under a non-commercial licence too.

        For tests and measurements only: the hotline never speaks with them, and no model learns from them. They are
        unpacked beside the tree from the package that was fetched with it. MissingPart when that is gone.
        """
        data = self.root / "usr/share/RHVoice"
        if not (data / "voices" / A_TESTER).is_dir():
            data = self.root.parent / "testing" / "usr/share/RHVoice"
        if not (data / "voices" / A_TESTER).is_dir():
            self._unpack_voices(self.root.parent / "testing")
        return {**self.environment(), "RHVOICE_DATA_PATH": str(data)}

    def _unpack_voices(self, into: Path) -> None:
        archives = sorted((self.root.parent / "archives").glob("rhvoice-russian_*.deb"))
        if not archives:
            raise MissingPart(
                "the voices that tests speak with",
                f"no package rhvoice-russian in {self.root.parent / 'archives'}",
                "make test fetches it",
            )
        with tempfile.TemporaryDirectory(dir=into.parent) as aside:
            subprocess.run(["dpkg-deb", "-x", archives[-1], aside], check=True)
            shutil.rmtree(into, ignore_errors=True)
            Path(aside).rename(into)
            Path(aside).mkdir()  # what the context will remove

    def certificates(self) -> Path:
        """The certificate authorities of the tree as one file."""
        bundle = self.root / "etc/ssl/certs/ca-certificates.crt"
        if not bundle.exists():
            single = sorted(self.root.glob("usr/share/ca-certificates/mozilla/*.crt"))
            bundle.parent.mkdir(parents=True, exist_ok=True)
            bundle.write_text("\n".join(certificate.read_text() for certificate in single))
        return bundle

    def check(self) -> dict[str, str]:
        """Start each program once; returns what each says of itself. MissingPart when one does not run."""
        return {
            "asterisk": self._says("usr/sbin/asterisk", "-V"),
            "RHVoice": self._says("usr/bin/RHVoice-test", "--version"),
            "espeak-ng": self._says("usr/bin/espeak-ng", "--version"),
            "sipp": self._says("usr/bin/sipp", "-v", exits=99),
        }

    def _says(self, program: str, argument: str, exits: int = 0) -> str:
        try:
            done = subprocess.run(
                self.command(program, argument),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._does_not_run(program, str(error)) from error
        if done.returncode not in {0, exits}:
            raise self._does_not_run(
                program, (done.stderr or done.stdout).strip()[-400:] or f"exit {done.returncode}"
            )
        return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "")

    def _does_not_run(self, program: str, why: str) -> MissingPart:
        return MissingPart(
            program, f"it does not run: {why}", f"remove {self.root} and start again: it is made anew"
        )
