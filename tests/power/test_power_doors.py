"""The real daemon under a recorder: no word to the outside is ahead of the disk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.power import strace
from tests.power.disk import Disk
from tests.power.knocking import Visit
from tests.power.order import violations

WORDS = 32
"""Four messages each: 202 and answer; 202 and callback; the terminal's id; offset, question to the model, reply."""

pytestmark = pytest.mark.skipif(not strace.AVAILABLE, reason="strace is not installed")


@pytest.mark.timeout(300)
async def test_no_door_acknowledges_and_no_reply_leaves_before_its_commit_is_on_the_disk(
    state_dir: Path,
) -> None:
    run = await Visit(state_dir).run()
    assert len(run.promises) == WORDS

    assert violations(run.calls, run.promises) == []

    disk, dice = Disk(state_dir), random.Random(1)
    said = [c.began for c in run.calls if c.leaves and any(p.said.search(c.data) for p in run.promises)]
    moments = sum(1 for _ in disk.run(run.calls, said) if _named(disk.after_cut("nothing", dice)))
    assert moments == len(said), "the files themselves have names on the disk by then"


@pytest.mark.timeout(300)
async def test_without_a_sync_at_each_commit_every_word_is_ahead_of_the_disk(state_dir: Path) -> None:
    run = await Visit(state_dir).run("normal")
    found = violations(run.calls, run.promises)
    assert len(found) == len(run.promises) == WORDS
    assert all("said at" in sentence for sentence in found), found


def _named(files: object) -> bool:
    assert isinstance(files, dict)
    return {"state/clawd.db", "state/clawd.db-wal", "state/journal.mark"} <= set(files)
