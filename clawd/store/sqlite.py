"""The engine under every table: one writer, one reader, one lock. Modules bring their own SQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.store.opening import CACHE_KB, VACUUM_BYTES, Opened, open_database
from clawd.store.reader import Parameters, Reader, Row
from clawd.store.schema import MIGRATIONS
from clawd.store.upkeep import LAZY_S, Job, WalUpkeep, give_back
from clawd.store.writer import Work, Writer

if TYPE_CHECKING:
    from typing import NoReturn, Self

    from clawd.observability.counts import Counts

__all__ = ["Row", "Store", "Work"]

T = TypeVar("T")

SCRUB_TRIES: Final = 200
SCRUB_PAUSE_S: Final = 0.1  # reads last at most a second; a backup or a check may take minutes


class Store:
    """An open database. Close it before the event loop ends."""

    def __init__(self, opened: Opened, writer: Writer, reader: Reader, upkeep: WalUpkeep) -> None:
        self._lock = opened.lock
        self._mark = opened.mark
        self._writer = writer
        self._upkeep = upkeep
        self._reader = reader
        self.path = opened.path
        self.warnings = opened.warnings
        """What was found wrong at opening but did not prevent it: sentences for the operator."""

    @classmethod
    async def open(
        cls,
        state_dir: Path,
        highest: Callable[[sqlite3.Connection], int],
        *,
        lock_timeout_s: float = 5.0,
        lazy_s: float = LAZY_S,
        cache_kb: int = CACHE_KB,
        migrations: Path = MIGRATIONS,
    ) -> Self:
        """Return the store of a state directory; errors as `opening.open_database`."""
        opened = await asyncio.to_thread(
            open_database,
            state_dir,
            highest,
            lock_timeout_s=lock_timeout_s,
            cache_kb=cache_kb,
            migrations=migrations,
        )
        try:
            # To set it opens the file, and a reader that nobody has asked leaves less behind when it is closed.
            reader = await Reader.open(opened.path, cache_kb=None if cache_kb == CACHE_KB else cache_kb)
        except BaseException:
            opened.db.close()
            opened.lock.release()
            raise
        upkeep = WalUpkeep(opened.path, opened.mark, highest, lazy_s=lazy_s)
        writer = Writer(opened.db, upkeep)
        writer.start()
        return cls(opened, writer, reader, upkeep)

    async def write(
        self,
        work: Work[T],
        *,
        kinds: Sequence[str] = (),
        after: Callable[[T], None] | None = None,
    ) -> T:
        """Return what `work` returned, committed; see `Writer.write`."""
        return await self._writer.write(work, kinds=kinds, after=after)

    def post(
        self,
        work: Work[T],
        *,
        kinds: Sequence[str] = (),
        after: Callable[[T], None] | None = None,
    ) -> None:
        """Queue `work` without waiting; for what may be lost. Later writes are committed after it."""
        self._writer.post(work, kinds=kinds, after=after)

    async def read(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of one SELECT; see `Reader.read`."""
        return await self._reader.read(sql, parameters)

    async def ping(self) -> None:
        """Return once the writer has taken an empty item: it lives, and nothing was committed."""
        await self._writer.write(None)

    async def scrub(self, *, tries: int = SCRUB_TRIES) -> bool:
        """Leave nothing of deleted rows in the files; return whether that was possible.

        A database of up to `opening.VACUUM_BYTES` is rewritten whole: pages keep stale copies of rows that
        have moved. In a greater one, where others would wait for too long, the deleted content was zeroed
        and its pages are given back. Then the log is cut, which has to wait for readers; and a reader that
        never ends is what False means.

        Raises:
            JournalUnavailable: the disk is too full to do it now.
            JournalBroken: the disk failed.
        """
        await self._between(_rewrite)
        for _ in range(tries):
            if await self._between(lambda db: self._upkeep.checkpoint(db, "TRUNCATE")):
                return True
            await asyncio.sleep(SCRUB_PAUSE_S)
        return False

    async def _between(self, job: Job[T]) -> T:
        """Return what `job` returned; it ran in the writer's thread outside of transactions."""
        done: Future[T] = Future()
        try:
            await self._writer.write(lambda _: self._upkeep.ask(job, done))
        except BaseException:
            done.cancel()
            raise
        return await asyncio.wrap_future(done)

    @property
    def mark(self) -> int:
        """What the side file says now; reads a file."""
        return self._mark.read() or 0

    @property
    def pause(self) -> str:
        """Why nothing could be committed the last time (disk full, locked), empty when it could."""
        return self._writer.pause

    def count(self, counts: Counts) -> None:
        """Count commits, and what went wrong with them, there from now on."""
        self._writer.counts = counts

    async def broken(self) -> NoReturn:
        """Raise JournalBroken as soon as the disk has failed a write; else wait for ever."""
        await self._writer.broken()

    async def close(self) -> None:
        """Commit what is queued, put the files in order, let go of the lock; safe to call twice."""
        try:
            await self._writer.close()
        finally:
            await self._reader.close()
            self._lock.release()


def _rewrite(db: sqlite3.Connection) -> None:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    if pages * size <= VACUUM_BYTES:
        db.execute("VACUUM")
        return
    while give_back(db, keep=0, bite=1024):
        pass
