"""How many calls an endpoint gets at a time, and how rarely one that keeps failing is tried. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_GATES: Final = 1000  # of endpoints that nothing is under way to: clients choose the hosts
MAX_CALLS: Final = 4
MAX_FAILURES: Final = 10
"""After so many failures in a row an endpoint is only probed."""

PROBE_S: Final = 60.0
_LEAST_S: Final = 0.1
_MOST_S: Final = 15.0


@dataclass(slots=True)
class Gate:
    """The state of one endpoint. Times are seconds of one steady clock."""

    calls: int = 0  # under way
    failures: int = 0  # in a row
    probe_at: float = 0.0  # when a failing endpoint may be tried again
    took_s: float = _LEAST_S  # how long calls take, on average
    sent_away: int = 0  # since a call last found room

    def enter(self, now: float) -> float | None:
        """Count a call in; or return in how many seconds to ask again, and count nothing."""
        if self.failures >= MAX_FAILURES:
            if now < self.probe_at:
                return self.probe_at - now
            self.probe_at = now + PROBE_S
        elif self.calls >= MAX_CALLS:
            self.sent_away += 1
            return min(max(self.sent_away / MAX_CALLS * self.took_s, _LEAST_S), _MOST_S)
        self.calls += 1
        self.sent_away = 0
        return None

    def leave(self, began: float, now: float, *, well: bool) -> None:
        """Count a call out; `well`: somebody answered who is fit to."""
        self.calls -= 1
        self.took_s += (max(now - began, 0.0) - self.took_s) / 4
        self.failures = 0 if well else self.failures + 1
        if self.failures == MAX_FAILURES:
            self.probe_at = now + PROBE_S

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not self.calls and not self.failures


class Gates:
    """Those of all endpoints; of too many that fail the one that was not asked for the longest is forgotten."""

    def __init__(self) -> None:
        self._gates: OrderedDict[str, Gate] = OrderedDict()

    def __len__(self) -> int:
        return len(self._gates)

    def of(self, place: str) -> Gate:
        """Return the gate of an endpoint, a new one where nothing is known of it."""
        gate = self._gates.setdefault(place, Gate())
        self._gates.move_to_end(place)
        return gate

    def left(self, place: str, gate: Gate) -> None:
        """Forget what need not be kept, after a call has left its gate."""
        if gate.is_idle and self._gates.get(place) is gate:
            del self._gates[place]
        if len(self._gates) > MAX_GATES:
            free = (place for place, gate in self._gates.items() if not gate.calls)
            if (oldest := next(free, None)) is not None:
                del self._gates[oldest]
