"""Connections that cost more than they bring: too many, too slow, too long; and TLS."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, Disconnected
from clawd.config.schema import GatewayConfig, TlsConfig
from clawd.errors import ConfigError
from clawd.gateway.connections import HEADER_TIMEOUT_S
from clawd.remote import Remote, Untrusted
from clawd.testing import ManualClock
from tests.fakes.certificates import Certificate, make_certificate
from tests.fakes.gateway_site import error_of, read_answer, site
from tests.fakes.loop_clock import jump
from tests.integration.test_gateway_doors import Door

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.fakes.gateway_site import Site

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def opened(here: Site, stack: AsyncExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    stack.callback(writer.close)
    return reader, writer


async def test_more_connections_than_allowed_are_told_so_and_those_before_go_on(state_dir: Path) -> None:
    async with (
        site(state_dir, config=GatewayConfig(port=0, max_connections=20)) as here,
        AsyncExitStack() as stack,
    ):
        kept = [await opened(here, stack) for _ in range(20)]
        for _, writer in kept:
            writer.write(HEALTH)
        assert [(await read_answer(reader))[0] for reader, _ in kept] == [200] * 20
        for _ in range(5):
            reader, _ = await opened(here, stack)
            status, headers, body = await read_answer(reader)
            assert (status, error_of(body)["code"]) == (503, "too_many_connections")
            assert (headers["connection"], headers["retry-after"]) == ("close", "5")
            assert await reader.read() == b""
        kept[0][1].write(HEALTH)
        assert (await read_answer(kept[0][0]))[0] == 200
        kept[1][1].close()
        await kept[1][1].wait_closed()
        await asyncio.sleep(0)
        kept[0][1].write(HEALTH)
        await read_answer(kept[0][0])
        reader, writer = await opened(here, stack)  # a place is free again
        writer.write(HEALTH)
        assert (await read_answer(reader))[0] == 200


@pytest.mark.slow
async def test_a_thousand_idle_connections_leave_after_their_time_and_keep_nobody_out(
    state_dir: Path,
) -> None:
    config = GatewayConfig(port=0, max_connections=100)
    async with site(state_dir, config=config, header_timeout_s=0.2) as here, AsyncExitStack() as stack:
        idle = [await opened(here, stack) for _ in range(1000)]
        for reader, _ in idle:
            await reader.read()  # ends for every one: refused, or hung up on
        status, _, _ = await here.raw(HEALTH)
        assert status == 200


async def test_headers_that_drip_are_hung_up_on_at_the_second_request_too(state_dir: Path) -> None:
    async with site(state_dir) as here, AsyncExitStack() as stack:
        reader, writer = await opened(here, stack)
        writer.write(HEALTH)
        assert (await read_answer(reader))[0] == 200
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        await here.raw(HEALTH)  # what was written before is read by then
        jump(HEADER_TIMEOUT_S + 1)
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ([f"X-{n}: {'v' * 700}" for n in range(60)], {431}),
        ([f"X-{n}: v" for n in range(300)], {400}),
        ([f"X: {'v' * 9000}"], {400}),
        ([f"X-{n}: {'v' * 300}" for n in range(60)], {200}),
    ],
)
async def test_headers_are_bounded_in_number_and_size(
    state_dir: Path, headers: list[str], statuses: set[int]
) -> None:
    async with site(state_dir) as here:
        head = "\r\n".join(["GET /healthz HTTP/1.1", "Host: localhost", *headers]) + "\r\n\r\n"
        status, _, _ = await here.raw(head.encode())
        assert status in statuses


def big_door() -> Any:
    return Door(body=b"x" * 12_000_000)


async def ask_for_much(here: Site) -> socket.socket:
    """Return a socket with a small buffer, which has asked for more than the kernel holds."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", here.port))
    await loop.sock_sendall(
        sock, b"GET /bridges/door HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    return sock


async def test_a_client_that_does_not_read_is_hung_up_on(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "clawd.gateway")
    async with site(state_dir, bridges={"door": big_door()}, write_timeout_s=0.2) as here:
        with await ask_for_much(here) as sock:
            async with asyncio.timeout(30):
                while "gateway_client_does_not_read" not in caplog.text:
                    await asyncio.sleep(0.02)
            loop, count = asyncio.get_running_loop(), 0
            with suppress(ConnectionResetError):
                while data := await loop.sock_recv(sock, 1 << 20):
                    count += len(data)
            assert count < 12_000_000  # what the kernel held, and no more


async def test_a_client_that_reads_slowly_is_left_alone(state_dir: Path) -> None:
    async with site(state_dir, bridges={"door": big_door()}, write_timeout_s=0.2) as here:
        with await ask_for_much(here) as sock:
            loop, count = asyncio.get_running_loop(), 0
            began = loop.time()
            while data := await loop.sock_recv(sock, 1 << 18):
                count += len(data)
                if loop.time() - began < 0.6:  # three times what silence would be given
                    await asyncio.sleep(0.03)
            assert count > 12_000_000


# --- TLS --------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


def tls_site(
    state_dir: Path, certificate: Certificate, clock: ManualClock | None = None
) -> AbstractAsyncContextManager[Site]:
    tls = TlsConfig(cert=str(certificate.cert), key=str(certificate.key))
    return site(state_dir, config=GatewayConfig(port=0, tls=tls), clock=clock)


async def serial(here: Site, ca: Path) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=ca)
    _, writer = await asyncio.open_connection("127.0.0.1", here.port, ssl=context)
    shown = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return str(shown)


async def test_commands_speak_tls_and_check_who_answers(state_dir: Path, certificate: Certificate) -> None:
    async with tls_site(state_dir, certificate) as here:
        url = here.gateway.url or ""
        assert url.startswith("https://127.0.0.1:")
        client = Client(remote=Remote(url=url, token=here.token, ca_file=certificate.cert), timeout_s=5)
        assert (await asyncio.to_thread(client.get, "/status"))["state"] == "ready"
        stream = await asyncio.to_thread(client.stream, "/stream")
        reading = asyncio.ensure_future(asyncio.to_thread(list, stream))
        await asyncio.sleep(0.05)
        stream.close()  # from another thread than the one that waits
        assert await reading == []
        stranger = Client(remote=Remote(url=url, token=here.token), timeout_s=5)
        with pytest.raises(Untrusted) as caught:
            await asyncio.to_thread(stranger.get, "/status")
        assert (caught.value.exit_code, "--ca-file" in caught.value.remedy) == (69, True)


async def test_a_renewed_certificate_is_shown_without_a_restart(
    state_dir: Path, tmp_path: Path, certificate: Certificate
) -> None:
    (tmp_path / "new").mkdir()
    renewed, clock = make_certificate(tmp_path / "new"), ManualClock()
    async with tls_site(state_dir, certificate, clock) as here:
        first = await serial(here, certificate.cert)
        shutil.copy(renewed.cert, certificate.cert)  # half renewed: cert and key do not fit
        await clock.advance(11)
        with pytest.raises(ssl.SSLCertVerificationError):
            await serial(here, certificate.cert)  # still the old one, which the new file does not vouch for
        shutil.copy(renewed.key, certificate.key)
        await clock.advance(11)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await serial(here, renewed.cert) != first
                    break
                except ssl.SSLCertVerificationError:
                    await asyncio.sleep(0.01)  # it is being read


async def test_files_that_are_no_pair_stop_the_start_and_refuse_a_reload(
    state_dir: Path, tmp_path: Path, certificate: Certificate
) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    for wrong in (
        Certificate(certificate.cert, other.key),
        Certificate(certificate.key, certificate.key),
        Certificate(tmp_path / "absent.pem", certificate.key),
    ):
        with pytest.raises(ConfigError, match="certificate and its key"):
            async with tls_site(state_dir, wrong):
                pass
    async with tls_site(state_dir, certificate) as here:
        wrong_config = GatewayConfig(port=0, tls=TlsConfig(cert=str(certificate.cert), key=str(other.key)))
        with pytest.raises(ConfigError):
            await here.gateway.configure(wrong_config)
        assert await serial(here, certificate.cert)


async def test_plain_http_on_the_tls_port_gets_no_answer(state_dir: Path, certificate: Certificate) -> None:
    async with tls_site(state_dir, certificate) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(HEALTH)
        assert b"200" not in await reader.read()
        writer.close()
        plain = Client(remote=Remote(url=f"http://127.0.0.1:{here.port}", token=here.token), timeout_s=5)
        with pytest.raises(Disconnected) as caught:
            await asyncio.to_thread(plain.get, "/status")
        assert "https://" in caught.value.remedy


@pytest.fixture(autouse=True)
async def _descriptors() -> AsyncIterator[None]:
    """Let what the tests opened close in the loop that opened it."""
    yield
    await asyncio.sleep(0)
