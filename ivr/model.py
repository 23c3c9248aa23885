"""`make model`: fetch the official small Russian speech model from Vosk's own site into `var/models`.

    python -m ivr.model [NAME]

The site's list says a model's address, size and MD5; the SHA-256 of what came is kept beside the model. A download
that was broken off goes on where it ended. The model appears under its name once it was tried, or not at all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import http.client
import json
import logging
import re
import shutil
import stat
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from tqdm import tqdm

from ivr.errors import DozvonError, MissingPart, did_you_mean
from ivr.settings import Settings
from ivr.speech.ears import open_ears, self_test
from ivr.speech.models import choose_model, is_model
from ivr.voices import voice

SITE = "https://alphacephei.com/vosk/models/"
LIST = "model-list.json"
OFFICIAL = "vosk-model-small-ru-0.22"

PATIENCE = 30.0
"""Seconds without a byte after which the site is given up."""
BLOCK = 1 << 18
LONGEST_LIST = 4 << 20
LARGEST = 4 << 30
"""Bytes of the largest archive that is fetched; the biggest Russian model has 1.8 GB."""
SWELLS = 10
"""An archive unpacks to at most so many times its size; a model to about twice."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as the site's list has it."""

    name: str
    url: str
    md5: str
    size: int


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make model", description="Fetch a speech model from Vosk's own site."
    )
    parser.add_argument("name", nargs="?", default=OFFICIAL, help=f"as the site calls it; default {OFFICIAL}")
    name = parser.parse_args(arguments).name
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = Settings.read()
        fetch(name, settings.home / "models", settings)
    except DozvonError as error:
        print(f"make model: {error}", file=sys.stderr)
    except OSError as error:
        print(f"make model: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nmake model: broken off; the next one goes on from here", file=sys.stderr)
    else:
        return 0
    return 1


def fetch(name: str, folder: Path, settings: Settings, site: str = SITE) -> Path:
    """The model's folder, fetched unless it is there. Raises MissingPart."""
    model = folder / name
    if is_model(model):
        print(f"{model} is there already")
        print(_taken_or_not(model, settings))
        return model
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        offer = _offer(name, site)
        archive = folder / f".{name}.zip"
        _download(offer, archive)
        digest = _checked(offer, archive)
        with _unpacked(offer, archive) as fresh:
            asyncio.run(_try(fresh, settings))
            fresh.replace(model)
        (folder / f"{name}.sha256").write_text(f"{digest}  {name}.zip\n")
        archive.unlink()
    print(_taken_or_not(model, settings))
    return model


def _taken_or_not(model: Path, settings: Settings) -> str:
    """Will the robot hear with it? And if not, what would make it."""
    choice = choose_model(settings)
    if choice.folder is not None and choice.folder.resolve() == model.resolve():
        return f"{model} is what the robot hears with from its next start on"
    instead = f"hears with {choice.folder}" if choice.folder else "asks for keys"
    return (
        f"{model} is here, but the robot {instead} ({choice.why})\n"
        f"to hear with the new one, set DOZVON_MODEL={model.resolve()} and start again; to compare them first:\n"
        f"    python -m bench.speech --model {model}"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time."""
    with (folder / ".fetching").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MissingPart(
                "the speech model", f"another `make model` is under way in {folder}", "wait for it"
            ) from error
        yield


def _offer(name: str, site: str) -> Offer:
    with _get(urljoin(site, LIST), name) as response:
        content = response.read(LONGEST_LIST)
    try:
        models = {entry["name"]: entry for entry in json.loads(content)}
    except (ValueError, TypeError, KeyError) as error:
        raise _trouble(name, f"{urljoin(site, LIST)} is not the list of models it was ({error!r})") from error
    if name not in models:
        raise _trouble(name, f"{site} has no such model{did_you_mean(name, models)}")
    entry = models[name]
    offer = Offer(name, str(entry.get("url")), str(entry.get("md5")).lower(), _size(entry))
    if not (offer.url.startswith(site) and re.fullmatch(r"[0-9a-f]{32}", offer.md5)):
        raise _trouble(name, f"{site} says neither where it is nor its checksum")
    if not 0 < offer.size <= LARGEST:
        raise _trouble(name, f"{site} says it has {entry.get('size')} bytes")
    return offer


def _size(entry: Any) -> int:
    try:
        return int(entry["size"])
    except (KeyError, TypeError, ValueError):
        return 0


def _download(offer: Offer, archive: Path) -> None:
    """Fetch what is still missing of the archive."""
    have = archive.stat().st_size if archive.exists() else 0
    if have >= offer.size:
        return
    with _get(offer.url, offer.name, begin=have) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # it begins from the beginning, and so do we
        with (
            archive.open("ab" if have else "wb") as file,
            tqdm(
                total=offer.size, initial=have, unit="B", unit_scale=True, desc=offer.name, file=sys.stdout
            ) as bar,
        ):
            try:
                while block := response.read(min(BLOCK, offer.size - file.tell())):
                    file.write(block)
                    bar.update(len(block))
            except (OSError, http.client.HTTPException) as error:
                raise _broken_off(offer, file.tell()) from error
    if (have := archive.stat().st_size) < offer.size:
        raise _broken_off(offer, have)


def _get(url: str, name: str, begin: int = 0) -> Any:
    request = urllib.request.Request(url, headers={"Range": f"bytes={begin}-"} if begin else {})  # noqa: S310 - ours
    host = urlsplit(url).hostname
    try:
        response = urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310 - https, but for the tests
    except urllib.error.HTTPError as error:
        error.close()
        raise _trouble(name, f"{url}: {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _trouble(name, f"{host} cannot be reached: {getattr(error, 'reason', error)}") from error
    if urlsplit(response.url).scheme != urlsplit(url).scheme:
        response.close()
        raise _trouble(name, f"{host} sends us elsewhere, to {response.url}")
    return response


def _checked(offer: Offer, archive: Path) -> str:
    """The archive's SHA-256; the archive is removed when it is not what the list says."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(BLOCK):
            md5.update(block)
            sha256.update(block)
    if md5.hexdigest() != offer.md5 or archive.stat().st_size != offer.size:
        archive.unlink()
        raise _trouble(
            offer.name, f"what came is not what the list says: MD5 {md5.hexdigest()}, not {offer.md5}"
        )
    return sha256.hexdigest()


@contextlib.contextmanager
def _unpacked(offer: Offer, archive: Path) -> Iterator[Path]:
    """The model, unpacked aside; what is left of it afterwards is removed."""
    aside = archive.with_name(f".{offer.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _unpack(offer, archive, aside)
        if not is_model(aside / offer.name):
            raise _trouble(offer.name, "the archive holds no model")
        yield aside / offer.name
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack(offer: Offer, archive: Path, to: Path) -> None:
    """Plain files under the model's own name, and no more of them than an archive of that size may hold."""
    left = SWELLS * offer.size
    try:
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                path = PurePosixPath(entry.filename)
                if (
                    path.parts[:1] != (offer.name,)
                    or ".." in path.parts
                    or stat.S_ISLNK(entry.external_attr >> 16)
                ):
                    raise _trouble(
                        offer.name, f"the archive holds {entry.filename!r}, which is not the model's"
                    )
                if entry.is_dir():
                    continue
                target = to.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as source, target.open("wb") as file:
                    while block := source.read(BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise _trouble(offer.name, f"the archive swells to {SWELLS} times its size")
                        file.write(block)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        archive.unlink()
        raise _trouble(offer.name, f"the archive cannot be unpacked: {error}") from error


async def _try(model: Path, settings: Settings) -> None:
    """Load it, and let it hear the hotline's own voice."""
    ears = open_ears(model)
    try:
        speaker = await voice(settings)
        if speaker is None:
            print("it loads; there is no voice here that could say something to it")
            return
        trial = await self_test(ears, speaker)
    finally:
        ears.close()
    for said, understood in zip(trial.said, trial.understood, strict=True):
        print(f"said «{said}», understood «{understood}»")


def _broken_off(offer: Offer, have: int) -> MissingPart:
    return MissingPart(
        f"the speech model {offer.name}",
        f"the download broke off after {have} of {offer.size} bytes",
        "run `make model` again: it goes on from there",
    )


def _trouble(name: str, why: str) -> MissingPart:
    return MissingPart(
        f"the speech model {name}",
        why,
        f"try again later, or unpack {name}.zip from {SITE} into var/models by hand, or name the folder of another "
        "model of Vosk's format in DOZVON_MODEL; until there is one the robot hears with what the project has, "
        "or asks for keys",
    )


if __name__ == "__main__":
    sys.exit(main())
