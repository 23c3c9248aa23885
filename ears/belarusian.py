"""Belarusian words in Russian letters, so that they are read as they are said: what somebody recorded in that
language teaches the sounds of Russian, too.

It is written much as it sounds, unstressed vowels among it, and has the same hard and soft consonants. What differs
(a soft «ц» for «т», a hard «р», the «г» of the south) is how some people speak Russian.
"""

from __future__ import annotations

import re

from ivr.speech.pronounce import ACCENT

AS_RUSSIAN = str.maketrans({"і": "и", "ў": "у", "'": "ъ", "’": "ъ", "ʼ": "ъ"})
SOFTENED = ((r"дз(?=[еёіюяь])", "д"), (r"ц(?=[еёіюяь])", "т"), (r"шч", "щ"))
"""Where Russian has a soft д, a soft т, or щ."""
ALWAYS_STRESSED = re.compile(r"[оё](?!.*[оё])")
"""Without stress it would be written «а» or «я»; of several, as in compounds, the last."""
UNREADABLE = re.compile(r"[бвгдзклмнпрстфх]э")
"""espeak-ng 1.52 leaves out many an «э» after a hard consonant, which Russian seldom has."""


def is_readable(text: str) -> bool:
    return not UNREADABLE.search(text.lower())


def respelled(text: str) -> str:
    """A text of small or large letters; an accent follows each stressed vowel that is known.

    >>> respelled("малако")
    'малако́'
    """
    return re.sub(r"[а-яёіў'’ʼ-]+", lambda word: _word(word[0]), text.lower())


def _word(word: str) -> str:
    for written, said in SOFTENED:
        word = re.sub(written, said, word)
    return ALWAYS_STRESSED.sub(lambda vowel: vowel[0] + ACCENT, word.translate(AS_RUSSIAN))
