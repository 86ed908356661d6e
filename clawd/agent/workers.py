"""The pool of workers: claims conversations, longest waiting first, and runs one turn under each lease."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from clawd.errors import Fenced, JournalBroken, JournalError, JournalUnavailable
from clawd.fanout import HandedBack, Held
from clawd.memory import end_if_exhausted
from clawd.observability.about import about

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from clawd.agent.run import TurnRunner
    from clawd.fanout import Fanout
    from clawd.ids import Clock
    from clawd.journal.base import Journal, Lease
    from clawd.journal.reading import TurnView

log = logging.getLogger(__name__)

RETRY_CLAIM_S: Final = 1.0  # while the journal can't commit


async def _none() -> Sequence[TurnView]:
    return ()


class Workers:
    """Up to `concurrency()` turns at once, one per conversation; none of the bridges `without()`.

    `queued` returns the turns that wait, the newest first: who watches one is told when none can be claimed.
    """

    def __init__(
        self,
        journal: Journal,
        fanout: Fanout,
        runner: TurnRunner,
        clock: Clock,
        *,
        concurrency: Callable[[], int],
        without: Callable[[], Collection[str]] = tuple,
        queued: Callable[[], Awaitable[Sequence[TurnView]]] = _none,
    ) -> None:
        self._journal = journal
        self._fanout = fanout
        self._runner = runner
        self._clock = clock
        self._concurrency = concurrency
        self._without = without
        self._queued = queued
        self._is_held = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._pings: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        """Work until `stop_claiming` was called and the turns in work are over; cancelled, hand them back."""
        async with asyncio.TaskGroup() as turns:
            while not self._stopping:
                self._answer_pings()
                delay_s = await self._claim_into(turns)
                await self._journal.work.wait(delay_s)
        self._answer_pings()

    def stop_claiming(self) -> None:
        """Take no further turns; those in work go on."""
        self._stopping = True
        self._journal.work.set()

    async def ping(self) -> None:
        """Return once the dispatching loop has come round: the watchdog's proof of life."""
        if self._stopping:
            return  # nothing is dispatched any more
        future = asyncio.get_running_loop().create_future()
        self._pings.append(future)
        self._journal.work.set()
        await future

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks of the turns in work."""
        return frozenset(self._tasks)

    def _answer_pings(self) -> None:
        for future in self._pings:
            if not future.done():
                future.set_result(None)
        self._pings.clear()

    async def _claim_into(self, turns: asyncio.TaskGroup) -> float | None:
        """Start what can be started; return when to try again without being woken."""
        free = self._concurrency() - len(self._tasks)
        if free <= 0:
            return None  # a turn that ends wakes us
        try:
            leases = await self._journal.claim(free, self._without())
        except JournalUnavailable as error:
            log.warning("claim_paused", extra={"error": str(error)})
            await self._tell_held(error)
            return RETRY_CLAIM_S
        self._is_held = False
        for lease in leases:
            task = turns.create_task(self._work(lease), name=lease.turn)
            self._tasks.add(task)
            task.add_done_callback(self._over)
        return self._journal.next_due_s

    async def _tell_held(self, error: JournalUnavailable) -> None:
        """Tell who watches a turn that nobody can take, once in each pause: its `Started` tells that it is over."""
        if self._is_held:
            return
        self._is_held = True
        try:
            queued = await self._queued()
        except JournalError:
            return
        heads = {view.conversation: view for view in queued if view.waits_for is None}  # the oldest of each
        for address, view in heads.items():
            if self._fanout.live(address) is None:  # one in work tells it by itself
                self._fanout.publish(address, Held(turn=view.id, why=error.why or error.what))

    async def _work(self, lease: Lease) -> None:
        with about(turn=lease.turn, bridge=lease.address.bridge, conversation=lease.address):
            # Taken up again after a crash, a stop, a question: without this line a log of it would have a hole.
            level = logging.INFO if lease.claims > 1 else logging.DEBUG
            log.log(level, "turn_claimed", extra={"claim": lease.claims, "waiting": lease.waiting})
            try:
                await self._turn(lease)
            except asyncio.CancelledError:
                await asyncio.shield(self._hand_back(lease))
                raise
            await self._runner.tidy(lease)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._journal.work.set()

    async def _turn(self, lease: Lease) -> None:
        """The turn boundary: whatever goes wrong inside ends this turn alone."""
        try:
            await self._run_or_fail(lease)
        except Fenced:
            log.warning("turn_fenced")
            self._fanout.publish(lease.address, HandedBack(turn=lease.turn))
        except JournalBroken:
            raise
        except JournalUnavailable as error:
            log.warning("turn_paused", extra={"error": str(error)})
            self._fanout.publish(lease.address, Held(turn=lease.turn, why=error.why or error.what))
            await self._give_up(lease, count=False)  # not the turn's fault
        except Exception as error:  # the turn boundary: rows that can't be read, or an end that failed too
            end_if_exhausted(error)
            log.exception("turn_unreadable")
            await self._give_up(lease, count=True)

    async def _run_or_fail(self, lease: Lease) -> None:
        try:
            await self._runner.run(lease)
        except JournalError:
            raise
        except Exception as error:  # the turn boundary: a bug ends this turn, visibly
            end_if_exhausted(error)
            log.exception("turn_broke")
            await self._runner.break_off(lease, error)

    async def _give_up(self, lease: Lease, *, count: bool) -> None:
        """Hand the turn back after a rest, while this process goes on: nobody else would ever free it."""
        while True:
            await self._clock.sleep(RETRY_CLAIM_S)
            try:
                await self._journal.release(lease, count=count)
            except JournalUnavailable as error:
                log.warning("release_paused", extra={"error": str(error)})
            else:
                break
        self._fanout.publish(lease.address, HandedBack(turn=lease.turn, why="" if count else "held"))

    async def _hand_back(self, lease: Lease) -> None:
        """Hand the turn back at the end of this process, without counting the attempt."""
        try:
            await self._journal.release(lease)
        except JournalError as error:
            # The start after this one takes the turn back anyway.
            log.warning("release_failed", extra={"error": str(error)})
        self._fanout.publish(lease.address, HandedBack(turn=lease.turn))
