"""What happens in one conversation, as frames: first what stands, then what comes.

The subscription begins before anything is read, so nothing falls between. What the stream shows live is
lossy; a client that falls behind loses events, and is then given the state again from the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.control.answers import error_body
from clawd.control.frames import (
    PING,
    ended_frame,
    entry_frame,
    frame_of,
    line,
    question_frame,
    snapshot_frame,
    turn_of,
)
from clawd.errors import ClawdError
from clawd.fanout import Arrived, Ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.control.services import ControlServices
    from clawd.control.waiting import OpenRequests
    from clawd.fanout import Event, Subscription
    from clawd.ids import TurnId
    from clawd.messages import Address
    from clawd.response import JsonObject

PING_S = 15.0
PAGE = 200
EVENTS = 1000


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
        self._services = services
        self._requests = requests
        self._address = address
        self._cursor = after
        self._write = write
        self._ping_s = ping_s
        self._page = page
        self._size = size
        self._told: set[TurnId] = set()  # turns whose answer went out as an entry: their deltas are stale

    async def run(self) -> None:
        """Write frames until the server closes; what the client's absence raises passes through."""
        try:
            again = False
            while not self._requests.closing:
                with self._services.fanout.subscribe(self._address, size=self._size) as events:
                    await self._state(again=again)
                    await self._follow(events)
                again = True
        except ClawdError as error:
            await self._send({"type": "error", "error": error_body(error)})

    async def _state(self, *, again: bool) -> None:
        """Write the turn in work, every entry after the cursor, and what a turn waits for a person to say.

        Nothing is awaited between the subscription and the look at the live turn: events that come
        later continue exactly where the snapshot ends.
        """
        live = self._services.fanout.live(self._address)
        self._told.clear()
        if live is not None:
            await self._send(snapshot_frame(live))
        ended = await self._entries()
        if again:  # the live `ended` of these may be among what was lost
            for turn in ended:
                await self._send(ended_frame(await self._services.views.turn(turn)))
        for question in await self._services.views.questions(address=self._address):
            await self._send(question_frame(question))

    async def _entries(self) -> list[TurnId]:
        """Write the entries after the cursor; return the turns that they show to be over."""
        ended = []
        while True:
            page = await self._services.views.entries(self._address, after=self._cursor, limit=self._page)
            for entry in page.entries:
                await self._send(entry_frame(entry))
                if entry.role == "assistant" and entry.turn is not None:
                    ended.append(entry.turn)
            newest = not self._cursor
            self._cursor = page.cursor or self._cursor
            if newest or len(page.entries) < self._page:
                self._told.update(ended)
                return ended

    async def _follow(self, events: Subscription) -> None:
        """Write events as they come; return when some were lost or the server closes."""
        while not events.lost:
            try:
                async with self._requests.pause(self._ping_s):
                    _, event = await events.get()
            except TimeoutError:
                if self._requests.closing:
                    return
                await self._send(PING)
            else:
                await self._show(event)

    async def _show(self, event: Event) -> None:
        turn = turn_of(event)
        if isinstance(event, Ended | Arrived):
            await self._entries()  # the durable word goes out before the news that there is one
            if turn is not None:
                self._told.discard(turn)
        elif turn in self._told:
            return
        frame = frame_of(event)
        if frame is not None:
            await self._send(frame)

    async def _send(self, frame: JsonObject) -> None:
        await self._write(line(frame))
