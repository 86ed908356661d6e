"""A journal, and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.rich_journal import bench_of
from tests.unit.journal.conftest import opened

if TYPE_CHECKING:
    from clawd.journal.opening import OpenJournal
    from clawd.testing import ManualClock

__all__ = ["opened"]


@pytest.fixture
def clock(opened: OpenJournal) -> ManualClock:
    return bench_of(opened).clock
