"""A bridge at work in front of an inbox, as the daemon runs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from clawd.bridge import Bridge, ClosableBridge, MediaBridge
from clawd.errors import BridgeError
from clawd.media import is_stored

if TYPE_CHECKING:
    from clawd.bridge import BridgeContext
    from clawd.conformance.inbox import MemoryInbox
    from clawd.conformance.platform import Platform
    from clawd.messages import Media

WAIT_S: Final = 20.0


class Receiving:
    """A bridge at work in front of an inbox."""

    def __init__(self, bridge: Bridge, inbox: MemoryInbox, platform: Platform) -> None:
        self.bridge = bridge
        self.inbox = inbox
        self._platform = platform
        self._began = asyncio.Event()
        self._error: BridgeError | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Return once the bridge is connected."""
        self._platform.attach(self.bridge, self.inbox)
        self._task = tasks.create_task(self._run(), name=f"bridge:{self.bridge.name}")
        async with asyncio.timeout(WAIT_S):
            await self._began.wait()
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        try:
            await self.bridge.run(self.inbox, self._began.set)
        except BridgeError as error:  # as the supervisor: what is sent meanwhile has a fate of its own
            self._error = error
            self._began.set()

    async def stop(self) -> None:
        """Cancel the bridge, as the supervisor does, and wait for it."""
        self._platform.detach()
        if self._task is not None:
            self._task.cancel()
            async with asyncio.timeout(5):  # a bridge must not hold up a stop
                await asyncio.wait({self._task})

    async def content(self, part: Media, context: BridgeContext) -> bytes:
        """Return what a file of an inbound message holds, stored already or still at its platform."""
        if is_stored(part.ref):
            pieces = [piece async for piece in context.artifacts.read(part.ref)]
        else:
            assert isinstance(self.bridge, MediaBridge)
            pieces = [piece async for piece in self.bridge.fetch(part)]
        return b"".join(pieces)


async def close(bridge: Bridge) -> None:
    if isinstance(bridge, ClosableBridge):
        await bridge.close()
