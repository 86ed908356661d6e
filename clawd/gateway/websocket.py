"""`GET /v1/ws`: WebSockets, from the upgrade to the close frame."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.gateway.apps import credentials_in
from clawd.gateway.problems import RequestRefused
from clawd.gateway.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.gateway.places import Places
    from clawd.gateway.session import Streaming

PATH: Final = "/v1/ws"
_CLOSE_S: Final = 2.0  # for the peer's close frame
_NEVER_DRAIN: Final = 1 << 62  # bytes; `places.room` waits for readers


class WebSockets:
    """Upgrades requests and serves the sockets.

    Args:
        streaming: What sessions work with.
        places: Bounds their number.
        max_frame_bytes: Asked for each socket, as it may change with a reload.
    """

    def __init__(
        self,
        streaming: Streaming,
        places: Places,
        *,
        max_frame_bytes: Callable[[], int],
    ) -> None:
        self._streaming = streaming
        self._places = places
        self._max_frame_bytes = max_frame_bytes

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.get(PATH, self.connect, allow_head=False)]

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Upgrade to a WebSocket and serve it until it is closed; 426 for any other request."""
        if request.headers.get("Upgrade", "").strip().lower() != "websocket":
            raise RequestRefused(
                426,
                "this path speaks WebSocket",
                code="upgrade_required",
                headers={"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
            )
        credentials = credentials_in(request.headers)
        if credentials is not None:
            self._streaming.callers.identify(request.headers, credentials)
        known, times = credentials is not None, self._streaming.times
        with self._places.one(known=known, within_s=None if known else times.auth_s) as place:
            socket = web.WebSocketResponse(
                timeout=_CLOSE_S,
                heartbeat=times.heartbeat_s,
                autoping=False,  # the library answers pings without a look at who reads the answers
                compress=False,  # its buffers are a quarter of a megabyte for each socket
                max_msg_size=self._max_frame_bytes(),
                writer_limit=_NEVER_DRAIN,
            )
            await socket.prepare(request)
            transport = request.transport
            closing = await Session(self._streaming, request, socket, place, credentials).run()
            if closing is not None:
                await socket.close(code=closing.code, message=closing.text.encode(), drain=False)
            if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                transport.abort()  # a plain close waits for the reader that did not read
            return socket
