"""`clawd doctor --fix`: it mends what is safe, keeps what it replaced, and finds nothing the second time."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clawd.cli.checks import files
from clawd.cli.checks.site import Site
from clawd.cli.mending.planning import plan
from clawd.cli.mending.repair import Keepsakes
from clawd.cli.units import units
from clawd.journal.opening import highest
from clawd.store.lock import StateLock
from clawd.store.mark import Mark
from clawd.store.opening import open_database
from tests.fakes.doctor_site import HEALTHY, MakeSite, make

__all__ = ["make"]  # the fixture


def mend(site: Site, **options: int) -> list[str]:
    """Do all that is planned; return the sentences. Nothing may be left to do."""
    repairs = plan(site, **options)
    kept = Keepsakes(site.state_dir, site.host.now())
    for repair in repairs:
        repair.do(kept)
    assert plan(site, **options) == [], "a second run finds something to do"
    return [repair.what for repair in repairs]


def undo(site: Site) -> None:
    (script,) = (site.state_dir / "backups").glob("doctor-*/undo.sh")
    subprocess.run(["/bin/sh", str(script)], check=True)


def stale_socket(site: Site) -> Path:
    path = site.state_dir / "clawd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
    path.chmod(0o600)
    return path


def test_a_healthy_installation_has_nothing_to_mend(make: MakeSite) -> None:
    site = make()
    assert mend(site) == []
    assert list(site.state_dir.iterdir()) == [site.state_dir / "lock"]


def test_permissions_are_put_right_and_can_be_put_back(make: MakeSite) -> None:
    site = make()
    database, folder = site.state_dir / "clawd.db", site.state_dir / "files"
    database.touch(mode=0o644)
    folder.mkdir(mode=0o755)
    (site.state_dir / "workspace").mkdir(mode=0o755)
    site.state_dir.chmod(0o777)
    assert site.config_path is not None
    site.config_path.chmod(0o666)
    assert len(mend(site)) == 4
    modes = [path.stat().st_mode & 0o777 for path in (database, folder, site.state_dir, site.config_path)]
    assert modes == [0o600, 0o700, 0o700, 0o644]
    assert [finding.status for finding in files.check_permissions(site)] == ["ok"]
    undo(site)
    assert database.stat().st_mode & 0o777 == 0o644


def test_a_configuration_that_holds_a_secret_is_made_private(make: MakeSite, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abcdefghijk\n")
    (tmp_path / "token").chmod(0o644)
    site = make(
        f"{HEALTHY}bridges: {{a: {{type: wecom, bot_id: aibabc, secret: {{file: {tmp_path}/token}}}}}}\n"
    )
    assert site.config_error is None
    assert mend(site) == [f"chmod 600 {tmp_path}/token (it is 644)"]


def test_a_socket_that_a_dead_daemon_left_is_removed(make: MakeSite) -> None:
    site = make()
    path = stale_socket(site)
    assert mend(site) == [f"rm {path}, left from a daemon that died"]
    assert not path.exists()


def test_a_socket_that_answers_is_left_alone(make: MakeSite) -> None:
    site = make()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(site.state_dir / "clawd.sock"))
        server.listen()
        assert mend(site) == []


def test_nothing_but_permissions_is_touched_while_a_daemon_runs(make: MakeSite) -> None:
    site = make()
    path = stale_socket(site)
    (site.state_dir / "journal.mark.new").touch(mode=0o600)
    (site.state_dir / "clawd.db").touch(mode=0o644)
    lock = StateLock.take(site.state_dir)
    try:
        assert mend(site) == [f"chmod 600 {site.state_dir}/clawd.db (it is 644)"]
    finally:
        lock.release()
    assert path.exists()
    assert (site.state_dir / "journal.mark.new").exists()


def test_a_daemon_that_started_since_the_plan_is_not_disturbed(make: MakeSite) -> None:
    site = make()
    path = stale_socket(site)
    (repair,) = plan(site)
    lock = StateLock.take(site.state_dir)
    try:
        with pytest.raises(Exception, match="daemon"):
            repair.do(Keepsakes(site.state_dir, site.host.now()))
    finally:
        lock.release()
    assert path.exists()


def test_what_nobody_finished_is_put_away_and_can_be_put_back(make: MakeSite) -> None:
    site = make()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = site.state_dir / "chat" / f"cursor-{'0' * 20}.{os.getpid()}"
    left = [
        site.state_dir / "journal.new",
        site.state_dir / "gateway.new",
        site.state_dir / "backups" / "a.db.partial",
        site.state_dir / "chat" / f"cursor-{'0' * 20}.{ended.pid}",
    ]
    for path in (*left, own, site.state_dir / "backups" / "a.db"):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(path.name)
        path.chmod(0o600)
    assert len(mend(site)) == len(left)
    assert not any(path.exists() for path in left)
    assert own.exists()
    undo(site)
    assert [path.read_text() for path in left] == [path.name for path in left]


def test_a_unit_that_was_changed_is_written_anew_with_its_own_configuration(
    make: MakeSite, tmp_path: Path
) -> None:
    site = make()
    command, config = Path(sys.executable).parent / "clawd", str(site.config_path)
    unit = units("user", command=command, config=config, environ=site.environ, root=tmp_path / "root").unit
    unit.path.parent.mkdir(parents=True)
    unit.path.write_text(f"{unit.text}MemoryMax=1G\n")
    assert [what.partition(" as ")[0] for what in mend(site)] == [f"write {unit.path}"]
    assert unit.path.read_text() == unit.text
    assert unit.path.with_name("clawd.service.old").read_text().endswith("MemoryMax=1G\n")


def test_a_folder_that_the_shell_tool_needs_is_made(make: MakeSite, tmp_path: Path) -> None:
    site = make(f"{HEALTHY}tools: {{shell: {{enabled: true, workdir: {tmp_path}/a/b}}}}\n")
    assert mend(site) == [f"mkdir -p {tmp_path}/a/b"]


def test_a_write_ahead_log_without_end_is_put_into_the_database(make: MakeSite) -> None:
    site = make()
    opened = open_database(site.state_dir, highest, lock_timeout_s=1)
    path = site.state_dir / "clawd.db"
    opened.db.execute("INSERT INTO kv (key, value) VALUES ('a', 'b')")
    wal = path.with_name("clawd.db-wal")
    copies = {name: name.read_bytes() for name in (path, wal)}
    opened.db.close()
    opened.lock.release()
    for name, content in copies.items():  # as a kill leaves them
        name.write_bytes(content)
        name.chmod(0o600)
    assert plan(site) == []
    mark = Mark(site.state_dir)
    before = mark.read()
    mark.write(99)
    assert plan(site, most_wal_bytes=1000) == [], "what lost its end is not touched"
    mark.write(before or 0)
    (what,) = mend(site, most_wal_bytes=1000)
    assert what.endswith("after a backup")
    (backup,) = (site.state_dir / "backups").glob("doctor-*/clawd.db")
    for file in (path, backup):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            assert db.execute("SELECT value FROM kv WHERE key = 'a'").fetchone() == ("b",)


def test_without_room_for_a_backup_the_log_is_left_alone(make: MakeSite) -> None:
    site = make(disk=lambda _: (1 << 30, 10))
    open_database(site.state_dir, highest, lock_timeout_s=1).lock.release()
    assert plan(site, most_wal_bytes=-1) == []
