"""Makes the journal's tables agree again after some of their rows were lost; part of a salvage."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt
from clawd.journal.base import ConversationSettings
from clawd.journal.codec import decode_message, encode_settings
from clawd.journal.sqlite_line import refresh
from clawd.journal.sqlite_spend import forget_lost_conversations

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPEN: Final = "state IN ('queued', 'running', 'waiting')"
_OF_A_CONVERSATION: Final = ("inbox", "control", "journal", "outbox", "spend_open")


def mend(db: sqlite3.Connection, now_ms: int) -> list[str]:
    """Return sentences about what had to be given up.

    Every message that was saved open goes on, or is a dead letter where one before it was lost; deliveries
    that were saved open go out.
    """
    notes = list(_find_conversations(db))
    notes += _give_up_orphans(db)
    forget_lost_conversations(db)
    given_up = sum(_order(db, conv, now_ms) for (conv,) in db.execute("SELECT id FROM conv").fetchall())
    for (conv,) in db.execute(
        "SELECT DISTINCT conv FROM outbox WHERE state IN ('pending', 'sending')"
    ).fetchall():
        refresh(db, conv, now_ms)
    (waiting,) = db.execute(f"SELECT count(*) FROM inbox WHERE {_OPEN}").fetchone()  # noqa: S608 - a constant
    if waiting:
        notes.append(f"{waiting} unanswered messages will be answered at the next start")
    if given_up:
        notes.append(
            f"{given_up} unanswered messages had a lost one behind them: clawd dead list, dead resubmit"
        )
    return notes


def _find_conversations(db: sqlite3.Connection) -> Iterator[str]:
    """Make conversations anew that were lost, from the messages that wait in them."""
    rows = db.execute(
        f"SELECT conv, max(seq), v, body FROM inbox WHERE {_OPEN} AND conv NOT IN (SELECT id FROM conv)"  # noqa: S608 - a constant
        " GROUP BY conv"
    ).fetchall()
    made = 0
    for conv, seq, version, body in rows:
        try:
            address = decode_message(version, body).address
        except JournalCorrupt:
            continue
        made += db.execute(
            "INSERT OR IGNORE INTO conv (id, address, bridge, last_seq, settings) VALUES (?, ?, ?, ?, ?)",
            (conv, str(address), address.bridge, seq, encode_settings(ConversationSettings())),
        ).rowcount
    if made:
        yield f"{made} conversations were made anew, with default settings"


def _give_up_orphans(db: sqlite3.Connection) -> Iterator[str]:
    lost = 0
    for table in _OF_A_CONVERSATION:
        lost += db.execute(f"DELETE FROM {table} WHERE conv NOT IN (SELECT id FROM conv)").rowcount  # noqa: S608 - a constant
    if lost:
        yield f"{lost} rows belonged to conversations that are lost"


def _order(db: sqlite3.Connection, conv: int, now_ms: int) -> int:
    """Let a conversation go on where its messages are whole to the last; return how many were given up."""
    (last,) = db.execute(
        "UPDATE conv SET owner = NULL, stuck = NULL, suspect = 0, send_at = NULL, last_seq = max(last_seq,"
        " coalesce((SELECT max(seq) FROM inbox WHERE conv = id), 0),"
        " coalesce((SELECT max(seq) FROM journal WHERE conv = conv.id), 0))"
        " WHERE id = ? RETURNING last_seq",
        (conv,),
    ).fetchone()
    waiting = {seq for (seq,) in db.execute(f"SELECT seq FROM inbox WHERE conv = ? AND {_OPEN}", (conv,))}  # noqa: S608 - a constant
    done = last
    while done in waiting:
        done -= 1
    given_up = db.execute(
        f"UPDATE inbox SET state = 'dead', ended_at = ? WHERE conv = ? AND seq <= ? AND {_OPEN}",  # noqa: S608 - a constant
        (now_ms, conv, done),
    ).rowcount
    db.execute(
        "UPDATE conv SET done_seq = ?1, ready_at = CASE WHEN last_seq > ?1 THEN ?2 END WHERE id = ?3",
        (done, now_ms, conv),
    )
    return given_up
