"""In which order a route's models are asked, before anybody looks at how they do. Pure but for the clock."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import Clock
    from clawd.models.estimate import Estimate

Strategy = Literal["priority", "fastest", "cheapest"]

_REMEMBERED: Final = 21  # requests
_REMEMBERED_S: Final = 600.0  # what was measured earlier says little about now


class FirstTokens:
    """How long a model's first tokens took, or were waited for in vain, the last times in ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)  # when, how long

    def add(self, seconds: float) -> None:
        """Note one."""
        self._times.append((self._clock.monotonic(), seconds))

    @property
    def p50_s(self) -> float | None:
        """The median; None where nothing was measured of late."""
        since = self._clock.monotonic() - _REMEMBERED_S
        times = sorted(seconds for at, seconds in self._times if at >= since)
        return times[len(times) // 2] if times else None


class Rated(Protocol):
    """A model, as the strategies see it."""

    first_tokens: FirstTokens

    def reserve_usd(self, estimate: Estimate) -> float | None:
        """Return what the request may cost there at most; None without a price."""
        ...


M = TypeVar("M", bound=Rated)


def by_strategy(models: Sequence[M], strategy: Strategy, estimate: Estimate) -> list[M]:
    """Return the models in the order to ask them; where two are equal, theirs stays.

    `fastest` puts those in front that have not been measured of late: how else would they be. `cheapest`
    puts those without a price last.
    """
    match strategy:
        case "priority":
            return list(models)
        case "fastest":
            return sorted(models, key=lambda model: model.first_tokens.p50_s or 0.0)
        case "cheapest":
            return sorted(models, key=lambda model: _known(model.reserve_usd(estimate)))


def _known(usd: float | None) -> float:
    return math.inf if usd is None else usd
