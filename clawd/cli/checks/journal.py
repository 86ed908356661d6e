"""Is the database whole, is it ours, and has its log not grown without end?"""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from clawd.cli.checks.reliance import relied_on
from clawd.cli.checks.site import Finding, evidence_of, fail, ok, warn
from clawd.cli.printing import counted
from clawd.errors import ClawdError, JournalLocked
from clawd.jsonable import json_object
from clawd.store.backup import FOLDER, list_backups
from clawd.store.lock import StateLock
from clawd.store.mark import Mark
from clawd.store.opening import FILE, VACUUM_BYTES
from clawd.store.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from clawd.cli.checks.site import Site

ID: Final = "journal"
MOST_WAL_BYTES: Final = 64 << 20
MOST_BYTES: Final = 1 << 30
OLD_BACKUP_DAYS: Final = 30.0
_BACKUP_FIX: Final = "clawd backup, and have it made regularly (cron, a systemd timer)"
_BUSY_MS: Final = 1000
_OPS: Final = 100_000  # of SQLite's own instructions between two looks at the clock


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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "free some space" if full else f"chmod u+rwx {site.state_dir}"
        yield fail(ID, f"{error.filename or site.state_dir}: {error.strerror}", fix)
        return
    try:
        yield from _unused(site, path)
    finally:
        lock.release()
    yield from _wal(path)


def check_keeping(site: Site) -> Iterator[Finding]:
    """Size, free pages and backups, and a quick look for work that nobody would be woken for."""
    path = site.state_dir / FILE
    try:
        if site.status is not None:
            facts = site.client().get("/journal")
            report = site.client().result("/journal/check", post={"quick": True})
            yield from _size(facts["bytes"], facts["free_bytes"], shrinks=facts["shrinks"])
            yield _rows(report["findings"])
        elif path.exists():
            yield from _alone(site, path)
    except ClawdError as error:
        yield warn("rows", f"not looked at: {evidence_of(error)}", error.remedy or "clawd journal check")
    except OSError as error:
        yield warn("rows", f"not looked at: {error.strerror}", "see journal and disk")
    yield _backups(site)
    yield from _growth(site, path)


def _alone(site: Site, path: Path) -> Iterator[Finding]:
    """The same of a database that no daemon has open."""
    lock = StateLock.take(site.state_dir)
    try:
        with closing(_open(path, site)) as db:
            pages, free, size, mode = (
                int(db.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
            )
        from clawd.journal.checking import check_file  # brings all of the journal

        yield from _size(pages * size, free * size, shrinks=mode != 0)
        report = check_file(path, mark=Mark(site.state_dir).read(), quick=True)
        yield _rows([json_object(finding) for finding in report.findings])
    except sqlite3.Error:
        return  # told by check_journal
    finally:
        lock.release()


def _size(size: int, free: int, *, shrinks: bool) -> Iterator[Finding]:
    evidence = f"{size / 1e6:.1f} MB, {free / 1e6:.1f} MB of it free"
    if shrinks:
        yield ok("size", f"{evidence}; what is free is given back bit by bit")
    elif size > VACUUM_BYTES:
        fix = "clawd stop, clawd backup FILE, clawd restore FILE: that writes it anew"
        yield warn("size", f"{evidence}; a file this large was not rewritten, so it never shrinks", fix)
    else:
        yield ok("size", f"{evidence}; the next start lets it shrink")


def _rows(findings: Sequence[Mapping[str, Any]]) -> Finding:
    if not findings:
        return ok("rows", "no work lies about unseen (clawd journal check looks at everything)")
    first = findings[0]
    evidence = (
        f"{counted(len(findings), 'finding')}, the first: {first['id']} {first['where']}: {first['what']}"
    )
    return warn("rows", evidence, "clawd journal check")


def _backups(site: Site) -> Finding:
    found = list_backups(site.state_dir / FOLDER)
    if not found:
        if relied_on(site):
            return warn(
                "backup", "none in the state directory", f"{_BACKUP_FIX}; or see that yours is elsewhere"
            )
        return ok("backup", "none yet in the state directory; clawd backup makes one")
    path, at = found[-1]
    days = (site.host.now() - at) / 86400
    evidence = f"the last of {len(found)} is {days:.1f} days old: {path}"
    if days > OLD_BACKUP_DAYS:
        return warn("backup", evidence, _BACKUP_FIX)
    return ok("backup", evidence)


def _growth(site: Site, path: Path) -> Iterator[Finding]:
    """A database that is never thinned out grows as long as people write."""
    try:
        size = path.stat().st_size
    except OSError:
        return
    keep = site.config.journal.keep_days
    kept = "turns are kept for ever" if keep is None else f"turns are kept for {keep} days"
    if keep is None and size > MOST_BYTES:
        yield warn("retention", f"{size >> 20} MB, and {kept}", "set journal.keep_days, such as 365")
    else:
        yield ok("retention", kept)


def _locked(site: Site, path: Path, error: JournalLocked) -> Iterator[Finding]:
    if site.status is None:
        holder = f"process {error.pid}" if error.pid else "a process of another host or container"
        fix = f"kill {error.pid}, if it does not end by itself" if error.pid else "one daemon per state_dir"
        yield fail(ID, f"{holder} holds {error.where}, but no daemon answers", fix)
        return
    yield ok(ID, f"{path}: in use by the daemon; clawd journal check reads it whole beside that")
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
        with closing(_open(path, site)) as db:
            yield _examined(db, path, site)
    except sqlite3.DatabaseError as error:
        yield fail(ID, f"{path}: {error}", "restore a backup, or: clawd doctor --salvage")


def _open(path: Path, site: Site) -> sqlite3.Connection:
    # Without a log the file alone is everything, and `immutable` leaves no -shm behind.
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() else "immutable=1"
    db = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_BUSY_MS / 1000)
    deadline = site.host.monotonic() + site.left_s()
    db.set_progress_handler(lambda: site.host.monotonic() > deadline, _OPS)
    return db


def _examined(db: sqlite3.Connection, path: Path, site: Site) -> Finding:
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
    began = site.host.monotonic()
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupt" not in str(error):
            raise
        evidence = (
            f"{path}: not read to its end within {site.host.monotonic() - began:.1f} s, so far no damage"
        )
        return warn(ID, evidence, "clawd journal check reads it whole, however long it takes")
    if verdict != "ok":
        return fail(ID, f"{path}: {verdict}", "restore a backup, or: clawd doctor --salvage")
    from clawd.journal.opening import highest

    said, found = Mark(site.state_dir).read(), highest(db) if version == newest else None
    if said is not None and found is not None and found < said:
        evidence = f"{path}: entries up to {said} were committed, {found} is the last one there"
        return fail(
            ID, f"{evidence}: its write-ahead log was cut", "restore a backup if what is missing matters"
        )
    size = path.stat().st_size >> 20
    took_s = site.host.monotonic() - began
    return ok(ID, f"{path}: whole, {size} MB, schema {version}, read in {took_s:.1f} s")


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
