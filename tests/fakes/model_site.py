"""A scripted model server on loopback, whatever format it speaks: requests are checked, answers stream, or fail.

A format is a subclass that says what it refuses, and which events an answer is (`anthropic_api`,
`responses_api`). In a test: `async with FakeAnthropic(Answer(text="hi")) as api: ... api.base_url`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Event = tuple[str, dict[str, Any]]


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with an answer; the default is nothing."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None  # the error object; in the stream when the status is 200
    error_after: int = 1  # events, where it comes in the stream
    body: str | None = None  # sent as it is
    content_type: str | None = None
    reset_after: int | None = None  # hard reset after so many events
    close_after: int | None = None  # orderly end after so many events
    hang_after: int | None = (
        None  # nothing more after so many events, until `release`; -1: before the headers
    )
    raw: list[str] | None = None  # these pieces instead of the stream
    pause_s: float = 0.0  # after each of them
    # --- dialects
    as_json: bool = False  # a whole answer to a stream request
    names: bool = True  # False: events without the line `event:`
    newline: str = "\n"
    split: int = 0  # write so many bytes at a time, through multi-byte characters


A = TypeVar("A", bound=Fault)


class Refused(Exception):
    """The request is not one that the real API takes."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error


@dataclass(kw_only=True)
class Seen:
    """One request as it arrived, and what became of it."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    refused: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: bool = False  # the client went away before the answer was complete


class ModelSite(Generic[A]):
    """The server. Answers are used up in order; afterwards, and without any, `default` answers."""

    prefix = ""  # of `base_url`

    def __init__(self, *answers: A, default: A, key: str | None = None) -> None:
        self.answers = deque(answers)
        self.default = default
        self.key = key  # None: any, or none
        self.requests: list[Seen] = []
        self.release = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    # --- of the format

    def check(self, seen: Seen) -> None:
        """Raise Refused where the real API would refuse the request."""
        raise NotImplementedError

    def events(self, seen: Seen, answer: A) -> Iterator[Event]:
        """Yield the events of an answer, the last included."""
        raise NotImplementedError

    def whole(self, seen: Seen, answer: A) -> dict[str, Any]:
        """Return the answer that does not stream."""
        raise NotImplementedError

    def error_body(self, status: int, error: dict[str, Any]) -> dict[str, Any]:
        """Return the body of an error."""
        raise NotImplementedError

    def error_event(self, error: dict[str, Any]) -> Event:
        """Return an error in the stream."""
        raise NotImplementedError

    # --- server

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self.prefix}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def arrived(self, count: int = 1) -> Seen:
        """Return request number `count` as soon as it has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def _post(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            path=request.path,
            body=json.loads(await request.read(), parse_constant=_no_json),
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        async with self._arrived:
            self.requests.append(seen)
            self._arrived.notify_all()
        try:
            self.check(seen)
        except Refused as refused:
            seen.refused = str(refused)
            seen.ended.set()
            return web.json_response(self.error_body(refused.status, refused.error), status=refused.status)
        try:
            return await self._answer(request, seen, self.answers.popleft() if self.answers else self.default)
        except (asyncio.CancelledError, ConnectionError):
            seen.disconnected = True
            raise
        finally:
            seen.ended.set()

    async def _answer(self, request: web.Request, seen: Seen, answer: A) -> web.StreamResponse:
        if answer.hang_after == -1:
            await self.release.wait()
        if answer.body is not None:
            headers = {"Content-Type": answer.content_type or "application/json", **answer.headers}
            return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)
        if answer.status != 200:
            error = answer.error or {"type": "api_error", "message": f"fake status {answer.status}"}
            body = self.error_body(answer.status, error)
            return web.json_response(body, status=answer.status, headers=answer.headers)
        if answer.as_json or not seen.body.get("stream"):
            return web.json_response(self.whole(seen, answer), headers=answer.headers)
        response = web.StreamResponse(
            headers={"Content-Type": answer.content_type or "text/event-stream", **answer.headers}
        )
        await response.prepare(request)
        wire = _Wire(request, response, answer)
        if answer.raw is not None:
            for piece in answer.raw:
                await wire.write(piece)
                await asyncio.sleep(answer.pause_s)
            return response
        await self._stream(wire, seen, answer)
        return response

    async def _stream(self, wire: _Wire, seen: Seen, answer: A) -> None:
        for sent, event in enumerate(self.events(seen, answer)):
            if sent == answer.reset_after:
                wire.reset()
                return
            if sent == answer.close_after:
                return
            if sent == answer.hang_after:
                await self.release.wait()
            if answer.error is not None and sent == answer.error_after:
                await wire.event(self.error_event(answer.error))
                return
            await wire.event(event)


class _Wire:
    """Writes events in the dialect that the answer asks for."""

    def __init__(self, request: web.Request, response: web.StreamResponse, answer: Fault) -> None:
        self._request = request
        self._response = response
        self._answer = answer

    async def event(self, event: Event) -> None:
        name, data = event
        head = f"event: {name}\n" if self._answer.names else ""
        await self.write(f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n")

    async def write(self, text: str) -> None:
        data = text.replace("\n", self._answer.newline).encode("utf-8", "surrogateescape")
        size = self._answer.split or len(data)
        for start in range(0, len(data), max(1, size)):
            await self._response.write(data[start : start + size])
            if self._answer.split:
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Close the connection with RST instead of FIN."""
        transport = self._request.transport
        assert transport is not None
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def in_pieces(text: str, size: int) -> list[str]:
    """Return the text cut into pieces of this many characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def open_objects(schema: Any, *, all_required: bool = False) -> bool:
    """Whether a schema has an object that strict APIs refuse: open, or (OpenAI) with optional properties."""
    if isinstance(schema, list):
        return any(open_objects(part, all_required=all_required) for part in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return True
        if all_required and set(schema.get("properties", ())) != set(schema.get("required", ())):
            return True
    return any(open_objects(part, all_required=all_required) for part in schema.values())


def only(allowed: Mapping[str, object] | set[str], given: Mapping[str, object]) -> str:
    """Return the first field that is not allowed, "" where all are."""
    return next((name for name in given if name not in allowed), "")
