"""The access token: one for all requests, renewed once however many notice that it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from clawd.ids import Clock

EARLY_S: Final = 300.0  # WeChat keeps the old one good for so long beside the new one
MIN_LIFE_S: Final = 60.0  # also of one that claims to be over at once: nobody is asked in a loop


class TokenSource(Protocol):
    """Asks the platform for a token."""

    async def __call__(self, *, force: bool) -> tuple[str, float]:
        """Return token and life in seconds; `force` asks for another one than the platform has given out."""
        ...


class AccessToken:
    """Kept in memory alone."""

    def __init__(self, source: TokenSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: str | None = None
        self._until = 0.0

    async def get(self) -> str:
        """Return a token that should be good; what `source` raises passes through."""
        if self._value is None or self._clock.monotonic() >= self._until:
            async with self._lock:
                if self._value is None or self._clock.monotonic() >= self._until:
                    await self._fetch(force=False)
        return self._good()

    async def renewed(self, bad: str) -> str:
        """Return another token than `bad`, which was refused; only the first of many who ask has it renewed."""
        async with self._lock:
            if self._value == bad:
                await self._fetch(force=False)
                if self._value == bad:
                    await self._fetch(force=True)
        return self._good()

    async def _fetch(self, *, force: bool) -> None:
        value, life_s = await self._source(force=force)
        self._value = value
        self._until = self._clock.monotonic() + max(life_s - EARLY_S, MIN_LIFE_S)

    def _good(self) -> str:
        if self._value is None:
            raise RuntimeError("no token was fetched")
        return self._value
