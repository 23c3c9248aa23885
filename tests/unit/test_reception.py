from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from ivr.call import Kind, Outcome, why_left_queue
from ivr.dialplan import rules
from ivr.dialplan.reception import (
    MOST_STEPS,
    TO_A_HUMAN,
    Place,
    ToHangUp,
    ToQueue,
    ToVoicemail,
    reception,
    unanswered,
    walk,
)  # fmt: skip
from ivr.dialplan.rules import Menu, Rules, Way
from ivr.errors import HungUp
from ivr.line import Line
from ivr.settings import HERE
from ivr.speech.phrasebook import Phrasebook
from tests.fakes import NOON, Act, Clock, FakeLine, hangs_up, presses

RULES = rules.read(HERE / "dialplan")
MOSCOW = ZoneInfo("Europe/Moscow")
NIGHT = datetime(2026, 11, 18, 23, 0, tzinfo=UTC)  # Thursday 02:00 in Moscow
DISPATCHER = ToQueue("other", 5)


async def call(*acts: Act, at: datetime = NOON, with_rules: Rules = RULES) -> tuple[Place, FakeLine]:
    line = FakeLine(*acts, clock=Clock(at))
    return await reception(line, with_rules, MOSCOW, line.clock), line


def test_the_fake_is_a_line() -> None:
    line: Line = FakeLine()
    assert line


async def test_the_caller_is_greeted_told_of_the_recording_and_asked() -> None:
    _, line = await call(presses("1", during="menu_main"))
    assert line.answered
    assert line.prompts == ["welcome", "recording_notice", "menu_main", "emergency_hold"]


@pytest.mark.parametrize(
    ("key", "goes"),
    [
        ("1", ToQueue("emergency", 20)),
        ("2", ToQueue("planned", 0)),
        ("3", ToQueue("consultation", 0)),
        ("4", ToQueue("danger", 30)),
        ("0", DISPATCHER),
    ],
)
async def test_each_key_leads_where_the_menu_says(key: str, goes: Place) -> None:
    place, line = await call(presses(key, during="menu_main"))
    assert place == goes
    assert line.noted(Kind.KEY) == [{"key": key}]


async def test_silence_ends_with_a_human() -> None:
    place, line = await call()
    assert place == DISPATCHER
    assert line.prompts.count("menu_main") == 3
    assert len(line.noted(Kind.SILENCE)) == 3


async def test_wrong_keys_end_with_a_human() -> None:
    place, line = await call(*(presses("8", during="menu_main", nth=n) for n in (1, 2, 3)))
    assert place == DISPATCHER
    assert [note["key"] for note in line.noted(Kind.WRONG_KEY)] == ["8", "8", "8"]
    assert line.prompts.count("wrong_key") == 3


async def test_repeats_end_with_a_human() -> None:
    place, line = await call(*(presses("9", during="menu_main", nth=n) for n in range(1, 9)))
    assert place == DISPATCHER
    assert line.prompts.count("menu_main") == 3


async def test_a_wrong_key_is_forgiven() -> None:
    place, _ = await call(presses("#", during="menu_main"), presses("1", during="menu_main", nth=2))
    assert place == ToQueue("emergency", 20)


async def test_a_key_pressed_in_the_pause_after_the_menu_is_taken() -> None:
    place, _ = await call(presses("1", during="menu_main", after=6.0))
    assert place == ToQueue("emergency", 20)


async def test_a_key_pressed_too_late_counts_for_the_next_try() -> None:
    place, line = await call(presses("1", during="menu_main", after=8.5))
    assert place == ToQueue("emergency", 20)
    assert len(line.noted(Kind.SILENCE)) == 1


async def test_who_presses_ahead_hears_the_notice_of_recording_all_the_same() -> None:
    place, line = await call(presses("1", during="welcome"))
    assert place == ToQueue("emergency", 20)
    assert line.heard == [("welcome", 0.5), ("recording_notice", 3.0), ("emergency_hold", 3.0)]


async def test_a_key_pressed_during_the_notice_does_not_cut_it_short() -> None:
    _, line = await call(presses("1", during="recording_notice", after=0.2))
    assert ("recording_notice", 3.0) in line.heard
    assert "menu_main" not in line.prompts


async def test_at_night_planned_work_is_offered_a_message() -> None:
    place, line = await call(
        presses("2", during="menu_main"), presses("1", during="menu_after_hours"), at=NIGHT
    )
    assert place == ToVoicemail()
    assert line.prompts[-2:] == ["menu_after_hours", "voicemail_ask"]


async def test_at_night_planned_work_reaches_a_human_who_insists() -> None:
    place, _ = await call(presses("2", during="menu_main"), presses("0", during="menu_after_hours"), at=NIGHT)
    assert place == DISPATCHER


async def test_at_night_silence_ends_with_a_human_too() -> None:
    place, line = await call(presses("3", during="menu_main"), at=NIGHT)
    assert place == DISPATCHER
    assert line.prompts.count("menu_after_hours") == 2


async def test_from_the_night_menu_a_star_leads_back() -> None:
    place, _ = await call(
        presses("2", during="menu_main"),
        presses("*", during="menu_after_hours"),
        presses("1", during="menu_main", nth=2),
        at=NIGHT,
    )
    assert place == ToQueue("emergency", 20)


@pytest.mark.parametrize("key", ["1", "4", "0"])
async def test_emergencies_have_no_hours(key: str) -> None:
    by_day, by_night = (
        await call(presses(key, during="menu_main")),
        await call(presses(key, during="menu_main"), at=NIGHT),
    )
    assert by_day[0] == by_night[0]


async def test_on_a_holiday_the_office_is_closed() -> None:
    new_year = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)
    _, line = await call(presses("2", during="menu_main"), at=new_year)
    assert "menu_after_hours" in line.prompts


async def test_the_hours_are_looked_at_when_the_key_is_pressed() -> None:
    """Five minutes past closing by the time the menu has been walked."""
    line = FakeLine(
        presses("2", during="menu_main"),
        clock=Clock(datetime(2026, 11, 18, 13, 59, 55, tzinfo=UTC)),
        lasts={"welcome": 10.0},
    )
    await reception(line, RULES, MOSCOW, line.clock)
    assert "menu_after_hours" in line.prompts


async def test_the_zone_of_the_company_decides() -> None:
    line = FakeLine(presses("2", during="menu_main"))
    await reception(line, RULES, ZoneInfo("Asia/Vladivostok"), line.clock)  # 19:00 there
    assert "menu_after_hours" in line.prompts


async def test_where_a_key_led_is_noted() -> None:
    _, line = await call(presses("1", during="menu_main"))
    assert line.noted(Kind.WENT) == [
        {"menu": "main", "key": "1", "place": "queue:emergency"},
        {"category": "emergency", "priority": 20},
    ]


async def test_where_silence_led_is_noted() -> None:
    _, line = await call()
    assert line.noted(Kind.WENT)[0] == {"menu": "main", "place": "queue:dispatcher"}


async def test_who_hangs_up_at_the_last_prompt_is_called_back_for_what_she_chose() -> None:
    line = FakeLine(presses("4", during="menu_main"), hangs_up(during="danger_hold"))
    with pytest.raises(HungUp):
        await reception(line, RULES, MOSCOW, line.clock)
    assert line.noted(Kind.WENT)[-1] == {"category": "danger", "priority": 30}


@pytest.mark.parametrize("after", [0.0, 1.5, 3.0])
@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        ("welcome", ()),
        ("recording_notice", ()),
        ("menu_main", ()),
        ("wrong_key", (presses("8", during="menu_main"),)),
        ("no_input", ()),
        ("emergency_hold", (presses("1", during="menu_main"),)),
        ("danger_hold", (presses("4", during="menu_main"),)),
        ("hold", (presses("0", during="menu_main"),)),
        ("menu_after_hours", (presses("2", during="menu_main"),)),
        ("voicemail_ask", (presses("2", during="menu_main"), presses("1", during="menu_after_hours"))),
    ],
)
async def test_hanging_up_at_any_prompt_ends_the_conversation(
    prompt: str, before: tuple[Act, ...], after: float
) -> None:
    with pytest.raises(HungUp):
        await call(*before, hangs_up(during=prompt, after=after), at=NIGHT)


async def test_every_prompt_of_the_reception_can_be_hung_up_at() -> None:
    """Guards the list above against a prompt that joins the rules."""
    covered = {"welcome", "recording_notice", "menu_main", "emergency_hold", "danger_hold", "hold"}
    assert RULES.prompts() <= covered | {"menu_after_hours"}


async def test_two_closed_doors_that_point_at_each_other_end_with_a_human() -> None:
    way = Way("a", "other", "hold", hours="never", closed="queue:a")
    line = FakeLine()
    never = Rules({}, {"a": way}, {"never": RULES.hours["office"].__class__(week={})})
    assert await walk(line, never, "queue:a", MOSCOW, line.clock) == TO_A_HUMAN


async def test_menus_that_go_round_and_round_end_with_a_human() -> None:
    one = Menu("main", "menu_main", {"1": "menu:other"}, "menu:other", tries=1)
    other = Menu("other", "menu_other", {"1": "menu:main"}, "menu:main", tries=1)
    line = FakeLine()
    ring = Rules({"main": one, "other": other}, {})
    assert await walk(line, ring, "menu:main", MOSCOW, line.clock) == TO_A_HUMAN
    assert len(line.prompts) == 2 * MOST_STEPS  # the menu and "we did not hear you"


async def test_a_key_may_say_goodbye() -> None:
    bye = Rules({"main": Menu("main", "menu_main", {"1": "hang-up"}, "queue:x")}, {"x": RULES.ways["danger"]})
    place, line = await call(presses("1", during="menu_main"), with_rules=bye)
    assert place == ToHangUp()
    assert line.prompts[-1] == "goodbye"


@pytest.mark.parametrize("why", [Outcome.QUEUE_TIMED_OUT, Outcome.QUEUE_FULL])
async def test_a_caller_the_queue_gave_back_is_told_and_asked_for_a_message(why: Outcome) -> None:
    line = FakeLine()
    assert await unanswered(line, why, number_known=True) == ToVoicemail()
    assert line.prompts == ["all_busy", "callback_promise", "voicemail_ask"]


async def test_a_caller_whom_nobody_can_answer_is_told_so() -> None:
    line = FakeLine()
    await unanswered(line, Outcome.NO_DISPATCHER, number_known=True)
    assert line.prompts[0] == "no_dispatcher"


async def test_a_hidden_number_is_promised_nothing_that_cannot_be_kept() -> None:
    line = FakeLine()
    await unanswered(line, Outcome.QUEUE_FULL, number_known=False)
    assert line.prompts == ["all_busy", "voicemail_ask"]


async def test_who_asks_to_be_called_back_is_promised_it_and_let_go() -> None:
    line = FakeLine()
    assert await unanswered(line, Outcome.CALLBACK_ASKED, number_known=True) == ToHangUp()
    assert line.prompts == ["place_kept"]


async def test_who_asks_to_be_called_back_from_a_hidden_number_is_told_and_asked_for_a_message() -> None:
    line = FakeLine()
    assert await unanswered(line, Outcome.CALLBACK_ASKED, number_known=False) == ToVoicemail()
    assert line.prompts == ["number_hidden", "voicemail_ask"]


@pytest.mark.parametrize("number_known", [True, False])
async def test_who_would_rather_leave_a_message_is_asked_for_it_at_once(number_known: bool) -> None:
    line = FakeLine()
    why = why_left_queue("MESSAGE")
    assert await unanswered(line, why, number_known=number_known) == ToVoicemail()
    assert line.prompts == ["voicemail_ask"]


async def test_that_she_chose_to_end_is_noted_before_the_goodbye() -> None:
    """Who hangs up during the goodbye is as content as who hears it out."""
    bye = Rules({"main": Menu("main", "menu_main", {"1": "hang-up"}, "queue:x")}, {"x": RULES.ways["danger"]})
    line = FakeLine(presses("1", during="menu_main"), hangs_up(during="goodbye"))
    with pytest.raises(HungUp):
        await reception(line, bye, MOSCOW, line.clock)
    assert line.noted(Kind.WENT) == [{"menu": "main", "key": "1", "place": "hang-up"}]


async def test_who_is_hung_up_on_because_it_is_closed_did_not_choose_to_end() -> None:
    """Nobody told her anything: she is owed a call."""
    way = Way("x", "planned", "hold", hours="office", closed="hang-up")
    shut = Rules({"main": Menu("main", "menu_main", {"1": "queue:x"}, "queue:x")}, {"x": way}, RULES.hours)
    place, line = await call(presses("1", during="menu_main"), at=NIGHT, with_rules=shut)
    assert place == ToHangUp()
    assert "hang-up" not in [note.get("place") for note in line.noted(Kind.WENT)]


def test_the_example_of_an_outage_notice_can_be_used_as_it_stands(tmp_path: Path) -> None:
    """menus.toml: "take the # away here and from its phrase", and give it a key."""
    folder = shutil.copytree(HERE / "dialplan", tmp_path / "dialplan")
    for file, begins in (
        ("menus.toml", "# [outage]"),
        ("phrases/ru.toml", "# outage_notice"),
        ("phrases/en.toml", "# outage_notice"),
    ):
        before, _, example = (folder / file).read_text("utf-8").partition(begins)
        text = before + _uncommented(begins + example)
        (folder / file).write_text(text.replace("[main.keys]\n", '[main.keys]\n5 = "menu:outage"\n'), "utf-8")
    told = rules.read(folder)
    assert told.menus["main"].keys["5"] == "menu:outage"
    assert (told.menus["outage"].keys["1"], told.menus["outage"].otherwise) == ("hang-up", "queue:dispatcher")
    for language in ("ru", "en"):
        assert not Phrasebook.read(folder / "phrases" / f"{language}.toml").unknown(told.prompts())


def _uncommented(text: str) -> str:
    lines = text.splitlines()
    ends = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join([line.removeprefix("#").removeprefix(" ") for line in lines[:ends]] + lines[ends:])


async def test_whatever_a_resident_presses_she_ends_somewhere(dice: Random) -> None:
    """300 random callers: nobody is left in the menus, and who presses nothing reaches a human."""
    for _ in range(300):
        acts = tuple(
            presses(dice.choice("0123456789*#"), during=menu, nth=nth, after=dice.uniform(0, 12))
            for menu in ("menu_main", "menu_after_hours", "welcome", "recording_notice")
            for nth in range(1, 6)
            if dice.random() < 0.5
        )
        place, line = await call(*acts, at=dice.choice([NOON, NIGHT]))
        assert isinstance(place, ToQueue | ToVoicemail)
        assert sum(prompt.startswith("menu_") for prompt in line.prompts) <= 5 * 3
        assert dict(line.heard)["recording_notice"] == 3.0
