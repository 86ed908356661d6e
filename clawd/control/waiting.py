"""Requests that stay open: bounded in number, and ended at once when the server closes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Literal

from clawd.control.answers import Busy
from clawd.fanout import Asked, Ended, HandedBack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from clawd.control.services import ControlServices
    from clawd.fanout import Subscription
    from clawd.ids import TurnId
    from clawd.journal.reading import TurnView

MAX_OPEN = 256
OPEN_STATES = frozenset({"queued", "running", "waiting"})

Awaited = Literal["end", "question"]
"""What a wait for a turn is over by: its end, or also that a person is asked."""

LOOK_S = 15.0
"""A silent wait looks this often whether its client is still there; a stream pings it."""


class OpenRequests:
    """Counts the requests that wait, and ends their waiting when the server closes."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._count = 0
        self._pauses: set[asyncio.Timeout] = set()
        self.closing = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place while a request waits; raises Busy when all are taken."""
        if self._count >= self._limit:
            raise Busy(
                "too many clients wait already",
                why=f"{self._count} streams and waits are open",
                remedy="close some, then try again",
            )
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    @asynccontextmanager
    async def pause(self, seconds: float) -> AsyncIterator[None]:
        """Bound what is awaited inside; raises TimeoutError after `seconds`, or when the server closes."""
        async with asyncio.timeout(0 if self.closing else seconds) as pause:
            self._pauses.add(pause)
            try:
                yield
            finally:
                self._pauses.discard(pause)

    def close(self) -> None:
        """End every pause now, and each later one at once."""
        self.closing = True
        now = asyncio.get_running_loop().time()
        for pause in tuple(self._pauses):
            pause.reschedule(now)


async def turn_after(
    services: ControlServices,
    requests: OpenRequests,
    turn: TurnId,
    wait_s: float,
    connected: Callable[[], bool],
    *,
    until: Awaited = "end",
) -> TurnView:
    """Return the turn once it has ended, or as it stands after `wait_s` seconds.

    A message that became part of another turn ends with that one. `until="question"` also returns a turn
    that waits for a person.

    Raises:
        NotFound: no such turn.
        Busy: too many wait.
    """
    view = await services.views.turn(turn)
    open_states = OPEN_STATES if until == "end" else OPEN_STATES - {"waiting"}
    if wait_s <= 0 or view.state not in open_states:
        return view
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    with requests.one(), services.fanout.subscribe(view.conversation, size=100) as events:
        view = await services.views.turn(turn)  # it may have ended before we subscribed
        while view.state in open_states:
            left_s = deadline - loop.time()
            if left_s <= 0 or requests.closing or not connected():
                return view
            if await _something_changed(requests, events, turn, min(left_s, LOOK_S)):
                view = await services.views.turn(turn)
    return view


async def _something_changed(
    requests: OpenRequests, events: Subscription, turn: TurnId, seconds: float
) -> bool:
    """Return True when the turn's state may have changed, False when nothing of it happened in time."""
    try:
        async with requests.pause(seconds):
            while not events.lost:
                _, event = await events.get()
                if isinstance(event, Ended):
                    return True  # perhaps that of the turn that the message has become part of
                if isinstance(event, HandedBack | Asked) and event.turn == turn:
                    return True
    except TimeoutError:
        return False
    events.lost = False
    return True
