"""Requests of the platform that stay open for a moment: whoever sends may answer one of them.

WeChat waits 5 s for an answer. What it is given in that time needs no right and no quota.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.ids import Clock
    from clawd.messages import Address, MessageId

KEEP_S: Final = 60.0  # WeChat asks again within some 20 s
MAX_KEPT: Final = 10_000


class OpenRequest:
    """One message of the platform, however often it asks for the answer to it."""

    def __init__(self, message_id: MessageId, to: str) -> None:
        self.id = message_id
        self.to = to  # whom the message was written to: a reply comes from there
        self.reply: bytes | None = None
        self.tries = 0
        self.touched = 0.0
        self.waiting = 0  # tries that are under way
        self._given = asyncio.Event()
        self._settled = asyncio.Event()
        self._handed = False

    async def wait(self, clock: Clock, seconds: float) -> bytes | None:
        """Return the reply as soon as there is one, None when `seconds` passed first.

        Between None and the end of `OpenRequests.opened` nothing may be awaited.
        """
        if self.reply is None and seconds > 0:
            with suppress(Interrupted):
                await until(self._given, clock.sleep(seconds))
        if self.reply is not None:
            self._handed = True
            self._settled.set()
        return self.reply

    async def give(self, reply: bytes) -> bool:
        """Answer with these bytes; return whether somebody was there to take them away.

        Returns once they are on their way, so that nothing is noted as sent before.
        """
        self.reply = reply
        self._settled.clear()
        self._given.set()
        await self._settled.wait()
        if not self._handed:  # who waited was cancelled
            self.reply = None
            self._given.clear()
        return self._handed

    def left(self) -> None:
        """One try is over."""
        self.waiting -= 1
        if self.waiting == 0:
            self._settled.set()


class OpenRequests:
    """All of them, by message and by address; answered ones are kept for who asks again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[MessageId, OpenRequest] = {}
        self._open: dict[Address, dict[MessageId, OpenRequest]] = {}

    @contextmanager
    def opened(self, message_id: MessageId, address: Address, to: str) -> Iterator[OpenRequest]:
        """Return the request of a message, the same one each time it is asked; it is open in the block."""
        now = self._clock.monotonic()
        self._forget(now)
        request = self._kept.setdefault(message_id, OpenRequest(message_id, to))
        request.tries += 1
        request.touched = now
        request.waiting += 1
        here = self._open.setdefault(address, {})
        here[message_id] = request
        try:
            yield request
        finally:
            request.left()
            if not request.waiting:
                del here[message_id]
                if not here:
                    del self._open[address]

    def find(self, address: Address, message_id: MessageId | None) -> OpenRequest | None:
        """Return an open request of this conversation: that of the message if it is open, else the oldest."""
        here = [r for r in self._open.get(address, {}).values() if r.reply is None]
        return next((r for r in here if r.id == message_id), here[0] if here else None)

    def _forget(self, now: float) -> None:
        """Drop what nobody asks for any more; they stand in the order in which they came."""
        while self._kept:
            key, request = next(iter(self._kept.items()))
            old = request.touched < now - KEEP_S or len(self._kept) > MAX_KEPT
            if not old or request.waiting:
                return
            del self._kept[key]
