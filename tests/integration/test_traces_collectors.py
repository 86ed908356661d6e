"""Collectors as they stand in companies: behind TLS of their own, behind a proxy, with a token, slow, or not there."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from clawd.config.otel import OtelConfig
from clawd.config.schema import NetworkConfig
from clawd.tracing.collector import Answer, post
from clawd.tracing.encoding import refused_of
from clawd.tracing.settings import read_settings
from tests.fakes.certificates import Certificate, make_certificate
from tests.fakes.collector import Collector, Trouble
from tests.fakes.http_proxy import HttpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SMALL = ExportTraceServiceRequest().SerializeToString()
TOKEN = "recognisable-token-of-the-collector"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "collector.example")


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


async def tell(
    url: str,
    *,
    body: bytes = SMALL,
    network: NetworkConfig | None = None,
    headers: dict[str, str] | None = None,
    ca_file: Path | None = None,
    timeout_s: float = 20.0,
) -> Answer:
    """Send a body by a configuration."""
    config = OtelConfig.model_validate(
        {"allow_http": True, "endpoint": url, "headers": headers or {}, "ca_file": ca_file and str(ca_file)}
    )
    settings, hindrance = read_settings(config, {}, network or NetworkConfig(), instance="i")
    assert settings is not None, hindrance
    return await post(settings, body, NOW, timeout_s=timeout_s)


@asynccontextmanager
async def answering(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/traces", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("where", ["network", "otel"])
async def test_a_collector_with_an_authority_of_its_own_is_trusted_by_its_file(
    tls: ssl.SSLContext, certificate: Certificate, where: str
) -> None:
    network = NetworkConfig(ca_file=str(certificate.cert)) if where == "network" else None
    async with Collector(tls) as collector:
        answer = await tell(
            collector.url, network=network, ca_file=certificate.cert if where == "otel" else None
        )
        assert (answer.outcome, len(collector.bodies)) == ("taken", 1)


async def test_an_authority_that_nobody_vouches_for_gets_nothing_and_is_named_as_the_reason(
    tls: ssl.SSLContext,
) -> None:
    async with Collector(tls) as collector:
        answer = await tell(collector.url, headers={"Authorization": TOKEN})
        assert (answer.outcome, collector.bodies) == ("later", [])
        assert answer.why.startswith("its certificate is not accepted: ")


async def test_a_file_of_authorities_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    answer = await tell("https://127.0.0.1:9", ca_file=tmp_path / "gone.pem")
    assert answer.outcome == "later"
    assert "gone.pem" in answer.why


async def test_a_proxy_is_asked_for_a_plain_collector_and_sees_what_it_forwards() -> None:
    async with Collector() as collector, HttpProxy("user:pass-word") as proxy:
        port = collector.url.rpartition(":")[2]
        network = NetworkConfig(proxy=proxy.url.replace("//", "//user:pass-word@"))
        answer = await tell(f"http://collector.example:{port}", network=network, headers={"X-Api-Key": TOKEN})
        assert answer.outcome == "taken"
        assert proxy.heads[0].startswith(f"POST http://collector.example:{port}/v1/traces HTTP/1.1\r\n")
        assert collector.headers[0]["x-api-key"] == TOKEN


async def test_through_a_tunnel_the_proxy_sees_neither_token_nor_spans(
    tls: ssl.SSLContext, certificate: Certificate
) -> None:
    async with Collector(tls) as collector, HttpProxy() as proxy:
        port = collector.url.rpartition(":")[2]
        network = NetworkConfig(proxy=proxy.url, ca_file=str(certificate.cert))
        answer = await tell(
            f"https://collector.example:{port}",
            network=network,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert answer.outcome == "taken"
        assert collector.headers[0]["authorization"] == f"Bearer {TOKEN}"
        (head,) = proxy.heads
        assert head.startswith("CONNECT ")
        assert TOKEN not in head


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_us_costs_no_span(scheme: str) -> None:
    async with HttpProxy("user:pass-word") as proxy:
        answer = await tell(f"{scheme}://collector.example:9", network=NetworkConfig(proxy=proxy.url))
        assert answer.outcome == "later"
        assert "407" in answer.why


async def test_a_proxy_that_is_down_is_waited_for() -> None:
    answer = await tell("https://collector.example", network=NetworkConfig(proxy="http://127.0.0.1:9"))
    assert (answer.outcome, answer.why) == ("later", "Connection refused")


async def test_a_collector_on_this_machine_is_reached_without_the_proxy() -> None:
    async with Collector() as collector:
        answer = await tell(collector.url, network=NetworkConfig(proxy="http://127.0.0.1:9"))
        assert answer.outcome == "taken"


@pytest.mark.parametrize("status", [402, 407, 511, 520, 522, 530])
async def test_what_somebody_in_between_says_is_no_word_about_the_spans(status: int) -> None:
    async with Collector() as collector:
        collector.always = Trouble(status=status)
        assert (await tell(collector.url)).outcome == "later"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30", 30.0), (format_datetime(NOW + timedelta(seconds=40), usegmt=True), 40.0), ("soon", 0.0)],
)
async def test_a_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    async with Collector() as collector:
        collector.always = Trouble(status=429, headers={"Retry-After": value})
        answer = await tell(collector.url)
        assert (answer.outcome, answer.retry_after_s) == ("later", seconds)


async def test_ten_megabytes_go_out_compressed_and_a_small_request_plain() -> None:
    seen: list[tuple[str, int, int]] = []

    async def take(request: web.Request) -> web.Response:
        raw = b"".join([piece async for piece in request.content.iter_any()])
        seen.append(
            (request.headers.get("Content-Encoding", ""), int(request.headers["Content-Length"]), len(raw))
        )
        return web.Response()

    large = bytes(range(256)) * 40_000
    async with answering(take) as url:
        assert (await tell(url, body=large)).outcome == "taken"
        assert (await tell(url, body=b"\n\0")).outcome == "taken"
    assert seen[0][0] == "gzip"
    assert seen[0][1] == len(gzip.compress(large, 3)) < len(large) // 10
    assert seen[0][2] == len(large)
    assert seen[1] == ("", 2, 2)


async def test_what_was_not_taken_is_counted_though_the_answer_comes_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clawd.tracing.collector._WORDS_S", 30.0)
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="no room for these")
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()

    async def take(request: web.Request) -> web.StreamResponse:
        await request.read()
        reply = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await reply.prepare(request)
        await reply.write(body[:1])
        await asyncio.sleep(0.01)  # so that the pieces are two reads
        await reply.write(body[1:])
        return reply

    async with answering(take) as url:
        answer = await tell(url)
    assert refused_of(answer.body) == (3, "no room for these")


async def test_an_answer_that_breaks_off_or_never_ends_has_been_an_answer() -> None:
    over = asyncio.Event()

    async def break_off(request: web.Request) -> web.StreamResponse:
        await request.read()
        reply = web.StreamResponse(headers={"Content-Length": "100"})
        await reply.prepare(request)
        await reply.write(b"x")
        assert request.transport is not None
        request.transport.abort()
        return reply

    async def never_end(request: web.Request) -> web.StreamResponse:
        await request.read()
        reply = web.StreamResponse()
        await reply.prepare(request)
        while not over.is_set():
            await reply.write(b"x" * 100_000)
            await asyncio.sleep(0)
        return reply

    async with answering(break_off) as url:
        assert (await tell(url)).outcome == "taken"
    async with answering(never_end) as url:
        answer = await tell(url)
        over.set()
    assert answer.outcome == "taken"
    assert len(answer.body) < 2_000_000


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_takes_the_connection_and_says_nothing_is_left(scheme: str) -> None:
    over = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await tell(f"{scheme}://127.0.0.1:{port}", body=b"x" * 5_000_000, timeout_s=0.2)
        over.set()
    assert answer.outcome == "later"
    assert answer.why == "no answer within 0.2 s"
