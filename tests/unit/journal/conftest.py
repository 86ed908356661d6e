"""An SQLite journal on a real file, with its store in reach."""

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


@pytest.fixture
async def opened(state_dir: Path) -> AsyncIterator[OpenJournal]:
    journal = await open_journal(state_dir, JournalConfig(max_queue=100_000), ManualClock())
    yield journal
    await journal.close()


@pytest.fixture
async def bench(opened: OpenJournal) -> Bench:
    async def reopen() -> tuple[Journal, Views, Admin]:
        return opened.journal, opened.views, opened.admin  # the same process: only `recover` runs again

    clock = opened.journal._context.clock
    assert isinstance(clock, ManualClock)
    return Bench(journal=opened.journal, views=opened.views, admin=opened.admin, clock=clock, reopen=reopen)
