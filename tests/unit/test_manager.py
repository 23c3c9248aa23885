"""The AMI door against an Asterisk that misbehaves, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from ivr.asterisk.manager import Ami, Event
from ivr.errors import Disconnected, PeerError
from tests.fake_manager import BANNER, SECRET, FakeManager, channels


class Owner:
    """Whoever holds the link: what it was told."""

    def __init__(self, asterisk: FakeManager, secret: str = SECRET) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.links, self.losses = 0, 0
        self.linked, self.lost = asyncio.Event(), asyncio.Event()
        self.ami = Ami(
            "127.0.0.1",
            asterisk.port,
            "dozvon",
            secret,
            on_event=self.events.put_nowait,
            on_link=self._on_link,
            on_loss=self._on_loss,
        )

    async def _on_link(self) -> None:
        self.links += 1
        self.linked.set()

    def _on_loss(self) -> None:
        self.losses += 1
        self.lost.set()

    async def hears(self, name: str) -> Event:
        async with asyncio.timeout(5):
            while (event := await self.events.get()).get("Event") != name:
                pass
        return event

    async def is_linked_again(self) -> None:
        self.linked.clear()
        async with asyncio.timeout(5):
            await self.linked.wait()


@pytest.fixture
async def asterisk() -> AsyncIterator[FakeManager]:
    async with FakeManager() as asterisk:
        yield asterisk


@pytest.fixture
async def owner(asterisk: FakeManager) -> AsyncIterator[Owner]:
    """Linked; reconnects at once instead of in a second."""
    owner = Owner(asterisk)
    owner.ami._manager.reconnect_timeout = 0.05
    async with owner.ami:
        await owner.ami.wait_linked(5)
        async with asyncio.timeout(5):
            await owner.linked.wait()
        yield owner


async def test_a_link_is_announced_once(owner: Owner) -> None:
    assert (owner.links, owner.losses) == (1, 0)


async def test_a_wrong_secret_is_said_plainly_and_never_shown(
    asterisk: FakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(asterisk, secret="not-the-secret")
    async with owner.ami:
        await asterisk.is_asked("Login")
        asterisk.drop()  # as Asterisk does after a failed login
        async with asyncio.timeout(5):
            await owner.lost.wait()
        assert not owner.ami.linked
        with pytest.raises(Disconnected, match="no AMI link"):
            await owner.ami.ask("Ping")
    assert "does not let us in: see DOZVON_AMI_USER and DOZVON_AMI_SECRET" in caplog.text
    assert "not-the-secret" not in caplog.text
    assert owner.links == 0


async def test_nobody_waits_for_ever_for_a_link(asterisk: FakeManager) -> None:
    owner = Owner(asterisk, secret="not-the-secret")
    async with owner.ami:
        with pytest.raises(Disconnected, match=r"no AMI link within 0\.1 s"):
            await owner.ami.wait_linked(0.1)


async def test_an_action_gets_its_answer(owner: Owner) -> None:
    (answer,) = await owner.ami.ask("Ping")
    assert answer["Ping"] == "Pong"


async def test_a_list_comes_whole(owner: Owner, asterisk: FakeManager) -> None:
    asterisk.answers["CoreShowChannels"] = channels("dozvon-1.0", "dozvon-1.1")
    answer = await owner.ami.ask("CoreShowChannels")
    assert [each["Uniqueid"] for each in answer if each.get("Event") == "CoreShowChannel"] == [
        "dozvon-1.0",
        "dozvon-1.1",
    ]


async def test_an_empty_list_is_an_answer_too(owner: Owner, asterisk: FakeManager) -> None:
    asterisk.answers["CoreShowChannels"] = channels()
    assert len(await owner.ami.ask("CoreShowChannels")) == 2


async def test_a_refusal_says_what_was_refused(owner: Owner) -> None:
    with pytest.raises(PeerError, match="Frobnicate: Invalid/unknown command: Frobnicate"):
        await owner.ami.ask("Frobnicate")


async def test_an_action_that_is_never_answered_is_given_up_in_time(
    owner: Owner, asterisk: FakeManager
) -> None:
    asterisk.answers["Status"] = lambda _: None
    with pytest.raises(Disconnected, match=r"Status: no answer within 0\.1 s"):
        async with asyncio.timeout(2):
            await owner.ami.ask("Status", within=0.1)
    await owner.ami.ask("Ping")


async def test_an_action_pending_when_the_link_drops_does_not_hang(
    owner: Owner, asterisk: FakeManager
) -> None:
    asterisk.answers["Status"] = lambda _: None
    asked = asyncio.create_task(owner.ami.ask("Status", within=0.5))
    await asterisk.is_asked("Status")
    asterisk.drop()
    with pytest.raises(Disconnected):
        await asked


async def test_an_action_pending_when_the_link_drops_is_not_sent_again(
    owner: Owner, asterisk: FakeManager
) -> None:
    asterisk.answers["Status"] = lambda _: None
    asked = asyncio.create_task(owner.ami.ask("Status", within=0.2))
    await asterisk.is_asked("Status")
    asterisk.drop()
    await owner.is_linked_again()
    await asterisk.sends({"Event": "FullyBooted"})
    await owner.hears("FullyBooted")
    await owner.ami.ask("Ping")
    await asyncio.gather(asked, return_exceptions=True)
    assert sum(asked["Action"] == "Status" for asked in asterisk.asked) == 1


async def test_without_a_link_an_action_is_refused_at_once(owner: Owner, asterisk: FakeManager) -> None:
    asterisk.drop()
    async with asyncio.timeout(5):
        await owner.lost.wait()
    with pytest.raises(Disconnected, match="Ping: no AMI link"):
        await owner.ami.ask("Ping")


async def test_a_lost_link_comes_back_and_stock_is_taken_again(owner: Owner, asterisk: FakeManager) -> None:
    for times in (2, 3, 4):
        asterisk.drop()
        await owner.is_linked_again()
        assert (owner.links, owner.losses) == (times, times - 1)
    await asterisk.sends({"Event": "CEL", "EventName": "ANSWER"})
    assert (await owner.hears("CEL"))["EventName"] == "ANSWER"


async def test_a_loss_is_told_before_the_next_link(owner: Owner, asterisk: FakeManager) -> None:
    asterisk.drop()
    async with asyncio.timeout(5):
        await owner.lost.wait()
    assert owner.links == 1 and not owner.ami.linked


async def test_a_link_that_only_half_lives_is_dropped_and_made_anew(
    owner: Owner, asterisk: FakeManager
) -> None:
    answers, asterisk.answers["Ping"] = asterisk.answers["Ping"], lambda _: None
    await owner.ami.probe(within=0.1)
    await owner.is_linked_again()
    asterisk.answers["Ping"] = answers
    await owner.ami.probe()
    assert owner.links == 2


async def test_garbage_between_messages_is_passed_over(owner: Owner, asterisk: FakeManager) -> None:
    await asterisk.sends_raw(
        b"\x00\xff\xfegarbage\r\n\r\n\r\n\r\nNo colon here\r\n\r\nEvent\r\n\r\n: \r\n\r\n"
    )
    await asterisk.sends({"Event": "CEL", "EventName": "ANSWER"})
    assert (await owner.hears("CEL"))["EventName"] == "ANSWER"
    assert owner.losses == 0


async def test_a_message_without_end_is_cut_off(
    owner: Owner, asterisk: FakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    endless = asyncio.create_task(asterisk.sends_raw(b"Event: CEL\r\nAppData: " + b"x" * 3_000_000))
    await owner.is_linked_again()
    await asyncio.gather(endless, return_exceptions=True)
    assert "a message without end; the link is dropped" in caplog.text
    await owner.ami.ask("Ping")


async def test_a_long_message_with_an_end_is_read(owner: Owner, asterisk: FakeManager) -> None:
    await asterisk.sends({"Event": "CEL", "AppData": "x" * 100_000})
    assert len((await owner.hears("CEL"))["AppData"]) == 100_000


async def test_characters_split_between_packets_stay_whole(owner: Owner, asterisk: FakeManager) -> None:
    name = "Анна Петрова 🙂"
    for byte in f"Event: Hold\r\nCallerIDName: {name}\r\n\r\n".encode():
        await asterisk.sends_raw(bytes([byte]))
        await asyncio.sleep(0)
    assert (await owner.hears("Hold"))["CallerIDName"] == name


async def test_bytes_that_are_no_text_do_not_break_the_link(owner: Owner, asterisk: FakeManager) -> None:
    await asterisk.sends_raw(b"Event: Hold\r\nCallerIDName: \xff\xc0\xaf\r\n\r\n")
    assert "Event" in await owner.hears("Hold")
    assert owner.losses == 0


async def test_an_event_that_cannot_be_followed_is_said_and_the_next_is_heard(
    asterisk: FakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()

    def on_event(event: Event) -> None:
        if event["Event"] == "Bad":
            raise KeyError("Channel")
        heard.put_nowait(event)

    async def on_link() -> None: ...

    ami = Ami(
        "127.0.0.1",
        asterisk.port,
        "dozvon",
        SECRET,
        on_event=on_event,
        on_link=on_link,
        on_loss=lambda: None,
    )
    async with ami:
        await ami.wait_linked(5)
        with caplog.at_level(logging.ERROR):
            await asterisk.sends({"Event": "Bad"}, {"Event": "Good"})
            async with asyncio.timeout(5):
                assert (await heard.get())["Event"] == "Good"
    assert "an AMI event could not be followed" in caplog.text


async def test_an_asterisk_that_talks_before_the_login_does_not_end_the_link_for_good() -> None:
    """Events in the very first packet, before anybody has logged in."""
    async with FakeManager() as asterisk:
        asterisk.greeting = BANNER + b"Event: CEL\r\nEventName: ANSWER\r\n\r\n"
        owner = Owner(asterisk)
        owner.ami._manager.reconnect_timeout = 0.05
        async with owner.ami:
            await owner.ami.wait_linked(5)


async def test_a_closed_link_does_not_come_back() -> None:
    async with FakeManager() as asterisk:
        owner = Owner(asterisk)
        owner.ami._manager.reconnect_timeout = 0.05
        async with owner.ami:
            await owner.ami.wait_linked(5)
            asterisk.drop()
            async with asyncio.timeout(5):
                await owner.lost.wait()
        logins = asterisk.logins
        await asyncio.sleep(0.15)  # three times as long as it would take
        assert asterisk.logins == logins


async def test_an_asterisk_that_is_not_there_yet_is_waited_for() -> None:
    async with FakeManager() as asterisk:
        port = asterisk.port
    later = FakeManager(port)
    owner = Owner(later)
    owner.ami._manager.reconnect_timeout = 0.05
    async with owner.ami:
        with pytest.raises(Disconnected):
            await owner.ami.wait_linked(0.1)
        async with later:
            await owner.ami.wait_linked(5)
