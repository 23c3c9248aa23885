"""The dispatchers' queues of one Asterisk, asked and acted on over AMI (`callback.chase.Desk`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from callback.chase import Order
from callback.turns import Queue, Waiting
from ivr.asterisk.manager import Ami, Event
from ivr.call import Call, Direction
from ivr.errors import PeerError

OTHER_HALF = "-b"
"""The stand-in is a Local channel of two halves; the one in the queue carries the call's id."""
ALPHABET = frozenset("0123456789+")

# Asterisk's device states in which nobody is at the phone (`AST_DEVICE_*`): unknown, invalid, unavailable.
_AWAY = frozenset({"0", "4", "5"})


class AmiDesk:
    """`callback.chase.Desk` over one AMI link."""

    def __init__(
        self,
        ami: Ami,
        name: str,
        dial_out: str | None,
        *,
        ring: timedelta,
        stand_in: timedelta,
        calls: Mapping[str, Call],
        now: Callable[[], datetime],
    ) -> None:
        """`dial_out` is the dial string with {number}; `ring` how long a resident's phone rings, `stand_in` how
        long a call back waits in the queue; `calls` are those that go on."""
        self._ami, self.name, self._dial_out = ami, name, dial_out
        self._ring, self._stand_in, self._calls, self._now = ring, stand_in, calls, now

    def is_on_the_line(self, phone: str) -> bool:
        return on_the_line(self._calls, phone)

    async def queue(self, name: str) -> Queue:
        if self._dial_out is None:
            return Queue(dispatchers=0)  # nobody can be rung from here: the promises wait for a person
        events = await self._ami.ask("QueueStatus", Queue=name)
        members = [event for event in events if event.get("Event") == "QueueMember"]
        entries = [event for event in events if event.get("Event") == "QueueEntry"]
        return Queue(
            dispatchers=sum(e["Status"] not in _AWAY and e["Paused"] == "0" for e in members),
            waiting=[self._waiting(e) for e in sorted(entries, key=lambda e: int(e["Position"]))],
            calling_back=sum(self._is_called_back(call, name) for call in self._calls.values()),
        )

    def _is_called_back(self, call: Call, queue: str) -> bool:
        return call.direction is Direction.CALLBACK and call.ended_at is None and call.queue == queue

    def _waiting(self, entry: Event) -> Waiting:
        call = self._calls.get(entry["Uniqueid"])
        priority = int(entry.get("Priority") or 0)
        if call is None:
            return Waiting(priority, self._now() - timedelta(seconds=int(entry["Wait"])))
        return Waiting(priority, call.arrived_at if call.direction is Direction.INBOUND else None)

    async def place(self, order: Order) -> None:
        if self._dial_out is None or not is_number(order.phone):
            raise PeerError(f"{order.call}: nobody can be rung: no trunk, or a strange number")
        if not self._ami.linked:
            raise PeerError(f"{order.call}: not sent: no AMI link")
        number = {"number": order.phone, "digits": order.phone.lstrip("+")}
        line = order.line if order.line and is_number(order.line) else ""  # it was dialled by anybody
        queue, category = word(order.queue), word(order.category or "")
        variables = {
            "PLACE_BY": int(order.place_by.timestamp()),
            "CALLBACK": f"{order.promise}|{order.phone}|{line}|{category}|{order.priority}",
            "__QUEUE": queue,
            "QUEUE_PRIO": order.priority,
            "QUEUE_POSITION": order.position or "",
            "STAND_IN_FOR": seconds(self._stand_in),
            # inherited by the dispatcher's channel
            "__CALL": order.call,
            "__LINE": line,
            "__PHONE": order.phone,
            "__OUT": self._dial_out.format(**number),
            "__RING_FOR": seconds(self._ring),
        }
        await self._ami.ask(
            "Originate",
            Channel="Local/s@stand-in/n",
            ChannelId=order.call,
            OtherChannelId=order.call + OTHER_HALF,
            Context="callback",
            Exten="s",
            Priority="1",
            CallerID=f'"{plain(order.title)}" <{order.phone}>',
            Timeout="5000",
            Async="true",
            Variable=[f"{name}={value}" for name, value in variables.items()],
        )

    async def take_back(self, call: str) -> None:
        await self._ami.ask("Hangup", Channel=call, Cause="26")


def on_the_line(calls: Mapping[str, Call], phone: str) -> bool:
    """Is that number in any call that goes on?"""
    return any(call.caller == phone and call.ended_at is None for call in calls.values())


def seconds(span: timedelta) -> int:
    return max(1, round(span.total_seconds()))


def is_number(text: str) -> bool:
    return bool(text) and not set(text) - ALPHABET


def word(text: str) -> str:
    """As the value of a variable can carry it: Asterisk reads what follows a comma as another variable."""
    return "".join(char for char in text if char.isalnum() or char in "-_.")


def plain(text: str) -> str:
    """As a display name can carry it."""
    return "".join(char for char in text if char.isprintable() and char not in '"<>\\')[:80]
