"""Turns that wait for the network: queued, with a deadline, and not claimable before it or before they are woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.ids import to_ms
from clawd.journal.base import SUSPECT_ATTEMPTS
from clawd.journal.sqlite_questions import is_stopped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection
    from datetime import datetime

    from clawd.journal.base import Lease


def wait(db: sqlite3.Connection, lease: Lease, until: datetime, now: int) -> None:
    """End the lease, its attempt not counted; the turn is claimable again at the deadline, or when it is woken.

    The deadline of its first wait counts: it was moved along with a wall clock that was set. A stop that came while
    this was being written is not left waiting. A suspect remains one: to wait is no step.
    """
    attempts, deadline = db.execute(
        "UPDATE inbox SET state = 'queued', attempts = max(0, attempts - 1), deadline = coalesce(deadline, ?)"
        " WHERE conv = ? AND seq = ? RETURNING attempts, deadline",
        (to_ms(until), lease.conv, lease.seq),
    ).fetchone()
    ready_at = min(now, deadline) if is_stopped(db, lease) else deadline
    db.execute(
        "UPDATE conv SET owner = NULL, suspect = ?, ready_at = ? WHERE id = ?",
        (int(attempts >= SUSPECT_ATTEMPTS - 1), ready_at, lease.conv),
    )


def wake(db: sqlite3.Connection, count: int | None, among: Collection[int] | None = None) -> int:
    """Let those be claimed that wait longest, None: all; in the order in which their messages came."""
    rows = db.execute(
        "SELECT i.conv, i.at FROM inbox i INDEXED BY inbox_open JOIN conv c ON c.id = i.conv AND c.done_seq + 1 = i.seq"
        " WHERE i.state IN ('queued', 'running', 'waiting') AND i.state = 'queued' AND i.deadline IS NOT NULL"
        " AND c.owner IS NULL AND c.stuck IS NULL ORDER BY i.at, i.conv"
    ).fetchall()
    chosen = [row for row in rows if among is None or row[0] in among][:count]
    for conv, at in chosen:
        db.execute("UPDATE conv SET ready_at = min(ready_at, ?) WHERE id = ?", (at, conv))
    return len(chosen)
