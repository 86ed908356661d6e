"""How many calls an endpoint gets at a time, and how rarely one that keeps failing is tried. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
