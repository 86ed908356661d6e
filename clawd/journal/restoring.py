"""What a backup must not bring back when it takes the journal's place. Runs in the copy, before it counts."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.artifacts.copies import bring_back, set_aside
from clawd.journal.sqlite_context import INSTANCE, draw_instance
from clawd.store.lock import StateLock
from clawd.store.opening import FILE
from clawd.store.restoring import Restored, restore

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.store.restoring import Floor

RESTORED: Final = "restored"  # key in kv, until a start has told it


def restore_journal(state_dir: Path, source: Path, now: datetime) -> Restored:
    """Put a backup in the place of a state directory's journal; the caller has checked it.

    Public ids that were given since the backup never mean anything else afterwards, cursors of clients go
    on, and what the backup shows as unsent, which may have been sent since, goes out with the repeat mark.

    Raises:
        JournalLocked: a daemon runs here.
        JournalError: it could not be done; the journal is as it was.
    """
    lock = StateLock.take(state_dir)
    try:

        def adapt(db: sqlite3.Connection, floor: Floor, aside: str) -> int:
            set_aside(state_dir / FILE, state_dir, Path(aside))
            bring_back(source, state_dir)
            return _adapt(db, floor, source=str(source), aside=aside, now=now)

        return restore(state_dir, source, now, database=FILE, adapt=adapt)
    finally:
        lock.release()


def told(db: sqlite3.Connection) -> str:
    """Return a sentence about a restore that no start has told yet, and take it as told."""
    row = db.execute("DELETE FROM kv WHERE key = ? RETURNING value", (RESTORED,)).fetchone()
    if row is None:
        return ""
    said = json.loads(row[0])
    return (
        f"the journal was restored at {said['at']} from {said['source']}; what was there before is in"
        f" {said['aside']}"
    )


def _adapt(db: sqlite3.Connection, floor: Floor, *, source: str, aside: str, now: datetime) -> int:
    """Change the copy; return its highest journal id."""
    note = json.dumps({"source": source, "aside": aside, "at": now.isoformat(timespec="seconds")})
    for key, value in ((INSTANCE, draw_instance()), (RESTORED, note)):
        db.execute(
            "INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )
    for (table,) in db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    ).fetchall():
        _raise_ids(db, table, floor)
    db.execute("UPDATE outbox SET repeated = 1 WHERE state IN ('pending', 'sending', 'parked', 'open')")
    (highest,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return int(highest)


def _raise_ids(db: sqlite3.Connection, table: str, floor: Floor) -> None:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    own = int(row[0]) if row is not None else 0
    least = max(own + (0 if table in floor.ids else floor.margin), floor.ids.get(table, 0))
    if row is None:
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, least))
    else:
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (least, table))
