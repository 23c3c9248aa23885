"""What a heard phrase means: a rating, a wish, or that it is not sure. The words are data: `ru.toml`, `en.toml`."""

from __future__ import annotations

from ivr.dialplan.understanding.meaning import READ_BACK, Intent, Meaning, Rating, Unsure, Why, Wish
from ivr.dialplan.understanding.pack import Pack

__all__ = ["READ_BACK", "Intent", "Meaning", "Pack", "Rating", "Unsure", "Why", "Wish"]
