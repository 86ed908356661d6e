"""Snapshots of sessions: what a turn's context begins with, so that it needs only the records behind it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clawd.journal.base import Snapshot
from clawd.journal.codec import SNAPSHOT_VERSION, encode_snapshot

if TYPE_CHECKING:
    from clawd.journal.base import Lease
    from clawd.journal.records import SummaryResult


def replace_by_summary(db: sqlite3.Connection, lease: Lease, summary: SummaryResult, now: int) -> None:
    """A summary was made: it stands for the session's beginning, whatever stood for that before."""
    snapshot = Snapshot(
        session=lease.settings.session,
        through_seq=summary.through_seq,
        summary=summary.text,
        summary_seq=summary.through_seq,
    )
    _write(db, lease.conv, snapshot, encode_snapshot(snapshot), now)


def write(db: sqlite3.Connection, conv: int, snapshot: Snapshot, body: str, now: int) -> None:
    """Keep a snapshot, unless it came too late: another session, another summary, or a later one is there."""
    found = db.execute(
        "SELECT session, summary_seq, through_seq FROM snapshot WHERE conv = ?", (conv,)
    ).fetchone()
    if found is not None:
        session, summary_seq, through_seq = found
        same_summary = (session, summary_seq) == (snapshot.session, snapshot.summary_seq)
        if session > snapshot.session or (session == snapshot.session and not same_summary):
            return
        if same_summary and through_seq >= snapshot.through_seq:
            return
    _write(db, conv, snapshot, body, now)


def _write(db: sqlite3.Connection, conv: int, snapshot: Snapshot, body: str, now: int) -> None:
    db.execute(
        "INSERT OR REPLACE INTO snapshot (conv, session, summary_seq, through_seq, at, v, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            conv,
            snapshot.session,
            snapshot.summary_seq,
            snapshot.through_seq,
            now,
            SNAPSHOT_VERSION,
            body,
        ),
    )
