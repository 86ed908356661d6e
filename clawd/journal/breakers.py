"""The row that keeps the models' breakers over a restart; what stands in it is the daemon's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.store.sqlite import Store

_KEY: Final = "breakers"  # in kv


class BreakerRow:
    """One row, written whole with every transition."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> str:
        """Return what was written last; empty where nothing was."""
        rows = await self._store.read("SELECT value FROM kv WHERE key = ?", (_KEY,))
        return str(rows[0][0]) if rows else ""

    def post(self, text: str) -> None:
        """Write without waiting; lost is fine."""
        self._store.post(
            lambda db: db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (_KEY, text)),
            kinds=("breaker",),
        )
