"""Events for programs in the outbox: each function is part of one transaction.

They lie in the conversation that they tell of, numbered with the parts of its turns, so that they keep
its order, and go with it when it is erased.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace

from clawd.ids import from_ms
from clawd.journal.base import Lease
from clawd.journal.codec import DELIVERY_VERSION, DeliveryBody, encode_delivery
from clawd.journal.deliveries import NewDelivery
from clawd.journal.items import AdmittedMessage
from clawd.messages import Callback


def insert(db: sqlite3.Connection, lease: Lease, events: Sequence[NewDelivery], now: int) -> bool:
    """Write what a turn tells, once for each who is to be told; return whether anybody is."""
    urls = tuple(dict.fromkeys(_urls(db, lease)))
    if not urls and all(event.callback is None or event.callback.app is None for event in events):
        return False
    (sent,) = db.execute(
        "SELECT parts FROM inbox WHERE conv = ? AND seq = ?", (lease.conv, lease.seq)
    ).fetchone()
    part = sent
    for event in events:
        told = event.callback
        assert told is not None  # noqa: S101 - chosen by that
        ends = told.event in ("message.reply", "message.failed")  # what a URL is told
        whose = [replace(told, url=url, app=None) for url in urls] if ends else []
        if told.app is not None:
            whose.append(told)
        for callback in whose:
            body = DeliveryBody(
                text=event.text, kind=event.kind, in_reply_to=lease.message.id, callback=callback
            )
            _insert(db, lease.conv, lease.seq, part, body, now)
            part += 1
    _count(db, lease.conv, lease.seq, part)
    return bool(part > sent)


def insert_received(db: sqlite3.Connection, conv: int, seq: int, item: AdmittedMessage, now: int) -> None:
    """Write that a message came, for the app that wants to know."""
    message = item.message
    callback = Callback(
        event="message.received", status="queued", at=from_ms(now), app=item.app, sender=message.sender.id
    )
    body = DeliveryBody(text=message.text, kind="push", in_reply_to=message.id, callback=callback)
    _insert(db, conv, seq, 0, body, now)
    _count(db, conv, seq, 1)


def count_refusal(db: sqlite3.Connection, row: int) -> None:
    """Note that the receiver read a delivery and refused it."""
    db.execute(
        "UPDATE outbox SET body = json_set(body, '$.refusals', coalesce(json_extract(body, '$.refusals'), 0) + 1)"
        " WHERE id = ?",
        (row,),
    )


def is_event(db: sqlite3.Connection, row: int) -> bool:
    """Whether a delivery tells a program of something."""
    (found,) = db.execute(
        "SELECT json_valid(body) AND json_extract(body, '$.callback') IS NOT NULL FROM outbox WHERE id = ?",
        (row,),
    ).fetchone()
    return bool(found)


def insist(db: sqlite3.Connection, row: int) -> None:
    """Let an event be told even where nobody was to be told any more, with a fresh count of refusals."""
    db.execute(
        "UPDATE outbox SET body = json_set(json_remove(body, '$.refusals'), '$.insist', json('true')) WHERE id = ?",
        (row,),
    )


def _urls(db: sqlite3.Connection, lease: Lease) -> Iterator[str]:
    if lease.message.callback_url is not None:
        yield lease.message.callback_url
    rows = db.execute(
        "SELECT json_extract(body, '$.callback_url') FROM inbox WHERE conv = ? AND merged_into = ? AND seq > ?"
        " ORDER BY seq",
        (lease.conv, lease.seq, lease.seq),
    )
    yield from (url for (url,) in rows if url is not None)


def _insert(db: sqlite3.Connection, conv: int, seq: int, part: int, body: DeliveryBody, now: int) -> None:
    db.execute(
        "INSERT INTO outbox (conv, seq, part, state, next_at, at, v, body)"
        " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?)",
        (conv, seq, part, now, now, DELIVERY_VERSION, encode_delivery(body)),
    )


def _count(db: sqlite3.Connection, conv: int, seq: int, parts: int) -> None:
    db.execute("UPDATE inbox SET parts = ? WHERE conv = ? AND seq = ?", (parts, conv, seq))
