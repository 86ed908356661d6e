"""What is remembered is the user's alone, and losing it costs nothing."""

from __future__ import annotations

import stat
from pathlib import Path

from clawd.cli.chat.memory import Memory

SOCKETS = ["/run/a.sock"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    memory = Memory.open({"CLAWD_HOME": str(tmp_path)})
    history = memory.history_file()
    assert history is not None
    history.chmod(0o644)
    assert memory.history_file() == history
    memory.read_up_to("c1", SOCKETS, "default")
    directory = tmp_path / "state" / "chat"
    assert mode(directory) == 0o700
    assert {mode(path) for path in directory.iterdir()} == {0o600}


def test_each_conversation_of_each_daemon_has_its_own_place(tmp_path: Path) -> None:
    memory = Memory.open({"CLAWD_HOME": str(tmp_path)})
    memory.read_up_to("1", SOCKETS, "default")
    memory.read_up_to("2", SOCKETS, "work")
    memory.read_up_to("3", ["/run/b.sock"], "default")
    again = Memory.open({"CLAWD_HOME": str(tmp_path)})
    assert [again.cursor(SOCKETS, "default"), again.cursor(SOCKETS, "work")] == ["1", "2"]
    assert again.cursor(["/run/b.sock"], "default") == "3"
    assert again.cursor(["/run/b.sock"], "work") == ""


def test_a_directory_that_can_not_be_used_costs_the_memory_only(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file is in the way")
    memory = Memory.open({"CLAWD_HOME": str(tmp_path)})
    assert memory.why_not
    assert memory.history_file() is None
    memory.read_up_to("1", SOCKETS, "default")
    assert memory.cursor(SOCKETS, "default") == ""


def test_a_damaged_place_counts_as_none(tmp_path: Path) -> None:
    memory = Memory.open({"CLAWD_HOME": str(tmp_path)})
    memory.read_up_to("1", SOCKETS, "default")
    [file] = (tmp_path / "state" / "chat").iterdir()
    file.write_bytes(b"\xff\xfe")
    assert memory.cursor(SOCKETS, "default") == ""
