from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.journal.opening import OpenJournal, open_journal
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMITS = JournalConfig(max_file_bytes=100_000, max_files_bytes=250_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def opened(state_dir: Path, clock: ManualClock) -> AsyncIterator[OpenJournal]:
    journal = await open_journal(state_dir, LIMITS, clock)
    yield journal
    await journal.close()
