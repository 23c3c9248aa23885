from __future__ import annotations

import asyncio
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from appliance.supervisor import MOST_FILES, ROTATE_AT, Part, Pauses, Supervisor, hold, open_log, tied
from ivr.errors import MissingPart, Refused


def test_the_pause_doubles_from_a_fifth_of_a_second_to_half_a_minute() -> None:
    pauses = Pauses()
    assert [pauses.after(lived=1) for _ in range(10)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_a_minute_of_health_brings_the_pause_back_to_the_beginning() -> None:
    pauses = Pauses()
    for _ in range(5):
        pauses.after(lived=1)
    assert [pauses.after(lived=60), pauses.after(lived=1)] == [0.2, 0.4]


class Days:
    """Virtual time: a pause passes at once and is written down; small looks are let through."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def days() -> Days:
    return Days()


@pytest.fixture
async def supervise(tmp_path: Path, days: Days) -> AsyncIterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def supervisor(*parts: Part) -> Supervisor:
        made.append(Supervisor(parts, tmp_path / "log", clock=days.clock, sleep=days.sleep))
        return made[-1]

    yield supervisor
    for each in made:
        await each.stop()


async def until(true: Callable[[], bool], what: str) -> None:
    """A named wait."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.005)


def sleeper(name: str = "sleeper", **more: object) -> Part:
    return Part(name=name, command=("sleep", "600"), **more)  # type: ignore[arg-type]


def shell(script: str, name: str = "shell", **more: object) -> Part:
    return Part(name=name, command=("/bin/sh", "-c", script), **more)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether it runs; a zombie nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_parts_start_in_order_each_ready_before_the_next(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    async def first_is_ready() -> bool:
        return (tmp_path / "ready").exists()

    first = shell(f"touch {tmp_path}/ready; exec sleep 600", "first", ready=first_is_ready)
    second = shell(f"test -e {tmp_path}/ready && touch {tmp_path}/in-order; exec sleep 600", "second")
    await supervise(first, second).start()
    await until((tmp_path / "in-order").exists, "the second part, started after the first was ready")


async def test_a_part_may_open_as_many_files_as_the_machine_allows(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    supervisor = supervise(shell("ulimit -n; sleep 600"))
    await supervisor.start()
    told = tmp_path / "log" / "shell.log"
    await until(lambda: told.exists() and bool(told.read_text().strip()), "the limit")
    assert int(told.read_text()) == min(hard, MOST_FILES)


async def test_a_killed_part_is_started_again_and_the_log_says_so(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(sleeper())
    await supervisor.start()
    first = supervisor.processes["sleeper"]
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: supervisor.processes["sleeper"] is not first, "another process")
    assert "sleeper died (exit -9), starting again in 0.2 s" in caplog.messages


async def test_a_part_that_keeps_dying_waits_longer_each_time(
    supervise: Callable[..., Supervisor], days: Days
) -> None:
    supervisor = supervise(shell("exit 3"))
    await supervisor.start()
    await until(lambda: len(days.pauses) >= 4, "four deaths")
    assert days.pauses[:4] == [0.2, 0.4, 0.8, 1.6]


async def test_a_part_that_runs_but_does_not_answer_any_more_is_killed_and_started_again(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    frozen: set[int] = set()

    async def answers() -> bool:
        return supervisor.processes["sleeper"].pid not in frozen

    supervisor = supervise(sleeper(alive=answers))
    await supervisor.start()
    first = supervisor.processes["sleeper"]
    frozen.add(first.pid)
    await until(lambda: supervisor.processes["sleeper"] is not first, "another process")
    assert first.returncode == -signal.SIGKILL
    assert "sleeper does not answer any more, killing it" in caplog.text


async def test_a_restart_that_fails_is_tried_again_too(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Process] = []

    async def start() -> Process:
        if len(started) == 1:
            started.append(started[0])
            raise MissingPart("part", "its port is taken", "wait")
        started.append(await asyncio.create_subprocess_exec("sleep", "600"))
        return started[-1]

    await supervise(Part(name="part", start=start)).start()
    started[0].kill()
    await until(lambda: len(started) == 3, "a third start")
    assert any("its port is taken" in line and "starting again in 0.4 s" in line for line in caplog.messages)


async def test_a_part_that_ends_at_once_is_told_with_the_end_of_its_log(
    supervise: Callable[..., Supervisor],
) -> None:
    async def never() -> bool:
        return False

    part = shell("echo 'no such module' >&2; exit 1", ready=never)
    with pytest.raises(MissingPart, match=r"shell: it ended at once \(exit 1\): no such module"):
        await supervise(part).start()


async def test_a_part_that_is_not_ready_in_time_is_stopped_and_told(
    supervise: Callable[..., Supervisor],
) -> None:
    async def never() -> bool:
        return False

    supervisor = supervise(sleeper(ready=never, patience=0.1))
    with pytest.raises(MissingPart, match="sleeper: not ready within"):
        await supervisor.start()
    assert supervisor.processes["sleeper"].returncode is not None


async def test_parts_are_stopped_in_reverse_order(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    supervisor = supervise(sleeper("first"), sleeper("second"))
    await supervisor.start()
    await supervisor.stop()
    assert [line for line in caplog.messages if "stopped" in line] == ["second stopped", "first stopped"]


async def test_a_part_that_does_not_hear_the_stop_signal_is_killed(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    async def ready() -> bool:
        return (tmp_path / "deaf").exists()

    part = shell(
        f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.05; done", ready=ready, stop_within=0.1
    )
    supervisor = supervise(part)
    await supervisor.start()
    await supervisor.stop()
    assert supervisor.processes["shell"].returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_run_and_leaves_no_process_behind(
    supervise: Callable[..., Supervisor], number: signal.Signals
) -> None:
    supervisor = supervise(sleeper("first"), sleeper("second"))
    await supervisor.run(when_ready=lambda: os.kill(os.getpid(), number))
    assert not any(alive(process.pid) for process in supervisor.processes.values())


async def test_a_signal_while_a_part_is_still_starting_ends_the_run_too(
    supervise: Callable[..., Supervisor],
) -> None:
    async def never() -> bool:
        supervisor.ask_to_stop()
        return False

    supervisor = supervise(sleeper("ready"), sleeper("starting", ready=never))
    await supervisor.run()
    assert not any(alive(process.pid) for process in supervisor.processes.values())


def test_a_child_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    script = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); input()"
    command = [sys.executable, "-c", script, *tied(["/bin/sh", "-c", f"touch {tmp_path}/up; exec sleep 600"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        asyncio.run(until((tmp_path / "up").exists, "the child"))
        parent.kill()
    asyncio.run(until(lambda: not alive(child), "the end of the child"))


def test_a_large_log_is_put_aside_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_bytes(b"x" * (ROTATE_AT + 1))
    with open_log(tmp_path, "part") as out:
        os.write(out, b"new")
    assert (tmp_path / "part.log").read_text() == "new"
    assert (tmp_path / "part.log.1").stat().st_size == ROTATE_AT + 1


def test_a_second_one_is_refused_by_the_name_and_pid_of_the_first(tmp_path: Path) -> None:
    first = hold(tmp_path / "lock", "the hotline")
    with pytest.raises(Refused, match=re.escape(f"process {os.getpid()}")):
        hold(tmp_path / "lock", "the hotline")
    os.close(first)
    os.close(hold(tmp_path / "lock", "the hotline"))
