"""The daemon's metrics, read from its parts when somebody scrapes."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
from typing import TYPE_CHECKING, Final

from clawd import __version__
from clawd.alerts.base import RULES
from clawd.errors import JournalError
from clawd.models.meters import budget_family, model_families
from clawd.observability import names
from clawd.observability.process import read_process

from .aside import Aside
from .disk import read_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clawd.journal.opening import OpenJournal
    from clawd.journal.reading import QueueStats
    from clawd.models.budgets import BudgetLedger
    from clawd.observability.counts import Counts
    from clawd.observability.metrics import Family
    from clawd.supervisor import Supervisor

    from .minds import Minds

    Firing = Callable[[], Mapping[str, int]]
    """Tells how many alerts of which rule fire now."""


READ_S: Final = 2.0
"""So long a scrape waits for the journal; Prometheus itself waits for ten seconds by default."""


class Meters:
    """Reads what `/metrics` shows; see docs/metrics.md.

    Args:
        minds: Know the models.
        ledger: Knows the budgets.
        opened: Knows the queue and the outbox.
        supervisor: Knows the bridges.
        counts: What happened so far.
        firing: Tells the alerts.
        config_in_force: Whether the configuration on disk is the one that runs.
        last_end_clean: Whether the run before this one ended by a stop.
        read_s: How long the journal is waited for.
    """

    def __init__(
        self,
        minds: Minds,
        ledger: BudgetLedger,
        opened: OpenJournal,
        supervisor: Supervisor,
        counts: Counts,
        *,
        firing: Firing = dict,
        config_in_force: Callable[[], bool] = lambda: True,
        last_end_clean: Callable[[], bool] = lambda: True,
        read_s: float = READ_S,
    ) -> None:
        self._minds = minds
        self._ledger = ledger
        self._opened = opened
        self._supervisor = supervisor
        self._counts = counts
        self._firing = firing
        self._config_in_force = config_in_force
        self._last_end_clean = last_end_clean
        self._read_s = read_s
        database = opened.store.path
        self._disk = Aside(lambda: read_disk(database))
        self._process = Aside(read_process)

    async def read(self) -> Sequence[Family]:
        """Return all families; those of a journal, a disk or a system that can't be read are missing."""
        queue = await self._queue()
        disk, process = await self._disk.answer(), await self._process.answer()
        breakers = {info.name: info.breaker for info in self._minds.infos()}
        bridges = self._supervisor.statuses()
        return (
            names.BUILD.family([((__version__, platform.python_version()), 1)]),
            names.CONFIG.number(float(self._config_in_force())),
            names.LAST_END.number(float(self._last_end_clean())),
            *_counted(self._counts),
            *queue,
            names.BRIDGE_UP.family([((each.name,), float(each.state == "connected")) for each in bridges]),
            *model_families(breakers, self._minds.traffic),
            budget_family(self._ledger.standings()),
            names.JOURNAL_WRITABLE.number(float(not self._opened.store.pause)),
            names.FIRING.family(self._alerts()),
            names.TASKS.number(len(asyncio.all_tasks())),
            *(disk.families() if disk is not None else ()),
            *(process.families() if process is not None else ()),
        )

    async def _queue(self) -> Sequence[Family]:
        try:
            async with asyncio.timeout(self._read_s):  # others may ask much, and each waits for its turn
                stats = await self._opened.views.stats()
        except (JournalError, sqlite3.Error, TimeoutError):
            return (names.JOURNAL_READABLE.number(0),)
        return (names.JOURNAL_READABLE.number(1), *_queue(stats))

    def _alerts(self) -> list[tuple[tuple[str, ...], float]]:
        firing = self._firing()
        return [((rule,), firing.get(rule, 0)) for rule in RULES]


def _counted(counts: Counts) -> Sequence[Family]:
    counters = (
        (names.RECEIVED, counts.received),
        (names.TURNS, counts.turns),
        (names.TOOL_CALLS, counts.tools),
        (names.DELIVERIES, counts.deliveries),
        (names.GIVEN_UP, counts.given_up),
        (names.JOURNAL_ERRORS, counts.journal_errors),
        (names.REQUESTS, counts.requests),
        (names.SPANS, counts.spans),
        (names.BROKEN, counts.broken),
    )
    return (
        *(metric.family(list(counter.numbers().items())) for metric, counter in counters),
        names.TURN_DURATION.histogram(counts.turn_s),
        names.COMMIT.histogram(counts.commit_s),
        names.LOOP_LAG.histogram(counts.lag_s),
    )


def _queue(stats: QueueStats) -> Sequence[Family]:
    return (
        names.QUEUE_DEPTH.number(stats.queued - stats.waiting),
        names.QUEUE_AGE.number(stats.ready_age_s),
        names.RUNNING.number(stats.running),
        names.WAITING.number(stats.waiting),
        names.CONVERSATIONS.number(stats.conversations),
        names.OUTBOX_DEPTH.number(stats.deliveries_open),
        names.DEAD_LETTERS.number(stats.dead),
    )
