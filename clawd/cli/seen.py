"""What `clawd status --watch` has seen of a daemon so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clawd.cli.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from clawd.errors import ControlError


@dataclass(slots=True)
class Seen:
    """What was seen of a daemon: its last answer, and since when there is none."""

    rates: Rates = field(default_factory=Rates)
    status: Mapping[str, Any] | None = None
    answered_at: datetime | None = None
    error: ControlError | None = None

    def answered(self, status: Mapping[str, Any], at: float, now: datetime) -> None:
        """Take an answer."""
        self.status, self.answered_at, self.error = status, now, None
        lags = status.get("lags")
        self.rates.add(
            at,
            f"{status['pid']} {status['started_at']}",
            status.get("totals") or {},
            (lags["bounds_s"], lags["counts"]) if lags else None,
        )
