"""Rows of the outbox that are reserved before their text is final. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3

from clawd.journal.base import Lease
from clawd.journal.codec import DELIVERY_VERSION
from clawd.journal.sqlite_context import Context
from clawd.journal.sqlite_line import refresh


def reserve(db: sqlite3.Connection, context: Context, lease: Lease) -> int | None:
    """Write the next part as `sending` without a body; None when one stands, or older rows still wait."""
    now, part = context.now_ms(), parts_sent(db, lease)
    taken = db.execute(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE conv = ?1 AND seq = ?2 AND part = ?3)"
        " OR EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_line WHERE conv = ?1 AND state IN ('pending', 'sending', 'parked'))",
        (lease.conv, lease.seq, part),
    ).fetchone()
    if taken[0]:
        return None
    (row,) = db.execute(
        "INSERT INTO outbox (conv, seq, part, state, attempt, owner, next_at, at, taken_at, v)"
        " VALUES (?, ?, ?, 'sending', 1, ?, ?, ?, ?, ?) RETURNING id",
        (lease.conv, lease.seq, part, context.owner, now, now, now, DELIVERY_VERSION),
    ).fetchone()
    return int(row)


def sent(db: sqlite3.Connection, context: Context, row: int, remote_id: str | None, *, unknown: bool) -> bool:
    """Note the end of a preview's first send; return whether something is now due."""
    now = context.now_ms()
    found = db.execute(
        "SELECT conv, body IS NULL FROM outbox WHERE id = ? AND state = 'sending' AND owner = ?",
        (row, context.owner),
    ).fetchone()
    if found is None:
        return False  # the turn ended without a reply
    conv, unfinished = found
    if unfinished and remote_id is None and not unknown:
        # As if it had never been: surely nothing was shown.
        db.execute("DELETE FROM outbox WHERE id = ?", (row,))
        return refresh(db, conv, now)
    preview_state = "open" if remote_id is not None else "unknown"
    state = preview_state if unfinished else "pending"
    db.execute(
        "UPDATE outbox SET state = ?, remote_id = ?, repeated = ?, owner = NULL, next_at = ? WHERE id = ?",
        (state, remote_id, int(unknown and remote_id is None), now, row),
    )
    return refresh(db, conv, now)


def fill(db: sqlite3.Connection, lease: Lease, body: str, now: int) -> bool:
    """Give a reserved row its final text; while its first send is on the wire it stays `sending`."""
    changed = db.execute(
        "UPDATE outbox SET body = ?, v = ?, at = ?, next_at = ?, why = '', ended_at = NULL, repeated = max(repeated, state = 'unknown'),"
        " state = CASE state WHEN 'sending' THEN 'sending' ELSE 'pending' END"
        " WHERE conv = ? AND seq = ? AND body IS NULL",
        (body, DELIVERY_VERSION, now, now, lease.conv, lease.seq),
    )
    return changed.rowcount > 0


def drop(db: sqlite3.Connection, lease: Lease, now: int) -> None:
    """The turn ended and nothing is to be sent: what was shown stays as it is."""
    changed = db.execute(
        "DELETE FROM outbox WHERE conv = ? AND seq = ? AND body IS NULL", (lease.conv, lease.seq)
    )
    if changed.rowcount:
        refresh(db, lease.conv, now)


def parts_sent(db: sqlite3.Connection, lease: Lease) -> int:
    """Return how many parts the turn has sent."""
    (parts,) = db.execute(
        "SELECT parts FROM inbox WHERE conv = ? AND seq = ?", (lease.conv, lease.seq)
    ).fetchone()
    return int(parts)
