"""How much was taken in the last sixty seconds: a sliding window. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60.0


@dataclass(slots=True, eq=False)
class Taken:
    """One amount, as long as it counts."""

    at: float
    amount: int
    counts: bool = True


class SlidingMinute:
    """Amounts of the last minute, each counted whole for sixty seconds from when it was taken.

    Unlike a token bucket, which lets nearly twice the limit through in the minute after a quiet one, no sixty
    seconds ever hold more than the limit: whichever way a provider counts, it has no reason to object.
    Times are seconds of a clock that never goes back.
    """

    def __init__(self) -> None:
        self._taken: deque[Taken] = deque()
        self._total = 0

    def take(self, amount: int, now: float) -> Taken:
        """Count this amount from now on."""
        taken = Taken(now, amount)
        self._taken.append(taken)
        self._total += amount
        return taken

    def correct(self, taken: Taken, amount: int) -> None:
        """Let it have been another amount; the time stays. After its minute nothing happens."""
        if taken.counts:
            self._total += amount - taken.amount
            taken.amount = amount

    def wait_s(self, amount: int, limit: int, now: float) -> float:
        """Return in how many seconds this amount fits under the limit; 0 is now.

        More than the limit fits when nothing else counts: it goes through alone.
        """
        self._forget(now)
        excess = self._total + min(amount, limit) - limit
        if excess <= 0:
            return 0.0
        for taken in self._taken:
            excess -= taken.amount
            if excess <= 0:
                return _wait_s(now, until=taken.at + MINUTE_S)
        return MINUTE_S

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0].at + MINUTE_S <= now:
            old = self._taken.popleft()
            old.counts = False
            self._total -= old.amount


def _wait_s(now: float, *, until: float) -> float:
    """Return how long to wait, so that the sum of both is not before `until` for having been rounded."""
    wait_s = until - now
    while now + wait_s < until:
        wait_s += math.ulp(until)
    return wait_s
