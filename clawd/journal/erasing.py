"""Rows that go for good: of one turn, or of a whole conversation. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from clawd.artifacts import rows as artifacts
from clawd.errors import NotPossible
from clawd.journal.sqlite_context import FORGOTTEN
from clawd.journal.sqlite_spend import forget_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.messages import Address

SCRUB: Final = "scrub"  # key in kv: deleted rows may still show in the files

# In this order: the words before the rows that tell where they are.
_OF_A_TURN: Final = (
    "DELETE FROM search WHERE rowid IN (SELECT id FROM journal WHERE conv = ? AND seq = ?)",
    "DELETE FROM outbox WHERE conv = ? AND seq = ?",
    "DELETE FROM control WHERE conv = ? AND target_seq = ?",
    "DELETE FROM journal WHERE conv = ? AND seq = ?",
    "DELETE FROM inbox WHERE conv = ? AND seq = ?",
)
_OF_A_PUSH: Final = (
    "DELETE FROM search WHERE rowid IN"
    " (SELECT id FROM journal WHERE conv = ?1 AND seq IS NULL AND step = ?2 AND kind = 'pushed')",
    "DELETE FROM journal WHERE conv = ?1 AND seq IS NULL AND step = ?2 AND kind = 'pushed'",
    "DELETE FROM outbox WHERE conv = ?1 AND id = ?2",
)
_OF_A_CONVERSATION: Final = (
    "DELETE FROM journal WHERE conv = ?",
    "DELETE FROM outbox WHERE conv = ?",
    "DELETE FROM control WHERE conv = ?",
    "DELETE FROM snapshot WHERE conv = ?",
)


def erase_turns(db: sqlite3.Connection, conv: int, seqs: Sequence[int]) -> int:
    """Remove finished turns with all that is told of them; return the number of rows. Dedup keys stay."""
    for seq in seqs:
        artifacts.unuse_turn(db, conv, seq)
    return sum(db.execute(sql, (conv, seq)).rowcount for seq in seqs for sql in _OF_A_TURN)


def erase_pushes(db: sqlite3.Connection, conv: int, outbox_rows: Sequence[int]) -> int:
    """Remove deliveries that no turn made; return the number of rows."""
    return sum(_erase_push(db, conv, row) for row in outbox_rows)


def _erase_push(db: sqlite3.Connection, conv: int, row: int) -> int:
    artifacts.unuse_push(db, conv, row)
    return sum(db.execute(sql, (conv, row)).rowcount for sql in _OF_A_PUSH)


def erase_conversation(db: sqlite3.Connection, conv: int, address: Address) -> int:
    """Remove a conversation, its words zeroed where they stood; return the number of turns.

    Its files go with it, but for those that another conversation names. What its models cost stays, without a word of whose it was. What was freed and what the log holds is for `Store.scrub` to clean; until that is done kv says so.

    Raises:
        NotPossible: a turn is open, or a delivery is on its way.
    """
    if db.execute("SELECT 1 FROM conv WHERE id = ? AND done_seq < last_seq", (conv,)).fetchone():
        raise NotPossible(
            "this conversation has open turns",
            where=str(address),
            remedy="clawd turns cancel, or wait until they are over",
        )
    if db.execute("SELECT 1 FROM outbox WHERE conv = ? AND state = 'sending'", (conv,)).fetchone():
        raise NotPossible(
            "a delivery to this conversation is on its way", where=str(address), remedy="try again"
        )
    with _zeroing(db):
        found = db.execute(
            "DELETE FROM search WHERE rowid IN (SELECT id FROM journal WHERE conv = ?)", (conv,)
        ).rowcount
        if found:
            # A deletion only marks the words; merging all segments into one leaves the old ones behind.
            db.execute("INSERT INTO search (search) VALUES ('optimize')")
        for sql in _OF_A_CONVERSATION:
            db.execute(sql, (conv,))
        forget_conversation(db, conv)
        artifacts.erase_conversation(db, conv)
        count = db.execute("DELETE FROM inbox WHERE conv = ?", (conv,)).rowcount
        db.execute("DELETE FROM conv WHERE id = ?", (conv,))
        db.execute("DELETE FROM kv WHERE key = ?", (f"{FORGOTTEN}{conv}",))
        db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, 1)", (SCRUB,))
    return count


@contextmanager
def _zeroing(db: sqlite3.Connection) -> Iterator[None]:
    """Overwrite freed pages with zeros too, not only rows within a page."""
    db.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        db.execute("PRAGMA secure_delete = FAST")
