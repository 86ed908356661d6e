"""The paths of the OpenAI-compatible endpoints. What answers them is made by the first request.

Who asks REST, a bridge or the terminal needs none of its twenty modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from clawd.gateway.openai import OpenAIDoor

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OpenAIPaths:
    """The routes of a door that is not there yet.

    Args:
        build: Makes it, once; some 10 ms.
    """

    def __init__(self, build: Callable[[], OpenAIDoor]) -> None:
        self._build = build
        self._door: OpenAIDoor | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        not_yet = self._late(lambda door: door.not_yet)
        return [
            web.get("/v1/models", self._late(lambda door: door.models.list_all)),
            web.get("/v1/models/{id:.+}", self._late(lambda door: door.models.show)),
            web.post("/v1/chat/completions", self._late(lambda door: door.chat)),
            web.post("/v1/responses", self._late(lambda door: door.respond)),
            web.get("/v1/responses/{id}", self._late(lambda door: door.kept.show)),
            web.delete("/v1/responses/{id}", self._late(lambda door: door.kept.delete)),
            web.post("/v1/responses/{id}/cancel", self._late(lambda door: door.kept.cancel)),
            *(
                web.route(method, f"/v1/{kind}/{{rest:.+}}", not_yet)
                for kind in ("audio", "images")
                for method in ("GET", "POST")
            ),
        ]

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks of the answers under way."""
        return self._door.tasks() if self._door is not None else frozenset()

    def close(self) -> None:
        """End what is under way; its clients are told."""
        if self._door is not None:
            self._door.close()

    def _late(self, choose: Callable[[OpenAIDoor], Handler]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if self._door is None:
                self._door = self._build()
            return await choose(self._door)(request)

        return answer
