"""Checkpoints and the side file: the log stays short, idle costs nothing, the mark never claims too much."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from clawd.errors import JournalUnavailable
from clawd.store.mark import Mark
from clawd.store.upkeep import FREE_PAGES, GROWTH, LOG_LIMIT, WalUpkeep
from tests.unit.store.conftest import OpenStore
from tests.unit.store.tables import highest, put

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_idle_store_cuts_its_log_and_writes_the_side_file_once(
    state_dir: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir, lazy_s=0.05)
    for n in range(3):
        await store.write(put(n, "x" * 1000))
    async with asyncio.timeout(30):
        while (state_dir / "clawd.db-wal").stat().st_size:
            await asyncio.sleep(0.01)
    assert json.loads((state_dir / "journal.mark").read_text()) == {"highest": 3}
    written = (state_dir / "journal.mark").stat().st_mtime_ns
    for _ in range(3):
        await store.ping()
        await asyncio.sleep(0.06)
    assert (state_dir / "journal.mark").stat().st_mtime_ns == written
    await store.close()


async def test_a_store_that_has_nothing_to_do_uses_no_processor(
    state_dir: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir, lazy_s=0.01)
    await store.write(put("a"))
    await asyncio.sleep(0.1)
    before = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - before < 0.05
    await store.close()


async def test_closing_leaves_no_log_and_the_exact_side_file(state_dir: Path, open_store: OpenStore) -> None:
    store = await open_store(state_dir)
    await store.write(put("a"))
    assert json.loads((state_dir / "journal.mark").read_text()) == {"highest": 0}
    await store.close()
    assert json.loads((state_dir / "journal.mark").read_text()) == {"highest": 1}
    log = state_dir / "clawd.db-wal"
    assert not log.exists() or log.stat().st_size == 0


async def test_under_load_the_log_is_emptied_between_batches(state_dir: Path, open_store: OpenStore) -> None:
    store = await open_store(state_dir)
    largest = 0
    for n in range(60):
        await store.write(put(n, "x" * 1_000_000))
        largest = max(largest, (state_dir / "clawd.db-wal").stat().st_size)
    await store.close()
    assert largest < LOG_LIMIT + 2 * GROWTH


async def test_a_reader_in_the_way_is_not_waited_for(state_dir: Path, open_store: OpenStore) -> None:
    store = await open_store(state_dir, lazy_s=0.05)
    await store.write(put("a"))
    reader = sqlite3.connect(state_dir / "clawd.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM kv").fetchall()
    await store.write(put("b"))
    began = time.monotonic()
    await asyncio.sleep(0.1)
    await store.write(put("c"))
    assert time.monotonic() - began < 4.5  # below the five seconds that a lock is waited for
    reader.close()
    async with asyncio.timeout(30):  # and it is tried again
        while (state_dir / "clawd.db-wal").stat().st_size:
            await asyncio.sleep(0.01)
    await store.close()


def test_under_constant_load_the_side_file_lags_by_no_more_than_its_interval(state_dir: Path) -> None:
    db = sqlite3.connect(state_dir / "clawd.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE kv (key TEXT, value)")
    mark = Mark(state_dir)
    upkeep = WalUpkeep(state_dir / "clawd.db", mark, highest, lazy_s=0.02)
    said = 0
    for _ in range(3):
        before = said
        while said == before:
            put("k")(db)
            assert upkeep.after_commit(db) == 0.02
            said = mark.read() or 0
        assert said <= highest(db)
    db.close()


def test_a_side_file_that_cannot_be_written_is_tried_again(state_dir: Path) -> None:
    mark = Mark(state_dir / "missing")
    assert not mark.write(1)
    (state_dir / "missing").mkdir()
    assert mark.write(2)
    assert mark.read() == 2


async def test_free_pages_are_given_back_when_idle_and_the_store_rests_again(
    state_dir: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir, lazy_s=0.05)
    for n in range(100):
        await store.write(put(n, "x" * 50_000))
    await store.write(lambda db: db.execute("DELETE FROM kv"))
    free = "SELECT freelist_count FROM pragma_freelist_count"
    async with asyncio.timeout(50):
        while (await store.read(free))[0][0] > FREE_PAGES or (state_dir / "clawd.db-wal").stat().st_size:
            await asyncio.sleep(0.02)
    assert await store.read(free) == [(FREE_PAGES,)]
    assert (state_dir / "clawd.db").stat().st_size < 2_000_000
    before = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - before < 0.05


async def test_a_write_comes_between_two_bites(state_dir: Path, open_store: OpenStore) -> None:
    store = await open_store(state_dir, lazy_s=0.02)
    for n in range(200):
        await store.write(put(n, "x" * 100_000))
    await store.write(lambda db: db.execute("DELETE FROM kv"))
    async with asyncio.timeout(50):
        n = 0
        while (await store.read("SELECT freelist_count FROM pragma_freelist_count"))[0][0] > FREE_PAGES:
            await store.write(put(f"between {n}"))
            await asyncio.sleep(0.03)
            n += 1
    assert n > 3


async def test_a_file_of_an_earlier_version_learns_to_shrink_at_the_next_start(
    state_dir: Path, open_store: OpenStore
) -> None:
    await (await open_store(state_dir)).close()
    db = sqlite3.connect(state_dir / "clawd.db", isolation_level=None)
    db.execute("PRAGMA auto_vacuum = NONE")
    db.execute("VACUUM")
    db.close()
    store = await open_store(state_dir)
    assert await store.read("SELECT auto_vacuum FROM pragma_auto_vacuum") == [(2,)]


async def test_whoever_waits_for_the_files_to_be_put_in_order_hears_of_a_failure(
    state_dir: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir)
    await store.write(lambda db: db.execute("PRAGMA max_page_count = 1"))  # a full disk, in effect

    def fail(db: sqlite3.Connection) -> None:
        for n in range(100_000):
            db.execute("INSERT INTO kv (key, value) VALUES (?, ?)", (f"k{n}", "x" * 4000))

    with pytest.raises(JournalUnavailable):
        await store._between(fail)
    assert store.pause == ""


async def test_a_start_that_changes_nothing_writes_nothing(state_dir: Path, open_store: OpenStore) -> None:
    await (await open_store(state_dir)).close()
    await open_store(state_dir)
    assert (state_dir / "clawd.db-wal").stat().st_size == 0
