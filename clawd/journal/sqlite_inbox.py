"""How events get into the journal: each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from clawd.artifacts import rows as artifacts
from clawd.errors import InboxFull, JournalCorrupt
from clawd.ids import draft_id
from clawd.journal import sqlite_callbacks as callbacks
from clawd.journal import sqlite_line as line
from clawd.journal import sqlite_moving as moving
from clawd.journal import sqlite_offline as offline
from clawd.journal import sqlite_outbox as outbox
from clawd.journal import sqlite_questions as questions
from clawd.journal.base import ConversationSettings
from clawd.journal.codec import MESSAGE_VERSION, decode_message, encode_message, encode_settings
from clawd.journal.items import AdmittedControl, AdmittedMessage, Item, Push, Pushed, Stored
from clawd.journal.sqlite_context import ACCEPTED, OPEN_TURNS, PUSHED, Context, add_open_turns, append
from clawd.journal.sqlite_merging import MAX_MERGED
from clawd.messages import (
    Accepted,
    Address,
    Cursor,
    Duplicate,
    Edited,
    InboundControl,
    InboundMessage,
    Moved,
    Unreadable,
)

MAX_RAW_CHARS = 64 * 1024
SETTLE_MS = 1000
"""A piece of a message waits so long for the next one: platforms bring them within tenths of a second."""

_MAX_EDITABLE = 50  # of a conversation's waiting messages, the newest

Result = Accepted | Duplicate | Pushed | Stored

_NEW_SETTINGS = encode_settings(ConversationSettings())


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation's row, as far as accepting needs it."""

    id: int
    last_seq: int
    done_seq: int


def accept(
    db: sqlite3.Connection, context: Context, batch: Sequence[Item], cursor: Cursor | None
) -> list[Result]:
    """Write a batch and its cursor; raises InboxFull, and then the caller's savepoint undoes everything."""
    now = context.now_ms()
    full = False
    depth: int | None = None
    results: list[Result] = []
    for item in batch:
        key, digest = _identity(item)
        if (duplicate := _seen(db, context, key, digest)) is not None:
            results.append(duplicate)
            continue
        match item:
            case AdmittedMessage():
                if depth is None:  # a batch is let in whole once there is room for one
                    depth = _depth(db)
                    full = depth >= context.max_queue
                if full:
                    raise InboxFull(depth)
                results.append(_message(db, context, item, now))
            case AdmittedControl():
                results.append(_control(db, context, item, now))
            case Push():
                results.append(_push(db, context, item, now))
            case Edited():
                results.append(_edit(db, context, item))
            case Moved():
                moving.move_chat(db, item.old, item.new)
                results.append(Stored())
            case Unreadable():
                results.append(_unreadable(db, item, now))
            case _:
                assert_never(item)
    _forget(db, context, now, limit=2 * len(batch))
    if cursor is not None:
        db.execute(
            "INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (cursor_key(cursor.key), cursor.value),
        )
    return results


def cursor_key(key: str) -> str:
    """Return where a bridge's cursor stands in `kv`."""
    return f"cursor:{key}"


def conversation(db: sqlite3.Connection, address: Address) -> Conversation:
    """Return the conversation at an address, made if there is none."""
    found = find_conversation(db, address)
    if found is not None:
        return found
    (row,) = db.execute(
        "INSERT INTO conv (address, bridge, settings) VALUES (?, ?, ?) RETURNING id",
        (str(address), address.bridge, _NEW_SETTINGS),
    ).fetchone()
    return Conversation(row, 0, 0)


def find_conversation(db: sqlite3.Connection, address: Address) -> Conversation | None:
    """Return the conversation at an address, if there is one."""
    row = db.execute("SELECT id, last_seq, done_seq FROM conv WHERE address = ?", (str(address),)).fetchone()
    return Conversation(*row) if row is not None else None


def enqueue(
    db: sqlite3.Connection,
    conv: Conversation,
    *,
    right: str,
    version: int,
    body: str,
    now: int,
    not_before: int | None = None,
) -> int:
    """Give a message its place in a conversation; return its sequence number.

    `not_before` is set for a piece of a message: more of it may follow until then.
    """
    seq = conv.last_seq + 1
    db.execute(
        'INSERT INTO inbox (conv, seq, state, "right", at, not_before, v, body)'
        " VALUES (?, ?, 'queued', ?, ?, ?, ?, ?)",
        (conv.id, seq, right, now, not_before, version, body),
    )
    db.execute(
        "UPDATE conv SET last_seq = ?,"
        " ready_at = CASE WHEN owner IS NULL AND stuck IS NULL THEN coalesce(ready_at, ?) END WHERE id = ?",
        (seq, now if not_before is None else not_before, conv.id),
    )
    if not_before is not None and seq > conv.done_seq + 1:
        _wait_on(db, conv, seq, not_before)
    append(db, conv=conv.id, seq=seq, kind=ACCEPTED, ts=now)
    add_open_turns(db, 1)
    return seq


def _wait_on(db: sqlite3.Connection, conv: Conversation, seq: int, not_before: int) -> None:
    """Let the pieces before this one wait for the next one too, if nothing else is among them."""
    head = conv.done_seq + 1
    if seq - head > MAX_MERGED:
        return
    (pieces,) = db.execute(
        "SELECT count(*) FROM inbox WHERE conv = ? AND seq >= ? AND seq < ? AND state = 'queued'"
        " AND not_before IS NOT NULL",
        (conv.id, head, seq),
    ).fetchone()
    if pieces == seq - head:
        db.execute(
            "UPDATE conv SET ready_at = ? WHERE id = ? AND owner IS NULL AND stuck IS NULL",
            (not_before, conv.id),
        )


# --- one kind of item each -------------------------------------------------------------------------------


def _identity(item: Item) -> tuple[str, str | None]:
    match item:
        case AdmittedMessage(message=message):
            return message.id, message.digest
        case AdmittedControl(control=control):
            return control.id, None
        case Push() | Edited() | Moved() | Unreadable():
            return item.id, None


def _seen(db: sqlite3.Connection, context: Context, key: str, digest: str | None) -> Duplicate | None:
    row = db.execute("SELECT conv, seq, body_sha256 FROM dedup WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    conv, seq, first = row
    same = digest is None or first is None or digest == first
    return Duplicate(turn=context.turn(conv, seq) if seq is not None else None, same_body=same)


def _remember(
    db: sqlite3.Connection,
    key: str,
    now: int,
    *,
    turn: tuple[int, int] | None = None,
    digest: str | None = None,
) -> None:
    conv, seq = turn or (None, None)
    db.execute(
        "INSERT INTO dedup (key, conv, seq, body_sha256, at) VALUES (?, ?, ?, ?, ?)",
        (key, conv, seq, digest, now),
    )


def _forget(db: sqlite3.Connection, context: Context, now: int, *, limit: int) -> None:
    """Remove keys that no platform delivers again; more than are added, so that their number stays bounded."""
    before = now - context.dedup_ms
    # To look costs less than a deletion that finds nothing, as most would.
    if db.execute("SELECT 1 FROM dedup WHERE at < ? LIMIT 1", (before,)).fetchone() is None:
        return
    db.execute(
        "DELETE FROM dedup WHERE key IN (SELECT key FROM dedup WHERE at < ? ORDER BY at LIMIT ?)",
        (before, limit),
    )


def _depth(db: sqlite3.Connection) -> int:
    (depth,) = db.execute("SELECT value FROM kv WHERE key = ?", (OPEN_TURNS,)).fetchone()
    return int(depth)


def _message(db: sqlite3.Connection, context: Context, item: AdmittedMessage, now: int) -> Accepted:
    message: InboundMessage = item.message
    conv = conversation(db, message.address)
    seq = enqueue(
        db,
        conv,
        right=item.right,
        version=MESSAGE_VERSION,
        body=encode_message(message),
        now=now,
        not_before=now + SETTLE_MS if message.piece_of is not None else None,
    )
    artifacts.use(db, message.parts, conv.id, seq=seq)
    if seq > conv.done_seq + 1:
        questions.wake_by_message(db, conv.id, conv.done_seq, message, now)
        if item.chooses:
            offline.wake_by_choice(db, conv.id, now)
    _remember(db, message.id, now, turn=(conv.id, seq), digest=message.digest)
    if item.app is not None:
        callbacks.insert_received(db, conv.id, seq, item, now)
        line.refresh(db, conv.id, now)
    line.free_parked(db, conv.id, now)
    return Accepted(turn=context.turn(conv.id, seq), position=seq - conv.done_seq - 1)


def _control(db: sqlite3.Connection, context: Context, item: AdmittedControl, now: int) -> Stored:
    control, body = item.control, ""
    if control.kind == "fetch":
        return _fetch(db, control, now)
    if control.kind == "stop":
        target = _target(db, context, control)
    else:
        question = questions.answer_target(db, context, item, _head(db, control.address))
        target = question[:2] if question is not None else None
        body = questions.answer_body(control, question[2]) if question is not None else ""
    if target is None:
        return Stored()
    conv, seq = target
    db.execute(
        "INSERT INTO control (conv, target_seq, kind, at, body) VALUES (?, ?, ?, ?, ?)",
        (conv, seq, control.kind, now, body),
    )
    questions.wake(db, conv, now)
    _remember(db, control.id, now, turn=target)
    return Stored(turn=context.turn(conv, seq))


def _fetch(db: sqlite3.Connection, control: InboundControl, now: int) -> Stored:
    """Free what is parked for the sender; kept only where something waits, or is being made, for them.

    A turn that waits for a person makes nothing: what they write is their answer, and no fetch.
    """
    conv = find_conversation(db, control.address)
    if conv is None or not (line.waits(db, conv.id) or _in_work(db, conv)):
        return Stored()
    _remember(db, control.id, now)
    line.fetch(db, conv.id, now)
    return Stored(fetched=True)


def _in_work(db: sqlite3.Connection, conv: Conversation) -> bool:
    row = db.execute(
        "SELECT 1 FROM inbox WHERE conv = ? AND seq = ? AND state IN ('queued', 'running')",
        (conv.id, conv.done_seq + 1),
    ).fetchone()
    return row is not None


def _target(db: sqlite3.Connection, context: Context, control: InboundControl) -> tuple[int, int] | None:
    """Return the open turn that a stop is for. One that names a turn never hits another one."""
    if control.turn is None:
        head = _head(db, control.address)
        drafted = control.draft is None or (head and control.draft == draft_id(context.turn(*head)))
        return head if drafted else None
    named = context.parse_turn(control.turn)
    if named is None:
        return None
    row = db.execute(
        "SELECT c.done_seq, c.last_seq, i.merged_into FROM conv c"
        " LEFT JOIN inbox i ON i.conv = c.id AND i.seq = ? WHERE c.id = ?",
        named[::-1],
    ).fetchone()
    if row is None or not row[0] < named[1] <= row[1]:
        return None
    return (named[0], row[2]) if row[2] is not None else named


def _head(db: sqlite3.Connection, address: Address) -> tuple[int, int] | None:
    """Return the turn of a conversation that is next to end: the one in work, or else the oldest queued."""
    conv = find_conversation(db, address)
    return (conv.id, conv.done_seq + 1) if conv is not None and conv.done_seq < conv.last_seq else None


def _edit(db: sqlite3.Connection, context: Context, edit: Edited) -> Stored:
    """Put the newer version in the place of a message that no worker has had yet."""
    new = edit.message
    conv = find_conversation(db, new.address)
    if conv is None:
        return Stored()
    rows = db.execute(
        "SELECT seq, v, body FROM inbox WHERE conv = ? AND seq > ? AND state = 'queued' AND claims = 0"
        " AND merged_into IS NULL ORDER BY seq DESC LIMIT ?",
        (conv.id, conv.done_seq, _MAX_EDITABLE),
    )
    for seq, version, body in rows.fetchall():
        try:
            old = decode_message(version, body)
        except JournalCorrupt:
            continue  # it is reported where its turn is claimed
        if (old.reference, old.sender.id) == (new.reference, new.sender.id) and old.sent_at <= new.sent_at:
            newer = encode_message(replace(new, id=old.id, piece_of=old.piece_of))
            db.execute(
                "UPDATE inbox SET v = ?, body = ? WHERE conv = ? AND seq = ?",
                (MESSAGE_VERSION, newer, conv.id, seq),
            )
            artifacts.use(db, new.parts, conv.id, seq=seq)
            return Stored(turn=context.turn(conv.id, seq))
    return Stored()


def _push(db: sqlite3.Connection, context: Context, push: Push, now: int) -> Pushed:
    conv = conversation(db, push.address)
    row = outbox.insert_push(db, conv.id, push, now)
    artifacts.use(db, push.files, conv.id, push=row)
    append(db, conv=conv.id, seq=None, kind=PUSHED, ts=now, step=row)
    _remember(db, push.id, now)
    return Pushed(delivery=context.delivery(row))


def _unreadable(db: sqlite3.Connection, update: Unreadable, now: int) -> Stored:
    raw = update.raw[:MAX_RAW_CHARS].encode(errors="replace").decode()
    why = update.why.encode(errors="replace").decode()
    db.execute(
        "INSERT INTO unreadable (bridge, raw, why, at) VALUES (?, ?, ?, ?)", (update.bridge, raw, why, now)
    )
    _remember(db, update.id, now)
    return Stored()
