"""A conversation's line: its rows of the outbox in `pending`, `sending` and `parked`, oldest first.

Only the head of a line may be sent. `conv.send_at` says when that is, so that finding due work never walks
through a line. Whoever changes a row's state calls `refresh` for its conversation. INDEXED BY: left to itself,
SQLite may take an index that walks through everything ever sent. Each function is part of one transaction.
"""

from __future__ import annotations

import sqlite3

FETCHED = -1
"""`next_at` of a delivery on the wire that its user has asked for since it was taken."""


def refresh(db: sqlite3.Connection, conv: int, now: int) -> bool:
    """Work out when the head of a line is due; return whether it is waiting to be sent."""
    row = db.execute(
        "UPDATE conv SET send_at = CASE"
        " WHEN EXISTS ("
        "  SELECT 1 FROM outbox INDEXED BY outbox_sending WHERE conv = ?1 AND state = 'sending'"
        " ) THEN NULL"
        " ELSE ("
        "  SELECT CASE state WHEN 'pending' THEN max(next_at, ?2) END"
        "  FROM outbox INDEXED BY outbox_line"
        "  WHERE conv = ?1 AND state IN ('pending', 'sending', 'parked') ORDER BY id LIMIT 1"
        " ) END WHERE id = ?1 RETURNING send_at",
        (conv, now),
    ).fetchone()
    return row is not None and row[0] is not None


def waits(db: sqlite3.Connection, conv: int) -> bool:
    """Whether anything stands in a conversation's line."""
    row = db.execute(
        "SELECT 1 FROM outbox INDEXED BY outbox_line"
        " WHERE conv = ? AND state IN ('pending', 'sending', 'parked') LIMIT 1",
        (conv,),
    ).fetchone()
    return row is not None


def free_parked(db: sqlite3.Connection, conv: int, now: int) -> None:
    """The user wrote: what waited for that may go. Its age, and that of what stands behind it, begins anew."""
    # Most have nothing parked, and to look costs less than an update that finds nothing.
    parked = db.execute(
        "SELECT 1 FROM outbox INDEXED BY outbox_parked WHERE conv = ? AND state = 'parked' LIMIT 1", (conv,)
    ).fetchone()
    if parked is None:
        return
    db.execute(
        "UPDATE outbox INDEXED BY outbox_parked SET state = 'pending', next_at = ? WHERE conv = ? AND state = 'parked'",
        (now, conv),
    )
    # Days may have passed in which nothing could be sent: that is no failure to deliver.
    db.execute(
        "UPDATE outbox INDEXED BY outbox_line SET at = ? WHERE conv = ? AND state IN ('pending', 'sending', 'parked')",
        (now, conv),
    )
    refresh(db, conv, now)


def fetch(db: sqlite3.Connection, conv: int, now: int) -> None:
    """The user asks for what is kept: it may go, and so may what is on the wire and about to be parked."""
    free_parked(db, conv, now)
    db.execute(
        "UPDATE outbox INDEXED BY outbox_sending SET next_at = ? WHERE conv = ? AND state = 'sending'",
        (FETCHED, conv),
    )


def shift(db: sqlite3.Connection, jump_ms: int) -> None:
    """Move all due times, and the begin that a delivery's age counts from, because the wall clock was set."""
    if jump_ms:
        db.execute(
            "UPDATE outbox INDEXED BY outbox_line SET at = at + ?1,"
            " next_at = CASE next_at WHEN ?2 THEN next_at ELSE next_at + ?1 END"
            " WHERE state IN ('pending', 'sending', 'parked')",
            (jump_ms, FETCHED),
        )
        db.execute("UPDATE conv SET send_at = send_at + ? WHERE send_at IS NOT NULL", (jump_ms,))
