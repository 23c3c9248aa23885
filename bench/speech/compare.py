"""Several models side by side, on the same clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.speech.clips import NONE, RATINGS
from bench.speech.hearing import Judged
from bench.speech.judge import Share, non_answers, ratings
from bench.speech.measured import Measured, is_a_persons, is_accepted, is_lie, is_unsure, is_wrong, within
from bench.speech.reliability import Claim, answers, bins, expected_error, uncalibrated, words
from bench.speech.spoil import CONDITIONS


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_condition(models: Sequence[Measured]) -> str:
    """Of **all** ratings and wishes, also in words a model does not know: it is asked the same as the others."""
    rows = []
    for name in dict.fromkeys(map(str, CONDITIONS)):
        rows += _rows(name, [(one.model, within(one.judged, name)) for one in models])
    rows += _rows("a person", [(one.model, [*filter(is_a_persons, one.judged)]) for one in models])
    rows += _rows("**all**", [(one.model, one.judged) for one in models])
    head = ("", "model", "ratings", "accepted", "unsure", "wrong", "wishes", "understood", "non-answers",
            "false accepts", "all wrong")  # fmt: skip
    return table(head, rows)


def _rows(name: str, heard: Sequence[tuple[str, Sequence[Judged]]]) -> list[tuple[str, ...]]:
    return [
        (name if number == 0 else "", model, *_shares(judged))
        for number, (model, judged) in enumerate(heard)
        if judged
    ]


def _shares(judged: Sequence[Judged]) -> tuple[str, ...]:
    rated, others = ratings(judged), non_answers(judged)
    wishes = [one for one in judged if one.phrase.means not in {*RATINGS, NONE}]
    return (
        str(len(rated)),
        *(str(Share.of(rated, holds)) for holds in (is_accepted, is_unsure, is_wrong)),
        str(len(wishes)),
        str(Share.of(wishes, is_accepted)),
        str(len(others)),
        str(sum(map(is_lie, others))),
        str(Share.of(judged, is_wrong)),
    )


def streams(models: Sequence[Measured]) -> str:
    rows = [
        (
            one.model, f"{one.size:.1f} MB", f"{found.what}, {100 * found.speech:.0f} % speech", str(found.held),
            f"{100 * found.cost:.2f} %", f"{found.memory:.2f} MB", f"{found.best.memory:.0f} MB",
            f"{100 * found.floor.processor:.2f} %",
        )
        for one in models
        for found in one.streams
    ]  # fmt: skip
    head = ("model", "on disk", "fed", "hold real time", "of a core a stream", "memory a stream", "the whole process",
            "the floor")  # fmt: skip
    return table(head, rows)


def reliability(models: Sequence[Measured]) -> str:
    return "\n\n".join(part for one in models for part in _reliability(one))


def _reliability(measured: Measured) -> list[str]:
    heard = words(measured.judged)
    lines = {"words": heard, "whole answers": answers(measured.judged)}
    if (calibration := measured.calibration) is not None:
        lines = {"words, raw": uncalibrated(heard, calibration), "words, calibrated": heard} | lines
        del lines["words"]
    head = (f"{measured.model}: confidence", *(bin.name for bin in bins(())), "expected error")
    return [table(head, [(what, *_claims(claims)) for what, claims in lines.items()])]


def _claims(claims: Sequence[Claim]) -> list[str]:
    """Right of so many, and what the confidence promised."""
    cells = [
        f"{100 * one.right:.1f} % of {len(one.claims)} ({100 * one.confidence:.1f})" if one.claims else "–"
        for one in bins(claims)
    ]
    return [*cells, f"{100 * expected_error(claims):.1f} %" if claims else "–"]
