"""How many messages one sender may send in a span of time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from clawd.ids import Clock

_SPANS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_MAX_SENDERS: Final = 10_000  # the least recently seen one is forgotten, which only favours it


class RateLimit:
    """A token bucket per sender; `limit` is written as in the configuration: `20/min`."""

    def __init__(self, limit: str, clock: Clock) -> None:
        count, span = limit.split("/")
        self._size = float(count)
        self._refill_per_s = self._size / _SPANS[span]
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()

    def take(self, sender: str) -> Literal["ok", "tell", "silent"]:
        """Return "ok", or "tell" for the first message over the limit and "silent" for those after it."""
        now = self._clock.monotonic()
        tokens, at, told = self._buckets.pop(sender, (self._size, now, False))
        tokens = min(self._size, tokens + (now - at) * self._refill_per_s)
        verdict: Literal["ok", "tell", "silent"]
        if tokens >= 1:
            tokens, told, verdict = tokens - 1, False, "ok"
        else:
            verdict, told = ("silent" if told else "tell"), True
        self._buckets[sender] = (tokens, now, told)
        if len(self._buckets) > _MAX_SENDERS:
            self._buckets.popitem(last=False)
        return verdict

    def give_back(self, sender: str) -> None:
        """Undo one "ok": its message turned out to be nothing new, or could not be committed."""
        if (bucket := self._buckets.get(sender)) is not None:
            tokens, at, told = bucket
            self._buckets[sender] = (min(self._size, tokens + 1), at, told)
