"""What `clawd start --detach` tells of a daemon that has started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clawd.cli.launching import Launch, Places
from clawd.cli.start import warnings_since
from clawd.errors import JournalError


def line(event: str, warning: str) -> str:
    return json.dumps({"level": "warning", "event": event, "warning": warning}) + "\n"


def test_what_a_start_warns_of_is_found_behind_what_an_earlier_one_said(tmp_path: Path) -> None:
    log = tmp_path / "clawd.log"
    log.write_text(line("start_warning", "of an earlier start"))
    begin = log.stat().st_size
    with log.open("a") as file:
        file.write(
            "journal_cut\n" + line("other", "no") + "[1]\n" + line("start_warning", "an end\x1b is missing")
        )
    assert list(warnings_since(log, begin)) == ["an end\\x1b is missing"]
    assert list(warnings_since(tmp_path / "missing", 0)) == []


def test_state_directory_that_can_not_be_made_is_told_like_the_daemon_tells_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = Places(None, tmp_path / "clawd.sock", tmp_path / "file" / "state" / "clawd.log")
    with pytest.raises(JournalError, match="the state directory can't be used") as raised:
        Launch.begin(places, {})
    assert (raised.value.where, raised.value.why) == (str(tmp_path / "file/state"), "Not a directory")
    assert (raised.value.exit_code, bool(raised.value.remedy)) == (74, True)
