"""A line to one person: what a conversation may do with it.

The real one speaks AGI (`ivr.asterisk.line`), the fake one follows a script (`tests.fakes`); one contract
suite runs against both. `HungUp` may rise at any await; silence is an answer (`None`).
"""

from __future__ import annotations

from typing import Any, Protocol

from ivr.call import Kind
from ivr.heard import Answer, Comment, Question


class Line(Protocol):
    """One person on the phone. Prompts are named as the phrasebook names them."""

    async def answer(self) -> None:
        """Go off hook."""

    async def say(self, *prompts: str, whole: bool = False) -> None:
        """Play the prompts in order. A key pressed meanwhile ends them and waits for the next `ask`.

        With `whole` they are heard to the end whatever is pressed (what the law wants said); the key still
        waits. While a key waits, prompts that are not `whole` are passed over: who knows the way walks fast.
        """

    async def ask(self, *prompts: str, wait: float) -> str | None:
        """Play the prompts and take one key, pressed before, during, or up to `wait` seconds after them.

        Returns the key (`0`-`9`, `*`, `#`), or None for silence.
        """

    def note(self, kind: Kind, **detail: Any) -> None:
        """Write into the call's timeline what the conversation made of it."""


class ListeningLine(Protocol):
    """A person on the phone whom we hear while we speak (`ivr.asterisk.listening`).

    What is said or pressed during a prompt ends it, and is the answer to the next question: that is barge-in.
    """

    @property
    def hears(self) -> bool:
        """Are there ears? Without them only keys are answers."""

    async def say(self, *prompts: str, barge_in: bool = True) -> None:
        """Play the prompts in order. Speech or a key ends them; without `barge_in` neither does.

        A key pressed meanwhile waits for the next question either way; speech only with `barge_in`.
        """

    async def ask(self, *prompts: str, question: Question, wait: float, barge_in: bool = True) -> Answer:
        """Play the prompts and return the first answer: begun before, during, or up to `wait` seconds after them.

        Raises HungUp.
        """

    async def record(self, *prompts: str, wait: float, at_most: float) -> Comment | None:
        """Play the prompts and the tone, then keep what is said: to the key #, to `wait` seconds of silence, or to
        `at_most` seconds. None when nothing was. A hang-up keeps what was said, and raises HungUp."""

    def note(self, kind: Kind, **detail: Any) -> None:
        """Write into the call's timeline what the conversation made of it."""
