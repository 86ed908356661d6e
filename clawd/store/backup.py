"""Copies of the whole database: made beside its use, whole under their final name or not there. Blocks.

A backup is one file. What is kept outside of the database (artifacts, later) belongs into the same two
places: `write_backup`, and `stage` in `restoring.py`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from clawd.errors import ClawdError, JournalError, NotPossible
from clawd.store.mark import sync_file, sync_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDER: Final = "backups"  # of the state directory
PUT_ASIDE: Final = ("replaced-", "damaged-")  # begin the names of its folders with a former journal
PARTIAL: Final = ".partial"  # ends the name of a copy that is not whole yet
_STEP_OPS: Final = 1_000  # of SQLite's own instructions between two looks at the progress

Progress = "Callable[[int, int], bool]"
"""Told bytes done and bytes in all from time to time; returns whether to go on."""


class BackupExists(ClawdError):
    """There is a file of that name, and nobody said that it may go."""

    code = "E-EXISTS"

    def __init__(self, path: Path) -> None:
        super().__init__(
            "there is a file of that name already", where=str(path), remedy="another name, or --force"
        )


class BackupStopped(JournalError):
    """Whoever wanted the copy went away; nothing is left of it."""

    code = "E-STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished copy."""

    file: Path
    bytes: int
    duration_s: float


def place_of(target: Path | None, state_dir: Path, now: datetime) -> Path:
    """Return the file that a backup goes to; asks the disk.

    A `target` that is no folder is that file. Within a folder, by default `STATE_DIR/backups`, it gets a name that
    nothing has: `clawd-20261125T184738Z.db`, the next one of the same second `clawd-20261125T184738Z-2.db`.
    """
    if target is not None and not target.is_dir():
        return target
    folder = target if target is not None else state_dir / FOLDER
    name = f"clawd-{now:%Y%m%dT%H%M%SZ}"
    paths = (folder / f"{name}{ending}.db" for ending in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(
        (path for path in paths if not (path.exists() or path.with_name(f"{path.name}{PARTIAL}").exists())),
        folder / f"{name}.db",
    )


def write_backup(
    database: Path,
    target: Path,
    *,
    force: bool = False,
    lock_timeout_s: float = 5.0,
    progress: Callable[[int, int], bool] | None = None,
) -> Backup:
    """Copy a database that others may be using, readers and one writer; nobody waits for it.

    The copy is compact, checked, private (0600) and on the disk, with its name, when this returns. Until
    then it has a name that ends in `.partial`; what a killed process left under such a name for the same
    target is replaced.

    Args:
        database: The source; its write-ahead log counts.
        target: Absolute. A folder `backups` is made (0700) if only that is missing; any other must be there,
            so that a mistyped or unmounted one is told.
        force: Replace a file of that name.
        lock_timeout_s: How long another program's lock is waited for.
        progress: See `Progress`; called in this thread.

    Raises:
        NotPossible: the target would lie where the journal's own files are.
        BackupExists: the target is there.
        BackupStopped: `progress` said so.
        JournalError: the copy could not be written, or the source is damaged.
    """
    if target.parent.resolve() == database.parent.resolve():
        raise NotPossible(
            "a backup has no place among the journal's own files",
            where=str(target),
            remedy=f"another folder, such as {database.parent / FOLDER}",
        )
    began = time.monotonic()
    partial = target.with_name(f"{target.name}{PARTIAL}")
    try:
        if target.exists() and not force:
            raise BackupExists(target)
        if not target.parent.exists() and target.parent.name == FOLDER:
            target.parent.mkdir(mode=0o700)
        try:
            with closing(connect_to_read(database, lock_timeout_s)) as db:
                _copy(db, partial, progress)
            check(partial)
            _put_in_place(partial, target, force=force)
        except BaseException:
            _remove(partial)
            raise
    except OSError as error:
        raise JournalError(
            "the backup can't be written",
            where=str(error.filename or target),
            why=error.strerror or str(error),
        ) from error
    except sqlite3.Error as error:
        raise JournalError("the backup failed", where=str(target), why=str(error)) from error
    size = target.stat().st_size
    log.info("backup_written", extra={"file": str(target), "bytes": size})
    return Backup(file=target, bytes=size, duration_s=round(time.monotonic() - began, 3))


def copy_to(db: sqlite3.Connection, target: Path) -> None:
    """Write a whole copy of an open database under a name, replacing what has it; the same promises.

    Raises:
        sqlite3.Error, OSError: nothing is there under that name but what was before.
    """
    partial = target.with_name(f"{target.name}{PARTIAL}")
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700)
    try:
        _copy(db, partial, None)
        _put_in_place(partial, target, force=True)
    except BaseException:
        _remove(partial)
        raise


def connect_to_read(path: Path, lock_timeout_s: float = 5.0) -> sqlite3.Connection:
    """Return a connection that changes nothing.

    Without a log the file alone is everything: then nobody has it open, and `immutable` leaves no file behind.
    """
    log_file = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log_file.exists() else "immutable=1"
    return sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None, timeout=lock_timeout_s
    )


def check(path: Path) -> None:
    """Read a copy from its first page to its last.

    Raises:
        JournalError: it is damaged.
        sqlite3.Error: it can't even be opened.
    """
    with closing(connect_to_read(path)) as db:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalError(
            "the copy is damaged", where=str(path), why=str(verdict), remedy="clawd journal check"
        )


def list_backups(folder: Path) -> list[tuple[Path, float]]:
    """Return the backups in a folder with the time of each (seconds since 1970), oldest first.

    What a restore or a salvage has put aside there is none: that was the journal, and may be damaged.
    """
    found = []
    with suppress(OSError):
        found = [
            (path, path.stat().st_mtime)
            for path in folder.glob("**/*.db")
            if not path.parent.name.startswith(PUT_ASIDE)
        ]
    return sorted(found, key=lambda item: item[1])


def _copy(db: sqlite3.Connection, partial: Path, progress: Callable[[int, int], bool] | None) -> None:
    _remove(partial)
    # VACUUM INTO takes an empty file, and keeps its permissions.
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    stopped = False
    if progress is not None:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        whole = (pages - free) * size

        def look() -> bool:
            nonlocal stopped
            stopped = not progress(min(partial.stat().st_size, whole), whole)
            return stopped

        db.set_progress_handler(look, _STEP_OPS)
    try:
        db.execute("VACUUM INTO ?", (str(partial),))
    except sqlite3.OperationalError as error:
        if stopped:
            raise BackupStopped("the backup was given up", where=str(partial)) from error
        raise
    finally:
        db.set_progress_handler(None, 0)
    sync_file(partial)  # SQLite does not: lang_vacuum.html, "VACUUM with an INTO clause"


def _put_in_place(partial: Path, target: Path, *, force: bool) -> None:
    if force:
        partial.replace(target)
    else:
        try:
            target.hardlink_to(partial)  # unlike a rename it takes no other file's place
        except FileExistsError as error:
            raise BackupExists(target) from error
        except OSError:  # a file system without hard links
            partial.replace(target)
        else:
            partial.unlink()
    sync_names(target)


def _remove(path: Path) -> None:
    """Remove a copy that is not whole, with the files that SQLite puts beside it."""
    for name in (path.name, f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
