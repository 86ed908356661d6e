"""Copies of a database in use: nobody waits, whole under their name or not there, and readable by us alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clawd.errors import JournalError, NotPossible
from clawd.store.backup import (
    FOLDER,
    BackupExists,
    BackupStopped,
    list_backups,
    place_of,
    write_backup,
)
from clawd.store.sqlite import Store
from tests.seeds import dice
from tests.unit.store.conftest import OpenStore
from tests.unit.store.tables import put


def rows_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(db.execute("SELECT count(*) FROM kv").fetchone()[0])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_copy_is_made_while_the_writer_goes_on(state_dir: Path, store: Store) -> None:
    for number in range(200):
        await store.write(put(number, "x" * 20_000))
    target = place_of(None, state_dir, datetime(2026, 11, 25, 18, 47, 38, tzinfo=UTC))
    assert target == state_dir / "backups" / "clawd-20261125T184738Z.db"
    committed, before = 200, 200
    for _ in range(50):  # until one is not over before anything could be written
        target.unlink(missing_ok=True)
        before = committed
        copying = asyncio.ensure_future(asyncio.to_thread(write_backup, store.path, target))
        while not copying.done():
            await store.write(put(committed))
            committed += 1
        done = await copying
        assert done.bytes == target.stat().st_size
        assert before <= rows_in(target) <= committed
        if committed > before + 1:
            break
    assert committed > before + 1, "nobody can write beside a copy"
    assert (mode(target), mode(target.parent)) == (0o600, 0o700)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


async def test_a_write_ahead_log_that_nobody_has_open_counts(
    state_dir: Path, tmp_path: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir)
    await store.write(put("in the log"))
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("clawd.db", "clawd.db-wal"):
        (killed / name).write_bytes((state_dir / name).read_bytes())
    await asyncio.to_thread(write_backup, killed / "clawd.db", tmp_path / "copy.db")
    assert rows_in(tmp_path / "copy.db") == 1


async def test_a_file_of_that_name_stays_unless_told_otherwise(tmp_path: Path, store: Store) -> None:
    target = tmp_path / "mine.db"
    target.write_text("precious")
    with pytest.raises(BackupExists) as caught:
        await asyncio.to_thread(write_backup, store.path, target)
    assert target.read_text() == "precious"
    assert "--force" in caught.value.remedy
    await asyncio.to_thread(write_backup, store.path, target, force=True)
    assert rows_in(target) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


async def test_a_file_that_appears_meanwhile_stays_as_well(tmp_path: Path, store: Store) -> None:
    for number in range(300):
        await store.write(put(number, "x" * 20_000))
    target = tmp_path / "mine.db"

    def appear(_done: int, _of: int) -> bool:
        target.write_text("precious")
        return True

    with pytest.raises(BackupExists):
        await asyncio.to_thread(write_backup, store.path, target, progress=appear)
    assert target.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


async def test_a_copy_that_nobody_waits_for_leaves_nothing(tmp_path: Path, store: Store) -> None:
    for number in range(300):
        await store.write(put(number, "x" * 20_000))
    told: list[tuple[int, int]] = []

    def once(done: int, of: int) -> bool:
        told.append((done, of))
        return False

    with pytest.raises(BackupStopped):
        await asyncio.to_thread(write_backup, store.path, tmp_path / "copy.db", progress=once)
    assert told[0][1] > 500_000
    assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_copy_left_is_replaced(tmp_path: Path, store: Store) -> None:
    (tmp_path / "copy.db.partial").write_bytes(b"half of it")
    await asyncio.to_thread(write_backup, store.path, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]


async def test_a_place_that_can_not_be_written_is_told(store: Store) -> None:
    with pytest.raises(JournalError, match="can't be written"):
        await asyncio.to_thread(write_backup, store.path, Path("/nowhere/at/all/copy.db"))


async def test_a_damaged_database_makes_no_backup(
    state_dir: Path, tmp_path: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir)
    for number in range(500):
        await store.write(put(number, "x" * 100))
    await store.close()
    path = state_dir / "clawd.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 8 * 4096)
        file.write(dice(7).randbytes(4 * 4096))
    with pytest.raises(JournalError):
        await asyncio.to_thread(write_backup, path, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_the_newest_backup_is_the_last_of_the_list_and_a_former_journal_is_none(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    assert list_backups(folder) == []
    for name in ("by-hand", "replaced-x", "damaged-x"):
        (folder / name).mkdir(parents=True)
    names = ["b.db", "a.db", "by-hand/clawd.db", "replaced-x/clawd.db", "damaged-x/clawd.db"]
    for number, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, (number, number))
    (folder / "c.db.partial").touch()
    assert [path.name for path, _ in list_backups(folder)] == ["b.db", "a.db", "clawd.db"]


@pytest.mark.parametrize("name", ["clawd.db", "clawd.db-wal", "lock", "new.db"])
async def test_a_backup_never_takes_the_place_of_the_journals_own_files(
    state_dir: Path, store: Store, name: str
) -> None:
    await store.write(put(1))
    rows, before = rows_in(store.path), {path.name for path in state_dir.iterdir()}
    (state_dir / "aside").symlink_to(state_dir)
    for folder in (state_dir, state_dir / "aside"):
        with pytest.raises(NotPossible, match="no place among"):
            await asyncio.to_thread(write_backup, store.path, folder / name, force=True)
    assert {path.name for path in state_dir.iterdir()} == {*before, "aside"}
    assert rows_in(store.path) == rows


async def test_a_folder_that_is_not_there_is_told_and_not_made(state_dir: Path, store: Store) -> None:
    with pytest.raises(JournalError, match="can't be written"):
        await asyncio.to_thread(write_backup, store.path, state_dir / "mistyped" / "a.db")
    assert not (state_dir / "mistyped").exists()


def test_a_name_that_nobody_gave_is_one_that_nothing_has(tmp_path: Path) -> None:
    now = datetime(2026, 11, 25, 18, 47, 38, tzinfo=UTC)
    folder = tmp_path / FOLDER
    folder.mkdir()
    names = []
    for ending in ("", ".partial", ""):
        names.append(place_of(None, tmp_path, now))
        names[-1].with_name(f"{names[-1].name}{ending}").touch()
    stem = "clawd-20261125T184738Z"
    assert [path.name for path in names] == [f"{stem}.db", f"{stem}-2.db", f"{stem}-3.db"]
    assert {path.parent for path in names} == {folder}


def test_a_backup_into_a_folder_gets_a_name_there(tmp_path: Path) -> None:
    now = datetime(2026, 11, 25, 18, 47, 38, tzinfo=UTC)
    assert place_of(tmp_path, Path("/elsewhere"), now) == tmp_path / "clawd-20261125T184738Z.db"
    assert place_of(tmp_path / "a.db", Path("/elsewhere"), now) == tmp_path / "a.db"
