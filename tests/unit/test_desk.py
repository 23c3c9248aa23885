"""What the dispatchers' queues are asked and told over AMI, against a manager's port over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from callback.chase import Order
from callback.turns import Queue, Waiting
from ivr.asterisk.desk import AmiDesk
from ivr.asterisk.manager import Ami
from ivr.call import Call, Direction
from ivr.errors import Disconnected, PeerError
from tests.fake_manager import SECRET, Answer, FakeManager
from tests.fakes import NOON

ORDER = Order(
    call="dozvon-callback-7-1",
    promise=7,
    phone="+79000000001",
    line="+74951230001",
    queue="dispatch",
    priority=20,
    category="emergency",
    position=2,
    place_by=NOON + timedelta(seconds=10),
    title="Иванова, кв. 5: авария, ещё 4 мин",
)
MEMBER = {"Event": "QueueMember", "Status": "1", "Paused": "0"}
ENTRY = {"Event": "QueueEntry", "Position": "1", "Wait": "0", "Priority": "0"}


def listed(*events: dict[str, str]) -> Answer:
    start = {"Response": "Success", "EventList": "start", "Message": "Queue status will follow"}
    end = {"Event": "QueueStatusComplete", "EventList": "Complete", "ListItems": str(len(events))}
    return lambda _: [start, *events, end]


class Room:
    """A desk over a link, and what the other end heard."""

    def __init__(self, asterisk: FakeManager, ami: Ami, dial_out: str | None, lost: asyncio.Event) -> None:
        self.asterisk, self.ami, self.lost = asterisk, ami, lost
        self.calls: dict[str, Call] = {}
        self.desk = self.with_dial_out(dial_out)

    def with_dial_out(self, dial_out: str | None) -> AmiDesk:
        return AmiDesk(
            self.ami,
            "dozvon",
            dial_out,
            ring=timedelta(seconds=30),
            stand_in=timedelta(minutes=2),
            calls=self.calls,
            now=lambda: NOON,
        )

    def heard(self, action: str) -> list[list[str]]:
        """Each such action, line by line as it came."""
        return [block.splitlines()[:-1] for block in self.asterisk.heard if f"Action: {action}\r\n" in block]

    def variables(self) -> list[str]:
        """As Asterisk reads them: a header with commas is many."""
        (block,) = self.heard("Originate")
        values = [line.removeprefix("Variable: ") for line in block if line.startswith("Variable: ")]
        return [one for value in values for one in value.split(",")]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    lost = asyncio.Event()

    async def on_link() -> None: ...

    async with FakeManager(Originate=_success, Hangup=_success) as asterisk:
        ami = Ami(
            "127.0.0.1", asterisk.port, "dozvon", SECRET,
            on_event=lambda _: None, on_link=on_link, on_loss=lost.set,
        )  # fmt: skip
        async with ami:
            await ami.wait_linked(5)
            yield Room(asterisk, ami, "PJSIP/{number}@operator", lost)


def _success(_: dict[str, str]) -> list[Any]:
    return [{"Response": "Success", "Message": "done"}]


# -- the queue


async def test_dispatchers_at_their_phones_count_whether_free_or_not(room: Room) -> None:
    """AST_DEVICE_*: 1 not in use, 2 in use, 3 busy, 6 ringing, 7 in use and ringing, 8 on hold."""
    states = [{**MEMBER, "Status": status} for status in "123678"]
    room.asterisk.answers["QueueStatus"] = listed(*states)
    assert await room.desk.queue("dispatch") == Queue(dispatchers=6, waiting=[])
    assert room.asterisk.asked[-1]["Queue"] == "dispatch"


async def test_who_is_away_or_paused_does_not_count(room: Room) -> None:
    """0 unknown, 4 invalid, 5 unavailable."""
    away = [{**MEMBER, "Status": status} for status in "045"]
    room.asterisk.answers["QueueStatus"] = listed(*away, {**MEMBER, "Paused": "1"}, MEMBER)
    assert (await room.desk.queue("dispatch")).dispatchers == 1


async def test_a_queue_nobody_knows_has_no_dispatchers(room: Room) -> None:
    room.asterisk.answers["QueueStatus"] = listed()
    assert await room.desk.queue("nowhere") == Queue(dispatchers=0, waiting=[])


async def test_who_waits_is_read_in_the_order_of_the_line(room: Room) -> None:
    room.calls["dozvon-1.0"] = Call("dozvon-1.0", NOON - timedelta(minutes=3))
    room.calls["dozvon-callback-7-1"] = Call("dozvon-callback-7-1", NOON, direction=Direction.CALLBACK)
    room.asterisk.answers["QueueStatus"] = listed(
        MEMBER,
        {**ENTRY, "Position": "10", "Uniqueid": "dozvon-9.9", "Wait": "45"},
        {**ENTRY, "Position": "2", "Uniqueid": "dozvon-callback-7-1", "Priority": "5"},
        {**ENTRY, "Position": "1", "Uniqueid": "dozvon-1.0", "Priority": "20"},
    )
    queue = await room.desk.queue("dispatch")
    assert queue.waiting == [
        Waiting(20, NOON - timedelta(minutes=3)),
        Waiting(5, None),
        Waiting(0, NOON - timedelta(seconds=45)),
    ]


async def test_an_asterisk_that_tells_no_priority_means_none(room: Room) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != "Priority"} | {"Uniqueid": "dozvon-9.9"}
    room.asterisk.answers["QueueStatus"] = listed(MEMBER, entry)
    assert (await room.desk.queue("dispatch")).waiting == [Waiting(0, NOON)]


async def test_who_talks_or_is_called_back_is_on_the_line_and_who_has_hung_up_is_not(room: Room) -> None:
    room.calls["dozvon-1.1"] = Call("dozvon-1.1", NOON, "+79000000001")
    room.calls["dozvon-1.2"] = Call("dozvon-1.2", NOON, "+79000000002", ended_at=NOON)
    numbers = [f"+7900000000{n}" for n in (1, 2, 3)]
    assert [room.desk.is_on_the_line(number) for number in numbers] == [True, False, False]


async def test_without_a_trunk_nobody_can_be_called_back(room: Room) -> None:
    desk = room.with_dial_out(None)
    assert await desk.queue("dispatch") == Queue(dispatchers=0)
    with pytest.raises(PeerError, match="dozvon-callback-7-1: nobody can be rung"):
        await desk.place(ORDER)
    assert not room.heard("QueueStatus") and not room.heard("Originate")


# -- an order


async def test_the_stand_in_goes_to_its_place_with_all_that_the_dispatchers_phone_needs(room: Room) -> None:
    await room.desk.place(ORDER)
    (block,) = room.heard("Originate")
    for line in (
        "Channel: Local/s@stand-in/n", "ChannelId: dozvon-callback-7-1", "OtherChannelId: dozvon-callback-7-1-b",
        "Context: callback", "Exten: s", "Priority: 1", "Async: true",
        'CallerID: "Иванова, кв. 5: авария, ещё 4 мин" <+79000000001>',
    ):  # fmt: skip
        assert line in block
    assert room.variables() == [
        f"PLACE_BY={int(NOON.timestamp()) + 10}",
        "CALLBACK=7|+79000000001|+74951230001|emergency|20",
        "__QUEUE=dispatch",
        "QUEUE_PRIO=20",
        "QUEUE_POSITION=2",
        "STAND_IN_FOR=120",
        "__CALL=dozvon-callback-7-1",
        "__LINE=+74951230001",
        "__PHONE=+79000000001",
        "__OUT=PJSIP/+79000000001@operator",
        "__RING_FOR=30",
    ]


async def test_what_is_not_known_is_left_empty(room: Room) -> None:
    await room.desk.place(replace(ORDER, line=None, category=None, position=None, priority=0))
    assert "CALLBACK=7|+79000000001|||" in [value.removesuffix("0") for value in room.variables()]
    assert {"QUEUE_POSITION=", "__LINE="} <= set(room.variables())


async def test_a_trunk_that_wants_no_plus_gets_none(room: Room) -> None:
    await room.with_dial_out("PJSIP/{digits}@operator").place(ORDER)
    assert "__OUT=PJSIP/79000000001@operator" in room.variables()


INJECTIONS = [
    '"\r\nAction: Command\r\nCommand: core stop now\r\n\r\n',
    '" <+70000000000>\r\nVariable: __OUT=PJSIP/evil',
    "a\nVariable: __OUT=PJSIP/evil",
    "+7495,__OUT=PJSIP/evil",
    "+7495|x|y,QUEUE=evil",
    '\\",__OUT=PJSIP/evil,"',
    "x\0y\u2028z",
]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("where", ["title", "line", "category", "queue"])
async def test_nothing_a_caller_or_an_admin_has_written_becomes_an_order_of_its_own(
    room: Room, where: str, text: str
) -> None:
    """The dialled number comes from outside as it was dialled; names come from the directory."""
    changed: dict[str, Any] = {where: text}
    await room.desk.place(replace(ORDER, **changed))
    await room.ami.ask("Ping")
    assert {asked["Action"] for asked in room.asterisk.asked} == {"Login", "Originate", "Ping"}
    (block,) = room.heard("Originate")
    assert [line.split(": ")[0] for line in block].count("CallerID") == 1
    names = [variable.partition("=")[0] for variable in room.variables()]
    assert names == [
        "PLACE_BY", "CALLBACK", "__QUEUE", "QUEUE_PRIO", "QUEUE_POSITION", "STAND_IN_FOR",
        "__CALL", "__LINE", "__PHONE", "__OUT", "__RING_FOR",
    ]  # fmt: skip
    assert "__OUT=PJSIP/+79000000001@operator" in room.variables()
    (callback,) = [variable for variable in room.variables() if variable.startswith("CALLBACK=")]
    assert callback.count("|") == 4


async def test_a_line_that_is_no_number_is_not_shown(room: Room) -> None:
    await room.desk.place(replace(ORDER, line="info"))
    assert "__LINE=" in room.variables()


@pytest.mark.parametrize("title", ['"', "\\", "<1>", "\r\n", "x" * 500, "Анна «Звонок» (кв. 5), д. 15", ""])
async def test_a_title_is_one_display_name(room: Room, title: str) -> None:
    await room.desk.place(replace(ORDER, title=title))
    (block,) = room.heard("Originate")
    (shown,) = [line.removeprefix("CallerID: ") for line in block if line.startswith("CallerID: ")]
    name, _, number = shown.rpartition(" ")
    assert number == "<+79000000001>"
    assert name[0] == name[-1] == '"' and not set(name[1:-1]) & set('"<>\\\r\n')
    assert len(name) <= 82


@pytest.mark.parametrize(
    "phone", ["", "+7900&PJSIP/101", "+7900,30", "+7900@evil", "+7900\r\n", "101;x=y", "٣"]
)
async def test_a_phone_that_is_no_number_is_never_dialled(room: Room, phone: str) -> None:
    with pytest.raises(PeerError, match="a strange number"):
        await room.desk.place(replace(ORDER, phone=phone))
    assert not room.heard("Originate")


async def test_what_asterisk_refuses_is_a_peers_error(room: Room) -> None:
    room.asterisk.answers["Originate"] = lambda _: [{"Response": "Error", "Message": "Channel not specified"}]
    with pytest.raises(PeerError, match="Originate: Channel not specified"):
        await room.desk.place(ORDER)


async def test_what_was_never_sent_is_known_as_that(room: Room) -> None:
    """Not Disconnected, after which nobody knows: the promise is free to be tried again at once."""
    room.asterisk.drop()
    async with asyncio.timeout(5):
        await room.lost.wait()
    with pytest.raises(PeerError, match="not sent") as refused:
        await room.desk.place(ORDER)
    assert not isinstance(refused.value, Disconnected)


async def test_a_stand_in_is_taken_back_by_its_calls_id(room: Room) -> None:
    await room.desk.take_back(ORDER.call)
    (block,) = room.heard("Hangup")
    assert {"Channel: dozvon-callback-7-1", "Cause: 26"} <= set(block)
