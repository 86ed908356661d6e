"""What alerts look at, read from the daemon's parts."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from clawd.alerts.base import BridgeVitals, ModelVitals, Vitals
from clawd.errors import JournalError
from clawd.models.traffic import Lifetime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from clawd.ids import Clock
    from clawd.journal.reading import QueueStats, Views
    from clawd.models.budgets import BudgetLedger
    from clawd.models.info import ModelInfo
    from clawd.models.traffic import Outcome
    from clawd.observability.counts import Counts
    from clawd.observability.redact import Redactor
    from clawd.supervisor import Supervisor

    from .minds import Minds
    from .situation import Situation

KNOWN_S: Final = 60.0
"""So old may be what is known of the disk, and of a queue that was empty."""

_AGAINST: Final[tuple[Outcome, ...]] = ("unavailable", "rate_limited", "auth", "error")
"""Outcomes that speak against a model: not a request that was too long, nor one that there was no money for."""
_UNASKED: Final = Lifetime()  # of a model that nobody asked so far: empty, with the buckets that it will have


class VitalsReader:
    """Reads them; what was read a moment ago and can't have changed is not read again."""

    def __init__(
        self,
        counts: Counts,
        minds: Minds,
        ledger: BudgetLedger,
        views: Views,
        supervisor: Supervisor,
        clock: Clock,
        *,
        state_dir: Path,
        redactor: Redactor,
        pause: Callable[[], str],
        situation: Situation,
    ) -> None:
        self._situation = situation
        self._room = Room(counts, pause)
        self._counts = counts
        self._minds = minds
        self._ledger = ledger
        self._views = views
        self._supervisor = supervisor
        self._clock = clock
        self._state_dir = state_dir
        self._redactor = redactor
        self._disk: float | None = None
        self._disk_at: float | None = None
        self._queue: QueueStats | None = None
        self._queue_at = 0.0
        self._moved: float = -1.0  # what had been counted when the queue was read

    async def read(self) -> Vitals:
        """Return what is so now."""
        counts = self._counts
        queue = await self._queue_now()
        disk_full = self._room.is_gone()
        return Vitals(
            turns={outcome: number for (outcome,), number in counts.turns.numbers().items()},
            turn_s=counts.turn_s,
            models={info.name: self._model(info) for info in self._minds.infos()},
            queue_age_s=queue.ready_age_s if queue is not None else None,
            given_up=sum(n for (kind,), n in counts.given_up.numbers().items() if kind != "alert"),
            bridges=self._bridges(),
            budgets={_budget(s.room.budget, s.of): s.room.used for s in self._ledger.standings()},
            disk_used=await self._disk_now(),
            loop_lag_s=counts.take_worst_lag(),
            journal_errors=sum(counts.journal_errors.numbers().values()),
            restarts=self._situation.restarts,
            config_error=self._redactor.clean(self._situation.config_error),
            disk_full=disk_full,
            busy=queue is None or queue.running > 0 or queue.ready_age_s > 0,
        )

    def _bridges(self) -> Mapping[str, BridgeVitals]:
        # One that a reload makes anew has no status for a moment, but it is not gone.
        missing = BridgeVitals(connected=False, why="")
        made = {
            status.name: BridgeVitals(
                connected=status.state == "connected", why=self._redactor.clean(status.error)
            )
            for status in self._supervisor.statuses()
        }
        return dict.fromkeys(self._supervisor.wanted(), missing) | made

    def _model(self, info: ModelInfo) -> ModelVitals:
        life = self._minds.traffic.lifetime(info.name) or _UNASKED
        return ModelVitals(
            attempts=_attempts(life),
            failed=sum(life.outcomes.get(each, 0) for each in _AGAINST),
            first_token=life.first_token,
            breaker=info.breaker.state,
        )

    async def _queue_now(self) -> QueueStats | None:
        """Return what waits; None where the journal can't be read. An empty queue mostly stays so until something comes."""
        counts = self._counts
        counters = (counts.received, counts.turns, counts.requests)
        moved = sum(sum(counter.numbers().values()) for counter in counters)
        known = self._queue
        now = self._clock.monotonic()
        young = now - self._queue_at < KNOWN_S
        if known is not None and young and moved == self._moved and known.queued == known.running == 0:
            return known
        try:
            self._queue, self._moved, self._queue_at = await self._views.stats(), moved, now
        except (JournalError, sqlite3.Error):
            return None
        return self._queue

    async def _disk_now(self) -> float | None:
        now = self._clock.monotonic()
        if self._disk_at is None or now - self._disk_at >= KNOWN_S:
            # In a thread: a file system of a network may take its time.
            self._disk, self._disk_at = await asyncio.to_thread(used_share, self._state_dir), now
        return self._disk


class Room:
    """Knows whether the journal can't be written for want of room.

    Args:
        counts: Of the journal's errors.
        pause: Tells why nothing could be committed the last time, empty when it could.
    """

    def __init__(self, counts: Counts, pause: Callable[[], str]) -> None:
        self._counts = counts
        self._pause = pause
        self._seen = 0.0
        self._gone = False

    def is_gone(self) -> bool:
        """Return whether it is so now: it was once the reason, and nothing was committed since then."""
        errors = self._counts.journal_errors.numbers().get(("full",), 0.0)
        grown, self._seen = errors > self._seen, errors
        self._gone = bool(self._pause()) and (grown or self._gone)
        return self._gone


def used_share(folder: Path, stat: Callable[[Path], os.statvfs_result] = os.statvfs) -> float | None:
    """Return which share of a file system is used, of what those without privileges may use; None if unknown."""
    try:
        found = stat(folder)
    except OSError:
        return None
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    return used / usable if usable else None


def _attempts(life: Lifetime) -> int:
    passed_over: Mapping[Outcome, int] = life.outcomes
    return sum(number for outcome, number in passed_over.items() if outcome in ("ok", "hedge", *_AGAINST))


def _budget(budget: str, of: str) -> str:
    return f"model {of}" if budget == "model" else budget
