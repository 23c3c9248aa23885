"""Which speech model the robot hears with, and why: the setting's, or the first that is there in `models.toml`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.errors import MissingPart, did_you_mean
from ivr.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("models.toml")
PARTS = ("am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph")
"""What every model in Vosk's format holds."""
NO_MODEL = Path("none")
"""As a setting: keys only."""
OTHER_WAYS = "run `make model` to fetch one, or name a model's folder in DOZVON_MODEL"
OWN, FETCHED, SHARED = "own", "fetched", "shared"
NAMED = "DOZVON_MODEL names it"
LICENCE = re.compile(r"licen[cs]e|лицензи", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    folder: Path | None
    """None: only keys are answers."""
    why: str
    others: tuple[tuple[Path, str], ...] = ()
    """What else there is, and why not that."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A line of `models.toml`."""

    model: str
    why: str


def find_model(settings: Settings) -> Path | None:
    """The folder of the model to hear with, or None: then only keys are answers.

    Raises MissingPart when the settings name a folder that is no model.
    """
    return choose_model(settings).folder


def choose_model(settings: Settings) -> Choice:
    """The same with its reason. Raises MissingPart."""
    there = _there(settings)
    if settings.model == NO_MODEL:
        return Choice(None, "DOZVON_MODEL is none", _not_taken(list(there), "DOZVON_MODEL is none"))
    if settings.model is not None:
        check_model(settings.model)
        others = [folder for folder in there if folder.resolve() != settings.model.resolve()]
        return Choice(settings.model, NAMED, _not_taken(others, "DOZVON_MODEL names another"))
    ranks = read_ranks(FILE)
    ranked = [
        (rank, folder)
        for rank in ranks
        for folder, kind in there.items()
        if rank is _rank(ranks, folder, kind)
    ]
    if not ranked:
        return Choice(None, f"no model is here; {OTHER_WAYS}")
    (rank, folder), *rest = ranked
    later = f"{folder.name} comes first; to hear with it: DOZVON_MODEL="
    return Choice(folder, rank.why, tuple((other, f"{later}{other}") for _, other in rest))


def read_ranks(path: Path = FILE) -> tuple[Rank, ...]:
    """Best first. Raises MissingPart naming what is wrong."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(path, str(error)) from error
    for key in data:
        if key != "take":
            raise _wrong(path, f"{key}: no such key{did_you_mean(key, ['take'])}")
    lines = data.get("take")
    if not isinstance(lines, list) or not lines:
        raise _wrong(path, "take: [[take]] tables are wanted")
    ranks = tuple(_read_rank(path, number, line) for number, line in enumerate(lines, 1))
    for kind in (OWN, FETCHED, SHARED):
        if kind not in [rank.model for rank in ranks]:
            near = did_you_mean(kind, [rank.model for rank in ranks])
            raise _wrong(path, f"take: no line has model = {kind!r}{near}")
    return ranks


def is_model(folder: Path) -> bool:
    """Does it look like one? Whether it loads, `open_ears` tells."""
    return not _lacking(folder)


def check_model(folder: Path) -> None:
    """Raises MissingPart when it does not look like one."""
    if not folder.is_dir():
        raise MissingPart("the ears", f"{folder}: no such folder", OTHER_WAYS)
    if lacking := _lacking(folder):
        raise MissingPart("the ears", f"{folder} is no model: it lacks {', '.join(lacking)}", OTHER_WAYS)


def cannot_load(folder: Path, why: str) -> MissingPart:
    return MissingPart(
        "the ears", f"{folder} cannot be loaded: {why}", f"remove that folder and {OTHER_WAYS}"
    )


def native_rate(folder: Path) -> int:
    """What the model was made for, Hz. Raises MissingPart."""
    return round(float(mfcc_options(folder).get("sample-frequency", 16_000)))


def mfcc_options(folder: Path) -> dict[str, str]:
    """How it is to be fed, by its own `conf/mfcc.conf`. Raises MissingPart."""
    try:
        conf = (folder / "conf" / "mfcc.conf").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise cannot_load(folder, f"conf/mfcc.conf: {error}") from error
    return dict(re.findall(r"^\s*--([\w-]+)=(\S+)", conf, re.MULTILINE))


def made(folder: Path) -> Mapping[str, object]:
    """What the model says of itself in `made.json`; nothing where nobody has written one."""
    try:
        said = json.loads((folder / "made.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def name_of(folder: Path) -> str:
    """What it calls itself, which is one wherever it lies, or else its folder's name."""
    name = made(folder).get("name")
    return name if isinstance(name, str) and name else folder.name


def licence(folder: Path) -> str | None:
    """What the folder itself says of its licence: in `made.json`, or in a line of `README.md`."""
    said = made(folder)
    if isinstance(named := said.get("licence") or said.get("license"), str):
        return named
    try:
        lines = (folder / "README.md").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return next((line.strip(" #*-|") for line in lines if LICENCE.search(line)), None)


def _there(settings: Settings) -> dict[Path, str]:
    """Every model that is here and its kind, of one kind the newest first."""
    fetched = sorted(_models(settings.home / "models"), key=lambda model: model.stat().st_mtime, reverse=True)
    own = [model for model in [PROJECT / "ears" / "model"] if is_model(model)]
    shared = sorted(_models(PROJECT.parent / "shared" / "models"))
    return dict.fromkeys(own, OWN) | dict.fromkeys(fetched, FETCHED) | dict.fromkeys(shared, SHARED)


def _rank(ranks: tuple[Rank, ...], folder: Path, kind: str) -> Rank:
    """Its own line, where it has one and was fetched, or its kind's."""
    lines = {rank.model: rank for rank in ranks}
    return lines[folder.name] if kind == FETCHED and folder.name in lines else lines[kind]


def _not_taken(folders: list[Path], why: str) -> tuple[tuple[Path, str], ...]:
    return tuple((folder, why) for folder in folders)


def _read_rank(path: Path, number: int, line: Any) -> Rank:
    where = f"take, line {number}"
    if not isinstance(line, dict):
        raise _wrong(path, f"{where}: {line!r}: a [[take]] table is wanted")
    for key in line:
        if key not in Rank.__slots__:
            raise _wrong(path, f"{where}: {key}: no such key{did_you_mean(key, Rank.__slots__)}")
    for key in Rank.__slots__:
        if not (isinstance(line.get(key), str) and line[key]):
            raise _wrong(path, f"{where}: {key} = {line.get(key)!r}: words are wanted")
    return Rank(line["model"], line["why"])


def _wrong(path: Path, why: str) -> MissingPart:
    return MissingPart("the ears", f"{path.name}: {why}", "put it right")


def _models(folder: Path) -> Iterator[Path]:
    """The models in a folder of models; those that begin with a dot are still being made."""
    if folder.is_dir():
        yield from (model for model in folder.iterdir() if not model.name.startswith(".") and is_model(model))


def _lacking(folder: Path) -> list[str]:
    return [part for part in PARTS if not (folder / part).exists()]
