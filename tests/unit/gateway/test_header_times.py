"""How long the headers of a request may take, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from clawd.gateway.connections import Connections

if TYPE_CHECKING:
    from aiohttp import web

LIMIT_S = 10.0


class Http(asyncio.Protocol):
    """The library's protocol, as far as it is told to hang up."""

    closed = False

    def force_close(self) -> None:
        self.closed = True


class Wire(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Time:
    """The loop's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = asyncio.get_running_loop().time()
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def passes(self, seconds: float) -> None:
        """Let what is due by then run."""
        self.now += seconds
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_headers_of_each_request_have_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    time, http = Time(monkeypatch), Http()
    connections = Connections(cast("web.Server", lambda: http), most=lambda: 9, header_timeout_s=LIMIT_S)
    wire = connections()
    wire.connection_made(Wire())
    await time.passes(LIMIT_S - 1)
    wire.data_received(b"the first, whole")
    connections.has_spoken(http)
    connections.has_heard(http)
    wire.data_received(b"the begin of the second")
    await time.passes(LIMIT_S - 1)  # behind the end of the first one's time
    assert not http.closed
    await time.passes(2)
    assert http.closed


async def test_a_connection_that_waits_for_its_next_request_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time, http = Time(monkeypatch), Http()
    connections = Connections(cast("web.Server", lambda: http), most=lambda: 9, header_timeout_s=LIMIT_S)
    wire = connections()
    wire.connection_made(Wire())
    wire.data_received(b"the first, whole")
    connections.has_spoken(http)
    connections.has_heard(http)
    await time.passes(LIMIT_S + 1)
    await time.passes(LIMIT_S + 1)
    assert not http.closed
