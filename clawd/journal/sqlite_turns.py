"""What is written of a turn under its lease: records, and its end. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clawd.artifacts import rows as artifacts
from clawd.errors import Fenced, JournalError
from clawd.journal import sqlite_merging as merging
from clawd.journal import sqlite_offline as offline
from clawd.journal import sqlite_outbox as outbox
from clawd.journal import sqlite_previews as previews
from clawd.journal import sqlite_questions as questions
from clawd.journal import sqlite_settings as settings
from clawd.journal import sqlite_snapshots as snapshots
from clawd.journal import sqlite_spend as spend
from clawd.journal.base import Lease
from clawd.journal.codec import decode_message, encode_message
from clawd.journal.deliveries import NewDelivery
from clawd.journal.records import (
    RESULT_KINDS,
    VERSION,
    QuestionAnswered,
    Record,
    SummaryResult,
    TurnFinished,
    TurnMerged,
    TurnOffline,
    TurnWaiting,
    step_of,
)
from clawd.journal.sqlite_context import Context, add_open_turns, append_record
from clawd.journal.sqlite_leases import is_ours, trust_again

if TYPE_CHECKING:
    from clawd.messages import Part


@dataclass(frozen=True, slots=True)
class Wakes:
    """Whom a commit has given work to."""

    work: bool = False
    outgoing: bool = False


def record(
    db: sqlite3.Connection,
    context: Context,
    lease: Lease,
    records: Sequence[tuple[Record, str]],
    deliveries: Sequence[NewDelivery],
    *,
    done: bool,
) -> Wakes:
    """Write records with their encoded bodies, deliveries and the turn's end, all under the lease.

    Raises:
        Fenced: the lease is no longer ours.
    """
    if not is_ours(db, lease):
        raise Fenced("this conversation is somebody else's now", where=lease.turn)
    now = context.now_ms()
    (claims,) = db.execute(
        "SELECT claims FROM inbox WHERE conv = ? AND seq = ?", (lease.conv, lease.seq)
    ).fetchone()
    for item, body in records:
        try:
            append_record(db, lease, item, claims, body, now)
        except sqlite3.IntegrityError as error:
            raise JournalError(
                f"step {step_of(item)} has its {item.kind} already", where=lease.turn, why=str(error)
            ) from error
    items = [item for item, _ in records]
    spend.settle(db, lease, items, now)
    freed = any(item.kind in RESULT_KINDS for item in items) and trust_again(db, lease)
    settings.change(db, lease, items)
    outbox.insert_reply(db, lease, deliveries, now)
    waits = _apply(db, lease, items, now)
    if done:
        _end(db, lease, items, now)
        if not deliveries:
            previews.drop(db, lease, now)
    return Wakes(work=done or freed or waits, outgoing=bool(deliveries) or done)


def _apply(db: sqlite3.Connection, lease: Lease, records: Sequence[Record], now: int) -> bool:
    """Let records show in the tables beside the journal; return whether the turn waits now."""
    waits = False
    for item in records:
        match item:
            case TurnMerged(seqs=seqs):
                merging.merge(db, lease, seqs)
            case QuestionAnswered():
                questions.answered(db, lease, now)
            case SummaryResult():
                snapshots.replace_by_summary(db, lease, item, now)
            case TurnWaiting():
                questions.wait(db, lease, item, now)
                spend.lose_requests(db, lease.conv)
                waits = True
            case TurnOffline(until=until, seen=seen):
                offline.wait(db, lease, until, now, seen=seen)
                spend.lose_requests(db, lease.conv)
                waits = True
            case _:
                pass
    return waits


def note(db: sqlite3.Connection, context: Context, lease: Lease, item: Record, body: str) -> None:
    """Write a record if the lease is still ours and there is none of its kind in this attempt."""
    if is_ours(db, lease):
        now = context.now_ms()
        spend.open_request(db, lease, item, now)
        db.execute(
            "INSERT OR IGNORE INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body)"
            " SELECT conv, seq, ?, claims, ?, ?, ?, ?, ? FROM inbox WHERE conv = ? AND seq = ?",
            (
                step_of(item),
                item.kind,
                VERSION,
                lease.epoch,
                now,
                body,
                lease.conv,
                lease.seq,
            ),
        )


def replace_parts(db: sqlite3.Connection, lease: Lease, seq: int, parts: tuple[Part, ...]) -> None:
    """Let a message of the turn name files that are stored here in place of its platform's; raises Fenced."""
    if not is_ours(db, lease):
        raise Fenced("the turn is no longer ours", where=lease.turn)
    version, body = db.execute(
        "SELECT v, body FROM inbox WHERE conv = ? AND seq = ?", (lease.conv, seq)
    ).fetchone()
    message = replace(decode_message(version, body), parts=parts)
    db.execute(
        "UPDATE inbox SET body = ? WHERE conv = ? AND seq = ?", (encode_message(message), lease.conv, seq)
    )
    artifacts.use(db, parts, lease.conv, seq=seq)


def _end(db: sqlite3.Connection, lease: Lease, records: Sequence[Record], now: int) -> None:
    (finished,) = (item for item in records if isinstance(item, TurnFinished))
    end_turn(db, lease.conv, lease.seq, finished.outcome, now)


def end_turn(db: sqlite3.Connection, conv: int, seq: int, state: str, now: int) -> None:
    """The turn is over: its conversation goes to the back of the line if more waits."""
    spend.lose_requests(db, conv)
    last = merging.end_rows(db, conv, seq, state, now)
    db.execute(
        "UPDATE control SET applied_at = ? WHERE conv = ? AND target_seq BETWEEN ? AND ? AND applied_at IS NULL",
        (now, conv, seq, last),
    )
    db.execute(
        "UPDATE conv SET done_seq = ?1, owner = NULL, suspect = 0,"
        " ready_at = CASE WHEN last_seq > ?1 THEN max(?2, coalesce("
        "  (SELECT not_before FROM inbox WHERE conv = ?3 AND seq = ?1 + 1), 0)) END WHERE id = ?3",
        (last, now, conv),
    )
    add_open_turns(db, seq - last - 1)
