"""`clawd backup` and `clawd restore` as a person runs them; killed at every step, one of the two databases is whole."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.journal.checking import check_state_dir
from clawd.journal.opening import OpenJournal, open_journal
from clawd.store.faults import RESTORE_STEPS
from clawd.store.opening import FILE
from clawd.store.schema import MIGRATIONS
from clawd.testing import ManualClock
from tests.conformance.journals import address
from tests.fakes.rich_journal import bench_of, rich_journal
from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = "gateway: {port: 0}\nmodels: [{name: demo, type: demo}]\nlogging: {file: false}\n"

BEFORE_THE_PLAN = {"copy", "adapt"}
"""Killed up to here, nothing has happened; from the plan on the restore will happen."""


@pytest.fixture
async def clawd(state_dir: Path) -> AsyncIterator[Shell]:
    (state_dir / "config.yaml").write_text(CONFIG)
    shell = Shell(state_dir)
    yield shell
    await shell("stop")


@pytest.fixture
async def home(state_dir: Path, clawd: Shell) -> Path:
    """A state directory with a journal, a backup of it, and turns that came after the backup."""
    state = state_dir / "state"
    await rich_journal(state)
    assert (await clawd("backup", str(state_dir / "backup.db"))).code == 0
    opened = await reopened(state)
    bench = bench_of(opened)
    await opened.journal.recover(())
    for number in range(5):
        await bench.say(f"later {number}", chat="9")
        await bench.push(chat="9")
    await opened.close()
    return state


async def reopened(state: Path) -> OpenJournal:
    return await open_journal(state, JournalConfig(), ManualClock())


def value(path: Path, sql: str) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return str(db.execute(sql).fetchone()[0])


def ids(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())


LATER = "SELECT count(*) FROM inbox i JOIN conv c ON c.id = i.conv WHERE c.address = 'tg:bot:9'"


async def test_a_restore_takes_the_journal_back_and_moves_the_other_aside(
    clawd: Shell, home: Path, state_dir: Path
) -> None:
    old_ids, instance = ids(home / FILE), value(home / FILE, "SELECT value FROM kv WHERE key = 'instance'")
    done = await clawd("restore", str(state_dir / "backup.db"), "--yes", "--json")
    assert "database_restored" not in done.err, "an event of the log is no sentence"
    assert done.code == 0, done.err
    assert value(home / FILE, LATER) == "0"
    aside = Path(done.json["replaced"])
    assert aside.parent.parent == home / "backups"
    assert value(aside, LATER) == "5"
    # Nothing that was given out since the backup is given out again.
    assert value(home / FILE, "SELECT value FROM kv WHERE key = 'instance'") != instance
    fresh = ids(home / FILE)
    assert all(fresh[table] >= old_ids[table] for table in ("journal", "outbox", "conv"))
    assert json.loads((home / "journal.mark").read_text())["highest"] == fresh["journal"]
    unsent = "SELECT min(repeated) FROM outbox WHERE state IN ('pending', 'sending', 'parked')"
    assert value(home / FILE, unsent) == "1"
    assert (await asyncio.to_thread(check_state_dir, home)).findings == ()
    assert not (home / "restore.json").exists()
    assert oct((home / FILE).stat().st_mode & 0o777) == "0o600"
    # The next start says so, once.
    opened = await reopened(home)
    assert "restored" in opened.warnings[0]
    assert str(state_dir / "backup.db") in opened.warnings[0]
    assert str(aside.parent) in opened.warnings[0]
    await opened.close()
    opened = await reopened(home)
    assert opened.warnings == ()
    await opened.close()


async def test_cursors_of_clients_go_on_after_a_restore(clawd: Shell, home: Path, state_dir: Path) -> None:
    opened = await reopened(home)
    cursor = (await opened.views.entries(address("9"))).cursor
    await opened.close()
    assert (await clawd("restore", str(state_dir / "backup.db"), "--yes")).code == 0
    opened = await reopened(home)
    bench = bench_of(opened)
    await bench.say("after", chat="9")
    entries = (await opened.views.entries(address("9"), after=cursor)).entries
    assert [entry.text for entry in entries] == ["after"]
    await opened.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", RESTORE_STEPS)
async def test_a_restore_killed_at_a_step_leaves_one_of_the_two_databases_whole(
    clawd: Shell, home: Path, state_dir: Path, step: str
) -> None:
    before = (home / FILE).read_bytes()
    # A log beside it, as a killed daemon leaves one: it belongs to the old database alone.
    (home / f"{FILE}-wal").write_bytes(b"not a log, and nobody may read it")
    command = ("restore", str(state_dir / "backup.db"), "--yes")
    killed = await clawd(*command, CLAWD_FAULT=f"restore.after:{step}:1:kill")
    assert killed.code == -9
    if step in BEFORE_THE_PLAN:
        assert (home / FILE).read_bytes() == before
    opened = await reopened(home)
    warnings = opened.warnings
    later = await opened.store.read(LATER)
    await opened.close()
    assert later == [(5 if step in BEFORE_THE_PLAN else 0,)]
    assert len(warnings) == 1, warnings
    assert ("cut off before it had changed anything" if step in BEFORE_THE_PLAN else "restored") in warnings[
        0
    ]
    if step not in BEFORE_THE_PLAN:
        (aside,) = (home / "backups").glob("replaced-*")
        assert (aside / FILE).read_bytes() == before
        assert (aside / f"{FILE}-wal").exists()
    left = {path.name for path in home.iterdir()}
    assert not left & {"restore.json", "restore.json.new", f"{FILE}.restoring"}
    report = await asyncio.to_thread(check_state_dir, home)
    assert report.findings == ()
    assert (await clawd(*command)).code == 0, "a later restore works as if nothing had been"


async def test_a_restore_that_was_cut_off_is_finished_even_if_killed_again(
    clawd: Shell, home: Path, state_dir: Path
) -> None:
    command = ("restore", str(state_dir / "backup.db"), "--yes")
    for step in ("plan", "aside", "aside_log", "swap", "mark"):
        killed = await clawd(*command, CLAWD_FAULT=f"restore.after:{step}:1:kill")
        assert killed.code == -9
    opened = await reopened(home)
    assert await opened.store.read(LATER) == [(0,)]
    await opened.close()


async def test_a_running_daemon_is_backed_up_and_not_replaced(clawd: Shell, state_dir: Path) -> None:
    started = await clawd("start", "--detach", "--json")
    assert started.code == 0, started.err
    assert (await clawd("chat", "hello there")).code == 0
    made = await clawd("backup", "--json")
    assert made.code == 0, made.err
    file = Path(made.json["file"])
    assert file.parent == state_dir / "state" / "backups"
    assert file.stat().st_mode & 0o777 == 0o600
    assert value(file, "SELECT count(*) FROM inbox") == "1"
    again = await clawd("backup", str(file))
    assert again.code == 1
    assert "--force" in again.err
    assert (await clawd("backup", str(file), "--force")).code == 0
    refused = await clawd("restore", str(file), "--yes")
    assert refused.code == 73
    assert f"locked by process {started.json['pid']}" in refused.err
    checked = await clawd("journal", "check", "--json")
    assert (checked.code, checked.json["findings"]) == (0, [])
    assert (await clawd("stop")).code == 0
    assert (await clawd("restore", str(file), "--yes")).code == 0
    assert (await clawd("start", "--detach")).code == 0
    asked = (await clawd("conversations", "export", "default", "--json")).json["entries"]
    assert asked[0]["message"]["parts"] == [{"text": "hello there"}]


async def test_what_is_no_backup_is_refused_and_changes_nothing(
    clawd: Shell, home: Path, state_dir: Path
) -> None:
    before = (home / FILE).read_bytes()
    good = (state_dir / "backup.db").read_bytes()
    cases = {
        "text.db": (b"hello, this is text and no database", "not a database"),
        "cut.db": (good[: len(good) // 2], "damaged"),
        "hole.db": (good[:20000] + b"\xff" * 20000 + good[40000:], "damaged"),
    }
    for name, (content, why) in cases.items():
        (state_dir / name).write_bytes(content)
        refused = await clawd("restore", str(state_dir / name), "--yes")
        assert refused.code == 74, refused.err
        assert why in refused.err
        assert "try: another backup; the journal was not touched" in refused.err
    foreign = state_dir / "foreign.db"
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE t (a)")
    assert "another program" in (await clawd("restore", str(foreign), "--yes")).err
    newer = state_dir / "newer.db"
    newer.write_bytes(good)
    with closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "newer clawd" in (await clawd("restore", str(newer), "--yes")).err
    assert (await clawd("restore", str(state_dir / "missing.db"), "--yes")).code == 74
    unasked = await clawd("restore", str(state_dir / "backup.db"))
    assert unasked.code == 2
    assert (home / FILE).read_bytes() == before
    assert not (home / "backups").exists()


async def test_an_unreadable_database_is_replaced_and_its_ids_are_jumped_over(
    clawd: Shell, home: Path, state_dir: Path
) -> None:
    said = json.loads((home / "journal.mark").read_text())["highest"]
    (home / FILE).write_bytes(b"\xff" * 8192)
    assert (await clawd("restore", str(state_dir / "backup.db"), "--yes")).code == 0
    fresh = ids(home / FILE)
    assert fresh["journal"] >= said + 1_000_000
    assert fresh["outbox"] >= 1_000_000
    assert json.loads((home / "journal.mark").read_text())["highest"] == fresh["journal"]
    assert (await asyncio.to_thread(check_state_dir, home)).findings == ()


async def test_a_backup_of_an_earlier_schema_is_brought_up_to_date_by_the_next_start(
    clawd: Shell, home: Path, state_dir: Path
) -> None:
    old = state_dir / "old.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        db.executescript((MIGRATIONS / "0001_initial.sql").read_text())
        db.execute("PRAGMA user_version = 1")
        db.execute("PRAGMA application_id = 1668052836")
        db.execute("INSERT INTO kv VALUES ('open_turns', 0)")
    assert (await clawd("restore", str(old), "--yes")).code == 0
    opened = await reopened(home)
    assert "restored" in opened.warnings[0]
    assert await opened.store.read("SELECT auto_vacuum FROM pragma_auto_vacuum") == [(2,)]
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, home)).findings == ()


async def test_the_first_restore_on_a_new_host_needs_no_database_to_replace(
    clawd: Shell, home: Path, state_dir: Path, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = await shell("restore", str(state_dir / "backup.db"), "--yes", "--json")
    assert (done.code, done.json["replaced"]) == (0, None)
    assert (await asyncio.to_thread(check_state_dir, tmp_path / "state")).findings == ()
    assert list((tmp_path / "state" / "backups").iterdir()) == []
