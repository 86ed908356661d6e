"""What happened since the process began: the counts behind `/metrics` and the alerts.

One `Counts` is built with the daemon and handed to the parts that count. Counting costs half a microsecond and
never fails. Labels are bounded by who counts: names of the configuration in force, and words of fixed sets. All of
it happens in the event loop's thread, but for `commit_s`, which the journal's thread alone writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.observability.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_LABELS: Final = 1000
"""Combinations that one counter tells apart; what comes beyond is counted under `other` in every label."""

TURN_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0)
COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
LAG_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


DELIVERY_OUTCOMES: Final = ("sent", "retry", "parked", "unknown", "dead")
SPAN_OUTCOMES: Final = ("sent", "rejected", "given_up")


class Counter:
    """A number for each combination of labels; it only grows.

    Args:
        labels: Their names, in the order in which `add` takes the values.
        changed: Called after each count.
    """

    __slots__ = ("_changed", "_numbers", "labels")

    def __init__(self, *labels: str, changed: Callable[[], None]) -> None:
        self.labels = labels
        self._changed = changed
        self._numbers: dict[tuple[str, ...], float] = {}

    def add(self, *values: str, by: float = 1) -> None:
        """Count `by` more under these values of the labels."""
        numbers = self._numbers
        if values not in numbers and len(numbers) >= MAX_LABELS:
            values = ("other",) * len(values)
        numbers[values] = numbers.get(values, 0) + by
        self._changed()

    def expect(self, *values: str) -> None:
        """Tell 0 for these values of the labels until something is counted: a rate needs a first value."""
        if len(self._numbers) < MAX_LABELS:
            self._numbers.setdefault(values, 0)

    def numbers(self) -> Mapping[tuple[str, ...], float]:
        """Return the numbers by their labels' values."""
        return self._numbers


class Counts:
    """All of them.

    `changed` belongs to whoever wants to know that something happened: it is called whenever a counter moved, and
    must be quick and not raise. `ended`, in the same way, when a turn ended or an attempt to deliver did.
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] = _nothing
        self.ended: Callable[[], None] = _nothing

        def moved() -> None:
            self.changed()

        def over() -> None:
            self.changed()
            self.ended()

        self.received = Counter("bridge", changed=moved)  # messages accepted
        # Ends that are committed: answered, failed, cancelled or dead. What was merged ends with its turn, as one.
        self.turns = Counter("outcome", changed=over)
        # From acceptance to the committed end, without the time in which it waited for a person or for the network.
        self.turn_s = Histogram(TURN_S)
        self.tools = Counter("tool", "outcome", changed=moved)
        # Attempts, by DELIVERY_OUTCOMES.
        self.deliveries = Counter("bridge", "outcome", changed=over)
        self.given_up = Counter("kind", changed=moved)  # dead letters: turn, delivery, alert or update
        self.commit_s = Histogram(COMMIT_S)  # of the journal's batches that were committed
        self.journal_errors = Counter("kind", changed=moved)  # full, locked or failed
        self.requests = Counter("route", "method", "status", changed=moved)  # at the gateway; status as 2xx
        self.spans = Counter("outcome", changed=_nothing)  # for the collector, by SPAN_OUTCOMES
        self.broken = Counter("service", changed=moved)  # bugs that a service was started again after
        self.lag_s = Histogram(LAG_S)  # how long the event loop did not come round
        self._expect_fixed()
        self.worst_lag_s = 0.0  # the longest of them since somebody last asked, see `take_worst_lag`

    def expect(self, *, bridges: Iterable[str], tools: Iterable[str]) -> None:
        """Tell 0 of what the configuration in force names, until something is counted."""
        named = tuple(bridges)
        for door in (*named, "api", "terminal"):
            self.received.expect(door)
        for bridge in (*named, "api", "_alerts"):
            for outcome in DELIVERY_OUTCOMES:
                self.deliveries.expect(bridge, outcome)
        for tool in tools:
            for outcome in ("ok", "error"):
                self.tools.expect(tool, outcome)

    def _expect_fixed(self) -> None:
        for counter, words in (
            (self.turns, ("answered", "failed", "cancelled", "dead")),
            (self.given_up, ("turn", "delivery", "alert", "update")),
            (self.journal_errors, ("full", "locked", "failed")),
            (self.spans, SPAN_OUTCOMES),
            (self.broken, ("alerts", "traces")),
        ):
            for word in words:
                counter.expect(word)

    def take_worst_lag(self) -> float:
        """Return the longest lag since the last call."""
        worst, self.worst_lag_s = self.worst_lag_s, 0.0
        return worst


def _nothing() -> None:
    """Stand in for the listener that does not exist yet."""
