"""Leases: which conversation is worked on, by whom, and since which attempt. Each function is part of one transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from clawd.errors import JournalCorrupt
from clawd.journal import sqlite_merging as merging
from clawd.journal import sqlite_offline as offline
from clawd.journal import sqlite_sending as sending
from clawd.journal import sqlite_spend as spend
from clawd.journal.base import SUSPECT_ATTEMPTS, Lease
from clawd.journal.codec import decode_message, decode_settings, encode_record
from clawd.journal.records import TurnStarted
from clawd.journal.sqlite_context import OPEN_TURNS, Context, append_record, parse_address

log = logging.getLogger(__name__)

_READY = (
    "SELECT c.ready_at, c.id, c.epoch, coalesce(c.moved_to, c.address), c.last_seq, c.settings,"
    ' c.done_seq + 1, i.attempts, i.claims, i."right", i.v, i.body, i.told, i.deadline, i.asked_seq, i.at,'
    " (SELECT max(m.seq) FROM inbox m WHERE m.conv = c.id AND m.merged_into = c.done_seq + 1"
    "  AND m.seq BETWEEN c.done_seq + 2 AND c.done_seq + 1 + {merged})"
    " FROM conv c LEFT JOIN inbox i ON i.conv = c.id AND i.seq = c.done_seq + 1"
    " WHERE c.ready_at <= ? AND c.suspect = {suspect}{rest} ORDER BY c.ready_at, c.id LIMIT ?"
)

_WITHOUT = " AND c.bridge NOT IN (SELECT value FROM json_each(?))"

_READY_TRUSTED, _READY_SUSPECT, _SOME_TRUSTED, _SOME_SUSPECT = (
    _READY.format(suspect=suspect, merged=merging.MAX_MERGED, rest=rest)
    for rest in ("", _WITHOUT)
    for suspect in (0, 1)
)

# --- claim ----------------------------------------------------------------------------------------------


def claim(
    db: sqlite3.Connection, context: Context, count: int, without: Collection[str] = ()
) -> tuple[list[Lease], float | None]:
    """Take the conversations that wait longest; of suspects one at a time over the whole journal.

    Returns the leases, and in how many seconds the next conversation is due by itself.
    """
    now = context.now_ms()
    leases: list[Lease] = []
    # One that is set aside leaves room for the next, which nobody would be woken for.
    while len(leases) < count and (rows := _candidates(db, count - len(leases), now, without)):
        for row in rows:
            try:
                leases.append(_claim_one(db, context, row, now))
            except JournalCorrupt as error:
                set_aside(db, row[1], str(error))
    (due,) = db.execute(
        "SELECT min(due) FROM (SELECT min(ready_at) AS due FROM conv WHERE ready_at > ?1 AND suspect = 0"
        " UNION ALL SELECT min(ready_at) FROM conv WHERE ready_at > ?1 AND suspect = 1)",
        (now,),
    ).fetchone()
    return leases, (due - now) / 1000 if due is not None else None


def _candidates(
    db: sqlite3.Connection, count: int, now: int, without: Collection[str]
) -> list[tuple[Any, ...]]:
    left_out = (json.dumps(list(without)),) if without else ()
    all_trusted, all_suspect = (_SOME_TRUSTED, _SOME_SUSPECT) if without else (_READY_TRUSTED, _READY_SUSPECT)
    trusted = db.execute(all_trusted, (now, *left_out, count)).fetchall()
    busy = db.execute("SELECT 1 FROM conv WHERE owner IS NOT NULL AND suspect = 1 LIMIT 1").fetchone()
    suspects = [] if busy is not None else db.execute(all_suspect, (now, *left_out, 1)).fetchall()
    return sorted([*trusted, *suspects], key=lambda row: row[:2])[:count]


def _claim_one(db: sqlite3.Connection, context: Context, row: tuple[Any, ...], now: int) -> Lease:
    _, conv, epoch, address, last_seq, settings, seq, attempts, claims, right, version, body, *rest = row
    told, deadline, asked_seq, accepted_at, last_merged = rest
    last = seq if last_merged is None else last_merged
    if body is None:
        raise JournalCorrupt("a message is missing", where=context.turn(conv, seq))
    lease = Lease(
        conv=conv,
        seq=seq,
        epoch=epoch + 1,
        owner=context.owner,
        attempts=attempts + 1,
        turn=context.turn(conv, seq),
        address=parse_address(address),
        message=decode_message(version, body),
        right=right,
        settings=decode_settings(settings),
        waiting=last_seq - last,
        claims=claims + 1,
        accepted_at_ms=accepted_at,
        told=told,
        merged=tuple(range(seq + 1, last + 1)),
        expired=deadline is not None and deadline <= now,
        asked_seq=asked_seq,
    )
    db.execute(
        "UPDATE conv SET epoch = ?, owner = ?, ready_at = NULL WHERE id = ?", (lease.epoch, lease.owner, conv)
    )
    db.execute(
        "UPDATE inbox SET state = 'running', attempts = ?, claims = ? WHERE conv = ? AND seq = ?",
        (lease.attempts, claims + 1, conv, seq),
    )
    started = TurnStarted(owner=context.owner, attempt=lease.attempts)
    append_record(db, lease, started, claims + 1, encode_record(started), now)
    return lease


def is_ours(db: sqlite3.Connection, lease: Lease) -> bool:
    """Whether the lease still gives the right to write."""
    row = db.execute("SELECT epoch, owner FROM conv WHERE id = ?", (lease.conv,)).fetchone()
    return row is not None and row == (lease.epoch, lease.owner)


# --- hand back ------------------------------------------------------------------------------------------


def release(db: sqlite3.Connection, context: Context, lease: Lease, *, count: bool) -> bool:
    """Hand a turn back; False when it was no longer ours, which is fine."""
    if not is_ours(db, lease):
        return False
    spend.lose_requests(db, lease.conv)
    (attempts,) = db.execute(
        "UPDATE inbox SET state = 'queued', attempts = max(0, attempts - ?) WHERE conv = ? AND seq = ?"
        " RETURNING attempts",
        (0 if count else 1, lease.conv, lease.seq),
    ).fetchone()
    db.execute(
        "UPDATE conv SET owner = NULL, ready_at = ?, suspect = ? WHERE id = ?",
        (context.now_ms(), int(_is_suspect(attempts)), lease.conv),
    )
    return True


def set_aside(db: sqlite3.Connection, conv: int, why: str) -> None:
    """Leave a conversation alone whose rows can't be read; it is listed among the dead letters."""
    log.error("conversation_unreadable", extra={"conv": conv, "why": why})
    spend.lose_requests(db, conv)
    db.execute(
        "UPDATE inbox SET state = 'queued' WHERE conv = ? AND state = 'running'"
        " AND seq = (SELECT done_seq + 1 FROM conv WHERE id = ?)",
        (conv, conv),
    )
    db.execute("UPDATE conv SET stuck = ?, owner = NULL, ready_at = NULL WHERE id = ?", (why, conv))


def set_aside_leased(db: sqlite3.Connection, lease: Lease, why: str) -> None:
    """The same for a turn in work, if it is still ours."""
    if is_ours(db, lease):
        set_aside(db, lease.conv, why)


def trust_again(db: sqlite3.Connection, lease: Lease) -> bool:
    """A step was committed: the turn gets on. Return whether that makes room for another suspect."""
    db.execute(
        "UPDATE inbox SET attempts = 0, deadline = NULL WHERE conv = ? AND seq = ?"
        " AND (attempts <> 0 OR deadline IS NOT NULL)",
        (lease.conv, lease.seq),
    )
    if lease.attempts < SUSPECT_ATTEMPTS:
        return False
    changed = db.execute("UPDATE conv SET suspect = 0 WHERE id = ? AND suspect = 1", (lease.conv,))
    return changed.rowcount > 0


def _is_suspect(attempts: int) -> bool:
    """Whether the next claim would be one too many to run beside others of its kind."""
    return attempts >= SUSPECT_ATTEMPTS - 1


# --- start, and a clock that was set --------------------------------------------------------------------


def recover(db: sqlite3.Connection, hold: Collection[str], context: Context) -> int:
    """Take back what a dead process held; return the number of open turns."""
    now = context.now_ms()
    spend.lose_all_requests(db)
    for conv, seq in _held(db):
        row = db.execute(
            "UPDATE inbox SET state = 'queued' WHERE conv = ? AND seq = ? RETURNING attempts, at", (conv, seq)
        ).fetchone()
        attempts, at = row if row is not None else (0, now)
        suspect = _is_suspect(attempts)
        # What was in work waits since its message came, so it goes first; a suspect lets others go first.
        db.execute(
            "UPDATE conv SET owner = NULL, suspect = ?, ready_at = ? WHERE id = ?",
            (int(suspect), now if suspect else at, conv),
        )
    offline.wake(db, None, now)  # this process tries for itself
    # Pieces that were waited for: the clock may have been set while nobody looked.
    db.execute(
        "UPDATE conv SET ready_at = ?1 WHERE ready_at > ?1 AND suspect = 0 AND NOT EXISTS (SELECT 1 FROM inbox i"
        " WHERE i.conv = conv.id AND i.seq = conv.done_seq + 1 AND i.state = 'waiting')",
        (now,),
    )
    # This version may read what another one could not.
    db.execute(
        "UPDATE conv SET stuck = NULL, ready_at = CASE WHEN last_seq > done_seq THEN ? END"
        " WHERE stuck IS NOT NULL",
        (now,),
    )
    sending.recover(db, hold, now)
    (open_turns,) = db.execute(
        "SELECT count(*) FROM inbox WHERE state IN ('queued', 'running', 'waiting')"
    ).fetchone()
    db.execute("UPDATE kv SET value = ? WHERE key = ?", (open_turns, OPEN_TURNS))
    return int(open_turns)


def _held(db: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    yield from db.execute("SELECT id, done_seq + 1 FROM conv WHERE owner IS NOT NULL").fetchall()


def shift(db: sqlite3.Connection, jump_ms: int) -> None:
    """Move what is due later, because the wall clock was set."""
    if jump_ms:
        db.execute("UPDATE conv SET ready_at = ready_at + ? WHERE ready_at IS NOT NULL", (jump_ms,))
        db.execute(
            "UPDATE inbox SET deadline = deadline + ? WHERE deadline IS NOT NULL"
            " AND state IN ('queued', 'running', 'waiting')",
            (jump_ms,),
        )
