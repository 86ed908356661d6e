"""Wake-ups: a commit tells the one task that waits for it."""

from __future__ import annotations

import asyncio


class Wake:
    """A wake-up for one waiting task: `set` from anywhere in the loop, `wait` clears it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiters = 0

    @property
    def idle(self) -> bool:
        """Whether somebody waits and nothing has woken them."""
        return self._waiters > 0 and not self._event.is_set()

    def set(self) -> None:
        """Wake the waiter now, or let its next wait return at once."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when woken, False when `timeout_s` passed first."""
        self._waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiters -= 1
        self._event.clear()
        return True
