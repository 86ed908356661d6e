"""Doubles for people who write bridges, models and tools: a clock by hand, a scripted model."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

__all__ = ["ManualClock"]

_SETTLE_ROUNDS = 20  # loop iterations that a woken task gets before the clock moves on


class ManualClock:
    """A `Clock` that stands still until a test moves it; wall and monotonic time move together."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wake))
        self._changed.set()
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock now."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def sleeping(self, count: int = 1) -> None:
        """Return as soon as at least `count` tasks sleep on this clock."""
        while self.sleepers < count:
            self._changed.clear()
            await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Move both times on and wake, in order, who sleeps until then; each runs before the next wakes."""
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, wake = heapq.heappop(self._sleepers)
            if wake.done():  # cancelled
                continue
            self._move_to(at)
            wake.set_result(None)
            await self._settle()
        self._move_to(target)
        await self._settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back, as an administrator does: durations stay untouched."""
        self._now += timedelta(seconds=seconds)

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic

    async def _settle(self) -> None:
        for _ in range(_SETTLE_ROUNDS):
            await asyncio.sleep(0)
