"""Sending an answer while it is made: server-sent events, signs of life, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from clawd.errors import ClawdError
from clawd.gateway.openai_answers import Whole
from clawd.gateway.openai_errors import OpenAIRefused, error_object
from clawd.gateway.problems import RequestRefused, as_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from clawd.gateway.openai_answers import Answer, Event
    from clawd.response import JsonObject

    Queue = asyncio.Queue[Event | ClawdError]
    Outcome = web.StreamResponse | ClawdError

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 15.0
WRITE_TIMEOUT_S: Final = 10.0

LOOK_S: Final = 0.5

_GONE: Final = 499  # a status that nobody reads: the client has hung up
_AHEAD: Final = 16  # events that may wait for a slow reader before the model has to


class Frames(Protocol):
    """Writes the events of one answer in a format. Each frame is the whole of a server-sent event."""

    def begin(self) -> Sequence[bytes]:
        """Return what comes first."""
        ...

    def event(self, event: Event) -> Sequence[bytes]:
        """Return what tells this event; may be nothing."""
        ...

    def failed(self, error: JsonObject) -> Sequence[bytes]:
        """Return what tells that the answer breaks off."""
        ...


class Complete(Protocol):
    """Makes the body of an answer that does not stream."""

    def __call__(self, whole: Whole) -> JsonObject: ...


def frame(value: JsonObject, *, name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode(
        errors="replace"
    )


class Streams:
    """Sends answers; `close` ends all of them at once.

    Args:
        keepalive_s: The longest silence; also how long the headers may wait for the first event, so that an
            early error still has its status.
        write_timeout_s: How long a client may read nothing.
        look_s: How often it is looked whether a client is still there.
    """

    def __init__(
        self,
        keepalive_s: float = KEEPALIVE_S,
        *,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        look_s: float = LOOK_S,
    ) -> None:
        self.keepalive_s = keepalive_s
        self.write_timeout_s = write_timeout_s
        self.look_s = look_s
        self._pumps: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.Timeout] = set()
        self._closed = False

    def close(self) -> None:
        """Tell every client that clawd stops; later answers are told so too."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)

    async def whole(self, request: web.Request, answer: Answer, complete: Complete) -> web.StreamResponse:
        """Return the complete answer, once there is one.

        Raises:
            ClawdError: as the answer's events.
        """
        return await self._with_pump(answer, lambda queue: self._collect(request, answer, queue, complete))

    async def stream(
        self, request: web.Request, answer: Answer, frames: Frames, *, at_once: bool
    ) -> web.StreamResponse:
        """Send the answer event by event; return the finished response.

        Args:
            request: To answer.
            answer: Under way.
            frames: The format.
            at_once: Send the headers before the first event: what was promised holds whatever comes.

        Raises:
            ClawdError: as the answer's events, where nothing was sent yet.
        """
        sender = _Sender(self, request, answer, frames)
        return await self._with_pump(answer, lambda queue: sender.send(queue, at_once=at_once))

    async def _with_pump(
        self, answer: Answer, work: Callable[[Queue], Awaitable[Outcome]]
    ) -> web.StreamResponse:
        queue: Queue = asyncio.Queue(_AHEAD)
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(_pump(answer, queue), name=f"answer:{answer.id}")
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)
            result = await work(queue)
            pump.cancel()
        if isinstance(result, ClawdError):
            raise result
        return result

    async def _collect(
        self, request: web.Request, answer: Answer, queue: Queue, complete: Complete
    ) -> Outcome:
        while True:
            item = await self.next(queue, self.look_s)
            match item:
                case None if self._closed:
                    return _stopping()
                case None if _is_gone(request):
                    await answer.abandon()
                    return web.Response(status=_GONE)
                case ClawdError():
                    return item
                case Whole():
                    text = json.dumps(complete(item), ensure_ascii=False)
                    return web.Response(body=text.encode(errors="replace"), content_type="application/json")
                case _:
                    pass

    async def next(self, queue: Queue, wait_s: float) -> Event | ClawdError | None:
        """Return the next event; None when none came, the client is gone, or everything closes."""
        if self._closed:
            return None
        with self._limit(wait_s) as limit:
            try:
                async with limit:
                    return await queue.get()
            except TimeoutError:
                if not limit.expired():
                    raise
                return None

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks of the answers under way."""
        return frozenset(self._pumps)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @contextmanager
    def _limit(self, wait_s: float) -> Iterator[asyncio.Timeout]:
        limit = asyncio.timeout(wait_s)
        self._open.add(limit)
        try:
            yield limit
        finally:
            self._open.discard(limit)


class _Sender:
    """One stream."""

    def __init__(self, streams: Streams, request: web.Request, answer: Answer, frames: Frames) -> None:
        self._streams = streams
        self._request = request
        self._answer = answer
        self._frames = frames
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        self._quiet_since = asyncio.get_running_loop().time()

    async def send(self, queue: Queue, *, at_once: bool) -> Outcome:
        """Send all of it; return an error where nothing was sent yet."""
        try:
            return await self._send(queue, at_once=at_once)
        except (ConnectionError, TimeoutError):  # hung up, or does not read
            if (transport := self._request.transport) is not None:
                transport.abort()
            await self._answer.abandon()
            return self._response

    async def _send(self, queue: Queue, *, at_once: bool) -> Outcome:
        if at_once:
            await self._begin()
        while True:
            item = await self._streams.next(queue, min(self._streams.look_s, self._streams.keepalive_s))
            match item:
                case None if self._streams.closed:
                    item = _stopping()
                case None if _is_gone(self._request):
                    raise ConnectionResetError
                case None:
                    await self._keep_alive()
                    continue
                case _:
                    pass
            if isinstance(item, ClawdError):
                return await self._fail(item)
            if not self._response.prepared:
                await self._begin()
            await self._write(self._frames.event(item))
            if isinstance(item, Whole):
                await self._response.write_eof()
                return self._response

    async def _fail(self, error: ClawdError) -> Outcome:
        if not self._response.prepared:
            return error
        await self._write(self._frames.failed(error_object(as_refusal(error))))
        await self._response.write_eof()
        return self._response

    async def _begin(self) -> None:
        await self._response.prepare(self._request)
        await self._write(self._frames.begin())

    async def _keep_alive(self) -> None:
        if asyncio.get_running_loop().time() - self._quiet_since < self._streams.keepalive_s:
            return
        if not self._response.prepared:
            await self._begin()
        await self._write([b": keep-alive\n\n"])

    async def _write(self, frames: Sequence[bytes]) -> None:
        if frames:
            self._quiet_since = asyncio.get_running_loop().time()
            async with asyncio.timeout(self._streams.write_timeout_s):
                await self._response.write(b"".join(frames))


async def _pump(answer: Answer, queue: Queue) -> None:
    """Move the answer's events into the queue: waiting for one may end early, making one may not."""
    try:
        async with aclosing(answer.events()) as events:
            async for event in events:
                await queue.put(event)
    except ClawdError as error:
        await queue.put(error)


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _stopping() -> RequestRefused:
    return OpenAIRefused(503, "clawd is stopping", code="draining", retry_after_s=5)
