"""A store on a real file, with one small table beside the product's own."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from clawd.store.sqlite import Store
from tests.unit.store.tables import highest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def store(state_dir: Path) -> AsyncIterator[Store]:
    opened = await Store.open(state_dir, highest, lock_timeout_s=0.2, lazy_s=60)
    yield opened
    await opened.close()


@pytest.fixture
def other(state_dir: Path, store: Store) -> Iterator[sqlite3.Connection]:
    """Another connection to the same file, as another program would have it."""
    db = sqlite3.connect(state_dir / "clawd.db", isolation_level=None, timeout=0.1, check_same_thread=False)
    yield db
    db.close()
