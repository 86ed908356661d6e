"""The reader: read-only, bounded in time, free of the writer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.errors import JournalCorrupt, JournalUnavailable
from clawd.store.reader import Reader
from tests.fakes.loop_clock import jump
from tests.unit.store.tables import put

if TYPE_CHECKING:
    from clawd.store.sqlite import Store

OpenReader = Callable[..., Awaitable[Reader]]
FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
async def open_reader() -> AsyncIterator[OpenReader]:
    readers: list[Reader] = []

    async def open_one(path: Path, limit_s: float = 1) -> Reader:
        readers.append(await Reader.open(path, limit_s=limit_s))
        return readers[-1]

    yield open_one
    for reader in readers:
        await reader.close()


async def test_a_committed_row_is_read_at_once(store: Store) -> None:
    await store.write(put("a", 1))
    assert await store.read("SELECT value FROM kv WHERE key = ?", ("a",)) == [(1,)]
    assert await store.read("SELECT value FROM kv WHERE key = :key", {"key": "a"}) == [(1,)]


async def test_the_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match="readonly"):
        await store.read("INSERT INTO kv VALUES ('x', 1)")


async def test_reading_does_not_wait_for_a_transaction_in_work(store: Store) -> None:
    loop = asyncio.get_running_loop()
    entered, done = asyncio.Event(), []

    def slow(db: object) -> None:
        future = asyncio.run_coroutine_threadsafe(_read(), loop)
        entered_now = future.result(5)
        done.append(entered_now)

    async def _read() -> int:
        entered.set()
        return int((await store.read("SELECT count(*) FROM kv"))[0][0])

    await store.write(slow)
    assert done == [0]


async def test_a_read_that_takes_too_long_is_cut_off_and_the_next_one_runs(
    store: Store, open_reader: OpenReader
) -> None:
    reader = await open_reader(store.path, limit_s=0.05)
    with pytest.raises(JournalUnavailable, match="too long"):
        await reader.read(FOREVER)
    reader._limit_s = 30  # on a busy machine each takes its time
    assert await reader.read("SELECT 1") == [(1,)]


async def test_a_cancelled_read_makes_room_for_the_next_one(store: Store, open_reader: OpenReader) -> None:
    reader = await open_reader(store.path, limit_s=20)
    task = asyncio.ensure_future(reader.read(FOREVER))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        assert await reader.read("SELECT 1") == [(1,)]


async def test_who_reads_while_it_is_being_closed_is_told_so(store: Store, open_reader: OpenReader) -> None:
    reader, held = await open_reader(store.path), threading.Event()
    async with asyncio.TaskGroup() as tasks:
        busy = reader._db._execute(held.wait, 30)  # type: ignore[no-untyped-call]  # of aiosqlite
        tasks.create_task(busy)
        await asyncio.sleep(0)
        tasks.create_task(reader.close())
        await asyncio.sleep(0)
        late = tasks.create_task(_refused(reader))
        await asyncio.sleep(0)
        held.set()
    assert late.result()


async def _refused(reader: Reader) -> bool:
    with pytest.raises(JournalUnavailable, match="closed"):
        await reader.read("SELECT 1")
    return True


async def test_a_closed_reader_says_so(store: Store) -> None:
    await store.close()
    with pytest.raises(JournalUnavailable):
        await store.read("SELECT 1")


async def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, open_reader: OpenReader) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"nonsense" * 1000)
    reader = await open_reader(path)
    with pytest.raises(JournalCorrupt):
        await reader.read("SELECT * FROM kv")


async def test_a_loop_that_stood_still_takes_no_answer_for_one_that_is_late(
    store: Store, open_reader: OpenReader
) -> None:
    reader = await open_reader(store.path, limit_s=5)
    begun, held = threading.Event(), threading.Event()

    def hold(_statement: str) -> None:
        begun.set()
        held.wait(30)

    await reader._db.set_trace_callback(hold)
    read = asyncio.ensure_future(reader.read("SELECT 2"))
    while not begun.is_set():
        await asyncio.sleep(0)
    jump(10)
    for _ in range(5):  # its time is over, and the answer is not there yet
        await asyncio.sleep(0)
    held.set()
    assert await read == [(2,)]
