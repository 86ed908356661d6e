"""Many items in one transaction: all of them committed together, or what failed of them left out alone.

A batch runs plainly; only if an item failed after it had written is it undone and run again with a savepoint each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import JournalUnavailable
from clawd.store import faults
from clawd.store.failure import Failure, failure_of

if TYPE_CHECKING:
    import asyncio

_PAUSING: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
)
_BREAKING: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class Item:
    """One piece of work and, once it ran, what became of it."""

    __slots__ = ("after", "error", "future", "kinds", "result", "work", "wrote")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], Any] | None,
        future: asyncio.Future[Any] | None,
        kinds: Sequence[str],
        after: Callable[[Any], None] | None,
    ) -> None:
        self.work = work
        self.future = future
        self.kinds = kinds
        self.after = after
        self.result: Any = None
        self.error: Exception | None = None
        self.wrote = False

    def run(self, db: sqlite3.Connection) -> None:
        """Do the work; what it raises is its own, unless the whole transaction suffers."""
        self.error = None
        written = db.total_changes
        try:
            self.result = self.work(db)  # type: ignore[misc] # empty items are never run
        except Exception as error:
            # A future's duty: whatever work raises goes to who waits for it.
            if isinstance(error, sqlite3.Error) and _code(error) in _PAUSING | _BREAKING:
                raise
            self.error = error
        self.wrote = db.total_changes != written


def commit(db: sqlite3.Connection, items: Sequence[Item]) -> Failure | None:
    """Run the items in one transaction; return why it could not be committed, None when it was.

    Raises:
        sqlite3.Error: the disk or the database is broken; never tried again.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        if not _run_plainly(db, items):
            db.execute("ROLLBACK")
            db.execute("BEGIN IMMEDIATE")
            _run_guarded(db, items)
        if faults.armed():
            _faults("before", items)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if _code(error) not in _PAUSING:
            raise
        if db.in_transaction:
            db.execute("ROLLBACK")
        failure = failure_of(error)
        for item in items:
            item.error = JournalUnavailable("nothing can be committed now", why=failure.why)
        return failure
    if faults.armed():
        _faults("after", items)
    return None


def _run_plainly(db: sqlite3.Connection, items: Sequence[Item]) -> bool:
    """Run all items; return False when one failed half-way, and so what it wrote must be undone.

    Nearly every item that fails does so before it writes. To guard each with a savepoint costs as much
    as the writing itself.
    """
    for item in items:
        item.run(db)
        if item.error is not None and item.wrote:
            return False
    return True


def _run_guarded(db: sqlite3.Connection, items: Sequence[Item]) -> None:
    """Run all items again, each within a savepoint."""
    for item in items:
        db.execute("SAVEPOINT item")
        item.run(db)
        if item.error is not None:
            db.execute("ROLLBACK TO item")
        db.execute("RELEASE item")


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code, 0 for errors of Python's own module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _faults(moment: str, items: Sequence[Item]) -> None:
    for item in items:
        if item.error is None and item.wrote:  # a look that found nothing is no boundary
            for kind in item.kinds:
                faults.fault(f"journal.{moment}_commit:{kind}")
