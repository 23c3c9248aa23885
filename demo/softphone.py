"""A SIP softphone that follows a script: registers, dials, answers, presses keys, speaks and hears.

    async with Softphone("101", password, server="127.0.0.1:5060") as anna:
        async with Softphone("resident", password, server=..., caller="+79161234567", register=False) as ivan:
            call = await ivan.dial("+74951230001")
            ringing = await anna.rings(within=10)
            await ringing.answer()
            await call.answered(within=5)
            call.says(tone(440, 1.0))
            await ringing.hears_tone(440, within=3)
            await call.hang_up()
            assert await ringing.ended(within=5) == HUNG_UP_THERE

This is the only door of `baresip-python` 0.5.2a3. What it hides:

- A process may hold one stack (`Runtime`), but any number of accounts in it. The stack stands up with the
  first phone and goes down with the last; afterwards it may stand up again. All share one SIP port.
- An account cannot be taken out of a running stack, and two of the same user look alike to the exchange:
  they are kept for the next phone of that user, and a second *open* registered phone of a user is refused.
- Received audio is dropped unless it is read at least once a second: one task reads for all calls.
- A callee sends a re-INVITE right after its answer; until that is settled a hold cannot be sent: asked again.
- Of what a call does before `dial` has returned, the library tells nobody: it is told again.
- What a held or renegotiated call plays is lost for the ear: `heard` has no gap there, it is just shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from demo import sound
from demo.sound import Sound
from ivr.errors import DozvonError, MissingPart

try:
    import baresip
except ImportError as error:
    raise MissingPart(
        "baresip-python", "the scripted softphones are not installed", "pip install -e '.[softphone]'"
    ) from error

HIDDEN = "anonymous"
"""As `caller`: the number is withheld, as an operator passes it on (RFC 3323)."""

HUNG_UP_HERE = "hung up here"
HUNG_UP_THERE = "hung up there"
TRANSFERRED = "transferred"

SIP_PORTS = (30_000, 32_000)
RTP_PORTS = (15650, 15799)
"""The phones' UDP ports, first and last; a call takes two. A taken port is passed over."""
REGISTRATION = 3600
"""Seconds between two registrations: longer than any story, see `_give_up_registering`."""
PATIENCE = 5.0
"""Seconds given to the exchange for what it does by itself: an answer confirmed, a call cleared."""
TICK = 0.04
"""Seconds between two visits to the calls' audio."""
LATELY = int(0.4 * sound.RATE) * 2
"""Bytes of sound a waiting ear listens to at once."""
AHEAD = int(0.2 * sound.RATE) * 2
"""Bytes of speech handed over before their time; the rest waits here, so that a call can stop at once."""

log = logging.getLogger(__name__)


class PhoneError(DozvonError):
    """What a phone waited for did not come. Says whose phone, what, and what was seen instead."""


@dataclass(eq=False)
class Softphone:
    """One SIP account with a handset. Enter it to switch it on; leaving hangs up and signs off.

    `server` is HOST:PORT. `caller` is the number shown when it is not the account's own, as on a trunk, where
    one account carries every resident; such a phone does not register. `name` is the display name.
    `port` is the SIP port the phones of this process answer on, decided by the first of them; None: any free.
    """

    account: str
    password: str = field(repr=False)
    _: KW_ONLY
    server: str
    caller: str | None = None
    name: str = ""
    register: bool = True
    port: int | None = None

    def __post_init__(self) -> None:
        if self.register and self.caller not in {None, self.account}:
            raise ValueError(
                f"{self.account}: a phone that registers shows its own number; give register=False"
            )
        if '"' in self.name or "\\" in self.name:
            raise ValueError(
                f"{self.account}: a display name has no quotes and no backslashes: {self.name!r}"
            )
        self.number = self.caller or self.account
        self.calls: list[PhoneCall] = []
        self._incoming: asyncio.Queue[PhoneCall] = asyncio.Queue()

    @property
    def address(self) -> str:
        """HOST:PORT where the exchange reaches this phone without a registration (`PJSIP/trunk/sip:N@…`)."""
        return self._stack.address

    async def __aenter__(self) -> Self:
        self._stack = _Stack.here()
        self._agent = await self._stack.join(self)
        try:
            if self.register:
                await self._sign_on()
        except BaseException:
            await self._stack.leave(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*(call._clear() for call in self.calls))
            if self.register:
                await self._sign_off()
        finally:
            await self._stack.leave(self)

    async def dial(self, number: str) -> PhoneCall:
        """Send the INVITE; the call returned is not answered yet."""
        privacy = {"Privacy": "id"} if self.number == HIDDEN else None
        with self._stack.events() as early:
            try:
                wire = await self._agent.dial(self._uri(number), privacy)
            except baresip.BaresipError as error:
                raise PhoneError(f"{self.number}: {number} cannot be dialled: {error}") from error
        call = self._take(wire, number, "")
        # Where this process was busy the exchange has rung, or answered, by now; to those events nobody listened yet.
        for event in early:
            wire._on_stack_event(event)
        return call

    async def rings(self, *, within: float) -> PhoneCall:
        """The next incoming call that still rings, waited for at most `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while (call := await self._incoming.get()).reason is not None:
                    pass
        except TimeoutError:
            raise PhoneError(f"{self.number}: did not ring within {within:g} s") from None
        return call

    def _ring(self, wire: baresip.Call) -> None:
        headers = {name.lower(): value for name, value in wire.headers.items()}
        name, number = _shown(headers.get("p-asserted-identity") or headers.get("from") or wire.peer or "")
        self._incoming.put_nowait(self._take(wire, number, name))

    def _take(self, wire: baresip.Call, number: str, name: str) -> PhoneCall:
        call = PhoneCall(self, wire, number, name)
        self.calls.append(call)
        return call

    def _uri(self, number: str) -> str:
        return f"sip:{number}@{self.server}"

    def _line(self) -> str:
        """The account as baresip reads it. The number shown is the From user, the account only signs."""
        hidden = self.number == HIDDEN
        account = baresip.Account(
            user=self.number,
            domain="anonymous.invalid" if hidden else self.server,
            registrar=self.server if hidden else None,
            password=self.password,
            auth_user=self.account,
            reg_interval=REGISTRATION if self.register else 0,
            audio_codecs=("pcma",),
        )
        return f'"{self.name}" {account.aor()}' if self.name else account.aor()

    async def _sign_on(self) -> None:
        try:
            await self._agent.register(timeout=PATIENCE)
        except baresip.RegistrationError as error:
            if error.status is not None:
                await self._give_up_registering()
            hint = "; is the password right?" if error.status in {401, 403} else ""
            raise PhoneError(f"{self.account}: not registered with {self.server}: {error}{hint}") from error

    async def _give_up_registering(self) -> None:
        """Refused once is enough: baresip would try again every minute, until the last phone leaves.

        It only stops for an agent that calls itself registered. Never ask while a REGISTER is unanswered:
        that damages the native memory, and the process aborts when the stack goes down.
        """
        self._agent._registered = True
        with contextlib.suppress(baresip.BaresipError):
            await self._agent.unregister(timeout=TICK)

    async def _sign_off(self) -> None:
        try:
            await self._agent.unregister(timeout=PATIENCE)
        except baresip.BaresipError as error:
            log.warning(
                "a softphone left without signing off", extra={"account": self.account, "why": str(error)}
            )


class PhoneCall:
    """A call as one phone has it, either direction. Every wait is bounded by `within` seconds."""

    def __init__(self, phone: Softphone, wire: baresip.Call, number: str, name: str) -> None:
        self.phone = phone
        self.number = number
        """Whom this phone dialled, or the number it shows as calling."""
        self.caller_name = name
        """The name an incoming call shows; empty when none came."""
        self.reason: str | None = None
        """Why the call ended: HUNG_UP_HERE, HUNG_UP_THERE, TRANSFERRED, or SIP's own ("486 Busy Here")."""
        self._wire = wire
        self._seen: set[baresip.Event] = set()
        self._left = False
        self._heard = bytearray()
        self._to_say = bytearray()
        self._news = asyncio.Event()
        wire.on(self._notice)

    def __repr__(self) -> str:
        return f"<PhoneCall {self.phone.number} with {self.number}: {self.reason or self._wire.state.value}>"

    @property
    def caller_number(self) -> str:
        """The number an incoming call shows."""
        return self.number

    @property
    def heard(self) -> Sound:
        """Everything heard so far, 8 kHz."""
        return self._since(0)

    @property
    def is_up(self) -> bool:
        return self.reason is None and baresip.Event.CALL_ESTABLISHED in self._seen

    # -- signalling -----------------------------------------------------------

    async def is_ringing(self, *, within: float) -> None:
        """Wait for the ring-back: the exchange rings somebody (180), or plays before the answer (183)."""
        signs = {baresip.Event.CALL_RINGING, baresip.Event.CALL_PROGRESS}
        await self._until(lambda: bool(signs & self._seen), within, "ringing")

    async def answered(self, *, within: float) -> None:
        await self._until(lambda: self.is_up, within, "answered")

    async def answer(self) -> None:
        await self._do("answer", self._wire.answer)
        await self.answered(within=PATIENCE)

    async def reject(self) -> None:
        """Refuse the ringing call: 486 Busy Here."""
        self._left = True
        await self._do("reject", self._wire.reject)
        await self.ended(within=PATIENCE)

    async def hang_up(self) -> None:
        """End the call, answered or not; a call already ended is left as it is."""
        await self._clear()
        await self.ended(within=PATIENCE)

    async def ended(self, *, within: float) -> str:
        """Wait for the end; returns why."""
        await self._wait(lambda: self.reason is not None, within, "ended")
        assert self.reason is not None
        return self.reason

    async def hold(self) -> None:
        await self._do("hold", self._wire.hold)

    async def resume(self) -> None:
        await self._do("resume", self._wire.resume)

    async def transfer(self, number: str, *, within: float = 20.0) -> None:
        """Blind transfer (REFER); returns when the exchange reports success; this call has ended by it."""
        uri = self.phone._uri(number)
        await self._do("transfer", lambda: self._wire.transfer(uri, timeout=within))
        await self.ended(within=PATIENCE)

    async def transfer_to(self, consulted: PhoneCall, *, within: float = 20.0) -> None:
        """Attended transfer (REFER with Replaces): join this call's peer with the consulted one; step out.

        Both calls of this phone end by it.
        """
        await self.hold()
        await consulted.hold()
        await self._do("transfer", lambda: self._wire.attended_transfer(consulted._wire, timeout=within))
        await self.ended(within=PATIENCE)
        await consulted.ended(within=PATIENCE)

    async def press(self, keys: str) -> None:
        """Press keys as RFC 4733 events, each 100 ms long with 120 ms before the next."""
        await self._do("press", lambda: self._wire.send_dtmf(keys))

    # -- speech ---------------------------------------------------------------

    def says(self, what: Sound | Path | str) -> None:
        """Speak after what is still being said. An int16 array at 8 kHz, or such a WAV. Returns at once."""
        pcm = what if isinstance(what, np.ndarray) else sound.from_wav(what)
        self._to_say += pcm.astype("<i2").tobytes()

    async def has_said_all(self, *, within: float) -> None:
        """Wait until what was to be said is on its way (the last 0.2 s may still be leaving)."""
        await self._until(lambda: not self._to_say, within, "finished speaking")

    async def hears(self, *, seconds: float, within: float | None = None) -> Sound:
        """The next `seconds` of what comes in, silence included."""
        start, size = len(self._heard), round(seconds * sound.RATE) * 2
        limit = seconds + PATIENCE if within is None else within
        await self._until(lambda: len(self._heard) >= start + size, limit, f"sent {seconds:g} s of audio")
        return self._since(start)[: size // 2]

    async def hears_voice(self, *, within: float) -> None:
        """Wait until a stretch of 0.2 s from now on is louder than a quiet line."""
        start = len(self._heard)
        await self._until(lambda: sound.has_voice(self._lately(start)), within, "heard speaking", start)

    async def hears_tone(self, hz: float, *, within: float) -> None:
        start = len(self._heard)
        await self._until(
            lambda: sound.has_tone(self._lately(start), hz), within, f"heard at {hz:g} Hz", start
        )

    async def hears_silence(self, *, seconds: float, within: float) -> None:
        """Wait for an unbroken silence of so many seconds, from now on."""
        start, size = len(self._heard), round(seconds * sound.RATE)

        def quiet() -> bool:
            tail = _as_sound(self._heard[start:][-2 * size :])
            return tail.size == size and not sound.has_voice(tail)

        await self._until(quiet, within, f"silent for {seconds:g} s", start)

    # -- inside ---------------------------------------------------------------

    def _since(self, start: int) -> Sound:
        return _as_sound(self._heard[start:])

    def _lately(self, start: int) -> Sound:
        """The last moments heard since `start`: enough to know a voice or a tone by."""
        return _as_sound(self._heard[max(start, len(self._heard) - LATELY) :])

    async def _until(self, seen: Callable[[], bool], within: float, what: str, start: int = 0) -> None:
        """Wait for it on a live call; the call's end is the end of the wait."""
        await self._wait(lambda: seen() or self.reason is not None, within, what, start)
        if not seen():
            raise PhoneError(f"{self._who()}: ended before it was {what}: {self.reason}")

    async def _wait(self, seen: Callable[[], bool], within: float, what: str, start: int = 0) -> None:
        try:
            async with asyncio.timeout(within):
                while not seen():
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError:
            raise PhoneError(
                f"{self._who()}: not {what} within {within:g} s; {self._so_far(start)}"
            ) from None

    def _who(self) -> str:
        return f"{self.phone.number}: the call with {self.number}"

    def _so_far(self, start: int) -> str:
        pcm = self._since(start)
        heard = f"{pcm.size / sound.RATE:.1f} s of audio, the loudest at {sound.loudest(pcm):.0f} dBFS"
        steps = (
            ", ".join(event.name.removeprefix("CALL_").lower() for event in sorted(self._seen)) or "nothing"
        )
        return f"seen: {steps}; heard: {heard}"

    async def _do(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        """Ask the stack; while it is busy with another re-INVITE, ask again."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await act()
            except baresip.BaresipError as error:
                busy = "in flight" in str(error) and asyncio.get_running_loop().time() < end
                if not busy:
                    why = f"the call has ended: {self.reason}" if self.reason else error
                    raise PhoneError(f"{self._who()}: cannot {what}: {why}") from error
            await asyncio.sleep(TICK)

    async def _clear(self) -> None:
        """Hang up without asking whether the other side was quicker."""
        if self.reason is not None:
            return
        self._left = True
        with contextlib.suppress(baresip.BaresipError):
            await self._wire.hangup()

    def _notice(self, event: baresip.StackEvent) -> None:
        self._seen.add(event.event)
        if event.event is baresip.Event.CALL_CLOSED:
            self.reason = self._why(event.text or "")
        self._news.set()

    def _why(self, text: str) -> str:
        """baresip's closing words in ours: it says "Rejected by user" of a plain hang-up by this side."""
        if text == "Call transfered":
            return TRANSFERRED
        if self._left:
            return HUNG_UP_HERE
        status = text.partition(",")[0]  # a Reason header follows the comma
        return status if status[:3].isdigit() else HUNG_UP_THERE

    def _exchange_audio(self) -> None:
        """Take in what came, hand over what is due. Called every TICK."""
        audio = self._wire.audio
        # No media yet, or just renegotiated: the next visit finds the new streams.
        with contextlib.suppress(baresip.AudioNotActive, baresip.AudioRestarted):
            while piece := audio.read(4096):
                self._heard += piece
                self._news.set()
            room = AHEAD - audio.info().tx_buffered
            if self._to_say and room > 0:
                taken = audio.write(bytes(self._to_say[:room]))
                del self._to_say[:taken]
                self._news.set()


class _Stack:
    """The one SIP stack of this process: up while any phone is."""

    _latest: ClassVar[_Stack | None] = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.address = ""
        self._loop = loop
        self._lock = asyncio.Lock()
        self._phones: set[Softphone] = set()
        self._agents: dict[str, baresip.UserAgent] = {}
        self._runtime: baresip.Runtime | None = None
        self._ears: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> _Stack:
        """The stack of the running event loop; of an earlier loop nothing is left to use."""
        loop = asyncio.get_running_loop()
        if cls._latest is None or cls._latest._loop is not loop:
            cls._latest = cls(loop)
        return cls._latest

    async def join(self, phone: Softphone) -> baresip.UserAgent:
        async with self._lock:
            self._refuse(phone)
            self._phones.add(phone)
            try:
                runtime = self._runtime or await self._stand_up(phone)
                return await self._agent(runtime, phone)
            except BaseException as error:
                await self._drop(phone)
                if isinstance(error, baresip.BaresipError):
                    raise PhoneError(
                        f"{phone.account}: the phone does not start on {self.address}: {error}"
                    ) from error
                raise

    async def leave(self, phone: Softphone) -> None:
        async with self._lock:
            await self._drop(phone)

    @contextlib.contextmanager
    def events(self) -> Iterator[Sequence[baresip.StackEvent]]:
        """Everything the stack tells meanwhile, of all calls."""
        assert self._runtime is not None
        told: list[baresip.StackEvent] = []
        runtime, listen = self._runtime, told.append
        runtime.subscribe(listen)
        try:
            yield told
        finally:
            runtime.unsubscribe(listen)

    def _refuse(self, phone: Softphone) -> None:
        twins = (other for other in self._phones if other.register and other.account == phone.account)
        if phone.register and any(twins):
            raise PhoneError(
                f"{phone.account}: already open in this process; one registered phone per account"
            )
        if self._runtime and phone.port and not self.address.endswith(f":{phone.port}"):
            raise PhoneError(
                f"{phone.account}: port {phone.port}: the phones already answer on {self.address}"
            )

    async def _stand_up(self, first: Softphone) -> baresip.Runtime:
        here = _address_towards(first.server)
        port = first.port or free_port(here)
        self.address = f"{here}:{port}"
        config = baresip.Config(
            net_interface=here,
            max_concurrent_calls=None,
            expose_headers=("From", "P-Asserted-Identity"),
            extra_config_text=f"sip_listen {self.address}\nrtp_ports {RTP_PORTS[0]}-{RTP_PORTS[1]}\n",
        )
        runtime = baresip.Runtime()
        await runtime.start(config)
        self._runtime = runtime
        self._ears = asyncio.create_task(self._listen(), name="softphones' ears")
        return runtime

    async def _drop(self, phone: Softphone) -> None:
        self._phones.discard(phone)
        if self._phones or self._runtime is None:
            return
        runtime, self._runtime = self._runtime, None
        self._agents.clear()
        if self._ears is not None:
            self._ears.cancel()
            await asyncio.wait([self._ears])
        await runtime.close()

    async def _agent(self, runtime: baresip.Runtime, phone: Softphone) -> baresip.UserAgent:
        line = phone._line()
        if line not in self._agents:
            self._agents[line] = await baresip.UserAgent.create(runtime, line)
            self._agents[line].on_incoming(lambda wire: self._ring(phone.number, wire))
        return self._agents[line]

    def _ring(self, number: str, wire: baresip.Call) -> None:
        """Hand an incoming call to the open phone of that number, whichever account the stack chose."""
        for phone in self._phones:
            if phone.number == number:
                phone._ring(wire)
                return
        log.warning("a call for a phone that is switched off", extra={"account": number})

    async def _listen(self) -> None:
        while True:
            for phone in self._phones:
                for call in phone.calls:
                    if call.reason is None:
                        call._exchange_audio()
            await asyncio.sleep(TICK)


def _as_sound(pcm: bytes | bytearray) -> Sound:
    return np.frombuffer(bytes(pcm), "<i2").astype(np.int16)


def _shown(header: str) -> tuple[str, str]:
    """Name and number of a From-like header: `"Иван" <sip:+7916…@host>;tag=…`."""
    match = re.match(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<?sips?:([^@;>]+)', header)
    if match is None:
        return "", header
    quoted, bare, number = match.groups()
    return re.sub(r"\\(.)", r"\1", quoted or bare or ""), number


def _address_towards(server: str) -> str:
    """The local address from which the server is reached (nothing is sent)."""
    host, _, port = server.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))
        return str(probe.getsockname()[0])


def free_port(host: str) -> int:
    """A port the stack can have: it listens there over UDP and TCP, and on the next one for TLS.

    Below the range from which the system takes ports for outgoing connections: nobody has it a moment later.
    """
    while True:
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError, OverflowError):
            udp, tcp, tls = (
                probes.enter_context(socket.socket(socket.AF_INET, kind))
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_STREAM)
            )
            port = random.randrange(*SIP_PORTS)  # noqa: S311 - any will do
            udp.bind((host, port))
            tcp.bind((host, port))
            tls.bind((host, port + 1))
            return port
