"""Notices when the wall clock is set: due times in the outbox are wall times, for they outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.ids import to_ms

if TYPE_CHECKING:
    from clawd.ids import Clock

TOLERATED_MS: Final = 2000  # clocks are slewed all the time; a wait that is wrong by so much does no harm


class ClockJumps:
    """How far the wall clock was set since the last commit that was corrected for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()

    def look(self) -> int:
        """Return by how many milliseconds due times have to move, 0 for none. Also after a suspend."""
        jump = self._offset() - self._offset_ms
        return jump if abs(jump) > TOLERATED_MS else 0

    def corrected(self, jump_ms: int) -> None:
        """The due times were moved by so much, committed."""
        self._offset_ms += jump_ms

    def _offset(self) -> int:
        return to_ms(self._clock.now()) - int(self._clock.monotonic() * 1000)
