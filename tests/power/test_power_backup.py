"""The power is cut around a migration: the copy made before it is whole on the disk before anything changes."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from clawd.store.schema import MIGRATIONS
from tests.power import strace
from tests.power.disk import Disk
from tests.power.recording import record

pytestmark = pytest.mark.skipif(not strace.AVAILABLE, reason="strace is not installed")


NEWEST: Final = len(list(MIGRATIONS.glob("*.sql")))


def migrations(folder: Path, *, further: bool) -> Path:
    """Return a folder with the migrations there are, and one more."""
    path = folder / ("new" if further else "old")
    shutil.copytree(MIGRATIONS, path)
    if further:
        (path / f"{NEWEST + 1:04}_further.sql").write_text("CREATE TABLE further (x);\n", encoding="utf-8")
    return path


async def recorded(folder: Path, *, further: bool) -> list[strace.Call]:
    program = ["tests.fakes.migrating_child", str(folder / "state")]
    return await record(folder, [*program, str(migrations(folder, further=further))])


@pytest.mark.timeout(300)
async def test_the_copy_before_a_migration_is_on_the_disk_before_the_migration(state_dir: Path) -> None:
    first = await recorded(state_dir, further=False)
    second = await recorded(state_dir, further=True)
    disk, dice = Disk(state_dir), random.Random(1)
    assert list(disk.run(first, [first[-1].ended]))

    begins = next(c for c in second if c.path.endswith("clawd.db-wal") and c.name == "pwrite64")
    (files,) = (disk.after_cut("nothing", dice) for _ in disk.run(second, [begins.began]))
    copies = [name for name in files if name.startswith("state/backups/")]
    assert len(copies) == 1
    assert whole(files, copies[0], state_dir / "copy.db") == NEWEST


def whole(files: Mapping[str, bytes], name: str, path: Path) -> int:
    """Return the schema's version in an intact database."""
    path.write_bytes(files[name])
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM kv").fetchone() == (0,)
        return int(db.execute("PRAGMA user_version").fetchone()[0])
