"""The bytes are those that OpenTelemetry's own SDK makes of the same spans."""

from __future__ import annotations

import subprocess
import sys

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from clawd import __version__
from clawd.tracing.encoding import encode, refused_of
from clawd.tracing.spans import SentSpan, span_id_of, trace_id_of

RESOURCE = {"service.name": "clawd", "service.instance.id": "abcd"}
TRACE = trace_id_of("turn:abcd-1-1")
ROOT = span_id_of("turn:abcd-1-1", "turn 0")
CHILD = span_id_of("turn:abcd-1-1", "model 1 1 answer m 0")
SPANS = (
    SentSpan(
        trace_id=TRACE,
        span_id=ROOT,
        name="invoke_agent clawd",
        start_ns=10**18,
        end_ns=10**18 + 5,
        attributes={},
    ),
    SentSpan(
        trace_id=TRACE,
        span_id=CHILD,
        parent_id=ROOT,
        name="chat m",
        role="client",
        start_ns=10**18 + 1,
        end_ns=10**18 + 2,
        attributes={
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 7,
            "clawd.cost_usd": 0.25,
            "clawd.clock_set": True,
            "error.type": "E-MODEL-DOWN",
        },
        failed=True,
        message="HTTP 503",
    ),
)


def context(span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(TRACE, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def by_sdk(span: SentSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        resource=Resource(RESOURCE),
        attributes=span.attributes,
        kind=SpanKind.CLIENT if span.role == "client" else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.message) if span.failed else Status(StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope("clawd", __version__),
    )


def test_spans_are_encoded_as_the_sdk_of_opentelemetry_encodes_them() -> None:
    ours = ExportTraceServiceRequest.FromString(encode(SPANS, RESOURCE))
    theirs = encode_spans([by_sdk(span) for span in SPANS])
    assert ours == theirs


def test_half_of_a_surrogate_pair_does_not_cost_the_whole_batch() -> None:
    odd = SentSpan(
        trace_id=TRACE,
        span_id=ROOT,
        name="chat m",
        start_ns=1,
        end_ns=2,
        attributes={"clawd.model": "\ud800m"},
    )
    assert b"?m" in encode([odd], RESOURCE)


def test_an_answer_that_is_no_protobuf_says_nothing() -> None:
    assert refused_of(b"<html>") == (0, "")
    assert refused_of(b"") == (0, "")


def test_a_daemon_that_sends_no_traces_imports_nothing_for_them() -> None:
    code = (
        "import sys, clawd.daemon.serving\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google', 'clawd.tracing.batch', 'clawd.tracing.collector'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
