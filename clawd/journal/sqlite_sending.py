"""Deliveries on their way: taken from the heads of lines, marked with what became of them.

Each function is part of one transaction; `sqlite_line` says what a line is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from heapq import merge
from typing import Any, assert_never

from clawd.errors import Fenced, JournalCorrupt
from clawd.ids import from_ms
from clawd.journal import sqlite_callbacks as callbacks
from clawd.journal.codec import decode_delivery
from clawd.journal.deliveries import (
    Dead,
    DeliveryOutcome,
    Held,
    OutboxRow,
    Parked,
    RetryAt,
    Sent,
    Taken,
)
from clawd.journal.sqlite_context import Context, parse_address
from clawd.journal.sqlite_line import FETCHED, refresh
from clawd.messages import MessageId, OutboundMessage


def take(db: sqlite3.Connection, context: Context, count: int, bridges: Collection[str]) -> Taken:
    """Mark the due heads of lines as `sending`, at most `count`, longest due first."""
    now = context.now_ms()
    rows: list[OutboxRow] = []
    due = list(_due(db, count, bridges, now))
    for _, conv in due:
        if (row := _take_head(db, context, conv, now)) is not None:
            rows.append(row)
    later = [at for bridge in bridges if (at := _next_due(db, bridge, now)) is not None]
    if len(rows) < len(due):
        later.append(now)  # behind one that can't be read the next may be due
    return Taken(rows=rows, next_due_s=max(0.0, (min(later) - now) / 1000) if later else None)


def _due(db: sqlite3.Connection, count: int, bridges: Collection[str], now: int) -> Sequence[tuple[int, int]]:
    per_bridge = [
        db.execute(
            "SELECT send_at, id FROM conv WHERE bridge = ? AND send_at <= ? ORDER BY send_at, id LIMIT ?",
            (bridge, now, count),
        ).fetchall()
        for bridge in bridges
    ]
    return list(merge(*per_bridge))[:count]


def _next_due(db: sqlite3.Connection, bridge: str, now: int) -> int | None:
    (due,) = db.execute(
        "SELECT min(send_at) FROM conv WHERE bridge = ? AND send_at > ?", (bridge, now)
    ).fetchone()
    return int(due) if due is not None else None


def _take_head(db: sqlite3.Connection, context: Context, conv: int, now: int) -> OutboxRow | None:
    row = db.execute(
        "SELECT o.id, o.seq, o.part, o.attempt, o.remote_id, o.repeated, o.at, o.v, o.body,"
        " coalesce(c.moved_to, c.address)"
        " FROM outbox o INDEXED BY outbox_line JOIN conv c ON c.id = o.conv WHERE o.conv = ? AND o.state IN ('pending', 'sending', 'parked') ORDER BY o.id LIMIT 1",
        (conv,),
    ).fetchone()
    try:
        taken = _outbox_row(context, conv, row)
    except JournalCorrupt as error:
        _finish(db, row[0], "dead", now, why=str(error))
        refresh(db, conv, now)
        return None
    db.execute(
        "UPDATE outbox SET state = 'sending', attempt = ?, owner = ?, taken_at = ? WHERE id = ?",
        (taken.attempt, context.owner, now, taken.row),
    )
    db.execute("UPDATE conv SET send_at = NULL WHERE id = ?", (conv,))
    return taken


def _outbox_row(context: Context, conv: int, row: tuple[Any, ...]) -> OutboxRow:
    id_, seq, part, attempt, remote_id, repeated, at, version, text, address = row
    body = decode_delivery(version, text, row_id=id_)
    message = OutboundMessage(
        id=context.delivery(id_),
        address=parse_address(address),
        text=body.text,
        created_at=from_ms(at),
        kind=body.kind,
        turn=context.turn(conv, seq) if seq is not None else None,
        seq=seq,
        part=part,
        parts=body.parts,
        in_reply_to=MessageId(body.in_reply_to) if body.in_reply_to is not None else None,
        reference=body.reference,
        edit_of=remote_id,
        repeated=bool(repeated),
        question=body.question,
        choices=body.choices,
        callback=body.callback,
        insist=bool(body.insist),
        files=body.files or (),
    )
    return OutboxRow(
        row=id_,
        attempt=attempt + 1,
        message=message,
        first_try_at_ms=at,
        refusals=body.refusals or 0,
    )


def hurry(db: sqlite3.Connection, context: Context, rows: Collection[int]) -> bool:
    """Let rows that wait for a time be due now; return whether one heads its line."""
    now = context.now_ms()
    due = False
    for row in rows:
        found = db.execute(
            "UPDATE outbox SET next_at = ?1 WHERE id = ?2 AND state = 'pending' AND next_at > ?1 RETURNING conv",
            (now, row),
        ).fetchone()
        if found is not None:
            due = refresh(db, found[0], now) or due
    return due


def mark(db: sqlite3.Connection, context: Context, row: int, outcome: DeliveryOutcome) -> bool:
    """Note the end of a send; return whether the next of its line is due. Raises Fenced."""
    now = context.now_ms()
    found = db.execute(
        "SELECT conv, seq, part, taken_at, next_at FROM outbox WHERE id = ? AND state = 'sending' AND owner = ?",
        (row, context.owner),
    ).fetchone()
    if found is None:
        raise Fenced("this delivery is no longer ours", where=context.delivery(row))
    conv, seq, part, taken_at, next_at = found
    match outcome:
        case Sent(remote_id=remote_id):
            _finish(db, row, "sent", now, remote_id=remote_id)
        case RetryAt(delay_s=delay_s, why=why, repeated=repeated):
            _wait(db, row, "pending", why, next_at=now + int(delay_s * 1000), repeated=repeated)
            if outcome.refused:
                callbacks.count_refusal(db, row)
            if not outcome.tried:
                db.execute("UPDATE outbox SET attempt = attempt - 1 WHERE id = ?", (row,))
        case Parked(why=why):
            # A message that came while this was on the wire has freed it already.
            freed = next_at == FETCHED or _wrote_since(db, conv, taken_at)
            _wait(db, row, "pending" if freed else "parked", why, next_at=now)
        case Held(why=why):
            _finish(db, row, "unknown", now, why=why)
        case Dead(why=why, alone=True):
            _finish(db, row, "dead", now, why=why)
        case Dead(why=why):
            _finish(db, row, "dead", now, why=why)
            db.execute(
                "UPDATE outbox SET state = 'dead', ended_at = ?, why = 'an earlier part was given up'"
                " WHERE conv = ? AND seq = ? AND part > ? AND state IN ('pending', 'sending', 'parked')",
                (now, conv, seq, part),
            )
        case _:
            assert_never(outcome)
    return refresh(db, conv, now)


def _finish(
    db: sqlite3.Connection, row: int, state: str, now: int, *, why: str = "", remote_id: str | None = None
) -> None:
    db.execute(
        "UPDATE outbox SET state = ?, ended_at = ?, why = ?, remote_id = coalesce(?, remote_id), owner = NULL"
        " WHERE id = ?",
        (state, now, why, remote_id, row),
    )


def _wait(
    db: sqlite3.Connection, row: int, state: str, why: str, *, next_at: int, repeated: bool = False
) -> None:
    db.execute(
        "UPDATE outbox SET state = ?, next_at = ?, why = ?, repeated = max(repeated, ?), owner = NULL WHERE id = ?",
        (state, next_at, why, int(repeated), row),
    )


def _wrote_since(db: sqlite3.Connection, conv: int, moment: int) -> bool:
    row = db.execute(
        "SELECT i.at FROM conv c JOIN inbox i ON i.conv = c.id AND i.seq = c.last_seq WHERE c.id = ?", (conv,)
    ).fetchone()
    return row is not None and row[0] > moment


def recover(db: sqlite3.Connection, hold: Collection[str], now: int) -> None:
    """Take back what a dead process was sending: each may have arrived."""
    rows = db.execute(
        "SELECT o.id, o.conv, o.body IS NULL, c.bridge FROM outbox o INDEXED BY outbox_sending"
        " JOIN conv c ON c.id = o.conv WHERE o.state = 'sending'"
    ).fetchall()
    for row, conv, unfinished, bridge in rows:
        # A preview without its final text waits for that; it is no delivery yet.
        state = "unknown" if unfinished or bridge in hold else "pending"
        db.execute(
            "UPDATE outbox SET state = ?, repeated = 1, owner = NULL, next_at = ?,"
            " why = 'clawd stopped while sending', ended_at = ? WHERE id = ?",
            (state, now, now if state == "unknown" else None, row),
        )
        refresh(db, conv, now)
