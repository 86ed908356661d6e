"""Turns that wait for the network: queued, with a deadline, and not claimable before it or before they are woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.ids import to_ms

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from clawd.journal.base import Lease


def wait(db: sqlite3.Connection, lease: Lease, until: datetime) -> None:
    """End the lease, its attempt not counted; the turn is claimable again at the deadline, or when it is woken."""
    deadline = to_ms(until)
    db.execute(
        "UPDATE inbox SET state = 'queued', attempts = max(0, attempts - 1), deadline = ?"
        " WHERE conv = ? AND seq = ?",
        (deadline, lease.conv, lease.seq),
    )
    db.execute("UPDATE conv SET owner = NULL, suspect = 0, ready_at = ? WHERE id = ?", (deadline, lease.conv))


def wake(db: sqlite3.Connection, count: int | None) -> int:
    """Let those be claimed that wait longest, None: all; in the order in which their messages came."""
    rows = db.execute(
        "SELECT i.conv, i.at FROM inbox i INDEXED BY inbox_open JOIN conv c ON c.id = i.conv AND c.done_seq + 1 = i.seq"
        " WHERE i.state IN ('queued', 'running', 'waiting') AND i.state = 'queued' AND i.deadline IS NOT NULL"
        " AND c.owner IS NULL AND c.stuck IS NULL ORDER BY i.at, i.conv LIMIT ?",
        (-1 if count is None else count,),
    ).fetchall()
    for conv, at in rows:
        db.execute("UPDATE conv SET ready_at = min(ready_at, ?) WHERE id = ?", (at, conv))
    return len(rows)
