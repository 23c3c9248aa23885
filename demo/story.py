"""The story `make demo` tells: one resident is heard, another gives up waiting and is owed a call back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from appliance.asterisk import native
from demo import sound
from demo.softphone import PhoneCall, Softphone
from directory.phones import shown
from ivr.asterisk.conf import TEST_ACCOUNT
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.speech.sound import as_pcm
from ivr.speech.voice import Synthesiser, at_rate
from ivr.store import Row

LINE = "+74951230001"
FIRST, SECOND = "+79000000002", "+79000000004"
"""Two residents of the sample directory."""

TROUBLE = "Здравствуйте! У нас на кухне прорвало трубу, вода течёт к соседям."
ANSWER = "Слышу вас. Перекройте кран, бригада выезжает."
CLOCKS = {"tell_terms", "localise", "eliminate"}

WORDS = {
    "arrived": "звонок поступил: {caller} → {dialled}",
    "identified": "справочник узнал: {name}, кв. {flat}",
    "picked_up": "линия сняла трубку",
    "prompt": "линия говорит: {prompt}",
    "key": "житель нажал {key}",
    "went": "меню решило: {place}",
    "queued": "встал в очередь {queue}",
    "queue_place": "место в очереди: {position}",
    "rang": "у диспетчера {who} звонит телефон",
    "answered": "диспетчер {who} ответила, говорят",
    "hung_up": "трубку положил {who}",
    "ended": "звонок закончен",
}


@dataclass(slots=True)
class Story:
    """Tells it, watches the ledger meanwhile, and looks at the end whether all of it is so."""

    settings: Settings
    ledger: Ledger
    say: Callable[[str], object] = print
    wrong: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)

    async def tell(self, resident_password: str) -> list[str]:
        """Returns what was not so; nothing: all is well."""
        watch = asyncio.create_task(self._print_timeline())
        try:
            dispatchers = {
                r["extension"]: r["password"] for r in await self.ledger.all("directory.dispatchers")
            }
            server = f"{self.settings.sip_host}:{self.settings.sip_port}"
            async with (
                Softphone("101", dispatchers["101"], server=server) as anna,
                Softphone(
                    TEST_ACCOUNT, resident_password, server=server, caller=FIRST, register=False
                ) as ivan,
                Softphone(
                    TEST_ACCOUNT, resident_password, server=server, caller=SECOND, register=False
                ) as olga,
            ):
                self.say("\n— Первый житель звонит на линию: у него прорвало трубу.\n")
                said = await self._heard_and_helped(ivan, anna)
                self.say("\n— Второй житель звонит, ждёт диспетчера и кладёт трубку.\n")
                await self._gave_up(olga, anna)
            await self._until(self._recorded, "the first call's recording is attached")
        finally:
            await asyncio.sleep(0.3)  # the last lines of the timeline
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch  # what kept it from being told is not kept quiet
        await self._look_at_the_first(*said)
        await self._look_at_the_second()
        return self.wrong

    async def _heard_and_helped(self, ivan: Softphone, anna: Softphone) -> tuple[sound.Sound, sound.Sound]:
        trouble, answer = await asyncio.gather(
            self._speech("aleksandr", TROUBLE), self._speech("irina", ANSWER)
        )
        call = await ivan.dial(LINE)
        await call.answered(within=5)
        await call.hears_voice(within=3)
        self._so("the resident hears the greeting", sound.has_voice(call.heard))
        await self._fact("prompt", "menu_main", of=FIRST)
        await call.press("1")
        ringing = await anna.rings(within=20)
        self._so("the dispatcher's phone shows who calls", ringing.caller_number == FIRST)
        await call.hears(seconds=1.5)  # the music, while the phone rings
        await ringing.answer()
        await self._both_talk(call, trouble, ringing, answer)
        await call.hang_up()
        await ringing.ended(within=5)
        return trouble, answer

    async def _both_talk(
        self, call: PhoneCall, trouble: sound.Sound, talk: PhoneCall, answer: sound.Sound
    ) -> None:
        call.says(trouble)
        await call.has_said_all(within=15)
        talk.says(answer)
        await talk.has_said_all(within=15)
        self._so("the dispatcher hears the resident", sound.likeness(talk.heard, trouble) > 0.5)
        self._so("the resident hears the dispatcher", sound.likeness(call.heard, answer) > 0.5)

    async def _gave_up(self, olga: Softphone, anna: Softphone) -> None:
        call = await olga.dial(LINE)
        await call.answered(within=5)
        await call.press("1")
        await anna.rings(within=20)
        await call.hears(seconds=3)
        await call.hang_up()
        await self._fact("ended", None, of=SECOND)

    async def _look_at_the_first(self, trouble: sound.Sound, answer: sound.Sound) -> None:
        call = await self._call_of(FIRST)
        self.say("\n— Что теперь в Postgres\n")
        self.say(f"  звонок     {call['id']}  {shown(call['caller'])} → {call['company']}")
        answered, ended = self._clock(call["answered_at"]), self._clock(call["ended_at"])
        self.say(
            f"             поступил {self._clock(call['arrived_at'])}, ответила {call['answered_by']} {answered}"
        )
        self.say(f"             закончен {ended}: {call['outcome']}")
        self._so("the first call ended talked", call["outcome"] == "talked")
        self._so("its moments are in order", call["arrived_at"] < call["answered_at"] < call["ended_at"])

        ticket = await self.ledger.one("tickets.of_call", call=call["id"])
        self._so("a draft ticket is open", ticket is not None and ticket["status"] == "draft")
        if ticket is not None:
            shown_ticket = await self.ledger.one("tickets.show", number=ticket["number"])
            clocks = await self.ledger.all("tickets.clocks", number=ticket["number"])
            self._print_ticket(shown_ticket or ticket, clocks)
            self._so("its category came from the menu", ticket["category"] == "emergency")
            self._so("it knows the flat", bool(ticket["flat"]))
            self._so("its clocks run, each with its clause", {c["name"] for c in clocks} >= CLOCKS)
        await self._look_at_recording(call, trouble, answer)
        self._so(
            "no promise for a call that was answered",
            not await self.ledger.all("promises.of_call", call=call["id"]),
        )

    async def _look_at_recording(self, call: Row, trouble: sound.Sound, answer: sound.Sound) -> None:
        row = await self.ledger.one("recordings.of_call", call=call["id"])
        if row is None or row["status"] != "attached":
            self._so("the recording is attached", False)
            return
        left, right = sound.stereo_wav(self.settings.recordings / row["path"])
        lasted = (call["ended_at"] - call["arrived_at"]).total_seconds()
        size = f"{row['bytes'] // 1024} КиБ, SHA-256 {row['sha256'][:16]}…"
        self.say(f"  запись     {row['seconds']:.1f} с из {lasted:.1f} с звонка, {size}")
        self.say(
            f"             голос жителя {row['voiced_in']:.1f} с, линия и диспетчер {row['voiced_out']:.1f} с"
        )
        self._so("the recording is as long as the call", abs(row["seconds"] - lasted) < 1.0)
        self._so("the resident's voice is in it, on the left", sound.likeness(left, trouble) > 0.5)
        self._so("the dispatcher's voice is in it, on the right", sound.likeness(right, answer) > 0.5)

    async def _look_at_the_second(self) -> None:
        call = await self._call_of(SECOND)
        self.say(f"  звонок     {call['id']}  {shown(call['caller'])} → {call['company']}: {call['outcome']}")
        self._so("the second call was abandoned in the queue", call["outcome"] == "abandoned_in_queue")
        promises = await self.ledger.all("promises.of_call", call=call["id"])
        self._so("it made exactly one promise", len(promises) == 1)
        for promise in promises:
            minutes = (promise["due_at"] - call["arrived_at"]).total_seconds() / 60
            due = f"до {self._clock(promise['due_at'])} ({promise['clause']})"
            self.say(f"  обещание   № {promise['id']}: перезвонить {shown(promise['phone'])} {due}")
            self.say(f"             причина: {promise['reason']}")
            self._so("due ten minutes after the call arrived", abs(minutes - 10) < 0.001)
            self._so("it is open", promise["status"] == "open")

    def _print_ticket(self, ticket: Row, clocks: list[Row]) -> None:
        address = f"{ticket.get('address') or '–'}, кв. {ticket['flat'] or '–'}"
        self.say(f"  заявка     № {ticket['number']} ({ticket['status']}): {ticket['category']}, {address}")
        for clock in clocks:
            self.say(
                f"             {clock['name']:<11} до {self._clock(clock['due_at'], day=True)}  {clock['clause']}"
            )

    async def _speech(self, voice: str, text: str) -> sound.Sound:
        """What a person says, spoken by a voice of its own."""
        tree = native(self.settings)
        speaker = Synthesiser(
            "rhvoice", tuple(tree.command("usr/bin/RHVoice-test")), voice, tree.environment()
        )
        return as_pcm(at_rate(await speaker.speak(text), sound.RATE).samples)

    async def _print_timeline(self) -> None:
        while True:
            rows = await self.ledger.all("calls.recent", most=2)
            for fact in await self.ledger.all("calls.facts", calls=[row["id"] for row in rows]):
                name = (fact["call_id"], fact["key"])
                if name not in self._seen:
                    self._seen.add(name)
                    self.say(self._line(fact))
            await asyncio.sleep(0.2)

    def _line(self, fact: Row) -> str:
        who = "житель" if fact["who"] == "resident" else fact["who"]
        detail: dict[str, Any] = {
            "place": ", ".join(map(str, fact["detail"].values())),
            **fact["detail"],
            "kind": fact["kind"],
            "who": who,
        }
        call = self._names.setdefault(fact["call_id"], f"звонок {len(self._names) + 1}")
        told = WORDS.get(str(fact["kind"]), "{kind}").format_map(defaultdict(lambda: "–", detail))
        return f"  {self._clock(fact['at'], fraction=True)}  {call}  {told}"

    def _clock(self, at: datetime, *, day: bool = False, fraction: bool = False) -> str:
        local = at.astimezone(ZoneInfo(self.settings.time_zone))
        shown_to = f".{local.microsecond // 1000:03d}" if fraction else ""
        return local.strftime("%d.%m %H:%M:%S" if day else "%H:%M:%S") + shown_to

    def _so(self, what: str, is_so: bool) -> None:
        if not is_so:
            self.wrong.append(what)

    async def _call_of(self, caller: str) -> Row:
        for row in await self.ledger.all("calls.recent", most=10):
            if row["caller"] == caller:
                return row
        raise LookupError(f"no call of {caller} is in the ledger")

    async def _fact(self, kind: str, prompt: str | None, *, of: str) -> None:
        async def there() -> bool:
            try:
                call = await self._call_of(of)
            except LookupError:
                return False
            facts = await self.ledger.all("calls.facts", calls=[call["id"]])
            return any(f["kind"] == kind and prompt in (None, f["detail"].get("prompt")) for f in facts)

        await self._until(there, f"{kind} {prompt or ''} of {of}")

    async def _recorded(self) -> bool:
        call = await self._call_of(FIRST)
        row = await self.ledger.one("recordings.of_call", call=call["id"])
        return row is not None and row["status"] == "attached"

    async def _until(self, there: Callable[[], Awaitable[bool]], what: str, within: float = 20.0) -> None:
        try:
            async with asyncio.timeout(within):
                while not await there():  # noqa: ASYNC110 - Postgres is what is waited for
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s: {what}") from None
