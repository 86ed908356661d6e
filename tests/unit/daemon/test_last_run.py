"""What a start knows of how the run before it ended."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clawd.daemon.last_run import FILE, RunNote, last_written
from clawd.testing import ManualClock

if TYPE_CHECKING:
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


@pytest.mark.parametrize("kind", ["killed", "broke"])
def test_a_run_without_a_stop_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    clock = ManualClock()
    began = clock.now()
    if kind == "killed":
        RunNote(tmp_path, clock, seen=None).__enter__()
    else:
        with pytest.raises(RuntimeError), RunNote(tmp_path, clock, seen=None):
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


def test_a_note_that_can_not_be_written_holds_up_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunNote(tmp_path / "gone", ManualClock(), seen=None) as note:
        assert note.last_end is None
    assert {line.getMessage() for line in caplog.records} == {"run_not_noted"}
