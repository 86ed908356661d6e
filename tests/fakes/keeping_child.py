"""Another process that keeps a journal: `python -m tests.fakes.keeping_child VERB STATE_DIR [DAYS]`.

fill: make a rich journal with the planted words and end without an orderly close.
delete: remove the conversation of chat 1, and wipe the files.
forget: remove what is older than DAYS days.
The environment sets fault points.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.testing import ManualClock
from tests.conformance.journals import address
from tests.fakes.rich_journal import bench_of, fill

QUESTION = "where did grandmother hide the sapphire necklace 祖母的蓝宝石项链藏在哪里"
ANSWER = "under the third floorboard of the attic 在阁楼第三块地板下面"
RESULT = "floorplan measured twice 平面图量了两次"
WORDS = (
    "grandmother",
    "sapphire",
    "necklace",
    "floorboard",
    "floorplan",
    "祖母的蓝宝石",
    "阁楼第三块地板",
    "平面图量",
)
PLANTED = tuple(word.encode() for word in WORDS)
"""What must be nowhere afterwards: words of the question, the answer and the tool's result, in both languages."""


def showing(state_dir: Path) -> set[str]:
    """Return the files below a directory that hold something planted."""
    return {
        str(path.relative_to(state_dir))
        for path in state_dir.rglob("*")
        if path.is_file() and any(part in path.read_bytes() for part in PLANTED)
    }


async def run(verb: str, state_dir: Path, days: int) -> None:
    clock = ManualClock() if verb == "fill" else SystemClock()
    config = JournalConfig(keep_days=days or None)
    opened = await open_journal(state_dir, config, clock)
    if verb == "fill":
        await fill(bench_of(opened), question=QUESTION, answer=ANSWER, result=RESULT, open_turn=False)
        os._exit(0)  # no close: the write-ahead log stays as it is
    if verb == "delete":
        await opened.journal.recover(())
        await opened.admin.delete(address("1"))
        await opened.keeping.scrub_if_wanted()
    if verb == "forget":
        await opened.keeping.forget(lambda: asyncio.sleep(0))
    await opened.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
