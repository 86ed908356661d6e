"""The streams that answer messages: whole snapshots under one id, finished before the platform gives them up.

A stream answers one message, by the `req_id` of its callback, and has to be finished within six minutes of its
first snapshot. What is known here is lost with the process, and nothing depends on it: the stream's id follows
from the message's reference, so the final text finishes the stream that an earlier process began.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bridges.wecom.account import ReplyTo
from bridges.wecom.errors import CONFLICT, REPLY_OVER, ApiError, NoAnswer, NotSent
from bridges.wecom.outbound import THINKING, stream
from clawd.ids import to_ms
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from bridges.wecom.line import Line
    from clawd.ids import Clock
    from clawd.messages import Address
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

FINISH_BY_S: Final = 330.0  # after the message; the platform ends it at 360
REFRESH_S: Final = 120.0  # a stream that nobody refreshes looks dead
UNFINISHED: Final = "…"
_CONFLICT_RETRY_S: Final = 0.5
_CONFLICT_TRIES: Final = 3
_FORGET_S: Final = 3600.0
MOST: Final = 5000  # messages at a time that may be answered by a stream


class StreamOver(Exception):
    """This message can't be answered by a stream, or not any more; the text says why."""


@dataclass(slots=True)
class _Stream:
    """What this process did for one message."""

    reply: ReplyTo
    address: Address
    over: bool = False
    shown: str | None = None  # the last snapshot, None before the first
    at: float = 0.0  # of that, monotonic
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # one frame of a req_id at a time


class Streams:
    """All streams of a bridge."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._changed = asyncio.Event()

    def accepted(self, reference: str | None, address: Address) -> None:
        """A message was committed: it can be answered by a stream from now on."""
        self._forget()
        if (reply := ReplyTo.parse(reference)) is not None:
            self._streams.setdefault(reply.req_id, _Stream(reply, address))

    async def show(self, reply: ReplyTo, address: Address, text: str, *, begun: bool) -> str:
        """Show a snapshot, the first or a longer one; return the stream's id.

        Args:
            reply: The message.
            address: Its conversation.
            text: Everything so far.
            begun: An earlier snapshot arrived, perhaps of a process before this one.

        Raises:
            StreamOver: nothing was shown. Also where this process does not know whether the stream still
                waits for its first snapshot: it may have been finished with another text.
            ApiError, NotSent, NoAnswer: as `Line.request`.
        """
        if not begun and reply.req_id not in self._streams:
            raise StreamOver("the message came before the last start")
        held = self._held(reply, address)
        async with held.lock:
            await self._send(held, text, finish=False, begun=begun)
        return reply.stream_id

    async def finish(self, reply: ReplyTo, address: Address, text: str, *, begun: bool) -> None:
        """Show the last snapshot; arguments as those of `show`.

        Raises:
            StreamOver: it was finished before, or can't be any more.
            ApiError, NotSent, NoAnswer: as `Line.request`; only after NoAnswer may it have arrived.
        """
        held = self._held(reply, address)
        async with held.lock:
            await self._send(held, text, finish=True, begun=begun)

    async def think(self, reply: ReplyTo) -> None:
        """Show that a message is being worked on, where nothing was shown yet; raises as `show`."""
        held = self._streams.get(reply.req_id)
        if held is None:
            return  # it came before the last start, so its stream may have been finished
        async with held.lock:
            if held.shown is None and not held.over:
                await self._send(held, THINKING, finish=False)

    async def keep(self) -> None:
        """Refresh streams that stand still and finish those whose time is up, until cancelled."""
        while True:
            self._changed.clear()
            due = [self._due(s) for s in self._streams.values() if s.shown is not None and not s.over]
            if not due:
                await self._changed.wait()
                continue
            await self._sleep(min(due) - self._clock.monotonic())
            now = self._clock.monotonic()
            for held in list(self._streams.values()):
                if held.shown is not None and not held.over and self._due(held) <= now:
                    await self._keep_up(held)

    async def _sleep(self, seconds: float) -> None:
        """Return after this time, or when a stream began: it may be due sooner."""
        if seconds <= 0:
            return
        with contextlib.suppress(Interrupted):
            await until(self._changed, self._clock.sleep(seconds))

    async def _keep_up(self, held: _Stream) -> None:
        async with held.lock:
            if held.over or held.shown is None:
                return
            finish = self._age_s(held.reply) >= FINISH_BY_S
            text = held.shown
            if finish:
                text = UNFINISHED if text == THINKING else f"{text}\n\n{UNFINISHED}"
            try:
                await self._send(held, text, finish=finish)
            except (StreamOver, ApiError, NotSent, NoAnswer) as error:
                log.info("stream_not_kept", extra={"finish": finish, "error": str(error)})
            finally:
                # What failed is not tried again at once; the next snapshot may do better.
                held.at = self._clock.monotonic()
                if finish:
                    held.over = True

    async def _send(self, held: _Stream, text: str, *, finish: bool, begun: bool = False) -> None:
        if held.over:
            raise StreamOver("it is finished")
        if self._is_over(held) and held.shown is None and not begun:
            raise StreamOver("the message is too old")
        body = stream(held.reply.stream_id, text, finish=finish)
        try:
            await self._request(held, body)
        except ApiError as error:
            if error.errcode in REPLY_OVER:
                held.over = True
                raise StreamOver(str(error)) from error
            raise
        first = held.shown is None
        held.shown, held.at, held.over = text, self._clock.monotonic(), finish
        if first:
            self._changed.set()

    async def _request(self, held: _Stream, body: JsonObject) -> None:
        for attempt in range(_CONFLICT_TRIES):
            try:
                await self._line.request("aibot_respond_msg", body, req_id=held.reply.req_id, reused=True)
            except ApiError as error:
                if error.errcode != CONFLICT or attempt == _CONFLICT_TRIES - 1:
                    raise
                await self._clock.sleep(_CONFLICT_RETRY_S * 2.0**attempt)
            else:
                return

    def _held(self, reply: ReplyTo, address: Address) -> _Stream:
        return self._streams.setdefault(reply.req_id, _Stream(reply, address))

    def _due(self, held: _Stream) -> float:
        """Return when it has to be refreshed or finished, monotonic."""
        ends = self._clock.monotonic() + FINISH_BY_S - self._age_s(held.reply)
        return min(held.at + REFRESH_S, ends)

    def _age_s(self, reply: ReplyTo) -> float:
        return (to_ms(self._clock.now()) - reply.received_ms) / 1000

    def _is_over(self, held: _Stream) -> bool:
        return held.over or self._age_s(held.reply) >= FINISH_BY_S

    def _forget(self) -> None:
        """Drop what is too old to be answered by a stream, and the oldest of too many: they are as good as unknown."""
        old: list[str] = []
        for key, held in self._streams.items():  # about in the order in which they came
            if self._age_s(held.reply) <= _FORGET_S and len(self._streams) - len(old) < MOST:
                break
            if not held.lock.locked():
                old.append(key)
        for key in old:
            del self._streams[key]
