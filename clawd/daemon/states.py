"""The breakers' states over a restart: in memory, and in one row of the journal."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from clawd.models.states import BreakerState, RecentStates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.ids import Clock

log = logging.getLogger(__name__)


class Row(Protocol):
    """Where a text is kept."""

    async def read(self) -> str: ...

    def post(self, text: str) -> None: ...


class KeptStates:
    """A `StateCache` that writes each transition to a row, which nobody waits for. `read` it first."""

    def __init__(self, row: Row, clock: Clock) -> None:
        self._row = row
        self._recent = RecentStates(clock)
        self._was_read = False

    async def read(self) -> None:
        """Take in what an earlier run has left; once is enough."""
        if self._was_read:
            return
        self._was_read = True
        text = await self._row.read()
        try:
            states = _decoded(text) if text else {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("breaker_states_unreadable", extra={"error": repr(error)})
            return
        for model, state in states.items():
            self._recent.note(model, state)

    def load(self) -> Mapping[str, BreakerState]:
        return self._recent.load()

    def note(self, model: str, state: BreakerState) -> None:
        self._recent.note(model, state)
        self._row.post(_encoded(self._recent.load()))


def _encoded(states: Mapping[str, BreakerState]) -> str:
    rows = {
        model: {"state": s.state, "why": s.why, "since": _iso(s.since), "until": _iso(s.until)}
        for model, s in states.items()
    }
    return json.dumps(rows, ensure_ascii=False)


def _decoded(text: str) -> Mapping[str, BreakerState]:
    """Return the states; raises one of what a row of another version, or a broken one, leads to."""
    states = {}
    for model, row in json.loads(text).items():
        if row["state"] not in ("rest", "half_open", "open"):
            raise ValueError(f"state {row['state']!r}")
        states[model] = BreakerState(
            state=row["state"], why=str(row["why"]), since=_moment(row["since"]), until=_moment(row["until"])
        )
    return states


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _moment(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text is not None else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
