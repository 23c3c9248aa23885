"""The robot asks: real calls, real speech, the real ears; the speaker is a voice no model learned from."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from appliance.native import Native
from demo import sound
from demo.softphone import PhoneCall, PhoneError, Softphone
from ivr.errors import MissingPart
from ivr.settings import Settings
from ivr.speech.graph import LEXICON
from ivr.speech.models import NO_MODEL, find_model
from ivr.speech.sound import as_pcm
from ivr.speech.voice import Synthesiser, at_rate

from .running import NORTH, ROBOT, Row, Running, talk, to_the_queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

Speak = Callable[[str], Awaitable[sound.Sound]]
STRANGER = "tatiana"
"""A voice the models did not learn from; for testing only, its licence allows no more."""


@pytest.fixture(scope="module")
def model() -> Path:
    found = find_model(Settings())
    if found is None:
        pytest.skip("no speech model here: make model fetches one")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path], model: Path) -> AsyncIterator[Running]:
    async with Running(native, new_home("robot"), calls_back=True, model=model) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nobody_is_on_the_line(house: Running) -> AsyncIterator[None]:
    """What a test leaves open is not the next one's: no call, no promise, no survey."""
    yield
    await house.ledger.execute(
        "UPDATE promises SET closed_at = now(), status = 'withdrawn', next_attempt_at = NULL WHERE closed_at IS NULL"
    )
    await house.ledger.execute(
        "UPDATE surveys SET status = 'cancelled', settled_at = now(), next_attempt_at = NULL WHERE status = 'planned'"
    )
    await house.console("channel request hangup all")
    await house.until(
        lambda: house.ledger.fetchval(
            "SELECT NOT EXISTS (SELECT FROM calls WHERE ended_at IS NULL) "
            "AND NOT EXISTS (SELECT FROM surveys WHERE status IN ('planned', 'calling'))"
        ),
        "every call has ended",
        40,
    )


@pytest.fixture(scope="module")
def speak(native: Native) -> Speak:
    """Speech as a softphone says it."""
    try:
        environment = native.with_every_voice()
    except MissingPart as error:
        pytest.skip(str(error))
    program = Synthesiser("rhvoice", tuple(native.command("usr/bin/RHVoice-test")), STRANGER, environment)

    async def speak(text: str) -> sound.Sound:
        spoken = at_rate(await program.speak(text), sound.RATE)
        return as_pcm(spoken.samples * np.float32(0.5))

    return speak


async def rung(house: Running, ivan: Softphone, number: str, **job: bool) -> PhoneCall:
    """A job is done, the robot rings, the resident answers."""
    await house.job_done(number, **job)
    call = await ivan.rings(within=10)
    await call.answer()
    return call


@asynccontextmanager
async def asked(house: Running, number: str) -> AsyncIterator[PhoneCall]:
    async with house.resident(number) as ivan:
        call = await rung(house, ivan, number)
        await prompted(house, number, "survey_question")
        yield call


async def prompted(house: Running, number: str, prompt: str) -> None:
    await house.happened(number, "prompt", prompt=prompt)


async def rated(house: Running, number: str, rating: int) -> Row:
    """The survey is done, and its ticket has the rating."""
    survey = await house.survey(number, status="done", result="rated", rating=rating)
    ticket = await house.ticket(survey["ticket"])
    assert ticket["rating"] == rating
    return ticket


async def test_a_rating_said_into_the_question_is_on_the_ticket(
    house: Running, number: str, speak: Speak
) -> None:
    async with asked(house, number) as call:
        assert call.caller_number == NORTH
        call.says(await speak("пятёрка"))
        await call.ended(within=10)
        assert (await rated(house, number, 5))["status"] == "closed"
    row = await house.ended(number)
    assert (row["direction"], row["outcome"]) == ("survey", "surveyed")


async def test_the_question_stops_as_soon_as_somebody_speaks(
    house: Running, number: str, speak: Speak
) -> None:
    answer = await speak("пятёрка")
    async with asked(house, number) as call:
        await call.hears_tone(ROBOT, within=5)
        call.says(answer)
        began = time.monotonic()
        await call.hears_silence(seconds=0.1, within=3)
        # over the phone's own buffers, out and back
        assert time.monotonic() - began < 0.9
        await rated(house, number, 5)


async def test_a_key_counts_as_soon_as_it_is_pressed(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        call = await rung(house, ivan, number)
        await call.press("3")
        await call.ended(within=15)
        await rated(house, number, 3)


async def test_a_correction_during_the_thanks_replaces_the_rating(
    house: Running, number: str, speak: Speak
) -> None:
    correction = await speak("нет, на четвёрочку")
    async with asked(house, number) as call:
        await call.press("5")
        await prompted(house, number, "survey_thanks")
        call.says(correction)
        await call.ended(within=15)
        await rated(house, number, 4)


async def test_who_goes_on_after_a_short_pause_has_not_answered_yet(
    house: Running, number: str, speak: Speak
) -> None:
    four, five = await speak("четыре"), await speak("пять")
    async with asked(house, number) as call:
        call.says(np.concatenate([four, sound.silence(0.3), five]))
        await prompted(house, number, "survey_clearer")
        await call.press("3")
        await call.ended(within=15)
        await rated(house, number, 3)


async def test_silence_is_asked_again_and_ends_as_silence(house: Running, number: str) -> None:
    async with asked(house, number) as call:
        await call.ended(within=60)
        survey = await house.survey(number, status="done", result="silent")
        assert (await house.ticket(survey["ticket"]))["rating"] is None
    prompts = [
        f["detail"]["prompt"]
        for f in await house.timeline((await house.ended(number))["id"])
        if f["kind"] == "prompt"
    ]
    assert [p for p in prompts if p in {"survey_question", "survey_clearer", "survey_keys"}] == [
        "survey_question", "survey_clearer", "survey_keys",
    ]  # fmt: skip


async def test_again_is_no_five(house: Running, number: str, speak: Speak) -> None:
    """«Опять» is one letter from «пять»."""
    leaks = await speak("опять течёт")
    async with asked(house, number) as call:
        call.says(leaks)
        await house.happened(number, "heard")
        await call.hears(seconds=2)
        await call.hang_up()
        await house.ended(number)
        survey = await house.survey(number, status="done")
        assert survey["result"] in {"hung_up", "not_done"}
        assert (await house.ticket(survey["ticket"]))["rating"] is None


async def test_an_answering_machine_is_known_and_rates_nothing(
    house: Running, number: str, speak: Speak
) -> None:
    greeting = await speak(
        "Здравствуйте. Вы позвонили на автоответчик. К сожалению, сейчас я не могу подойти к телефону. "
        "Пожалуйста, оставьте ваше имя, номер телефона и сообщение после звукового сигнала."
    )
    async with house.resident(number) as ivan:
        call = await rung(house, ivan, number)
        call.says(greeting)
        call.says(sound.tone(1000, 0.6))
        await call.ended(within=25)
        await house.ended(number)
        answers = await house.ledger.fetch(
            "SELECT result::text FROM survey_answers WHERE call_id = $1", (await house.ended(number))["id"]
        )
        assert [row["result"] for row in answers] == ["machine"]
        survey = await house.survey(number)
        assert survey["rating"] is None


async def test_who_hangs_up_in_the_middle_has_said_what_was_said(
    house: Running, number: str, speak: Speak
) -> None:
    two = await speak("двойка")
    async with asked(house, number) as call:
        call.says(two)
        await house.happened(number, "said")
        await call.hang_up()
        ticket = await rated(house, number, 2)
    assert (ticket["status"], ticket["reopened"]) == ("registered", 1)


async def test_a_bad_rating_takes_a_comment_and_a_dispatcher_at_once(
    house: Running, number: str, speak: Speak
) -> None:
    comment = await speak("Мастер пришёл, посмотрел, и ничего не починил.")
    async with house.dispatcher() as anna, asked(house, number) as call:
        await call.press("1")
        await prompted(house, number, "survey_comment")
        await call.hears(seconds=1.2)
        call.says(comment)
        await call.has_said_all(within=15)
        await call.hears(seconds=0.5)
        await call.press("#")
        await prompted(house, number, "survey_offer")
        await call.press("1")
        ringing = await anna.rings(within=15)
        assert ringing.caller_number == number
        assert ringing.caller_name.startswith("Оценка 1: Житель")
        await ringing.answer()
        await talk(call, ringing)
        await call.hang_up()
        row = await house.ended(number)
        ticket = await rated(house, number, 1)

        async def attached() -> Row | None:
            found = await house.ledger.fetchrow("SELECT * FROM survey_comments WHERE call_id = $1", row["id"])
            return dict(found) if found else None

        kept = await house.until(attached, "the comment is attached")
    assert row["outcome"] == "talked"
    assert ticket["reopened"] == 1
    assert kept["voiced"] > 2
    wav = sound.from_wav(house.settings.recordings / kept["path"])
    assert sound.likeness(wav, comment) > 0.5
    assert not await house.promises(number)


async def test_who_asks_for_a_dispatcher_and_gets_none_is_owed_a_call(house: Running, number: str) -> None:
    await house.nobody_is_there()
    async with asked(house, number) as call:
        await call.press("0")
        await house.happened(number, "left_queue", status="JOINEMPTY")
        await call.hang_up()
        promise = await house.promise(number)
    survey = await house.survey(number, status="done")
    assert survey["result"] == "human"
    asked_at = (await house.call_of(number, direction="survey"))["queued_at"]
    assert abs((promise["due_at"] - asked_at).total_seconds() - 600) < 2


async def test_without_ears_a_key_is_asked_for_and_counts(
    native: Native, new_home: Callable[[str], Path], number: str
) -> None:
    async with Running(native, new_home("deaf"), calls_back=True, model=NO_MODEL) as house:
        async with house.resident(number) as ivan:
            call = await rung(house, ivan, number)
            await prompted(house, number, "survey_by_key")
            await call.press("4")
            await call.ended(within=15)
            await rated(house, number, 4)
        await house.says("the robot has no ears")


async def test_a_word_added_by_hand_is_heard(
    native: Native, new_home: Callable[[str], Path], model: Path, number: str, speak: Speak
) -> None:
    """A mark nobody learned: its pronunciation is found and the decoder's graph made anew at the start."""
    if not (model / LEXICON).exists():
        pytest.skip(f"{model.name} is not a model of ours: words cannot be added to it")
    house = Running(native, new_home("words"), calls_back=True, model=model)
    words = house.dialplan / "understanding" / "ru.toml"
    before = words.read_text("utf-8")
    words.write_text(before.replace("\n5 = [", '\n5 = ["зачёт", ', 1), "utf-8")
    assert words.read_text("utf-8") != before
    async with house, asked(house, number) as call:
        call.says(await speak("ставлю зачёт"))
        await call.ended(within=10)
        await rated(house, number, 5)


async def test_who_has_not_consented_is_never_rung(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        await house.job_done(number, consented=False)
        await house.survey(number, status="cancelled", why="no_consent")
        with pytest.raises(PhoneError):
            await ivan.rings(within=1.5)
    assert not await house.ledger.fetch("SELECT FROM calls WHERE caller = $1", number)


async def test_who_is_busy_is_rung_again(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        await house.job_done(number)
        await (await ivan.rings(within=10)).reject()
        call = await ivan.rings(within=10)
        await call.answer()
        await call.press("5")
        await call.ended(within=15)
        await rated(house, number, 5)
    outcomes = await house.ledger.fetch(
        "SELECT outcome::text FROM calls WHERE caller = $1 ORDER BY arrived_at", number
    )
    assert [row["outcome"] for row in outcomes] == ["busy", "surveyed"]


async def test_who_wants_no_more_calls_is_never_asked_again(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        call = await rung(house, ivan, number)
        await call.press("9")
        await call.ended(within=15)
        await house.survey(number, status="done", result="opted_out")
        await house.job_done(number, flat="48")
        await house.survey(number, status="cancelled", why="opted_out")


async def test_who_calls_herself_meanwhile_is_not_rung(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan:
        call = await to_the_queue(ivan)
        ringing = await anna.rings(within=10)
        await ringing.answer()
        await talk(call, ringing)
        await house.job_done(number)
        await house.survey(number, status="planned", why="on_a_call")
        await call.hang_up()


async def test_two_closings_are_asked_about_one_after_the_other(house: Running, number: str) -> None:
    async with house.resident(number) as ivan:
        await house.job_done(number)
        await house.job_done(number, flat="48")
        for _ in range(2):
            call = await ivan.rings(within=20)
            await call.answer()
            await call.press("4")
            await call.ended(within=15)
    ratings = await house.ledger.fetch("SELECT rating FROM tickets WHERE phone = $1", number)
    assert [row["rating"] for row in ratings] == [4, 4]
