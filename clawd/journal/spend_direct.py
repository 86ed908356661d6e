"""What models cost that no turn asked: counted beside the turns, and by day and model alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.ids import to_ms
from clawd.journal.sqlite_spend import count_direct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import Clock
    from clawd.response import ModelAttempt
    from clawd.store.sqlite import Store


class DirectSpend:
    """Writes what direct requests cost, so that `clawd usage` and budgets know it after a restart too."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def count(self, attempts: Sequence[ModelAttempt]) -> None:
        """Count attempts that ended; not awaited, so a crash may lose those of the last moment."""
        now_ms = to_ms(self._clock.now())
        self._store.post(lambda db: count_direct(db, attempts, now_ms))
