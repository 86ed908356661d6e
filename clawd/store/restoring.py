"""A backup takes the database's place; a kill at any moment leaves one of the two, whole. Blocks.

The caller holds the state lock.

The order: the backup is copied to `clawd.db.restoring`, changed there and brought to the disk; then the
plan is, as `restore.json`. From that instant on the restore will happen: whoever comes next, this process
or the next start, carries it to its end (`finish`). Before it, nothing has happened.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt, JournalError, SchemaTooNew
from clawd.store.backup import FOLDER, connect_to_read, copy_to
from clawd.store.faults import fault
from clawd.store.mark import Mark, sync_directory, sync_file
from clawd.store.schema import APPLICATION_ID, newest_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

log = logging.getLogger(__name__)

PLAN: Final = "restore.json"
MAGIC: Final = b"SQLite format 3\0"
UNKNOWN_MARGIN: Final = 1_000_000
"""How far ids jump when the replaced database could not be asked: more than any lag of the side file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Ids that must not be given again: the highest of each table, and a margin for tables not asked."""

    ids: Mapping[str, int]
    margin: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a restore is going to do. File names are relative to the state directory."""

    source: str  # the backup, for people
    staged: str
    aside: str  # folder of what is replaced
    highest: int  # the side file's number afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A backup that may be restored."""

    file: Path
    bytes: int
    schema: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did. `replaced` is None where there was no database."""

    source: Path
    replaced: Path | None


def check_backup(path: Path) -> Checked:
    """Read a backup whole.

    Raises:
        JournalCorrupt: it is no database, not one of ours, or damaged.
        SchemaTooNew: a newer clawd wrote it.
        JournalError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
        if head != MAGIC:
            raise JournalCorrupt(
                "this is not a database", where=str(path), why=f"it begins with {head[:8]!r}"
            )
        with closing(connect_to_read(path)) as db:
            (owner,) = db.execute("PRAGMA application_id").fetchone()
            if owner != APPLICATION_ID:
                raise JournalCorrupt(
                    "this database belongs to another program",
                    where=str(path),
                    why=f"application id {owner:#x}",
                )
            (schema,) = db.execute("PRAGMA user_version").fetchone()
            if schema > newest_schema():
                raise SchemaTooNew(str(path), schema, newest_schema())
            wrong = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
            if wrong != ["ok"]:
                raise JournalCorrupt("this backup is damaged", where=str(path), why="; ".join(wrong))
    except OSError as error:
        raise JournalError(
            "the backup can't be read", where=str(path), why=error.strerror or str(error)
        ) from error
    except sqlite3.Error as error:
        raise JournalCorrupt("this backup is damaged", where=str(path), why=str(error)) from error
    return Checked(file=path, bytes=path.stat().st_size, schema=schema)


def restore(
    state_dir: Path,
    source: Path,
    now: datetime,
    *,
    database: str,
    adapt: Callable[[sqlite3.Connection, Floor, str], int],
) -> Restored:
    """Put a checked backup in the database's place, and the replaced one into a folder below `backups`.

    Args:
        state_dir: Its lock is held.
        source: See `check_backup`.
        now: Names the folder.
        database: The database's file name.
        adapt: Changes the copy before it counts, given the ids that have to be exceeded and where the
            replaced database will be; returns the side file's number.

    Raises:
        JournalError: it could not be prepared; nothing has changed.
    """
    finish(state_dir, database)  # an earlier one first
    path = state_dir / database
    staged = state_dir / f"{database}.restoring"
    try:
        _remove(staged)
        try:
            floor = _floor(path, Mark(state_dir))
            aside = _make_aside(state_dir, now)
            with closing(connect_to_read(source)) as db:
                copy_to(db, staged)
            fault("restore.after:copy")
            with closing(sqlite3.connect(staged, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                highest = adapt(db, floor, str(state_dir / aside))
                db.execute("COMMIT")
            sync_file(staged)
            fault("restore.after:adapt")
            plan = Plan(
                source=str(source),
                staged=staged.name,
                aside=aside,
                highest=highest,
            )
            _write_plan(state_dir, plan)
        except BaseException:
            _remove(staged)
            raise
    except OSError as error:
        raise JournalError(
            "the backup can't be restored",
            where=str(error.filename or path),
            why=error.strerror or str(error),
        ) from error
    except sqlite3.Error as error:
        raise JournalError("the backup can't be restored", where=str(source), why=str(error)) from error
    fault("restore.after:plan")
    finish(state_dir, database)
    replaced = state_dir / plan.aside / database
    return Restored(source=source, replaced=replaced if replaced.exists() else None)


def tidy(state_dir: Path, database: str) -> str:
    """Finish what an earlier process began; return a sentence about it, empty when there was nothing.

    Raises: as `finish`.
    """
    if finish(state_dir, database) is not None:
        return ""  # the restored database tells it itself
    staged = state_dir / f"{database}.restoring"
    if not staged.exists():
        return ""
    _remove(staged)
    return "a restore was cut off before it had changed anything: this is the database from before it"


def finish(state_dir: Path, database: str) -> Plan | None:
    """Carry a planned restore to its end; return its plan, None when there was none. May be repeated.

    Raises:
        JournalError: the plan can't be read.
        OSError: the disk refuses; a later call goes on.
    """
    plan = _read_plan(state_dir)
    if plan is None:
        return None
    staged, aside = state_dir / plan.staged, state_dir / plan.aside
    if staged.exists():
        # As long as it has not moved, whatever else has the database's name is what it replaces. The
        # database goes before its log: without it no clawd, of whatever version, opens what is left.
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            old = state_dir / f"{database}{suffix}"
            if old.exists():
                old.replace(aside / old.name)
                sync_directory(aside)
                sync_directory(state_dir)
            if not suffix:
                fault("restore.after:aside")
        fault("restore.after:aside_log")
        staged.replace(state_dir / database)
        sync_directory(state_dir)
    fault("restore.after:swap")
    Mark(state_dir).write(plan.highest)
    fault("restore.after:mark")
    (state_dir / PLAN).unlink()
    sync_directory(state_dir)
    with suppress(OSError):
        aside.rmdir()  # nothing was replaced
    log.warning("database_restored", extra={"source": plan.source, "replaced": str(aside)})
    return plan


def _floor(path: Path, mark: Mark) -> Floor:
    """Return the highest ids of the database that is there, at least what the side file says."""
    said = mark.read() or 0
    ids: dict[str, int] = {}
    if path.exists():
        try:
            with closing(connect_to_read(path)) as db:
                ids = {name: int(seq) for name, seq in db.execute("SELECT name, seq FROM sqlite_sequence")}
        except (sqlite3.Error, ValueError, TypeError) as error:
            log.warning("replaced_database_unreadable", extra={"error": str(error)})
            return Floor(ids={"journal": said + UNKNOWN_MARGIN}, margin=UNKNOWN_MARGIN)
    return Floor(ids={**ids, "journal": max(said, ids.get("journal", 0))})


def _make_aside(state_dir: Path, now: datetime) -> str:
    """Make the folder for what is replaced, on the same file system: only there a rename moves it."""
    folder = state_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    near = folder if folder.stat().st_dev == state_dir.stat().st_dev else state_dir
    for name in _names(f"replaced-{now:%Y%m%dT%H%M%SZ}"):
        with suppress(FileExistsError):
            (near / name).mkdir(mode=0o700)
            sync_directory(near)
            sync_directory(state_dir)
            return str((near / name).relative_to(state_dir))
    raise AssertionError("names never end")


def _names(first: str) -> Iterator[str]:
    yield first
    number = 2
    while True:
        yield f"{first}-{number}"
        number += 1


def _write_plan(state_dir: Path, plan: Plan) -> None:
    fresh = state_dir / f"{PLAN}.new"
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(asdict(plan)).encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(state_dir / PLAN)
    sync_directory(state_dir)


def _read_plan(state_dir: Path) -> Plan | None:
    path = state_dir / PLAN
    try:
        return Plan(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise JournalError(
            "an unfinished restore can't be carried on",
            where=str(path),
            why=str(error),
            remedy="remove that file, then restore the backup again",
        ) from error


def _remove(staged: Path) -> None:
    for name in (staged.name, f"{staged.name}-journal", f"{staged.name}-wal", f"{staged.name}-shm"):
        staged.with_name(name).unlink(missing_ok=True)
