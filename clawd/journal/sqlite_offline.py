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


def wait(db: sqlite3.Connection, lease: Lease, until: datetime, now: int, *, seen: int) -> None:
    """End the lease, its attempt not counted; the turn is claimable again at the deadline, or when it is woken.

    The deadline of its first wait counts: it was moved along with a wall clock that was set. A stop that came while
    this was being written is not left waiting, nor is a message behind `seen`. A suspect remains one: to wait is no
    step.
    """
    attempts, deadline = db.execute(
        "UPDATE inbox SET state = 'queued', attempts = max(0, attempts - 1), deadline = coalesce(deadline, ?)"
        " WHERE conv = ? AND seq = ? RETURNING attempts, deadline",
        (to_ms(until), lease.conv, lease.seq),
    ).fetchone()
    is_wanted = is_stopped(db, lease) or _last_seq(db, lease.conv) > seen
    db.execute(
        "UPDATE conv SET owner = NULL, suspect = ?, ready_at = ? WHERE id = ?",
        (int(attempts >= SUSPECT_ATTEMPTS - 1), min(now, deadline) if is_wanted else deadline, lease.conv),
    )


def _last_seq(db: sqlite3.Connection, conv: int) -> int:
    (last,) = db.execute("SELECT last_seq FROM conv WHERE id = ?", (conv,)).fetchone()
    return int(last)


def wake_by_choice(db: sqlite3.Connection, conv: int, now: int) -> None:
    """Let a conversation be claimed whose turn waits for the network: another model was chosen behind it."""
    db.execute(
        "UPDATE conv SET ready_at = min(ready_at, ?1) WHERE id = ?2 AND owner IS NULL AND stuck IS NULL"
        " AND EXISTS (SELECT 1 FROM inbox i WHERE i.conv = ?2 AND i.seq = conv.done_seq + 1"
        "  AND i.state = 'queued' AND i.deadline IS NOT NULL)",
        (now, conv),
    )


def wake(db: sqlite3.Connection, count: int | None, now: int, among: Collection[int] | None = None) -> int:
    """Let those be claimed that wait longest, None: all; in the order in which their messages came.

    They have not waited for a worker so far: each is ready since a millisecond before the next one, the last `now`.
    """
    rows = db.execute(
        "SELECT i.conv FROM inbox i INDEXED BY inbox_open JOIN conv c ON c.id = i.conv AND c.done_seq + 1 = i.seq"
        " WHERE i.state IN ('queued', 'running', 'waiting') AND i.state = 'queued' AND i.deadline IS NOT NULL"
        " AND c.owner IS NULL AND c.stuck IS NULL ORDER BY i.at, i.conv"
    ).fetchall()
    chosen = [conv for (conv,) in rows if among is None or conv in among][:count]
    for before, conv in zip(reversed(range(len(chosen))), chosen, strict=True):
        db.execute("UPDATE conv SET ready_at = min(ready_at, ?) WHERE id = ?", (now - before, conv))
    return len(chosen)
