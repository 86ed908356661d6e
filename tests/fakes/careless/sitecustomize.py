"""A process that takes less care of its disk: `PYTHONPATH=tests/fakes/careless CARELESS=normal|folders`.

normal: whoever asks SQLite for synchronous=FULL gets NORMAL, which no longer syncs the log at each commit.
folders: Python's fsync of a folder does nothing.
This is how tests see themselves fail without a knob in the product.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from functools import partial
from typing import Any

_CARELESS = os.environ.get("CARELESS", "")


class _Normal(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *parameters)


def _files_only(fd: int, sync: Callable[[int], None] = os.fsync) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        sync(fd)


if _CARELESS == "normal":
    sqlite3.connect = partial(sqlite3.connect, factory=_Normal)  # type: ignore[assignment] # fewer overloads
elif _CARELESS == "folders":
    os.fsync = _files_only  # type: ignore[assignment] # takes descriptors only
