"""Doubles for people who write bridges, models and tools: a clock by hand, a scripted model."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from clawd.errors import ModelError, ModelUnavailable
from clawd.models.base import Completed, ModelResponse, TextDelta, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest

__all__ = ["ManualClock", "ScriptedModel", "Step"]

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


Step = str | ToolCall | ModelError | asyncio.Event
"""One piece of an answer: text, a call, a failure, or something to wait for first."""


class ScriptedModel:
    """A model provider that answers by a script and keeps what it was asked.

    Args:
        script: One entry per request: a step, or a list of them. A text step is one delta. Requests
            beyond the script get "ok" again and again.
        name: Its configured name.
        offers_tools: As in `ManagedProvider`.
    """

    def __init__(self, *script: Step | list[Step], name: str = "scripted", offers_tools: bool = True) -> None:
        self.name = name
        self.model = "script"
        self.place = "in this process"
        self.offers_tools = offers_tools
        self.requests: list[ModelRequest] = []
        self.closed = False
        self._script = deque(script)
        self._asked = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        self._asked.set()
        entry = self._script.popleft() if self._script else "ok"
        text, calls = "", []
        await asyncio.sleep(0)  # no real model answers without letting others run
        for step in entry if isinstance(entry, list) else [entry]:
            match step:
                case str():
                    text += step
                    yield TextDelta(step)
                case ToolCall():
                    calls.append(step)
                case ModelError():
                    raise step
                case asyncio.Event():
                    await step.wait()
        if not text and not calls:
            raise ModelUnavailable(self.name, "the model's answer is empty")
        yield Completed(
            ModelResponse(
                model=self.name,
                text=text,
                tool_calls=tuple(calls),
                finish="tool_calls" if calls else "stop",
                usage=Usage(input_tokens=len(request.messages), output_tokens=len(text.split())),
            )
        )

    async def asked(self, count: int = 1) -> ModelRequest:
        """Return request number `count` as soon as it has come."""
        while len(self.requests) < count:
            self._asked.clear()
            await self._asked.wait()
        return self.requests[count - 1]

    async def probe(self) -> str:
        return f"{self.name} answers by a script"

    async def close(self) -> None:
        self.closed = True
