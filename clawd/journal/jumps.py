"""Notices when the wall clock is set: due times are wall times, for they outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.ids import to_ms

if TYPE_CHECKING:
    import sqlite3

    from clawd.journal.sqlite_context import Context

TOLERATED_MS: Final = 2000  # clocks are slewed all the time; a wait that is wrong by so much does no harm
_KEY: Final = "clock"  # in kv: BOOT OFFSET, how far the wall clock was ahead of the monotonic one


class ClockJumps:
    """How far the wall clock was set since due times were last moved along.

    What was followed last is a row, so that it is undone together with the moved times, and asked for in
    the transaction that writes new times: none of them is ever taken for one from before the jump. It counts for
    the next process as well, whose first write moves them where the clock was set in between, up to a new boot:
    then nobody knows what the time was.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._boot = context.boot or context.owner
        self._settled_ms: int | None = None  # what the row said when it was last looked at

    def follow(self, db: sqlite3.Connection) -> int:
        """Return by how many milliseconds due times have to move now, 0 for none. Also after a suspend."""
        offset = to_ms(self._context.clock.now()) - int(self._context.clock.monotonic() * 1000)
        if self._settled_ms is not None and abs(offset - self._settled_ms) <= TOLERATED_MS:
            return 0  # as nearly always: spare every write the look at the row
        row = db.execute("SELECT value FROM kv WHERE key = ?", (_KEY,)).fetchone()
        boot, _, followed = str(row[0]).rpartition(" ") if row is not None else ("", "", "")
        # What was noted before the host was started anew means nothing.
        self._settled_ms = int(followed) if boot == self._boot else None
        jump = offset - self._settled_ms if self._settled_ms is not None else 0
        if boot != self._boot or abs(jump) > TOLERATED_MS:
            value = f"{self._boot} {offset}"
            db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (_KEY, value))
            return jump
        return 0
