"""Clients that wait for the end of a turn, and the way to let them all go at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from clawd.fanout import Asked, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.fanout import Fanout, Subscription
    from clawd.ids import TurnId
    from clawd.journal.reading import TurnView, Views

_OVER: Final = frozenset({"answered", "failed", "cancelled", "dead"})


def is_over(view: TurnView) -> bool:
    """Whether the turn has ended."""
    return view.state in _OVER


class Waits:
    """Waits for turns without asking again and again: the fanout tells, the journal is then read."""

    def __init__(self, views: Views, fanout: Fanout) -> None:
        self._views = views
        self._fanout = fanout
        self._open: set[asyncio.Timeout] = set()
        self._closed = False

    async def turn(self, view: TurnView, wait_s: float, *, or_asked: bool = False) -> TurnView:
        """Return the turn as it is once it ended, after `wait_s`, or when `close` was called.

        A message that became part of another turn ends with that one. `or_asked` also returns a turn that
        waits for a person.

        Raises:
            NotFound: it was deleted meanwhile.
        """

        def done(view: TurnView) -> bool:
            return is_over(view) or (or_asked and view.state == "waiting")

        if done(view) or wait_s <= 0 or self._closed:
            return view
        with self._fanout.subscribe(view.conversation) as events:
            # Read again: it may have ended before the subscription began.
            view = await self._views.turn(view.id)
            with self._limit(wait_s) as limit:
                try:
                    async with limit:
                        while not done(view):
                            await _news_of(events, view.id)
                            view = await self._views.turn(view.id)
                except TimeoutError:
                    if not limit.expired():
                        raise
        return view

    def close(self) -> None:
        """Let everybody who waits go with the turn as it is; later calls do not wait."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)

    @contextmanager
    def _limit(self, wait_s: float) -> Iterator[asyncio.Timeout]:
        limit = asyncio.timeout(0 if self._closed else wait_s)
        self._open.add(limit)
        try:
            yield limit
        finally:
            self._open.discard(limit)


async def _news_of(events: Subscription, turn: TurnId) -> None:
    """Return when the turn ended or waits for a person, or when it may, as events were lost."""
    while True:
        _, event = await events.get()
        if events.lost:
            events.lost = False
            return
        if isinstance(event, Ended):
            return  # perhaps that of the turn that the message has become part of
        if isinstance(event, Asked) and event.turn == turn:
            return
