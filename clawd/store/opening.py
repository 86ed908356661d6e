"""How a database file is opened: found or made, proven ours, brought up to date. Blocks: run it in a thread."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from clawd.errors import JournalCorrupt, JournalError, JournalUnavailable
from clawd.store.faults import fault
from clawd.store.lock import StateLock
from clawd.store.mark import Mark, sync_names
from clawd.store.restoring import tidy
from clawd.store.schema import MIGRATIONS, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

FILE: Final = "clawd.db"
_MAGIC: Final = b"SQLite format 3\0"
SPARE_IDS: Final = 1000  # the side file lags some seconds behind, and a row there is not always one elsewhere
QUICK_CHECK_BYTES: Final = 16 << 20  # a greater file is checked by `clawd doctor`, not at every start
CACHE_KB: Final = 2000  # of pages in memory, for each connection; SQLite's own default
VACUUM_BYTES: Final = 256 << 20  # a greater file is not rewritten at a start, nor while others wait
INCREMENTAL: Final = 2  # PRAGMA auto_vacuum: free pages can be given back bit by bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open database under a held lock."""

    db: sqlite3.Connection
    path: Path
    lock: StateLock
    mark: Mark
    warnings: tuple[str, ...]


def open_database(
    state_dir: Path,
    highest: Callable[[sqlite3.Connection], int],
    *,
    lock_timeout_s: float,
    cache_kb: int = CACHE_KB,
    migrations: Path = MIGRATIONS,
) -> Opened:
    """Return the database of a state directory, made if there never was one.

    Args:
        state_dir: Made with mode 0700 if missing.
        highest: Reads the highest id that was ever committed, to compare with the side file.
        lock_timeout_s: How long a statement waits for another process's lock.
        cache_kb: Pages that the connection may keep in memory.
        migrations: Folder of the numbered SQL files.

    Raises:
        JournalLocked: another process has this directory.
        JournalCorrupt: the file is damaged, somebody else's, or gone although there was one.
        SchemaTooNew: a newer clawd wrote it.
        JournalUnavailable: another program has the database locked, or the disk is full.
        JournalError: the directory or the file can't be used.
    """
    path = state_dir / FILE
    with our_errors(path):
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = StateLock.take(state_dir)
        try:
            found = tidy(state_dir, FILE)
            mark = Mark(state_dir)
            _find_or_make(path, mark)
            db = _connect(path, lock_timeout_s, cache_kb)
            try:
                migrate(db, path, migrations)
                _make_shrinkable(db, path)
                warnings = (*((found,) if found else ()), *_compare(db, highest, mark))
            except BaseException:
                db.close()
                raise
        except BaseException:
            lock.release()
            raise
    return Opened(db=db, path=path, lock=lock, mark=mark, warnings=warnings)


def _find_or_make(path: Path, mark: Mark) -> None:
    """See to it that the file is there.

    Reads it before SQLite has it open: closing a descriptor later would take SQLite's own locks away, as
    POSIX locks belong to the process.
    """
    try:
        with path.open("r+b") as file:  # for writing too: SQLite would open a protected file without a word
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        if (number := mark.read()) is not None:
            raise JournalCorrupt(
                "the database is gone",
                where=str(path),
                why=f"{mark.path.name} says it held entries up to {number}; remove that file to begin anew",
            ) from None
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        sync_names(path)
        return
    if head and head != _MAGIC:
        raise JournalCorrupt("this is not a database", where=str(path), why=f"it begins with {head[:8]!r}")
    if not head:
        if mark.read():
            raise JournalCorrupt(
                "the database is empty", where=str(path), why=f"{mark.path.name} says otherwise"
            )
        sync_names(path)  # whoever made it may have died before


def _connect(path: Path, lock_timeout_s: float, cache_kb: int) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=lock_timeout_s,
        cached_statements=256,
        check_same_thread=False,  # opened here, used by the writer's thread alone
    )
    try:
        _set_up(db, path, cache_kb)
    except BaseException:
        db.close()
        raise
    return db


def _set_up(db: sqlite3.Connection, path: Path, cache_kb: int) -> None:
    if not path.stat().st_size:
        # A property of the file, set before anything is in it; later on it would be a write at every start.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError("the database can't use a write-ahead log", where=str(path), why=f"mode {mode}")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # upkeep.py does it between batches
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{cache_kb}")  # negative: in units of 1024 bytes
    # Old versions of a row are zeroed in the page where they stood: a deletion can't find them any more.
    db.execute("PRAGMA secure_delete = FAST")
    if path.stat().st_size <= QUICK_CHECK_BYTES:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise JournalCorrupt("the database is damaged", where=str(path), why=verdict)


def _make_shrinkable(db: sqlite3.Connection, path: Path) -> None:
    """Let a file of an earlier version give back what it frees; it is rewritten once for that."""
    if db.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,) or path.stat().st_size > VACUUM_BYTES:
        return
    fault("journal.before_commit:vacuum")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect with the VACUUM
    try:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            raise
        log.warning("vacuum_put_off", extra={"error": str(error)})
        return
    fault("journal.after_commit:vacuum")
    log.info("database_made_shrinkable", extra={"bytes": path.stat().st_size})


def _compare(
    db: sqlite3.Connection, highest: Callable[[sqlite3.Connection], int], mark: Mark
) -> Iterator[str]:
    """Yield a warning when the database holds less than it once did."""
    said = mark.read()
    found = highest(db)
    if said is not None and found < said:
        log.critical("journal_cut", extra={"committed_once": said, "found": found})
        # Row ids that went with it were given out: a receiver would take what comes under one again for a repeat.
        db.execute("UPDATE sqlite_sequence SET seq = seq + ?", (said - found + SPARE_IDS,))
        yield (
            f"the end of the journal is missing: entries up to {said} had been committed, {found} is the last"
            " one found (the write-ahead log was damaged or removed)"
        )
    elif said is None:
        mark.write(found)


@contextmanager
def our_errors(path: Path) -> Iterator[None]:
    """Raise what the system and SQLite say of this database, or of its directory, as a JournalError."""
    try:
        yield
    except OSError as error:
        raise JournalError(
            "the state directory can't be used",
            where=str(error.filename or path.parent),
            why=error.strerror or str(error),
            remedy="choose another state_dir, or correct its owner and permissions",
        ) from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JournalCorrupt("the database is damaged", where=str(path), why=str(error)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL):
            raise JournalUnavailable("the database can't be opened now", why=str(error)) from error
        raise JournalError("the database can't be opened", where=str(path), why=str(error)) from error
