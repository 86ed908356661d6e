"""The journal's writer against raw SQLite: `python -m benchmarks.journal [--runs N] [--seconds S] [--dir PATH]`.

Raw is a plain loop that inserts the same rows into the same table with the same pragmas and commits after
each group of N. The writer serves N tasks that each write one row and wait for its commit. A ratio of 1
would be group commit for nothing; one awaited commit per row is shown for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.table import table
from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.opening import OpenJournal, open_journal
from clawd.store.opening import open_database

AWAITERS = (1, 10, 100, 1000)
REACH = 0.45
BODY = '{"step":1,"response":{"model":"main","text":"%s","finish":"stop"}}' % ("x" * 200)
INSERT = (
    "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body)"
    " VALUES (?, ?, 1, 1, 'llm.result', 1, 1, 1767268800000, ?)"
)


class Rows:
    """Endless rows as a turn's result writes them, never the same twice."""

    def __init__(self, db_conv: int) -> None:
        self._conv = db_conv
        self._seq = 0

    def next(self) -> tuple[int, int, str]:
        self._seq += 1
        return (self._conv, self._seq, BODY)


def conversation(db: sqlite3.Connection) -> int:
    (row,) = db.execute(
        "INSERT INTO conv (address, bridge, settings) VALUES (hex(randomblob(8)), 'b', '{}') RETURNING id"
    ).fetchone()
    return int(row)


def raw(folder: Path, group: int, seconds: float) -> float:
    """Return rows per second of a plain loop."""
    opened = open_database(folder, lambda _: 0, lock_timeout_s=5)
    db = opened.db
    db.execute("PRAGMA wal_autocheckpoint = 1000")
    rows = Rows(conversation(db))
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        db.execute("BEGIN IMMEDIATE")
        for _ in range(group):
            db.execute(INSERT, rows.next())
        db.execute("COMMIT")
        count += group
    db.close()
    opened.lock.release()
    return count / spent


async def writer(folder: Path, awaiters: int, seconds: float) -> float:
    """Return rows per second when so many tasks wait for one commit each, again and again."""
    opened = await open_journal(folder, JournalConfig(), SystemClock())
    rows = Rows(await opened.store.write(conversation))
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_write_until(opened, rows, began + seconds)) for _ in range(awaiters)]
    spent = time.perf_counter() - began
    await opened.close()
    return sum(task.result() for task in tasks) / spent


def _insert(db: sqlite3.Connection, row: tuple[int, int, str]) -> None:
    db.execute(INSERT, row)


async def _write_until(opened: OpenJournal, rows: Rows, end: float) -> int:
    count = 0
    while time.perf_counter() < end:
        await opened.store.write(partial(_insert, row=rows.next()))
        count += 1
    return count


def measure(runs: int, seconds: float, folder: Path | None) -> list[tuple[int, float, float, float]]:
    """Return (awaiters, raw, writer, one by one) in rows per second, the three run in turns."""
    results = []
    for awaiters in AWAITERS:
        samples: list[tuple[float, float, float]] = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory(dir=folder) as name:
                at = Path(name)
                samples.append(
                    (
                        raw(at / "raw", awaiters, seconds),
                        asyncio.run(writer(at / "writer", awaiters, seconds)),
                        raw(at / "single", 1, seconds),
                    )
                )
        plain, ours, single = (statistics.median(column) for column in zip(*samples, strict=True))
        results.append((awaiters, plain, ours, single))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--dir", type=Path, default=None, help="where the databases are made")
    options = parser.parse_args()
    results = measure(options.runs, options.seconds, options.dir)
    print(f"SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}, synchronous=FULL")
    print(f"rows per second, medians of {options.runs} interleaved runs of {options.seconds:g} s\n")
    print(
        table(
            ["awaiters", "raw group commit", "clawd's writer", "ratio", f"reach {REACH}", "one commit a row"],
            [
                (n, plain, ours, ours / plain, "yes" if ours / plain >= REACH else "NO", single)
                for n, plain, ours, single in results
            ],
        )
    )


if __name__ == "__main__":
    main()
