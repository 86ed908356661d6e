"""What can still be read of a damaged database, in a new one; the damaged files are put aside, not deleted.

SQLite checks each page only when it is read, so a scan that stops at a damaged page goes on behind it.
Blocks: run it without an event loop, with no daemon on the directory.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import NotPossible
from clawd.store.backup import FOLDER
from clawd.store.lock import StateLock
from clawd.store.mark import Mark, sync_directory
from clawd.store.opening import FILE, our_errors
from clawd.store.schema import APPLICATION_ID, migrate

if TYPE_CHECKING:
    from datetime import datetime

Row = tuple[Any, ...]
Mend = Callable[[sqlite3.Connection], Sequence[str]]
"""Makes the rows that were saved agree with each other; returns sentences about what that cost."""

_ROWS_OF_A_PAGE: Final = 512  # no page of ours holds more rows; behind so many, look in greater steps
_PAGE_BYTES: Final = 4096  # SQLite's default, which we never change
_GREATEST: Final = 1 << 62
_UNKNOWN: Final = 10_000  # how far ids are moved on where the highest one is not known: none is used twice


@dataclass(frozen=True, slots=True)
class SavedTable:
    """How much of a table was saved. `gaps` is how often the scan met something unreadable."""

    name: str
    rows: int
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """The outcome. `aside` is the folder that holds the damaged files."""

    tables: tuple[SavedTable, ...]
    aside: Path
    notes: tuple[str, ...]


def salvage(
    state_dir: Path, mend: Mend, highest: Callable[[sqlite3.Connection], int], now: datetime
) -> Salvaged:
    """Put a new database with all that can be read in the place of a damaged one.

    Args:
        state_dir: Where the database lies.
        mend: Called on the new database, inside its transaction.
        highest: Reads the highest id that was ever committed, for the side file.
        now: Names the folder for the damaged files.

    Raises:
        JournalLocked: a daemon has this directory.
        NotPossible: the database is whole, or there is none.
        SchemaTooNew: a newer clawd wrote it.
        JournalError: no room, or no right; nothing was changed.
    """
    path = state_dir / FILE
    if not path.is_file():
        raise NotPossible("there is no database to salvage", where=str(path))
    with our_errors(path):
        return _salvage(path, mend, highest, now)


def _salvage(path: Path, mend: Mend, highest: Callable[[sqlite3.Connection], int], now: datetime) -> Salvaged:
    state_dir = path.parent
    lock = StateLock.take(state_dir)
    try:
        work = state_dir / "salvage"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            fresh = work / "new.db"
            tables, notes = _save_into(fresh, path, work, mend, Mark(state_dir).read() or 0, highest)
            aside = _put_aside(path, now)
            fresh.replace(path)
            sync_directory(state_dir)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        lock.release()
    return Salvaged(tables=tables, aside=aside, notes=notes)


def _save_into(
    fresh: Path,
    path: Path,
    work: Path,
    mend: Mend,
    marked: int,
    highest: Callable[[sqlite3.Connection], int],
) -> tuple[tuple[SavedTable, ...], tuple[str, ...]]:
    fresh.touch(mode=0o600)
    with closing(sqlite3.connect(fresh, isolation_level=None)) as new:
        new.execute(
            "PRAGMA auto_vacuum = INCREMENTAL"
        )  # as the daemon makes it: then each table begins at the same page
        migrate(new, fresh)
        with closing(_open_copy(path, work, fresh)) as old:
            new.execute("BEGIN IMMEDIATE")
            tables = tuple(_save_table(old, new, name) for name in _tables(new))
            _keep_ids_apart(old, new)
        notes = tuple(mend(new))
        new.execute("COMMIT")
        found = highest(new)
    if found < marked:
        notes = (*notes, f"entries up to {marked} had been committed, {found} is the last one saved")
    return tables, notes


# --- reading what is damaged -----------------------------------------------------------------------------


def _open_copy(path: Path, work: Path, fresh: Path) -> sqlite3.Connection:
    """Open a copy: the log has to be played back, and nothing of that may change the damaged files."""
    copy = work / "old.db"
    log = path.with_name(f"{path.name}-wal")
    tries = (
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    )  # with the log, with a new schema
    for with_log, with_page in tries:
        shutil.copyfile(path, copy)
        for name in ("old.db-wal", "old.db-shm"):
            (work / name).unlink(missing_ok=True)
        if with_log and log.exists():
            shutil.copyfile(log, work / "old.db-wal")
        if with_page:
            _replace_schema(copy, fresh, with_log=with_log and log.exists())
        db = sqlite3.connect(copy, isolation_level=None)
        try:
            if _is_readable(db):
                if not with_page and _is_whole(db):
                    db.close()
                    raise NotPossible("the database is whole: there is nothing to salvage", where=str(path))
                return db
        except sqlite3.DatabaseError:
            pass
        db.close()
    raise NotPossible(
        "nothing in this file can be read as a database of clawd",
        where=str(path),
        remedy="restore a backup",
    )


def _is_readable(db: sqlite3.Connection) -> bool:
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    return bool(owner == APPLICATION_ID and _tables(db))


def _is_whole(db: sqlite3.Connection) -> bool:
    with suppress(sqlite3.DatabaseError):
        return bool(db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    return False


def _replace_schema(copy: Path, fresh: Path, *, with_log: bool) -> None:
    """Give a file the schema's pages of a new database: they name where each table begins, which is the same.

    Source: SQLite file format. Database header: 18 and 19 the log mode, 28 the size in pages, 32 and 36 the
    free list, 24 and 92 equal, or the size is not believed. Page 1, from 100 on: 5 is an inner page, 103 the
    number of its cells, 108 its last child, 112 the places of the cells, which begin with a child.
    """
    content = fresh.read_bytes()
    page = bytearray(content[:_PAGE_BYTES])
    places = [112 + 2 * n for n in range(int.from_bytes(page[103:105], "big"))] if page[100] == 5 else []
    cells = [int.from_bytes(page[place : place + 2], "big") for place in places]
    children = [int.from_bytes(page[cell : cell + 4], "big") for cell in (*cells, 108)] if places else []
    page[18:20] = b"\2\2" if with_log else b"\1\1"
    page[28:32] = (copy.stat().st_size // _PAGE_BYTES).to_bytes(4, "big")
    page[32:40] = bytes(8)
    page[92:96] = page[24:28]
    with copy.open("r+b") as file:
        file.write(page)
        for child in children:
            begin = (child - 1) * _PAGE_BYTES
            file.seek(begin)
            file.write(content[begin : begin + _PAGE_BYTES])


def _tables(db: sqlite3.Connection) -> list[str]:
    """Return the tables that are written to; what a virtual one keeps its rows in follows from them."""
    found = db.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')"
        " AND name NOT LIKE 'sqlite_%'"
    )
    return sorted(name for (name,) in found)


def _save_table(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> SavedTable:
    columns = [row[1] for row in new.execute(f'PRAGMA table_info("{table}")')]
    keys = [row[1] for row in new.execute(f'PRAGMA table_info("{table}")') if row[5]]
    without_rowid = any(row[4] for row in new.execute("PRAGMA table_list") if row[1] == table)
    scan = _by_key(old, table, columns, keys) if without_rowid else _by_number(old, table, columns)
    gaps = 0
    for names, row in scan:
        if row is None:
            gaps += 1
        else:
            quoted = ", ".join(f'"{name}"' for name in names)
            marks = ", ".join("?" * len(names))
            # OR IGNORE: what breaks a rule of the schema is no row of ours any more, or is there already.
            new.execute(f'INSERT OR IGNORE INTO "{table}" ({quoted}) VALUES ({marks})', row)  # noqa: S608 - names of our own schema
    (count,) = new.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - as above
    return SavedTable(table, count, gaps)


Scan = Iterator[tuple[Sequence[str], Row | None]]
"""Columns and the row's values; None for a place where something could not be read."""


def _by_number(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> Scan:
    """Walk through the rows in the order of their numbers, around what is damaged."""
    names = ("rowid", *columns) if "id" not in columns else (columns[0], *columns[1:])
    quoted = ", ".join(name if name == "rowid" else f'"{name}"' for name in names)
    sql = f'SELECT {quoted} FROM "{table}" WHERE rowid >= ? ORDER BY rowid'  # noqa: S608 - names of our own schema
    start = 0
    while True:
        try:
            for row in db.execute(sql, (start,)):
                start = row[0] + 1
                yield names, row
        except sqlite3.DatabaseError:
            yield names, None
        else:
            return
        behind = _readable_from(db, f"{sql} LIMIT 1", start)
        if behind is None:
            return
        start = behind


def _readable_from(db: sqlite3.Connection, sql: str, start: int) -> int | None:
    """Return the first number from which reading works again, None when it never does."""

    def works(number: int) -> bool:
        try:
            db.execute(sql, (number,)).fetchall()
        except sqlite3.DatabaseError:
            return False
        return True

    for number in range(start + 1, start + _ROWS_OF_A_PAGE):
        if works(number):
            return number
    low, step = start + _ROWS_OF_A_PAGE - 1, _ROWS_OF_A_PAGE
    while not works(low + step):
        low, step = low + step, step * 2
        if low > _GREATEST:
            return None
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def _by_key(db: sqlite3.Connection, table: str, columns: Sequence[str], keys: Sequence[str]) -> Scan:
    """Walk from both ends to what is damaged; then take from the indexes what they know of the rest."""
    quoted = ", ".join(f'"{name}"' for name in columns)
    for order in ("ASC", "DESC"):
        by = ", ".join(f'"{key}" {order}' for key in keys)
        try:
            for row in db.execute(f'SELECT {quoted} FROM "{table}" ORDER BY {by}'):  # noqa: S608 - names of our own schema
                yield columns, row
        except sqlite3.DatabaseError:
            yield columns, None
        else:
            return
    for _, index, _, origin, partial in db.execute(f'PRAGMA index_list("{table}")').fetchall():
        if origin != "c" or partial:
            continue
        names = [row[2] for row in db.execute(f'PRAGMA index_info("{index}")')]
        names += [key for key in keys if key not in names]
        quoted = ", ".join(f'"{name}"' for name in names)
        try:
            for row in db.execute(f'SELECT {quoted} FROM "{table}" INDEXED BY "{index}"'):  # noqa: S608 - as above
                yield names, row
        except sqlite3.DatabaseError:
            yield names, None


def _keep_ids_apart(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """See to it that no id is ever given a second time, also not one of a row that was lost."""
    counted: dict[str, int] = {}
    with suppress(sqlite3.DatabaseError):
        counted = dict(old.execute("SELECT name, seq FROM sqlite_sequence"))
    declared = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
    for (table,) in new.execute(declared).fetchall():
        (top,) = new.execute(f'SELECT coalesce(max(rowid), 0) FROM "{table}"').fetchone()  # noqa: S608 - names of our own schema
        number = max(top, counted[table]) if table in counted else top + _UNKNOWN * bool(not counted)
        new.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


# --- the damaged files -----------------------------------------------------------------------------------


def _put_aside(path: Path, now: datetime) -> Path:
    """Give the damaged files a second name below `backups`; the log leaves its place, the database's is taken."""
    backups = path.parent / FOLDER
    backups.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"damaged-{now:%Y%m%d-%H%M%S}-", dir=backups))
    os.link(path, folder / path.name)
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).rename(folder / name)
    sync_directory(folder)
    return folder
