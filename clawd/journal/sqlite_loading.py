"""What a worker reads at the start of a turn."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt
from clawd.journal.base import Control, Lease, Loaded, PastTurn, Queued, Snapshot
from clawd.journal.codec import decode_answer, decode_message, decode_record, decode_snapshot
from clawd.journal.records import TurnOffline, TurnWaiting
from clawd.journal.sqlite_merging import MAX_MERGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.journal.records import Record
    from clawd.store.sqlite import Row, Store

log = logging.getLogger(__name__)

HISTORY_TURNS: Final = 2000  # a session without a summary is looked back at no further
_PAGE: Final = 200  # messages that one statement looks at, so that none takes long


# One statement where several would do: each costs a way to the reading thread and back, and every turn pays.
_OWN: Final = (
    "SELECT 'record' AS part, id, kind, v, body, ts FROM journal"
    "  WHERE conv = ?1 AND seq = ?2 AND kind <> 'accepted'"
    " UNION ALL SELECT 'control', id, kind, 0, body, 0 FROM control"
    "  WHERE conv = ?1 AND target_seq = ?2 AND applied_at IS NULL"
    " UNION ALL SELECT 'snapshot', 0, '', v, body, 0 FROM snapshot WHERE conv = ?1 AND session = ?3"
    " ORDER BY 1, 2"
)


async def load(store: Store, lease: Lease, now: int) -> Loaded:
    """Return what a turn needs to go on, at this wall time in ms; raises JournalCorrupt when a row can't be read."""
    rows: dict[str, list[Row]] = {"record": [], "control": [], "snapshot": []}
    for part, *row in await store.read(_OWN, (lease.conv, lease.seq, lease.settings.session)):
        rows[part].append(tuple(row))
    snapshot = _snapshot(lease, rows["snapshot"])
    past = await _history(store, lease, snapshot)
    return Loaded(
        records=tuple(map(_record, rows["record"])),
        history=past.turns,
        controls=tuple(_control(lease, row) for row in rows["control"]),
        merged=await _merged(store, lease),
        summary=snapshot.summary,
        summary_seq=snapshot.summary_seq,
        behind=past.behind,
        omitted=past.omitted,
        waited_s=_waited_ms([(row[1], row[4]) for row in rows["record"]], now) / 1000,
    )


def _waited_ms(records: Sequence[tuple[str, int]], now: int) -> int:
    """Return for how long a turn was `waiting` or offline, given its records' kinds and times in order.

    A wait lasts until the next record: the answer that a worker took up, or the next try. What nobody has followed
    up yet lasts until now.
    """
    waited = 0
    for (kind, since), (_, until) in pairwise([*records, ("", now)]):
        if kind in (TurnWaiting.kind, TurnOffline.kind):
            waited += max(0, until - since)  # the clock may have been set back
    return waited


async def behind(store: Store, lease: Lease) -> tuple[Queued, ...]:
    """Return the messages queued right behind a turn, up to the first that was stopped, or that is not queued."""
    rows = await store.read(
        'SELECT i.seq, i.v, i.body, i."right", EXISTS (SELECT 1 FROM control k WHERE k.conv = i.conv'
        " AND k.target_seq = i.seq AND k.applied_at IS NULL), (SELECT coalesce(max(m.seq), ?2) FROM inbox m"
        "  WHERE m.conv = ?1 AND m.seq BETWEEN ?2 + 1 AND ?2 + ?3 AND m.merged_into = ?2) FROM inbox i"
        " WHERE i.conv = ?1 AND i.seq > ?2 AND i.state = 'queued' AND i.merged_into IS NULL"
        " ORDER BY i.seq LIMIT ?3",
        (lease.conv, lease.seq, MAX_MERGED),
    )
    found: list[Queued] = []
    for seq, version, body, right, stopped, last in rows:
        # Of a database that was salvaged, what was merged into a lost turn stands between them.
        if stopped or seq != last + 1 + len(found):
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


def _snapshot(lease: Lease, rows: list[Row]) -> Snapshot:
    """Return the session's snapshot; one that can't be read is as good as none: the records are there."""
    empty = Snapshot(
        session=lease.settings.session,
        through_seq=lease.settings.session_seq,
        summary_seq=lease.settings.session_seq,
    )
    if not rows:
        return empty
    _, _, version, body, _ = rows[0]
    try:
        return decode_snapshot(version, body)
    except JournalCorrupt as error:
        log.warning("snapshot_unreadable", extra={"turn": lease.turn, "error": str(error)})
        return empty


@dataclass(frozen=True, slots=True)
class _Past:
    turns: tuple[PastTurn, ...]
    behind: int = 0
    omitted: int = 0


async def _history(store: Store, lease: Lease, snapshot: Snapshot) -> _Past:
    """Return the snapshot's turns and those behind it, the newest `HISTORY_TURNS` of them."""
    turns = list(snapshot.turns)
    behind = 0
    first = max(snapshot.through_seq, lease.seq - 1 - HISTORY_TURNS)
    for start in range(first, lease.seq - 1, _PAGE):
        page, count = await _page(store, lease, start, min(start + _PAGE, lease.seq - 1))
        turns += page
        behind += count
    kept = tuple(turns[-HISTORY_TURNS:])
    omitted = 0
    if len(turns) > len(kept) or first > snapshot.through_seq:
        oldest = kept[0].seq if kept else lease.seq
        omitted = max(0, oldest - 1 - snapshot.summary_seq)
    return _Past(kept, behind, omitted)


_PAST: Final = (
    'SELECT seq, v, body, "right", merged_into, 0 FROM inbox WHERE conv = ?1 AND seq > ?2 AND seq <= ?4'
    "  AND state IN ('answered', 'failed', 'cancelled', 'dead')"
    # Intents and starts say nothing that results and the end do not.
    " UNION ALL SELECT id, kind, v, body, seq, NULL FROM journal WHERE conv = ?1 AND seq > ?2 AND seq <= ?3"
    "  AND kind IN ('llm.result', 'tool.result', 'turn.merged', 'summary.result', 'session.started',"
    "  'session.undone', 'settings.changed', 'turn.finished') ORDER BY 6, 1"
)


async def _page(store: Store, lease: Lease, after: int, through: int) -> tuple[list[PastTurn], int]:
    """Return the finished turns with these sequence numbers, and how many records that took."""
    found = await store.read(_PAST, (lease.conv, after, through, through + MAX_MERGED))
    messages = [row for row in found if row[5] is not None]
    rows = [row for row in found if row[5] is None]
    records: dict[int, list[Record]] = {}
    for row in rows:
        records.setdefault(row[4], []).append(_record(row))
    merged: dict[int, list[Queued]] = {}
    for row in messages:
        if row[4] is not None:
            merged.setdefault(row[4], []).append(_queued(row))
    turns = [
        PastTurn(
            seq=row[0],
            message=decode_message(row[1], row[2]),
            records=tuple(records.get(row[0], ())),
            merged=tuple(merged.get(row[0], ())),
        )
        for row in messages
        if row[4] is None and row[0] <= through
    ]
    return turns, len(rows)


def _queued(row: Row) -> Queued:
    return Queued(seq=row[0], message=decode_message(row[1], row[2]), right=row[3])


def _control(lease: Lease, row: Row) -> Control:
    id_, kind, _, body, _ = row
    if not body:
        return Control(id=id_, turn=lease.turn, kind=kind)
    answer = decode_answer(body)
    return Control(id=id_, turn=lease.turn, kind=kind, step=answer.step, by=answer.by, always=answer.always)


def _record(row: Row) -> Record:
    return decode_record(row[1], row[2], row[3], row_id=row[0])
