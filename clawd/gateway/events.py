"""`GET /v1/events`: one conversation as server-sent events.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.errors import ClawdError
from clawd.gateway.apps import credentials_in
from clawd.gateway.messages import read_conversation
from clawd.gateway.places import SlowReader, StreamOver, room
from clawd.gateway.problems import RequestRefused, as_refusal
from clawd.gateway.session import CHARS, EVENTS
from clawd.gateway.shown import Telling, encoded, error_frame
from clawd.watching import ConversationWatch

if TYPE_CHECKING:
    from clawd.fanout import Event, Subscription
    from clawd.gateway.places import Places
    from clawd.gateway.session import Streaming
    from clawd.messages import Address
    from clawd.response import JsonObject
    from clawd.watching import Shown

PATH: Final = "/v1/events"
_RETRY_MS: Final = 1000  # after which a browser connects again
_HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class EventStreams:
    """Answers with streams of events.

    Args:
        streaming: What streams work with.
        places: Bounds their number.
    """

    def __init__(self, streaming: Streaming, places: Places) -> None:
        self._streaming = streaming
        self._places = places

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.get(PATH, self.stream, allow_head=False)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer with what happens in `?conversation=`, behind the cursor in `Last-Event-ID` or `?after=`."""
        callers, actions = self._streaming.callers, self._streaming.actions
        credentials = credentials_in(request.headers)
        if credentials is None:
            raise RequestRefused(
                401, "a valid token is needed", remedy="send the header Authorization: Bearer TOKEN"
            )
        token = callers.identify(request.headers, credentials)
        conversation = read_conversation(request.query.get("conversation"))
        if conversation is None:
            raise RequestRefused(400, "?conversation= has to name one")
        address = actions.address(token, conversation)
        after = request.headers.get("Last-Event-ID") or request.query.get("after")
        cursor = await actions.beginning(address, after)
        with self._places.one(known=True) as place:
            place.stay(lambda: callers.identify(request.headers, credentials))
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            assert request.transport is not None  # noqa: S101 - prepared
            stream = _Stream(self._streaming, address, cursor, request.transport, response)
            try:
                async with place.bound():
                    await stream.run()
            except SlowReader:
                request.transport.abort()
            except (StreamOver, ConnectionError):
                pass  # its time is over, or the client left: so most streams end
            return response


class _Stream:
    """One client's events."""

    def __init__(
        self,
        streaming: Streaming,
        address: Address,
        cursor: str,
        transport: asyncio.WriteTransport,
        response: web.StreamResponse,
    ) -> None:
        self._write_s = streaming.times.write_s
        self._telling = Telling(address.chat, cursor)
        self._transport = transport
        self._response = response
        self._ping_s = streaming.times.comment_s
        self._begin: JsonObject = {"type": "accepted", "conversation": address.chat, "cursor": cursor}
        self._watch = ConversationWatch(
            streaming.views,
            streaming.fanout,
            address,
            cursor,
            self._show,
            following=self._next,
            size=EVENTS,
            chars=CHARS,
        )

    async def run(self) -> None:
        """Write events; raises SlowReader, ConnectionError."""
        await self._write(f"retry: {_RETRY_MS}\n".encode())
        await self._send(self._begin)
        try:
            await self._watch.run()
        except SlowReader:
            raise
        except ClawdError as error:
            await self._send(error_frame(as_refusal(error), conversation=str(self._begin["conversation"])))

    async def _show(self, shown: Shown) -> None:
        frame = self._telling.frame_of(shown)
        if frame is not None:
            await self._send(frame)

    async def _next(self, events: Subscription) -> Event | None:
        """Return the next event; None, after a comment, when there was none for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._ping_s):
                _, event = await events.get()
                return event
        await self._write(b": ping\n\n")
        return None

    async def _send(self, frame: JsonObject) -> None:
        identity = f"id: {frame['cursor']}\n" if "cursor" in frame else ""
        await self._write(f"{identity}event: {frame['type']}\ndata: ".encode() + encoded(frame) + b"\n\n")

    async def _write(self, data: bytes) -> None:
        await room(self._transport, self._write_s)
        await self._response.write(data)
