"""Following one Asterisk: live events, the log after a gap, calls whose channel is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from directory.phones import to_e164
from ivr.asterisk import follower as follower_
from ivr.asterisk.follower import Follower
from ivr.call import Call, Direction, Kind, Outcome
from ivr.settings import Settings
from ivr.switchboard import Numbers, Switchboard
from tests import stories
from tests.fake_manager import SECRET, FakeManager, channels
from tests.fakes import NOON, Clock, FakeStore
from tests.stories import CALL, CALLER, DIALLED, as_heard, as_written, facts, lines
from tickets import limits

HELD = {"Event": "Hold", "Channel": "PJSIP/101-00000001", "Linkedid": CALL}


class House:
    """A switchboard that follows a fake Asterisk, with its log and its ledger."""

    def __init__(self, asterisk: FakeManager, folder: Path) -> None:
        self.asterisk, self.store, self.clock = asterisk, FakeStore(), Clock()
        self.log = folder / "calls.jsonl"
        numbers = Numbers(partial(to_e164, region="RU"), lambda _: None)
        self.board = Switchboard(self.store, numbers, limits.read(), ZoneInfo("Europe/Moscow"))
        self.board.watchers.append(lambda *_: self.news.set())
        self.news = asyncio.Event()
        settings = replace(Settings(), ami_port=asterisk.port, ami_secret=SECRET)
        self.follower = Follower(settings, self.board, self.store, self.log, self.clock)
        self.follower.ami._manager.reconnect_timeout = 0.05

    def writes(self, story: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.writelines(as_written(line) + "\n" for line in lines(story))

    async def hears(self, story: str) -> None:
        await self.asterisk.sends(*map(as_heard, lines(story)))

    async def takes_stock(self) -> None:
        async with asyncio.timeout(5):
            await self.follower.took_stock.wait()

    async def until(self, true: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(5):
                while not true():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain for: {what}") from None

    async def ended(self) -> Call:
        await self.until(lambda: bool(self.board.calls.get(CALL) and self.call.ended_at), "the call's end")
        return self.call

    @property
    def call(self) -> Call:
        return self.board.calls[CALL]

    def noted(self) -> list[tuple[Kind, str | None]]:
        return [(each["kind"], each["who"]) for each in self.store.of("calls.note")]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with FakeManager(CoreShowChannels=channels()) as asterisk:
        yield House(asterisk, tmp_path)


def going_on(story: str) -> dict[str, Any]:
    """What the ledger answers of a call that had come so far."""
    call = Call(CALL, NOON, caller=CALLER, dialled=DIALLED)
    rows = [{name: getattr(call, name) for name in ("id", "arrived_at", "caller", "dialled")}]
    told = [
        {"call_id": f.call, "at": f.at, "kind": f.kind.value, "key": f.key, "who": f.who, "detail": dict(f.detail)}
        for f in facts(story)
    ]  # fmt: skip
    return {
        "calls.going_on": rows,
        "calls.facts": told,
        "calls.last_heard": [{"at": NOON + timedelta(minutes=4)}],  # of another call, since ended
    }


async def test_a_call_is_followed_live(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.BLIND)
        call = await house.ended()
    assert call.outcome is Outcome.TALKED
    assert house.noted() == [(fact.kind, fact.who) for fact in facts(stories.BLIND)]


async def test_hold_is_heard_in_the_stream_only(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.TALKS)
        await house.asterisk.sends(HELD, {**HELD, "Event": "Unhold"})
        await house.until(lambda: (Kind.RESUMED, "101") in house.noted(), "the talk to be resumed")
    assert house.noted()[-2:] == [(Kind.HELD, "101"), (Kind.RESUMED, "101")]


async def test_the_place_in_the_queue_is_noted(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.WAITS)
        await house.asterisk.sends({"Event": "QueueCallerJoin", "Linkedid": CALL, "Position": "3"})
        await house.until(lambda: (Kind.QUEUE_PLACE, None) in house.noted(), "the place in the queue")
    assert house.store.of("calls.note")[-1]["detail"] == {"position": "3"}


async def test_a_robots_call_that_could_not_even_be_rung_has_ended(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        house.board.open(stories.SURVEY, NOON, CALLER, DIALLED, Direction.SURVEY)
        call = house.board.calls[stories.SURVEY]
        await house.asterisk.sends(
            {"Event": "OriginateResponse", "Response": "Failure", "Uniqueid": stories.SURVEY, "Reason": "0"}
        )
        await house.until(lambda: call.ended_at is not None, "the end of what never was")
    assert call.outcome is Outcome.UNREACHABLE


async def test_one_that_was_busy_ends_as_its_channel_tells(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        *story, hangup, end = lines(stories.ASK_BUSY)
        await house.asterisk.sends(*map(as_heard, story))
        await house.asterisk.sends(
            {"Event": "OriginateResponse", "Response": "Failure", "Uniqueid": stories.SURVEY, "Reason": "5"}
        )
        await house.asterisk.sends(*map(as_heard, (hangup, end)))
        await house.until(lambda: stories.SURVEY in house.board.calls, "the call")
        await house.until(lambda: bool(house.board.calls[stories.SURVEY].ended_at), "the call's end")
    assert house.board.calls[stories.SURVEY].outcome is Outcome.BUSY


async def test_a_hold_between_dispatchers_is_nobody_s(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.asterisk.sends({**HELD, "Linkedid": "dozvon-9.9"})
        await house.hears(stories.GIVES_UP)
        await house.ended()
    assert Kind.HELD not in {kind for kind, _ in house.noted()}


async def test_what_happened_before_the_link_is_read_from_the_log(house: House) -> None:
    house.writes(stories.GIVES_UP)
    async with house.follower.ami:
        await house.takes_stock()
    assert (house.call.outcome, house.call.arrived_at) == (Outcome.ABANDONED_IN_QUEUE, NOON)
    assert len(house.store.of("promises.open")) == 1


async def test_the_log_is_read_even_when_there_is_none_yet(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
    assert not house.board.calls


async def test_what_the_ledger_knew_is_not_told_again(house: House) -> None:
    house.store.rows = going_on(stories.TALKS)
    house.writes(stories.ANSWERED)
    await house.follower.remember()
    async with house.follower.ami:
        await house.takes_stock()
    assert house.noted() == [(Kind.HUNG_UP, "resident"), (Kind.ENDED, None)]
    assert house.call.outcome is Outcome.TALKED


@pytest.mark.parametrize("link", ["first", "second"])
async def test_events_that_come_while_stock_is_taken_wait_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """… and what log and stream both tell of that while is remembered once."""
    reading, may_go_on = asyncio.Event(), asyncio.Event()
    take_stock = house.follower._stock

    async def slowly() -> Any:
        if house.asterisk.logins == (1 if link == "first" else 2):
            reading.set()
            await may_go_on.wait()
        return await take_stock()

    monkeypatch.setattr(house.follower, "_stock", slowly)
    house.asterisk.answers["CoreShowChannels"] = channels(CALL)
    async with house.follower.ami:
        if link == "second":
            await house.takes_stock()
            house.asterisk.drop()
        async with asyncio.timeout(5):
            await reading.wait()
        before_the_end, *_ = stories.ANSWERED.split("60.00")
        house.writes(before_the_end)
        await house.hears(stories.ANSWERED)  # all of it, and its end
        await house.follower.ami.ask("Ping")  # … has arrived by now
        assert not house.noted(), "not before the stock is taken"
        may_go_on.set()
        call = await house.ended()
    assert call.outcome is Outcome.TALKED
    assert house.noted() == [(fact.kind, fact.who) for fact in facts(stories.ANSWERED)]


async def test_what_was_missed_while_the_link_was_lost_is_read_from_the_log(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.WAITS)
        await house.until(lambda: (Kind.RANG, "101") in house.noted(), "the ringing")
        house.writes(stories.ANSWERED)
        house.asterisk.drop()
        call = await house.ended()
        await house.takes_stock()
    assert call.outcome is Outcome.TALKED
    assert house.noted() == [(fact.kind, fact.who) for fact in facts(stories.ANSWERED)]


async def test_a_call_asterisk_knows_nothing_of_any_more_was_cut_off(house: House) -> None:
    """Asterisk was killed under it: no end in the log, and no channel."""
    house.store.rows = going_on(stories.WAITS)
    house.writes(stories.WAITS)
    async with house.follower.ami:
        await house.takes_stock()
    assert (house.call.outcome, house.call.ended_at) == (Outcome.CUT_OFF, NOON + timedelta(seconds=4.11))
    assert [promise["reason"] for promise in house.store.of("promises.open")] == [Outcome.CUT_OFF]


async def test_a_call_that_is_still_there_goes_on(house: House) -> None:
    house.store.rows = going_on(stories.WAITS)
    house.writes(stories.WAITS)
    house.asterisk.answers["CoreShowChannels"] = channels(CALL, "dozvon-1795298309.1")
    async with house.follower.ami:
        await house.takes_stock()
        assert house.call.ended_at is None
        await house.hears("\n".join(stories.GIVES_UP.splitlines()[-4:]))
        assert (await house.ended()).outcome is Outcome.ABANDONED_IN_QUEUE


async def test_a_call_of_another_asterisk_is_not_ours_to_close(house: House) -> None:
    house.board.open("other-1.0", NOON, CALLER, DIALLED)
    async with house.follower.ami:
        await house.takes_stock()
    assert house.board.calls["other-1.0"].ended_at is None


async def test_stock_is_taken_again_until_it_is_taken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_, "STOCK_RETRY", 0.01)
    failures = [OSError("Postgres is away"), TimeoutError(), ValueError("a bug")]
    all_of_it = house.store.all

    async def fails_first(statement: str, /, **values: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await all_of_it(statement, **values)

    monkeypatch.setattr(house.store, "all", fails_first)
    house.writes(stories.GIVES_UP)
    async with house.follower.ami:
        await house.takes_stock()
    assert house.call.outcome is Outcome.ABANDONED_IN_QUEUE


async def test_a_channel_gone_without_a_word_is_closed_at_the_second_look(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.WAITS)
        await house.until(lambda: (Kind.RANG, "101") in house.noted(), "the ringing")
        await house.follower.sweep()
        assert house.call.ended_at is None, "its end may be on its way"
        house.clock.passes(30)
        await house.follower.sweep()
    call = house.call
    assert (call.outcome, call.ended_at) == (Outcome.CUT_OFF, NOON + timedelta(seconds=30))


async def test_a_call_that_was_missing_once_is_not_closed_when_it_is_seen_again(house: House) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears(stories.WAITS)
        await house.until(lambda: (Kind.RANG, "101") in house.noted(), "the ringing")
        await house.follower.sweep()
        house.asterisk.answers["CoreShowChannels"] = channels(CALL)
        await house.follower.sweep()
        house.asterisk.answers["CoreShowChannels"] = channels()
        await house.follower.sweep()
    assert house.call.ended_at is None


async def test_an_event_without_what_it_must_have_is_said_and_passed_over(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.follower.ami:
        await house.takes_stock()
        await house.asterisk.sends({"Event": "CEL", "EventName": "ANSWER"}, {"Event": "Hold"})
        await house.hears(stories.GIVES_UP)
        await house.ended()
    assert caplog.text.count("an AMI event could not be followed") == 2


async def test_a_conversation_that_was_quicker_than_the_stock_does_not_lose_the_call_s_beginning(
    house: House,
) -> None:
    """The controller was restarted; the queue gives the call back before the log has been read."""
    house.store.rows = going_on(stories.WAITS)
    house.writes(stories.WAITS)
    house.asterisk.answers["CoreShowChannels"] = channels(CALL)
    house.board.open(CALL, NOON + timedelta(minutes=5), CALLER, DIALLED)
    async with house.follower.ami:
        await house.takes_stock()
        await house.hears("\n".join(stories.GIVES_UP.splitlines()[-4:]))
        call = await house.ended()
    assert (call.arrived_at, call.outcome) == (NOON, Outcome.ABANDONED_IN_QUEUE)
