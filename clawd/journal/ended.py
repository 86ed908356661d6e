"""What has ended in the journal, in the order in which it did, and how far somebody has read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.ids import from_ms
from clawd.journal.records import TurnFinished
from clawd.journal.sqlite_context import PUSHED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from clawd.ids import DeliveryId
    from clawd.journal.sqlite_context import Context
    from clawd.store.sqlite import Store

_POSITION: Final = "traces"  # in kv


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A turn that ended, or a delivery that no turn made and that was written then."""

    id: int  # of the journal's row; increasing
    at: datetime
    identifier: str  # of the turn or the delivery, as `Views.trace` takes it


class EndedRows:
    """Reads them; writes nothing but the reader's own place."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context

    @property
    def instance(self) -> str:
        """The database's own name."""
        return self._context.instance

    def delivery(self, row: int) -> DeliveryId:
        """Return the public id of a row of the outbox."""
        return self._context.delivery(row)

    async def last(self) -> int:
        """Return the highest id that the journal has given."""
        rows = await self._store.read("SELECT seq FROM sqlite_sequence WHERE name = 'journal'")
        return int(rows[0][0]) if rows else 0

    async def after(self, id_: int, limit: int) -> Sequence[Ended]:
        """Return the first `limit` behind this id."""
        rows = await self._store.read(
            "SELECT id, ts, kind, conv, seq, step FROM journal WHERE id > ? AND kind IN (?, ?) ORDER BY id LIMIT ?",
            (id_, TurnFinished.kind, PUSHED, limit),
        )
        return [
            Ended(
                id=row,
                at=from_ms(ts),
                identifier=self._context.delivery(step) if kind == PUSHED else self._context.turn(conv, seq),
            )
            for row, ts, kind, conv, seq, step in rows
        ]

    async def over(self, rows: Collection[int]) -> Mapping[int, bool]:
        """Return which of these rows of the outbox are still there, and whether each is over."""
        found = await self._store.read(
            "SELECT id, state IN ('sent', 'unknown', 'dead') AND ended_at IS NOT NULL FROM outbox"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(rows)),),
        )
        return {id_: bool(over) for id_, over in found}

    # --- the reader's place -------------------------------------------------------------------------------

    async def place(self) -> str:
        """Return what was kept last for this database; empty where nothing was."""
        rows = await self._store.read("SELECT value FROM kv WHERE key = ?", (_POSITION,))
        return str(rows[0][0]) if rows else ""

    def keep(self, text: str) -> None:
        """Write the place without waiting; a lost one is read again from an earlier one."""
        self._store.post(
            lambda db: db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (_POSITION, text))
        )

    async def forget(self) -> None:
        """Remove the place; raises JournalUnavailable."""
        await self._store.write(lambda db: db.execute("DELETE FROM kv WHERE key = ?", (_POSITION,)))
