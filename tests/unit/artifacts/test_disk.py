"""The folder of the files, without a database."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from clawd.artifacts.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path


class SlowFile:
    """A file on a disk that takes its time."""

    def __init__(self) -> None:
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.done: list[str] = []

    def write(self, piece: memoryview) -> int:
        self.began.set()
        assert self.goes_on.wait(20)
        self.done.append("written")
        return len(piece)

    def close(self) -> None:
        self.done.append("closed")


def test_a_draft_that_nobody_waits_for_any_more_is_not_closed_in_the_middle_of_a_write(
    tmp_path: Path,
) -> None:
    draft = Disk(tmp_path / "artifacts").draft()
    draft.drop()
    slow = SlowFile()
    draft._file = slow  # type: ignore[assignment]
    writes = threading.Thread(target=draft.write, args=(b"piece",))
    drops = threading.Thread(target=draft.drop)
    writes.start()
    assert slow.began.wait(20)
    drops.start()
    drops.join(0.02)
    slow.goes_on.set()
    writes.join(20)
    drops.join(20)
    assert slow.done == ["written", "closed"]
