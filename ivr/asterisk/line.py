"""The real line: a conversation's words as AGI commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ivr.asterisk.agi import Session
from ivr.asterisk.cel import key_of
from ivr.call import Fact, Kind

ALL_KEYS = "0123456789*#"
LONGEST_PROMPT = 300.0
"""Seconds; a reply that takes longer is a dead peer."""


class AgiLine:
    """`ivr.line.Line` over one AGI session."""

    def __init__(
        self,
        session: Session,
        prompts: Mapping[str, Path],
        take: Callable[[Fact], None],
        now: Callable[[], datetime],
    ) -> None:
        """`prompts` names the sound files (without extension), `take` receives the call's facts."""
        self._session = session
        self._prompts = prompts
        self._take, self._now = take, now
        self._key: str | None = None
        self._notes = 0

    async def answer(self) -> None:
        """Told by the key of Asterisk's own account, whose stamp may be late: later than the first prompt's."""
        await self._session.command("ANSWER")
        channel = self._session.channel
        self._take(Fact(channel, self._now(), Kind.PICKED_UP, key_of(Kind.PICKED_UP, channel)))

    async def say(self, *prompts: str, whole: bool = False) -> None:
        for prompt in prompts:
            if self._key is None or whole:
                await self._play(prompt, whole)

    async def ask(self, *prompts: str, wait: float) -> str | None:
        for prompt in prompts:
            if self._key is None:
                await self._play(prompt, whole=False, menu=True)
        if self._key is None:
            reply = await self._session.command("WAIT FOR DIGIT", int(wait * 1000), lasts=wait)
            self._press(reply.result)
        key, self._key = self._key, None
        return key

    def note(self, kind: Kind, **detail: Any) -> None:
        self._notes += 1
        key = f"{self._session.script}/{self._notes}"
        self._take(Fact(self._session.channel, self._now(), kind, key, "resident", detail))

    async def _play(self, prompt: str, whole: bool, menu: bool = False) -> None:
        self.note(Kind.PROMPT, prompt=prompt, **({"menu": True} if menu else {}))
        path, position = str(self._prompts[prompt]), 0
        while True:
            reply = await self._session.command("STREAM FILE", path, ALL_KEYS, position, lasts=LONGEST_PROMPT)
            if not reply.result:
                return
            self._press(reply.result)
            if not whole or reply.endpos <= position:
                return
            position = reply.endpos  # the rest of what must be heard

    def _press(self, digit: int) -> None:
        if digit > 0:
            self.note(Kind.KEY, key=chr(digit))
            self._key = self._key or chr(digit)

    async def send_to(self, **variables: str | int) -> None:
        """Leave the channel's variables for the dialplan, in one command."""
        pairs = ",".join(f"{name}={value}" for name, value in variables.items())
        await self._session.command("EXEC", "MSet", pairs)
