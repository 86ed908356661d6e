"""What the breakers said last, kept in memory: the `StateCache` of a process without a journal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.ids import Clock
    from clawd.models.base import BreakerState

KEPT_S: Final = 600.0  # nothing is remembered for longer
_MOST: Final = 256  # models


class RecentStates:
    """Keeps the last state of each model that is out of service, for `KEPT_S`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, BreakerState] = {}

    def load(self) -> Mapping[str, BreakerState]:
        oldest = self._clock.now() - timedelta(seconds=KEPT_S)
        self._states = {
            model: state for model, state in self._states.items() if state.since and state.since > oldest
        }
        return dict(self._states)

    def note(self, model: str, state: BreakerState) -> None:
        self._states.pop(model, None)
        if state.state != "closed":
            self._states[model] = state
            if len(self._states) > _MOST:
                del self._states[next(iter(self._states))]
