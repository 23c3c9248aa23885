from __future__ import annotations

import numpy as np
import pytest

from appliance.native import Native
from ivr.speech.echo import EchoGuard
from tests.sounds import RATE, Samples, frames, joined, noise, silence, spoken


def share_of_echo(heard: Samples, played: Samples, begin: float = 0.0) -> float:
    """Of the 20 ms moments with sound after `begin`: how many are nothing but our own."""
    guard, verdicts = EchoGuard(), []
    for at, (here, there) in enumerate(zip(frames(heard), frames(played), strict=True)):
        guard.feed(here, there)
        if at * 0.02 >= begin and np.abs(here).max() > 0.003:
            verdicts.append(guard.is_echo())
    return float(np.mean(verdicts))


def delayed(sound: Samples, seconds: float, decibels: float) -> Samples:
    """Come back so much later and so much weaker."""
    late = joined(silence(seconds), sound)[: len(sound)]
    return (late * 10 ** (decibels / 20)).astype(np.float32)


@pytest.fixture
def prompt(native: Native) -> Samples:
    return joined(silence(0.4), spoken(native, "Назовите оценку от одного до пяти.", "anna"), silence(0.6))


@pytest.mark.parametrize("decibels", [-6, -15, -30])
@pytest.mark.parametrize("seconds", [0.0, 0.06, 0.48])
def test_our_own_prompt_coming_back_is_an_echo(prompt: Samples, seconds: float, decibels: float) -> None:
    assert share_of_echo(delayed(prompt, seconds, decibels), prompt) == 1.0


def test_it_is_also_when_a_line_has_changed_its_colour(prompt: Samples) -> None:
    hybrid = np.array([0.1, 0.8, -0.4, 0.3, -0.2, 0.1])
    coloured = np.convolve(delayed(prompt, 0.03, -12), hybrid)[: len(prompt)].astype(np.float32)
    assert share_of_echo(coloured, prompt) > 0.98


def test_where_nothing_was_played_nothing_is_an_echo() -> None:
    assert share_of_echo(noise(1, -20), silence(1)) == 0.0


def test_a_person_speaking_over_a_prompt_is_none(native: Native, prompt: Samples) -> None:
    person = joined(silence(1), spoken(native, "подождите, не надо", "yuriy"), silence(3))[: len(prompt)]
    assert share_of_echo(person, prompt) < 0.15


def test_a_person_is_heard_through_the_echo(native: Native, prompt: Samples) -> None:
    person = joined(silence(1.2), spoken(native, "четыре", "yuriy"), silence(3))[: len(prompt)]
    both = (person + delayed(prompt, 0.04, -20)).astype(np.float32)
    while_she_speaks = slice(round(1.3 * RATE), round(1.7 * RATE))
    assert np.abs(person[while_she_speaks]).max() > 0.05
    assert share_of_echo(both[: round(1.7 * RATE)], prompt[: round(1.7 * RATE)], begin=1.4) < 0.3


def test_what_is_as_loud_as_what_was_played_is_no_echo(prompt: Samples) -> None:
    assert share_of_echo(prompt, prompt) == 0.0
