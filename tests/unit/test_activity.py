from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from appliance.native import Native
from ivr.speech.activity import PRE_ROLL, WINDOW, Activity, Detectors, Window
from tests.sounds import RATE, Samples, frames, in_noise, joined, noise, silence, spoken


@pytest.fixture(scope="module")
def detectors() -> Detectors:
    return Detectors(at_most=1)


@pytest.fixture
def activity(detectors: Detectors) -> Iterator[Activity]:
    activity = Activity(detectors)
    yield activity
    activity.close()
    assert detectors.leased == 0


def windows(activity: Activity, sound: Samples) -> list[Window]:
    return [window for frame in frames(sound) for window in activity.feed(frame)]


@pytest.mark.parametrize("sound", [silence(5), noise(5, -70)])
def test_silence_needs_no_detector(activity: Activity, detectors: Detectors, sound: Samples) -> None:
    assert windows(activity, sound) == []
    assert detectors.leased == 0


def test_noise_that_stays_needs_none_after_three_seconds(activity: Activity, detectors: Detectors) -> None:
    first = windows(activity, noise(4, -50))
    assert first
    assert max(window.probability for window in first) < 0.3
    assert windows(activity, noise(10, -50, seed=3)) == []
    assert detectors.leased == 0


def test_noise_that_comes_up_later_is_got_used_to_as_well(activity: Activity) -> None:
    windows(activity, noise(5, -70))
    windows(activity, noise(4, -45))
    assert windows(activity, noise(3, -45, seed=3)) == []


def test_noise_that_goes_away_lets_the_gate_hear_softer_sounds(activity: Activity) -> None:
    windows(activity, joined(noise(8, -40), silence(1)))
    assert windows(activity, noise(0.2, -45))


def test_what_is_loud_is_looked_at_however_long(activity: Activity) -> None:
    heard = windows(activity, noise(20, -25))
    assert len(heard) == pytest.approx(20 * RATE / WINDOW, abs=2)


def test_the_moment_before_the_gate_opened_is_looked_at_as_well(activity: Activity) -> None:
    heard = windows(activity, joined(silence(2), noise(0.1, -20)))
    assert heard[0].ends == pytest.approx(2 - PRE_ROLL + WINDOW / RATE, abs=0.001)
    assert {round(b.ends - a.ends, 3) for a, b in pairwise(heard)} == {WINDOW / RATE}
    assert heard[-1].level == pytest.approx(-20, abs=1)


def test_a_detector_goes_back_fresh_and_is_leased_again() -> None:
    detectors = Detectors(at_most=1, ready=1)
    one = detectors.lease()
    assert one is not None
    detectors.give_back(one)
    assert detectors.lease() is one


def test_when_all_detectors_are_out_loudness_must_do() -> None:
    detectors = Detectors(at_most=0)
    assert detectors.lease() is None
    activity = Activity(detectors)
    heard = windows(activity, joined(noise(3, -60), noise(0.5, -25)))
    assert max(window.probability for window in heard) == 1.0


def test_a_closed_call_gives_its_detector_back(activity: Activity, detectors: Detectors) -> None:
    windows(activity, noise(0.5, -25))
    assert detectors.leased == 1
    activity.close()
    activity.close()
    assert detectors.leased == 0


@pytest.mark.parametrize("below", [60, 10])
def test_a_voice_is_told_from_noise(native: Native, activity: Activity, below: float) -> None:
    speech = spoken(native, "опять течёт с потолка")
    begins, ends = 2.0, 2.0 + len(speech) / RATE
    heard = windows(activity, in_noise(joined(silence(2), speech, silence(1.5)), below))
    voiced = [window.ends for window in heard if window.probability > 0.5]
    assert begins < voiced[0] < begins + 0.25
    assert ends - 0.3 < voiced[-1] < ends + 0.3
    assert len(voiced) > 0.5 * (ends - begins) * RATE / WINDOW


def test_a_voice_that_is_hardly_there_is_heard_on_a_quiet_line(native: Native, activity: Activity) -> None:
    """Thirty decibels below a usual voice: A-law has some ten steps left for it."""
    said = spoken(native, "четыре")
    loud = np.sqrt(np.mean(said[np.abs(said) > 0.05 * np.abs(said).max()] ** 2))
    faint = said * np.float32(10 ** (-56 / 20) / loud)
    heard = windows(activity, in_noise(joined(silence(1), faint, silence(1)), 40))
    assert max(window.probability for window in heard) > 0.8
    activity.close()
