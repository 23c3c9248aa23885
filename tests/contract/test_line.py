"""What every `Line` does, whoever carries it: the fake one of the unit tests and the real one on Asterisk.

A test gives a script of what the resident does and a conversation; the rig runs both against each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from appliance.native import Native
from demo.softphone import PhoneCall, Softphone
from demo.sound import to_wav, tone
from ivr.asterisk.agi import AgiServer, Session
from ivr.asterisk.line import AgiLine
from ivr.call import Fact, Kind
from ivr.errors import HungUp
from ivr.line import Line
from tests.fakes import NOON, Act, FakeLine, hangs_up, presses

LASTS = {"greeting": 1.0, "notice": 1.0, "menu": 1.0, "word": 0.2}
"""Every prompt the conversations may say, and its length in seconds."""

Conversation = Callable[[Line], Awaitable[Any]]


@dataclass
class Seen:
    """What came of a conversation."""

    result: Any = None
    hung_up: bool = False
    notes: list[tuple[Kind, dict[str, Any]]] = field(default_factory=list)
    """With the prompts and the keys, in the order in which they were noted."""
    seconds: float = 0.0
    """How long the conversation took."""

    @property
    def said(self) -> list[str]:
        return [detail["prompt"] for kind, detail in self.notes if kind is Kind.PROMPT]

    @property
    def pressed(self) -> list[str]:
        return [detail["key"] for kind, detail in self.notes if kind is Kind.KEY]


class Rig(Protocol):
    async def __call__(self, conversation: Conversation, *acts: Act) -> Seen: ...


async def fake(conversation: Conversation, *acts: Act) -> Seen:
    line, seen = FakeLine(*acts, lasts=LASTS), Seen()
    try:
        await line.answer()
        seen.result = await conversation(line)
    except HungUp:
        seen.hung_up = True
    seen.notes, seen.seconds = line.notes, (line.clock() - NOON).total_seconds()
    return seen


@pytest.fixture(params=["fake", "real"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield fake
        return
    exchange: Exchange = request.getfixturevalue("exchange")
    async with AgiServer(exchange.handle, "127.0.0.1", exchange.agi):
        yield exchange.play


# -- the real one: a small Asterisk that asks our door, and a softphone that dials it


MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip
res_pjsip_session res_pjsip_pubsub res_pjsip_authenticator_digest res_pjsip_endpoint_identifier_user
res_pjsip_sdp_rtp res_pjsip_caller_id res_rtp_asterisk chan_pjsip res_stasis res_speech res_agi bridge_simple
codec_alaw codec_resample format_wav pbx_config
"""

FILES = {
    "modules.conf": "[modules]\nautoload = no\n" + "\n".join(f"load = {name}.so" for name in MODULES.split()),
    "pjsip.conf": """
[global]
type = global
endpoint_identifier_order = auth_username,username
[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{sip}
[resident]
type = endpoint
context = from-trunk
disallow = all
allow = alaw
direct_media = no
rtp_symmetric = yes
dtmf_mode = rfc4733
identify_by = auth_username
trust_id_inbound = yes
auth = resident
[resident]
type = auth
auth_type = digest
username = resident
password = fictional
""",
    "extensions.conf": """
[from-trunk]
exten => _[+0-9].,1,AGI(agi://127.0.0.1:{agi}/contract)
 same => n,Hangup()
""",
    "rtp.conf": "[general]\nrtpstart = {rtp}\nrtpend = {rtp_end}\n",
}


@dataclass
class Exchange:
    """The small Asterisk, with the conversation that the next call is to have."""

    sip: int
    agi: int
    prompts: dict[str, Path]
    play_next: tuple[Conversation, tuple[Act, ...]] | None = None
    call: PhoneCall | None = None
    seen: asyncio.Future[Seen] | None = None
    acting: set[asyncio.Task[None]] = field(default_factory=set)

    async def play(self, conversation: Conversation, *acts: Act) -> Seen:
        self.play_next, self.seen = (conversation, acts), asyncio.get_running_loop().create_future()
        server = f"127.0.0.1:{self.sip}"
        resident = Softphone("resident", "fictional", server=server, caller="+79000000001", register=False)
        async with resident:
            self.call = await resident.dial("+74951230001")
            async with asyncio.timeout(20):
                seen = await self.seen
            await asyncio.gather(*self.acting)
            await self.call.ended(within=5)
        return seen

    async def handle(self, session: Session) -> None:
        """The AGI session of the call that was dialled."""
        assert self.play_next and self.seen
        conversation, acts = self.play_next
        seen = Seen()

        def take(fact: Fact) -> None:
            seen.notes.append((fact.kind, dict(fact.detail)))
            if fact.kind is Kind.PROMPT:
                prompt = fact.detail["prompt"]
                for act in acts:
                    if (act.prompt, act.nth) == (prompt, seen.said.count(prompt)):
                        task = asyncio.create_task(self._act(act))
                        self.acting.add(task)
                        task.add_done_callback(self.acting.discard)

        line = AgiLine(session, self.prompts, take, lambda: datetime.now(UTC))
        try:
            await line.answer()
            began = time.monotonic()
            seen.result = await conversation(line)
            seen.seconds = time.monotonic() - began
        except HungUp:
            seen.hung_up = True
        except Exception as error:
            self.seen.set_exception(error)
            return
        self.seen.set_result(seen)

    async def _act(self, act: Act) -> None:
        assert self.call
        await asyncio.sleep(act.after)  # the resident's own pace, part of the script
        if act.key is None:
            await self.call.hang_up()
        else:
            await self.call.press(act.key)


@pytest.fixture(scope="module")
def exchange(native: Native, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    home = tmp_path_factory.mktemp("line")
    exchange = Exchange(free_port(socket.SOCK_DGRAM), free_port(), {name: home / name for name in LASTS})
    for name, seconds in LASTS.items():
        to_wav(tone(440, seconds), home / f"{name}.wav")
    folders = {"astetcdir": home, "astmoddir": native.asterisk_modules, "astdatadir": native.asterisk_data}
    own = ("astvarlibdir", "astdbdir", "astkeydir", "astagidir", "astspooldir", "astrundir", "astlogdir")
    folders |= dict.fromkeys(own, home)
    lines = "\n".join(f"{name} => {folder}" for name, folder in folders.items())
    (home / "asterisk.conf").write_text(f"[directories]\n{lines}\n")
    rtp = min(free_port(socket.SOCK_DGRAM), 65_400)
    ports = {"sip": exchange.sip, "agi": exchange.agi, "rtp": rtp, "rtp_end": rtp + 99}
    for name, text in FILES.items():
        (home / name).write_text(text.format(**ports))
    command = native.command("usr/sbin/asterisk", "-C", home / "asterisk.conf")
    with (home / "console").open("w") as console:
        process = subprocess.Popen([*command, "-f"], stdout=console, stderr=subprocess.STDOUT)
    try:
        until_booted(command, process)
        yield exchange
    finally:
        process.terminate()
        process.wait(timeout=20)


def until_booted(command: list[str], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    ask = [*command, "-rx", "core waitfullybooted"]
    while "fully booted" not in subprocess.run(ask, capture_output=True, text=True, check=False).stdout:
        assert process.poll() is None, "Asterisk ended while starting"
        assert time.monotonic() < deadline, "Asterisk was not ready within 30 s"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, kind)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the contract


async def test_prompts_are_said_in_their_order(rig: Rig) -> None:
    async def conversation(line: Line) -> None:
        await line.say("word", "greeting")
        await line.say("word")

    seen = await rig(conversation)
    assert seen.said == ["word", "greeting", "word"]
    assert not seen.hung_up


async def test_a_key_pressed_during_the_prompt_is_taken(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("menu", wait=5), presses("1", during="menu"))
    assert seen.result == "1"
    assert seen.notes == [
        (Kind.PICKED_UP, {}), (Kind.PROMPT, {"prompt": "menu", "menu": True}), (Kind.KEY, {"key": "1"}),
    ]  # fmt: skip


async def test_a_key_ends_the_prompt(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("menu", wait=5), presses("1", during="menu", after=0.1))
    assert seen.seconds < 0.9


async def test_a_key_pressed_after_the_prompt_is_waited_for(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("word", wait=5), presses("2", during="word", after=0.8))
    assert seen.result == "2"
    assert seen.pressed == ["2"]


async def test_silence_is_an_answer(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("word", wait=0.3))
    assert seen.result is None
    assert (seen.hung_up, seen.pressed) == (False, [])


async def test_after_silence_the_next_question_is_heard(rig: Rig) -> None:
    async def conversation(line: Line) -> list[str | None]:
        return [await line.ask("word", wait=0.3), await line.ask("menu", wait=5)]

    seen = await rig(conversation, presses("3", during="menu"))
    assert seen.result == [None, "3"]


@pytest.mark.parametrize("key", "0*#9")
async def test_every_kind_of_key_is_a_key(rig: Rig, key: str) -> None:
    seen = await rig(lambda line: line.ask("menu", wait=5), presses(key, during="menu", after=0.3))
    assert seen.result == key


async def test_a_key_pressed_during_a_greeting_waits_for_the_question(rig: Rig) -> None:
    async def conversation(line: Line) -> str | None:
        await line.say("greeting", "word")
        return await line.ask("menu", wait=5)

    seen = await rig(conversation, presses("4", during="greeting"))
    assert seen.result == "4"
    assert seen.said == ["greeting"], "who knows the way walks fast"


async def test_a_key_is_taken_only_once(rig: Rig) -> None:
    async def conversation(line: Line) -> list[str | None]:
        await line.say("greeting")
        return [await line.ask("word", wait=0.3), await line.ask("word", wait=0.3)]

    seen = await rig(conversation, presses("5", during="greeting"))
    assert seen.result == ["5", None]
    assert seen.said == ["greeting", "word"]


async def test_what_must_be_heard_whole_goes_on_under_a_key(rig: Rig) -> None:
    async def conversation(line: Line) -> str | None:
        await line.say("notice", whole=True)
        await line.say("greeting")
        return await line.ask("menu", wait=5)

    seen = await rig(conversation, presses("1", during="notice", after=0.3))
    assert seen.result == "1"
    assert seen.said == ["notice"]
    assert seen.seconds > 0.9, "the rest of the notice was not heard"


async def test_a_whole_prompt_is_said_even_while_a_key_waits(rig: Rig) -> None:
    async def conversation(line: Line) -> str | None:
        await line.say("greeting")
        await line.say("notice", whole=True)
        return await line.ask("menu", wait=5)

    seen = await rig(conversation, presses("1", during="greeting", after=0.3))
    assert seen.result == "1"
    assert seen.said == ["greeting", "notice"]


async def test_of_two_keys_the_first_counts(rig: Rig) -> None:
    async def conversation(line: Line) -> str | None:
        await line.say("notice", whole=True)
        return await line.ask("menu", wait=5)

    twice = presses("1", during="notice", after=0.2), presses("2", during="notice", after=0.6)
    seen = await rig(conversation, *twice)
    assert seen.result == "1"
    assert seen.pressed == ["1", "2"]


@pytest.mark.parametrize("whole", [False, True])
async def test_hanging_up_during_a_prompt_ends_the_conversation(rig: Rig, whole: bool) -> None:
    async def conversation(line: Line) -> None:
        await line.say("greeting", whole=whole)
        await line.say("word")

    seen = await rig(conversation, hangs_up(during="greeting", after=0.4))
    assert seen.hung_up
    assert seen.said == ["greeting"]


async def test_hanging_up_during_a_question_is_not_silence(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("menu", wait=5), hangs_up(during="menu", after=0.4))
    assert seen.hung_up


async def test_hanging_up_while_a_key_is_awaited_is_not_silence(rig: Rig) -> None:
    seen = await rig(lambda line: line.ask("word", wait=10), hangs_up(during="word", after=0.8))
    assert seen.hung_up


async def test_hanging_up_with_a_key_waiting_is_told_at_the_next_prompt(rig: Rig) -> None:
    async def conversation(line: Line) -> None:
        await line.say("notice", whole=True)
        await line.ask("menu", wait=5)
        await line.say("greeting")
        await line.say("greeting")

    acts = presses("1", during="notice", after=0.2), hangs_up(during="greeting", after=0.4)
    seen = await rig(conversation, *acts)
    assert seen.hung_up
    assert seen.said == ["notice", "greeting"]


@pytest.mark.parametrize("then", ["say", "ask", "answer"])
async def test_whoever_has_hung_up_stays_gone(rig: Rig, then: str) -> None:
    async def conversation(line: Line) -> None:
        with contextlib.suppress(HungUp):
            await line.say("greeting")
        match then:
            case "say":
                await line.say("word")
            case "ask":
                await line.ask(wait=1)
            case "answer":
                await line.answer()

    seen = await rig(conversation, hangs_up(during="greeting", after=0.4))
    assert seen.hung_up


async def test_a_note_is_written_between_what_is_said_and_pressed(rig: Rig) -> None:
    async def conversation(line: Line) -> None:
        key = await line.ask("menu", wait=5)
        line.note(Kind.WENT, menu="main", key=key, place="queue:emergency")
        await line.say("word")

    seen = await rig(conversation, presses("1", during="menu", after=0.3))
    assert [kind for kind, _ in seen.notes] == [Kind.PICKED_UP, Kind.PROMPT, Kind.KEY, Kind.WENT, Kind.PROMPT]
    assert seen.notes[3][1] == {"menu": "main", "key": "1", "place": "queue:emergency"}
