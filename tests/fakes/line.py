"""A network line to a server on this host that can be cut: nobody listens then, and what was connected is gone.

It can also fall silent: nobody listens either, but what was connected hears nothing of that, nor of anything else.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType


class Line:
    """Carries bytes to and from the server at a URL; `url` is that URL by way of the line, and stays the same."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        # Bound and never listening: while the line is cut the port refuses connections, and is nobody else's.
        self._port_held = socket.socket()
        self._port_held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port_held.bind(("127.0.0.1", 0))
        self._port = int(self._port_held.getsockname()[1])
        self._carrying: set[asyncio.StreamWriter] = set()
        self._silent = False
        self.dropped = asyncio.Event()
        """Something was sent over it while it was silent."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._port}{self._to.path}"

    async def mend(self) -> None:
        """Let connections through; those of a time of silence are gone."""
        for writer in self._carrying:
            writer.transport.abort()
        self._silent = False
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port, reuse_address=True)

    def cut(self) -> None:
        """Refuse connections, and break off those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in self._carrying:
            writer.transport.abort()

    def fall_silent(self) -> None:
        """Refuse connections, and carry nothing more over those that are open."""
        assert self._server is not None
        self._server.close()
        self._silent = True

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._port_held.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(self._to.hostname, self._to.port)
        mine = {writer, to_there}
        self._carrying |= mine
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, to_there))
                both.create_task(self._copy(there, writer))
        finally:
            self._carrying -= mine
            for end in mine:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self._silent:
                    self.dropped.set()
                    continue
                writer.write(data)
                await writer.drain()
        if not self._silent:
            writer.transport.abort()
