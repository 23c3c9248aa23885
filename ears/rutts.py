"""ru_tts, a Russian speech synthesiser from Minsk of 1990 (MIT), as a library: two voices joined of pieces people
said.

The wheel `retro-ru-tts` brings it; its own wrapper fails on Python 3.10 and later, so its C interface (`ru_tts.h`)
is called directly.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock

import numpy as np

from ivr.errors import MissingPart
from ivr.speech.pronounce import STRONG, VOWELS, Phones
from ivr.speech.sound import Samples

RATE = 10_000
WOMAN = 4
"""The flag of the other voice."""
NUMBERS = 3
"""Points and commas are both decimal separators, as is usual."""
STRESS = "+"
"""Follows the stressed vowel."""
BUFFER = 8_192

_one_at_a_time = Lock()
_Consumer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


class _Config(ctypes.Structure):
    _fields_ = (
        ("speech_rate", ctypes.c_int),
        ("voice_pitch", ctypes.c_int),
        ("intonation", ctypes.c_int),
        ("gaps", ctypes.c_int * 8),
        ("flags", ctypes.c_int),
    )


def say(text: str, *, woman: bool, speed: int, pitch: int) -> Samples:
    """At RATE. Speed and pitch are percent of its usual ones. Raises MissingPart without its wheel."""
    library, config, spoken = _library(), _Config(), bytearray()
    library.ru_tts_config_init(ctypes.byref(config))
    config.speech_rate, config.voice_pitch = speed, pitch
    config.flags = NUMBERS | (WOMAN if woman else 0)

    def take(sound: int, length: int, _: object) -> int:
        spoken.extend(ctypes.string_at(sound, length))
        return 0

    with _one_at_a_time:
        library.ru_tts_transfer(
            ctypes.byref(config),
            text.encode("koi8-r", "replace"),
            ctypes.create_string_buffer(BUFFER),
            BUFFER,
            _Consumer(take),
            None,
        )
    if not spoken:
        raise MissingPart("the voices of ru_tts", f"they cannot say {text!r}", "see that it is Russian words")
    return np.frombuffer(bytes(spoken), np.int8).astype(np.float32) / np.float32(128)


def accented(said: Mapping[str, Sequence[Phones]]) -> dict[str, str]:
    """The words as ru_tts reads them, their stress marked as their first pronunciation has it."""
    return {word: _accented(word, ways[0]) for word, ways in said.items()}


def _accented(word: str, phones: Phones) -> str:
    letters = [at for at, letter in enumerate(word) if letter in STRONG]
    is_stressed = [phone.isupper() for phone in phones if phone in VOWELS]
    if len(letters) != len(is_stressed) or True not in is_stressed:
        return word
    after = letters[is_stressed.index(True)] + 1
    return word[:after] + STRESS + word[after:]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    found = find_spec("_ru_tts_native")
    if found is None or found.origin is None:
        raise MissingPart("the voices of ru_tts", "retro-ru-tts is not installed", "install the extra `ears`")
    library = ctypes.CDLL(found.origin)
    library.ru_tts_config_init.argtypes = (ctypes.POINTER(_Config),)
    library.ru_tts_transfer.argtypes = (
        ctypes.POINTER(_Config), ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, _Consumer, ctypes.c_void_p,
    )  # fmt: skip
    library.ru_tts_config_init.restype = library.ru_tts_transfer.restype = None
    return library
