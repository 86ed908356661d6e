"""A service manager's end of NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Self


class ServiceManager:
    """Receives notifications; `address` is what goes into NOTIFY_SOCKET."""

    def __init__(self, path: Path | str) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)

    async def receive(self) -> dict[str, str]:
        """Return the next datagram's assignments, waiting for it."""
        data = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        return _parsed(data)

    def received(self) -> list[dict[str, str]]:
        """Return all datagrams that are there now."""
        found = []
        while True:
            try:
                found.append(_parsed(self._socket.recv(65536)))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _parsed(data: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in data.decode().splitlines())
