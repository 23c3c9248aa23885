"""What was measured, as Markdown for the docs and as JSON for comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import percentile
from bench.speech import compare, unseen
from bench.speech.aims import aims, began_after, tried, understanding
from bench.speech.capacity import LATE
from bench.speech.clips import NONE, RATINGS
from bench.speech.compare import table
from bench.speech.hearing import UNSURE, Judged
from bench.speech.judge import COLUMNS, Share, confusion, loosely, loosely_perfect, non_answers, ratings
from bench.speech.measured import (
    Measured,
    is_a_persons,
    is_accepted,
    is_lie,
    is_unsure,
    is_wrong,
    our_rating,
    within,
)
from bench.speech.noises import Background
from bench.speech.paced import Load, ms
from bench.speech.pictures import WAYS
from bench.speech.spoil import CONDITIONS, NOISY

BEGIN, END = "<!-- bench-speech: from here -->", "<!-- bench-speech: to here -->"
SHOWN = 25
"""Mistakes that are listed one by one."""


def markdown(models: Sequence[Measured]) -> str:
    """All models side by side; then, of the first, everything."""
    return "\n\n".join(part for part in _parts(models) if part)


def _parts(models: Sequence[Measured]) -> Iterator[str]:
    first = models[0]
    yield _head(models)
    for one in models:
        yield f"**{one.model}**, against the aims{_by_whom(one)}:\n\n" + "\n".join(aims(one))
        if one.wider and one.judged:
            yield f"By the {len(one.used)} voices of the tables below:\n\n" + _by_the_shared(one)
    if first.judged and len(models) > 1:
        yield "### Models side by side\n\n" + compare.by_condition(models)
    if first.streams:
        yield "### Streams at once\n\n" + compare.streams(models)
    if first.judged:
        yield "### What a confidence is worth\n\n" + compare.reliability(models)
        yield f"### {first.model}: by condition\n\n" + _by_condition(first)
        yield "### By noise\n\n" + _by_noise(first)
        yield "### What was taken for what\n\n" + _confusion(first)
        yield "### A loosely matching peer\n\n" + _peer(first)
        yield "### Mistakes\n\n" + _mistakes(first)
    if first.unseen:
        yield "### Texts written without sight of the vocabulary\n\n" + unseen.report(
            first.unseen, first.readable
        )
    if first.named:
        yield "### Words of people\n\n" + _named(first)
    if first.clock or first.judged:
        yield "### End of speech to decision\n\n" + _latency(first)
    if first.interrupted:
        yield "### Barge-in\n\n" + _bargewithin(first)
    if first.steps or first.alone:
        yield "### Calls at once\n\n" + _capacity(first)


def _head(models: Sequence[Measured]) -> str:
    first = models[0]
    learned = {voice for one in models for voice in one.voices.training}
    not_free = [voice for voice in first.used if voice not in first.voices.free]
    seen = [voice for voice in first.used if voice in learned]
    names = ", ".join(f"**{one.model}**" for one in models)
    person = ", and a person's recordings." if any(map(is_a_persons, first.judged)) else "."
    lines = [
        f"{'Model' if len(models) == 1 else 'Models'} {names}; {first.when}, {first.machine}.",
        f"Voices that spoke: {', '.join(first.used)}{person}",
        *(_learned(one) for one in models),
    ]
    if len(models) > 1 and not seen:
        lines.append("The voices that spoke are held out from all of these models.")
    if seen:
        lines.append(f"**Not a test: a model learned from {', '.join(seen)}.**")
    if not_free:
        lines.append(f"For non-commercial use only, so they test and do nothing else: {', '.join(not_free)}.")
    return "\n".join(lines)


def _learned(measured: Measured) -> str:
    learned = ", ".join(measured.voices.training) or "none of the voices here"
    if measured.voices.person_in_training:
        learned += ", and the person, though not from these recordings of his"
    answers = _answers(measured)
    return (
        f"{measured.model} learned from {learned}. Of the {measured.listened_for} words that are listened for it "
        f"does not know {len(measured.unknown)}; of the {len(answers)} answers of the test set it knows every word "
        f"of {len([text for text in answers if text in measured.known])}."
    )


def _by_whom(measured: Measured) -> str:
    """Whose voices, where they are others than those of the tables."""
    if not measured.wider:
        return ""
    voices = measured.voices.held_out
    names = ", ".join(voices)
    return f"; what is accepted and wrong by all {len(voices)} voices that it did not learn from ({names})"


def _by_the_shared(measured: Measured) -> str:
    """The same figures by the voices that no model here learned from."""
    return "\n".join(f"- {what}" for _, what in understanding(measured, measured.judged))


def _answers(measured: Measured) -> set[str]:
    """What is said in the test set and has a meaning."""
    return {
        one.phrase.text for one in measured.judged if one.phrase.means != NONE and not one.phrase.recording
    }


# ---- tables ------------------------------------------------------------------------------------------------------


def _by_condition(measured: Measured) -> str:
    rows = [
        _shares(measured, name, within(measured.judged, name)) for name in dict.fromkeys(map(str, CONDITIONS))
    ]
    if people := [one for one in measured.judged if is_a_persons(one)]:
        rows.append(_shares(measured, "a person, all of these", people))
    rows.append(_shares(measured, "**all**", measured.judged))
    return table(
        ("", "clips", "ratings", "accepted", "of them read back", "unsure", "wrong",
         "wishes understood", "non-answers", "taken for a rating", "all wrong", "wrong, but asked back"),
        rows,
    )  # fmt: skip


def _shares(measured: Measured, name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    rated = [one for one in ratings(judged) if measured.can_be_known(one)]
    wishes = [
        one for one in judged if one.phrase.means not in {*RATINGS, NONE} and measured.can_be_known(one)
    ]
    others = non_answers(judged)
    taken = [one for one in rated if one.accepted]
    return (
        name,
        str(len(judged)),
        str(len(rated)),
        str(Share.of(rated, is_accepted)),
        str(Share.of(taken, lambda one: one.read_back)),
        str(Share.of(rated, is_unsure)),
        str(Share.of(rated, is_wrong)),
        str(Share.of(wishes, is_accepted)),
        str(len(others)),
        f"{sum(map(is_lie, others))}",
        f"{Share.of(judged, is_wrong)}",
        f"{Share.of(judged, lambda one: one.doubted)}",
    )


def _by_noise(measured: Measured) -> str:
    """Ratings accepted, and wrong, by kind and level."""
    noisy = [one for one in measured.judged if one.clip.condition.snr is not None]
    levels = dict.fromkeys(map(str, NOISY))
    rows = []
    for kind in Background:
        row = [f"{kind}"]
        for level in levels:
            mine = [one for one in within(noisy, level) if one.clip.condition.noise is kind]
            rated = [one for one in ratings(mine) if measured.can_be_known(one)]
            row.append(f"{Share.of(rated, is_accepted)}, {sum(map(is_wrong, mine))} of {len(mine)} wrong")
        rows.append(row)
    return table(("ratings accepted", *levels), rows)


def _confusion(measured: Measured) -> str:
    return table(("said", "clips", *COLUMNS), confusion(measured.judged))


def _peer(measured: Measured) -> str:
    """Our rule and the peer's on the same clips."""
    every, rated, others = measured.judged, ratings(measured.judged), non_answers(measured.judged)

    def row(name: str, rule: Callable[[Judged], str | None]) -> tuple[str, ...]:
        right = Share.of(rated, lambda one: rule(one) == one.phrase.means)
        wrong = Share.of(rated, lambda one: rule(one) not in {None, one.phrase.means})
        lies = Share.of(others, lambda one: rule(one) is not None)
        again = [one for one in every if one.phrase.text.startswith("опять")]
        fives = Share.of(again, lambda one: rule(one) == "5")
        return (
            name,
            str(right),
            str(wrong),
            f"{lies} ({lies.part} of {lies.whole})",
            f"{fives.part} of {fives.whole}",
        )

    return table(
        ("", "ratings right", "ratings wrong", "non-answers taken for a rating", "«опять…» taken for a five"),
        [
            row("ours", our_rating),
            row("any word within one letter, same ears", loosely),
            row("any word within one letter, ears that never err", loosely_perfect),
        ],
    )


def _mistakes(measured: Measured) -> str:
    mistakes = [one for one in measured.judged if one.wrong]
    if not mistakes:
        return "None."
    lines = [
        f"- {one.clip}: means {one.phrase.means}, taken for {one.outcome} "
        f"({one.confidence:.2f}); heard "
        + " / ".join(" ".join(word.text for word in stretch) for stretch in one.words)
        for one in sorted(mistakes, key=lambda one: not one.wrong_rating)[:SHOWN]
    ]
    if len(mistakes) > SHOWN:
        by_phrase = Counter(one.phrase.text for one in mistakes).most_common(12)
        often = ", ".join(f"«{text}» {times}" for text, times in by_phrase)
        lines.append(f"- … {len(mistakes)} in all; most often: {often}")
    return "\n".join(lines)


def _named(measured: Measured) -> str:
    head = ("pictures named", "line", "words", *WAYS)
    rows = [
        (one.who, str(one.condition), str(one.whole), *(str(one.outcomes[way]) for way in WAYS))
        for one in measured.named
    ]
    return table(head, rows)


def _latency(measured: Measured) -> str:
    rows = []
    heard = [one for one in measured.judged if one.decided is not None and one.phrase.means != NONE]
    for name, mine in (
        ("in sound: understood", [one for one in heard if one.outcome != UNSURE]),
        ("in sound: not understood", [one for one in heard if one.outcome == UNSURE]),
    ):
        moments = [one.decided for one in mine if one.decided is not None]
        rows.append((name, str(len(moments)), *_middle_and_tail(moments)))
    if load := measured.clock:
        name = f"by the clock, {load.calls} calls at once"
        rows.append((f"{name}: understood", str(load.understood), ms(load.understood_p50), ""))
        rows.append((f"{name}: all", str(load.answers), ms(load.decided_p50), ms(load.decided_p95)))
    return table(("", "answers", "p50", "p95"), rows)


def _bargewithin(measured: Measured) -> str:
    began = began_after(measured)
    rows = (
        [("no prompt, the test set clean", str(len(began)), *_middle_and_tail(began), "–", "–")]
        if began
        else []
    )
    rows += [
        (one.echo, str(one.tried), ms(one.p50), ms(one.p95), str(one.missed), str(one.early))
        for one in measured.interrupted
    ]
    head = ("speech over the prompt", "clips", "noticed p50", "p95", "not noticed", "the echo taken for it")
    starts = table(
        ("nobody speaks", "minutes", "taken for speech, a minute", "for an answering machine"),
        [
            (one.what, f"{one.minutes:g}", f"{one.a_minute:.1f}", str(one.machines))
            for one in measured.false_starts
        ],
    )
    return f"{table(head, rows)}\n\n{starts}"


def _middle_and_tail(moments: Sequence[float]) -> tuple[str, str]:
    return ms(percentile(moments, 0.5)), ms(percentile(moments, 0.95))


def _capacity(measured: Measured) -> str:
    head = ("calls that answer", "understood p50", "every decision p95", "barge-in p95", *COSTS)
    steps = [
        (
            str(load.calls), ms(load.understood_p50), ms(load.decided_p95), ms(load.began_p95), *_costs(load),
        )
        for load in sorted(measured.steps, key=lambda load: load.calls)
    ]  # fmt: skip
    alone = [(f"{load.calls} calls, {name}", *_costs(load)) for name, load in measured.alone.items()]
    held = f"Held: **{measured.held}** calls: p50 and p95 within their aims, frames less than {ms(LATE)} late (p99)."
    return f"{table(head, steps)}\n\n{held}\n\n{table(('what one sound costs', *COSTS), alone)}"


COSTS = ("frames late p99", "processor a call", "memory")


def _costs(load: Load) -> tuple[str, ...]:
    return ms(load.late_p99), f"{100 * load.processor:.2f} %", f"{load.memory:.0f} MB"


# ---- where it goes -----------------------------------------------------------------------------------------------


def put_into(document: Path, text: str) -> None:
    """Between the markers; everything else in the document stays. ValueError when a marker is missing."""
    old = document.read_text("utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: the markers {BEGIN} and {END} are wanted in it")
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def as_json(models: Sequence[Measured]) -> dict[str, Any]:
    return {"models": [_model_as_json(one) for one in models]}


def _model_as_json(measured: Measured) -> dict[str, Any]:
    return {
        "model": measured.model,
        "when": measured.when,
        "machine": measured.machine,
        "voices": list(measured.used),
        "unknown_words": list(measured.unknown),
        "aims": [{"met": met, "what": what} for met, what in tried(measured)],
        "judging_seconds": measured.unpaced,
        "clock": asdict(measured.clock) if measured.clock else None,
        "steps": [asdict(load) for load in measured.steps],
        "alone": {name: asdict(load) for name, load in measured.alone.items()},
        "held": measured.held,
        "size_mb": measured.size,
        "named": [
            {"who": one.who, "condition": str(one.condition), **{way: one.outcomes[way] for way in WAYS}}
            for one in measured.named
        ],
        "streams": [asdict(one) for one in measured.streams],
        "false_starts": [asdict(one) for one in measured.false_starts],
        "interrupted": [asdict(one) for one in measured.interrupted],
        "clips": [_clip(one, measured) for one in measured.judged],
        "clips_of_more_voices": [_clip(one, measured) for one in measured.wider],
        "clips_of_unseen_texts": [
            _clip(one, measured) | {"understood_as_text": one.phrase.text in measured.readable}
            for one in measured.unseen
        ],
    }


def _clip(one: Judged, measured: Measured) -> dict[str, Any]:
    spoken, condition = one.clip.spoken, one.clip.condition
    return {
        "text": one.phrase.text,
        "group": one.phrase.group,
        "means": one.phrase.means,
        "voice": spoken.voice,
        "rate": spoken.rate,
        "pitch": spoken.pitch,
        "condition": condition.name,
        "noise": condition.noise if condition.snr is not None else None,
        "known": measured.can_be_known(one),
        "outcome": one.outcome,
        "accepted": one.accepted,
        "wrong": one.wrong,
        "confidence": one.confidence,
        "read_back": one.read_back,
        "began": one.began,
        "decided": one.decided,
        "words": [[[word.text, word.confidence] for word in stretch] for stretch in one.words],
    }
