"""Connections over a real socket whose buffers are small."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from aiohttp import web

from clawd.gateway.connections import Connections


async def test_a_client_that_does_not_read_is_hung_up_on_though_little_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "clawd.gateway")

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * 50_000)  # less than a transport holds without a word

    server = web.Server(answer)
    connections = Connections(server, most=lambda: 10, write_timeout_s=0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # accepted ones inherit it
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        async with await loop.create_server(connections, sock=listening):
            await loop.sock_connect(client, listening.getsockname())
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(30):
                while "gateway_client_does_not_read" not in caplog.text:
                    await asyncio.sleep(0.01)
        await server.shutdown()
