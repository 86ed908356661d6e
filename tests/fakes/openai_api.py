"""A scripted OpenAI-compatible server: what it does with each request is a `Reply`, and it records all.

In a test: `async with FakeOpenAI(Reply(text="hi")) as api: ... api.base_url`.
As a process: `python -m tests.fakes.openai_api --port N --script FILE [--record FILE]`, where the script is
`{"replies": [REPLY…], "rules": [{"contains": "text", "reply": REPLY}], "default": REPLY}` and REPLY has the
fields of the class. It prints `{"port": N}` when it listens; `GET /_requests` returns what it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.fakes.openai_chunks import chunk, complete, deltas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(kw_only=True)
class Reply:
    """What the server does with one request; the defaults are a good streamed answer."""

    text: str | None = None  # None: "you said: " and the last user message
    chunks: list[str] | None = None  # instead of `text`: these deltas
    reasoning: list[str] = field(default_factory=list)
    reasoning_field: str = "reasoning_content"
    tool_calls: list[dict[str, str]] = field(default_factory=list)  # {"id", "name", "arguments"}
    tool_fragment: int = 8  # characters of arguments per fragment
    finish: str | None = None
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {
            "prompt_tokens": 11,
            "completion_tokens": 7,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 3},
        }
    )
    usage_in_every_chunk: bool = False
    # --- time
    delay_s: float = 0.0  # before the headers
    first_delay_s: float = 0.0  # after the headers, before the first token
    chunk_delay_s: float = 0.0
    hang: str | None = (
        None  # "headers" | "first_token" | "stream" (after the first delta) | "body" (after `body`)
    )
    keepalives: int = 0  # comments before the first token; empty lines before an answer that does not stream
    keepalive_delay_s: float = 0.0
    drip_s: float | None = None  # one byte per so many seconds
    # --- faults
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None  # sent as it is, with `content_type`
    content_type: str | None = None
    error: dict[str, Any] | None = None  # an error object: in the stream when the status is 200
    reset_after: int | None = None  # hard reset after so many deltas; 0: after the headers
    close_after: int | None = None  # orderly end after so many deltas, without finish and [DONE]
    raw: list[str] | None = None  # these pieces instead of the stream; "\udcXX" is the raw byte XX
    endless: bool = False
    huge: int = 0  # one JSON answer with so many characters of text
    # --- dialects
    form: str | None = None  # "chat" | "completion"; None: that of the request
    as_json: bool = False  # a plain JSON answer to a stream request
    done: bool = True
    newline: str = "\n"
    null_content: bool = True  # first delta has content null, as llama.cpp sends it
    split: int = 0  # write so many bytes at a time, through multi-byte characters

    @classmethod
    def parse(cls, value: dict[str, Any]) -> Reply:
        """Read a reply from a script file; an unknown field is an error."""
        known = {f.name for f in fields(cls)}
        if unknown := set(value) - known:
            raise ValueError(f"unknown fields in a reply: {sorted(unknown)}")
        return cls(**value)


@dataclass(kw_only=True)
class Seen:
    """One request as it arrived, and what became of it."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: bool = False  # the client went away before the reply was complete
    sent: int = 0  # bytes of a `huge` answer

    @property
    def last_user_text(self) -> str:
        """The text of the last user message; of a text completion the whole prompt."""
        if "prompt" in self.body:
            return str(self.body["prompt"])
        for message in reversed(self.body.get("messages", [])):
            if message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, list):
                    return "".join(part.get("text", "") for part in content)
                return str(content)
        return ""


class FakeOpenAI:
    """The server. Replies are used up in order; afterwards, and without any, `default` answers."""

    def __init__(
        self,
        *replies: Reply,
        default: Reply | None = None,
        choose: Callable[[Seen], Reply | None] | None = None,
        models: Iterable[str] = ("fake-1",),
        port: int = 0,
        record: Path | None = None,
    ) -> None:
        self.replies = deque(replies)
        self.default = default or Reply()
        self.choose = choose
        self.models = tuple(models)
        self.requests: list[Seen] = []
        self.release = asyncio.Event()  # set it to let hanging replies go on
        self._arrived = asyncio.Condition()
        self._port = port
        self._record = record
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        assert self._port
        return self._port

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/_requests", self._show)
        app.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", self._port), reuse_port=False)
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

    # --- handlers

    async def _list(self, _request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [{"path": s.path, "body": s.body, "at": s.at, "ended": s.ended.is_set()} for s in self.requests]
        )

    async def _post(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            path=request.path,
            body=json.loads(await request.read()),
            headers={name.lower(): value for name, value in request.headers.items()},
            at=time.time(),
        )
        reply = (self.choose(seen) if self.choose else None) or (
            self.replies.popleft() if self.replies else self.default
        )
        if self._record:
            with self._record.open("a") as file:
                file.write(json.dumps({"at": seen.at, "path": seen.path, "body": seen.body}) + "\n")
        async with self._arrived:
            self.requests.append(seen)
            self._arrived.notify_all()
        try:
            return await self._answer(request, seen, reply)
        except (asyncio.CancelledError, ConnectionError):
            seen.disconnected = True
            raise
        finally:
            seen.ended.set()

    async def _answer(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        await asyncio.sleep(reply.delay_s)
        if reply.hang == "headers":
            await self.release.wait()
        if reply.status != 200 or reply.body is not None:
            return await self._plain(request, reply)
        if reply.huge:
            return await self._huge(request, seen, reply)
        if reply.as_json or not seen.body.get("stream"):
            blank = "\n" * reply.keepalives
            return await self._sent(request, reply, [blank, json.dumps(complete(seen, reply))])
        response = web.StreamResponse(
            headers={"Content-Type": reply.content_type or "text/event-stream", **reply.headers}
        )
        await response.prepare(request)
        await self._stream(_Wire(request, response, reply), seen, reply)
        return response

    async def _plain(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.body is None:
            error = reply.error or {
                "message": f"fake status {reply.status}", "type": "fake_error", "param": None, "code": None
            }  # fmt: skip
            return web.json_response({"error": error}, status=reply.status, headers=reply.headers)
        size = reply.split or max(1, len(reply.body))
        pieces = [reply.body[i : i + size] for i in range(0, len(reply.body), size)]
        return await self._sent(request, reply, pieces, "text/html")

    async def _sent(
        self, request: web.Request, reply: Reply, pieces: list[str], kind: str = "application/json"
    ) -> web.StreamResponse:
        """Send a body piece by piece, each in a write of its own."""
        headers = {"Content-Type": reply.content_type or kind, **reply.headers}
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        for piece in filter(None, pieces):
            await response.write(piece.encode())
            await asyncio.sleep(reply.chunk_delay_s)
        if reply.hang == "body":
            await self.release.wait()
        return response

    async def _huge(self, request: web.Request, seen: Seen, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        head, tail = json.dumps(complete(seen, Reply(text="@"))).encode().split(b"@")
        await response.write(head)
        while seen.sent < reply.huge:
            await response.write(b"x" * 100_000)
            seen.sent += 100_000
        await response.write(tail)
        return response

    async def _stream(self, wire: _Wire, seen: Seen, reply: Reply) -> None:
        for _ in range(reply.keepalives):
            await wire.write(": keep-alive\n\n")
            await asyncio.sleep(reply.keepalive_delay_s)
        await asyncio.sleep(reply.first_delay_s)
        if reply.hang == "first_token":
            await self.release.wait()
        if reply.raw is not None:
            for piece in reply.raw:
                await wire.write_bytes(piece.encode("utf-8", "surrogateescape"))
                await asyncio.sleep(reply.chunk_delay_s)
            return
        while reply.endless:
            await wire.data(chunk(seen, reply, {"content": "x" * 1000}))
        for sent, delta in enumerate([*deltas(seen, reply), None]):
            if sent == reply.reset_after:
                wire.reset()
                return
            if sent == reply.close_after:
                return
            if delta is None:
                break
            await wire.data(
                chunk(seen, reply, delta, usage=reply.usage if reply.usage_in_every_chunk else None)
            )
            if sent == 0 and reply.hang == "stream":
                await self.release.wait()
            await asyncio.sleep(reply.chunk_delay_s)
        if reply.error is not None:
            await wire.data({"error": reply.error})
            return
        finish = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
        await wire.data(chunk(seen, reply, {}, finish=finish))
        options = seen.body.get("stream_options") or {}
        if reply.usage is not None and options.get("include_usage") and not reply.usage_in_every_chunk:
            await wire.data(chunk(seen, reply, None, usage=reply.usage))
        if reply.done:
            await wire.write("data: [DONE]\n\n")


class _Wire:
    """Writes events in the dialect that the reply asks for."""

    def __init__(self, request: web.Request, response: web.StreamResponse, reply: Reply) -> None:
        self._request = request
        self._response = response
        self._reply = reply

    async def data(self, value: dict[str, Any]) -> None:
        await self.write(f"data: {json.dumps(value, ensure_ascii=False)}\n\n")

    async def write(self, text: str) -> None:
        await self.write_bytes(text.replace("\n", self._reply.newline).encode())

    async def write_bytes(self, data: bytes) -> None:
        size = 1 if self._reply.drip_s is not None else self._reply.split or len(data)
        for start in range(0, len(data), max(1, size)):
            await self._response.write(data[start : start + size])
            if self._reply.drip_s is not None or self._reply.split:
                await asyncio.sleep(self._reply.drip_s or 0)

    def reset(self) -> None:
        """Close the connection with RST instead of FIN."""
        transport = self._request.transport
        assert transport is not None
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _serve(port: int, script: Path | None, record: Path | None) -> None:
    value: dict[str, Any] = json.loads(script.read_text()) if script else {}
    rules = [(rule["contains"], Reply.parse(rule["reply"])) for rule in value.get("rules", [])]

    def choose(seen: Seen) -> Reply | None:
        return next((reply for text, reply in rules if text in seen.last_user_text), None)

    async with FakeOpenAI(
        *(Reply.parse(reply) for reply in value.get("replies", [])),
        default=Reply.parse(value.get("default", {})),
        choose=choose,
        models=value.get("models", ("fake-1",)),
        port=port,
        record=record,
    ) as api:
        sys.stdout.write(json.dumps({"port": api.port}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.openai_api")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--record", type=Path, help="append each request as a JSON line")
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.script, options.record))


if __name__ == "__main__":
    main()
