"""`make model`, against a site of our own: Vosk's cannot be asked from every place tests run at."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import random
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ivr import model
from ivr.errors import MissingPart
from ivr.model import OFFICIAL, fetch
from ivr.settings import Settings
from ivr.speech.models import PARTS, is_model
from tests import sounds

PARTS_OF_ONE = {
    "am/final.mdl": random.Random(1).randbytes(5000),
    "conf/mfcc.conf": b"",
    "conf/model.conf": b"",
    "graph/Gr.fst": b"fst",
}


def zipped(files: dict[str, bytes], root: str = f"{OFFICIAL}/") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(root + name, content)
    return out.getvalue()


@dataclass
class Site:
    """What it offers, what it was asked, and how it misbehaves."""

    url: str = ""
    archive: bytes = b""
    entry: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    knows_ranges: bool = True
    breaks_off_after: int | None = None
    list_is: bytes | None = None

    def offer(self, archive: bytes, **entry: Any) -> None:
        self.archive = archive
        self.entry = {
            "name": OFFICIAL,
            "url": f"{self.url}{OFFICIAL}.zip",
            "md5": hashlib.md5(archive).hexdigest(),
            "size": len(archive),
            **entry,
        }

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name, wanted = request.path.rpartition("/")[2], request.headers.get("Range")
        self.asked.append((name, wanted))
        if name == "model-list.json":
            listed = json.dumps([{"name": "vosk-model-small-en-us-0.15"}, self.entry]).encode()
            self._send(request, 200, listed if self.list_is is None else self.list_is)
        elif name != f"{OFFICIAL}.zip":
            self._send(request, 404, b"")
        elif wanted and self.knows_ranges:
            self._send(request, 206, self.archive[int(wanted.removeprefix("bytes=").removesuffix("-")) :])
        else:
            self._send(request, 200, self.archive)

    def _send(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: self.breaks_off_after] if status != 200 or self.asked[1:] else content)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/vosk/models/"
    site.offer(zipped(PARTS_OF_ONE))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


Fetch = Callable[[], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def fetched(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetches the official one, without trying it: what the tests offer is none."""

    async def believe(fresh: Path, settings: Settings) -> None:
        assert fresh.name == OFFICIAL

    monkeypatch.setattr(model, "_try", believe)
    return lambda: fetch(OFFICIAL, folder, Settings(home=folder.parent), site.url)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".fetching"}


def test_a_model_is_fetched_unpacked_and_its_checksum_kept(site: Site, folder: Path, fetched: Fetch) -> None:
    assert fetched() == folder / OFFICIAL
    assert is_model(folder / OFFICIAL)
    assert (folder / OFFICIAL / "am/final.mdl").read_bytes() == PARTS_OF_ONE["am/final.mdl"]
    sha256 = hashlib.sha256(site.archive).hexdigest()
    assert (folder / f"{OFFICIAL}.sha256").read_text() == f"{sha256}  {OFFICIAL}.zip\n"
    assert left_in(folder) == {OFFICIAL, f"{OFFICIAL}.sha256"}


def test_what_is_there_is_not_fetched_again(
    site: Site, fetched: Fetch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched()
    before = len(site.asked)
    fetched()
    assert len(site.asked) == before
    assert "is there already" in capsys.readouterr().out


def test_a_download_that_broke_off_goes_on_where_it_ended(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(zipped({**PARTS_OF_ONE, "noise": bytes(range(256)) * 4}))
    site.breaks_off_after = 100
    with pytest.raises(MissingPart, match=r"broke off after 100 of \d+ bytes\n.*run `make model` again"):
        fetched()
    site.breaks_off_after = None
    fetched()
    assert (f"{OFFICIAL}.zip", "bytes=100-") in site.asked
    assert is_model(folder / OFFICIAL)


def test_a_site_that_only_gives_the_whole_is_taken_from_the_beginning(
    site: Site, folder: Path, fetched: Fetch
) -> None:
    folder.mkdir()
    (folder / f".{OFFICIAL}.zip").write_bytes(site.archive[:50])
    site.knows_ranges = False
    fetched()
    assert is_model(folder / OFFICIAL)


def test_what_is_not_what_the_list_says_is_thrown_away(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(site.archive, md5="0" * 32)
    with pytest.raises(MissingPart, match="what came is not what the list says: MD5"):
        fetched()
    assert left_in(folder) == set()
    site.offer(site.archive)
    fetched()
    assert is_model(folder / OFFICIAL)


def test_more_than_the_list_says_is_not_taken(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(site.archive, size=60)
    with pytest.raises(MissingPart, match="not what the list says"):
        fetched()
    assert left_in(folder) == set()


@pytest.mark.parametrize("name", ["../../escaped", f"{OFFICIAL}/../../escaped", "/tmp/escaped", "other/file"])
def test_an_archive_writes_nowhere_but_in_its_own_folder(
    site: Site, folder: Path, fetched: Fetch, name: str
) -> None:
    site.offer(zipped({name: b"!"}, root=""))
    with pytest.raises(MissingPart, match="which is not the model's"):
        fetched()
    assert not list(folder.parent.rglob("escaped"))


def test_an_archive_makes_no_links(site: Site, fetched: Fetch) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        link = zipfile.ZipInfo(f"{OFFICIAL}/graph")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc")
    site.offer(out.getvalue())
    with pytest.raises(MissingPart, match="which is not the model's"):
        fetched()


def test_an_archive_that_swells_is_not_unpacked_to_its_end(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(zipped({"am/final.mdl": bytes(50_000_000)}))
    with pytest.raises(MissingPart, match="swells to 10 times its size"):
        fetched()
    assert not list(folder.rglob("final.mdl"))


def test_a_torn_archive_is_thrown_away(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(site.archive[: len(site.archive) // 2])
    with pytest.raises(MissingPart, match="cannot be unpacked"):
        fetched()
    assert left_in(folder) == set()


def test_an_archive_without_a_model_is_none(site: Site, folder: Path, fetched: Fetch) -> None:
    site.offer(zipped({"README": b"moved"}))
    with pytest.raises(MissingPart, match="holds no model"):
        fetched()
    assert not (folder / OFFICIAL).exists()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"name": "vosk-model-small-ru-0.23"}, r"no such model; did you mean 'vosk-model-small-ru-0\.23'\?"),
        ({"url": "http://elsewhere/x.zip"}, "neither where it is nor its checksum"),
        ({"md5": "none"}, "neither where it is nor its checksum"),
        ({"size": 10**12}, "says it has 1000000000000 bytes"),
        ({"size": "much"}, "says it has much bytes"),
    ],
)
def test_a_strange_list_is_refused_in_words(
    site: Site, fetched: Fetch, entry: dict[str, Any], why: str
) -> None:
    site.offer(site.archive, **entry)
    with pytest.raises(MissingPart, match=why):
        fetched()


def test_a_page_that_is_no_list_is_refused_in_words(site: Site, fetched: Fetch) -> None:
    site.list_is = b"<html>log in to the wireless network"
    with pytest.raises(MissingPart, match="is not the list of models it was"):
        fetched()


def test_a_site_that_cannot_be_reached_is_one_sentence_and_other_ways(folder: Path) -> None:
    with pytest.raises(MissingPart) as refused:
        fetch(OFFICIAL, folder, Settings(), "http://127.0.0.1:1/vosk/models/")
    said = str(refused.value)
    assert "127.0.0.1 cannot be reached: [Errno 111] Connection refused\n" in said
    assert "by hand" in said
    assert "DOZVON_MODEL" in said
    assert len(said.splitlines()) == 2


def test_two_do_not_fetch_at_once(folder: Path, fetched: Fetch) -> None:
    folder.mkdir()
    with (folder / ".fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MissingPart, match="another `make model` is under way"):
            fetched()


def test_a_model_that_does_not_load_is_not_put_in_place(site: Site, folder: Path) -> None:
    with pytest.raises(MissingPart, match="cannot be loaded"):
        fetch(OFFICIAL, folder, Settings(home=folder.parent), site.url)
    assert not (folder / OFFICIAL).exists()


def test_a_real_model_is_fetched_and_tried(
    site: Site, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sounds.model()
    files = [path for path in real.rglob("*") if path.is_file()]
    site.offer(zipped({str(path.relative_to(real)): path.read_bytes() for path in files}))
    fetch(OFFICIAL, folder, Settings(home=folder.parent, native=tmp_path / "none"), site.url)
    assert all((folder / OFFICIAL / part).exists() for part in PARTS)
    assert "it loads; " in (said := capsys.readouterr().out) or "understood" in said


def test_the_command_says_what_is_wrong_and_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOZVON_HOME", str(tmp_path))
    monkeypatch.setattr(model, "fetch", refuse)
    assert model.main(["some"]) == 1
    assert capsys.readouterr().err == "make model: some: away\n  what to do: wait\n"


def refuse(name: str, *_: object) -> Path:
    raise MissingPart(name, "away", "wait")
