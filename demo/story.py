"""The story `make demo` tells: one resident is heard; another gives up waiting, is called back, and talks; and when
the first one's job is done, the robot asks him what it was worth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from appliance.asterisk import native
from demo import sound
from demo.softphone import PhoneCall, Softphone
from directory.phones import shown
from ivr.app import now
from ivr.asterisk.conf import TEST_ACCOUNT
from ivr.ledger import Ledger
from ivr.settings import Settings
from ivr.speech.sound import as_pcm
from ivr.speech.voice import Synthesiser, at_rate
from ivr.store import Row
from tickets import book, limits

LINE = "+74951230001"
FIRST, SECOND = "+79000000002", "+79000000004"
"""Two residents of the sample directory."""

TROUBLE = "Здравствуйте! У нас на кухне прорвало трубу, вода течёт к соседям."
ANSWER = "Слышу вас. Перекройте кран, бригада выезжает."
CALLING_BACK = "Здравствуйте! Вы звонили нам и не дождались. Что у вас случилось?"
NO_LIGHT = "Во всём подъезде нет света, и лифт стоит."
WHAT, DONE = "Прорвало трубу на кухне", "Труба заменена"
RATING, SAID = 4, "На четвёрочку."
TEN = timedelta(minutes=10)
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
    "accepted": "диспетчер {who} приняла обратный звонок",
}
CALL_BACK_WORDS = WORDS | {
    "arrived": "обещание {promise}: перезваниваем {caller} с номера {dialled}",
    "queued": "занял в очереди место, которое у него было",
}
SURVEY_WORDS = WORDS | {
    "arrived": "робот звонит: работа закончена",
    "picked_up": "житель взял трубку",
    "silence": "житель больше ничего не сказал",
    "hung_up": "робот положил трубку",
    "prompt": "робот говорит: {prompt}",
    "heard": "робот слышит: «{text}»",
    "said": "ответ: {result} {rating}",
}
CALL_BACK, SURVEY = "перезвон", "опрос   "
RANG_RESIDENT = "у жителя звонит телефон"


@dataclass(slots=True)
class Story:
    """Tells it, watches the ledger meanwhile, and looks at the end whether all of it is so."""

    settings: Settings
    ledger: Ledger
    phones: int
    """The SIP port the story's phones answer on."""
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
                Softphone("101", dispatchers["101"], server=server, port=self.phones) as anna,
                self._resident(FIRST, resident_password) as ivan,
                self._resident(SECOND, resident_password) as olga,
            ):
                self.say("\n— Первый житель звонит на линию: у него прорвало трубу.\n")
                call, talk, *said = await self._heard_and_helped(ivan, anna)
                self.say("\n— Пока они говорят, звонит второй: ждёт в очереди и кладёт трубку.\n")
                await self._gave_up(olga)
                self.say("\n— Диспетчер освободилась. Обещание перезвонить заняло место второго в очереди.\n")
                await call.hang_up()
                await talk.ended(within=5)
                back = await self._called_back(olga, anna)
                self.say(
                    "\n— Работа у первого сделана, заявка закрыта. Робот звонит спросить, как сделали.\n"
                )
                rating = await self._asked(ivan)
            await self._until(self._recorded, "the recordings are attached")
        finally:
            await asyncio.sleep(0.3)  # the last lines of the timeline
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch  # what kept it from being told is not kept quiet
        await self._look_at_the_first(*said)
        await self._look_at_the_second(*back)
        await self._look_at_the_survey(rating)
        return self.wrong

    def _resident(self, number: str, password: str) -> Softphone:
        server = f"{self.settings.sip_host}:{self.settings.sip_port}"
        return Softphone(
            TEST_ACCOUNT, password, server=server, caller=number, register=False, port=self.phones
        )

    async def _heard_and_helped(
        self, ivan: Softphone, anna: Softphone
    ) -> tuple[PhoneCall, PhoneCall, sound.Sound, sound.Sound]:
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
        return call, ringing, trouble, answer

    async def _both_talk(
        self, call: PhoneCall, trouble: sound.Sound, talk: PhoneCall, answer: sound.Sound
    ) -> None:
        call.says(trouble)
        await call.has_said_all(within=15)
        talk.says(answer)
        await talk.has_said_all(within=15)
        self._so("the dispatcher hears the resident", sound.likeness(talk.heard, trouble) > 0.5)
        self._so("the resident hears the dispatcher", sound.likeness(call.heard, answer) > 0.5)

    async def _gave_up(self, olga: Softphone) -> None:
        call = await olga.dial(LINE)
        await call.answered(within=5)
        await call.press("1")
        await self._fact("queued", None, of=SECOND)
        await call.hears(seconds=3)
        await call.hang_up()
        await self._until(self._promised, "the second call is missed, and promised")

    async def _called_back(self, olga: Softphone, anna: Softphone) -> tuple[sound.Sound, sound.Sound]:
        trouble, question = await asyncio.gather(
            self._speech("elena", NO_LIGHT), self._speech("irina", CALLING_BACK)
        )
        ringing = await anna.rings(within=20)
        self.say(f"  на телефоне диспетчера: «{ringing.caller_name}» {shown(ringing.caller_number)}")
        self._so("the dispatcher's phone shows whom to call back", ringing.caller_number == SECOND)
        await ringing.answer()
        back = await olga.rings(within=15)
        self.say(f"  на телефоне жителя: {shown(back.caller_number)}")
        self._so("the resident sees the company's number", back.caller_number == LINE)
        await back.answer()
        await self._fact("answered", None, of=SECOND)
        await self._both_talk(back, trouble, ringing, question)
        await back.hang_up()
        await ringing.ended(within=5)
        await self._until(self._kept, "the promise is kept")
        return trouble, question

    async def _asked(self, ivan: Softphone) -> sound.Sound:
        """The ticket is closed, a call agreed for at once; he answers while the robot still speaks."""
        rating = await self._speech("aleksandr", SAID)
        ticket = await self.ledger.one("tickets.of_call", call=(await self._call_of(FIRST, "inbound"))["id"])
        assert ticket is not None
        await book.complete(self.ledger, limits.read(), ticket["number"], "101", now(), content=WHAT)
        agreed = now() + timedelta(seconds=1)
        await book.close(self.ledger, ticket["number"], "101", now(), DONE, survey_at=agreed)
        call = await ivan.rings(within=20)
        self._so("the resident sees the company's number", call.caller_number == LINE)
        await call.answer()
        if self.settings.model is None:
            self.say("  (модели речи здесь нет: робот просит нажать цифру; make model)")
            await self._fact("prompt", "survey_by_key", of=FIRST)
            await call.press(str(RATING))
        else:
            await self._fact("prompt", "survey_question", of=FIRST)
            await call.hears(seconds=1.5)
            call.says(rating)
        await call.ended(within=30)
        await self._until(self._settled, "the rating is on the ticket")
        return rating

    async def _look_at_the_survey(self, rating: sound.Sound) -> None:
        call = await self._call_of(FIRST, "survey")
        self.say(f"  опрос      {call['id']}  {shown(call['caller'])}: {call['outcome']}")
        first = await self._call_of(FIRST, "inbound")
        ticket = await self.ledger.one("tickets.of_call", call=first["id"]) or {}
        self.say(f"  заявка     № {ticket['number']} ({ticket['status']}): оценка {ticket['rating']} из 5")
        self._so("the rating is on the ticket", ticket["rating"] == RATING)
        self._so("the ticket stays closed", ticket["status"] == "closed")
        said = [f for f in await self.ledger.all("calls.facts", calls=[call["id"]]) if f["kind"] == "said"]
        how = "key" if self.settings.model is None else "voice"
        self._so(f"it came by {how}", [f["detail"].get("by") for f in said] == [how])
        row = await self.ledger.one("recordings.of_call", call=call["id"])
        if row is not None and row["status"] == "attached" and how == "voice":
            left, _ = sound.stereo_wav(self.settings.recordings / row["path"])
            self._so("his answer is in the recording", sound.likeness(left, rating) > 0.5)

    async def _look_at_the_first(self, trouble: sound.Sound, answer: sound.Sound) -> None:
        call = await self._call_of(FIRST, "inbound")
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
        self._so("a ticket was opened", ticket is not None)
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

    async def _look_at_recording(
        self, call: Row, trouble: sound.Sound, answer: sound.Sound, since: str = "arrived_at"
    ) -> None:
        row = await self.ledger.one("recordings.of_call", call=call["id"])
        if row is None or row["status"] != "attached":
            self._so("the recording is attached", False)
            return
        left, right = sound.stereo_wav(self.settings.recordings / row["path"])
        lasted = (call["ended_at"] - call[since]).total_seconds()
        size = f"{row['bytes'] // 1024} КиБ, SHA-256 {row['sha256'][:16]}…"
        self.say(f"  запись     {row['seconds']:.1f} с из {lasted:.1f} с, {size}")
        self.say(
            f"             голос жителя {row['voiced_in']:.1f} с, линия и диспетчер {row['voiced_out']:.1f} с"
        )
        greeting = 0 if since == "arrived_at" else 10  # a call back greets before the two are connected
        self._so("the recording is as long as the call", -1.0 < row["seconds"] - lasted < 1.0 + greeting)
        self._so("the resident's voice is in it, on the left", sound.likeness(left, trouble) > 0.5)
        self._so("the dispatcher's voice is in it, on the right", sound.likeness(right, answer) > 0.5)

    async def _look_at_the_second(self, trouble: sound.Sound, question: sound.Sound) -> None:
        call = await self._call_of(SECOND, "inbound")
        self.say(f"  звонок     {call['id']}  {shown(call['caller'])} → {call['company']}: {call['outcome']}")
        self._so("the second call was abandoned in the queue", call["outcome"] == "abandoned_in_queue")
        promises = await self.ledger.all("promises.of_call", call=call["id"])
        self._so("it made exactly one promise", len(promises) == 1)
        back = await self._call_of(SECOND, "callback")
        self.say(
            f"  перезвон   {back['id']}  {back['answered_by']} → {shown(back['caller'])}: {back['outcome']}"
        )
        for promise in promises:
            due = f"до {self._clock(promise['due_at'])} ({promise['clause']})"
            self.say(f"  обещание   № {promise['id']}: перезвонить {shown(promise['phone'])} {due}")
            self._so("due ten minutes after the call arrived", promise["due_at"] == call["arrived_at"] + TEN)
            self._so("it is kept", promise["status"] == "kept")
            self._so("by that call back", promise["reached_by"] == back["id"])
            if promise["reached_at"] is not None:
                took = (promise["reached_at"] - promise["missed_at"]).total_seconds()
                self.say(f"             выполнено: поговорили через {took:.1f} с после начала звонка")
        await self._look_at_recording(back, trouble, question, since="answered_at")

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
            rows = await self.ledger.all("calls.recent", most=3)
            for fact in await self.ledger.all("calls.facts", calls=[row["id"] for row in rows]):
                name = (fact["call_id"], fact["key"])
                if name not in self._seen:
                    self._seen.add(name)
                    if line := self._line(fact):
                        self.say(line)
            await asyncio.sleep(0.2)

    def _line(self, fact: Row) -> str:
        who = "житель" if fact["who"] == "resident" else fact["who"]
        detail: dict[str, Any] = {
            "place": ", ".join(map(str, fact["detail"].values())),
            **fact["detail"],
            "kind": fact["kind"],
            "who": who,
        }
        call = self._names.setdefault(fact["call_id"], self._name(fact["call_id"]))
        if fact["kind"] == "heard" and "text" not in fact["detail"]:
            return ""
        if fact["kind"] == "rang" and fact["who"] == "resident":
            return f"  {self._clock(fact['at'], fraction=True)}  {call}  {RANG_RESIDENT}"
        words = {CALL_BACK: CALL_BACK_WORDS, SURVEY: SURVEY_WORDS}.get(call, WORDS)
        told = words.get(str(fact["kind"]), "{kind}").format_map(defaultdict(lambda: "–", detail))
        return f"  {self._clock(fact['at'], fraction=True)}  {call}  {told}"

    def _name(self, call: str) -> str:
        calls = [name for name in self._names.values() if name.startswith("звонок")]
        if "-survey-" in call:
            return SURVEY
        return CALL_BACK if "-callback-" in call else f"звонок {len(calls) + 1}"

    def _clock(self, at: datetime, *, day: bool = False, fraction: bool = False) -> str:
        local = at.astimezone(ZoneInfo(self.settings.time_zone))
        shown_to = f".{local.microsecond // 1000:03d}" if fraction else ""
        return local.strftime("%d.%m %H:%M:%S" if day else "%H:%M:%S") + shown_to

    def _so(self, what: str, is_so: bool) -> None:
        if not is_so:
            self.wrong.append(what)

    async def _call_of(self, caller: str, direction: str | None = None) -> Row:
        for row in await self.ledger.all("calls.recent", most=10):
            if row["caller"] == caller and direction in {None, row["direction"]}:
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
        calls = [
            await self._call_of(FIRST, "inbound"),
            await self._call_of(SECOND, "callback"),
            await self._call_of(FIRST, "survey"),
        ]
        rows = [await self.ledger.one("recordings.of_call", call=call["id"]) for call in calls]
        return all(row is not None and row["status"] == "attached" for row in rows)

    async def _promised(self) -> bool:
        return bool(await self._promises())

    async def _settled(self) -> bool:
        first, call = await self._call_of(FIRST, "inbound"), await self._call_of(FIRST, "survey")
        ticket = await self.ledger.one("tickets.of_call", call=first["id"])
        return call["ended_at"] is not None and ticket is not None and ticket["rating"] is not None

    async def _kept(self) -> bool:
        return all(promise["status"] == "kept" for promise in await self._promises())

    async def _promises(self) -> list[Row]:
        call = await self._call_of(SECOND, "inbound")
        return await self.ledger.all("promises.of_call", call=call["id"])

    async def _until(self, there: Callable[[], Awaitable[bool]], what: str, within: float = 20.0) -> None:
        try:
            async with asyncio.timeout(within):
                while not await there():  # noqa: ASYNC110 - Postgres is what is waited for
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s: {what}") from None
