"""The controller's own wiring: one AGI session from its greeting to the dialplan's next step."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivr import app
from ivr.__main__ import main
from ivr.app import Controller
from ivr.asterisk.agi import AgiServer
from ivr.call import Call, Direction, Fact, Kind
from ivr.errors import Disconnected, LedgerAway, MissingPart, PeerError
from ivr.settings import HERE, Settings
from ivr.speech.sound import Sound
from ivr.ticks import tick
from tests.fakes import NOON, FakeDesk, FakeStore
from tests.stories import CALL, CALLER, DIALLED

COMPANY = {
    "id": 7,
    "code": "severnaya",
    "name": "УК «Северная»",
    "greeting": "Здравствуйте! Северная.",
    "phrases": "{}",
    "time_zone": "Europe/Moscow",
    "queue": "north",
    "lines": [DIALLED],
}


class Whistler:
    """A voice that is quick."""

    identity = "whistler"

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def speak(self, text: str) -> Sound:
        self.spoken.append(text)
        return Sound(np.sin(np.arange(2400) / 10).astype(np.float32) * 0.3, 24_000)


class Asterisk:
    """The other end of one session: answers each command as its prompt says, and writes down what it was told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.presses: dict[str, str] = {}
        """Part of a sound file's name: the key pressed while it plays; "hang up" hangs up."""
        self.commands: list[str] = []

    async def calls(self, script: str = "incoming", argument: str = "", dialled: str = DIALLED) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        env = {
            "network_script": script,
            "uniqueid": CALL,
            "callerid": CALLER,
            "extension": dialled,
            "arg_1": argument,
        }
        writer.write(("".join(f"agi_{name}: {value}\n" for name, value in env.items()) + "\n").encode())
        async with asyncio.timeout(10):
            while line := (await reader.readline()).decode().strip():
                self.commands.append(line)
                writer.write(self._answer(line))
        writer.close()

    def _answer(self, command: str) -> bytes:
        pressed = [key for part, key in self.presses.items() if part in command]
        if "hang up" in pressed:
            return b"HANGUP\n"
        key = ord(pressed[0]) if pressed and command.startswith("STREAM FILE") else 0
        return f"200 result={key} endpos=160\n".encode()

    @property
    def left(self) -> str:
        """What the dialplan was left with."""
        return self.commands[-1]


class Desk:
    def __init__(self, folder: Path) -> None:
        self.store = FakeStore({"directory.companies": [COMPANY]})
        self.voice = Whistler()
        settings = replace(
            Settings(), home=folder / "home", dialplan=shutil.copytree(HERE / "dialplan", folder / "dialplan")
        )
        self.controller = Controller(settings, self.store, self.voice)  # type: ignore[arg-type]
        self.asterisk: Asterisk

    def noted(self, kind: Kind) -> list[dict[str, Any]]:
        return [each["detail"] for each in self.store.of("calls.note") if each["kind"] is kind]

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.controller.settings.dialplan / file
        text, stamp = path.read_text("utf-8"), path.stat().st_mtime_ns + 10**9
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        os.utime(path, ns=(stamp, stamp))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    await desk.controller.prepare()
    async with AgiServer(desk.controller.converse, "127.0.0.1", 0) as server:
        assert server._server is not None
        desk.asterisk = Asterisk(server._server.sockets[0].getsockname()[1])
        yield desk
        await desk.controller.aclose()


def of_prompt(desk: Desk, name: str) -> str:
    """The sound file a prompt of the company is."""
    return str(desk.controller.narrator.of(desk.controller.book.companies[0])[name])


async def test_an_emergency_is_left_in_its_company_s_queue_ahead_of_others(desk: Desk) -> None:
    desk.asterisk.presses = {of_prompt(desk, "menu_main"): "1"}
    await desk.asterisk.calls()
    assert desk.asterisk.commands[0] == "ANSWER"
    assert desk.asterisk.left == 'EXEC "MSet" "PLACE=queue,QUEUE=north,QUEUE_PRIO=20,CATEGORY=emergency"'
    assert desk.noted(Kind.KEY) == [{"key": "1"}]


async def test_the_company_greets_in_its_own_words(desk: Desk) -> None:
    await desk.asterisk.calls()
    assert desk.asterisk.commands[1].startswith(f'STREAM FILE "{of_prompt(desk, "welcome")}"')
    assert "Здравствуйте! Северная." in desk.voice.spoken


async def test_who_dials_nobody_s_line_is_greeted_and_answered_all_the_same(desk: Desk) -> None:
    await desk.asterisk.calls(dialled="+74950000000")
    assert desk.asterisk.left == 'EXEC "MSet" "PLACE=queue,QUEUE=dispatch,QUEUE_PRIO=5,CATEGORY=other"'


@pytest.mark.parametrize(("status", "prompt"), [("JOINEMPTY", "no_dispatcher"), ("TIMEOUT", "all_busy")])
async def test_whom_the_queue_gives_back_is_told_why_and_asked_for_a_message(
    desk: Desk, status: str, prompt: str
) -> None:
    await desk.asterisk.calls()
    desk.asterisk.commands.clear()
    await desk.asterisk.calls("unanswered", status)
    assert of_prompt(desk, prompt) in desk.asterisk.commands[0]
    assert desk.asterisk.left == 'EXEC "MSet" "PLACE=voicemail"'


async def test_a_call_the_controller_does_not_know_yet_is_left_to_the_static_route(desk: Desk) -> None:
    await desk.asterisk.calls("unanswered", "TIMEOUT")
    assert not desk.asterisk.commands
    assert not desk.store.of("calls.save")


async def test_a_caller_who_hangs_up_is_no_error(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.asterisk.presses = {of_prompt(desk, "recording_notice"): "hang up"}
    await desk.asterisk.calls()
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
    assert "MSet" not in desk.asterisk.left


async def test_a_conversation_nobody_knows_is_refused(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.asterisk.calls()
    desk.asterisk.commands.clear()
    await desk.asterisk.calls("frobnicate")
    assert "no conversation is called 'frobnicate'" in caplog.records[-1].__dict__["why"]
    assert not desk.asterisk.commands


async def test_the_directory_is_asked_who_calls_while_the_greeting_plays(desk: Desk) -> None:
    await desk.asterisk.calls()
    (question,) = [values for name, values in desk.store.asked if name == "directory.who_calls"]
    assert (question["phone"], question["line"]) == (CALLER, DIALLED)


@pytest.mark.parametrize("failure", [LedgerAway("Postgres does not answer"), TimeoutError()])
async def test_a_directory_that_is_away_does_not_hold_the_call_up(
    desk: Desk, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: dict[str, Any]) -> list[Any]:
        raise failure

    desk.store.rows["directory.who_calls"] = away
    await desk.asterisk.calls()
    assert desk.asterisk.left.startswith('EXEC "MSet" "PLACE=queue')
    assert "the directory could not be asked; the call goes on" in caplog.text


# -- edits while the hotline runs


async def test_a_good_edit_is_in_force_for_the_next_call(desk: Desk) -> None:
    desk.edit("menus.toml", '1 = "queue:emergency"', '1 = "queue:danger"')
    await desk.controller.look_at_dialplan()
    desk.asterisk.presses = {of_prompt(desk, "menu_main"): "1"}
    await desk.asterisk.calls()
    assert "QUEUE_PRIO=30" in desk.asterisk.left


async def test_an_edit_that_names_a_prompt_nobody_wrote_is_refused(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    rules = desk.controller.keeper.rules
    desk.edit("menus.toml", 'prompt = "menu_main"', 'prompt = "menu_mian"')
    await desk.controller.look_at_dialplan()
    assert desk.controller.keeper.rules is rules
    assert "did you mean 'menu_main'?" in caplog.text
    assert desk.controller.keeper.refused is not None, "the panel says so"


async def test_an_edit_the_voice_cannot_speak_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = desk.controller.keeper.rules

    async def hoarse(_: str) -> Sound:
        raise MissingPart("the voice", "it is hoarse", "wait")

    monkeypatch.setattr(desk.voice, "speak", hoarse)
    desk.edit("phrases/ru.toml", "Такой кнопки в меню нет.", "Нет такой кнопки.")
    await desk.controller.look_at_dialplan()
    assert desk.controller.keeper.rules is rules
    assert desk.controller.keeper.refused is not None


async def test_a_new_wording_is_spoken_at_the_next_call(desk: Desk) -> None:
    before = of_prompt(desk, "wrong_key")
    desk.edit("phrases/ru.toml", "Такой кнопки в меню нет.", "Нет такой кнопки.")
    await desk.controller.look_at_dialplan()
    assert "Нет такой кнопки." in desk.voice.spoken
    assert of_prompt(desk, "wrong_key") != before


async def test_prompts_are_rendered_once(desk: Desk) -> None:
    spoken = len(desk.voice.spoken)
    await desk.controller.prepare()
    assert len(desk.voice.spoken) == spoken


async def test_the_static_route_has_its_prompts_by_their_plain_names(desk: Desk) -> None:
    static = desk.controller.settings.static_folder
    for name in ("static_welcome", "all_busy", "callback_promise", "voicemail_thanks"):
        assert list(static.glob(f"{name}.*")), name


# -- who calls herself while she is being called back


def called_back(desk: Desk, number: str = CALLER) -> Call:
    return desk.controller.switchboard.open("dozvon-callback-7-1", NOON, number, DIALLED, Direction.CALLBACK)


@pytest.fixture
def queues(desk: Desk) -> FakeDesk:
    fake = FakeDesk()
    desk.controller.desk = fake  # type: ignore[assignment]
    return fake


async def _settled(desk: Desk) -> None:
    await asyncio.gather(*desk.controller._tasks)


async def test_a_call_back_nobody_has_taken_yet_is_taken_back_when_she_calls(
    desk: Desk, queues: FakeDesk
) -> None:
    called_back(desk)
    await desk.asterisk.calls()
    await _settled(desk)
    assert queues.taken_back == ["dozvon-callback-7-1"]


async def test_a_call_back_a_dispatcher_has_taken_goes_on_when_she_calls(
    desk: Desk, queues: FakeDesk
) -> None:
    call = called_back(desk)
    desk.controller.switchboard.take(Fact(call.id, NOON, Kind.ACCEPTED, "accepted/1", "101"))
    await desk.asterisk.calls()
    await _settled(desk)
    assert not queues.taken_back


async def test_somebody_elses_call_back_is_left_alone(desk: Desk, queues: FakeDesk) -> None:
    called_back(desk, "+79000000002")
    await desk.asterisk.calls()
    await _settled(desk)
    assert not queues.taken_back


async def test_a_call_back_that_has_ended_already_is_not_taken_back(desk: Desk, queues: FakeDesk) -> None:
    call = called_back(desk)
    desk.controller.switchboard.take(Fact(call.id, NOON, Kind.ENDED, "ended/1"))
    await desk.asterisk.calls()
    await _settled(desk)
    assert not queues.taken_back


async def test_a_second_call_back_takes_none_back(desk: Desk, queues: FakeDesk) -> None:
    called_back(desk)
    desk.controller.switchboard.open("dozvon-callback-8-1", NOON, CALLER, DIALLED, Direction.CALLBACK)
    await _settled(desk)
    assert not queues.taken_back


# -- ticks and what is asked for soon


async def test_what_is_asked_for_many_times_is_done_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SETTLE", 0.01)
    done: asyncio.Queue[None] = asyncio.Queue()

    async def work() -> None:
        done.put_nowait(None)

    for _ in range(20):
        desk.controller.soon("directory", work)
    async with asyncio.timeout(5):
        await done.get()
    assert done.empty()
    desk.controller.soon("directory", work)
    async with asyncio.timeout(5):
        await done.get()


@pytest.mark.parametrize(
    "failure", [OSError("away"), TimeoutError(), PeerError("no"), Disconnected("gone"), ValueError()]
)
async def test_a_tick_that_fails_is_said_and_comes_again(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise failure

    await tick(fails)
    assert "a tick failed and comes again" in caplog.text


# -- the command that only looks


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logging_as_before: None) -> Callable[[], int]:
    folder = shutil.copytree(HERE / "dialplan", tmp_path / "dialplan")
    monkeypatch.setenv("DOZVON_DIALPLAN", str(folder))
    return lambda: main(["check"])


def test_check_says_what_is_good(check: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == 0
    assert capsys.readouterr().out.startswith("good: 2 menus, 5 ways to the queue, ")


def test_check_names_a_prompt_nobody_wrote_and_a_category_nobody_knows(
    check: Callable[[], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queues = tmp_path / "dialplan" / "queues.toml"
    text = queues.read_text("utf-8").replace('"danger_hold"', '"danger_hald"')
    queues.write_text(text.replace('category = "planned"', 'category = "plant"'), "utf-8")
    assert check() == 1
    said = capsys.readouterr().err
    assert "did you mean 'danger_hold'?" in said
    assert "queues.toml: planned.category = 'plant': no such category" in said


def test_a_wrong_setting_ends_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOZVON_SIP_PROT", "5060")
    assert main(["check"]) == 1
    assert "did you mean 'DOZVON_SIP_PORT'?" in capsys.readouterr().err
