"""The one thread that writes: it drains a queue into one transaction, commits once, and tells everybody.

While a commit is on its way to the disk the next items gather, so the batch grows with the load and
nobody waits for a timer. An item that fails leaves nothing behind, and the others alone.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from clawd.errors import JournalBroken, JournalError, JournalUnavailable
from clawd.observability.counts import Counts
from clawd.store.batch import Item, commit
from clawd.store.failure import Failure, failure_of

if TYPE_CHECKING:
    from typing import NoReturn

log = logging.getLogger(__name__)
T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]

MAX_BATCH: Final = 2048  # items of one transaction, so that the last one of a flood is not kept for long


class Upkeep(Protocol):
    """What the writer's thread does between commits, on its own connection."""

    def after_commit(self, db: sqlite3.Connection) -> float | None:
        """Look after the files; return seconds until `when_idle` is due, None when nothing is."""
        ...

    def when_idle(self, db: sqlite3.Connection) -> float | None:
        """Do what was put off; return as `after_commit`."""
        ...

    def at_close(self, db: sqlite3.Connection) -> None:
        """The last item is committed."""
        ...


class Writer:
    """Runs work in commits of the thread that owns the writing connection.

    Created, used and closed in one event loop; the connection belongs to the thread from `start` on.
    """

    def __init__(self, db: sqlite3.Connection, upkeep: Upkeep, *, max_queue: int = 10_000) -> None:
        self._db = db
        self._upkeep = upkeep
        self._loop = asyncio.get_running_loop()
        self._gathered: list[Item] = []  # handed over once per iteration of the loop
        self._queue: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._max_queue = max_queue
        self._queued = 0  # written and posted, not yet told
        self._outside: deque[asyncio.Future[None]] = deque()  # writes that wait for room
        self._refusal: Callable[[], JournalError] | None = None
        self._stopped = self._loop.create_future()
        self._broken = asyncio.Event()
        self._pause = ""
        self.counts = Counts()
        """Where commits and their errors are counted."""
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    # --- in the loop ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    async def write(
        self,
        work: Work[T] | None,
        *,
        kinds: Sequence[str] = (),
        after: Callable[[T], None] | None = None,
    ) -> T:
        """Return what `work` returned, once it is committed. Cancelling the wait does not undo the write.

        Args:
            work: Runs in the writer's thread inside a transaction that it shares with others: it must
                not commit nor change the schema, and it may be run a second time, after its first run was
                undone. None is an empty item: it proves that the thread lives.
            kinds: Labels of fault points, from `faults.COMMIT_KINDS`.
            after: Called in the loop with the result right after the commit, also when nobody waits
                any more; must not raise.

        Raises:
            JournalUnavailable: disk full, locked, or closing; nothing was written.
            JournalBroken: the disk failed; whether this was written is unknown.
        """
        while self._queued >= self._max_queue and self._refusal is None:
            await self._room()
        if self._refusal is not None:
            raise self._refusal()
        future: asyncio.Future[T] = self._loop.create_future()
        self._gather(Item(work, future, kinds, after))
        return await future

    def post(
        self,
        work: Work[T],
        *,
        kinds: Sequence[str] = (),
        after: Callable[[T], None] | None = None,
    ) -> None:
        """Queue `work` in front of every later write without waiting; for what may be lost."""
        if self._refusal is not None or self._queued >= self._max_queue:
            log.warning("write_dropped", extra={"kinds": list(kinds)})
            return
        self._gather(Item(work, None, kinds, after))

    @property
    def pause(self) -> str:
        """Why nothing could be committed the last time, empty when it could."""
        return self._pause

    async def broken(self) -> NoReturn:
        """Wait until the disk fails or the thread dies, then raise that; the process must stop.

        Raises:
            JournalBroken: always, if anything.
        """
        await self._broken.wait()
        assert self._refusal is not None  # noqa: S101 - set together
        raise self._refusal()

    async def close(self) -> None:
        """Commit what is queued, put the files in order and end the thread; safe to call twice."""
        if self._refusal is None:
            self._refusal = _closing
        if self._gathered:
            self._hand_over()
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.shield(self._stopped)
        self._thread.join()

    async def _room(self) -> None:
        """Wait for a turn to look whether there is room."""
        turn = self._loop.create_future()
        self._outside.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._let_in(1)  # the place that was meant for us
            raise

    def _let_in(self, count: int) -> None:
        while count > 0 and self._outside:
            turn = self._outside.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def _gather(self, item: Item) -> None:
        self._queued += 1
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(item)

    def _hand_over(self) -> None:
        """One hand-over per iteration of the loop: all that its tasks asked for goes in one piece."""
        if self._gathered:
            items, self._gathered = self._gathered, []
            self._queue.put(items)

    def _note(self, failure: Failure | None) -> None:
        """Take in whether a commit went well."""
        pause = ""
        if failure is not None:
            pause = failure.why
            self.counts.journal_errors.add(failure.kind)
        if pause and not self._pause:
            log.error("journal_paused", extra={"why": pause})
        elif self._pause and not pause:
            log.info("journal_resumed")
        self._pause = pause

    def _tell(self, batch: list[Item], failure: Failure | None, *, tried: bool = True) -> None:
        """Tell who waits; unless anything was tried, these were looks whether the thread lives."""
        if tried:
            self._note(failure)
        self._queued -= len(batch)
        if self._outside:
            self._let_in(self._max_queue - self._queued)
        for item in batch:
            error = item.error
            if error is None and item.after is not None:
                item.after(item.result)
            future = item.future
            if future is None:
                if error is not None:
                    log.warning("write_lost", extra={"kinds": list(item.kinds), "error": str(error)})
            elif not future.done():
                if error is None:
                    future.set_result(item.result)
                else:
                    future.set_exception(error)

    def _die(self, cause: BaseException, batch: list[Item]) -> None:
        """The thread has ended early: whoever waits, or comes later, gets JournalBroken."""

        def refusal() -> JournalError:
            error = JournalBroken(
                "the journal failed",
                why=f"{type(cause).__name__}: {cause}",
                remedy="check the disk; clawd doctor; then start again",
            )
            error.__cause__ = cause
            return error

        log.critical("journal_broken", exc_info=cause)
        self._refusal = refusal
        self._hand_over()
        while True:
            try:
                batch.extend(self._queue.get_nowait() or ())
            except Empty:
                break
        for item in batch:
            item.error = refusal()
        self._tell(batch, failure_of(cause))
        self._let_in(len(self._outside))
        self._broken.set()

    def _end(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    # --- in the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[Item] = []
        try:
            self._work_until_closed(batch)
            self._upkeep.at_close(self._db)
        except BaseException as error:  # noqa: BLE001 - the thread's end: who waits must hear of any cause
            self._call(self._die, error, batch)
        finally:
            self._db.close()
            self._call(self._end)

    def _work_until_closed(self, batch: list[Item]) -> None:
        idle_s: float | None = None
        idle_at = 0.0
        closing = False
        while not closing:
            batch.clear()
            try:
                wait_s = None if idle_s is None else max(0.0, idle_at - time.monotonic())
                first = self._queue.get(timeout=wait_s)
            except Empty:
                idle_s = self._upkeep.when_idle(self._db)
            else:
                closing = self._drain(first, batch)
                items = [item for item in batch if item.work is not None]
                failure = self._commit(items) if items else None
                self._call(partial(self._tell, tried=bool(items)), batch.copy(), failure)
                batch.clear()
                if items and failure is None:
                    idle_s = self._upkeep.after_commit(self._db)
            if idle_s is not None:
                idle_at = time.monotonic() + idle_s

    def _drain(self, first: list[Item] | None, batch: list[Item]) -> bool:
        """Fill the batch; return whether the end of the queue was reached for good."""
        more: list[Item] | None = first
        while more is not None:
            batch.extend(more)
            if len(batch) >= MAX_BATCH:
                return False
            try:
                more = self._queue.get_nowait()
            except Empty:
                return False
        return True

    def _commit(self, items: list[Item]) -> Failure | None:
        began = time.perf_counter()
        failure = commit(self._db, items)
        if failure is None:
            self.counts.commit_s.add(time.perf_counter() - began)  # this thread alone writes it
        return failure

    def _call(self, function: Callable[..., None], *args: object) -> None:
        # A loop that is gone has nobody left to tell.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)


def _closing() -> JournalError:
    return JournalUnavailable("the journal is closing", why="clawd stops")
