"""The AMI door: Asterisk's manager interface through panoramisk, fenced.

panoramisk keeps the link (login, reconnect). Added here: every action is bounded in time, so that one
pending when the link drops ends with Disconnected instead of hanging for ever; a message without end is cut
off instead of filling the memory; characters split between two packets stay whole; and each new link is
announced, so that its owner can take stock of what happened while there was none.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from ivr.errors import Disconnected, PeerError

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 256 * 1024
ACTION_WITHIN = 5.0
PROBE_NEVER = 10**6

Event = Mapping[str, str]


class _BoundedProtocol(AMIProtocol):  # type: ignore[misc]
    """panoramisk's protocol with a bound on what a peer may send before a message ends."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def data_received(self, data: bytes) -> None:
        super().data_received(self._decoder.decode(data).encode())
        if self.queue and len(self.queue[0]) > LARGEST_MESSAGE:
            log.error("the AMI peer sends a message without end; the link is dropped")
            self.queue.clear()
            self.transport.abort()


class _Manager(Manager):  # type: ignore[misc]
    """panoramisk's manager that stays closed once it is closed, whatever was under way."""

    closing = False

    def connect(self) -> None:
        if not self.closing:
            super().connect()

    def connection_made(self, connecting: asyncio.Task[Any]) -> None:
        if not self.closing:
            super().connection_made(connecting)
        elif not connecting.cancelled() and connecting.exception() is None:
            connecting.result()[0].abort()

    def close(self) -> None:
        self.closing = True
        super().close()


class Ami:
    """A link to one Asterisk's manager that comes back by itself."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        *,
        on_event: Callable[[Event], None],
        on_link: Callable[[], Awaitable[None]],
        on_loss: Callable[[], None],
    ) -> None:
        """`on_event` hears every event; `on_link` is awaited after every login, `on_loss` called at its end."""
        self._on_event, self._on_link, self._on_loss = on_event, on_link, on_loss
        self._linked = asyncio.Event()
        self._stock: asyncio.Task[None] | None = None
        self._manager = _Manager(
            host=host,
            port=port,
            username=user,
            secret=secret,
            reconnect_timeout=1,
            ping_delay=PROBE_NEVER,  # `probe` asks and expects an answer
            protocol_factory=_BoundedProtocol,
            on_login=self._logged_in,
            on_disconnect=self._lost,
            # Actions are asked again by whoever asked them; a late answer would serve nobody.
            forgetable_actions=_Everything(),
        )
        self._manager.register_event("*", self._heard)

    @property
    def linked(self) -> bool:
        return self._linked.is_set()

    async def wait_linked(self, within: float) -> None:
        """Raises Disconnected when there is no link in time."""
        try:
            async with asyncio.timeout(within):
                await self._linked.wait()
        except TimeoutError:
            raise Disconnected(f"no AMI link within {within:g} s") from None

    async def __aenter__(self) -> Ami:
        self._manager.loop = asyncio.get_running_loop()
        self._manager.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stock is not None:
            self._stock.cancel()
        self._manager.close()

    async def ask(
        self,
        action: str,
        *,
        within: float = ACTION_WITHIN,
        to_the_end: bool = True,
        **fields: str | list[str],
    ) -> list[Event]:
        """Send an action; returns the response and, for a list, its events. Not `to_the_end`: the first response
        only, as of an Originate whose phone is still to ring.

        Raises Disconnected when no answer comes, PeerError when Asterisk says no.
        """
        if not self.linked:
            raise Disconnected(f"{action}: no AMI link")
        future = self._manager.send_action(
            {"Action": action, **fields}, as_list=None if to_the_end else False
        )
        try:
            async with asyncio.timeout(within):
                answer = await future
        except TimeoutError:
            raise Disconnected(f"{action}: no answer within {within:g} s") from None
        messages: list[Any] = answer if isinstance(answer, list) else [answer]
        for message in messages:
            if message.get("Response", "Success") not in {"Success", "Follows"}:
                raise PeerError(f"{action}: {message.get('Message', 'refused')}")
        return [dict(message) for message in messages]

    async def probe(self, within: float = ACTION_WITHIN) -> None:
        """Ask whether the other side still answers; a link that is only half open is dropped and made anew."""
        if not self.linked:
            return
        try:
            await self.ask("Ping", within=within)
        except PeerError:
            log.warning("AMI does not answer; the link is dropped")
            self._manager.protocol.transport.abort()

    def _heard(self, _: Manager, event: Any) -> None:
        try:
            self._on_event(event)
        except Exception:
            log.exception("an AMI event could not be followed", extra={"event": event.get("Event")})

    def _logged_in(self, _: Manager) -> None:
        log.info("AMI linked")
        self._linked.set()
        if self._stock is not None:
            self._stock.cancel()
        self._stock = asyncio.ensure_future(self._on_link())

    def _lost(self, _: Manager, __: object) -> None:
        if not self._manager.authenticated:
            log.error("Asterisk's manager does not let us in: see DOZVON_AMI_USER and DOZVON_AMI_SECRET")
        elif self.linked:
            log.warning("AMI link lost; trying again every second")
        self._linked.clear()
        self._on_loss()


class _Everything:
    """panoramisk asks `in` of this: whatever was pending when the link dropped is not sent again."""

    def __contains__(self, action: str) -> bool:
        return True
