"""Stores on real files, with one small table beside the product's own; every one is closed in the end."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from clawd.store.schema import MIGRATIONS
from clawd.store.sqlite import Store
from tests.unit.store.tables import highest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class OpenStore(Protocol):
    """Opens a store that the fixture closes, so that a test that fails leaves no thread behind."""

    async def __call__(
        self,
        state_dir: Path,
        *,
        lazy_s: float = 60,
        lock_timeout_s: float = 0.1,
        migrations: Path = MIGRATIONS,
    ) -> Store: ...


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    stores: list[Store] = []

    async def open_one(
        state_dir: Path, *, lazy_s: float = 60, lock_timeout_s: float = 0.1, migrations: Path = MIGRATIONS
    ) -> Store:
        store = await Store.open(
            state_dir, highest, lock_timeout_s=lock_timeout_s, lazy_s=lazy_s, migrations=migrations
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(state_dir: Path, open_store: OpenStore) -> Store:
    return await open_store(state_dir, lock_timeout_s=0.2)


@pytest.fixture
def other(state_dir: Path, store: Store) -> Iterator[sqlite3.Connection]:
    """Another connection to the same file, as another program would have it."""
    db = sqlite3.connect(state_dir / "clawd.db", isolation_level=None, timeout=0.1, check_same_thread=False)
    yield db
    db.close()
