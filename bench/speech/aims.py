"""What is aimed at, and whether it is met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import percentile
from bench.speech.capacity import AIM_P50, AIM_P95
from bench.speech.hearing import Judged
from bench.speech.judge import Share, non_answers
from bench.speech.measured import Measured, is_accepted, is_lie, is_wrong, within
from bench.speech.paced import ms
from bench.speech.people import words_of

WORDS, PHRASES = 0.99, 0.97
"""Accepted clean: answers of one word, and longer ones."""
AT_10_DB = 0.90
WRONG, LIES = 0.005, 0.005
BARGE_IN = 0.200
STREAMS = 100


def aims(measured: Measured) -> Iterator[str]:
    """A line each: met or not, and by what figures."""
    for met, what in tried(measured):
        yield f"- {'met' if met else '**not met**'}: {what}"


def tried(measured: Measured) -> Iterator[tuple[bool, str]]:
    if measured.widest:
        yield from understanding(measured, measured.widest)
    if load := measured.clock:
        what = f"{ms(load.understood_p50)} of what is understood, {ms(load.decided_p50)} with what is not"
        yield load.understood_p50 <= AIM_P50, f"end of speech to decision p50 at most 300 ms: {what}"
        yield load.decided_p95 <= AIM_P95, f"… p95 at most 600 ms: {ms(load.decided_p95)}"
    if began := began_after(measured):
        noticed = percentile(began, 0.95)
        what = f"{ms(noticed)} in {len(began)} clean clips, the line not counted"
        yield round(noticed, 3) <= BARGE_IN, f"barge-in noticed within 200 ms p95: {what}"
    for found in measured.streams:
        yield found.held >= STREAMS, f"at least 100 streams at once, {found.what}: {found.held}"
    if measured.steps:
        yield measured.held > 0, f"calls at once before these break, on this machine: {measured.held}"


def understanding(measured: Measured, every: Sequence[Judged]) -> Iterator[tuple[bool, str]]:
    """What the model made of these clips."""
    clean = within(measured.spoken_answers(every), "clean")
    words = Share.of([one for one in clean if len(words_of(one.phrase.text)) == 1], is_accepted)
    phrases = Share.of([one for one in clean if len(words_of(one.phrase.text)) > 1], is_accepted)
    noisy = Share.of(within(measured.answerable(every), "10 dB"), is_accepted)
    wrong, lies = Share.of(every, is_wrong), Share.of(non_answers(every), is_lie)
    yield words.value >= WORDS, f"single words accepted clean at least 99 %: {_of(words)}"
    yield phrases.value >= PHRASES, f"phrases accepted clean at least 97 %: {_of(phrases)}"
    yield noisy.value >= AT_10_DB, f"ratings accepted at 10 dB at least 90 %: {_of(noisy)}"
    yield wrong.value <= WRONG, f"wrong at most 0.5 %: {_bounded(wrong)}"
    yield lies.value <= LIES, f"at most 1 in 200 non-answers taken for a rating: {_bounded(lies)}"


def began_after(measured: Measured) -> list[float]:
    """From the first sound of the speech to SpeechBegan, clean, seconds."""
    return [one.began for one in within(measured.judged, "clean") if one.began is not None]


def _of(share: Share) -> str:
    return f"{100 * share.value:.2f} % ({share.part} of {share.whole})"


def _bounded(share: Share) -> str:
    bound = f"with 95 % certainty at most {100 * share.at_most:.2f} %"
    return f"{100 * share.value:.2f} % ({share.part} of {share.whole}; {bound})"
