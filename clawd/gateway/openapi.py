"""`GET /openapi.json`: the gateway described for programs.

Readable without a token: it is the same in every installation of a version, and says nothing of this one.
"""

from __future__ import annotations

import asyncio
from importlib import metadata

from aiohttp import web


class Description:
    """Answers with the description; it is made when somebody asks for the first time."""

    def __init__(self) -> None:
        self._body: bytes | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.get("/openapi.json", self.show)]

    async def show(self, _request: web.Request) -> web.Response:
        """Answer with all of it."""
        if self._body is None:
            self._body = await asyncio.to_thread(_made)
        return web.Response(body=self._body, content_type="application/json", charset="utf-8")


def _made() -> bytes:
    import json

    from clawd.gateway.openapi_document import document

    return json.dumps(document(metadata.version("clawd-agent")), ensure_ascii=False).encode()
