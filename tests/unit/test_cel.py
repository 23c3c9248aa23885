from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from ivr.asterisk.cel import CallLog, Row, extension, key_of, read_log
from ivr.call import Call, Direction, Fact, Kind, Outcome
from tests import stories
from tests.fakes import NOON
from tests.stories import ALL, BACK, CALL, CALLBACK, CALLER, DIALLED, as_heard, as_written, facts, lines

EVERY = ALL | BACK


def told(story: str) -> list[tuple[Kind, str | None]]:
    return [(fact.kind, fact.who) for fact in facts(story)]


def folded(story: str) -> Call:
    told = facts(story)
    direction = Direction(told[0].detail.get("direction", Direction.INBOUND))
    call = Call(told[0].call, NOON, direction=direction)
    for fact in told:
        assert fact.call == call.id
        call.follow(fact)
    return call


def the(kind: Kind, story: str) -> Fact:
    (found,) = [fact for fact in facts(story) if fact.kind is kind]
    return found


def test_an_answered_call_is_told_from_ring_to_end() -> None:
    assert told(stories.ANSWERED) == [
        (Kind.ARRIVED, None),
        (Kind.PICKED_UP, None),
        (Kind.QUEUED, None),
        (Kind.RANG, "101"),
        (Kind.ANSWERED, "101"),
        (Kind.HUNG_UP, "resident"),
        (Kind.ENDED, None),
    ]


def test_that_it_was_picked_up_is_told_by_the_key_the_conversation_tells_it_by() -> None:
    picked_up = the(Kind.PICKED_UP, stories.ANSWERED)
    assert picked_up.key == key_of(Kind.PICKED_UP, picked_up.call)


def test_the_moments_are_asterisk_s_own() -> None:
    call = folded(stories.ANSWERED)
    assert call.arrived_at == NOON
    assert call.queued_at == NOON + timedelta(seconds=4.1)
    assert call.answered_at == NOON + timedelta(seconds=9.02)
    assert call.ended_at == NOON + timedelta(seconds=60.02)


def test_who_called_and_whom_is_told_with_the_arrival() -> None:
    assert the(Kind.ARRIVED, stories.ANSWERED).detail == {"caller": CALLER, "dialled": DIALLED}


@pytest.mark.parametrize(
    ("story", "outcome"),
    [
        (stories.ANSWERED, Outcome.TALKED),
        (stories.GIVES_UP, Outcome.ABANDONED_IN_QUEUE),
        (stories.NOBODY_THERE, Outcome.VOICEMAIL),
        (stories.WITHOUT_CONTROLLER, Outcome.ABANDONED_IN_QUEUE),
        (stories.BLIND, Outcome.TALKED),
        (stories.ATTENDED, Outcome.TALKED),
    ],
)
def test_the_log_alone_tells_how_a_call_ended(story: str, outcome: Outcome) -> None:
    assert folded(story).outcome is outcome


def test_a_caller_who_gives_up_hung_up_herself() -> None:
    assert folded(stories.GIVES_UP).hung_up_by == "resident"


def test_a_call_the_dialplan_ended_was_hung_up_by_nobody() -> None:
    assert folded(stories.NOBODY_THERE).hung_up_by is None


def test_why_the_queue_gave_a_call_back_is_told() -> None:
    assert the(Kind.LEFT_QUEUE, stories.NOBODY_THERE).detail == {"status": "JOINEMPTY"}


def test_a_call_without_a_controller_says_so() -> None:
    assert folded(stories.WITHOUT_CONTROLLER).static_route


def test_a_blind_transfer_names_who_gave_and_who_took() -> None:
    fact = the(Kind.TRANSFERRED, stories.BLIND)
    assert (fact.who, fact.detail) == ("101", {"how": "blind", "to": "102"})
    assert told(stories.BLIND)[4:] == [
        (Kind.ANSWERED, "101"),
        (Kind.TRANSFERRED, "101"),
        (Kind.RANG, "102"),
        (Kind.JOINED, "102"),
        (Kind.HUNG_UP, "resident"),
        (Kind.ENDED, None),
    ]


def test_who_has_left_the_bridge_before_it_is_told_is_transferred_all_the_same() -> None:
    whom = f'"transferee_channel_uniqueid": "{stories.CALL}"'
    story = f"""{stories.TALKS}
    30.00 BRIDGE_EXIT   resident 0 0 {{"bridge_id": "one"}}
    30.00 BLINDTRANSFER 101      1 0 {{"extension": "102", "bridge_id": "one", {whom}}}
    """
    assert the(Kind.TRANSFERRED, story).detail == {"how": "blind", "to": "102"}


def test_an_attended_transfer_names_who_gave_and_who_took() -> None:
    fact = the(Kind.TRANSFERRED, stories.ATTENDED)
    assert (fact.who, fact.detail) == ("101", {"how": "attended", "to": "102"})
    assert Counter(kind for kind, _ in told(stories.ATTENDED))[Kind.JOINED] == 1
    assert folded(stories.ATTENDED).hung_up_by == "102"


def test_after_a_transfer_the_first_who_answered_stays_who_answered() -> None:
    for story in (stories.BLIND, stories.ATTENDED):
        assert folded(story).answered_by == "101"


def test_a_consultation_between_dispatchers_is_no_resident_s_call() -> None:
    consultation = """
     0.0 CHAN_START   101 0 0 context=internal exten=102 num=101
     0.1 CHAN_START   102 1 0 context=internal
     1.0 ANSWER       102 1 0
     1.0 BRIDGE_ENTER 102 1 0 {"bridge_id": "one"}
     1.0 BRIDGE_ENTER 101 0 0 {"bridge_id": "one"}
     5.0 HANGUP       101 0 0 {"hangupcause": 16}
     5.0 CHAN_END     101 0 0
    """
    assert facts(consultation) == []


def test_a_call_whose_beginning_was_not_heard_is_left_to_the_log() -> None:
    assert facts("\n".join(stories.ANSWERED.strip().splitlines()[1:])) == []


def test_a_re_bridge_with_the_same_dispatcher_is_not_a_new_one() -> None:
    again = f"""{stories.TALKS}
    20.0 BRIDGE_EXIT  resident 0 0 {{"bridge_id": "one"}}
    20.0 BRIDGE_ENTER resident 0 0 {{"bridge_id": "one"}}
    """
    assert Counter(kind for kind, _ in told(again))[Kind.JOINED] == 0


def test_a_transfer_does_not_touch_a_resident_who_still_waits() -> None:
    log = CallLog()
    for line in lines(stories.WAITS, call=1):
        list(log.feed(Row.of(line)))
    others = facts(stories.BLIND, log)
    assert [fact.call for fact in others if fact.kind is Kind.TRANSFERRED] == [CALL]


def test_two_calls_at_once_are_kept_apart(dice: Random) -> None:
    """Their rows are shuffled into one another; each keeps its own order, and its own facts."""
    log = CallLog()
    heard: list[Fact] = []
    left = {1: lines(stories.ANSWERED, call=1), 2: lines(stories.BLIND, call=2)}
    for name in (1, 2):
        for line in left[name]:
            line["eventextra"] = (
                line["eventextra"].replace('"one"', f'"one{name}"').replace('"two"', f'"two{name}"')
            )
    while any(left.values()):
        mine = left[dice.choice([name for name, rows in left.items() if rows])]
        heard += log.feed(Row.of(mine.pop(0)))
    assert [(f.kind, f.who) for f in heard if f.call == "dozvon-1.0"] == told(stories.ANSWERED)
    assert [(f.kind, f.who) for f in heard if f.call == "dozvon-2.0"] == told(stories.BLIND)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_read_after_a_gap_has_the_keys_of_what_was_heard_live(name: str) -> None:
    live, read = CallLog(), CallLog()
    heard = [fact for line in lines(EVERY[name]) for fact in live.feed(Row.of_manager(as_heard(line)))]
    later = [fact for line in lines(EVERY[name]) for fact in read.feed(Row.of(line))]
    assert [(f.call, f.kind, f.key, f.who, f.detail) for f in heard] == [
        (f.call, f.kind, f.key, f.who, f.detail) for f in later
    ]


@pytest.mark.parametrize("name", EVERY)
def test_every_fact_has_a_key_of_its_own(name: str) -> None:
    keys = [fact.key for fact in facts(EVERY[name])]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", EVERY)
def test_a_log_forgets_a_call_when_it_has_ended(name: str) -> None:
    log = CallLog()
    facts(EVERY[name], log)
    assert log.call_of(CALL) is None and log.call_of(CALLBACK) is None
    assert not log._calls and not log._linked and not log._own and not log._bridges


def test_a_channel_tells_the_call_it_belongs_to() -> None:
    log = CallLog()
    facts(stories.TALKS, log)
    assert log.call_of(CALL) == CALL
    assert log.call_of("dozvon-1.99") is None


@pytest.mark.parametrize(
    ("channel", "number"),
    [
        ("PJSIP/101-0000002a", "101"),
        ("PJSIP/trunk-peer-00000001", "trunk-peer"),
        ("PJSIP/101", ""),
        ("", ""),
    ],
)
def test_a_channel_s_extension_is_read_off_its_name(channel: str, number: str) -> None:
    assert extension(channel) == number


@pytest.mark.parametrize("extra", ["{", "[]", "7", "null", '"text"', ""])
def test_a_broken_extra_is_as_good_as_none(extra: str) -> None:
    line = lines(stories.ANSWERED)[-2] | {"eventextra": extra}
    assert Row.of(line).extra == {}


# -- what a call is about, said in the dialplan


WENT = "4.00 USER_DEFINED resident 0 0 usereventname=Went "


def test_the_log_alone_knows_what_a_waiting_call_is_about() -> None:
    story = stories.WAITS.replace(" 4.10 APP", f'{WENT}{{"extra": "emergency|20"}}\n 4.10 APP')
    assert the(Kind.QUEUED, story).detail == {"queue": "dispatch", "category": "emergency", "priority": 20}
    call = folded(story)
    assert (call.category, call.priority, call.queue) == ("emergency", 20, "dispatch")


@pytest.mark.parametrize("said", ["", "|", "emergency", "emergency|", "emergency|high", "|20"])
def test_what_is_not_said_whole_is_not_said(said: str) -> None:
    story = stories.WAITS.replace(" 4.10 APP", f'{WENT}{{"extra": "{said}"}}\n 4.10 APP')
    assert the(Kind.QUEUED, story).detail == {"queue": "dispatch"}


# -- calls back


def test_a_call_back_is_told_from_the_stand_in_to_its_end() -> None:
    assert told(stories.BACK_TALKED) == [
        (Kind.ARRIVED, None),
        (Kind.QUEUED, None),
        (Kind.RANG, "101"),
        (Kind.ACCEPTED, "101"),
        (Kind.RANG, "resident"),
        (Kind.PICKED_UP, None),
        (Kind.ANSWERED, "101"),
        (Kind.HUNG_UP, "resident"),
        (Kind.ENDED, None),
    ]


def test_a_call_back_says_whom_we_ring_and_what_for() -> None:
    assert the(Kind.ARRIVED, stories.BACK_TALKED).detail == {
        "direction": Direction.CALLBACK,
        "promise": "7",
        "caller": CALLER,
        "dialled": DIALLED,
        "category": "emergency",
        "priority": 20,
    }


@pytest.mark.parametrize("extra", ["", "7", "7|+79000000001", "7|+79000000001|||", "7||||x|y|z"])
def test_a_call_back_that_says_less_is_a_call_back_all_the_same(extra: str) -> None:
    story = stories.PLACED.replace(f"7|{CALLER}|{DIALLED}|emergency|20", extra)
    detail = the(Kind.ARRIVED, story).detail
    assert (detail["direction"], detail["category"], detail["priority"]) == (Direction.CALLBACK, None, 0)


@pytest.mark.parametrize(
    ("story", "outcome"),
    [
        (stories.BACK_TALKED, Outcome.TALKED),
        (stories.BACK_BUSY, Outcome.BUSY),
        (stories.BACK_NO_ANSWER, Outcome.NO_ANSWER),
        (stories.BACK_UNREACHABLE, Outcome.UNREACHABLE),
        (stories.BACK_MACHINE, Outcome.MACHINE),
        (stories.BACK_DISPATCHER_GONE, Outcome.DISPATCHER_GONE),
        (stories.BACK_BLIND, Outcome.TALKED),
        (stories.BACK_TAKEN_BACK, Outcome.TAKEN_BACK),
        (stories.BACK_NOBODY_TOOK_IT, Outcome.QUEUE_TIMED_OUT),
    ],
)
def test_the_log_alone_tells_how_a_call_back_ended(story: str, outcome: Outcome) -> None:
    call = folded(story)
    assert (call.id, call.direction, call.outcome) == (CALLBACK, Direction.CALLBACK, outcome)


def test_the_talk_of_a_call_back_begins_when_both_hear_each_other() -> None:
    call = folded(stories.BACK_TALKED)
    assert (call.answered_at, call.answered_by) == (NOON + timedelta(seconds=10.5), "101")
    assert (call.hung_up_by, call.ended_at) == ("resident", NOON + timedelta(seconds=50))


@pytest.mark.parametrize(
    "story",
    [
        story
        for name, story in BACK.items()
        if name.split(": ")[1] not in {"talk", "machine", "blind transfer"}
    ],
)
def test_the_dispatcher_and_the_stand_in_in_one_bridge_are_no_talk(story: str) -> None:
    assert Kind.ANSWERED not in {kind for kind, _ in told(story)}
    assert folded(story).answered_at is None


def test_of_a_call_back_in_vain_nobody_hung_up() -> None:
    for story in (stories.BACK_BUSY, stories.BACK_NO_ANSWER, stories.BACK_DISPATCHER_GONE):
        assert Kind.HUNG_UP not in {kind for kind, _ in told(story)}
        assert folded(story).hung_up_by is None


def test_the_leg_that_rings_her_is_no_call_of_hers() -> None:
    assert [kind for kind, _ in told(stories.BACK_TALKED)].count(Kind.ARRIVED) == 1
    leg = "4.70 CHAN_START resident 5 A context=from-trunk exten=s"
    assert facts(leg) == [], "nor when the log is taken up in its middle"


def test_a_call_back_goes_on_while_the_resident_is_transferred() -> None:
    assert told(stories.BACK_BLIND)[6:] == [
        (Kind.ANSWERED, "101"),
        (Kind.TRANSFERRED, "101"),
        (Kind.RANG, "102"),
        (Kind.JOINED, "102"),
        (Kind.HUNG_UP, "102"),
        (Kind.ENDED, None),
    ]
    call = folded(stories.BACK_BLIND)
    assert (call.answered_by, call.ended_at) == ("101", NOON + timedelta(seconds=60.01))


def test_in_whatever_order_its_channels_end_a_call_back_ends_once_and_last(dice: Random) -> None:
    begin = lines(stories.BACK_TALKS)
    ends = [
        '60.00 CHAN_END resident 5 A {"x": 1}', '60.00 CHAN_END 101 4 A {"x": 1}',
        '60.00 CHAN_END stand-in A A {"x": 1}', '60.00 CHAN_END stand-in B A {"x": 1}',
    ]  # fmt: skip
    for _ in range(24):
        dice.shuffle(ends)
        log = CallLog()
        heard = [
            (row.channel, fact)
            for row in map(Row.of, [*begin, *lines("\n".join(ends))])
            for fact in log.feed(row)
        ]
        ended = [channel for channel, fact in heard if fact.kind is Kind.ENDED]
        assert len(ended) == 1 and ended[0].startswith(("PJSIP/resident", "Local/s@stand-in-00000000;1"))
        assert not log._calls and not log._linked and not log._own


def test_a_call_back_and_the_residents_own_call_are_two(dice: Random) -> None:
    """She calls while we ring a dispatcher for her: the rows come shuffled into one another."""
    for _ in range(20):
        log = CallLog()
        left = {
            CALL: lines(stories.GIVES_UP, call=1795298309),
            CALLBACK: lines(stories.BACK_TAKEN_BACK, call=7),
        }
        heard: list[Fact] = []
        while any(left.values()):
            mine = left[dice.choice([name for name, rows in left.items() if rows])]
            heard += log.feed(Row.of(mine.pop(0)))
        assert [(f.kind, f.who) for f in heard if f.call == CALL] == told(stories.GIVES_UP)
        assert [(f.kind, f.who) for f in heard if f.call == CALLBACK] == told(stories.BACK_TAKEN_BACK)


# -- the file


def write(path: Path, *written: str) -> Path:
    path.write_text("".join(line + "\n" for line in written), "utf-8")
    return path


def test_the_file_is_read_from_the_moment_on(tmp_path: Path) -> None:
    log = write(tmp_path / "calls.jsonl", *map(as_written, lines(stories.ANSWERED)))
    assert len(list(read_log(log, NOON))) == len(lines(stories.ANSWERED))
    late = list(read_log(log, NOON + timedelta(seconds=60)))
    assert [row.event for row in late] == [
        "BRIDGE_EXIT", "BRIDGE_EXIT", "HANGUP", "CHAN_END", "HANGUP", "CHAN_END",
    ]  # fmt: skip
    assert list(read_log(log, NOON + timedelta(minutes=5))) == []


def test_an_empty_file_has_nothing_to_tell(tmp_path: Path) -> None:
    assert list(read_log(write(tmp_path / "calls.jsonl"), datetime.fromtimestamp(0, UTC))) == []


BROKEN = [
    "", "{", "[]", "null", "7", '{"eventenum": "ANSWER"}', "\0" * 300, "half a li", '{"eventtime": "soon"}',
    '{"eventenum":"X","eventtime":"noon","channame":"","uniqueid":"","linkedid":""}',
    '{"eventenum":"X","eventtime":"nan","channame":"","uniqueid":"","linkedid":""}',
    '{"eventenum":"X","eventtime":"inf","channame":"","uniqueid":"","linkedid":""}',
    '{"eventenum":"X","eventtime":"1e30","channame":"","uniqueid":"","linkedid":""}',
]  # fmt: skip


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    good = [as_written(line) for line in lines(stories.ANSWERED)]
    mixed = [line for each in good for line in (*BROKEN, each)]
    log = write(tmp_path / "calls.jsonl", *mixed)
    assert len(list(read_log(log, NOON))) == len(good)


def test_a_line_that_is_still_being_written_is_passed_over(tmp_path: Path) -> None:
    good = [as_written(line) for line in lines(stories.ANSWERED)]
    log = tmp_path / "calls.jsonl"
    log.write_text("\n".join(good)[:-20], "utf-8")
    assert len(list(read_log(log, NOON))) == len(good) - 1


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    good = [as_written(line).encode() for line in lines(stories.ANSWERED)]
    log.write_bytes(b"\n".join([b"\xff\xfe\xfd", *good, b"\x80"]))
    assert len(list(read_log(log, NOON))) == len(good)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """100,000 rows of a year (35 MB), every tenth line broken; the moments of the good ones."""
    path = tmp_path_factory.mktemp("cel") / "calls.jsonl"
    template = as_written(lines(stories.ARRIVES)[0])
    stamp = lines(stories.ARRIVES)[0]["eventtime"]
    moments = [NOON.timestamp() + 315.36 * n for n in range(100_000)]
    with path.open("w", encoding="utf-8") as file:
        for n, moment in enumerate(moments):
            file.write(template.replace(stamp, f"{moment:.6f}") + "\n")
            if n % 10 == 0:
                file.write(BROKEN[n // 10 % len(BROKEN)] + "\n")
    return path, moments


def test_in_a_year_s_log_the_last_minutes_are_found_without_reading_it(
    year: tuple[Path, list[float]],
) -> None:
    path, moments = year
    began = time.process_time()
    rows = list(read_log(path, datetime.fromtimestamp(moments[-5], UTC)))
    spent = time.process_time() - began
    assert [float(row.stamp) for row in rows] == pytest.approx(moments[-5:])
    assert spent < 0.2, "reading all of it takes a second"


def test_wherever_the_year_s_log_is_taken_up_nothing_is_missed(
    year: tuple[Path, list[float]], dice: Random
) -> None:
    path, moments = year
    for first in [0, 1, 99_999, *(dice.randrange(95_000, 100_000) for _ in range(10))]:
        rows = read_log(path, datetime.fromtimestamp(round(moments[first], 6), UTC))
        found = [float(next(rows).stamp)] if first < 95_000 else [float(row.stamp) for row in rows]
        assert found[0] == pytest.approx(moments[first], abs=1e-5), first
        assert first < 95_000 or len(found) == len(moments) - first


# -- the robot's calls


def test_the_robots_call_begins_with_the_leg_that_rings_the_resident() -> None:
    assert told(stories.ASKED) == [
        (Kind.ARRIVED, None),
        (Kind.RANG, "resident"),
        (Kind.PICKED_UP, None),
        (Kind.HUNG_UP, "resident"),
        (Kind.ENDED, None),
    ]
    assert the(Kind.ARRIVED, stories.ASKED).detail == {"direction": Direction.SURVEY}


@pytest.mark.parametrize(
    ("story", "outcome"),
    [
        (stories.ASKED, Outcome.SURVEYED),
        (stories.ASK_BUSY, Outcome.BUSY),
        (stories.ASK_NO_ANSWER, Outcome.NO_ANSWER),
        (stories.HANDED_OVER_TALKS, Outcome.TALKED),
        (stories.HANDED_OVER_IN_VAIN, Outcome.ABANDONED_IN_QUEUE),
    ],
)
def test_a_robots_call_ends_as_the_log_says(story: str, outcome: Outcome) -> None:
    call = folded(story)
    assert (call.id, call.direction, call.outcome) == (stories.SURVEY, Direction.SURVEY, outcome)


def test_who_is_handed_over_waits_in_the_queue_as_herself() -> None:
    call = folded(stories.HANDED_OVER_TALKS)
    assert (call.caller, call.dialled) == (CALLER, DIALLED)
    assert (call.queue, call.category, call.priority) == ("dispatch", "heating", 50)
    assert (call.answered_by, call.asked_at) == ("101", NOON + timedelta(seconds=20.01))
