"""A resident is handed on: blind, after a word with the colleague, and to somebody who is not there."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from demo.softphone import PhoneError

from .running import Running, connected, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_blind_transfer_is_followed_to_the_end(house: Running, number: str) -> None:
    async with house.dispatcher() as anna, house.resident(number) as ivan, house.dispatcher() as vera:
        call, ringing = await _with(anna, vera, await connected_with_either(house, ivan, anna, vera))
        transfer = asyncio.create_task(ringing.transfer(vera_of(ringing, anna, vera).account))
        third = await vera_of(ringing, anna, vera).rings(within=10)
        assert third.caller_number == number
        await third.answer()
        await transfer
        await talk(call, third)
        await third.hang_up()
    row = await house.ended(number)
