"""The daemon's metrics, read from its parts when somebody scrapes."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from clawd import __version__
from clawd.errors import JournalError
from clawd.models.meters import budget_family, model_families
from clawd.observability.metrics import Family

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import BridgeStatus
    from clawd.journal.reading import QueueStats, Views
    from clawd.models.budgets import BudgetLedger
    from clawd.supervisor import Supervisor

    from .minds import Minds


class Meters:
    """Reads what `/metrics` shows; see docs/metrics.md."""

    def __init__(self, minds: Minds, ledger: BudgetLedger, views: Views, supervisor: Supervisor) -> None:
        self._minds = minds
        self._ledger = ledger
        self._views = views
        self._supervisor = supervisor

    async def read(self) -> Sequence[Family]:
        """Return all families; those of a journal that can't be read are missing."""
        try:
            queue = _queue(await self._views.stats())
        except JournalError:
            queue = ()
        breakers = {info.name: info.breaker for info in self._minds.infos()}
        return (
            _build(),
            *model_families(breakers, self._minds.traffic),
            budget_family(self._ledger.standings()),
            *queue,
            _bridges(self._supervisor.statuses()),
        )


def _build() -> Family:
    return Family(
        name="clawd_build_info",
        help="The version that runs; always 1.",
        kind="gauge",
        labels=("version", "python"),
        samples=[((__version__, platform.python_version()), 1)],
    )


def _queue(stats: QueueStats) -> tuple[Family, ...]:
    depth = stats.queued - stats.waiting
    return (
        Family(
            name="clawd_queue_depth",
            help="Turns that wait for a worker. Those that wait for a person are not among them.",
            kind="gauge",
            samples=[((), depth)],
        ),
        Family(
            name="clawd_queue_oldest_age_seconds",
            help="How long the oldest open turn has been open; 0 without one.",
            kind="gauge",
            samples=[((), stats.oldest_age_s)],
        ),
    )


def _bridges(statuses: Sequence[BridgeStatus]) -> Family:
    return Family(
        name="clawd_bridge_up",
        help="Whether a bridge is connected: 1 or 0.",
        kind="gauge",
        labels=("bridge",),
        samples=[((each.name,), float(each.state == "connected")) for each in statuses],
    )
