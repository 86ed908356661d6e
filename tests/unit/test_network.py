from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import NetworkConfig
from clawd.errors import ConfigError
from clawd.network import check_network, client_session, knock, without_proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def test_the_configured_proxy_is_used_and_the_environments_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        async with (
            client_session(NetworkConfig(proxy=address)) as session,
            session.get("http://outside.invalid/path") as response,
        ):
            assert response.status == 204
    assert seen[0].startswith(b"GET http://outside.invalid/path HTTP/1.1\r\n")


@pytest.mark.parametrize("proxy", ["proxy:3128", "ftp://user:hidden@proxy", "hidden"])
def test_what_is_no_proxy_is_refused_without_quoting_it(proxy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_network(NetworkConfig(proxy=proxy))
    assert "hidden" not in f"{caught.value} {caught.value.problems}"
    assert caught.value.problems[0].key == "network.proxy"


def test_a_certificate_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (tmp_path / "none.pem", empty):
        with pytest.raises(ConfigError) as caught:
            check_network(NetworkConfig(ca_file=str(path)))
        assert str(path) in caught.value.problems[0].message


def test_loopback_is_reached_without_the_proxy() -> None:
    network = NetworkConfig(proxy="http://proxy:3128", ca_file="x")
    assert without_proxy(network, "http://127.0.0.1:11434/v1") == NetworkConfig(ca_file="x")
    assert without_proxy(network, "https://api.example.com/v1") is network


async def test_a_connection_whose_line_dies_is_ended_by_the_system() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        looked.set_result(writer.close)

    looked: asyncio.Future[Callable[[], None]] = asyncio.get_running_loop().create_future()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            client_session(NetworkConfig()) as session,
            session.get(f"http://127.0.0.1:{port}/") as response,
        ):
            assert response.connection is not None
            assert response.connection.transport is not None
            used: socket.socket = response.connection.transport.get_extra_info("socket")
            assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            first, between = (
                used.getsockopt(socket.IPPROTO_TCP, each)
                for each in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
            )
            # Linux looks at this, and no more at TCP_KEEPCNT, when it judges: three questions come before it is over.
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * (
                first + 3 * between
            )
            assert (first, between) == (15, 5)
            response.close()
        (await looked)()


async def test_a_knock_goes_to_the_proxy_where_there_is_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        await knock(NetworkConfig(proxy=address), "https://outside.invalid/path", 30)
        proxy.settimeout(0)
        proxy.accept()[0].close()  # it is there
    with pytest.raises(ConnectionRefusedError):
        await knock(NetworkConfig(), address, 30)


async def test_a_knock_is_heard_at_an_address_behind_one_that_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, heard = socket.create_server(("127.0.0.1", 0), backlog=0), socket.create_server(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in (full, heard)]
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with full, heard, socket.socket() as one, socket.socket() as other:
        for each in (one, other):  # who comes behind them is not answered, as where packets get lost
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", ports[0]))
        await knock(NetworkConfig(), "https://two.example/", 30)
