"""What no well-behaved client sends: half requests, floods of bytes, other people's names."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import GatewayConfig
from clawd.gateway.connections import HEADER_TIMEOUT_S
from tests.fakes.gateway_site import Site, error_of, read_answer, site
from tests.fakes.loop_clock import jump

if TYPE_CHECKING:
    from pathlib import Path


def post(
    here: Site, body: bytes = b"", *extra: str, length: int | None = None, kind: str = "application/json"
) -> bytes:
    """Return a `POST /v1/messages` as bytes."""
    head = [
        "POST /v1/messages HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {here.token}",
        f"Content-Type: {kind}",
        *(() if length == -1 else (f"Content-Length: {len(body) if length is None else length}",)),
        *extra,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"null", "bad_json"),
        (b'{"text":"\xff"}', "bad_json"),
        (b'{"text":NaN}', "bad_json"),
        (b'{"text":"a","text":"b"}', "bad_json"),
        (b'{"text":' + b"[" * 10_000, "bad_json"),
        (rb'{"text":"\ud800"}', "bad_json"),
        (b'{"text":7}', "bad_request"),
        (b"{}", "bad_request"),
    ],
)
async def test_a_bad_body_is_400_and_the_connection_goes_on(state_dir: Path, body: bytes, code: str) -> None:
    async with site(state_dir) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        for _ in range(2):
            writer.write(post(here, body))
            status, _, answer = await read_answer(reader)
            assert (status, error_of(answer)["code"]) == (400, code)
        writer.close()
        assert here.world.messages == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_that_a_form_could_send_is_415(state_dir: Path, kind: str) -> None:
    async with site(state_dir) as here:
        status, _, _ = await here.raw(post(here, b'{"text":"hi"}', kind=kind))
        assert status == 415


async def test_a_charset_beside_json_is_fine(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, _, _ = await here.raw(post(here, b'{"text":"hi"}', kind="Application/JSON; charset=utf-8"))
        assert status == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
async def test_a_compressed_body_is_refused_unopened(state_dir: Path, encoding: str) -> None:
    bomb = zlib.compress(b'{"text":"' + b"x" * 50_000_000 + b'"}')
    async with site(state_dir) as here:
        status, _, _ = await here.raw(post(here, bomb, f"Content-Encoding: {encoding}"))
        assert status == 415


async def test_a_huge_body_is_refused_by_its_length_before_it_is_sent(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, headers, answer = await here.raw(post(here, b"", length=50_000_000))
        assert (status, error_of(answer)["code"]) == (413, "too_large")
        assert headers["connection"] == "close"


async def test_a_body_without_a_length_is_refused_once_it_is_over_the_cap(state_dir: Path) -> None:
    async with site(state_dir) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(post(here, b"", "Transfer-Encoding: chunked", length=-1))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answered = asyncio.ensure_future(read_answer(reader))
        try:
            for _ in range(800):  # 50 MB if nobody stops us
                writer.write(chunk)
                await writer.drain()
                if answered.done():
                    break
        except ConnectionError:
            pass
        status, _, _ = await answered
        writer.close()
        assert status == 413
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


async def test_a_body_without_a_length_is_bounded_though_all_of_it_came_with_its_headers(
    state_dir: Path,
) -> None:
    async with site(state_dir, config=GatewayConfig(port=0, max_body_bytes=1024)) as here:
        body = b'{"text":"%b"}' % (b"x" * 2000)
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        status, _, answer = await here.raw(post(here, chunks, "Transfer-Encoding: chunked", length=-1))
        assert (status, error_of(answer)["code"]) == (413, "too_large")


async def test_a_body_that_drips_is_given_up(state_dir: Path) -> None:
    async with site(state_dir, body_timeout_s=0.1) as here:
        status, headers, _ = await here.raw(post(here, b'{"te', length=100))
        assert (status, headers["connection"]) == (408, "close")


async def test_headers_that_drip_are_hung_up_on(state_dir: Path) -> None:
    async with site(state_dir, header_timeout_s=0.1) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: loc")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_has_spoken_is_kept(state_dir: Path) -> None:
    async with site(state_dir) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        silent, other = await asyncio.open_connection("127.0.0.1", here.port)
        for number in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_answer(reader))[0] == 200
            if number == 1:
                jump(HEADER_TIMEOUT_S + 1)
                assert await silent.read() == b""  # hung up on: so the time is over for the first one too
        writer.close()
        other.close()


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_no_trace(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(state_dir) as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(post(here, b'{"te', length=100))
        await writer.drain()
        writer.transport.abort()
        assert (await here.call("GET", "/healthz"))[0] == 200
        assert here.world.messages == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (["Host: evil.test"], 403, "foreign_host"),
        (["Host: localhost", "Origin: http://evil.test"], 403, "foreign_origin"),
        (["Host: localhost", "Origin: null"], 403, "foreign_origin"),
    ],
)
async def test_foreign_names_are_refused_at_every_path(
    state_dir: Path, headers: list[str], status: int, code: str
) -> None:
    async with site(state_dir) as here:
        for path in ("/healthz", "/v1/messages/x", "/bridges/hook", "/nowhere"):
            request = "\r\n".join([f"GET {path} HTTP/1.1", *headers]).encode() + b"\r\n\r\n"
            found, _, body = await here.raw(request)
            assert (found, error_of(body)["code"]) == (status, code)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"NONSENSE\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    ],
)
async def test_what_is_not_http_is_answered_400_and_hurts_nobody(
    state_dir: Path, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(state_dir) as here:
        assert (await here.raw(request_bytes))[0] == 400
        assert (await here.call("GET", "/healthz"))[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_stop_does_not_wait_for_a_body_that_never_ends(state_dir: Path) -> None:
    async with site(state_dir) as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(post(here, b'{"te', length=100))
        await writer.drain()
        await here.call("GET", "/healthz")
        began = time.monotonic()
        await here.gateway.stop()
        assert time.monotonic() - began < 8, "not the ten seconds that a body may take"
        writer.close()


async def test_no_token_is_ever_logged(state_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with site(state_dir) as here:
        await here.call("POST", "/v1/messages", json={"text": "hi"})
        await here.call("POST", "/v1/messages", token="wrong-token", json={"text": "hi"})
        here.world.failure = RuntimeError("boom")
        async with here.client.post(
            "/v1/messages", json={"text": "hi"}, headers={"Authorization": f"Bearer {here.token}"}
        ) as response:
            assert response.status == 500
            assert "boom" not in await response.text()
        assert here.token not in caplog.text
        assert "wrong-token" not in caplog.text
