"""`GET /metrics`: for Prometheus."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.config.checks import is_loopback
from clawd.observability.metrics import CONTENT_TYPE, Exposition, prepare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clawd.gateway.auth import TokenStore
    from clawd.ids import Clock
    from clawd.observability.metrics import Family

    ReadMetrics = Callable[[], Awaitable[Sequence[Family]]]

FRESH_S: Final = 1.0
"""So old may be what a scrape is told: all that come in between share one reading."""

_PASSED_ON: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers of a request that came through a reverse proxy: who asks is not of this host."""


class MetricsPage:
    """Open to this host when the gateway listens on loopback alone; else for tokens with the scope `metrics`.

    Args:
        read: Returns what is to be shown.
        tokens: Who may come in from elsewhere.
        host: What the gateway is bound to.
        clock: Tells how old a reading is.
    """

    def __init__(self, read: ReadMetrics, tokens: TokenStore, host: str, clock: Clock) -> None:
        self._read = read
        self._tokens = tokens
        self._clock = clock
        self._reading = asyncio.Lock()
        self._text = b""
        self._until = -math.inf  # as long the text is fresh
        self._open = is_loopback(host)
        self._exposition: Exposition | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.get("/metrics", self.metrics)]

    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics in Prometheus' text format, whatever the request accepts."""
        if not (self._open and _is_direct(request)):
            self._tokens.require(request.headers, "metrics")
        return web.Response(body=await self._fresh(), headers={"Content-Type": CONTENT_TYPE})

    async def _fresh(self) -> bytes:
        """Return the text, read anew where it is too old; who comes meanwhile waits for that reading."""
        async with self._reading:
            if self._clock.monotonic() >= self._until:
                if self._exposition is None:
                    await asyncio.to_thread(prepare)
                    self._exposition = Exposition()
                self._text = self._exposition.text(await self._read())
                self._until = self._clock.monotonic() + FRESH_S
            return self._text


def _is_direct(request: web.Request) -> bool:
    """Whether nothing says that a reverse proxy stands between: no header of one, and no name but this host's."""
    return is_loopback(request.url.host or "") and not any(name in request.headers for name in _PASSED_ON)
