"""What alerts look at, where it needs no daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawd.daemon.vitals import Room, used_share
from clawd.observability.counts import Counts


def test_the_used_share_is_of_what_everybody_may_use() -> None:
    def stat(_: Path) -> os.statvfs_result:
        # Blocks: 1000, of which 300 are free and 200 of these are open to everybody.
        return os.statvfs_result((4096, 4096, 1000, 300, 200, 0, 0, 0, 0, 255))

    assert used_share(Path("/somewhere"), stat) == pytest.approx(700 / 900)


def test_a_folder_that_is_gone_has_no_share(tmp_path: Path) -> None:
    assert used_share(tmp_path / "gone") is None
    assert 0 <= (used_share(tmp_path) or 0) <= 1


def test_room_is_gone_from_a_commit_that_found_none_until_one_goes_well() -> None:
    counts, pause = Counts(), ""
    room = Room(counts, lambda: pause)
    assert not room.is_gone()
    counts.journal_errors.add("locked")
    pause = "database is locked"
    assert not room.is_gone()
    counts.journal_errors.add("full")
    pause = "database or disk is full"
    assert [room.is_gone(), room.is_gone()] == [True, True]  # also while nothing is tried
    pause = ""
    assert not room.is_gone()
    pause = "database is locked"
    assert not room.is_gone()
