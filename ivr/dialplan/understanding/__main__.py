"""Try the words out: `python -m ivr.dialplan.understanding "три… нет, четыре" "[unk] пять"`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ivr.dialplan.understanding.meaning import Meaning, Rating, Unsure, Wish
from ivr.dialplan.understanding.pack import HERE, QUESTIONS, Pack
from ivr.errors import DialplanError
from ivr.heard import Heard, Word


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ivr.dialplan.understanding", description="What the robot makes of a sentence."
    )
    parser.add_argument("sentence", nargs="+", help='in quotes; "[unk]" is a word it does not know')
    parser.add_argument("--asked", choices=QUESTIONS, default="rating", help="which question it answers")
    parser.add_argument("--language", default="ru")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the words are")
    options = parser.parse_args(arguments)
    try:
        pack = Pack.read(options.language, options.folder)
    except DialplanError as error:
        print(error, file=sys.stderr)
        return 1
    for sentence in options.sentence:
        heard = Heard(tuple(Word(word, 1.0) for word in re.findall(r"\[unk\]|[\w'-]+", sentence.lower())))
        print(f"{sentence}: {_said(pack.understand(heard, options.asked))}")
    return 0


def _said(meaning: Meaning) -> str:
    match meaning:
        case Rating(value, also=also):
            return f"{value}, and {also}" if also else str(value)
        case Wish(intent):
            return str(intent)
        case Unsure(why):
            return f"unsure: {why}"


if __name__ == "__main__":
    sys.exit(main())
