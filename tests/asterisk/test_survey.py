"""The robot asks: real calls, real speech, the real ears. What is said here was spoken by voices no model learned from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from appliance.native import Native
from demo import sound
from demo.softphone import PhoneCall
from ivr.settings import Settings
from ivr.speech.ears import find_model
from ivr.speech.sound import as_pcm
from ivr.speech.voice import Synthesiser, at_rate

from .running import NORTH, PITCH, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")

Speak = Callable[[str], Awaitable[sound.Sound]]
STRANGERS = ("tatiana", "artemiy")
"""Voices the models did not learn from; for testing only, their licence allows no more."""


@pytest.fixture(scope="module")
def model() -> Path:
    found = find_model(Settings())
    if found is None:
        pytest.skip("no speech model here: make model fetches one")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(native: Native, new_home: Callable[[str], Path], model: Path) -> AsyncIterator[Running]:
    async with Running(native, new_home("house"), calls_back=True, model=model) as running:
        yield running


@pytest.fixture(scope="module", params=STRANGERS)
def voice(request: pytest.FixtureRequest, native: Native) -> str:
    if not (native.root / "usr/share/RHVoice/voices" / request.param).is_dir():
        pytest.skip(f"the voice {request.param} is not here")
    return str(request.param)


@pytest.fixture(scope="module")
def speak(native: Native) -> Speak:
    """Speech as a softphone says it."""
    said: dict[str, sound.Sound] = {}

    async def speak(text: str, by: str = STRANGERS[0]) -> sound.Sound:
        if text not in said:
            program = Synthesiser("rhvoice", tuple(native.command("usr/bin/RHVoice-test")), by, native.environment())
            spoken = at_rate(await program.speak(text), sound.RATE)
            said[text] = as_pcm(spoken.samples * np.float32(0.5))
        return said[text]

    return speak


@asynccontextmanager
async def asked(house: Running, number: str) -> AsyncIterator[PhoneCall]:
    """A job is done, the robot rings, the resident answers."""
    async with house.resident(number) as ivan:
        await house.job_done(number)
        call = await ivan.rings(within=10)
        await call.answer()
        yield call


async def question(house: Running, number: str) -> None:
    """The robot has begun to ask."""
    await house.happened(number, "prompt", prompt="survey_question")


async def test_a_rating_said_into_the_question_is_on_the_ticket(house: Running, number: str, speak: Speak) -> None:
    async with asked(house, number) as call:
        assert call.caller_number == NORTH
        await question(house, number)
        call.says(await speak("пятёрка"))
        survey = await house.survey(number, status="done", result="rated", rating=5)
        ticket = await house.ticket(survey["ticket"])
        assert (ticket["rating"], ticket["status"]) == (5, "closed")
        await call.ended(within=5)
    row = await house.ended(number)
    assert (row["direction"], row["outcome"]) == ("survey", "surveyed")
