"""How long the event loop does not come round, noted by its selector at every round.

The loop works in rounds: its selector waits for events, then callbacks run, then it waits again. What lies
between two waits is the lag: so long nobody's socket was read and no timer fired.
"""

from __future__ import annotations

import asyncio
import selectors
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_S: Final = 1.0
"""A round that takes longer has blocked the loop."""

# epoll(7) is asked in whole milliseconds, rounded up; a timer that fires a little late is no lag.
_LATE_S: Final = 0.01


class Round(NamedTuple):
    """One round: when it began (monotonic), and how long it took in seconds."""

    began: float
    took_s: float


class RoundSelector(selectors.DefaultSelector):
    """The loop's selector. What it notes may be read by any thread, but for the counts.

    Each round is counted, the short ones of an idle daemon too: anything else would be another measure. It
    costs half a microsecond.

    Args:
        long_s: From which length on a round is kept in `long`.
    """

    def __init__(self, long_s: float = LONG_S) -> None:
        super().__init__()
        self.began = 0.0  # the round under way (monotonic), 0 while the loop waits for events
        self.waited = 0.0  # when the loop last began to wait (monotonic)
        self.long: Round | None = None  # the last long round
        self.wake: Callable[[], None] | None = None  # called once, before the next round
        self._long_s = long_s
        self.count_into(Counts())

    def count_into(self, counts: Counts) -> None:
        """Count there from now on."""
        self._counts = counts
        self._lag = counts.lag_s
        self._quick_s = counts.lag_s.bounds[0]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, as the base class does."""
        self.waited = asked = monotonic()
        if began := self.began:
            took_s = asked - began
            if took_s <= self._quick_s:
                self._lag.counts[0] += 1
                self._lag.total += took_s
            else:
                self._slow(began, took_s)
            self.began = 0.0
        ready = super().select(timeout)
        now = monotonic()
        # It can come back late too: the thread waits for the interpreter, or for the processor.
        if timeout is not None and now - asked - timeout > _LATE_S:
            now = asked + max(timeout, 0.0)
        self.began = now
        if (wake := self.wake) is not None:
            self.wake = None
            wake()
        return ready

    def _slow(self, began: float, took_s: float) -> None:
        self._lag.add(took_s)
        self._counts.worst_lag_s = max(self._counts.worst_lag_s, took_s)
        if took_s >= self._long_s:
            self.long = Round(began, took_s)


def loop_with(selector: RoundSelector) -> asyncio.AbstractEventLoop:
    """Return a new event loop that waits by this selector."""
    return asyncio.SelectorEventLoop(selector)
