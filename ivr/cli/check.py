"""`dozvon check`: settings, rules, phrases, limits and the robot's ears, without starting anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from callback import rules as chase
from ivr.dialplan import rules
from ivr.dialplan.understanding import Pack
from ivr.lexicon import Additions, with_words_of, words_file
from ivr.settings import Settings
from ivr.speech.ears import RATE, Recogniser, Vosk, calls_at_once, open_ears, self_test
from ivr.speech.models import Choice, choose_model, licence, native_rate
from ivr.speech.phrasebook import Phrasebook
from ivr.speech.pronounce import Phones
from ivr.speech.words import read_words
from ivr.voices import voice
from robocalls import rules as survey_rules
from tickets import limits

NO_TRUNK = (
    "no trunk (see DOZVON_DIAL_OUT); under make run, through the softphone that is logged in as resident"
)
SOME = 24
"""Words shown of many."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--words", action="store_true", help="every word that the ears do not know")


async def check(options: argparse.Namespace, settings: Settings) -> int:
    law = limits.read()
    ladder = chase.read(settings.chase).ladder
    read = rules.read(settings.dialplan)
    phrases = Phrasebook.read(settings.dialplan / "phrases" / f"{settings.language}.toml")
    problems = [*phrases.unknown(sorted(read.prompts())), *rules.unknown_categories(read, law.categories)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(
            f"good: {len(read.menus)} menus, {len(read.ways)} ways to the queue, {len(phrases.phrases)} phrases, "
            f"{len(law.clocks)} clocks, {len(ladder)} steps of the chase"
        )
        print(f"residents are called back through {settings.outbound or NO_TRUNK}")
        await _check_robot(settings, options.words)
    return 1 if problems else 0


async def _check_robot(settings: Settings, all_words: bool) -> None:
    """Whom the robot may ring, and what it understands."""
    rules, pack = survey_rules.read(settings.surveys), Pack.read(settings.language, settings.understanding)
    print(f"after a job residents are asked by the robot, {len(rules.ladder)} steps of tries")
    choice = choose_model(settings)
    if choice.folder is None:
        print(f"the robot has no ears, it asks for keys: {choice.why}")
    else:
        own = read_words(words_file(settings))
        folder, additions = with_words_of(choice.folder, pack.words(), settings, own)
        ears = open_ears(folder)
        print(f"the robot hears with {choice.folder}: {choice.why}")
        for fact in _about(choice.folder, ears, pack):
            print(f"  {fact}")
        _say_additions(additions)
        _say_words(ears, pack, all_words)
        await _try(ears, settings)
        ears.close()
    _say_others(choice)


def _about(model: Path, ears: Vosk, pack: Pack) -> Iterator[str]:
    """What to know of a model."""
    own = native_rate(model)
    if own == RATE:
        yield f"native {own} Hz, the line's own"
    else:
        by = "by itself" if ears.rate == RATE else "for it"
        yield f"native {own} Hz, the line's {RATE} Hz is resampled {by}"
    if ears.calibration is None:
        yield "not calibrated, its confidences are taken as they are"
    else:
        yield f"calibrated on {ears.calibration.made_on or 'nobody says what'}"
        limits, most = pack.thresholds["rating"], ears.calibration.of(1.0)
        if most < limits.sure:
            is_yes_heard = most >= pack.thresholds["yes_no"].enough
            then = "read back" if is_yes_heard else "read back, and no «да» is sure enough to confirm it"
            yield f"{most:.0%} is the surest it can be: every rating is {then}, see questions/rating.toml"
    if not ears.knows_lengths:
        yield "it does not tell how long a word was: no breath beside a rating is forgiven"
    yield f"licence: {licence(model) or 'its folder says nothing'}"


def _say_words(ears: Recogniser, pack: Pack, all_words: bool) -> None:
    listened_for, missing = pack.words(), ears.missing(pack.words())
    known = len(listened_for) - len(missing)
    print(f"  it knows {known} of the {len(listened_for)} words that are listened for")
    if missing:
        shown = missing if all_words else missing[:SOME]
        more = f" … and {len(missing) - SOME} more, see --words" if len(shown) < len(missing) else ""
        print(f"  words it does not know, and takes for other speech: {', '.join(shown)}{more}")


def _say_additions(additions: Additions) -> None:
    for word, ways in additions.said.items():
        print(f"  added to it: {word} {in_phones(ways)}")
    for warning in additions.warnings():
        print(f"  warning: {warning}")
    if additions.why:
        print(f"  not added to it: {', '.join(additions.unheard)}: {additions.why}")


def in_phones(ways: Iterable[Phones]) -> str:
    """As `ears/words.txt` takes them."""
    return ", ".join(f"[{' '.join(way)}]" for way in ways)


async def _try(ears: Recogniser, settings: Settings) -> None:
    if (speaks := await voice(settings)) is None:
        return
    trial = await self_test(ears, speaks)
    pairs = zip(trial.said, trial.understood, strict=True)
    print("  tried: " + "; ".join(f"said «{said}», understood «{understood}»" for said, understood in pairs))
    print(f"  it can follow {calls_at_once(trial.factor)} calls at once")


def _say_others(choice: Choice) -> None:
    for folder, why in choice.others:
        print(f"  not with {folder}: {why}")
