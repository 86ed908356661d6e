"""Whether the network is away, as turns find it, and who finds out that it is back.

A turn whose models are all out of reach waits in the journal, without a worker and without an attempt being counted.
While that is so nobody else asks in vain: the one that waits longest is let go at growing intervals, and what it
meets holds for all. Whoever else learns that the network may be back gives a hint, and it goes at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.journal.base import Journal

log = logging.getLogger(__name__)

FIRST_S: Final = 5.0  # until somebody tries again; each time in vain doubles it …
LONGEST_S: Final = 300.0  # … up to this
_RETRY_S: Final = 5.0  # while the journal takes nothing


class Outage:
    """What is known of the network in this process; nothing of it outlives a restart, which tries for itself.

    `run` it beside the agent: it wakes the turns that wait.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self.since: datetime | None = None
        """Since when no model could be reached; None while one can, or nobody has tried."""
        self._began = 0.0  # monotonic
        self._failed_at = 0.0  # monotonic; the last time that a request found nobody
        self._wait_s = 0.0
        self._next = 0.0  # monotonic; when somebody may try
        self._news = asyncio.Event()

    @property
    def away(self) -> bool:
        """Whether nobody was reached by the last who tried."""
        return self.since is not None

    def may_ask(self) -> bool:
        """Whether a request is worth a try; a try while the network is away keeps others from one for a while."""
        if not self.away:
            return True
        now = self._clock.monotonic()
        if now < self._next:
            return False
        self._next = now + self._wait_s
        return True

    def failed(self, begun: float) -> None:
        """Note that a request begun at that monotonic time found every model out of reach."""
        now = self._clock.monotonic()
        if not self.away:
            self.since, self._began, self._wait_s = self._clock.now(), now, FIRST_S
            log.warning("network_away", extra={"next_try_s": FIRST_S})
        elif begun <= self._failed_at:
            return  # it was on its way when another one found out
        else:
            self._wait_s = min(self._wait_s * 2, LONGEST_S)
        self._failed_at = now
        self._next = now + self._wait_s
        self._news.set()

    def reached(self) -> None:
        """Note that somebody out there has answered, whatever they said."""
        if not self.away:
            return
        log.info("network_back", extra={"away_s": round(self._clock.monotonic() - self._began, 1)})
        self.since = None
        self._news.set()

    def hint(self) -> None:
        """Note that the network may be back, such as when a bridge has connected: somebody tries now."""
        if self.away:
            self._next = self._clock.monotonic()
            self._wait_s = FIRST_S
            self._news.set()

    async def run(self) -> None:
        """Let go one waiting turn whenever a try is due, and all of them once the network is back; for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not self.away:
                await self._wake(None)
                continue
            await self._sleep(self._next - self._clock.monotonic())
            if self._is_due():
                await self._wake(1)
                # Who was let go moves the next try ahead, or says that there is an answer; if it ended before it
                # asked, the next one is let go.
                await self._sleep(self._wait_s)
            self._news.set()

    def _is_due(self) -> bool:
        return self.away and self._clock.monotonic() >= self._next

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long by the clock, or until there are news; those are kept."""
        async with asyncio.TaskGroup() as tasks:
            news = tasks.create_task(self._news.wait())
            pause = tasks.create_task(self._clock.sleep(max(0.0, seconds)))
            await asyncio.wait({news, pause}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            pause.cancel()

    async def _wake(self, count: int | None) -> None:
        while True:
            try:
                await self._journal.wake_offline(count)
            except JournalUnavailable as error:
                log.warning("wake_put_off", extra={"error": str(error)})
                await self._clock.sleep(_RETRY_S)
            else:
                return
