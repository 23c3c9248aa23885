from __future__ import annotations

import fcntl
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from appliance.secrets import Secrets
from ivr.errors import MissingPart


def test_secrets_are_made_once_and_are_the_same_ever_after(tmp_path: Path) -> None:
    assert Secrets.load(tmp_path) == Secrets.load(tmp_path)


def test_two_homes_have_different_secrets(tmp_path: Path) -> None:
    one, other = asdict(Secrets.load(tmp_path / "one")), asdict(Secrets.load(tmp_path / "other"))
    assert not set(one.values()) & set(other.values())


def test_two_processes_that_start_at_once_get_the_same_secrets(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)  # the other process is just making them
    with ThreadPoolExecutor() as pool:
        ours = pool.submit(Secrets.load, tmp_path)
        with pytest.raises(TimeoutError):
            ours.result(timeout=0.1)
        (tmp_path / "secrets.json").write_text('{"ami_secret": "the other\'s"}')
        os.close(other)
        assert ours.result(timeout=10).ami_secret == "the other's"


def test_only_the_owner_may_read_them_even_when_it_was_once_otherwise(tmp_path: Path) -> None:
    Secrets.load(tmp_path)
    file = tmp_path / "secrets.json"
    file.chmod(0o644)
    Secrets.load(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_came_with_an_update_is_added_and_the_others_stay(tmp_path: Path) -> None:
    before = Secrets.load(tmp_path)
    file = tmp_path / "secrets.json"
    kept = json.loads(file.read_text())
    del kept["panel_token"]
    file.write_text(json.dumps(kept))
    after = Secrets.load(tmp_path)
    assert after.panel_token
    assert after.postgres_password == before.postgres_password
    assert Secrets.load(tmp_path) == after


def test_a_secret_of_a_newer_version_is_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"future_key": "kept"}')
    Secrets.load(tmp_path)
    assert json.loads((tmp_path / "secrets.json").read_text())["future_key"] == "kept"


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    secrets = Secrets.load(tmp_path)
    assert not any(text in f"{secrets} {secrets!r}" for text in asdict(secrets).values())


@pytest.mark.parametrize("damage", ["{", "[]", '{"ami_secret": 5}', '{"ami_secret": ""}'])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(damage)
    with pytest.raises(MissingPart, match=r"secrets\.json"):
        Secrets.load(tmp_path)
    assert file.read_text() == damage
