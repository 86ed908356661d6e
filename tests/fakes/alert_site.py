"""The alerts over a real journal, with a clock and numbers that a test moves."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clawd.access import Access
from clawd.alerts.base import BridgeVitals, ModelVitals, Vitals
from clawd.alerts.desk import Desk
from clawd.alerts.rows import AlertRows
from clawd.alerts.telling import Teller
from clawd.bridge import BridgeConfig
from clawd.config.alerts import AlertsConfig
from clawd.config.schema import AccessConfig, JournalConfig
from clawd.journal.arrivals import Arrivals
from clawd.journal.opening import open_journal
from clawd.observability.histogram import Histogram
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.bridge import BridgeStatus
    from clawd.journal.opening import OpenJournal

MINUTE = 60.0
URL = "https://example.com/alerts?key=recognisable-key"
QUIET = Vitals(
    turns={},
    turn_s=Histogram((1.0, 10.0, 300.0, 900.0)),
    models={},
    queue_age_s=0.0,
    given_up=0,
    bridges={},
    budgets={},
    disk_used=0.1,
    loop_lag_s=0.0,
    journal_errors=0,
)
UP = BridgeVitals(connected=True, why="")
DOWN = BridgeVitals(connected=False, why="connection refused")


def idle_model(breaker: Any = "closed") -> ModelVitals:
    return ModelVitals(attempts=0, failed=0, first_token=Histogram((1.0, 10.0, 30.0)), breaker=breaker)


def settings(**sections: Any) -> AlertsConfig:
    """Return a configuration that tells one URL; sections as in the file."""
    return AlertsConfig.model_validate({"targets": [{"url": URL}], **sections})


class AlertSite:
    """One run of the alerts; `vitals` is what the next reading sees."""

    def __init__(self, journal: OpenJournal, clock: ManualClock, config: AlertsConfig) -> None:
        self.journal = journal
        self.clock = clock
        self.vitals = QUIET
        self.failed = self.answered = 0
        self.readings = 0
        self.down: BridgeStatus | None = None
        access = Access(journal.store, clock)
        access.configure(AccessConfig(owners=("chat:1",)), {"chat": BridgeConfig(type="recording")})
        self.teller = Teller(
            journal.journal,
            access,
            bridges=dict,
            find=journal.views.chat_address,
            failing=Arrivals(journal.store).failing,
            clock=clock,
            statuses=lambda: [self.down] if self.down is not None else [],
        )
        self.desk = Desk(AlertRows(journal.store, clock), self.teller, clock, read=self._read)
        self.desk.configure(config, ("chat",))

    async def _read(self) -> Vitals:
        self.readings += 1
        return self.vitals

    def set(self, **numbers: Any) -> None:
        """Let these be seen from the next reading on."""
        self.vitals = replace(self.vitals, **numbers)

    def turns(self, *, failed: int = 0, answered: int = 0) -> None:
        """Let turns end."""
        self.failed += failed
        self.answered += answered
        self.set(turns={"failed": self.failed, "answered": self.answered})

    async def look(self, after_s: float = 0) -> None:
        """Read once, some time later."""
        await self.clock.advance(after_s)
        await self.desk.look()

    async def watch(self, seconds: float, step_s: float = 5) -> None:
        """Read again and again for a while."""
        for _ in range(round(seconds / step_s)):
            await self.look(step_s)

    async def told(self) -> list[dict[str, Any]]:
        """Return the bodies for the URL, in order."""
        rows = await self.journal.store.read("SELECT body FROM outbox ORDER BY id")
        return [json.loads(json.loads(str(body))["text"]) for (body,) in rows]

    async def states(self, name: str | None = None) -> list[str]:
        """Return what was told, in order: firing or resolved."""
        return [t["status"] for t in await self.told() if name in (None, t["groupLabels"]["alertname"])]

    def shown(self) -> Counter[str]:
        """Return how many alerts are in which state."""
        return Counter(alert.state for alert in self.desk.report().alerts)


@asynccontextmanager
async def alert_site(
    state_dir: Path, config: AlertsConfig | None = None, clock: ManualClock | None = None
) -> AsyncIterator[AlertSite]:
    """Open the journal and take over what an earlier run left, without reading anything yet."""
    clock = clock or ManualClock()
    journal = await open_journal(state_dir, JournalConfig(lock_timeout_s=0.05), clock)
    try:
        await journal.journal.recover(())
        site = AlertSite(journal, clock, config or settings())
        await site.desk.load()
        yield site
    finally:
        await journal.close()


async def begun(site: AlertSite) -> None:
    """Let the error rate fire."""
    site.turns(answered=20, failed=20)
    await site.watch(40)
    assert await site.states() == ["firing"]
