"""A collector of traces on loopback, which decodes what it gets and judges it strictly; and one that fails."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clawd.tracing import conventions as names

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

KNOWN = {
    *(value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)),
    *(outside for table in names.ATTRIBUTES.values() for outside in table.values()),
} - {names.AGENT}
CONTENT = {
    names.INPUT_MESSAGES,
    names.OUTPUT_MESSAGES,
    names.TOOL_ARGUMENTS,
    names.TOOL_RESULT,
    names.QUESTION_SUBJECT,
}
OWN = {"clawd.queue", "clawd.question", "clawd.delivery", "clawd.delivery.attempt"}
CLIENTS = {"chat", "clawd.delivery.attempt"}
YEAR_2025_NS = 1_735_689_600 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What a request meets: a status, or nothing for ever (`hang`), or half of an answer, in drops (`drip`)."""

    kind: Literal["status", "hang", "drip"] = "status"
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Got:
    """One span as it arrived."""

    span: Span
    resource: Mapping[str, Any]

    @property
    def operation(self) -> str:
        return self.span.name.partition(" ")[0]

    @property
    def told(self) -> Mapping[str, Any]:
        return plain(self.span.attributes)

    @property
    def failed(self) -> bool:
        return self.span.status.code == Status.STATUS_CODE_ERROR


class Collector:
    """Takes `POST /v1/traces`. `bodies` are the decompressed bytes of all that came, refused ones too."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.url = ""
        self._tls = tls
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.spans: list[Got] = []
        self.troubles: deque[Trouble] = deque()
        self.always: Trouble | None = None  # meets each request
        self.max_spans: int | None = None  # more than that is answered 413
        self.rejects = 0  # spans of the next request that are not taken
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, condition: Callable[[], object], timeout_s: float = 30) -> None:
        """Return as soon as it holds; it is looked at whenever a request came."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def named(self, operation: str) -> list[Got]:
        return [got for got in self.spans if got.operation == operation]

    def judged(self) -> list[Got]:
        """Return the spans, each once; raises AssertionError for what no backend should be shown."""
        by_id: dict[bytes, Got] = {}
        for got in self.spans:
            before = by_id.setdefault(got.span.span_id, got)
            assert before.span == got.span, "told again, and differently"
        for got in by_id.values():
            _judge(got, by_id)
        return list(by_id.values())

    async def _take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()  # aiohttp has decompressed it
        self.bodies.append(raw)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        assert request.headers["Content-Type"] == "application/x-protobuf"
        trouble = self.troubles.popleft() if self.troubles else self.always
        self._changed.set()
        if trouble is not None:
            return await self._fail(request, trouble)
        message = ExportTraceServiceRequest.FromString(raw)
        spans = [
            Got(span, plain(block.resource.attributes))
            for block in message.resource_spans
            for scope in block.scope_spans
            for span in scope.spans
        ]
        if self.max_spans is not None and len(spans) > self.max_spans:
            return web.Response(status=413)
        self.spans += spans
        refused, self.rejects = self.rejects, 0
        partial = ExportTracePartialSuccess(rejected_spans=refused, error_message="no" if refused else "")
        body = ExportTraceServiceResponse(partial_success=partial if refused else None).SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")

    async def _fail(self, request: web.Request, trouble: Trouble) -> web.StreamResponse:
        if trouble.kind == "status":
            return web.Response(status=trouble.status, headers=trouble.headers, text="the words said: no")
        if trouble.kind == "drip":
            answer = web.StreamResponse(headers={"Content-Length": "100000"})
            await answer.prepare(request)
            await answer.write(b"x")
            await self._over.wait()
            return answer
        await self._over.wait()
        return web.Response(status=503)


def plain(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    """Return attributes as Python values; each key only once."""
    found = {each.key: _plain(each.value) for each in attributes}
    assert len(found) == len(attributes), "a key twice"
    return found


def _plain(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    assert which is not None
    if which == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, which)


def _judge(got: Got, by_id: Mapping[bytes, Got]) -> None:
    span, told = got.span, got.told
    assert {"service.name", "service.version", "service.instance.id"} <= set(got.resource)
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    assert any(span.trace_id)
    assert any(span.span_id)
    assert YEAR_2025_NS < span.start_time_unix_nano <= span.end_time_unix_nano
    assert set(told) <= KNOWN, set(told) - KNOWN
    operation, _, behind = span.name.partition(" ")
    assert operation in (names.OPERATIONS if behind else OWN), span.name
    assert told.get("gen_ai.operation.name", operation) == operation
    expected = Span.SPAN_KIND_CLIENT if operation in CLIENTS else Span.SPAN_KIND_INTERNAL
    assert span.kind == expected
    assert got.failed == ("error.type" in told)
    match operation:
        case "chat":
            assert told["gen_ai.request.model"] == behind
            assert told["gen_ai.provider.name"]
            assert all(isinstance(each, str) for each in told.get("gen_ai.response.finish_reasons", []))
        case "execute_tool":
            assert told["gen_ai.tool.name"] == behind
        case "invoke_agent":
            assert told["gen_ai.agent.name"] == behind
            assert not span.parent_span_id
        case _:
            pass
    if span.parent_span_id:
        around = by_id[span.parent_span_id]
        assert around.span.trace_id == span.trace_id
        assert around.span.start_time_unix_nano <= span.start_time_unix_nano
        if operation != "clawd.delivery":  # that one goes on when the turn has ended
            assert span.end_time_unix_nano <= around.span.end_time_unix_nano
    else:
        assert operation in {"invoke_agent", "clawd.delivery"}
