"""Whose turn it is, written down and tested: sentences first, then chance against a slow, obvious reference."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from callback.turns import Owed, Queue, Turn, Waiting, turns
from tests.fakes import NOON

EMERGENCY, ORDINARY = 20, 5


def owed(promise: int, minute: float = 0, priority: int = ORDINARY, yields: bool = False) -> Owed:
    return Owed(promise, priority, NOON + timedelta(minutes=minute), yields)


def live(minute: float, priority: int = ORDINARY) -> Waiting:
    return Waiting(priority, NOON + timedelta(minutes=minute))


CALL_BACK = Waiting(ORDINARY, None)


def order(dispatchers: int, waiting: list[Waiting], *promises: Owed) -> list[tuple[int, int | None]]:
    return [(turn.promise, turn.position) for turn in turns(Queue(dispatchers, waiting), promises)]


def test_an_empty_line_takes_as_many_as_there_are_dispatchers() -> None:
    assert order(2, [], owed(1, 0), owed(2, 1), owed(3, 2)) == [(1, None), (2, None)]


def test_without_dispatchers_nobody_is_tried() -> None:
    assert order(0, [], owed(1, 0, EMERGENCY)) == []
    assert order(0, [live(5)], owed(1, 0, EMERGENCY)) == []


def test_emergencies_go_first() -> None:
    assert order(2, [], owed(1, 0), owed(2, 5, EMERGENCY)) == [(2, None), (1, None)]


def test_an_emergency_goes_before_everybody_who_waits_with_less() -> None:
    assert order(1, [live(-9), live(-5)], owed(1, 0, EMERGENCY)) == [(1, 1)]


def test_nobody_goes_before_an_emergency_that_waits() -> None:
    assert order(1, [live(5, EMERGENCY)], owed(1, 0)) == []
    assert order(2, [live(5, EMERGENCY)], owed(1, 0)) == [(1, None)]


def test_a_missed_call_keeps_the_place_its_caller_had() -> None:
    assert order(3, [live(0), live(4)], owed(1, 2)) == [(1, 2)]


def test_who_came_first_of_the_owed_goes_first() -> None:
    assert order(5, [], owed(3, 2), owed(1, 0), owed(2, 1)) == [(1, None), (2, None), (3, None)]


def test_of_two_missed_at_the_same_moment_the_older_promise_goes_first() -> None:
    assert order(5, [], owed(8), owed(7)) == [(7, None), (8, None)]


def test_who_waits_at_the_phone_is_not_starved_by_who_was_rung_in_vain() -> None:
    assert order(2, [live(4)], owed(1, 0, yields=True)) == [(1, None)]
    assert order(1, [live(4)], owed(1, 0, yields=True)) == []


def test_an_emergency_that_was_rung_in_vain_still_goes_before_the_ordinary() -> None:
    assert order(1, [live(4)], owed(1, 0, EMERGENCY, yields=True)) == [(1, 1)]


def test_a_fresh_promise_goes_before_one_that_was_rung_in_vain() -> None:
    assert order(1, [], owed(1, 0, yields=True), owed(2, 5)) == [(2, None)]


def test_the_place_of_a_call_back_that_stands_there_is_decided_already() -> None:
    assert order(2, [CALL_BACK], owed(1, -60)) == [(1, None)]
    assert order(1, [CALL_BACK], owed(1, -60)) == []


def test_one_whose_place_is_too_far_back_leaves_the_next_its_chance() -> None:
    """The ordinary one must wait behind two; the emergency need not."""
    assert order(2, [live(-5), live(-4)], owed(1, 0), owed(2, 9, EMERGENCY)) == [(2, 1)]


def test_nothing_owed_is_no_turn() -> None:
    assert order(3, [live(0)]) == []


# -- by chance


def reference(dispatchers: int, line: list[Waiting], promises: list[Owed]) -> list[Turn]:
    """As it is written in `turns.py`, said as plainly as can be: everybody is compared with everybody."""
    left, found = list(promises), []
    line = list(line)
    while left:
        first = left[0]
        for other in left:
            if other.priority > first.priority:
                first = other
            elif other.priority == first.priority:
                mine = (other.yields, other.missed_at, other.promise)
                if mine < (first.yields, first.missed_at, first.promise):
                    first = other
        left.remove(first)
        ahead = 0
        for waiting in line:
            before_me = waiting.priority > first.priority
            if waiting.priority == first.priority:
                is_call_back = waiting.since is None
                before_me = first.yields or is_call_back or waiting.since <= first.missed_at  # type: ignore[operator]
            if not before_me:
                break
            ahead += 1
        if ahead < dispatchers:
            found.append(Turn(first.promise, ahead + 1 if ahead < len(line) else None))
            line.insert(ahead, Waiting(first.priority, None))
    return found


def test_whatever_the_line_the_order_is_the_written_one(dice: Random) -> None:
    for _ in range(3000):
        line = [
            Waiting(
                dice.choice([0, 5, 20]),
                None if dice.random() < 0.3 else NOON + timedelta(minutes=dice.randrange(9)),
            )
            for _ in range(dice.randrange(8))
        ]
        line.sort(key=lambda each: -each.priority)  # as Asterisk keeps it
        promises = [
            owed(promise, dice.randrange(9), dice.choice([0, 5, 20]), dice.random() < 0.3)
            for promise in range(dice.randrange(8))
        ]
        dice.shuffle(promises)
        dispatchers = dice.randrange(6)
        found = list(turns(Queue(dispatchers, line), promises))
        assert found == reference(dispatchers, line, promises)
        _is_fair(dispatchers, line, promises, found)


def _is_fair(dispatchers: int, line: list[Waiting], promises: list[Owed], found: list[Turn]) -> None:
    by_id = {each.promise: each for each in promises}
    assert len({turn.promise for turn in found}) == len(found) <= dispatchers
    after = list(line)
    for turn in found:
        place = len(after) if turn.position is None else turn.position - 1
        assert place < dispatchers, "it would only stand in the way"
        after.insert(place, Waiting(by_id[turn.promise].priority, None))
    assert [each.priority for each in after] == sorted((each.priority for each in after), reverse=True)
    assert [each for each in after if each.since] == [each for each in line if each.since], (
        "nobody is pushed past"
    )


@pytest.mark.parametrize("dispatchers", [1, 3])
def test_a_thousand_owed_at_once_are_ordered_quickly(dispatchers: int) -> None:
    promises = [owed(promise, promise % 60) for promise in range(1000)]
    assert len(order(dispatchers, [], *promises)) == dispatchers
