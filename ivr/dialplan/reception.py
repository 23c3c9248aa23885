"""The conversation every inbound call has with the hotline, up to the queue. Read it aloud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ivr.call import Kind, Outcome
from ivr.dialplan.rules import FIRST_MENU, Rules, Way
from ivr.line import Line

MOST_STEPS = 30
"""Nobody walks menus longer than this; then a human answers."""


@dataclass(frozen=True, slots=True)
class ToQueue:
    """Wait for a dispatcher."""

    category: str
    priority: int


@dataclass(frozen=True, slots=True)
class ToVoicemail:
    """Leave a message after the tone."""


@dataclass(frozen=True, slots=True)
class ToHangUp:
    """The line says goodbye."""


Place = ToQueue | ToVoicemail | ToHangUp

TO_A_HUMAN = ToQueue(category="other", priority=5)


async def reception(line: Line, rules: Rules, zone: ZoneInfo, now: Callable[[], datetime]) -> Place:
    """Greet, say that the talk is recorded, walk the menus; returns where the call goes."""
    await line.answer()
    await line.say("welcome")
    await line.say("recording_notice", whole=True)
    return await walk(line, rules, f"menu:{FIRST_MENU}", zone, now)


async def unanswered(line: Line, why: Outcome, *, number_known: bool) -> Place:
    """The queue gave the caller back: nobody there, full, waited too long, or she took an offer made there.

    Only what can be kept is promised.
    """
    match why:
        case Outcome.CALLBACK_ASKED if number_known:
            await line.say("place_kept")
            return ToHangUp()
        case Outcome.CALLBACK_ASKED:
            await line.say("number_hidden")
        case Outcome.ABANDONED_IN_QUEUE:
            pass  # she would rather leave a message
        case _:
            await line.say("no_dispatcher" if why is Outcome.NO_DISPATCHER else "all_busy")
            if number_known:
                await line.say("callback_promise")
    await line.say("voicemail_ask")
    return ToVoicemail()


async def walk(line: Line, rules: Rules, start: str, zone: ZoneInfo, now: Callable[[], datetime]) -> Place:
    """Follow the places from `start` until one of them is an end."""
    place = start
    for _ in range(MOST_STEPS):
        kind, _, name = place.partition(":")
        match kind:
            case "menu":
                place = await choose(line, rules, name)
            case "queue":
                way = rules.ways[name]
                if way.closed and _is_closed(way, rules, zone, now()):
                    place = way.closed
                    continue
                # Now, so that who hangs up at the prompt is called back for what it was.
                line.note(Kind.WENT, category=way.category, priority=way.priority)
                await line.say(way.prompt)
                return ToQueue(way.category, way.priority)
            case "voicemail":
                await line.say("voicemail_ask")
                return ToVoicemail()
            case _:
                await line.say("goodbye")
                return ToHangUp()
    line.note(Kind.WENT, category=TO_A_HUMAN.category, priority=TO_A_HUMAN.priority)
    return TO_A_HUMAN


async def choose(line: Line, rules: Rules, name: str) -> str:
    """Ask until a key leads somewhere; wrong keys, silence and repeats end at the menu's `otherwise`."""
    menu = rules.menus[name]
    for _ in range(menu.tries):
        key = await line.ask(menu.prompt, wait=menu.wait)
        goes = menu.keys.get(key) if key else None
        if goes == "repeat":
            continue
        if goes:
            line.note(Kind.WENT, menu=name, key=key, place=goes)
            return goes
        if key is None:
            line.note(Kind.SILENCE, menu=name)
            await line.say("no_input")
        else:
            line.note(Kind.WRONG_KEY, menu=name, key=key)
            await line.say("wrong_key")
    line.note(Kind.WENT, menu=name, place=menu.otherwise)
    return menu.otherwise


def _is_closed(way: Way, rules: Rules, zone: ZoneInfo, at: datetime) -> bool:
    return way.hours is not None and not rules.hours[way.hours].open_at(at, zone)
