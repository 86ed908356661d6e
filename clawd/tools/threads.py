"""Threads for tools that block: nobody else waits for them, and one that never ends takes nothing along."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from clawd.errors import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.response import JsonObject
    from clawd.tools.base import ToolContext, ToolResult, ToolSpec

MAX_THREADS: Final = 16
"""At a time, those of calls that nobody waits for any more among them."""


class ToolThreads:
    """Runs calls in threads of their own.

    Not Python's pool: its threads are waited for when the process ends, and names are looked up and files are
    written in it, which a few calls that hang would bring to a stand.
    """

    def __init__(self, most: int = MAX_THREADS) -> None:
        self._most = most
        self._busy = 0

    @property
    def busy(self) -> int:
        """How many calls have not ended."""
        return self._busy

    async def run(self, name: str, work: Callable[[], ToolResult]) -> ToolResult:
        """Return what `work` returns, or raise what it raises; cancelled, let it go on unheard.

        Raises:
            ToolFailed: too many calls have not ended.
        """
        if self._busy >= self._most:
            raise ToolFailed(
                name, "too many calls of tools have not ended yet", why=f"{self._busy} hang or take long"
            )
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[ToolResult] = loop.create_future()

        def tell(result: ToolResult | None, error: Exception | None) -> None:
            self._busy -= 1
            if ended.done():
                return
            if result is not None:
                ended.set_result(result)
            else:
                ended.set_exception(error or ToolFailed(name, "it ended its thread"))

        def body() -> None:
            result: ToolResult | None = None
            failure: Exception | None = None
            try:
                result = work()
            except StopIteration as error:  # no future takes it; a coroutine makes the same of it
                failure = RuntimeError("the tool raised StopIteration")
                failure.__cause__ = error
            except Exception as error:  # noqa: BLE001 - raised by who waits for it
                failure = error
            finally:
                with suppress(RuntimeError):  # the loop is closed: the process ends
                    loop.call_soon_threadsafe(tell, result, failure)

        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(body,), name=f"tool:{name}", daemon=True
        )
        self._busy += 1
        try:
            thread.start()
        except RuntimeError as error:  # the system has none left
            self._busy -= 1
            raise ToolFailed(name, "no thread is to be had for it", why=str(error)) from error
        return await ended


_THREADS: Final = ToolThreads()  # a call that hangs outlives the reload that made its tool


class ThreadedTool(ABC):
    """A `Tool` whose work computes, or waits without letting go; it runs in a thread, and can't be stopped.

    What may have to be stopped belongs into a child process, which a coroutine waits for and ends.
    """

    spec: ToolSpec

    @abstractmethod
    def work(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        """Run once, in a thread; raises as `Tool.call`. The context's clock and history belong to the event loop."""

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        return await _THREADS.run(self.spec.name, partial(self.work, arguments, context))
