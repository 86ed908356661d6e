"""Disks that are full, locked or broken: nothing is acknowledged that is not there."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from clawd.errors import EXIT_JOURNAL, JournalUnavailable
from clawd.store.sqlite import Store
from tests.unit.store.conftest import OpenStore
from tests.unit.store.tables import put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path


async def test_a_full_disk_pauses_and_resumes_without_a_false_acknowledgement(store: Store) -> None:
    def limit(db: sqlite3.Connection, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    (pages,) = (await store.read("PRAGMA page_count"))[0]
    await store.write(lambda db: limit(db, pages + 20))
    acknowledged = 0

    async def write(n: int) -> None:
        nonlocal acknowledged
        await store.write(put(n, "x" * 3000))
        acknowledged += 1

    async with asyncio.TaskGroup() as group:
        waiters = [group.create_task(_outcome(write(n))) for n in range(100)]
    outcomes = [w.result() for w in waiters]
    outcomes += [await _outcome(write(n)) for n in range(100, 200)]
    refused = [o for o in outcomes if o is not None]
    assert {type(o) for o in refused} == {JournalUnavailable}
    assert "full" in store.pause
    assert len(refused) + acknowledged == 200
    # Reading goes on, and finds exactly what was acknowledged.
    assert await store.read("SELECT count(*) FROM kv") == [(acknowledged,)]
    await store.ping()
    assert "full" in store.pause
    await store.write(lambda db: limit(db, 1_000_000))
    await write(500)
    assert store.pause == ""
    assert await store.read("SELECT count(*) FROM kv") == [(acknowledged,)]


async def _outcome(write: Awaitable[None]) -> Exception | None:
    try:
        await write
    except JournalUnavailable as error:
        return error
    return None


async def test_a_database_locked_by_another_program_is_waited_for_and_then_refused(
    store: Store, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO kv VALUES ('theirs', 1)")
    async with asyncio.TaskGroup() as group:
        waiters = [group.create_task(_outcome(_write(store, n))) for n in range(10)]
        # The loop is free while the writer's thread waits.
        for _ in range(5):
            await asyncio.sleep(0.01)
    assert {type(w.result()) for w in waiters} == {JournalUnavailable}
    assert "locked" in store.pause
    other.execute("COMMIT")
    await _write(store, 11)
    assert store.pause == ""
    assert await store.read("SELECT count(*) FROM kv") == [(2,)]


async def _write(store: Store, n: int) -> None:
    await store.write(put(n))


# --- a disk that fails, in a process of its own ----------------------------------------------------------


@asynccontextmanager
async def accepting(state_dir: Path, *limits: str, prefix: tuple[str, ...] = ()) -> AsyncIterator[list[str]]:
    """Run a process that accepts messages until it fails; yields its lines."""
    child = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        "tests.fakes.journal_child",
        "accept",
        str(state_dir),
        *limits,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(50):
            out, _ = await child.communicate()
        lines = out.decode().splitlines()
        assert lines[0] == "opened"
        lines.append(f"exit {child.returncode}")
        yield lines
    finally:
        if child.returncode is None:
            child.kill()


async def acknowledged_are_there(open_store: OpenStore, state_dir: Path, lines: list[str]) -> int:
    """Compare what was acknowledged with what is in the database; return how many more are there."""
    acknowledged = {int(line) for line in lines if line.isdigit()}
    store = await open_store(state_dir)
    rows = await store.read(
        "SELECT CAST(substr(d.key, 3) AS INTEGER), i.seq, c.value FROM dedup d"
        " LEFT JOIN inbox i ON i.conv = d.conv AND i.seq = d.seq"
        " LEFT JOIN kv c ON c.key = 'cursor:c:' || substr(d.key, 3)"
    )
    await store.close()
    assert acknowledged
    assert all(seq is not None and cursor is not None for _, seq, cursor in rows), "half an item was written"
    there = {number for number, _, _ in rows}
    assert acknowledged <= there
    return len(there - acknowledged)


async def test_a_failed_write_stops_the_process_with_exit_74_and_loses_nothing(
    state_dir: Path, open_store: OpenStore
) -> None:
    async with accepting(state_dir, str(1 << 20)) as lines:
        assert lines[-1] == f"exit {EXIT_JOURNAL}"
        assert lines[-2].startswith("JournalBroken")
        await acknowledged_are_there(open_store, state_dir, lines)


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: a failing fsync is left out"
)
async def test_a_failed_fsync_stops_the_process_with_exit_74_and_loses_nothing(
    state_dir: Path, open_store: OpenStore
) -> None:
    await (await open_store(state_dir)).close()
    inject = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=20+")
    async with accepting(state_dir, prefix=("strace", "-f", "-qq", "-o", "/dev/null", *inject)) as lines:
        assert lines[-1] == f"exit {EXIT_JOURNAL}"
        assert "disk I/O error" in lines[-2]
        await acknowledged_are_there(open_store, state_dir, lines)
