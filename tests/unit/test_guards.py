"""The guards of conftest.py do hold."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.conftest import OutsideNetworkError


def test_an_address_outside_cannot_be_connected_to() -> None:
    with socket.socket() as sock, pytest.raises(OutsideNetworkError):
        sock.connect(("192.0.2.1", 80))


def test_a_datagram_to_the_outside_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(OutsideNetworkError):
        sock.sendto(b"x", ("192.0.2.1", 53))


async def test_a_name_outside_is_not_even_looked_up() -> None:
    with pytest.raises(OutsideNetworkError):
        async with ClientSession() as session, session.get("http://example.com/"):
            pass


def test_an_invalid_name_fails_as_dns_would() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 80)


async def test_loopback_works() -> None:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with ClientSession() as session, session.get(f"http://localhost:{port}/") as answer:
            assert await answer.text() == "hello"
    finally:
        await runner.cleanup()


def test_a_state_dir_leaves_room_for_a_socket_name(state_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(state_dir / "clawd.sock"))
    assert len(str(state_dir)) < 40
    assert state_dir.stat().st_mode & 0o777 == 0o700
