"""Messages that become part of an earlier one's turn. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.journal.base import Lease

MAX_MERGED: Final = 50  # messages of one turn beside its own, so that looking for them stays cheap


def merge(db: sqlite3.Connection, lease: Lease, seqs: Sequence[int]) -> None:
    """Take these messages out of the queue; raises JournalError unless they are the next ones."""
    first = 1 + last_of(db, lease.conv, lease.seq)
    if list(seqs) != list(range(first, first + len(seqs))):
        raise JournalError(f"{list(seqs)} are not the next messages", where=lease.turn)
    for seq in seqs:
        changed = db.execute(
            "UPDATE inbox SET state = 'running', merged_into = ?, not_before = NULL"
            " WHERE conv = ? AND seq = ? AND state = 'queued' AND merged_into IS NULL",
            (lease.seq, lease.conv, seq),
        )
        if changed.rowcount != 1:
            raise JournalError(f"message {seq} is not queued", where=lease.turn)


def last_of(db: sqlite3.Connection, conv: int, seq: int) -> int:
    """Return the last message of a turn: its own, or the last one that was merged into it."""
    (last,) = db.execute(
        "SELECT max(seq) FROM inbox WHERE conv = ? AND seq BETWEEN ? AND ? AND merged_into = ?",
        (conv, seq + 1, seq + MAX_MERGED, seq),
    ).fetchone()
    return int(last) if last is not None else seq


def end_rows(db: sqlite3.Connection, conv: int, seq: int, state: str, now: int) -> int:
    """End a turn's messages in this state; return the last of them."""
    last = last_of(db, conv, seq)
    db.execute(
        "UPDATE inbox SET state = ?, ended_at = ?, deadline = NULL WHERE conv = ? AND seq BETWEEN ? AND ?",
        (state, now, conv, seq, last),
    )
    return last
