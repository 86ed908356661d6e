"""Turns that wait for a person: how they begin to wait, and what wakes them. Parts of one transaction each."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import JournalCorrupt
from clawd.ids import from_ms, parse_question_id, question_id, to_ms
from clawd.journal.base import OpenQuestion
from clawd.journal.codec import AnswerBody, decode_message, decode_record, encode_answer
from clawd.journal.records import TurnWaiting
from clawd.journal.sqlite_context import Context, parse_address

if TYPE_CHECKING:
    from clawd.journal.base import Lease
    from clawd.journal.items import AdmittedControl
    from clawd.messages import InboundControl, InboundMessage

OPEN_QUESTIONS: Final = (
    "SELECT c.id, i.seq, coalesce(c.moved_to, c.address), i.v, i.body, i.deadline, j.v, j.body, j.ts"
    " FROM inbox i JOIN conv c ON c.id = i.conv"
    " JOIN journal j ON j.id = (SELECT max(id) FROM journal w WHERE w.conv = i.conv AND w.seq = i.seq"
    "  AND w.kind = 'turn.waiting')"
    " WHERE i.state = 'waiting'"
)
"""Rows for `read_question`."""


def wait(db: sqlite3.Connection, lease: Lease, waiting: TurnWaiting, now: int) -> None:
    """End the lease; the conversation becomes ready at the deadline, or by an answer.

    A stop that came while this was being written is not left waiting.
    """
    deadline = to_ms(waiting.deadline)
    db.execute(
        "UPDATE inbox SET state = 'waiting', attempts = 0, deadline = ?1, told = ?2,"
        " asked_seq = coalesce(asked_seq, (SELECT last_seq FROM conv WHERE id = ?3))"
        " WHERE conv = ?3 AND seq = ?4",
        (deadline, waiting.told, lease.conv, lease.seq),
    )
    ready_at = min(now, deadline) if is_stopped(db, lease) else deadline
    db.execute("UPDATE conv SET owner = NULL, suspect = 0, ready_at = ? WHERE id = ?", (ready_at, lease.conv))


def is_stopped(db: sqlite3.Connection, lease: Lease) -> bool:
    """Whether a stop of the turn is committed and not yet applied."""
    row = db.execute(
        "SELECT 1 FROM control WHERE conv = ? AND target_seq = ? AND applied_at IS NULL AND kind = 'stop' LIMIT 1",
        (lease.conv, lease.seq),
    ).fetchone()
    return row is not None


def answered(db: sqlite3.Connection, lease: Lease, now: int) -> None:
    """The word came: what follows is no longer about this question."""
    db.execute(
        "UPDATE inbox SET deadline = NULL, asked_seq = NULL WHERE conv = ? AND seq = ?",
        (lease.conv, lease.seq),
    )
    db.execute(
        "UPDATE control SET applied_at = ? WHERE conv = ? AND target_seq = ? AND applied_at IS NULL"
        " AND kind IN ('approve', 'deny')",
        (now, lease.conv, lease.seq),
    )


def wake(db: sqlite3.Connection, conv: int, now: int) -> None:
    """Let a conversation whose turn waits be claimed now."""
    db.execute(
        "UPDATE conv SET ready_at = min(ready_at, ?) WHERE id = ? AND owner IS NULL AND stuck IS NULL",
        (now, conv),
    )


def wake_by_message(
    db: sqlite3.Connection, conv: int, done_seq: int, message: InboundMessage, now: int
) -> None:
    """Wake the waiting turn if it is its asker who wrote: other text than an answer means no."""
    row = db.execute(
        "SELECT v, body FROM inbox WHERE conv = ? AND seq = ? AND state = 'waiting'", (conv, done_seq + 1)
    ).fetchone()
    if row is None:
        return
    if _asker(*row) == message.sender.id:
        wake(db, conv, now)


def _asker(version: int, body: str) -> str | None:
    """Return who wrote the message of a turn; None when it can't be read, which its claim will tell."""
    try:
        return decode_message(version, body).sender.id
    except JournalCorrupt:
        return None


def answer_target(
    db: sqlite3.Connection, context: Context, item: AdmittedControl, here: tuple[int, int] | None
) -> tuple[int, int, int] | None:
    """Return (conv, seq, step) of the question that a control answers, None when that is not open.

    `here` is the turn that is next to end where the control was given.
    """
    head, step = here, None
    if item.control.question is not None:
        named = parse_question_id(item.control.question)
        head = context.parse_turn(named[0]) if named is not None else None
        step = named[1] if named is not None else None
    if head is None or (item.own_only and head != here):
        return None
    row = db.execute(
        "SELECT i.v, i.body, j.v, j.body, j.id FROM inbox i JOIN journal j ON j.conv = i.conv AND j.seq = i.seq"
        " WHERE i.conv = ? AND i.seq = ? AND i.state = 'waiting' AND j.kind = 'turn.waiting'"
        # The first word counts: whoever comes second is not told that theirs was taken.
        " AND NOT EXISTS (SELECT 1 FROM control k WHERE k.conv = i.conv AND k.target_seq = i.seq"
        "  AND k.kind IN ('approve', 'deny') AND k.applied_at IS NULL)"
        " ORDER BY j.id DESC LIMIT 1",
        head,
    ).fetchone()
    if row is None or (item.own_only and _asker(*row[:2]) != item.control.sender.id):
        return None
    waiting = _waiting(*row[2:])
    return (*head, waiting.step) if waiting is not None and step in (None, waiting.step) else None


def answer_body(control: InboundControl, step: int) -> str:
    """Return what is stored of an answer beside its kind."""
    by = f"{control.address.bridge}:{control.sender.id}"
    return encode_answer(AnswerBody(step=step, by=by, always=control.always))


def read_question(context: Context, row: tuple[Any, ...]) -> OpenQuestion | None:
    """Return the question of a row of OPEN_QUESTIONS, None when it can't be read."""
    conv, seq, address, version, body, deadline, waiting_version, waiting_body, asked_ms = row
    waiting = _waiting(waiting_version, waiting_body, None)
    if waiting is None:
        return None
    try:
        message = decode_message(version, body)
    except JournalCorrupt:
        return None
    return OpenQuestion(
        id=question_id(context.instance, conv, seq, waiting.step),
        turn=context.turn(conv, seq),
        conversation=parse_address(address),
        asker=message.sender,
        about=waiting.about,
        tool=waiting.name,
        subject=waiting.subject,
        asked_at=from_ms(asked_ms),
        deadline=from_ms(deadline) if deadline is not None else waiting.deadline,
    )


def _waiting(version: int, body: str, row_id: int | None) -> TurnWaiting | None:
    try:
        record = decode_record(TurnWaiting.kind, version, body, row_id=row_id)
    except JournalCorrupt:
        return None
    return record if isinstance(record, TurnWaiting) else None
