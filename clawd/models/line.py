"""A waiting line that is fair to conversations: one of each in turn, and in order within one. No I/O."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter:
    """A request that waits. `woken` is set when it should look again whether it may go."""

    conversation: str
    tokens: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class FairLine:
    """Who waits, and whose turn it is. The first stays first until it leaves; who comes later never passes."""

    def __init__(self) -> None:
        self._conversations: OrderedDict[str, deque[Waiter]] = OrderedDict()
        self._count = 0
        self._tokens = 0

    def __len__(self) -> int:
        return self._count

    @property
    def tokens(self) -> int:
        """What all that wait will take together."""
        return self._tokens

    @property
    def first(self) -> Waiter | None:
        """Whose turn it is."""
        for waiters in self._conversations.values():
            return waiters[0]
        return None

    def join(self, waiter: Waiter) -> None:
        """Wait behind the others of the same conversation; a new conversation waits behind the others."""
        self._conversations.setdefault(waiter.conversation, deque()).append(waiter)
        self._count += 1
        self._tokens += waiter.tokens

    def leave(self, waiter: Waiter, *, served: bool) -> None:
        """Give up the place; when it was `served`, its conversation goes to the back of the line."""
        waiters = self._conversations[waiter.conversation]
        waiters.remove(waiter)
        self._count -= 1
        self._tokens -= waiter.tokens
        if not waiters:
            del self._conversations[waiter.conversation]
        elif served:
            self._conversations.move_to_end(waiter.conversation)
