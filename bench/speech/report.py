"""What was measured, as Markdown for the docs and as JSON for comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import percentile
from bench.speech.bargein import FalseStarts, Interrupted
from bench.speech.capacity import AIM_P50, AIM_P95, LATE
from bench.speech.clips import NONE, PERSON, RATINGS, Voices
from bench.speech.hearing import UNSURE, Judged
from bench.speech.judge import (
    COLUMNS,
    Share,
    confusion,
    loosely,
    loosely_perfect,
    non_answers,
    ratings,
)
from bench.speech.paced import Load, ms
from bench.speech.spoil import CONDITIONS, NOISY, Background

AIM_WRONG, AIM_LIES, AIM_CLEAN, AIM_NOISY = 0.005, 0.005, 0.97, 0.90
AIM_BARGE_IN = 0.200
BEGIN, END = "<!-- bench-speech: from here -->", "<!-- bench-speech: to here -->"
SHOWN = 25
"""Mistakes that are listed one by one."""


@dataclass(slots=True)
class Measured:
    """One run."""

    model: str
    voices: Voices
    used: tuple[str, ...]
    """The voices of this run."""
    when: str
    machine: str
    judged: list[Judged] = field(default_factory=list)
    unknown: tuple[str, ...] = ()
    """Words that are listened for and that the model does not know."""
    listened_for: int = 0
    """How many words are."""
    known: frozenset[str] = frozenset()
    """The phrases all of whose words the model knows."""
    unpaced: float = 0.0
    """Seconds that judging took."""
    clock: Load | None = None
    steps: list[Load] = field(default_factory=list)
    held: int = 0
    alone: dict[str, Load] = field(default_factory=dict)
    """What one kind of sound costs, by its name."""
    false_starts: list[FalseStarts] = field(default_factory=list)
    interrupted: list[Interrupted] = field(default_factory=list)

    def can_be_known(self, one: Judged) -> bool:
        return bool(one.phrase.recording) or one.phrase.text in self.known


def markdown(measured: Measured) -> str:
    return "\n\n".join(part for part in _parts(measured) if part)


def _parts(measured: Measured) -> Iterator[str]:
    yield _head(measured)
    yield "\n".join(aims(measured))
    if measured.judged:
        yield "### By condition\n\n" + _by_condition(measured)
        yield "### By noise\n\n" + _by_noise(measured)
        yield "### What was taken for what\n\n" + _confusion(measured)
        yield "### A loosely matching peer\n\n" + _peer(measured)
        yield "### Mistakes\n\n" + _mistakes(measured)
    if measured.clock or measured.judged:
        yield "### End of speech to decision\n\n" + _latency(measured)
    if measured.interrupted:
        yield "### Barge-in\n\n" + _barge_in(measured)
    if measured.steps or measured.alone:
        yield "### Calls at once\n\n" + _capacity(measured)


def _head(measured: Measured) -> str:
    who = ", ".join(measured.used)
    learned = ", ".join(measured.voices.training) or "none of the voices here"
    not_free = [voice for voice in measured.used if voice not in measured.voices.free]
    seen = [voice for voice in measured.used if voice in measured.voices.training]
    lines = [
        f"Model **{measured.model}**, {measured.when}, {measured.machine}.",
        f"Voices that spoke: {who}" + (", and a person's recorded digits." if _people(measured) else "."),
        f"Voices the model learned from: {learned}.",
        f"Of the {measured.listened_for} words that are listened for it does not know {len(measured.unknown)}; "
        f"of the {len(_answers(measured))} answers of the test set it knows every word of "
        f"{len([text for text in _answers(measured) if text in measured.known])}.",
    ]
    if seen:
        lines.append(f"**Not a test: the model learned from {', '.join(seen)}.**")
    if not_free:
        lines.append(f"For non-commercial use only, so they test and do nothing else: {', '.join(not_free)}.")
    return "\n".join(lines)


def _answers(measured: Measured) -> set[str]:
    """What is said in the test set and has a meaning."""
    return {
        one.phrase.text for one in measured.judged if one.phrase.means != NONE and not one.phrase.recording
    }


def _people(measured: Measured) -> bool:
    return any(one.clip.spoken.voice == PERSON for one in measured.judged)


# ---- aims --------------------------------------------------------------------------------------------------------


def aims(measured: Measured) -> Iterator[str]:
    """A line each: met or not, and by what figures."""
    for met, what in _aims(measured):
        yield f"- {'met' if met else '**not met**'}: {what}"


def _aims(measured: Measured) -> Iterator[tuple[bool, str]]:
    if measured.judged:
        every = measured.judged
        wrong, lies = Share.of(every, _wrong), Share.of(non_answers(every), _lie)
        yield wrong.value <= AIM_WRONG, f"wrong at most 0.5 %: {_of(wrong)}"
        yield lies.value <= AIM_LIES, f"at most 1 in 200 non-answers taken for a rating: {_of(lies)}"
        clean, noisy = (Share.of(_answerable(measured, name), _accepted) for name in ("clean", "10 dB"))
        yield clean.value >= AIM_CLEAN, f"ratings accepted clean at least 97 %: {_of(clean)}"
        yield noisy.value >= AIM_NOISY, f"ratings accepted at 10 dB at least 90 %: {_of(noisy)}"
    if load := measured.clock:
        what = f"{ms(load.understood_p50)} of what is understood, {ms(load.decided_p50)} with what is not"
        yield load.understood_p50 <= AIM_P50, f"end of speech to decision p50 at most 300 ms: {what}"
        yield load.decided_p95 <= AIM_P95, f"… p95 at most 600 ms: {ms(load.decided_p95)}"
    if began := _began(measured):
        noticed = percentile(began, 0.95)
        what = f"{ms(noticed)} in {len(began)} clean clips, the line not counted"
        yield noticed <= AIM_BARGE_IN, f"barge-in noticed within 200 ms p95: {what}"
    if measured.steps:
        yield measured.held > 0, f"calls at once before these break, on this machine: {measured.held}"


def _answerable(measured: Measured, condition: str) -> list[Judged]:
    """Ratings in words the model knows."""
    return [one for one in ratings(_in(measured.judged, condition)) if measured.can_be_known(one)]


def _in(judged: Iterable[Judged], condition: str) -> list[Judged]:
    return [one for one in judged if one.clip.condition.name == condition]


def _began(measured: Measured) -> list[float]:
    """From the first sound of the speech to SpeechBegan, clean, seconds."""
    return [one.began for one in _in(measured.judged, "clean") if one.began is not None]


def _wrong(one: Judged) -> bool:
    return one.wrong


def _ours(one: Judged) -> str | None:
    """What is read back and denied is nobody's rating."""
    return one.outcome if one.outcome in RATINGS and not one.doubted else None


def _lie(one: Judged) -> bool:
    return one.wrong_rating


def _accepted(one: Judged) -> bool:
    return one.accepted


def _of(share: Share) -> str:
    bound = f"with 95 % certainty at most {100 * share.at_most:.2f} %"
    return f"{100 * share.value:.2f} % ({share.part} of {share.whole}; {bound})"


# ---- tables ------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _by_condition(measured: Measured) -> str:
    rows = [
        _shares(measured, name, _in(measured.judged, name)) for name in dict.fromkeys(map(str, CONDITIONS))
    ]
    people = [one for one in measured.judged if one.clip.spoken.voice == PERSON]
    if people:
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
        str(Share.of(rated, _accepted)),
        str(Share.of(taken, lambda one: one.read_back)),
        str(Share.of(rated, lambda one: not one.accepted and not one.wrong)),
        str(Share.of(rated, _wrong)),
        str(Share.of(wishes, _accepted)),
        str(len(others)),
        f"{sum(map(_lie, others))}",
        f"{Share.of(judged, _wrong)}",
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
            mine = [one for one in _in(noisy, level) if one.clip.condition.noise is kind]
            rated = [one for one in ratings(mine) if measured.can_be_known(one)]
            row.append(f"{Share.of(rated, _accepted)}, {sum(map(_wrong, mine))} of {len(mine)} wrong")
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
            row("ours", _ours),
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
        f"({one.confidence:.2f}{', read back' if one.read_back else ''}); heard "
        + " / ".join(" ".join(word.text for word in stretch) for stretch in one.words)
        for one in sorted(mistakes, key=lambda one: not one.wrong_rating)[:SHOWN]
    ]
    if len(mistakes) > SHOWN:
        by_phrase = Counter(one.phrase.text for one in mistakes).most_common(12)
        often = ", ".join(f"«{text}» {times}" for text, times in by_phrase)
        lines.append(f"- … {len(mistakes)} in all; most often: {often}")
    return "\n".join(lines)


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


def _barge_in(measured: Measured) -> str:
    began = _began(measured)
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


def as_json(measured: Measured) -> dict[str, Any]:
    return {
        "model": measured.model,
        "when": measured.when,
        "machine": measured.machine,
        "voices": list(measured.used),
        "unknown_words": list(measured.unknown),
        "aims": [{"met": met, "what": what} for met, what in _aims(measured)],
        "judging_seconds": measured.unpaced,
        "clock": asdict(measured.clock) if measured.clock else None,
        "steps": [asdict(load) for load in measured.steps],
        "alone": {name: asdict(load) for name, load in measured.alone.items()},
        "held": measured.held,
        "false_starts": [asdict(one) for one in measured.false_starts],
        "interrupted": [asdict(one) for one in measured.interrupted],
        "clips": [_clip(one, measured) for one in measured.judged],
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
