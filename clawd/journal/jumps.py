"""Notices when the wall clock is set: due times in the outbox are wall times, for they outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.ids import to_ms

if TYPE_CHECKING:
    from clawd.ids import Clock

TOLERATED_MS: Final = 2000  # clocks are slewed all the time; a wait that is wrong by so much does no harm


class ClockJumps:
    """How far the wall clock was set since due times were last corrected for it.

    Several writes wait for their commits at once: who takes a jump is the only one that corrects for it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()

    def take(self) -> int:
        """Return by how many milliseconds the caller has to move due times, 0 for none. Also after a suspend."""
        jump = self._offset() - self._offset_ms
        if abs(jump) <= TOLERATED_MS:
            return 0
        self._offset_ms += jump
        return jump

    def give_back(self, jump_ms: int) -> None:
        """The due times were not moved after all: nothing could be committed."""
        self._offset_ms -= jump_ms

    def _offset(self) -> int:
        return to_ms(self._clock.now()) - int(self._clock.monotonic() * 1000)
