"""What the writer does between commits: checkpoints and the side file."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.store.mark import Mark

log = logging.getLogger(__name__)

LAZY_S: Final = 5.0  # the side file lags at most so far behind; as long without work is "idle"
COMMITS: Final = 200  # a checkpoint is due after so many commits,
CHANGES: Final = 5_000  # or so many changed rows,
GROWTH: Final = 4 << 20  # or when the log has grown by so many bytes
LOG_LIMIT: Final = 32 << 20  # beyond, a checkpoint also waits for readers and cuts the log


class WalUpkeep:
    """PASSIVE checkpoints between batches, TRUNCATE when idle, the highest id beside the database.

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
        self.checkpoints = 0

    def after_commit(self, db: sqlite3.Connection) -> float | None:
        """Look after the log; return seconds until idle work is due."""
        self._commits += 1
        size = self._log_size()
        if (
            self._commits >= COMMITS
            or db.total_changes - self._changes_seen >= CHANGES
            or size - self._size_seen >= GROWTH
        ):
            self._checkpoint(db, "TRUNCATE" if size > LOG_LIMIT else "PASSIVE")
        now = time.monotonic()
        if self._mark_due is None:
            self._mark_due = now + self._lazy_s
        elif now >= self._mark_due:
            self._write_mark(db)
        return self._lazy_s

    def when_idle(self, db: sqlite3.Connection) -> float | None:
        """Cut the log and write the side file; return when to try again if a reader was in the way."""
        marked = self._write_mark(db)
        cut = self._checkpoint(db, "TRUNCATE")
        return None if marked and cut else self._lazy_s

    def at_close(self, db: sqlite3.Connection) -> None:
        """The same for the last time."""
        self.when_idle(db)

    def _log_size(self) -> int:
        try:
            return self._log_path.stat().st_size
        except FileNotFoundError:
            return 0

    def _checkpoint(self, db: sqlite3.Connection, mode: str) -> bool:
        """Run a checkpoint without waiting for readers; return whether it went all the way."""
        (timeout_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
        db.execute("PRAGMA busy_timeout = 0")
        try:
            busy, _, _ = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.OperationalError as error:
            # No space to copy into the database: the log keeps everything, a later one will do it.
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
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
