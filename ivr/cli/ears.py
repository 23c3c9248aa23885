"""`dozvon ears …`: words for the robot's ears, added by hand; nothing is learned anew."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ivr.cli.check import in_phones
from ivr.dialplan.understanding import Pack
from ivr.errors import DialplanError, MissingPart, Refused, did_you_mean
from ivr.lexicon import Additions, additions_to, extend, words_file
from ivr.settings import Settings
from ivr.speech.ears import RATE, from_alaw, open_ears
from ivr.speech.models import OTHER_WAYS, choose_model
from ivr.speech.sound import as_alaw, as_pcm, as_prompt
from ivr.speech.voice import Voice, at_rate
from ivr.speech.words import WHAT, Ways, drop_words, put_words, read_words, word_of
from ivr.voices import voice

WORD = "домофон, or 'вайфай: вай фа́й, вифи́' where it is said otherwise than it is written"


def arguments(parser: argparse.ArgumentParser) -> None:
    moves = parser.add_subparsers(dest="move", required=True, metavar="MOVE")
    add = moves.add_parser("add", help="the model knows it from the next start of the hotline on")
    add.add_argument("words", nargs="+", metavar="WORD", help=WORD)
    remove = moves.add_parser("remove", help="take words back that were added by hand")
    remove.add_argument("words", nargs="+", metavar="WORD")
    moves.add_parser("list", help="what was added: by hand, and because it is listened for")
    say = moves.add_parser("say", help="how a word is said and what sounds like it; nothing is added")
    say.add_argument("words", nargs="+", metavar="WORD", help=WORD)


async def ears(options: argparse.Namespace, settings: Settings) -> int:
    file = words_file(settings)
    own = read_words(file)
    match options.move:
        case "add":
            await _add(_asked(options.words), own, file, settings)
        case "remove":
            _remove([word.lower() for word in options.words], own, file)
        case "say":
            _say(_asked(options.words), settings)
        case _:
            _list(own, file, settings)
    return 0


async def _add(asked: Mapping[str, Ways], own: Mapping[str, Ways], file: Path, settings: Settings) -> None:
    model, pack = _model(settings), Pack.read(settings.language, settings.understanding)
    additions = additions_to(model, pack.words(), settings, {**own, **asked})
    if additions.why and not asked.keys().isdisjoint(additions.unheard):
        raise additions.why
    began = time.monotonic()
    folder = await asyncio.to_thread(extend, model, additions, settings)
    fresh = {word: ways for word, ways in asked.items() if word in additions.said}
    for word in asked:
        print(f"{word} {_shown(additions, word)}")
    for warning in additions.warnings(fresh):
        print(f"warning: {warning}")
    if not fresh:
        return
    put_words(file, fresh)
    print(f"{file}: {len(fresh)} added; the model was made anew in {time.monotonic() - began:.1f} s")
    if (speaker := await voice(settings)) is not None:
        await _try(folder, fresh, pack.question("rating").phrases, speaker)
    print(
        "the hotline knows them from its next start on; to be listened for they must be in its vocabulary, too"
    )


async def _try(folder: Path, words: Iterable[str], phrases: Sequence[str], speaker: Voice) -> None:
    """Let the hotline's voice say them through a telephone, and hear them among all that is listened for."""
    hears = await asyncio.to_thread(open_ears, folder)
    try:
        for word in words:
            sound = as_prompt(at_rate(await speaker.speak(word), RATE))
            hearing = hears.listen((*phrases, word))
            await hearing.feed(from_alaw(as_alaw(as_pcm(sound.samples))))
            heard = " ".join(one.text for one in await hearing.finish())
            print(f"tried: said «{word}», understood «{heard}»")
    finally:
        hears.close()


def _remove(words: Sequence[str], own: Mapping[str, Ways], file: Path) -> None:
    for word in words:
        if word not in own:
            raise Refused(f"{word!r} is not in {file}{did_you_mean(word, own)}")
    drop_words(file, words)
    print(f"{file}: {len(words)} removed; the hotline forgets them with its next start")


def _say(asked: Mapping[str, Ways], settings: Settings) -> None:
    additions = additions_to(_model(settings), (), settings, asked)
    if additions.why and not asked.keys().isdisjoint(additions.unheard):
        raise additions.why
    warned = {word: list(additions.warnings([word])) for word in asked}
    for word, warnings in warned.items():
        print(f"{word} {_shown(additions, word)}")
        for warning in warnings or ["nothing that the model knows sounds like it"]:
            print(f"  {warning}")


def _list(own: Mapping[str, Ways], file: Path, settings: Settings) -> None:
    pack = Pack.read(settings.language, settings.understanding)
    additions = additions_to(_model(settings), pack.words(), settings, own)
    for word in sorted({*own, *additions.said}):
        why = file.name if word in own else "it is listened for"
        print(f"{word} {_shown(additions, word)}  {why}")
    if not (own or additions.said):
        print("nothing was added; dozvon ears add WORD")
    if additions.why:
        raise additions.why


def _shown(additions: Additions, word: str) -> str:
    """How it is said; what the model knew already is told so."""
    if word in additions.said:
        return in_phones(additions.said[word])
    if word in additions.unheard:
        return "is not heard"
    lexicon = additions.lexicon
    return f"{in_phones(lexicon.words[lexicon.alike.get(word, word)])}, known already"


def _asked(texts: Iterable[str]) -> dict[str, Ways]:
    """Raises DialplanError naming all that are no words."""
    asked: dict[str, Ways] = {}
    wrong = []
    for text in texts:
        try:
            word, ways = word_of(text)
        except ValueError as error:
            wrong.append(str(error))
            continue
        if word in asked:
            wrong.append(f"{word!r} is named twice: '{word}: so, or so' is both")
        asked[word] = ways
    if wrong:
        raise DialplanError(WHAT, wrong)
    return asked


def _model(settings: Settings) -> Path:
    choice = choose_model(settings)
    if choice.folder is None:
        raise MissingPart("the ears", choice.why, OTHER_WAYS)
    return choice.folder
