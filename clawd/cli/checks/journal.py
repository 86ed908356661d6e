"""Is the database whole, is it ours, and has its log not grown without end?"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from clawd.cli.checks.site import Finding, fail, ok, warn
from clawd.errors import JournalLocked
from clawd.store.lock import StateLock
from clawd.store.mark import Mark
from clawd.store.opening import FILE
from clawd.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clawd.cli.checks.site import Site

ID: Final = "journal"
LIMIT_S: Final = 60.0
MOST_WAL_BYTES: Final = 64 << 20
_BUSY_MS: Final = 1000


def check_journal(site: Site) -> Iterator[Finding]:
    """The database; it is read only while no daemon has it, and nothing in it is changed."""
    path = site.state_dir / FILE
    if not site.state_dir.is_dir():
        yield ok(ID, f"{path}: none yet")
        return
    try:
        lock = StateLock.take(site.state_dir)
    except JournalLocked as error:
        yield from _locked(site, path, error)
        return
    except OSError as error:
        yield fail(ID, f"{error.filename}: {error.strerror}", f"chmod u+rwx {site.state_dir}")
        return
    try:
        yield from _unused(site, path)
    finally:
        lock.release()
    yield from _wal(path)


def _locked(site: Site, path: Path, error: JournalLocked) -> Iterator[Finding]:
    if site.status is None:
        holder = f"process {error.pid}" if error.pid else "a process of another host or container"
        fix = f"kill {error.pid}, if it does not end by itself" if error.pid else "one daemon per state_dir"
        yield fail(ID, f"{holder} holds {error.where}, but no daemon answers", fix)
        return
    yield ok(ID, f"{path}: in use by the daemon; clawd stop first, then doctor reads it whole")
    yield from _wal(path)


def _unused(site: Site, path: Path) -> Iterator[Finding]:
    if not path.exists():
        highest = Mark(site.state_dir).read()
        if highest is None:
            yield ok(ID, f"{path}: none yet")
        else:
            yield fail(ID, f"{path} is gone; it held entries up to {highest}", "restore a backup")
        return
    try:
        with closing(_open(path)) as db:
            yield _examined(db, path)
    except sqlite3.DatabaseError as error:
        yield fail(ID, f"{path}: {error}", "restore a backup; keep the damaged files")


def _open(path: Path) -> sqlite3.Connection:
    # Without a log the file alone is everything, and `immutable` leaves no -shm behind.
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() else "immutable=1"
    db = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_BUSY_MS / 1000)
    deadline = time.monotonic() + LIMIT_S
    db.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    return db


def _examined(db: sqlite3.Connection, path: Path) -> Finding:
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    newest = max(int(step.name.split("_")[0]) for step in MIGRATIONS.glob("[0-9]*.sql"))
    if owner != APPLICATION_ID:
        return fail(
            ID, f"{path} belongs to another program (application id {owner:#x})", "set another state_dir"
        )
    if version > newest:
        evidence = f"{path} was written by a newer clawd (schema {version}, this one knows {newest})"
        return fail(ID, evidence, "install the newer version again")
    began = time.monotonic()
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupt" in str(error):
            return warn(ID, f"{path}: not read to its end within {LIMIT_S:.0f} s")
        raise
    if verdict != "ok":
        return fail(ID, f"{path}: {verdict}", "restore a backup; keep the damaged files")
    size = path.stat().st_size >> 20
    return ok(ID, f"{path}: whole, {size} MB, schema {version}, read in {time.monotonic() - began:.1f} s")


def _wal(path: Path) -> Iterator[Finding]:
    try:
        size = path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return
    evidence = f"the write-ahead log has {size >> 20} MB"
    if size > MOST_WAL_BYTES:
        yield warn("wal", evidence, "clawd stop and clawd start; a reader that never ends may hold it open")
    else:
        yield ok("wal", evidence)
