"""Receiving: getupdates in a loop, with the cursor in the same commit as the messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from bridges.weixin.contexts import Contexts, read_state, write_state
from bridges.weixin.errors import IlinkError, TooSlow, is_stale
from bridges.weixin.inbound import read_batch
from clawd.errors import InboxFull, JournalUnavailable
from clawd.messages import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridges.weixin.api import IlinkApi, Updates
    from bridges.weixin.credentials import Credentials
    from clawd.bridge import Inbox
    from clawd.ids import Clock
    from clawd.messages import Inbound

log = logging.getLogger(__name__)

_QUICK_S: Final = 1.0


class Polling:
    """The updates of one account; `contexts` says whom it may write to."""

    def __init__(self, name: str, api: IlinkApi, login: Credentials, clock: Clock) -> None:
        self._name = name
        self._api = api
        self._login = login
        self._clock = clock
        self._key = f"weixin:{login.bot_id}:updates"  # another account begins afresh
        self._cursor = ""
        self._committed = ""
        self.contexts = Contexts()

    async def load(self, inbox: Inbox) -> None:
        """Go on where the last commit stands."""
        self._cursor, self.contexts = read_state(await inbox.cursor(self._key))
        self._committed = write_state(self._cursor, self.contexts)

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled; raises IlinkError."""
        if await self._greeted():
            ready()
        wish_s: float | None = None
        while True:
            began = self._clock.monotonic()
            try:
                updates = await self._api.updates(self._login, self._cursor, wish_s)
            except TooSlow:
                continue  # the normal end of a poll that nothing came in
            ready()
            wish_s = updates.poll_s or wish_s
            await self._take(updates, inbox)
            if not updates.messages and self._clock.monotonic() - began < _QUICK_S:
                await self._clock.sleep(_QUICK_S)  # something in between answers at once: no spinning

    async def _greeted(self) -> bool:
        """Say that we begin; whether the server knows us shows before the first poll ends."""
        try:
            await self._api.notify(self._login, "start")
        except IlinkError as error:
            if is_stale(error):
                raise
            log.debug("not_greeted", extra={"bridge": self._name, "reason": str(error)})
            return False
        return True

    async def _take(self, updates: Updates, inbox: Inbox) -> None:
        batch = read_batch(updates.messages, self._name, self._login.bot_id, self._clock.now())
        # Known before the commit: an answer may be ready at once, and what the server gave stays good.
        for user, context in batch.contexts:
            self.contexts.offer(user, context)
        cursor = updates.cursor or self._cursor
        state = write_state(cursor, self.contexts)
        if batch.events or state != self._committed:
            await self._commit(batch.events, Cursor(key=self._key, value=state), inbox)
            self._committed = state
        self._cursor = cursor

    async def _commit(self, events: Sequence[Inbound], cursor: Cursor, inbox: Inbox) -> None:
        """Return once it is stored. Until then nothing is asked for, so nothing is passed over."""
        while True:
            try:
                await inbox.accept(events, cursor)
            except (InboxFull, JournalUnavailable) as error:
                log.warning("updates_wait", extra={"bridge": self._name, "reason": error.what})
                await self._clock.sleep(error.retry_after_s)
            else:
                return
