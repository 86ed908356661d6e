"""What a worker reads at the start of a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.journal.base import Control, Lease, Loaded, PastTurn, Queued, Snapshot
from clawd.journal.codec import decode_answer, decode_message, decode_record, decode_snapshot
from clawd.journal.sqlite_merging import MAX_MERGED

if TYPE_CHECKING:
    from clawd.journal.records import Record
    from clawd.store.sqlite import Row, Store

HISTORY_TURNS: Final = 100  # older turns of the session are not looked at


async def load(store: Store, lease: Lease) -> Loaded:
    """Return what a turn needs to go on; raises JournalCorrupt when a row can't be read."""
    rows = await store.read(
        "SELECT id, kind, v, body FROM journal WHERE conv = ? AND seq = ? AND kind <> 'accepted' ORDER BY id",
        (lease.conv, lease.seq),
    )
    controls = await store.read(
        "SELECT id, kind, body FROM control WHERE conv = ? AND target_seq = ? AND applied_at IS NULL ORDER BY id",
        (lease.conv, lease.seq),
    )
    snapshot = await _snapshot(store, lease)
    return Loaded(
        records=tuple(_record(row) for row in rows),
        history=await _history(store, lease, snapshot),
        controls=tuple(_control(lease, row) for row in controls),
        merged=await _merged(store, lease),
        summary=snapshot.summary,
    )


async def behind(store: Store, lease: Lease) -> tuple[Queued, ...]:
    """Return the messages queued right behind a turn, up to the first that was stopped."""
    rows = await store.read(
        'SELECT i.seq, i.v, i.body, i."right", EXISTS (SELECT 1 FROM control k WHERE k.conv = i.conv'
        " AND k.target_seq = i.seq AND k.applied_at IS NULL) FROM inbox i"
        " WHERE i.conv = ? AND i.seq > ? AND i.state = 'queued' AND i.merged_into IS NULL"
        " ORDER BY i.seq LIMIT ?",
        (lease.conv, lease.seq, MAX_MERGED),
    )
    found: list[Queued] = []
    for seq, version, body, right, stopped in rows:
        if stopped:
            break
        found.append(Queued(seq=seq, message=decode_message(version, body), right=right))
    return tuple(found)


async def _merged(store: Store, lease: Lease) -> tuple[Queued, ...]:
    if not lease.merged:
        return ()
    rows = await store.read(
        'SELECT seq, v, body, "right" FROM inbox WHERE conv = ? AND seq BETWEEN ? AND ? ORDER BY seq',
        (lease.conv, lease.merged[0], lease.merged[-1]),
    )
    return tuple(_queued(row) for row in rows)


async def _snapshot(store: Store, lease: Lease) -> Snapshot:
    """Return the session's snapshot; one of another session, or from another version, is as good as none."""
    rows = await store.read(
        "SELECT v, body FROM snapshot WHERE conv = ? AND session = ?", (lease.conv, lease.settings.session)
    )
    empty = Snapshot(session=lease.settings.session, through_seq=lease.settings.session_seq)
    return decode_snapshot(*rows[0]) if rows else empty


async def _history(store: Store, lease: Lease, snapshot: Snapshot) -> tuple[PastTurn, ...]:
    first = max(snapshot.through_seq, lease.seq - 1 - HISTORY_TURNS)
    if lease.seq - 1 <= first:
        return snapshot.turns
    span = (lease.conv, first, lease.seq)
    messages = await store.read(
        'SELECT seq, v, body, "right", merged_into FROM inbox WHERE conv = ? AND seq > ? AND seq < ?'
        " AND state IN ('answered', 'failed', 'cancelled', 'dead') ORDER BY seq",
        span,
    )
    rows = await store.read(
        # Intents and starts say nothing that results and the end do not.
        "SELECT id, kind, v, body, seq FROM journal WHERE conv = ? AND seq > ? AND seq < ? AND kind IN"
        " ('llm.result', 'tool.result', 'turn.merged', 'session.started', 'session.undone',"
        "  'settings.changed', 'turn.finished') ORDER BY id",
        span,
    )
    records: dict[int, list[Record]] = {}
    for row in rows:
        records.setdefault(row[4], []).append(_record(row))
    merged: dict[int, list[Queued]] = {}
    for row in messages:
        if row[4] is not None:
            merged.setdefault(row[4], []).append(_queued(row))
    tail = tuple(
        PastTurn(
            seq=row[0],
            message=decode_message(row[1], row[2]),
            records=tuple(records.get(row[0], ())),
            merged=tuple(merged.get(row[0], ())),
        )
        for row in messages
        if row[4] is None
    )
    return (*snapshot.turns, *tail)


def _queued(row: Row) -> Queued:
    return Queued(seq=row[0], message=decode_message(row[1], row[2]), right=row[3])


def _control(lease: Lease, row: Row) -> Control:
    id_, kind, body = row
    if not body:
        return Control(id=id_, turn=lease.turn, kind=kind)
    answer = decode_answer(body)
    return Control(id=id_, turn=lease.turn, kind=kind, step=answer.step, by=answer.by, always=answer.always)


def _record(row: Row) -> Record:
    return decode_record(row[1], row[2], row[3], row_id=row[0])
