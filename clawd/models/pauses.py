"""The pause after a 429: one for each key, shared by all models that are asked with it."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from clawd.ids import Clock

LONGEST_S: Final = 600.0  # a provider that asks for more is asked again after that
BACKOFF_S: Final = 60.0  # the longest pause of our own making
_DOUBLINGS: Final = 6  # 2**6 is beyond the longest pause
_ROUNDING_S: Final = 0.001  # a sleep of exactly the rest may end a hair before the sum says so


@dataclass(slots=True)
class _Pause:
    until: float  # monotonic; stays after its end, until a request that began later succeeds
    refusals: int = 0  # pauses in a row for which the provider named no time
    why: str = ""  # the words of the newest refusal


class KeyPauses:
    """Which keys are to rest, and how long yet. Lives as long as the keys do, beyond a reload.

    A provider's Retry-After is honoured up to `LONGEST_S`. Without one the pause is 1, 2, 4 … `BACKOFF_S`
    seconds, longer each time that the provider refuses the first request after it; a success begins anew.
    Refusals of requests that were under way when a pause began belong to that pause and do not lengthen
    the next.

    Args:
        clock: Measures the pauses.
        jitter: Returns a factor for a pause of our own making, so that many daemons do not return together.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, hides nothing
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pauses: dict[str, _Pause] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}

    def rest_s(self, key_id: str) -> float:
        """Return for how many seconds yet no request may begin; 0 is none."""
        pause = self._pauses.get(key_id)
        if pause is None:
            return 0.0
        rest = pause.until - self._clock.monotonic()
        return rest if rest > _ROUNDING_S else 0.0

    def until(self, key_id: str) -> datetime | None:
        """Return when the pause ends, None when there is none."""
        rest = self.rest_s(key_id)
        return self._clock.now() + timedelta(seconds=rest) if rest else None

    def why(self, key_id: str) -> str:
        """Return the provider's words that began the pause, empty when there is none."""
        pause = self._pauses.get(key_id)
        return pause.why if pause is not None else ""

    def refused(self, key_id: str, retry_after_s: float | None, *, began: float, why: str = "") -> None:
        """Note a 429 to a request that began at this monotonic time, and the provider's words."""
        now = self._clock.monotonic()
        pause = self._pauses.get(key_id)
        if pause is None:  # keys change with the configuration
            self._pauses = {key: old for key, old in self._pauses.items() if now - old.until <= LONGEST_S}
        if pause is None or now - pause.until > LONGEST_S:
            pause = self._pauses[key_id] = _Pause(until=float("-inf"))
        pause.why = why
        if retry_after_s:  # no second of patience is no answer to how long
            pause.until = max(pause.until, now + min(retry_after_s, LONGEST_S))
        elif began >= pause.until - _ROUNDING_S:
            pause.until = now + min(2.0**pause.refusals, BACKOFF_S) * self._jitter()
            pause.refusals = min(pause.refusals + 1, _DOUBLINGS)
        if self.rest_s(key_id):
            for watcher in tuple(self._watchers.get(key_id, ())):
                watcher()

    def answered(self, key_id: str, *, began: float) -> None:
        """Note that a request which began at this monotonic time was answered."""
        pause = self._pauses.get(key_id)
        if pause is not None and began >= pause.until - _ROUNDING_S:
            del self._pauses[key_id]

    @contextmanager
    def watching(self, key_id: str, on_pause: Callable[[], None]) -> Iterator[None]:
        """Have `on_pause` called when a pause of the key begins, while the `with` block lasts."""
        watchers = self._watchers.setdefault(key_id, [])
        watchers.append(on_pause)
        try:
            yield
        finally:
            watchers.remove(on_pause)
            if not watchers:
                self._watchers.pop(key_id, None)
