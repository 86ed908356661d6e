"""Rows of the outbox as they are written: replies, their previews' texts, pushes. Part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from clawd.journal import sqlite_callbacks as callbacks
from clawd.journal import sqlite_previews as previews
from clawd.journal.base import Lease
from clawd.journal.codec import DELIVERY_VERSION, DeliveryBody, encode_delivery
from clawd.journal.deliveries import NewDelivery
from clawd.journal.items import Push
from clawd.journal.sqlite_line import refresh


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
    sent = previews.parts_sent(db, lease)
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
        if delivery.part == 0 and previews.fill(db, lease, body, now):
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
