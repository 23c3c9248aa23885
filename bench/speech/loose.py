"""A peer's rule, for comparison: any word within one letter of a rating word is that rating.

So «опять» is a five and a complaint is a compliment.
"""

from __future__ import annotations

import re

FORMS = {
    "1": ("один", "одна", "единица", "единицу", "единичка", "кол"),
    "2": ("два", "две", "двойка", "двойку", "двоечка", "двоечку"),
    "3": ("три", "тройка", "тройку", "троечка", "троечку", "удовлетворительно"),
    "4": ("четыре", "четверка", "четверку", "четверочка", "четверочку", "хорошо"),
    "5": ("пять", "пятерка", "пятерку", "пятерочка", "пятерочку", "отлично"),
}
_RATINGS = {form: rating for rating, forms in FORMS.items() for form in forms}


def rating(text: str) -> str | None:
    """The rating of the first word that is near enough to one."""
    for word in re.findall(r"[а-я]+", text.lower().replace("ё", "е")):
        for form, meant in _RATINGS.items():
            if within_one_letter(word, form):
                return meant
    return None


def within_one_letter(one: str, other: str) -> bool:
    """One letter put in, left out or replaced, at most."""
    if abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    same = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return short[same + (len(short) == len(long)) :] == long[same + 1 :]
