"""Opening a state directory: made once, ours alone, never silently empty, never backward."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from clawd.errors import (
    EXIT_JOURNAL,
    EXIT_LOCKED,
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalUnavailable,
    SchemaTooNew,
)
from clawd.store import faults
from clawd.store.schema import MIGRATIONS
from clawd.store.sqlite import Store
from tests.seeds import dice
from tests.unit.store.conftest import OpenStore
from tests.unit.store.tables import highest, put


async def fill(state_dir: Path, open_store: OpenStore, rows: int = 3) -> None:
    store = await open_store(state_dir)
    for n in range(rows):
        await store.write(put(n))
    await store.close()


async def test_everything_in_a_new_state_directory_is_private(state_dir: Path, open_store: OpenStore) -> None:
    state = state_dir / "deep" / "state"
    store = await open_store(state)
    await store.write(put("a"))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir()}
    assert oct(state.stat().st_mode & 0o777) == "0o700"
    assert set(modes.values()) == {"0o600"}
    assert modes.keys() >= {"clawd.db", "clawd.db-wal", "clawd.db-shm", "journal.mark", "lock"}
    await store.close()


async def test_the_database_is_set_up_for_durability(store: Store) -> None:
    def pragmas(db: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await store.write(pragmas) == ["wal", 2, 1, 200]


async def test_a_second_opener_is_told_the_holders_pid(state_dir: Path, open_store: OpenStore) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.journal_child",
        "hold",
        str(state_dir),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"opened\n"
    with pytest.raises(JournalLocked) as caught:
        await open_store(state_dir)
    assert caught.value.pid == child.pid
    assert caught.value.exit_code == EXIT_LOCKED
    # The kernel lets go when the holder is killed.
    child.kill()
    await child.wait()
    await (await open_store(state_dir)).close()


async def test_a_lock_file_from_another_boot_names_no_pid(
    state_dir: Path, store: Store, open_store: OpenStore
) -> None:
    (state_dir / "lock").write_text(json.dumps({"pid": 1, "boot": "other"}))
    with pytest.raises(JournalLocked) as caught:
        await open_store(state_dir)
    assert caught.value.pid == 0


async def test_closing_lets_go_of_the_directory_and_is_safe_twice(
    state_dir: Path, open_store: OpenStore
) -> None:
    store = await open_store(state_dir)
    await store.close()
    await store.close()
    await (await open_store(state_dir)).close()


async def test_a_store_that_failed_to_open_lets_go_of_the_directory(
    state_dir: Path, open_store: OpenStore
) -> None:
    (state_dir / "clawd.db").write_bytes(b"not a database, but long enough to be read as one")
    for _ in range(2):
        with pytest.raises(JournalCorrupt):
            await open_store(state_dir)


async def test_a_vanished_database_is_not_replaced_by_an_empty_one(
    state_dir: Path, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store)
    (state_dir / "clawd.db").unlink()
    with pytest.raises(JournalCorrupt, match="gone") as caught:
        await open_store(state_dir)
    assert "3" in caught.value.why
    assert caught.value.exit_code == EXIT_JOURNAL
    (state_dir / "clawd.db").touch()
    with pytest.raises(JournalCorrupt, match="empty"):
        await open_store(state_dir)
    assert (state_dir / "clawd.db").stat().st_size == 0


async def test_damage_in_the_middle_of_the_database_is_noticed(
    state_dir: Path, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store, 500)
    path = state_dir / "clawd.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(dice(7).randbytes(8192))
    with pytest.raises(JournalCorrupt):
        await open_store(state_dir)


async def test_a_removed_write_ahead_log_is_noticed_and_told(state_dir: Path, open_store: OpenStore) -> None:
    store = await open_store(state_dir)
    for n in range(3):
        await store.write(put(n))
    # What a crash leaves: the log beside the database, and the side file from a few seconds ago.
    crashed = state_dir / "crashed"
    crashed.mkdir()
    for name in ("clawd.db", "clawd.db-wal"):
        shutil.copy(state_dir / name, crashed / name)
    await store.close()
    shutil.copy(state_dir / "journal.mark", crashed / "journal.mark")

    whole = await open_store(crashed)
    assert whole.warnings == ()
    await whole.close()

    for name in ("clawd.db", "clawd.db-wal"):
        (crashed / name).unlink(missing_ok=True)
    shutil.copy(state_dir / "clawd.db", crashed / "clawd.db")
    (crashed / "journal.mark").write_text(json.dumps({"highest": 9}))
    cut = await open_store(crashed)
    (warning,) = cut.warnings
    assert "9" in warning
    assert "3" in warning
    await cut.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"highest": "x"}'])
async def test_an_unreadable_side_file_does_not_prevent_a_start(
    state_dir: Path, content: bytes, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store)
    (state_dir / "journal.mark").write_bytes(content)
    store = await open_store(state_dir)
    assert store.warnings == ()
    await store.close()
    assert json.loads((state_dir / "journal.mark").read_text()) == {"highest": 3}


async def test_a_directory_that_cannot_be_made_is_one_clear_error(
    state_dir: Path, open_store: OpenStore
) -> None:
    (state_dir / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        await open_store(state_dir / "file" / "state")
    assert type(caught.value) is JournalError
    assert caught.value.exit_code == EXIT_JOURNAL
    assert "file" in caught.value.where
    assert caught.value.why == "Not a directory"
    assert "state_dir" in caught.value.remedy


async def test_a_database_locked_by_another_program_cannot_be_opened_now(
    state_dir: Path, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store)
    other = sqlite3.connect(state_dir / "clawd.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO kv VALUES ('x', 1)")
    with pytest.raises(JournalUnavailable):
        await open_store(state_dir)
    other.close()


NEWEST = max(int(path.name.split("_")[0]) for path in MIGRATIONS.glob("[0-9]*.sql"))


# --- schema ----------------------------------------------------------------------------------------------


async def test_a_newer_schema_is_refused_and_left_alone(state_dir: Path, open_store: OpenStore) -> None:
    await fill(state_dir, open_store)
    db = sqlite3.connect(state_dir / "clawd.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SchemaTooNew) as caught:
        await open_store(state_dir)
    assert (caught.value.found, caught.value.supported) == (99, NEWEST)


async def test_another_programs_database_is_refused(state_dir: Path, open_store: OpenStore) -> None:
    db = sqlite3.connect(state_dir / "clawd.db")
    db.execute("CREATE TABLE theirs (a)")
    db.commit()
    db.close()
    with pytest.raises(JournalCorrupt, match="another program"):
        await open_store(state_dir)


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """The product's migrations and one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / f"{NEWEST + 1:04}_more.sql").write_text(
        "-- two; statements\nCREATE TABLE more (a);\nINSERT INTO more VALUES (';');\n"
    )
    return folder


async def test_an_upgrade_keeps_a_backup_and_the_data(
    state_dir: Path, migrations: Path, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store)
    store = await open_store(state_dir, migrations=migrations)
    assert await store.read("SELECT a FROM more") == [(";",)]
    assert await store.read("SELECT count(*) FROM kv") == [(3,)]
    await store.close()
    (backup,) = (state_dir / "backups").iterdir()
    assert oct(backup.stat().st_mode & 0o777) == "0o600"
    old = sqlite3.connect(backup)
    assert old.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    assert highest(old) == 3
    old.close()


async def test_a_new_database_needs_no_backup(
    state_dir: Path, migrations: Path, open_store: OpenStore
) -> None:
    await (await open_store(state_dir, migrations=migrations)).close()
    assert not (state_dir / "backups").exists()


async def test_an_upgrade_that_fails_changes_nothing(
    state_dir: Path, migrations: Path, open_store: OpenStore
) -> None:
    await fill(state_dir, open_store)
    wrong = migrations / f"{NEWEST + 2:04}_wrong.sql"
    wrong.write_text("CREATE TABLE third (a);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(JournalError, match="can't be opened"):
        await open_store(state_dir, migrations=migrations)
    faults.arm({"CLAWD_FAULT": "journal.before_commit:migration:1:raise"})
    wrong.unlink()
    try:
        with pytest.raises(faults.InjectedFault):
            await open_store(state_dir, migrations=migrations)
    finally:
        faults.arm({})
    store = await open_store(state_dir)
    assert await store.read("SELECT name FROM sqlite_master WHERE name IN ('more', 'third')") == []
    await store.close()
    await (await open_store(state_dir, migrations=migrations)).close()
