"""Finished turns that are older than `journal.keep_days` go, with all that is told of them.

One pass walks the inbox from the oldest message on, a bounded piece at a time, and stops at the first that is
too young. What stays for now: open turns; turns with a delivery that is not over; dead letters until a
person drops them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt
from clawd.journal.codec import decode_snapshot, encode_snapshot
from clawd.journal.erasing import erase_pushes, erase_turns
from clawd.journal.sqlite_context import FORGOTTEN
from clawd.journal.sqlite_merging import MAX_MERGED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clawd.store.sqlite import Store

BATCH_ROWS: Final = 500  # removed in one write, give or take one turn
_LOOK_ROWS: Final = 500  # read in one write
_FINISHED: Final = ("answered", "failed", "cancelled", "dead")

# A message that became part of another's turn goes with it.
_OLDEST = (
    "SELECT rowid, conv, seq, at, ended_at, state, dropped FROM inbox WHERE rowid > ? ORDER BY rowid LIMIT ?"
)
_HELD = (
    "SELECT 1 FROM outbox WHERE conv = ? AND seq = ? AND (state IN ('pending', 'sending', 'parked', 'open')"
    " OR (state IN ('dead', 'unknown') AND dropped = 0 AND body IS NOT NULL)) LIMIT 1"
)
_OLD_PUSHES = (
    "SELECT id, conv, at, ended_at, state, dropped FROM outbox WHERE id > ? AND seq IS NULL"
    " ORDER BY id LIMIT ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a pass has got."""

    inbox: int = 0  # rowid
    outbox: int = 0  # id
    turns_done: bool = False
    done: bool = False
    next_at_ms: int | None = None  # when the oldest that is too young is old enough; None: none is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What one write removed, and where the pass goes on."""

    rows: int
    turns: int
    position: Position


def forget(db: sqlite3.Connection, position: Position, *, before_ms: int) -> Forgotten:
    """Remove a batch of what ended before a moment (wall time in milliseconds); part of one transaction."""
    return (
        _forget_pushes(db, position, before_ms)
        if position.turns_done
        else _forget_turns(db, position, before_ms)
    )


async def forget_batch(store: Store, position: Position, *, before_ms: int) -> Forgotten:
    """The same as one write of its own."""
    return await store.write(lambda db: forget(db, position, before_ms=before_ms), kinds=("retention",))


def _forget_turns(db: sqlite3.Connection, position: Position, before_ms: int) -> Forgotten:
    at, rows, turns, next_at = position.inbox, 0, 0, position.next_at_ms
    found = db.execute(_OLDEST, (at, _LOOK_ROWS)).fetchall()
    over = len(found) < _LOOK_ROWS
    gone: dict[int, list[int]] = {}
    for rowid, conv, seq, accepted_ms, ended_ms, state, dropped in found:
        if accepted_ms >= before_ms:
            next_at = _sooner(next_at, accepted_ms)
            over = True
            break
        if rows >= BATCH_ROWS:
            over = False
            break
        at = rowid
        if state not in _FINISHED or ended_ms is None or (state == "dead" and not dropped):
            continue
        if ended_ms >= before_ms:
            next_at = _sooner(next_at, ended_ms)
            continue
        merged = _merged_into(db, conv, seq)
        if merged is not None or db.execute(_HELD, (conv, seq)).fetchone():
            continue
        seqs = [seq, *_merged(db, conv, seq)]
        rows += erase_turns(db, conv, seqs)
        turns += 1
        gone.setdefault(conv, []).extend(seqs)
    for conv, seqs in gone.items():
        _note_gap(db, conv, max(seqs))
        _shorten_snapshot(db, conv, min(seqs))
    return Forgotten(
        rows=rows, turns=turns, position=replace(position, inbox=at, turns_done=over, next_at_ms=next_at)
    )


def _forget_pushes(db: sqlite3.Connection, position: Position, before_ms: int) -> Forgotten:
    at, next_at = position.outbox, position.next_at_ms
    found = db.execute(_OLD_PUSHES, (at, _LOOK_ROWS)).fetchall()
    over = len(found) < _LOOK_ROWS
    old: list[tuple[int, int]] = []
    for row, conv, made_ms, ended_ms, state, dropped in found:
        if made_ms >= before_ms:
            next_at = _sooner(next_at, made_ms)
            over = True
            break
        at = row
        if state != "sent" and not (state in ("dead", "unknown") and dropped):
            continue
        if ended_ms is None or ended_ms >= before_ms:
            next_at = _sooner(next_at, ended_ms or before_ms)
            continue
        old.append((conv, row))
    rows = sum(erase_pushes(db, conv, [row for _, row in group]) for conv, group in _by_conv(old))
    return Forgotten(rows=rows, turns=0, position=replace(position, outbox=at, done=over, next_at_ms=next_at))


def _by_conv(pushes: list[tuple[int, int]]) -> Iterable[tuple[int, Iterable[tuple[int, int]]]]:
    return groupby(sorted(pushes), key=lambda push: push[0])


def _sooner(known: int | None, moment: int) -> int:
    return moment if known is None else min(known, moment)


def _merged_into(db: sqlite3.Connection, conv: int, seq: int) -> int | None:
    """Return the turn that a message is part of, if that is still there."""
    row = db.execute(
        "SELECT t.seq FROM inbox m JOIN inbox t ON t.conv = m.conv AND t.seq = m.merged_into"
        " WHERE m.conv = ? AND m.seq = ?",
        (conv, seq),
    ).fetchone()
    return int(row[0]) if row is not None else None


def _merged(db: sqlite3.Connection, conv: int, seq: int) -> list[int]:
    """Return the messages that became part of a turn: those right behind its own."""
    rows = db.execute(
        "SELECT seq FROM inbox WHERE conv = ? AND seq > ? AND seq <= ? AND merged_into = ?",
        (conv, seq, seq + MAX_MERGED, seq),
    )
    return [row[0] for row in rows]


def _note_gap(db: sqlite3.Connection, conv: int, last: int) -> None:
    """Where an older turn stays, tell `clawd journal check` that what is missing behind it was removed."""
    if db.execute("SELECT 1 FROM inbox WHERE conv = ? AND seq < ? LIMIT 1", (conv, last)).fetchone():
        db.execute(
            "INSERT INTO kv (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (f"{FORGOTTEN}{conv}", last),
        )


def _shorten_snapshot(db: sqlite3.Connection, conv: int, first: int) -> None:
    """Let a snapshot not hold what is gone. Its summary stays: it is made of what the session went on from."""
    row = db.execute("SELECT through_seq, v, body FROM snapshot WHERE conv = ?", (conv,)).fetchone()
    if row is None or row[0] < first:
        return
    try:
        snapshot = decode_snapshot(row[1], row[2])
    except JournalCorrupt:
        return  # whoever claims the conversation will tell
    if not snapshot.summary:
        db.execute("DELETE FROM snapshot WHERE conv = ?", (conv,))
        return
    shorter = replace(snapshot, through_seq=snapshot.summary_seq, turns=())
    db.execute(
        "UPDATE snapshot SET through_seq = ?, body = ? WHERE conv = ?",
        (shorter.through_seq, encode_snapshot(shorter), conv),
    )
