"""Shorthands for tests that write to the table `kv`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def highest(db: sqlite3.Connection) -> int:
    """The number of rows stands in for the highest journal id."""
    return int(db.execute("SELECT count(*) FROM kv").fetchone()[0])


def put(key: object, value: object = 0) -> Callable[[sqlite3.Connection], int]:
    def work(db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO kv (key, value) VALUES (?, ?)", (str(key), value))
        return int(db.execute("SELECT count(*) FROM kv").fetchone()[0])

    return work
