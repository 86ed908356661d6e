"""What happens in one conversation, as lines of JSON: first what stands, then what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.control.answers import error_body
from clawd.control.frames import PING, frame_of, line
from clawd.errors import ClawdError
from clawd.watching import EVENTS, PAGE, ConversationWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.control.services import ControlServices
    from clawd.control.waiting import OpenRequests
    from clawd.fanout import Event, Subscription
    from clawd.messages import Address
    from clawd.response import JsonObject
    from clawd.watching import Shown

PING_S = 15.0


class ConversationStream:
    """One client's view of one conversation.

    Args:
        services: The daemon's parts.
        requests: Ends the stream when the server closes.
        address: The conversation.
        after: Cursor of the last entry the client has; empty for the newest page.
        write: Puts bytes on the wire; returns when there is room for more.
        ping_s: A stream that had nothing to say for this long says so.
        page: Entries read at once.
        size: Events kept for a slow reader before it is given the state anew.
    """

    def __init__(
        self,
        services: ControlServices,
        requests: OpenRequests,
        address: Address,
        after: str,
        write: Callable[[bytes], Awaitable[None]],
        *,
        ping_s: float = PING_S,
        page: int = PAGE,
        size: int = EVENTS,
    ) -> None:
        self._requests = requests
        self._write = write
        self._ping_s = ping_s
        self._watch = ConversationWatch(
            services.views,
            services.fanout,
            address,
            after,
            self._show,
            following=self._next,
            closing=lambda: requests.closing,
            page=page,
            size=size,
        )

    async def run(self) -> None:
        """Write frames until the server closes; what the client's absence raises passes through."""
        try:
            await self._watch.run()
        except ClawdError as error:
            await self._send({"type": "error", "error": error_body(error)})

    async def _next(self, events: Subscription) -> Event | None:
        """Return the next event; None, after a ping, when there was none for a while."""
        try:
            async with self._requests.pause(self._ping_s):
                _, event = await events.get()
        except TimeoutError:
            if not self._requests.closing:
                await self._send(PING)
            return None
        return event

    async def _show(self, shown: Shown) -> None:
        frame = frame_of(shown)
        if frame is not None:
            await self._send(frame)

    async def _send(self, frame: JsonObject) -> None:
        await self._write(line(frame))
