"""Whether models are in service, and who remembers it: the contract, and the memory of a process without a journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from clawd.ids import Clock

KEPT_S: Final = 600.0  # nothing is remembered for longer
_MOST: Final = 256  # models


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """Whether a model is in service. A model in `rest` is asked after those that are not."""

    state: Literal["closed", "rest", "half_open", "open"] = "closed"
    why: str = ""
    since: datetime | None = None
    until: datetime | None = None  # rest, open: when it is asked again


class StateCache(Protocol):
    """Keeps the breakers' states over a reload or a restart; nothing survives longer than 10 minutes."""

    def load(self) -> Mapping[str, BreakerState]:
        """Return what was noted last, by model, as far as it still holds."""
        ...

    def note(self, model: str, state: BreakerState) -> None:
        """Note a transition; not awaited, and it may be lost."""
        ...


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
