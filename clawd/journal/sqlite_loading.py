"""What a worker reads at the start of a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.journal.base import Control, Lease, Loaded, PastTurn
from clawd.journal.codec import decode_message, decode_record

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
        "SELECT id, kind FROM control WHERE conv = ? AND target_seq = ? AND applied_at IS NULL ORDER BY id",
        (lease.conv, lease.seq),
    )
    return Loaded(
        records=tuple(_record(row) for row in rows),
        history=await _history(store, lease),
        controls=tuple(Control(id=id_, turn=lease.turn, kind=kind) for id_, kind in controls),
    )


async def _history(store: Store, lease: Lease) -> tuple[PastTurn, ...]:
    first = max(lease.settings.session_seq, lease.seq - 1 - HISTORY_TURNS)
    if lease.seq - 1 <= first:
        return ()
    span = (lease.conv, first, lease.seq)
    messages = await store.read(
        "SELECT seq, v, body FROM inbox WHERE conv = ? AND seq > ? AND seq < ? AND state IN ('answered', 'failed', 'cancelled', 'dead')"
        " ORDER BY seq",
        span,
    )
    rows = await store.read(
        # Intents and starts say nothing that results and the end do not.
        "SELECT id, kind, v, body, seq FROM journal WHERE conv = ? AND seq > ? AND seq < ? AND kind IN"
        " ('llm.result', 'tool.result', 'session.started', 'settings.changed', 'turn.finished') ORDER BY id",
        span,
    )
    records: dict[int, list[Record]] = {}
    for row in rows:
        records.setdefault(row[4], []).append(_record(row))
    return tuple(
        PastTurn(seq=seq, message=decode_message(version, body), records=tuple(records.get(seq, ())))
        for seq, version, body in messages
    )


def _record(row: Row) -> Record:
    return decode_record(row[1], row[2], row[3], row_id=row[0])
