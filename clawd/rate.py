"""How many messages one sender may send in a span of time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from clawd.ids import Clock

Verdict = Literal["ok", "tell", "silent"]
"""What becomes of a message: taken, refused with a word, refused without one."""

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

    def take(self, sender: str) -> Verdict:
        """Return "ok", or "tell" for the first message over the limit and "silent" for those after it."""
        now = self._clock.monotonic()
        tokens, at, told = self._buckets.pop(sender, (self._size, now, False))
        tokens = min(self._size, tokens + (now - at) * self._refill_per_s)
        verdict: Verdict
        if tokens >= 1:
            tokens, told, verdict = tokens - 1, False, "ok"
        else:
            verdict, told = ("silent" if told else "tell"), True
        self._buckets[sender] = (tokens, now, told)
        if len(self._buckets) > _MAX_SENDERS:
            self._buckets.popitem(last=False)
        return verdict

    def give_back(self, sender: str, verdict: Verdict = "ok") -> None:
        """Undo one `take`: its message turned out to be nothing new, or could not be committed."""
        bucket = self._buckets.get(sender)
        if bucket is None or verdict == "silent":
            return
        tokens, at, told = bucket
        if verdict == "ok":
            tokens = min(self._size, tokens + 1)
        else:
            told = False
        self._buckets[sender] = (tokens, at, told)
