"""What a person does with promises, on a real Postgres: each move, its history, and what is refused for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback import book
from callback.missed import HIDDEN
from ivr.errors import Refused
from ivr.hook import LONGEST_PAUSE, PAUSE, Hook
from ivr.ledger import Ledger

from .calls import ANNA, MISSED, NOON, TALKED, new_id, switchboard, tell
from .test_directory import somebody_waits, take_sample

MOSCOW = ZoneInfo("Europe/Moscow")
DUE = NOON + timedelta(minutes=10)
IN_TIME = NOON + timedelta(minutes=4)
TOO_LATE = NOON + timedelta(minutes=14)
PHONE = "+79161234567"
WHY = "Просит вечером"


async def owed(ledger: Ledger, phone: str | None = PHONE, **more: Any) -> int:
    """A fresh promise."""
    tell(switchboard(ledger), *MISSED, caller=phone or "anonymous", **more)
    await ledger.settled()
    return int(await ledger.pool.fetchval("SELECT max(id) FROM promises"))


async def breaks(ledger: Ledger) -> None:
    """Their time is over and nobody was tried."""
    await ledger.pool.execute(
        "UPDATE promises SET status = 'broken', why = 'untried', due_mark_at = NULL WHERE status = 'open'"
    )


async def reached(ledger: Ledger, now: Any = TOO_LATE) -> list[Mapping[str, Any]]:
    """The machine looks at the talks there have been."""
    await ledger.settled()
    return await ledger.all("promises.reach", now=now, since=NOON, talk=timedelta(seconds=5), late="late")


async def talk(ledger: Ledger, **more: Any) -> str:
    """The resident calls again and talks, from 5 to 60 seconds after `at`."""
    call = tell(switchboard(ledger), *TALKED, **more).id
    await ledger.settled()
    return call


def last(promise: book.Promise) -> tuple[str, str, dict[str, Any]]:
    entry = promise.history[-1]
    return entry["who"], entry["what"], entry["detail"]


async def test_a_promise_shows_its_calls_and_its_history(ledger: Ledger) -> None:
    id = await owed(ledger)
    await owed(ledger, at=NOON + timedelta(minutes=1))
    shown = await book.show(ledger, id)
    assert (shown.row["status"], shown.row["missed"], shown.row["due_at"]) == ("open", 2, DUE)
    assert [call["outcome"] for call in shown.calls] == ["abandoned_in_queue"] * 2
    assert [entry["what"] for entry in shown.history] == ["opened", "joined"]
    assert shown.as_dict()["tried"] == []


async def test_talked_by_another_way_in_time_it_is_kept(ledger: Ledger) -> None:
    shown = await book.keep(ledger, await owed(ledger), ANNA, IN_TIME, "Позвонила со своего мобильного")
    row = shown.row
    assert (row["status"], row["reached_at"], row["closed_at"], row["reached_by"]) == (
        "kept",
        IN_TIME,
        IN_TIME,
        None,
    )
    assert last(shown) == (ANNA, "kept_by_hand", {"how": "Позвонила со своего мобильного", "status": "kept"})


@pytest.mark.parametrize(("marked", "why"), [(True, "untried"), (False, "late")])
async def test_talked_too_late_it_is_broken_whether_marked_yet_or_not(
    ledger: Ledger, marked: bool, why: str
) -> None:
    id = await owed(ledger)
    if marked:
        await breaks(ledger)
    row = (await book.keep(ledger, id, ANNA, TOO_LATE, "У двери")).row
    assert (row["status"], row["why"], row["reached_at"], row["closed_at"]) == (
        "broken",
        why,
        TOO_LATE,
        TOO_LATE,
    )


async def test_a_talk_settles_everything_owed_to_the_number(ledger: Ledger) -> None:
    old = await owed(ledger)
    await breaks(ledger)
    at = NOON + timedelta(minutes=12)
    new, other = await owed(ledger, at=at), await owed(ledger, "+79160000001", at=at)
    await book.keep(ledger, new, ANNA, TOO_LATE, "У двери")
    rows = {id: (await book.show(ledger, id)).row for id in (old, new, other)}
    assert {id: row["status"] for id, row in rows.items()} == {old: "broken", new: "kept", other: "open"}
    assert rows[old]["reached_at"] == TOO_LATE and rows[other]["closed_at"] is None


async def test_hidden_numbers_are_not_settled_by_one_another(ledger: Ledger) -> None:
    one, two = await owed(ledger, None), await owed(ledger, None)
    await book.keep(ledger, one, ANNA, IN_TIME, "Нашли по адресу")
    assert (await book.show(ledger, two)).row["status"] == "open"


async def test_postponed_it_is_tried_then_and_its_due_moment_stands(ledger: Ledger) -> None:
    id, then = await owed(ledger), NOON + timedelta(hours=6)
    shown = await book.postpone(ledger, id, ANNA, IN_TIME, then, WHY)
    assert (shown.row["next_attempt_at"], shown.row["due_at"], shown.row["why"]) == (then, DUE, WHY)
    assert last(shown)[:2] == (ANNA, "postponed")
    await ledger.all(
        "promises.break", now=DUE, talk=timedelta(seconds=5), untried="untried", trying="trying", most=10
    )
    row = (await book.show(ledger, id)).row
    assert (row["status"], row["why"], row["next_attempt_at"]) == ("broken", WHY, then)


async def test_why_it_was_broken_is_not_changed_by_postponing_it(ledger: Ledger) -> None:
    id = await owed(ledger)
    await breaks(ledger)
    shown = await book.postpone(ledger, id, ANNA, TOO_LATE, TOO_LATE + timedelta(hours=1), WHY)
    assert (shown.row["status"], shown.row["why"]) == ("broken", "untried")


async def test_withdrawn_it_is_owed_no_more(ledger: Ledger) -> None:
    shown = await book.withdraw(ledger, await owed(ledger), ANNA, IN_TIME, "Ошиблись номером")
    row = shown.row
    assert (row["status"], row["why"], row["closed_at"]) == ("withdrawn", "Ошиблись номером", IN_TIME)
    assert row["next_attempt_at"] is None and last(shown)[1] == "withdrawn"
    assert await book.promises(ledger) == []


async def test_a_breach_cannot_be_withdrawn(ledger: Ledger) -> None:
    id = await owed(ledger)
    await breaks(ledger)
    row = (await book.withdraw(ledger, id, ANNA, TOO_LATE, "Ошиблись номером")).row
    assert (row["status"], row["why"], row["closed_at"]) == ("broken", "untried", TOO_LATE)


async def test_closed_by_an_answering_machine_it_is_chased_again(ledger: Ledger) -> None:
    id = await owed(ledger)
    call = await talk(ledger, at=NOON + timedelta(minutes=1))
    assert [row["status"] for row in await reached(ledger, IN_TIME)] == ["kept"]
    shown = await book.reopen(ledger, id, ANNA, IN_TIME, "Это был автоответчик")
    row = shown.row
    assert (row["status"], row["reached_at"], row["reached_by"], row["closed_at"]) == (
        "open",
        None,
        None,
        None,
    )
    assert row["next_attempt_at"] == IN_TIME and last(shown)[1] == "reopened"
    assert await ledger.pool.fetchval("SELECT due_mark_at FROM promises") == DUE
    assert await reached(ledger) == [], "the talk that was none does not close it at once"
    assert await ledger.pool.fetchval("SELECT outcome::text FROM calls WHERE id = $1", call) == "machine"
    facts = await ledger.all("calls.facts", calls=[call])
    assert [fact["who"] for fact in facts if fact["kind"] == "machine"] == [ANNA]


async def test_what_the_same_talk_had_settled_is_owed_again_too(ledger: Ledger) -> None:
    old = await owed(ledger)
    await breaks(ledger)
    new = await owed(ledger, at=NOON + timedelta(minutes=12))
    await talk(ledger, at=NOON + timedelta(minutes=13))
    assert len(await reached(ledger, NOON + timedelta(minutes=15))) == 2
    await book.reopen(ledger, old, ANNA, NOON + timedelta(minutes=15), "Это был автоответчик")
    rows = {id: (await book.show(ledger, id)).row for id in (old, new)}
    assert {id: (row["status"], row["closed_at"]) for id, row in rows.items()} == {
        old: ("broken", None),
        new: ("open", None),
    }
    assert await reached(ledger, NOON + timedelta(minutes=15)) == []


async def test_reopened_after_it_was_due_it_is_broken_and_says_why(ledger: Ledger) -> None:
    id = await owed(ledger)
    await talk(ledger, at=NOON + timedelta(minutes=1))
    await reached(ledger)
    row = (await book.reopen(ledger, id, ANNA, TOO_LATE, "Это был автоответчик")).row
    assert (row["status"], row["why"], row["closed_at"]) == ("broken", "Это был автоответчик", None)


async def test_what_was_broken_stays_so_when_it_is_reopened(ledger: Ledger) -> None:
    id = await owed(ledger)
    await breaks(ledger)
    await book.withdraw(ledger, id, ANNA, TOO_LATE, "Ошибка")
    row = (await book.reopen(ledger, id, ANNA, TOO_LATE, "Всё же звонить")).row
    assert (row["status"], row["why"], row["next_attempt_at"]) == ("broken", "untried", TOO_LATE)


async def test_without_a_number_it_is_open_again_and_still_says_why_it_cannot_be_kept(ledger: Ledger) -> None:
    id = await owed(ledger, None)
    await book.withdraw(ledger, id, ANNA, IN_TIME, "Ошибка")
    row = (await book.reopen(ledger, id, ANNA, IN_TIME, "Снято по ошибке")).row
    assert (row["status"], row["why"], row["next_attempt_at"]) == ("open", HIDDEN, None)


async def test_while_the_talk_goes_on_it_is_not_reopened(ledger: Ledger) -> None:
    id = await owed(ledger)
    await talk_goes_on(ledger)
    with pytest.raises(Refused, match="still on; hang up first"):
        await book.reopen(ledger, id, ANNA, IN_TIME, "Автоответчик")
    assert (await book.show(ledger, id)).row["status"] == "kept"


async def talk_goes_on(ledger: Ledger) -> None:
    tell(switchboard(ledger), *TALKED[:-2], at=NOON + timedelta(minutes=1))
    assert [row["status"] for row in await reached(ledger, IN_TIME)] == ["kept"]


async def test_one_number_has_one_open_promise_whatever_is_reopened(ledger: Ledger) -> None:
    old = await owed(ledger)
    await book.keep(ledger, old, ANNA, IN_TIME, "У двери")
    new = await owed(ledger, at=NOON + timedelta(minutes=5))
    with pytest.raises(Refused, match=f"promise {new} of this number is open already"):
        await book.reopen(ledger, old, ANNA, NOON + timedelta(minutes=6), "Ошибка")
    row = (await book.reopen(ledger, old, ANNA, TOO_LATE, "Ошибка")).row
    assert row["status"] == "broken", "broken it may live beside the open one"


async def test_a_call_missed_in_the_same_moment_is_waited_for_and_seen(ledger: Ledger) -> None:
    old = await owed(ledger)
    await book.keep(ledger, old, ANNA, IN_TIME, "У двери")
    async with ledger.pool.acquire() as other:
        async with other.transaction():
            await other.execute(
                "INSERT INTO promises (phone, reason, clause, missed_at, due_at) VALUES ($1, 'cut_off', 'c', $2, $2)",
                PHONE,
                DUE,
            )
            reopening = asyncio.create_task(book.reopen(ledger, old, ANNA, IN_TIME, "Ошибка"))
            await somebody_waits(ledger.pool)
        with pytest.raises(Refused, match="of this number is open already"):
            await reopening


async def test_of_two_who_move_it_at_once_one_is_refused(ledger: Ledger) -> None:
    id = await owed(ledger)
    both = (book.withdraw(ledger, id, who, IN_TIME, "Ошибка") for who in ("101", "102"))
    ends = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Cannot", "Promise"]
    assert [entry["what"] for entry in (await book.show(ledger, id)).history] == ["opened", "withdrawn"]


@pytest.mark.parametrize("end", ["kept", "withdrawn", "broken and closed"])
@pytest.mark.parametrize("move", ["keep", "postpone", "withdraw"])
async def test_what_is_closed_takes_no_other_move(ledger: Ledger, end: str, move: str) -> None:
    id = await owed(ledger)
    if end == "withdrawn":
        await book.withdraw(ledger, id, ANNA, IN_TIME, "Ошибка")
    else:
        at = IN_TIME if end == "kept" else TOO_LATE
        await book.keep(ledger, id, ANNA, at, "У двери")
    before = await book.show(ledger, id)
    with pytest.raises(Refused, match=f"promise {id} is {end}: it cannot {move}"):
        match move:
            case "keep":
                await book.keep(ledger, id, ANNA, TOO_LATE, "У двери")
            case "postpone":
                await book.postpone(ledger, id, ANNA, TOO_LATE, TOO_LATE + timedelta(hours=1), WHY)
            case _:
                await book.withdraw(ledger, id, ANNA, TOO_LATE, "Ошибка")
    assert await book.show(ledger, id) == before


@pytest.mark.parametrize("broken", [False, True])
async def test_what_still_lives_is_not_reopened(ledger: Ledger, broken: bool) -> None:
    id = await owed(ledger)
    if broken:
        await breaks(ledger)
    with pytest.raises(Refused, match="it cannot reopen"):
        await book.reopen(ledger, id, ANNA, IN_TIME, "Ошибка")


async def test_who_was_given_up_can_still_be_spoken_with(ledger: Ledger) -> None:
    id = await owed(ledger)
    await breaks(ledger)
    await ledger.pool.execute("UPDATE promises SET closed_at = $1", TOO_LATE)
    row = (await book.keep(ledger, id, ANNA, TOO_LATE + timedelta(days=1), "Зашли в квартиру")).row
    assert (row["status"], row["reached_at"]) == ("broken", TOO_LATE + timedelta(days=1))


async def test_a_move_past_the_rules_is_refused_by_the_database(ledger: Ledger) -> None:
    id = await owed(ledger)
    common: dict[str, Any] = {"id": id, "who": ANNA, "now": IN_TIME, "legal": ["kept"], "reason": "x"}
    for move, more in (
        ("keep", {"how": "x", "late": "late"}),
        ("postpone", {"until": TOO_LATE}),
        ("withdraw", {}),
        ("reopen", {"late": "late", "hidden": HIDDEN}),
    ):
        values = {**common, **more}
        if move == "keep":
            values.pop("reason")
        assert await ledger.all(f"moves.{move}", **values) == []
    assert len((await book.show(ledger, id)).history) == 1


# what is seen


async def test_the_living_are_listed_as_they_are_chased_or_by_due_moment(ledger: Ledger) -> None:
    late = await owed(ledger, "+79160000001")
    await breaks(ledger)
    open_one = await owed(ledger, "+79160000002", at=NOON + timedelta(minutes=1))
    urgent = await owed(ledger, "+79160000003", at=NOON + timedelta(minutes=2))
    await ledger.pool.execute("UPDATE promises SET priority = 20 WHERE id = $1", urgent)
    kept = await owed(ledger, "+79160000004")
    await book.keep(ledger, kept, ANNA, IN_TIME, "У двери")
    assert [row["id"] for row in await book.promises(ledger)] == [urgent, open_one, late]
    assert [row["id"] for row in await book.promises(ledger, by="due")] == [late, open_one, urgent]
    assert [row["id"] for row in await book.promises(ledger, most=1)] == [urgent]


async def test_a_status_and_a_day_are_found(ledger: Ledger) -> None:
    kept, yesterday = await owed(ledger), NOON - timedelta(days=1)
    await book.keep(ledger, kept, ANNA, IN_TIME, "У двери")
    old = await owed(ledger, at=yesterday)

    async def ids(**filters: Any) -> list[int]:
        return [row["id"] for row in await book.promises(ledger, zone=MOSCOW, **filters)]

    assert await ids(status="kept") == [kept]
    assert await ids(status="kept", day=yesterday.date()) == []
    assert await ids(day=NOON.date()) == [kept]
    assert await ids(day=yesterday.date()) == [old]


async def test_the_board_says_who_is_owed_and_with_whom_it_goes_on(ledger: Ledger) -> None:
    await take_sample(ledger.pool)
    company = await ledger.pool.fetchval("SELECT id FROM companies WHERE code = 'severnaya'")
    id = await owed(ledger, "+79000000002")
    await ledger.pool.execute("UPDATE promises SET company_id = $1", company)
    await take_up(ledger, id, ("rang", "102"), ("rang", "101"))
    (row,) = (await book.on_the_board(ledger, IN_TIME, MOSCOW))["promises"]
    assert (row["name"], row["flat"], row["address"]) == (
        "Смирнов Олег Павлович",
        "12",
        "Москва, ул. Лесная, д. 15",
    )
    assert (row["stage"], row["dispatcher"], row["attempts"]) == ("ringing_dispatcher", "101", 1)
    assert (row["left_s"], row["calls_herself"]) == (360, False)
    await take_up(ledger, id, ("accepted", "101"))
    (row,) = (await book.on_the_board(ledger, IN_TIME, MOSCOW))["promises"]
    assert (row["stage"], row["dispatcher"]) == ("ringing_resident", "101")
    await ledger.pool.execute(
        "UPDATE calls SET answered_at = $1, answered_by = '101' WHERE id = 'a-1'", IN_TIME
    )
    (row,) = (await book.on_the_board(ledger, IN_TIME, MOSCOW))["promises"]
    assert row["stage"] == "talking"
    (attempt,) = (await book.show(ledger, id)).attempts
    assert (attempt["accepted_by"], attempt["answered_by"], attempt["outcome"]) == ("101", "101", None)


async def take_up(ledger: Ledger, id: int, *facts: tuple[str, str]) -> None:
    """An attempt that goes on, and what is told of it."""
    await ledger.pool.execute(
        "INSERT INTO calls (id, direction, caller, arrived_at) VALUES ('a-1', 'callback', '+79000000002', $1)"
        " ON CONFLICT DO NOTHING",
        IN_TIME,
    )
    await ledger.pool.execute(
        "INSERT INTO attempts VALUES ('a-1', $1, 1, 'one', $2, $2) ON CONFLICT DO NOTHING", id, IN_TIME
    )
    for place, (kind, who) in enumerate(facts):
        at = IN_TIME + timedelta(seconds=place)
        ledger.write("calls.note", call="a-1", key=new_id(), at=at, kind=kind, who=who, detail={})
    await ledger.settled()


async def test_broken_ones_come_first_and_hide_no_open_one(ledger: Ledger) -> None:
    for number in range(book.MOST // 2 + 5):
        await ledger.pool.execute(
            "INSERT INTO promises (phone, reason, clause, missed_at, due_at, status, why)"
            " VALUES ($1, 'cut_off', 'c', $2, $2, 'broken', 'untried')",
            f"+7916000{number:04}",
            NOON,
        )
    await owed(ledger)
    board = await book.on_the_board(ledger, IN_TIME, MOSCOW)
    statuses = [row["status"] for row in board["promises"]]
    assert statuses == ["broken"] * (book.MOST // 2) + ["open"]
    assert (board["counts"]["open"], board["counts"]["broken"]) == (1, book.MOST // 2 + 5)
    assert (board["counts"]["kept_today"], board["counts"]["broken_today"]) == (0, book.MOST // 2 + 5)


async def test_who_serves_some_companies_sees_theirs_and_those_of_none(ledger: Ledger) -> None:
    await take_sample(ledger.pool)
    mine, theirs = [row["id"] for row in await ledger.pool.fetch("SELECT id FROM companies ORDER BY id")]
    ids = [await owed(ledger, f"+7916000000{n}") for n in range(3)]
    await ledger.pool.execute("UPDATE promises SET company_id = $2 WHERE id = $1", ids[0], mine)
    await ledger.pool.execute("UPDATE promises SET company_id = $2 WHERE id = $1", ids[1], theirs)
    seen = {row["id"] for row in await book.promises(ledger, serves=(mine,))}
    board = await book.on_the_board(ledger, IN_TIME, MOSCOW, serves=(mine,))
    assert seen == {row["id"] for row in board["promises"]} == {ids[0], ids[2]}
    assert board["counts"]["open"] == 2
    with pytest.raises(Refused, match=f"no promise {ids[1]}"):
        await book.show(ledger, ids[1], serves=(mine,))


# the hook


class Receiver:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[str] = []

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.got.append(headers["X-Dozvon-Id"])
        await asyncio.sleep(0)
        return self.status


async def test_two_controllers_tell_of_each_broken_promise_once(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    ids = [await owed(ledger, f"+79160000{n:03}") for n in range(20)]
    await breaks(ledger)
    receiver = Receiver()
    async with Ledger(url, tmp_path / "other.jsonl") as other:
        hooks = [Hook(store, "http://receiver/", "a-secret", receiver) for store in (ledger, other)]
        while await ledger.pool.fetchval("SELECT count(*) FROM promises WHERE escalated_at IS NULL"):
            await asyncio.gather(*(hook.escalate(TOO_LATE) for hook in hooks))
    assert sorted(receiver.got) == sorted(f"promise-{id}-broken" for id in ids)
    history = (await book.show(ledger, ids[0])).history
    assert [entry["what"] for entry in history][-2:] == ["escalating", "escalated"]


async def test_what_is_refused_is_told_again_after_pauses_that_grow(ledger: Ledger) -> None:
    await owed(ledger)
    await breaks(ledger)
    tries: list[int] = []
    second = 0
    while len(tries) < 5:
        # a new controller each time: the pause is in the ledger
        receiver = Receiver(500)
        await Hook(ledger, "http://receiver/", "a-secret", receiver).escalate(DUE + timedelta(seconds=second))
        tries += [second] * len(receiver.got)
        second += 5
    assert tries == [0, 15, 45, 105, 225]
    assert timedelta(seconds=15) == PAUSE < LONGEST_PAUSE
    assert await ledger.pool.fetchval("SELECT escalated_at FROM promises") is None


async def test_without_a_hook_the_broken_are_marked_once(ledger: Ledger) -> None:
    id = await owed(ledger)
    await owed(ledger, "+79160000001")
    await ledger.pool.execute("UPDATE promises SET status = 'broken', why = 'untried' WHERE id = $1", id)
    hook = Hook(ledger, None, None)
    assert [await hook.escalate(TOO_LATE), await hook.escalate(TOO_LATE)] == [1, 0]
    shown = await book.show(ledger, id)
    assert shown.row["escalated_at"] == TOO_LATE
    assert last(shown) == ("hotline", "escalated", {"to": "panel"})
