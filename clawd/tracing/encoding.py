"""Spans as the bytes that collectors take: OTLP in protobuf. Imports the extra `otel`, so only a thread imports it.

Source: opentelemetry-proto, `opentelemetry/proto/collector/trace/v1/trace_service.proto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from clawd import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.tracing.spans import Role, SentSpan, Value

_KINDS: Final[Mapping[Role, Span.SpanKind.ValueType]] = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "client": Span.SPAN_KIND_CLIENT,
}
_FLAGS: Final = 0x100  # whether the parent is in another process is known, and it is not; as the SDK says it


def encode(spans: Sequence[SentSpan], resource: Mapping[str, str]) -> bytes:
    """Return the body of an export request."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_attributes(resource)),
                scope_spans=[
                    ScopeSpans(
                        scope=InstrumentationScope(name="clawd", version=__version__),
                        spans=[_span(span) for span in spans],
                    )
                ],
            )
        ]
    ).SerializeToString()


def refused_of(body: bytes) -> tuple[int, str]:
    """Return how many spans an answer says it did not take, and why; what can't be read says nothing."""
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return 0, ""
    return partial.rejected_spans, partial.error_message


def _span(span: SentSpan) -> Span:
    return Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        flags=_FLAGS,
        name=span.name,
        kind=_KINDS[span.role],
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        status=Status(code=Status.STATUS_CODE_ERROR, message=span.message) if span.failed else Status(),
    )


def _attributes(values: Mapping[str, Value] | Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=_text(value))
        case tuple():
            values = [AnyValue(string_value=_text(each)) for each in value]
            return AnyValue(array_value=ArrayValue(values=values))


def _text(text: str) -> str:
    """Return the text as protobuf takes it: half of a surrogate pair is no UTF-8."""
    return text.encode(errors="replace").decode()
