"""New connections: a client that does not send its request's headers in time is hung up on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

HEADER_TIMEOUT_S = 10.0


class Connections:
    """Makes the protocol of each connection and watches over its first request.

    Later requests on the same connection fall under the server's keep-alive time.
    """

    def __init__(self, server: web.Server, timeout_s: float = HEADER_TIMEOUT_S) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._silent: dict[RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection; for `loop.create_server`."""
        protocol = self._server()
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(self._timeout_s, self._hang_up, protocol)
        return protocol

    def has_spoken(self, protocol: asyncio.BaseProtocol | None) -> None:
        """Note that the headers of a request came in whole."""
        if timer := self._silent.pop(protocol, None):  # type: ignore[call-overload]
            timer.cancel()

    def close(self) -> None:
        """Stop watching; the server itself closes its connections."""
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()

    def _hang_up(self, protocol: RequestHandler) -> None:
        del self._silent[protocol]
        protocol.force_close()
