"""When tokens were last used, and their messages of today: kept in memory, written now and then.

Owns the table `token_use`.
A write for each request would cost a commit. So a crash forgets at most the use of the last minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalError
from clawd.ids import from_ms, to_ms

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.store.sqlite import Store

WRITE_S: Final = 60.0
_DAY_S: Final = 86400


@dataclass(slots=True)
class _Use:
    used_at: datetime
    day: int  # since 1970 UTC
    messages: int
    written: float | None = None  # monotonic; None: not by this process


class TokenUse:
    """The use of tokens by name. Names are bounded, as they are those of tokens."""

    def __init__(self, clock: Clock, store: Store | None) -> None:
        self._clock = clock
        self._store = store
        self._uses: dict[str, _Use] = {}
        self._dirty: set[str] = set()

    async def load(self) -> None:
        """Read what was written."""
        if self._store is None:
            return
        rows = await self._store.read("SELECT name, used_ms, day, messages FROM token_use")
        self._uses = {name: _Use(from_ms(used_ms), day, count) for name, used_ms, day, count in rows}

    def note(self, name: str, messages: int = 0) -> None:
        """Note a use just now, with so many messages (negative takes them back)."""
        now, moment = self._clock.now(), self._clock.monotonic()
        today = int(now.timestamp()) // _DAY_S
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = _Use(now, today, 0)
        if use.day != today:
            use.day, use.messages = today, 0
        use.used_at = now
        use.messages = max(0, use.messages + messages)
        self._dirty.add(name)
        if self._store is not None and (use.written is None or moment - use.written >= WRITE_S):
            use.written = moment
            self._dirty.discard(name)
            row = _row(name, use)
            self._store.post(lambda db: _upsert(db, [row]))

    def last(self, name: str) -> datetime | None:
        """Return when the token was last used, None for never."""
        use = self._uses.get(name)
        return None if use is None else use.used_at

    def messages_today(self, name: str) -> int:
        """Return how many messages the token sent since midnight UTC."""
        use = self._uses.get(name)
        today = int(self._clock.now().timestamp()) // _DAY_S
        return use.messages if use is not None and use.day == today else 0

    def day_ends_in_s(self) -> float:
        """Return the seconds until the next day of UTC begins."""
        return _DAY_S - self._clock.now().timestamp() % _DAY_S

    def forget(self, name: str) -> None:
        """Forget a token that is no more."""
        self._uses.pop(name, None)
        self._dirty.discard(name)

    async def flush(self) -> None:
        """Write what was not written yet; a database that takes nothing is no reason to complain."""
        rows = [_row(name, self._uses[name]) for name in self._dirty]
        self._dirty.clear()
        if self._store is None or not rows:
            return
        try:
            await self._store.write(lambda db: _upsert(db, rows))
        except JournalError:
            return


def delete_use(db: sqlite3.Connection, name: str) -> None:
    """Delete a token's row."""
    db.execute("DELETE FROM token_use WHERE name = ?", (name,))


def _row(name: str, use: _Use) -> tuple[str, int, int, int]:
    return name, to_ms(use.used_at), use.day, use.messages


def _upsert(db: sqlite3.Connection, rows: list[tuple[str, int, int, int]]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO token_use (name, used_ms, day, messages) VALUES (?, ?, ?, ?)", rows
    )
