"""A server on loopback whose calls are effects: it remembers each, and answers with a receipt that is unique."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One call as it came."""

    path: str
    tool: str
    key: str
    arguments: dict[str, Any]
    receipt: str


class FakeEffects:
    """The server. The effect happens when the call arrives, however late it is answered."""

    def __init__(self, *, delay_s: float = 0.0, on_effect: Callable[[Effect], None] | None = None) -> None:
        self.effects: list[Effect] = []
        self.delay_s = delay_s
        self.released = asyncio.Event()  # cleared, answers wait for it
        self.released.set()
        self._on_effect = on_effect
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What is called, with any path behind it."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._act)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.json()
        effect = Effect(
            path=request.path,
            tool=body["tool"],
            key=body["key"],
            arguments=body["arguments"],
            receipt=f"rcp{len(self.effects)}x",
        )
        self.effects.append(effect)
        if self._on_effect is not None:
            self._on_effect(effect)
        await asyncio.sleep(self.delay_s)
        await self.released.wait()
        return web.Response(text=effect.receipt)
