"""Who rings for the campaign in tests: keeps whom it was told to ring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from robocalls.nouns import Job, Load


class FakeRobot:
    """`robocalls.nouns.Robot`: the exchange is idle, every order is carried out."""

    def __init__(self, name: str = "dozvon", carries: int = 100) -> None:
        self.name, self.carries = name, carries
        self.rung: list[Job] = []
        self.place_by: datetime | None = None
        self.on_the_line: set[str] = set()
        self.waiting = 0
        self.others = 0
        """Calls from and to outside that are not the robot's."""
        self.robots = 0
        self.fails: Exception | None = None
        """What asking for the load raises."""
        self.refuses: Exception | None = None
        """What ringing raises."""
        self.watch: Callable[[Job], Awaitable[None]] | None = None
        """Awaited when an order comes, before it is carried out."""

    def is_on_the_line(self, phone: str) -> bool:
        return phone in self.on_the_line

    async def load(self) -> Load:
        if self.fails is not None:
            raise self.fails
        return Load(waiting=self.waiting, channels=self.others + self.robots, robots=self.robots)

    async def ring(self, job: Job, place_by: datetime) -> None:
        if self.watch is not None:
            await self.watch(job)
        if self.refuses is not None:
            raise self.refuses
        self.rung.append(job)
        self.place_by = place_by
