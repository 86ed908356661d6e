"""The read-only connection: questions never wait for the writer, nor the writer for them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

import aiosqlite

from clawd.errors import JournalCorrupt, JournalUnavailable

if TYPE_CHECKING:
    from pathlib import Path

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]

LIMIT_S: Final = 1.0
"""No read takes longer: an old snapshot keeps the write-ahead log from being cut."""


_LATE_S: Final = 0.01
"""A timer that fires later than this found a loop that stood still, and perhaps with the answer at its door."""


class Reader:
    """Runs one SELECT at a time on its own thread."""

    def __init__(self, db: aiosqlite.Connection, path: str, limit_s: float) -> None:
        self._db = db
        self._path = path
        self._limit_s = limit_s
        self._turn = asyncio.Lock()
        self._is_closed = False

    @classmethod
    async def open(cls, path: Path, *, limit_s: float = LIMIT_S, cache_kb: int | None = None) -> Reader:
        """Return a reader of an existing database; `cache_kb` of pages in memory, None: as SQLite does."""
        uri = f"file:{quote(str(path))}?mode=ro"
        db = await aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=256)
        if cache_kb is not None:
            await db.execute_fetchall(f"PRAGMA cache_size = -{cache_kb}")
        return cls(db, str(path), limit_s)

    async def read(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of one statement.

        Raises:
            JournalUnavailable: it took longer than a second, or the database is locked or closed.
            JournalCorrupt: the file is damaged.
        """
        async with self._turn:
            if self._is_closed:  # the thread would meet a connection that is gone
                raise JournalUnavailable("the journal is closed")
            try:
                with _limited(self._limit_s) as limit:
                    async with limit:
                        rows = await self._db.execute_fetchall(sql, parameters)
            except TimeoutError as error:
                await self._db.interrupt()
                raise JournalUnavailable("a read took too long", why=f"over {self._limit_s:g} s") from error
            except asyncio.CancelledError:
                await self._db.interrupt()  # nobody waits for it: make room for the next
                raise
            except sqlite3.DatabaseError as error:
                raise self._ours(error) from error
        return cast(list[Row], rows)

    async def close(self) -> None:
        """End the thread behind the read that is under way; safe to call twice."""
        self._is_closed = True
        await self._db.close()

    def _ours(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT):
            return JournalUnavailable("the database can't be read now", why=str(error))
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR):
            return JournalCorrupt("the database can't be read", where=self._path, why=str(error))
        return error


@contextmanager
def _limited(seconds: float) -> Iterator[asyncio.Timeout]:
    """Return a limit that lasts once more as long where the loop stood still at its end: that time was not the read's."""
    loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)
    due = loop.time() + seconds

    def end() -> None:
        now = loop.time()
        limit.reschedule(now + seconds if now - due > _LATE_S else now)

    timer = loop.call_at(due, end)
    try:
        yield limit
    finally:
        timer.cancel()
