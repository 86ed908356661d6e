"""Every journal that the suite runs over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.journal.opening import OpenJournal, open_journal
from clawd.testing import ManualClock
from tests.conformance.journals import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.journal.base import Journal
    from clawd.journal.reading import Admin, Views


@pytest.fixture(params=["sqlite"])
async def bench(request: pytest.FixtureRequest, state_dir: Path) -> AsyncIterator[Bench]:
    """A fresh journal; `@pytest.mark.parametrize("max_queue", …)` sets its bound."""
    callspec = getattr(request.node, "callspec", None)
    config = JournalConfig(max_queue=callspec.params.get("max_queue", 10_000) if callspec else 10_000)
    clock = ManualClock()
    opened: list[OpenJournal] = []

    async def reopen() -> tuple[Journal, Views, Admin]:
        if opened:
            await opened.pop().close()
        opened.append(await open_journal(state_dir, config, clock))
        return opened[-1].journal, opened[-1].views, opened[-1].admin

    journal, views, admin = await reopen()
    yield Bench(journal=journal, views=views, admin=admin, clock=clock, reopen=reopen)
    await opened.pop().close()
