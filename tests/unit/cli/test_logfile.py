"""The daemon's log file, read back."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.cli import logfile, logs, start
from clawd.cli.logfile import last_lines, new_lines
from clawd.cli.logfilter import LogFilter, LogLine
from clawd.config.schema import LoggingConfig
from clawd.daemon.serving import announce
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


@pytest.mark.parametrize("level", ["warning", "error"])
def test_what_a_start_says_is_no_trouble_but_a_crash_is(
    log: Path, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = SimpleNamespace(name="main", model="gpt", found="")
    minds = SimpleNamespace(default_route=lambda: ["main"], infos=lambda: [model])
    gateway = SimpleNamespace(url="http://127.0.0.1:1", moved_from=1)  # a port that nobody here can have
    parts: Any = SimpleNamespace(minds=minds, gateway=gateway, socket="/s")
    announce(parts, program="/opt/my clawd/bin/clawd --config x.yaml")
    banner = capsys.readouterr().out
    assert "  gateway: http://127.0.0.1:1 (port 1 is used by another program)\n" in banner
    crash = "error[E-JOURNAL-IO]: the disk failed\nwhere: /s/clawd.db\n"
    log.write_text(line(7, "error") + crash + line(8) + banner)
    assert shown(log, LogFilter(level=level), count=3) == ["e7", *crash.splitlines()]
    assert shown(log, LogFilter(level="info"), count=5) == banner.splitlines()
    assert shown(log, LogFilter(grep=re.compile("ready"))) == ["clawd is ready"]


def test_a_full_disk_behind_its_output_ends_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    minds = SimpleNamespace(default_route=list, infos=list)
    gateway = SimpleNamespace(url=None, moved_from=None)
    parts: Any = SimpleNamespace(minds=minds, gateway=gateway, socket="/s")

    def flush() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stdout", SimpleNamespace(write=len, flush=flush))
    announce(parts, program="clawd")


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


def test_rotations_that_follow_each_other_leave_no_line_out(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_text(line(1))
    position, _ = last_lines(path, ALL, 0)
    for number in range(2, 5):  # three rotations before anybody looks
        for backup in (3, 2, 1):
            older = path.with_name(f"{LOG_FILE}.{backup - 1}") if backup > 1 else path
            if older.exists():
                older.replace(path.with_name(f"{LOG_FILE}.{backup}"))
        path.write_text(line(number))
    follower = new_lines(path, position, ALL)
    assert [next(follower).data["event"] for _ in range(3)] == ["e2", "e3", "e4"]  # type: ignore[index]
    follower.close()  # type: ignore[attr-defined]


def test_a_file_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_text(line(1) + line(2))
    follower = Follower(path)
    os.truncate(path, 0)
    with path.open("a") as file:
        file.write(line(3))
    assert follower.next() == "e3"
    with path.open("a") as file:
        file.write(line(99))
    assert follower.next() == "e99"


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_directory_that_vanishes_is_waited_for(tmp_path: Path, how: str) -> None:
    home = tmp_path / "inner" / "state"
    home.mkdir(parents=True)
    path = home / LOG_FILE
    path.write_text(line(1))
    follower = Follower(path)
    with path.open("a") as file:
        file.write(line(2))
    assert follower.next() == "e2"
    if how == "removed":
        shutil.rmtree(home.parent)
    else:
        home.parent.rename(tmp_path / "elsewhere")
    home.mkdir(parents=True)
    path.write_text(line(3) + line(99))
    assert [follower.next(), follower.next()] == ["e3", "e99"]


# --- filters ---------------------------------------------------------------------------------------------


def event(name: str, level: str = "info", **fields: object) -> str:
    head = {"ts": "2026-01-31T12:00:00.000Z", "level": level, "logger": "clawd", "event": name}
    return json.dumps({**head, **fields}, ensure_ascii=False) + "\n"


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / LOG_FILE
    path.write_text(
        event("accepted", turn="turn:a-1-1", bridge="hook", conversation="hook:x:ü")
        + event("model_attempt", "debug", turn="turn:a-1-1", model="main", error="HTTP 503")
        + event("model_switched", turn="turn:a-1-1", from_model="main", to_model="standby")
        + event("sent", turn="turn:a-1-1", delivery="delivery:a-7")
        + event("other", turn="turn:a-1-10", text="about turn:a-1-1")
        + "no event at all about main\n"
    )
    return path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LogFilter(turn="turn:a-1-1"), ["accepted", "model_attempt", "model_switched", "sent"]),
        (LogFilter(turn="delivery:a-7"), ["sent"]),
        (LogFilter(bridge="hook"), ["accepted"]),
        (LogFilter(conversation="hook:x:ü"), ["accepted"]),
        (LogFilter(model="main"), ["model_attempt", "model_switched"]),
        (LogFilter(model="standby"), ["model_switched"]),
        (LogFilter(event="sent"), ["sent"]),
        (LogFilter(model="main", event="sent"), []),
        (LogFilter(grep=re.compile("503")), ["model_attempt"]),
        (LogFilter(grep=re.compile("to_model=stand")), ["model_switched"]),
        (LogFilter(grep=re.compile("at all")), ["no event at all about main"]),
        (LogFilter(turn="turn:a-1-1", level="info"), ["accepted", "model_switched", "sent"]),
        (LogFilter(event="none"), []),
    ],
)
def test_a_filter_shows_what_has_the_field_and_nothing_that_only_names_it(
    told: Path, wanted: LogFilter, found: list[str]
) -> None:
    assert shown(told, wanted) == found
    assert shown(told, wanted, count=100) == found


def test_until_leaves_out_what_came_later(log: Path) -> None:
    window = LogFilter(since=AT + timedelta(seconds=2), until=AT + timedelta(seconds=5))
    assert shown(log, window) == ["e2", "e3", "e4"]


def test_lines_of_another_order_are_filtered_as_well(tmp_path: Path) -> None:
    """The bytes tell only where a line looks as the daemon writes it."""
    path = tmp_path / LOG_FILE
    late = {"event": "late", "level": "debug", "ts": "2026-01-31T13:00:00+01:00"}
    path.write_text(f"{json.dumps(late)}\n")
    assert shown(path) == ["late"]
    assert shown(path, LogFilter(level="info")) == []
    assert shown(path, LogFilter(since=AT)) == ["late"]
    assert shown(path, LogFilter(until=AT)) == []


@given(
    st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30),
    st.integers(1, 25),
    st.integers(0, 40),
)
def test_lines_are_the_same_read_from_either_end(raws: list[bytes], block: int, count: int) -> None:
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(logfile, "_BLOCK", block)
        path = Path(file.name)
        path.write_bytes(b"".join(raw + b"\n" for raw in raws))
        texts = [raw.decode(errors="replace").rstrip("\r") for raw in raws]
        assert shown(path) == texts
        assert shown(path, count=count) == texts[max(0, len(texts) - count) :]


def test_the_end_of_a_large_file_is_found_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    path.write_bytes(line(1).encode() * 100_000)
    with path.open("rb") as file:
        read = 0

        class Counting:
            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def read(self, size: int) -> bytes:
                nonlocal read
                read += size
                return file.read(size)

        lines = logfile._backwards(Counting(), path.stat().st_size)  # type: ignore[arg-type]
        assert [next(lines) for _ in range(100)] == [line(1).strip().encode()] * 100
    assert read < 200_000


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
