"""Whose turn it is, written down and tested: sentences first, then chance against a slow, obvious reference."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from callback.turns import LAST, Owed, Queue, Turn, Waiting, turns
from tests.fakes import NOON

EMERGENCY, ORDINARY = 20, 5


def owed(
    promise: int, minute: float = 0, priority: int = ORDINARY, *, broken: bool = False, in_vain: bool = False
) -> Owed:
    return Owed(promise, priority, NOON + timedelta(minutes=minute), broken, in_vain)


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


def test_who_waits_at_the_phone_is_not_starved_by_what_is_broken() -> None:
    assert order(2, [live(4)], owed(1, 0, broken=True)) == [(1, None)]
    assert order(1, [live(4)], owed(1, 0, broken=True)) == []


def test_an_emergency_that_is_broken_still_goes_before_the_ordinary() -> None:
    assert order(1, [live(4)], owed(1, 0, EMERGENCY, broken=True)) == [(1, 1)]


def test_while_somebody_waits_only_one_broken_promise_is_tried_at_a_time() -> None:
    broken = [owed(promise, 0, EMERGENCY, broken=True) for promise in (1, 2, 3)]
    assert order(3, [live(4)], *broken) == [(1, 1)]
    assert list(turns(Queue(3, [live(4)], calling_back=1), broken)) == []
    assert [turn.promise for turn in turns(Queue(3, [], calling_back=1), broken)] == [1, 2, 3]
    assert order(3, [live(4)], owed(4, 0, EMERGENCY), *broken) == [(4, 1)]


def test_nobody_waits_for_who_was_rung_in_vain_whatever_her_priority() -> None:
    assert order(1, [live(4, 0)], owed(1, 0, EMERGENCY, in_vain=True)) == []
    (turn,) = turns(Queue(2, [live(4, 0)]), [owed(1, 0, EMERGENCY, in_vain=True)])
    assert turn == Turn(1, LAST, None)


def test_who_was_never_tried_goes_before_the_next_try_of_an_emergency() -> None:
    assert order(1, [], owed(1, 0, EMERGENCY, in_vain=True), owed(2, 5, broken=True)) == [(2, None)]


def test_a_fresh_promise_goes_before_one_that_is_broken() -> None:
    assert order(1, [], owed(1, 0, broken=True), owed(2, 5)) == [(2, None)]


def test_the_place_of_a_call_back_that_stands_there_is_decided_already() -> None:
    assert order(2, [CALL_BACK], owed(1, -60)) == [(1, None)]
    assert order(1, [CALL_BACK], owed(1, -60)) == []


def test_one_whose_place_is_too_far_back_leaves_the_next_its_chance() -> None:
    """The ordinary one must wait behind two; the emergency need not."""
    assert order(2, [live(-5), live(-4)], owed(1, 0), owed(2, 9, EMERGENCY)) == [(2, 1)]


def test_nothing_owed_is_no_turn() -> None:
    assert order(3, [live(0)]) == []


# -- by chance


def reference(dispatchers: int, line: list[Waiting], promises: list[Owed], calling_back: int) -> list[Turn]:
    """As it is written in `turns.py`, said as plainly as can be: everybody is compared with everybody."""
    left, found = list(promises), []
    line = list(line)
    live_ones = [waiting for waiting in line if waiting.since]
    while left:
        first = left[0]
        for other in left:
            if other.in_vain != first.in_vain:
                first = first if other.in_vain else other
            elif other.priority != first.priority:
                first = max(first, other, key=lambda one: one.priority)
            else:
                mine = (other.broken, other.missed_at, other.promise)
                if mine < (first.broken, first.missed_at, first.promise):
                    first = other
        left.remove(first)
        if first.broken and live_ones and calling_back > 0:
            continue
        ahead = 0
        for waiting in line:
            before_me = first.in_vain or waiting.priority > first.priority
            if waiting.priority == first.priority:
                is_call_back = waiting.since is None
                came_first = is_call_back or waiting.since <= first.missed_at  # type: ignore[operator]
                before_me = first.in_vain or first.broken or came_first
            if not before_me:
                break
            ahead += 1
        if ahead < dispatchers:
            priority = 0 if first.in_vain else first.priority
            found.append(Turn(first.promise, priority, ahead + 1 if ahead < len(line) else None))
            line.insert(ahead, Waiting(priority, None))
            calling_back += 1
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
            owed(
                promise,
                dice.randrange(9),
                dice.choice([0, 5, 20]),
                broken=dice.random() < 0.3,
                in_vain=dice.random() < 0.3,
            )
            for promise in range(dice.randrange(8))
        ]
        dice.shuffle(promises)
        dispatchers, calling_back = dice.randrange(6), dice.randrange(3)
        found = list(turns(Queue(dispatchers, line, calling_back), promises))
        assert found == reference(dispatchers, line, promises, calling_back)
        _is_fair(dispatchers, line, found)


def _is_fair(dispatchers: int, line: list[Waiting], found: list[Turn]) -> None:
    assert len({turn.promise for turn in found}) == len(found) <= dispatchers
    after = list(line)
    for turn in found:
        place = len(after) if turn.position is None else turn.position - 1
        assert place < dispatchers, "it would only stand in the way"
        after.insert(place, Waiting(turn.priority, None))
    assert [each.priority for each in after] == sorted((each.priority for each in after), reverse=True)
    assert [each for each in after if each.since] == [each for each in line if each.since], (
        "nobody is pushed past"
    )


@pytest.mark.parametrize("dispatchers", [1, 3])
def test_a_thousand_owed_at_once_are_ordered_quickly(dispatchers: int) -> None:
    promises = [owed(promise, promise % 60) for promise in range(1000)]
    assert len(order(dispatchers, [], *promises)) == dispatchers
