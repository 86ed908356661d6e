"""A token that a service gives out for a while: fetched by one, whoever asks for it meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.ids import Clock

_EARLY_S: Final = 60.0  # before its end another one is asked for
_LEAST_S: Final = 30.0  # also of one that is said to be over at once: nobody is asked in a loop


class AccessToken:
    """Kept in memory alone.

    Args:
        fetch: Returns a token and its life in seconds; what it raises passes through.
        clock: Measures that life.
    """

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, float]]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: str | None = None
        self._until = 0.0

    async def get(self, *, bad: str | None = None) -> str:
        """Return a token that should be good, and is not `bad`, which the service has just refused."""
        async with self._lock:
            if self._value is None or self._value == bad or self._clock.monotonic() >= self._until:
                self._value, life_s = await self._fetch()
                self._until = self._clock.monotonic() + max(life_s - _EARLY_S, _LEAST_S)
            return self._value
