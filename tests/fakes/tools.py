"""Tools for tests of the agent loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from clawd.response import ToolCall
from clawd.tools.base import Consent, ToolResult, ToolSpec

if TYPE_CHECKING:
    from clawd.response import Effect, JsonObject
    from clawd.tools.base import ToolContext


class ScriptedTool:
    """A tool that keeps its calls; each one waits for its event, raises its error, or returns its text."""

    def __init__(
        self, *script: str | Exception | asyncio.Event, name: str = "act", effect: Effect = "once"
    ) -> None:
        self.spec = ToolSpec(
            name=name, description="Does it.", parameters={"type": "object"}, effect=effect, timeout_s=10
        )
        self.calls: list[ToolContext] = []
        self.cancelled = 0
        self.stubborn: Exception | None = None  # raised in place of the cancellation
        self._script = list(script)
        self._called = asyncio.Event()

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        self.calls.append(context)
        self._called.set()
        step = self._script.pop(0) if self._script else "done"
        if isinstance(step, Exception):
            raise step
        if isinstance(step, asyncio.Event):
            await self._wait(step)
            step = "done"
        return ToolResult(step)

    async def _wait(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.stubborn is not None:
                raise self.stubborn from None
            raise

    async def called(self, count: int = 1) -> ToolContext:
        """Return call number `count` as soon as it has begun."""
        async with asyncio.timeout(30):
            while len(self.calls) < count:
                self._called.clear()
                await self._called.wait()
        return self.calls[count - 1]


class AskingTool(ScriptedTool):
    """A tool whose calls want a person's word: its subject is the raw line that it is asked to act on."""

    def consent(self, arguments: JsonObject) -> Consent:
        return Consent(verdict="ask", subject=str(arguments.get("line", "it")))


def call(name: str = "act", arguments: str = "{}", id: str = "call-1") -> ToolCall:  # noqa: A002 - the field's name
    """Return what a model asks for."""
    return ToolCall(id=id, name=name, arguments=arguments)
