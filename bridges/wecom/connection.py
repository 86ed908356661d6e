"""One WebSocket to the platform: frames out with their answers, callbacks in.

Whoever waits for something reads: `follow` while the bridge receives, and a `request` where nobody else
reads, because sends go on after the bridge was told to receive no more.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

from bridges.wecom.errors import ApiError, NoAnswer, NotSent, words
from bridges.wecom.frames import BadFrame, Frame, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.response import JsonObject

log = logging.getLogger(__name__)

MAX_FRAME_BYTES: Final = 8 * 1024 * 1024
MISSED_PONGS: Final = 2
CLOSE_S: Final = 1.0  # for the other side's farewell
_PING: Final = "ping"
_CALLBACKS: Final = frozenset({"aibot_msg_callback", "aibot_event_callback"})


class Socket(aiohttp.ClientWebSocketResponse):
    """A WebSocket that frees its connection also where that broke: aiohttp's own leaves it to the collector."""

    async def close(self, *, code: int = aiohttp.WSCloseCode.OK, message: bytes = b"") -> bool:
        try:
            return await super().close(code=code, message=message)
        finally:
            self._response.close()


@dataclass(slots=True)
class _Waiter:
    """Somebody who waits for an answer, or reads for ever."""

    answer: Frame | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Connection:
    """A connection from open to its end; it never opens again."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        *,
        secret: str,
        ack_timeout_s: float,
        on_callback: Callable[[Frame], None],
        on_bad: Callable[[str, str], None],
        room: Callable[[], Awaitable[None]],
        on_pong: Callable[[], None],
    ) -> None:
        """Wrap an open socket.

        Args:
            socket: Open.
            secret: Kept out of what the platform's errors say.
            ack_timeout_s: How long an answer may take.
            on_callback: Takes each callback, at once.
            on_bad: Takes what is no frame, and why.
            room: Returns once another callback can be taken.
            on_pong: Told of each answered ping.
        """
        self.ended = ""  # why, once it is
        self._socket = socket
        self._secret = secret
        self._ack_timeout_s = ack_timeout_s
        self._on_callback = on_callback
        self._on_bad = on_bad
        self._room = room
        self._on_pong = on_pong
        self._waiters: dict[str, _Waiter] = {}
        self._follower: _Waiter | None = None
        self._reading = False
        self._pings = 0
        self._unanswered_pings = 0

    async def request(self, cmd: str, req_id: str, body: JsonObject, *, reused: bool = False) -> Frame:
        """Send a frame and return its answer.

        Args:
            cmd: Command.
            req_id: Of this frame alone; or of a callback, for one frame at a time.
            body: The frame's body.
            reused: Other frames carry the same `req_id`. Without an answer in time the connection ends
                then: a late one would be taken for that of the next frame.

        Raises:
            ApiError: it was refused.
            NotSent: it did not leave.
            NoAnswer: it may have arrived.
        """
        if self.ended:
            raise NotSent(self.ended)
        waiter = self._waiters[req_id] = _Waiter()
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                await self._socket.send_str(write_frame(cmd, req_id, body))
                await self._read_until(waiter)
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._ack_timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            await self.end(f"broken: {type(error).__name__}")
            raise NoAnswer(self.ended) from None
        finally:
            del self._waiters[req_id]
            if reused and waiter.answer is None:
                await self.end("an answer did not come")
        if waiter.answer is None:
            raise NoAnswer(self.ended)
        if waiter.answer.errcode:
            raise ApiError(waiter.answer.errcode, words(waiter.answer.errmsg, self._secret))
        return waiter.answer

    async def follow(self) -> None:
        """Read until the connection ends."""
        self._follower = _Waiter()
        await self._read_until(self._follower)

    async def ping(self) -> None:
        """Send a heartbeat; the connection ends where two in a row were not answered."""
        if self._unanswered_pings >= MISSED_PONGS:
            await self.end(f"{MISSED_PONGS} heartbeats were not answered")
            return
        self._pings += 1
        self._unanswered_pings += 1
        try:
            await self._socket.send_str(write_frame(_PING, f"{_PING}_{self._pings}"))
        except (aiohttp.ClientError, OSError) as error:
            await self.end(f"broken: {type(error).__name__}")

    async def end(self, why: str) -> None:
        """Close it, if it is not; whoever waits for an answer learns that none will come."""
        self._over(why)
        await self._socket.close()

    # --- reading --------------------------------------------------------------------------------------

    async def _read_until(self, waiter: _Waiter) -> None:
        """Return once the answer is there or the connection has ended."""
        while self._waits(waiter):
            if self._reading:
                await waiter.wake.wait()
                waiter.wake.clear()
                continue
            self._reading = True
            try:
                while self._waits(waiter):
                    await self._read_one()
            finally:
                self._reading = False
                self._wake_all()  # one of them reads on

    def _waits(self, waiter: _Waiter) -> bool:
        return waiter.answer is None and not self.ended

    async def _read_one(self) -> None:
        await self._room()
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                self._take(message.data)
            case aiohttp.WSMsgType.BINARY:
                self._take(message.data.decode(errors="replace"))
            case aiohttp.WSMsgType.ERROR:
                self._over(f"broken: {type(message.data).__name__}")
            case _:
                self._over(f"closed by WeCom, code {self._socket.close_code}")

    def _take(self, text: str) -> None:
        try:
            frame = read_frame(text)
        except BadFrame as bad:
            self._on_bad(text, str(bad))
            return
        if frame.cmd in _CALLBACKS:
            self._on_callback(frame)
        elif not frame.is_answer:
            log.debug("frame_unexpected", extra={"cmd": frame.cmd})
        elif frame.req_id.startswith(f"{_PING}_"):
            if not frame.errcode:
                self._unanswered_pings = 0
                self._on_pong()
        elif (waiter := self._waiters.get(frame.req_id)) is not None:
            waiter.answer = frame
            waiter.wake.set()

    def _over(self, why: str) -> None:
        self.ended = self.ended or why
        self._wake_all()

    def _wake_all(self) -> None:
        for waiter in (*self._waiters.values(), *filter(None, (self._follower,))):
            waiter.wake.set()
