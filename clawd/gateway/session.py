"""One WebSocket: its client's frames in order, its subscriptions beside each other, its end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from aiohttp import WSCloseCode, WSMsgType

from clawd.errors import ClawdError
from clawd.gateway.apps import Credentials
from clawd.gateway.frames import FrameRefused, read_frame
from clawd.gateway.places import SlowReader, StreamOver, room
from clawd.gateway.problems import RequestRefused, as_refusal
from clawd.gateway.requests import (
    ApproveFrame,
    AuthFrame,
    CancelFrame,
    PingFrame,
    SendFrame,
    SubscribeFrame,
    UnsubscribeFrame,
)
from clawd.gateway.shown import Telling, encoded, error_frame
from clawd.observability.about import about
from clawd.watching import ConversationWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from clawd.fanout import Fanout
    from clawd.gateway.actions import Actions
    from clawd.gateway.apps import Callers
    from clawd.gateway.places import Ending, Place, StreamTimes
    from clawd.gateway.requests import Frame
    from clawd.gateway.token import Token
    from clawd.journal.reading import Views
    from clawd.messages import Address
    from clawd.response import JsonObject
    from clawd.watching import Shown

log = logging.getLogger(__name__)

EVENTS: Final = 500
CHARS: Final = 256_000
MAX_BAD: Final = 20
"""Frames in a row that make no sense, after which nobody listens any more."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The close frame that ends a socket. Codes: RFC 6455, section 7.4.1."""

    code: WSCloseCode
    text: str


_SLOW: Final = Closing(WSCloseCode.POLICY_VIOLATION, "reading too slowly")
_BINARY: Final = Closing(WSCloseCode.UNSUPPORTED_DATA, "frames have to be text")
_SENSELESS: Final = Closing(WSCloseCode.POLICY_VIOLATION, "too many frames that make no sense")
_REFUSED: Final = Closing(WSCloseCode.POLICY_VIOLATION, "not let in")
_ENDINGS: Final[dict[Ending, Closing]] = {
    "unknown": Closing(WSCloseCode.POLICY_VIOLATION, "no frame auth came in time"),
    "revoked": Closing(WSCloseCode.POLICY_VIOLATION, "the token is no longer valid"),
    "stopping": Closing(WSCloseCode.GOING_AWAY, "clawd is stopping"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """What every stream works with, and its limits."""

    views: Views
    fanout: Fanout
    callers: Callers
    actions: Actions
    max_subscriptions: Callable[[], int]
    times: StreamTimes


class Session:
    """One client's socket.

    Args:
        streaming: The gateway's parts.
        request: The request that was upgraded.
        socket: What became of it.
        place: The session's place among the streams.
        credentials: What the request's headers showed; None: the first frame has to.
    """

    __slots__ = (
        "_bad",
        "_credentials",
        "_place",
        "_request",
        "_socket",
        "_streaming",
        "_tasks",
        "_transport",
        "_watched",
        "_watches",
    )

    def __init__(
        self,
        streaming: Streaming,
        request: web.Request,
        socket: web.WebSocketResponse,
        place: Place,
        credentials: Credentials | None,
    ) -> None:
        assert request.transport is not None  # noqa: S101 - it was upgraded just now
        self._streaming = streaming
        self._request = request
        self._socket = socket
        self._transport = request.transport
        self._place = place
        self._credentials = credentials
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._bad = 0
        self._watched = ExitStack()  # whether the token still counts, where a frame named it
        if credentials is not None:
            place.stay(self._token)

    async def run(self) -> Closing | None:
        """Serve the client; return how to close, None when the socket is closed already."""
        with self._watched:
            return await self._run()

    async def _run(self) -> Closing | None:
        closing: Closing | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                closing = await self._read()
                for watch in self._watches.values():
                    watch.cancel()
        except* SlowReader:
            log.info("gateway_slow_reader", extra={"conversations": len(self._watches)})
            closing = _SLOW
        except* ConnectionError:
            closing = None
        return closing

    # --- what comes in ------------------------------------------------------------------------------------

    async def _read(self) -> Closing | None:
        try:
            async with self._place.bound():
                while True:
                    message = await self._socket.receive()
                    if message.type is WSMsgType.PONG:
                        continue
                    if message.type is WSMsgType.PING:
                        await self._put(message.data, WSMsgType.PONG)
                        continue
                    if message.type is WSMsgType.BINARY:
                        return _BINARY
                    if message.type is not WSMsgType.TEXT:
                        return None  # closed by the client, or by the library with the right code
                    with about():  # a turn that one frame makes is not that of the next
                        closing = await self._take(message.data)
                    if closing is not None:
                        return closing
        except StreamOver as over:
            return _ENDINGS[over.ending]

    async def _take(self, text: str) -> Closing | None:
        """Do what a frame asks for, or say why not; return how to close where that is the answer."""
        ref = None
        try:
            frame = read_frame(text)
            ref = frame.ref
            await self._do(frame)
        except FrameRefused as error:
            self._bad += 1
            await self._send(error_frame(error, ref=error.ref))
            return _SENSELESS if self._bad >= MAX_BAD else None
        except SlowReader:
            raise
        except ClawdError as error:
            refusal = as_refusal(error)
            await self._send(error_frame(refusal, ref=ref))
            # Who is not known, or no longer, gets no second try on this socket.
            return _REFUSED if refusal.status == 401 or not self._place.known else None
        self._bad = 0
        return None

    async def _do(self, frame: Frame) -> None:
        actions = self._streaming.actions
        match frame:
            case AuthFrame():
                await self._auth(frame)
            case PingFrame():
                await self._send({"type": "pong", "ref": frame.ref})
            case SendFrame():
                await self._accepted(frame, await actions.send(self._token(), frame))
            case CancelFrame():
                await self._accepted(frame, await actions.cancel(self._token(), frame))
            case ApproveFrame():
                await self._accepted(frame, await actions.approve(self._token(), frame))
            case SubscribeFrame():
                await self._subscribe(frame)
            case UnsubscribeFrame():
                self._token()
                self._forget(frame.conversation)
                await self._accepted(frame, {})

    async def _auth(self, frame: AuthFrame) -> None:
        if self._credentials is not None:
            raise FrameRefused("this socket has said who it is", ref=frame.ref)
        credentials = Credentials(app_id=frame.app_id, authorization=f"Bearer {frame.token}")
        token = self._streaming.callers.identify(self._request.headers, credentials)
        self._credentials = credentials
        self._place.stay(self._token)
        revoked = partial(self._place.end, "revoked")
        self._watched.enter_context(self._streaming.callers.watching(token, revoked))
        await self._send({"type": "accepted", "ref": frame.ref, "account": token.name})

    def _token(self) -> Token:
        """Return who the client is, now: a token may be revoked while its socket is open."""
        if self._credentials is None:
            raise RequestRefused(401, "the first frame has to be auth")
        return self._streaming.callers.identify(self._request.headers, self._credentials)

    # --- subscriptions ------------------------------------------------------------------------------------

    async def _subscribe(self, frame: SubscribeFrame) -> None:
        token, name, most = self._token(), frame.conversation, self._streaming.max_subscriptions()
        if name not in self._watches and len(self._watches) >= most:
            raise RequestRefused(
                429,
                f"one socket carries at most {most} conversations",
                code="too_many_subscriptions",
                remedy="unsubscribe from one, or open another socket",
            )
        address = self._streaming.actions.address(token, name)
        cursor = await self._streaming.actions.beginning(address, frame.after)
        self._forget(name)
        await self._accepted(frame, {"cursor": cursor})
        self._watches[name] = self._tasks.create_task(self._watch(address, cursor), name=f"watch:{name}")

    def _forget(self, conversation: str) -> None:
        watch = self._watches.pop(conversation, None)
        if watch is not None:
            watch.cancel()

    async def _watch(self, address: Address, cursor: str) -> None:
        """Show a conversation until cancelled; when the journal fails, say so and end."""
        telling = Telling(address.chat, cursor)

        async def show(shown: Shown) -> None:
            frame = telling.frame_of(shown)
            if frame is not None:
                await self._send(frame)

        watch = ConversationWatch(
            self._streaming.views,
            self._streaming.fanout,
            address,
            cursor,
            show,
            size=EVENTS,
            chars=CHARS,
        )
        try:
            await watch.run()
        except SlowReader:
            raise
        except ClawdError as error:
            self._watches.pop(address.chat, None)
            await self._send(error_frame(as_refusal(error), conversation=address.chat))

    # --- what goes out ------------------------------------------------------------------------------------

    async def _accepted(
        self,
        frame: SendFrame | SubscribeFrame | UnsubscribeFrame | CancelFrame | ApproveFrame,
        told: JsonObject,
    ) -> None:
        await self._send({"type": "accepted", "ref": frame.ref, "conversation": frame.conversation, **told})

    async def _send(self, frame: JsonObject) -> None:
        """Put a frame on the wire; raises SlowReader, or ConnectionError when nobody is there."""
        await self._put(encoded(frame), WSMsgType.TEXT)

    async def _put(self, data: bytes, kind: Literal[WSMsgType.TEXT, WSMsgType.PONG]) -> None:
        await room(self._transport, self._streaming.times.write_s)
        await self._socket.send_frame(data, kind)
