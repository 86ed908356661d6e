"""Whether models are out of reach, as turns find it, and who finds out that they are back.

A turn whose models are all out of reach waits in the journal, without a worker and without an attempt being counted.
While that is so nobody else asks the same models in vain: of those that wait for them the one that waits longest is
let go at growing intervals, and what it meets holds for all. Whoever else learns that the network may be back gives a
hint, and it goes at once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from clawd.errors import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.journal.base import Journal

log = logging.getLogger(__name__)

FIRST_S: Final = 5.0  # until somebody tries again; each time in vain doubles it …
LONGEST_S: Final = 300.0  # … up to this
_RETRY_S: Final = 5.0  # while the journal takes nothing


class Whom(NamedTuple):
    """The models that a turn asks. That these are out of reach says nothing of others."""

    route: str
    pin: str | None = None
    strict: bool = False


@dataclass(kw_only=True)
class _Silence:
    """Models that nobody reaches. Times are monotonic."""

    since: datetime
    began: float
    wait_s: float = FIRST_S
    failed_at: float  # the last time that a request found nobody
    next: float  # when somebody may ask
    let_go: float = float("-inf")  # when a turn was last woken to ask
    waiting: set[int] = field(default_factory=set)  # conversations; some may wait no longer
    deserted: bool = False  # none of them does

    @property
    def due(self) -> float:
        """When to let a turn go: one that ended before it asked has the time of a try."""
        return max(self.next, self.let_go + self.wait_s)


class Outage:
    """What is known of the network in this process; nothing of it outlives a restart, which tries for itself.

    `run` it beside the agent: it wakes the turns that wait.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._silent: dict[Whom, _Silence] = {}
        self._free: set[int] = set()  # conversations that need not wait any more
        self._news = asyncio.Event()

    @property
    def away(self) -> bool:
        """Whether any models were out of reach when they were last asked."""
        return bool(self._silent)

    @property
    def since(self) -> datetime | None:
        """Since when some models could not be reached; None while all can, or nobody has tried."""
        return min((silence.since for silence in self._silent.values()), default=None)

    def misses(self, whom: Whom) -> bool:
        """Whether these models were out of reach when they were last asked."""
        return whom in self._silent

    def may_ask(self, whom: Whom) -> bool:
        """Whether a request is worth a try; a try while they are silent keeps others from one for a while."""
        silence = self._silent.get(whom)
        if silence is None:
            return True
        now = self._clock.monotonic()
        if now < silence.next:
            return False
        silence.next = now + silence.wait_s
        return True

    def failed(self, whom: Whom, begun: float) -> None:
        """Note that a request begun at that monotonic time found every one of these models out of reach."""
        now, silence = self._clock.monotonic(), self._silent.get(whom)
        if silence is None:
            self._silent[whom] = _Silence(
                since=self._clock.now(), began=now, failed_at=now, next=now + FIRST_S
            )
            log.warning("network_away", extra={**_named(whom), "next_try_s": FIRST_S})
        elif begun <= silence.failed_at:
            return  # it was on its way when another one found out
        else:
            silence.wait_s = min(silence.wait_s * 2, LONGEST_S)
            silence.failed_at, silence.next = now, now + silence.wait_s
            silence.let_go = float("-inf")
        self._news.set()

    def reached(self, whom: Whom) -> None:
        """Note that one of these models has answered, whatever it said: a hint for those that wait for others."""
        silence = self._silent.pop(whom, None)
        if silence is None:
            return
        away_s = round(self._clock.monotonic() - silence.began, 1)
        log.info("network_back", extra={**_named(whom), "away_s": away_s})
        self._free |= silence.waiting
        self._news.set()
        self.hint()

    def waits(self, whom: Whom, conv: int) -> None:
        """Note that a conversation's turn waits for these models, now that this is committed."""
        silence = self._silent.get(whom)
        if silence is None:  # they were reached while that was written
            self._free.add(conv)
        else:
            silence.waiting.add(conv)
            silence.deserted = False
        self._news.set()

    def hint(self) -> None:
        """Note that the network may be back, such as when a bridge has connected: somebody tries now."""
        for silence in self._silent.values():
            silence.next, silence.let_go = self._clock.monotonic(), float("-inf")
            silence.wait_s = FIRST_S
            self._news.set()

    async def run(self) -> None:
        """Let go one waiting turn whenever a try is due, and all of them once the network is back; for ever."""
        while True:
            self._news.clear()
            if self._free:
                free, self._free = self._free, set()
                await self._wake(free, None)
                continue
            awaited = [silence for silence in self._silent.values() if not silence.deserted]
            if not awaited:
                await self._news.wait()
                continue
            silence = min(awaited, key=lambda each: each.due)
            if (left_s := silence.due - self._clock.monotonic()) > 0:
                await self._sleep(left_s)
                continue
            silence.let_go = self._clock.monotonic()
            silence.deserted = True  # unless somebody is found, or comes meanwhile: no timer runs for nobody
            if await self._wake(silence.waiting, 1):
                silence.deserted = False

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long by the clock, or until there are news."""
        async with asyncio.TaskGroup() as tasks:
            news = tasks.create_task(self._news.wait())
            pause = tasks.create_task(self._clock.sleep(seconds))
            await asyncio.wait({news, pause}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            pause.cancel()

    async def _wake(self, among: Collection[int], count: int | None) -> int:
        while True:
            try:
                return await self._journal.wake_offline(count, frozenset(among))
            except JournalUnavailable as error:
                log.warning("wake_put_off", extra={"error": str(error)})
                await self._clock.sleep(_RETRY_S)


def _named(whom: Whom) -> dict[str, str]:
    return {"route": whom.route} if whom.pin is None else {"route": whom.route, "model": whom.pin}
