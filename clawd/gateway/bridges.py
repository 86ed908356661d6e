"""Mounts the bridges whose platforms call us at `/bridges/NAME`: bytes in, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from clawd.bridge import HttpRequest
from clawd.gateway.bodies import BODY_TIMEOUT_S, read_body
from clawd.gateway.problems import RequestRefused
from clawd.gateway.proxies import CALLER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clawd.bridge import HttpBridge, Inbox


class BridgeMounts:
    """Hands requests to the bridges that run now; a bridge checks its own signatures."""

    def __init__(
        self,
        bridges: Callable[[], Mapping[str, HttpBridge]],
        inbox: Inbox,
        *,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._bridges = bridges
        self._inbox = inbox
        self._body_timeout_s = body_timeout_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.route(method, "/bridges/{name}", self.handle) for method in ("GET", "POST")]

    async def handle(self, request: web.Request) -> web.Response:
        """Answer with what the bridge answers."""
        bridge = self._bridges().get(request.match_info["name"])
        if bridge is None:
            raise RequestRefused(404, "there is nothing at this path", close=True)
        body = await read_body(request, bridge.max_body_bytes, timeout_s=self._body_timeout_s)
        reply = await bridge.handle(http_request(request, body), self._inbox)
        headers = [*reply.headers, ("Content-Type", reply.content_type)]
        return web.Response(status=reply.status, body=reply.body, headers=headers)


def http_request(request: web.Request, body: bytes) -> HttpRequest:
    """Return the request as a bridge sees it."""
    # Asked by name: whether iterating yields a repeated name twice depends on multidict's version.
    values = {name.lower(): request.headers.getall(name) for name in request.headers}
    return HttpRequest(
        method=request.method,
        headers={name: ", ".join(found) for name, found in values.items()},
        repeated=frozenset(name for name, found in values.items() if len(found) > 1),
        query=dict(request.query),
        body=body,
        remote=request[CALLER].address if CALLER in request else request.remote or "",
    )
