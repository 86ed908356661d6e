"""The schema's version: numbered SQL files, applied forward in one transaction, never backward."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clawd.errors import JournalCorrupt, SchemaTooNew
from clawd.store.backup import FOLDER, copy_to
from clawd.store.faults import fault

log = logging.getLogger(__name__)

APPLICATION_ID: Final = 0x636C7764  # "clwd", tells our files from other programs'
MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(db: sqlite3.Connection, database: Path, migrations: Path = MIGRATIONS) -> Path | None:
    """Bring the schema to this version; return the backup made before, None when nothing had to change.

    Raises:
        SchemaTooNew: a newer clawd wrote this database.
        JournalCorrupt: another program did.
    """
    steps = dict(_steps(migrations))
    newest = max(steps)
    found, owner = _version(db), _application(db)
    if found > newest:
        raise SchemaTooNew(str(database), found, newest)
    if owner != APPLICATION_ID and (found or owner or _tables(db)):
        raise JournalCorrupt(
            "this database belongs to another program", where=str(database), why=f"application id {owner:#x}"
        )
    if found == newest:
        return None
    backup = None
    if found:
        backup = database.parent / FOLDER / f"{database.stem}-before-schema-{newest}.db"
        copy_to(db, backup)
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(found + 1, newest + 1):
            for statement in _statements(steps[number].read_text()):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {newest}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        fault("journal.before_commit:migration")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    fault("journal.after_commit:migration")
    log.info("schema_migrated", extra={"from": found, "to": newest, "backup": str(backup or "")})
    return backup


def newest_schema(migrations: Path = MIGRATIONS) -> int:
    """Return the schema that this version writes."""
    return max(number for number, _ in _steps(migrations))


def _steps(migrations: Path) -> Iterator[tuple[int, Path]]:
    for path in sorted(migrations.glob("[0-9]*.sql")):
        yield int(path.name.split("_")[0]), path


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements: `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _application(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA application_id").fetchone()[0])


def _tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
