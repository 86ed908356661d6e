"""What the writer does between commits: checkpoints, the side file, free pages, and what was asked for."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from clawd.errors import JournalUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.store.mark import Mark

log = logging.getLogger(__name__)
T = TypeVar("T")

Job = Callable[[sqlite3.Connection], T]
"""Runs on the writer's connection between two commits, outside of any transaction."""

LAZY_S: Final = 5.0  # the side file lags at most so far behind; as long without work is "idle"
COMMITS: Final = 200  # a checkpoint is due after so many commits,
CHANGES: Final = 5_000  # or so many changed rows,
GROWTH: Final = 4 << 20  # or when the log has grown by so many bytes
LOG_LIMIT: Final = 32 << 20  # beyond, a checkpoint also waits for readers and cuts the log
FREE_PAGES: Final = 256  # so many free pages stay in the file for what comes next
BITE_PAGES: Final = 128  # given back at once: some milliseconds of the writer's time
BITE_GAP_S: Final = 0.02  # between two bites, for whoever wants to write
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class WalUpkeep:
    """PASSIVE checkpoints between batches, TRUNCATE when idle, the highest id beside the database.

    What deletions leave free goes back to the file system in bites, when idle and with each checkpoint.

    SQLite's own checkpoints run inside COMMIT, where everybody waits for them; these run after everybody
    has been told. The log's size in frames can't be asked for, hence three measures of when one is due.
    """

    def __init__(
        self,
        database: Path,
        mark: Mark,
        highest: Callable[[sqlite3.Connection], int],
        *,
        lazy_s: float = LAZY_S,
    ) -> None:
        self._log_path = database.with_name(f"{database.name}-wal")
        self._mark = mark
        self._highest = highest
        self._lazy_s = lazy_s
        self._commits = 0
        self._changes_seen = 0
        self._size_seen = 0
        self._marked = -1
        self._mark_due: float | None = None
        self._jobs: list[tuple[Job[Any], Future[Any]]] = []
        self.checkpoints = 0

    def ask(self, job: Job[T], done: Future[T]) -> None:
        """Do `job` once the commit that this was called in is over. Called in the writer's thread."""
        if (job, done) not in self._jobs:  # the asking write may run twice
            self._jobs.append((job, done))

    def after_commit(self, db: sqlite3.Connection) -> float | None:
        """Look after the log and do what was asked for; return seconds until idle work is due."""
        try:
            return self._after_commit(db)
        except BaseException as error:
            for _, done in self._jobs:  # the thread ends: nobody may wait for ever
                done.set_exception(JournalUnavailable("the journal failed", why=str(error)))
            raise

    def _after_commit(self, db: sqlite3.Connection) -> float | None:
        self._commits += 1
        size = self._log_size()
        if (
            self._commits >= COMMITS
            or db.total_changes - self._changes_seen >= CHANGES
            or size - self._size_seen >= GROWTH
        ):
            give_back(db)
            self.checkpoint(db, "TRUNCATE" if size > LOG_LIMIT else "PASSIVE")
        while self._jobs:
            _run(*self._jobs.pop(0), db)
        now = time.monotonic()
        if self._mark_due is None:
            self._mark_due = now + self._lazy_s
        elif now >= self._mark_due:
            self._write_mark(db)
        return self._lazy_s

    def when_idle(self, db: sqlite3.Connection) -> float | None:
        """Give back free pages, cut the log, write the side file; return when there is more to do."""
        if give_back(db):
            return BITE_GAP_S
        marked = self._write_mark(db)
        cut = self.checkpoint(db, "TRUNCATE")
        return None if marked and cut else self._lazy_s

    def at_close(self, db: sqlite3.Connection) -> None:
        """The same for the last time; what is still free stays so until the next run."""
        self._write_mark(db)
        self.checkpoint(db, "TRUNCATE")

    def _log_size(self) -> int:
        try:
            return self._log_path.stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, db: sqlite3.Connection, mode: str) -> bool:
        """Run a checkpoint without waiting for readers; return whether it went all the way."""
        (timeout_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
        db.execute("PRAGMA busy_timeout = 0")
        try:
            busy, _, _ = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.OperationalError as error:
            # No space to copy into the database: the log keeps everything, a later one will do it.
            if error.sqlite_errorcode & 0xFF not in _PASSING:
                raise
            log.warning("checkpoint_failed", extra={"error": str(error)})
            busy = 1
        finally:
            db.execute(f"PRAGMA busy_timeout = {timeout_ms}")
        self._commits = 0
        self._changes_seen = db.total_changes
        self._size_seen = self._log_size()
        self.checkpoints += 1
        return not busy

    def _write_mark(self, db: sqlite3.Connection) -> bool:
        highest = self._highest(db)
        self._mark_due = None
        if highest == self._marked:
            return True
        if not self._mark.write(highest):
            return False
        self._marked = highest
        return True


def give_back(db: sqlite3.Connection, *, keep: int = FREE_PAGES, bite: int = BITE_PAGES) -> bool:
    """Give some free pages back to the file system; return whether there are more to give back.

    Nothing happens in a file that was made without `auto_vacuum`.
    """
    if db.execute("PRAGMA auto_vacuum").fetchone() != (2,):
        return False
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    if free <= keep:
        return False
    try:
        # `execute` would stop after the first page: the statement answers a row for each.
        db.executescript(f"PRAGMA incremental_vacuum({min(bite, free - keep)})")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _PASSING:
            raise
        log.warning("vacuum_failed", extra={"error": str(error)})
        return False
    return bool(free - keep > bite)


def _run(job: Job[Any], done: Future[Any], db: sqlite3.Connection) -> None:
    """Run a job and tell who asked for it; raises sqlite3.Error when the disk or the database is broken."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = job(db)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
            done.set_exception(error)
            raise
        done.set_exception(JournalUnavailable("the database can't be put in order now", why=str(error)))
    else:
        done.set_result(result)
