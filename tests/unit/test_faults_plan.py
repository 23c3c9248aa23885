"""The fault suite leaves no step out, and its eyes see: a log it reads is told as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo import sound
from faults import log, matrix
from faults.house import PARTS, PITCHES
from faults.people import EAR, hears
from faults.steps import STEPS
from faults.storm import FAULTS
from faults.truths import CHECKS
from robocalls.survey import JOB_PROMPTS, PROMPTS

BEGAN = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
CALL, ANNA = "dozvon-1.0", "dozvon-1.1"
BACK, VERA, LEG = "dozvon-callback-1-1", "dozvon-2.1", "dozvon-2.2"
ROBOT = "dozvon-survey-1-1"
NUMBER = "+79160000001"


def row(second: float, event: str, unique: str, linked: str, **more: Any) -> dict[str, str]:
    extra = more.pop("extra", {})
    told = {
        "context": "internal",
        "channame": "PJSIP/110-00000001",
        "num": "110",
        "usereventname": "",
        **more,
    }
    moment = (BEGAN + timedelta(seconds=second)).timestamp()
    return {
        "eventenum": event,
        "eventtime": f"{moment:.6f}",
        "uniqueid": unique,
        "linkedid": linked,
        "eventextra": json.dumps(extra),
        **told,
    }


def arrives(second: float) -> dict[str, str]:
    resident = {"context": "from-trunk", "channame": "PJSIP/resident-00000000", "num": NUMBER}
    return row(second, "CHAN_START", CALL, CALL, **resident)


def met(second: float, *channels: str, linked: str = CALL) -> list[dict[str, str]]:
    return [row(second, "BRIDGE_ENTER", each, linked, extra={"bridge_id": "b"}) for each in channels]


def called_back(second: float) -> list[dict[str, str]]:
    outgoing = {"context": "from-trunk", "channame": "PJSIP/resident-00000002", "num": NUMBER}
    return [
        row(second, "CHAN_START", BACK, BACK, context="stand-in", channame="Local/s@stand-in-0;1"),
        row(
            second, "USER_DEFINED", BACK, BACK, usereventname="Callback", extra={"extra": f"1|{NUMBER}||x|20"}
        ),
        row(second + 1, "CHAN_START", VERA, BACK),
        row(second + 2, "CHAN_START", LEG, BACK, **outgoing),
    ]


def asked(second: float) -> list[dict[str, str]]:
    """The robot rings her, she answers."""
    outgoing = {"context": "from-trunk", "channame": "PJSIP/resident-00000003", "num": ""}
    return [
        row(second, "CHAN_START", ROBOT, ROBOT, **outgoing),
        row(second + 1, "ANSWER", ROBOT, ROBOT, **outgoing),
    ]


def test_every_step_is_tried_with_every_part() -> None:
    tried = [(case.step.name, case.part) for case in matrix.CASES]
    assert sorted(tried) == sorted((step.name, part) for step in STEPS for part in PARTS)
    assert set(PARTS) == {"controller", "postgres", "asterisk"}


@pytest.mark.parametrize("story", ["chase", "survey"])
def test_of_two_controllers_one_dies_at_every_step_of_what_they_share(story: str) -> None:
    tried = [case.step.name for case in matrix.PAIR_CASES if case.step.story == story]
    assert tried == [step.name for step in STEPS if step.story == story]


def test_step_names_are_their_own() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_the_telling_cases_are_cases_and_kill_every_part_in_every_story() -> None:
    telling = [case for case in matrix.CASES if case.is_telling]
    assert len(telling) == len(matrix.TELLING)
    assert {(case.step.story, case.part) for case in telling} == {
        (story, part) for story in ("inbound", "chase", "survey") for part in PARTS
    }


def test_the_storm_kills_every_part() -> None:
    assert {f"{part} killed" for part in PARTS} < set(FAULTS)


def test_the_log_tells_a_talk() -> None:
    story = log.tell(
        [
            arrives(0),
            row(1, "CHAN_START", ANNA, CALL),
            *met(2, ANNA, CALL),
            row(9, "CHAN_END", ANNA, CALL),
            row(9, "CHAN_END", CALL, CALL),
        ],
        deaths=[],
    )
    call = story.calls[CALL]
    assert (call.number, call.direction, call.talked) == (NUMBER, "inbound", True)
    assert (call.began_at, call.met_at) == (BEGAN, BEGAN + timedelta(seconds=2))
    assert call.ended_at == BEGAN + timedelta(seconds=9)


def test_the_log_tells_a_missed_call() -> None:
    story = log.tell(
        [arrives(0), row(1, "CHAN_START", ANNA, CALL), row(5, "CHAN_END", CALL, CALL)], deaths=[]
    )
    assert story.calls[CALL].talked is False


@pytest.mark.parametrize(("talked_for", "counts"), [(1, False), (5, None), (9, True)])
def test_a_talk_the_exchange_died_under_counts_when_it_was_one(
    talked_for: float, counts: bool | None
) -> None:
    death = BEGAN + timedelta(seconds=2 + talked_for)
    story = log.tell([arrives(0), row(1, "CHAN_START", ANNA, CALL), *met(2, ANNA, CALL)], deaths=[death])
    assert story.calls[CALL].talked is counts
    assert (story.calls[CALL].ended_at, story.calls[CALL].over_at) == (None, death)


def test_the_log_tells_for_how_long_a_resident_was_rung() -> None:
    story = log.tell([*called_back(0), row(7, "CHAN_END", LEG, BACK)], deaths=[])
    (ring,) = story.rings
    assert (ring.call, ring.number) == (BACK, NUMBER)
    assert (ring.began_at, ring.ended_at) == (BEGAN + timedelta(seconds=2), BEGAN + timedelta(seconds=7))


def test_a_call_back_is_talked_when_the_leg_that_rang_her_meets_the_dispatcher() -> None:
    story = log.tell([*called_back(0), *met(4, VERA, LEG, linked=BACK)], deaths=[])
    assert story.calls[BACK].met_at == BEGAN + timedelta(seconds=4)


def test_what_rang_when_the_exchange_died_rings_no_longer_in_the_next_one() -> None:
    death = BEGAN + timedelta(seconds=3)
    story = log.tell([*called_back(0), arrives(10)], deaths=[death])
    assert [ring.ended_at for ring in story.rings] == [death]
    assert story.calls[CALL].over_at is None


def test_the_robots_call_rings_her_for_as_long_as_it_lasts() -> None:
    story = log.tell([*asked(0), row(9, "CHAN_END", ROBOT, ROBOT)], deaths=[])
    call, (ring,) = story.calls[ROBOT], story.rings
    assert (call.direction, call.talked, call.handed_over_at) == ("survey", False, None)
    assert (ring.call, ring.began_at, ring.ended_at) == (ROBOT, BEGAN, BEGAN + timedelta(seconds=9))
    assert call.ended_at == ring.ended_at


def test_whom_the_robot_hands_over_talks_when_she_meets_a_dispatcher() -> None:
    over = row(5, "USER_DEFINED", ROBOT, ROBOT, usereventname="HandedOver", extra={"extra": f"{NUMBER}|"})
    anna = row(6, "CHAN_START", ANNA, ROBOT)
    story = log.tell([*asked(0), over, anna, *met(8, ANNA, ROBOT, linked=ROBOT)], deaths=[])
    call = story.calls[ROBOT]
    assert call.handed_over_at == BEGAN + timedelta(seconds=5)
    assert (call.met_at, call.talked) == (BEGAN + timedelta(seconds=8), True)


def test_a_robots_call_dies_with_the_exchange() -> None:
    death = BEGAN + timedelta(seconds=4)
    story = log.tell(asked(0), deaths=[death])
    assert (story.calls[ROBOT].over_at, story.rings[0].ended_at) == (death, death)
    assert story.calls[ROBOT].talked is False


def test_what_the_robot_wants_is_known_by_its_pitch() -> None:
    assert set(PITCHES) <= {*PROMPTS, *JOB_PROMPTS, "callback_greeting"}
    assert {prompt: hears(sound.tone(pitch, EAR)) for prompt, pitch in PITCHES.items()} == PITCHES


def test_silence_and_a_persons_voice_are_nothing_the_robot_says() -> None:
    assert hears(sound.silence(EAR)) is None
    assert hears(sound.voice(EAR)) is None
