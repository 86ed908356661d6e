"""One conversation as it happens, for one reader: first what stands, then what comes.

The subscription begins before anything is read, so nothing falls between. What is shown live is lossy; a
reader that falls behind loses events, and is then given the state again from the journal. What is durable
comes by cursor, each entry once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.fanout import Arrived, Ended, Started

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.fanout import Event, Fanout, LiveTurn, Subscription
    from clawd.ids import TurnId
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import EntryView, TurnView, Views
    from clawd.messages import Address

    Shown = LiveTurn | EntryView | TurnView | OpenQuestion | Event
    """What a reader is shown: a turn in work with its text so far; a durable entry; a turn whose live end
    was lost; what a turn waits for; what happens."""

PAGE: Final = 200
EVENTS: Final = 1000
CHARS: Final = 1_000_000


async def next_event(events: Subscription) -> Event | None:
    """Return the next event, however long it takes."""
    _, event = await events.get()
    return event


def turn_of(event: Event) -> TurnId | None:
    """Return the turn an event belongs to, if it belongs to one."""
    match event:
        case Started(lease=lease):
            return lease.turn
        case Arrived():
            return None
        case _:
            return event.turn


class ConversationWatch:
    """One reader's view of one conversation.

    Args:
        views: Where entries, turns and questions are read.
        fanout: Tells what happens.
        address: The conversation.
        after: Cursor of the last entry the reader has; empty for the newest page.
        show: Gives the reader one thing; returns when there is room for more.
        following: Waits for the next event; None when nothing came, to look at `closing`.
        closing: Whether to end.
        page: Entries read at once.
        size: Events kept for a slow reader before it is given the state anew.
        chars: Characters of new text in them, the same way.
    """

    def __init__(
        self,
        views: Views,
        fanout: Fanout,
        address: Address,
        after: str,
        show: Callable[[Shown], Awaitable[None]],
        *,
        following: Callable[[Subscription], Awaitable[Event | None]] = next_event,
        closing: Callable[[], bool] = lambda: False,
        page: int = PAGE,
        size: int = EVENTS,
        chars: int = CHARS,
    ) -> None:
        self._views = views
        self._fanout = fanout
        self._address = address
        self._cursor = after
        self._show = show
        self._following = following
        self._closing = closing
        self._page = page
        self._size = size
        self._chars = chars
        self._told: set[TurnId] = set()  # turns whose answer went out as an entry: their deltas are stale

    async def run(self) -> None:
        """Show what happens until `closing`; what `show` raises passes through.

        Raises:
            NotFound: `after` is no cursor.
            JournalError: the journal can't be read.
        """
        again = False
        while not self._closing():
            with self._fanout.subscribe(self._address, size=self._size, chars=self._chars) as events:
                await self._state(again=again)
                await self._follow(events)
            again = True

    async def _state(self, *, again: bool) -> None:
        """Show the turn in work, every entry after the cursor, and what a turn waits for a person to say.

        Nothing is awaited between the subscription and the look at the live turn: events that come
        later continue exactly where the snapshot ends.
        """
        live = self._fanout.live(self._address)
        self._told.clear()
        if live is not None:
            await self._show(live)
        ended = await self._entries()
        if again:  # the live `ended` of these may be among what was lost
            for turn in ended:
                await self._show(await self._views.turn(turn))
        for question in await self._views.questions(address=self._address):
            await self._show(question)

    async def _entries(self) -> list[TurnId]:
        """Show the entries after the cursor; return the turns that they show to be over."""
        ended = []
        while True:
            page = await self._views.entries(self._address, after=self._cursor, limit=self._page)
            for entry in page.entries:
                await self._show(entry)
                if entry.role == "assistant" and entry.turn is not None:
                    ended.append(entry.turn)
            newest = not self._cursor
            self._cursor = page.cursor or self._cursor
            if newest or len(page.entries) < self._page:
                self._told.update(ended)
                return ended

    async def _follow(self, events: Subscription) -> None:
        """Show events as they come; return when some were lost, or to look at `closing`."""
        while not (events.lost or self._closing()):
            event = await self._following(events)
            if event is not None:
                await self._happened(event)

    async def _happened(self, event: Event) -> None:
        turn = turn_of(event)
        if isinstance(event, Ended | Arrived):
            await self._entries()  # the durable word goes out before the news that there is one
            if turn is not None:
                self._told.discard(turn)
        elif turn in self._told:
            return
        await self._show(event)
