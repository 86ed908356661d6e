"""What a start knows of how the run before it ended."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clawd.daemon.last_run import FILE, RunNote, last_written
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


def later(clock: ManualClock) -> ManualClock:
    """Return one that stands a minute further."""
    return ManualClock(clock.now() + timedelta(minutes=1))


def test_the_first_run_knows_of_none_before(tmp_path: Path) -> None:
    assert RunNote(tmp_path, ManualClock(), seen=last_written(tmp_path)).last_end is None


def test_a_run_that_stopped_is_told_as_clean(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with RunNote(tmp_path, clock, seen=None):
        pass
    with RunNote(tmp_path, later(clock), seen=None) as note:
        assert note.last_end is not None
        assert (note.last_end.how, note.last_end.at) == ("clean", clock.now())
    assert not caplog.records


def test_a_stop_that_can_not_be_noted_is_no_crash(tmp_path: Path) -> None:
    clock = ManualClock()
    with RunNote(tmp_path, clock, seen=None) as note:
        note.ready()
        (tmp_path / f"{FILE}.new").mkdir()  # stands for a full disk
    assert RunNote(tmp_path, later(clock), seen=clock.now()).last_end is None


@pytest.mark.parametrize("kind", ["killed", "broke"])
def test_a_run_without_a_stop_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    clock = ManualClock()
    began = clock.now()
    if kind == "killed":
        RunNote(tmp_path, clock, seen=None).__enter__()
    else:
        run = RunNote(tmp_path, clock, seen=None)
        run.ready()
        with pytest.raises(RuntimeError), run:
            raise RuntimeError
    seen = began + timedelta(seconds=30)
    with caplog.at_level(logging.WARNING), RunNote(tmp_path, later(clock), seen=seen) as note:
        last = note.last_end
    assert last is not None
    assert (last.how, last.at, last.pid, last.started_at) == ("crash", seen, os.getpid(), began)
    (line,) = caplog.records
    assert line.getMessage() == "ended_without_stop"
    assert line.__dict__["last_seen"] == seen
    after = RunNote(tmp_path, clock, seen=None).last_end
    assert after is not None
    assert after.how == "clean"


@pytest.mark.parametrize("text", ["", "\0\0\0", "[]", '{"pid": "x", "ended_at": 5}', "\ud800"])
def test_a_note_that_the_power_cut_spoiled_tells_of_an_end_without_a_stop(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode(errors="surrogatepass"))
    last = RunNote(tmp_path, ManualClock(), seen=None).last_end
    assert last is not None
    assert (last.how, last.pid, last.started_at) == ("crash", 0, None)


def test_restarts_of_the_last_day_are_remembered_with_what_is_known_of_a_crash(tmp_path: Path) -> None:
    clock = ManualClock()
    began = clock.now()
    with RunNote(tmp_path, clock, seen=None) as first:
        assert first.restarts == []
    RunNote(tmp_path, clock, seen=None).__enter__()  # behind a stop, and killed itself
    clock = ManualClock(began + timedelta(minutes=1))
    with RunNote(tmp_path, clock, seen=began) as third:
        stopped, killed = third.restarts
    assert (stopped.crash, killed.crash) == (False, True)
    assert killed.at - stopped.at == 60
    assert killed.at == clock.monotonic()
    assert killed.detail == f"pid {os.getpid()}, {began:%Y-%m-%d %H:%M:%S} UTC"
    set_back = ManualClock(began - timedelta(days=3))
    assert {each.at for each in RunNote(tmp_path, set_back, seen=None).restarts} == {set_back.monotonic()}
    tomorrow = ManualClock(began + timedelta(days=1, seconds=30))
    assert [each.crash for each in RunNote(tmp_path, tomorrow, seen=None).restarts] == [True, False]


def test_a_run_for_one_terminal_is_no_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with RunNote(tmp_path, ManualClock(), seen=None, counts=False) as note:
            assert note.restarts == []


@pytest.mark.parametrize("kind", ["failed start", "killed chat", "chat"])
def test_what_never_came_to_be_a_run_hides_no_crash_and_is_none(tmp_path: Path, kind: str) -> None:
    clock = ManualClock()
    began = clock.now()
    RunNote(tmp_path, clock, seen=None).__enter__()  # and killed
    for minutes in (1, 2):
        nothing(tmp_path, kind, seen=began + timedelta(minutes=minutes))
    with RunNote(tmp_path, later(clock), seen=began + timedelta(minutes=5)) as note:
        last = note.last_end
        (restart,) = note.restarts
    assert last is not None
    assert (last.how, last.started_at, last.at) == ("crash", began, began + timedelta(minutes=1))
    assert restart.crash
    nothing(tmp_path, kind, seen=None)
    with RunNote(tmp_path, later(later(clock)), seen=None) as note:
        assert note.last_end is not None
        assert (note.last_end.how, [each.crash for each in note.restarts]) == ("clean", [True, False])


@pytest.mark.parametrize("kind", ["failed start", "killed chat", "chat"])
def test_what_never_came_to_be_a_run_is_not_the_first(tmp_path: Path, kind: str) -> None:
    nothing(tmp_path, kind, seen=None)
    assert RunNote(tmp_path, ManualClock(), seen=None).last_end is None


def nothing(folder: Path, kind: str, *, seen: datetime | None) -> None:
    """Let something open the state directory that is no run of a daemon."""
    note = RunNote(folder, ManualClock(), seen=seen, counts=kind == "failed start")
    if kind == "killed chat":
        note.__enter__()
        return
    with suppress(RuntimeError), note:
        if kind == "failed start":
            raise RuntimeError


def test_only_so_many_restarts_are_remembered(tmp_path: Path) -> None:
    for _ in range(103):
        RunNote(tmp_path, ManualClock(), seen=None).__enter__()
    assert len(RunNote(tmp_path, ManualClock(), seen=None).restarts) == 100


@pytest.mark.parametrize("restarts", [5, [5], [{}], [{"at": 5}], [{"at": "2026-01-01T00:00:00"}]])
def test_restarts_that_can_not_be_read_are_none(tmp_path: Path, restarts: Any) -> None:
    clock = ManualClock()
    note = {"pid": 1, "ended_at": clock.now().isoformat(), "restarts": restarts}
    (tmp_path / FILE).write_text(json.dumps(note), encoding="utf-8")
    assert [each.crash for each in RunNote(tmp_path, clock, seen=None).restarts] == [False]


def test_a_note_that_can_not_be_written_holds_up_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunNote(tmp_path / "gone", ManualClock(), seen=None) as note:
        assert note.last_end is None
    assert {line.getMessage() for line in caplog.records} == {"run_not_noted"}
