"""Connections: how many there may be, and how long a client may let us wait for its headers or its reading."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web_protocol import RequestHandler

log = logging.getLogger(__name__)

HEADER_TIMEOUT_S: Final = 10.0
WRITE_TIMEOUT_S: Final = 10.0
_LOOKS: Final = 4  # within the time for writing
_RESERVED_FILES: Final = 64  # descriptors for the rest of the daemon, or half of a few
_TOLD_S: Final = 10.0  # between two lines about connections that were refused
_ACKED: Final = struct.Struct("120x Q")  # Source: linux/tcp.h, struct tcp_info, tcpi_bytes_acked; Linux 4.1

_REFUSAL: Final = json.dumps(
    {"error": {"code": "too_many_connections", "message": "too many connections are open"}}
).encode()
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_REFUSAL), _REFUSAL)


class Connections:
    """Makes the protocol of each connection, and watches over it.

    Args:
        server: Makes the protocols that speak HTTP.
        most: How many connections there may be; asked for each new one.
        header_timeout_s: How long the headers of a request may take, from the connection or, for later
            requests, from their first byte.
        write_timeout_s: How long a client may take not a single byte of what waits for it.
        opened: Called for every new connection.
    """

    def __init__(
        self,
        server: web.Server,
        *,
        most: Callable[[], int],
        header_timeout_s: float = HEADER_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._most = most
        self._opened = opened
        self.header_timeout_s = header_timeout_s
        self.write_timeout_s = write_timeout_s
        self._open: dict[asyncio.BaseProtocol, _Watched] = {}
        self._refused = 0  # since the last line about them
        self._told_at = -_TOLD_S

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection; for `loop.create_server`."""
        self._opened()
        return _Watched(self, self._server())

    @property
    def are_too_many(self) -> bool:
        """Whether one more would be over the limit, or leave no descriptors for the rest of the daemon."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return len(self._open) >= min(self._most(), files - min(_RESERVED_FILES, files // 2))

    def refused(self) -> None:
        """Count a connection that was one too many; a flood of them is one line in the log now and then."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._told_at + _TOLD_S:
            log.warning("gateway_too_many_connections", extra={"refused": self._refused})
            self._refused, self._told_at = 0, now

    def add(self, protocol: asyncio.BaseProtocol, watched: _Watched) -> None:
        """Count a connection that has been made."""
        self._open[protocol] = watched

    def drop(self, protocol: asyncio.BaseProtocol) -> None:
        """Count it no more."""
        self._open.pop(protocol, None)

    def has_spoken(self, protocol: asyncio.BaseProtocol | None) -> None:
        """Note that the headers of a request came in whole: it is being handled from now on."""
        if protocol is not None and (watched := self._open.get(protocol)):
            watched.has_spoken()

    def has_heard(self, protocol: asyncio.BaseProtocol | None) -> None:
        """Note that the request is handled; what comes in from now on is the next one."""
        if protocol is not None and (watched := self._open.get(protocol)):
            watched.has_heard()

    def close(self) -> None:
        """Stop watching; the server itself closes its connections."""
        for watched in tuple(self._open.values()):
            watched.stop()


class _Watched(asyncio.Protocol):
    """One connection: hands all on to the protocol that speaks HTTP, and hangs up on who keeps it waiting."""

    __slots__ = (
        "_acked",
        "_begun",
        "_busy",
        "_headers",
        "_inner",
        "_left",
        "_owner",
        "_transport",
        "_writing",
    )

    def __init__(self, owner: Connections, inner: RequestHandler) -> None:
        self._owner = owner
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._begun: float | None = None  # loop time of the first byte of headers that are not whole yet
        # One timer serves many requests: to set it for each costs more than to look in vain now and then.
        self._headers: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._acked = 0
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        if self._owner.are_too_many:
            self._owner.refused()
            transport.write(_BUSY)
            transport.close()
            return
        self._transport = transport
        # Whatever the kernel does not take at once counts as waiting; the default would hide 64 kB.
        transport.set_write_buffer_limits(high=1, low=0)
        self._owner.add(self._inner, self)
        self._await_headers()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        self.stop()
        self._owner.drop(self._inner)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._busy and self._begun is None:
            self._await_headers()
        self._inner.data_received(data)

    def eof_received(self) -> None:
        if self._transport is not None:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._transport is None:
            return
        self._inner.pause_writing()
        self._left, self._acked = _LOOKS, _acked_bytes(self._transport)
        self._look_later()

    def resume_writing(self) -> None:
        if self._transport is None:
            return
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._inner.resume_writing()

    def has_spoken(self) -> None:
        self._busy = True
        self._begun = None

    def has_heard(self) -> None:
        self._busy = False

    def stop(self) -> None:
        """Set no more limits."""
        for timer in (self._headers, self._writing):
            if timer is not None:
                timer.cancel()
        self._headers = self._writing = None
        self._busy = True

    def _await_headers(self) -> None:
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        if self._headers is None:
            self._headers = loop.call_later(self._owner.header_timeout_s, self._look_for_headers)

    def _look_for_headers(self) -> None:
        """Hang up if the headers took too long; look again at the end of the time of those under way."""
        self._headers = None
        if self._begun is None:
            return
        loop = asyncio.get_running_loop()
        due = self._begun + self._owner.header_timeout_s
        if loop.time() < due:
            self._headers = loop.call_at(due, self._look_for_headers)
            return
        self._inner.force_close()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._writing = loop.call_later(self._owner.write_timeout_s / _LOOKS, self._look)

    def _look(self) -> None:
        """Hang up if the client has taken nothing for the whole time; a slow one is left alone."""
        self._writing = None
        if self._transport is None:
            return
        acked = _acked_bytes(self._transport)
        self._left = _LOOKS if acked != self._acked else self._left - 1
        self._acked = acked
        if self._left > 0:
            self._look_later()
            return
        log.info("gateway_client_does_not_read")
        self._transport.abort()


def _acked_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes the other side's kernel has taken so far; 0 where the system does not tell."""
    sock = transport.get_extra_info("socket")
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
    except OSError:
        return 0
    return int(_ACKED.unpack(data)[0]) if len(data) == _ACKED.size else 0
