"""Rates of what a daemon counts, from one answer to the next. Pure: the time is handed in."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WINDOW_S: Final = 60.0
"""Over how long a rate is taken."""

SLICE_S: Final = 10.0
KEPT_S: Final = 300.0
"""How far back the sparkline goes, a character for each slice."""

_LEAST_S: Final = 5.0  # with less behind us a rate is chance
_SEEN_S: Final = 2.0  # of a slice, before it is a bar
_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = "_.:-=+*#"


class Rates:
    """Remembers the last minutes of counts, over restarts of the daemon."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque()
        self._lags: deque[tuple[float, Sequence[int]]] = deque()
        self._bounds: Sequence[float] = ()
        self._process = ""
        self._before: dict[str, float] = {}  # counted by processes that ended

    def add(
        self,
        at: float,
        process: str,
        totals: Mapping[str, float],
        lags: tuple[Sequence[float], Sequence[int]] | None = None,
    ) -> None:
        """Take one answer.

        Args:
            at: When, in seconds of a clock that never goes back.
            process: What tells one run of the daemon from the next, as it begins to count at 0.
            totals: What it has counted.
            lags: The bounds in seconds of lags of its loop, and how many fell between them.
        """
        if process != self._process:
            if self._samples:
                self._before = dict(self._samples[-1][1])
            self._process = process
            self._lags.clear()
        self._samples.append((at, {key: self._before.get(key, 0.0) + n for key, n in totals.items()}))
        if lags is not None:
            self._bounds = lags[0]
            self._lags.append((at, lags[1]))
        # One sample from before the window stays: the window begins between it and the next.
        while len(self._samples) > 2 and self._samples[1][0] <= at - KEPT_S:
            self._samples.popleft()
        while len(self._lags) > 2 and self._lags[1][0] <= at - WINDOW_S:
            self._lags.popleft()

    def per_minute(self, key: str) -> float | None:
        """Return how many came a minute lately, None while too little was seen."""
        if not self._samples or self._samples[-1][0] - self._samples[0][0] < _LEAST_S:
            return None
        end = self._samples[-1][0]
        begin = max(end - WINDOW_S, self._samples[0][0])
        return (self._value(key, end) - self._value(key, begin)) * 60 / (end - begin)

    def bars(self, key: str, *, plain: bool = False) -> str:
        """Return the last minutes as characters, the newest last: as high as they are beside the greatest.

        A space stands for what was not seen. `plain` is for terminals that know ASCII alone.
        """
        if not self._samples:
            return ""
        first, last = self._samples[0][0], self._samples[-1][0]
        newest = ceil(last / SLICE_S) * SLICE_S  # slices stay what they are, and move on together
        counts: list[float | None] = []
        for number in range(int(KEPT_S / SLICE_S), 0, -1):
            begin = max(newest - number * SLICE_S, first)
            end = min(newest - (number - 1) * SLICE_S, last)
            grown = (self._value(key, end) - self._value(key, begin)) if end - begin >= _SEEN_S else None
            counts.append(None if grown is None else max(grown, 0.0) * SLICE_S / (end - begin))
        most = max((count for count in counts if count is not None), default=0.0)
        bars = _PLAIN_BARS if plain else _BARS
        return "".join(" " if count is None else _bar(count, most, bars) for count in counts)

    def worst_lag(self) -> tuple[float, bool] | None:
        """Return a bound of the longest lag of the last minute, and whether it was longer than that.

        None while no lag was measured.
        """
        if len(self._lags) < 2:
            return None
        grown = [new - old for new, old in zip(self._lags[-1][1], self._lags[0][1], strict=True)]
        longest = max((number for number, count in enumerate(grown) if count > 0), default=None)
        if longest is None:
            return None
        beyond = longest == len(self._bounds)
        return self._bounds[-1 if beyond else longest], beyond

    def _value(self, key: str, at: float) -> float:
        """Return the count at a moment, between two samples on the line from one to the other."""
        samples = self._samples
        after = bisect_right(samples, at, key=lambda sample: sample[0])
        if after == 0:
            return samples[0][1].get(key, 0.0)
        (before_at, before) = samples[after - 1]
        if after == len(samples):
            return before.get(key, 0.0)
        (after_at, later) = samples[after]
        share = (at - before_at) / (after_at - before_at)
        low = before.get(key, 0.0)
        return low + (later.get(key, low) - low) * share


def _bar(count: float, most: float, bars: str) -> str:
    if count <= 0 or most <= 0:
        return bars[0]
    return bars[min(1 + int(count / most * (len(bars) - 1)), len(bars) - 1)]
