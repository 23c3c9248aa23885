"""Russian words in Ukrainian letters, so that voices who speak Ukrainian say them.

Each phone is written with the letter that a Ukrainian reads so; what comes of it is Russian with their accent. An
accent on the stressed vowel is understood (RHVoice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ivr.speech.pronounce import ACCENT, VOWELS, Phones

LETTERS = dict(
    zip(
        "b d f g k l m n p r s t v x z S S; tS; ts Z j".split(),  # noqa: SIM905
        "б д ф ґ к л м н п р с т в х з ш ш ч ц ж й".split(),  # noqa: SIM905
        strict=True,
    )
)
HARD = dict(zip("AOEIYUa@eiyu", "аоеіиуааеіиу", strict=True))
SOFT = HARD | dict(zip("AOEUa@eu", ("я", "ьо", "є", "ю", "я", "я", "є", "ю"), strict=True))
"""After a soft consonant."""
GLIDING = {vowel: letter if letter == "і" else f"і{letter}" for vowel, letter in HARD.items()}
"""After a soft consonant of the lips: «пять» written so has a hard п in Ukrainian, «піать» comes near it."""
IOTATED = HARD | dict(zip("AOEIUa@eiu", ("я", "йо", "є", "ї", "ю", "я", "я", "є", "ї", "ю"), strict=True))
LIPS = frozenset({"p;", "b;", "m;", "f;", "v;"})
SOFT_SIGN = frozenset({"d;", "t;", "z;", "s;", "l;", "n;", "r;"})
"""What it may follow where no vowel does."""


def spelled(said: Mapping[str, Sequence[Phones]]) -> dict[str, str]:
    """The words as a Ukrainian voice reads them, by their first pronunciation."""
    return {word: in_letters(ways[0]) for word, ways in said.items()}


def in_letters(phones: Phones) -> str:
    """One word.

    >>> in_letters(("p;", "A", "t;"))
    'піа́ть'
    """
    written = []
    for before, phone, after in zip(("", *phones), phones, (*phones[1:], ""), strict=False):
        if phone in VOWELS:
            written.append(_vowels_after(before)[phone] + ACCENT * phone.isupper())
        elif phone == "j" and after in VOWELS:
            written.append("" if before in {"", *VOWELS} else "ь" if before in SOFT_SIGN else "'")
        else:
            softened = phone in SOFT_SIGN and after not in {*VOWELS, "j"}
            written.append((LETTERS.get(phone) or LETTERS[phone[0]]) + "ь" * softened)
    return "".join(written)


def _vowels_after(before: str) -> Mapping[str, str]:
    if before == "j":
        return IOTATED
    if before in LIPS:
        return GLIDING
    return SOFT if before.endswith(";") else HARD
