"""The part of the daemon that keeps the journal's size: what is old enough goes, what was deleted is wiped."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.journal.keeping import Keeping

log = logging.getLogger(__name__)

FIRST_S: Final = 60.0  # after the start, which has better to do
PAUSE_S: Final = 0.25  # between two writes
LEAST_S: Final = 3600.0  # between two passes
MOST_S: Final = 86_400.0  # a pass may always come so late: nothing that ends now is due sooner


class Keeper:
    """Runs for as long as the daemon does."""

    def __init__(self, keeping: Keeping, clock: Clock) -> None:
        self._keeping = keeping
        self._clock = clock

    async def run(self) -> None:
        """Wipe what a killed process had deleted, then forget what is old, for ever."""
        try:
            if not await self._keeping.scrub_if_wanted():
                log.warning("deleted_rows_may_show", extra={"why": "a reader or a full disk is in the way"})
        except JournalUnavailable as error:
            log.warning("deleted_rows_may_show", extra={"why": str(error)})
        await self._clock.sleep(FIRST_S)
        while True:
            delay_s = await self._pass()
            await self._sweep()
            await self._clock.sleep(delay_s)

    async def _sweep(self) -> None:
        """Remove the files that nothing names, among them those of what was forgotten just now."""
        try:
            await self._keeping.sweep_files(lambda: self._clock.sleep(PAUSE_S))
        except JournalUnavailable as error:
            log.warning("sweep_put_off", extra={"error": str(error)})

    async def _pass(self) -> float:
        """Forget what is old; return in how many seconds something else may be."""
        try:
            due = await self._keeping.forget(lambda: self._clock.sleep(PAUSE_S))
        except JournalUnavailable as error:
            log.warning("retention_put_off", extra={"error": str(error)})
            return LEAST_S
        return self._until(due)

    def _until(self, due: datetime | None) -> float:
        if due is None:
            return MOST_S
        return min(max((due - self._clock.now()).total_seconds(), LEAST_S), MOST_S)
