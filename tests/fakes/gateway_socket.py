"""A client of the gateway's WebSocket, over a library that is not the server's."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Frame = dict[str, Any]


class Talk:
    """One socket: what is said on it, and what comes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> Frame:
        async with asyncio.timeout(30):
            frame: Frame = json.loads(await self.socket.recv())
        return frame

    async def until(self, kind: str) -> list[Frame]:
        found = [await self.next()]
        while found[-1]["type"] != kind:
            found.append(await self.next())
        return found

    async def asked(self, kind: str, **fields: Any) -> Frame:
        """Say something and return the next frame."""
        await self.say(kind, **fields)
        return await self.next()

    async def closed(self) -> tuple[int | None, str | None]:
        """Return how the server closes, whatever comes before that."""
        async with asyncio.timeout(30):
            with suppress(ConnectionClosed):
                async for _ in self.socket:
                    pass
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def talk(
    port: int, token: str | None, *, app: str | None = None, **options: Any
) -> AsyncIterator[Talk]:
    """Open a socket; `token` goes into its headers, None leaves that to a frame."""
    headers = {**options.pop("headers", {})}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if app is not None:
        headers["X-App-Id"] = app
    # Without a limit of its queue: the library does not read the goodbye while that is full.
    async with connect(
        f"ws://127.0.0.1:{port}/v1/ws", additional_headers=headers, proxy=None, max_queue=None, **options
    ) as socket:
        yield Talk(socket)
