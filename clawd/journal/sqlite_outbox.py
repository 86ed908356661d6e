"""The outbox's rows and their states: each function is part of one transaction.

A conversation's line holds its rows in `pending`, `sending` and `parked`, oldest first; only its head
may be sent. `conv.send_at` says when that is, so that finding due work never walks through a line.
Whoever changes a row's state calls `refresh` for its conversation. INDEXED BY: left to itself, SQLite
may take an index that walks through everything ever sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from heapq import merge
from typing import Any, assert_never

from clawd.errors import Fenced, JournalCorrupt
from clawd.ids import from_ms
from clawd.journal import sqlite_callbacks as callbacks
from clawd.journal.base import Lease, Push
from clawd.journal.codec import DELIVERY_VERSION, DeliveryBody, decode_delivery, encode_delivery
from clawd.journal.deliveries import (
    Dead,
    DeliveryOutcome,
    Held,
    NewDelivery,
    OutboxRow,
    Parked,
    RetryAt,
    Sent,
    Taken,
)
from clawd.journal.sqlite_context import Context, parse_address
from clawd.messages import Address, MessageId, OutboundMessage

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


# --- writing rows ----------------------------------------------------------------------------------------


def insert_push(db: sqlite3.Connection, conv: int, push: Push, now: int) -> int:
    """Write a push; return its row."""
    body = DeliveryBody(
        text=push.text,
        kind=push.kind,
        reference=push.reference,
        files=push.files or None,
        question=push.question,
        choices=push.choices,
    )
    (row,) = db.execute(
        "INSERT INTO outbox (conv, state, next_at, at, v, body) VALUES (?, 'pending', ?, ?, ?, ?) RETURNING id",
        (conv, now, now, DELIVERY_VERSION, encode_delivery(body)),
    ).fetchone()
    refresh(db, conv, now)
    return int(row)


def insert_reply(db: sqlite3.Connection, lease: Lease, deliveries: Sequence[NewDelivery], now: int) -> None:
    """Write what a turn sends now, numbered behind what it sent before; a reserved preview becomes its first."""
    events = [delivery for delivery in deliveries if delivery.callback is not None]
    if events and callbacks.insert(db, lease, events, now):
        refresh(db, lease.conv, now)
    deliveries = [delivery for delivery in deliveries if delivery.callback is None]
    if not deliveries:
        return
    sent = _parts(db, lease)
    for delivery in deliveries:
        body = encode_delivery(
            DeliveryBody(
                text=delivery.text,
                kind=delivery.kind,
                parts=sent + delivery.parts,
                in_reply_to=lease.message.id,
                reference=lease.message.reference,
                question=delivery.question,
                choices=delivery.choices,
            )
        )
        if delivery.part == 0 and _fill_preview(db, lease, body, now):
            continue
        db.execute(
            "INSERT INTO outbox (conv, seq, part, state, next_at, at, v, body)"
            " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?)",
            (lease.conv, lease.seq, sent + delivery.part, now, now, DELIVERY_VERSION, body),
        )
    db.execute(
        "UPDATE inbox SET parts = ? WHERE conv = ? AND seq = ?",
        (sent + len(deliveries), lease.conv, lease.seq),
    )
    refresh(db, lease.conv, now)


def _parts(db: sqlite3.Connection, lease: Lease) -> int:
    """Return how many parts the turn has sent."""
    (parts,) = db.execute(
        "SELECT parts FROM inbox WHERE conv = ? AND seq = ?", (lease.conv, lease.seq)
    ).fetchone()
    return int(parts)


def _fill_preview(db: sqlite3.Connection, lease: Lease, body: str, now: int) -> bool:
    """Give a reserved row its final text; while its first send is on the wire it stays `sending`."""
    changed = db.execute(
        "UPDATE outbox SET body = ?, v = ?, at = ?, next_at = ?, why = '', ended_at = NULL, repeated = max(repeated, state = 'unknown'),"
        " state = CASE state WHEN 'sending' THEN 'sending' ELSE 'pending' END"
        " WHERE conv = ? AND seq = ? AND body IS NULL",
        (body, DELIVERY_VERSION, now, now, lease.conv, lease.seq),
    )
    return changed.rowcount > 0


def drop_preview(db: sqlite3.Connection, lease: Lease, now: int) -> None:
    """The turn ended and nothing is to be sent: what was shown stays as it is."""
    changed = db.execute(
        "DELETE FROM outbox WHERE conv = ? AND seq = ? AND body IS NULL", (lease.conv, lease.seq)
    )
    if changed.rowcount:
        refresh(db, lease.conv, now)


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


def waits(db: sqlite3.Connection, conv: int) -> bool:
    """Whether anything stands in a conversation's line."""
    row = db.execute(
        "SELECT 1 FROM outbox INDEXED BY outbox_line"
        " WHERE conv = ? AND state IN ('pending', 'sending', 'parked') LIMIT 1",
        (conv,),
    ).fetchone()
    return row is not None


# --- previews --------------------------------------------------------------------------------------------


def reserve(db: sqlite3.Connection, context: Context, lease: Lease) -> int | None:
    """Write the next part as `sending` without a body; None when one stands, or older rows still wait."""
    now, part = context.now_ms(), _parts(db, lease)
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


def preview_sent(
    db: sqlite3.Connection, context: Context, row: int, remote_id: str | None, *, unknown: bool
) -> bool:
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


# --- sending ---------------------------------------------------------------------------------------------


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


# --- other -----------------------------------------------------------------------------------------------


def move(db: sqlite3.Connection, old: Address, new: Address) -> None:
    """Let the conversation at `old` go on at `new`.

    Where that has a conversation of its own by now, each keeps its turns, and what waits at `old` is sent
    to `new`.
    """
    if db.execute("SELECT 1 FROM conv WHERE address = ?", (str(new),)).fetchone() is not None:
        db.execute("UPDATE conv SET moved_to = ? WHERE address = ?", (str(new), str(old)))
    else:
        db.execute(
            "UPDATE conv SET address = ?, bridge = ? WHERE address = ?", (str(new), new.bridge, str(old))
        )
    db.execute("UPDATE conv SET moved_to = ? WHERE moved_to = ?", (str(new), str(old)))


def move_chat(db: sqlite3.Connection, old: Address, new: Address) -> None:
    """Let the conversation at `old`, and those of its threads, go on at `new`; nothing if it was done before."""
    # Fields of an address are quoted, so those of threads lie between "OLD:" and what follows ":" in ASCII.
    rows = db.execute(
        "SELECT address FROM conv WHERE address = ?1 OR (address > ?1 || ':' AND address < ?1 || ';')",
        (str(old),),
    ).fetchall()
    for (address,) in rows:
        move(db, Address.parse(address), replace(new, thread=Address.parse(address).thread))


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
