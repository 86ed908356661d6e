"""What alerts look at, where it needs no daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawd.daemon.vitals import used_share


def test_the_used_share_is_of_what_everybody_may_use() -> None:
    def stat(_: Path) -> os.statvfs_result:
        # Blocks: 1000, of which 300 are free and 200 of these are open to everybody.
        return os.statvfs_result((4096, 4096, 1000, 300, 200, 0, 0, 0, 0, 255))

    assert used_share(Path("/somewhere"), stat) == pytest.approx(700 / 900)


def test_a_folder_that_is_gone_has_no_share(tmp_path: Path) -> None:
    assert used_share(tmp_path / "gone") is None
    assert 0 <= (used_share(tmp_path) or 0) <= 1
