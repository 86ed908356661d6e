"""What happened lately, from numbers that only grow: increases over a sliding window, percentiles, peaks. Pure.

Times are seconds of one steady clock. A reading is a time and the numbers then; between two readings nothing
is known, so an increase reaches back to the newest reading that is at least as old as the window.
"""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS: Final = 30
"""Readings that are kept of a window, at the most twice as many."""

Numbers = tuple[float, ...]


class Increase:
    """How much numbers have grown over the last `window_s` seconds.

    Args:
        window_s: Length of the window.
        began: When counting began.
        first: The numbers then.
    """

    __slots__ = ("_began", "_readings", "_window_s")

    def __init__(self, window_s: float, began: float, first: Numbers) -> None:
        self._window_s = window_s
        self._began = began
        self._readings: list[tuple[float, Numbers]] = [(began, first)]

    def read(self, now: float, numbers: Numbers) -> Numbers:
        """Take a reading; return the increase of each number."""
        readings = self._readings
        last = readings[-1][1]
        if len(numbers) != len(last) or any(map(lt, numbers, last)):
            readings[:] = [(now, numbers)]  # who counted began anew
        elif numbers != last:
            if len(readings) > 1 and now - readings[-2][0] < self._window_s / STEPS:
                readings[-1] = (now, numbers)
            else:
                readings.append((now, numbers))
        horizon = now - self._window_s
        old = 0
        while old + 1 < len(readings) and readings[old + 1][0] <= horizon:
            old += 1
        del readings[:old]
        return tuple(new - before for new, before in zip(numbers, readings[0][1], strict=True))

    def is_full(self, now: float) -> bool:
        """Whether counting began at least a window ago."""
        return now - self._began >= self._window_s

    def __len__(self) -> int:
        """Return how many readings are kept."""
        return len(self._readings)


class Peak:
    """The greatest of the numbers that were read within the last `window_s` seconds."""

    __slots__ = ("_readings", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._readings: list[tuple[float, float]] = []  # falling numbers, rising times

    def read(self, now: float, number: float) -> float:
        """Take a reading; return the greatest."""
        readings = [(at, old) for at, old in self._readings if at > now - self._window_s and old > number]
        readings.append((now, number))
        self._readings = readings[-2 * STEPS :] if len(readings) > 2 * STEPS else readings
        return readings[0][1]


def percentile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float:
    """Return the value below which this share of all values lies, within a bucket by straight line.

    Args:
        bounds: Greatest values of the buckets, rising.
        counts: Values in each bucket, and of those above the last bound; not all zero.
        share: Above 0, at most 1.

    Returns:
        At most the last bound: how far values lie above it is not known.
    """
    wanted = share * sum(counts)
    below, lower = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= wanted:
            return lower + (bound - lower) * (wanted - below) / count
        below, lower = below + count, bound
    return bounds[-1]
