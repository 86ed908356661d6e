"""From updates to the inbox, however they came: polled in batches, or brought by calls one by one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bridges.telegram.inbound import read_batch
from bridges.telegram.pieces import Pieces
from clawd.messages import Moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.telegram.account import Account
    from bridges.telegram.answers import Answers
    from bridges.telegram.inbound import Batch
    from bridges.telegram.joining import Hello
    from clawd.bridge import Inbox
    from clawd.ids import Clock
    from clawd.messages import Cursor

log = logging.getLogger(__name__)


class Intake:
    """What one bot takes in."""

    def __init__(self, clock: Clock, answers: Answers, hello: Hello) -> None:
        self._clock = clock
        self._answers = answers
        self._hello = hello
        self._pieces = Pieces()

    def read(self, updates: Sequence[Any], account: Account) -> Batch:
        """Return the events in updates, with those that belong to one for us addressed as well."""
        batch = read_batch(updates, account, self._clock.now())
        return replace(batch, events=self._pieces.addressed(batch.events))

    async def accept(
        self, batch: Batch, account: Account, inbox: Inbox, cursor: Cursor | None = None
    ) -> None:
        """Store a batch, then answer pressed buttons and greet new groups; raises as the inbox does."""
        results = await inbox.accept(batch.events, cursor)
        for event in batch.events:
            if isinstance(event, Moved):
                # The owner's lists of groups have to name the new id; only he can write it there.
                ids = {"old": event.old.chat, "new": event.new.chat}
                log.warning("group_moved", extra={"bridge": account.bridge, **ids})
        if batch.presses:
            told = {event.id: result for event, result in zip(batch.events, results, strict=True)}
            await self._answers.give(batch.presses, told)
        if batch.joined:
            await self._hello.say(batch.joined, account, inbox)
