"""The daemon's log file, read back."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from clawd.cli import logs, start
from clawd.cli.logfile import LogFilter, LogLine, last_lines, new_lines
from clawd.config.schema import LoggingConfig
from clawd.observability.logging import LOG_FILE

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALL = LogFilter()


def line(number: int, level: str = "info") -> str:
    at = (AT + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"ts": at, "level": level, "logger": "clawd", "event": f"e{number}"}) + "\n"


def shown(path: Path, wanted: LogFilter = ALL, count: int | None = None) -> list[str]:
    return [str((found.data or {}).get("event", found.raw)) for found in last_lines(path, wanted, count)[1]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / LOG_FILE
    path.with_name(f"{LOG_FILE}.2").write_text(line(1) + line(2, "warning"))
    path.with_name(f"{LOG_FILE}.1").write_text(line(3) + line(4, "error"))
    path.write_text(line(5) + "Traceback: torn words\n" + line(6, "warning"))
    return path


def test_lines_of_rotated_files_come_in_the_order_of_time(log: Path) -> None:
    assert shown(log) == ["e1", "e2", "e3", "e4", "e5", "Traceback: torn words", "e6"]


def test_the_last_lines_are_counted_over_rotated_files(log: Path) -> None:
    assert shown(log, count=4) == ["e4", "e5", "Traceback: torn words", "e6"]
    assert shown(log, count=0) == []


def test_a_level_holds_for_it_and_the_higher_ones(log: Path) -> None:
    assert shown(log, LogFilter(level="warning")) == ["e2", "e4", "Traceback: torn words", "e6"]
    assert shown(log, LogFilter(level="error"), count=2) == ["e4", "Traceback: torn words"]


def test_a_time_leaves_out_what_was_before(log: Path) -> None:
    assert shown(log, LogFilter(since=AT + timedelta(seconds=4))) == ["e4", "e5", "e6"]


def test_half_a_line_is_left_for_the_next_look(log: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"ts": ')
    position, found = last_lines(log, ALL, 1)
    assert [each.raw for each in found] == [line(6, "warning").strip()]
    assert position.offset == len(whole)


class Follower:
    """Reads a growing log in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.lines: SimpleQueue[LogLine] = SimpleQueue()
        position, _ = last_lines(path, ALL, 0)
        lines = new_lines(path, position, ALL)
        self._thread = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._thread.start()

    def next(self) -> str:
        found = self.lines.get(timeout=30)
        return str((found.data or {})["event"])

    def _read(self, lines: object) -> None:
        for each in lines:  # type: ignore[attr-defined]
            self.lines.put(each)
            if each.data and each.data["event"] == "e99":
                return


def test_new_lines_are_followed_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_text(line(1))
    follower = Follower(path)
    with path.open("a") as file:
        file.write(line(2)[:20])
        file.flush()
        file.write(line(2)[20:])
        file.flush()
        assert follower.next() == "e2"
        file.write(line(3))
    path.replace(tmp_path / f"{LOG_FILE}.1")
    path.write_text(line(4))
    assert [follower.next(), follower.next()] == ["e3", "e4"]
    with path.open("a") as file:
        file.write(line(99))
    assert follower.next() == "e99"


def test_following_sleeps_until_something_is_written(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_text("")
    follower = Follower(path)
    with path.open("a") as file:
        file.write(line(1))
        file.flush()
        assert follower.next() == "e1"
        thread = follower._thread.native_id
        before = _switches(thread)
        threading.Event().wait(0.3)
        assert _switches(thread) - before <= 1
        file.write(line(99))
    assert follower.next() == "e99"


def _switches(thread: int | None) -> int:
    """How often a thread went to sleep so far: one that polls does it again and again."""
    text = Path(f"/proc/{os.getpid()}/task/{thread}/status").read_text()
    return int(text.split("voluntary_ctxt_switches:")[1].split()[0])


def test_the_log_has_the_name_that_the_daemon_gives_it() -> None:
    assert logs.LOG_NAME == start.LOG_NAME == LOG_FILE
    assert LoggingConfig().file
