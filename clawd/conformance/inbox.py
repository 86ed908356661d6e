"""An inbox in memory: what a bridge's test needs of the journal, with refusals on request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from clawd.ids import turn_id
from clawd.messages import Accepted, Duplicate, InboundControl, InboundMessage, Replied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.messages import AcceptResult, Cursor, Inbound


class MemoryInbox:
    """Keeps what was accepted, in order, and the cursors; drops repeats by id as the journal does."""

    def __init__(self) -> None:
        self.accepted: list[Inbound] = []  # without repeats
        self.batches: list[tuple[tuple[Inbound, ...], Cursor | None]] = []  # as they came, committed ones
        self.cursors: dict[str, str] = {}
        self.answers: dict[str, AcceptResult] = {}  # by question: what is said to its controls
        self._refusals: list[Exception] = []
        self._seen: dict[str, tuple[Accepted, str | None]] = {}
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[InboundMessage]:
        """The accepted messages, without controls and unreadable updates."""
        return [event for event in self.accepted if isinstance(event, InboundMessage)]

    def refuse(self, *errors: Exception) -> None:
        """Let the next calls of `accept` raise these, one each; nothing of them is kept."""
        self._refusals.extend(errors)

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        await asyncio.sleep(0)  # a commit always lets others run
        if self._refusals:
            error = self._refusals.pop(0)
            self._wake()
            raise error
        results = [self._take(event) for event in batch]
        if cursor is not None:
            self.cursors[cursor.key] = cursor.value
        self.batches.append((tuple(batch), cursor))
        self._wake()
        return results

    async def cursor(self, key: str) -> str | None:
        return self.cursors.get(key)

    async def wait_for(self, count: int, timeout_s: float = 30) -> list[Inbound]:
        """Return everything accepted once there are at least `count` events; raises TimeoutError."""
        await self.wait_until(lambda: len(self.accepted) >= count, timeout_s)
        return list(self.accepted)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        """Return once the condition holds; it is asked after each call of `accept`."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                changed = self._changed
                await changed.wait()

    def _take(self, event: Inbound) -> AcceptResult:
        digest = event.digest if isinstance(event, InboundMessage) else None
        if known := self._seen.get(event.id):
            return Duplicate(turn=known[0].turn, same_body=known[1] == digest)
        self.accepted.append(event)
        accepted = Accepted(turn=turn_id("memory", 1, len(self.accepted)))
        self._seen[event.id] = (accepted, digest)
        if isinstance(event, InboundControl):
            return self.answers.get(event.question or "", Replied(text=""))
        return accepted

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
