"""Questions to the system that may block: asked in a thread, one at a time, and not waited for for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Aside(Generic[T]):
    """One question. While its thread hangs, say in a disk that is gone, no second one is started.

    Args:
        ask: Called in a thread; must not raise.
        limit_s: How long an answer is waited for.
    """

    def __init__(self, ask: Callable[[], T], *, limit_s: float = 1.0) -> None:
        self._ask = ask
        self._limit_s = limit_s
        self._asked: asyncio.Future[T] | None = None

    async def answer(self) -> T | None:
        """Return the answer of now, None when it does not come in time."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(None, self._ask)
        try:
            async with asyncio.timeout(self._limit_s):
                return await asyncio.shield(self._asked)
        except TimeoutError:
            return None
