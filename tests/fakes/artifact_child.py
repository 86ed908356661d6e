"""Another process that keeps files: `python -m tests.fakes.artifact_child VERB STATE_DIR`.

put: store one file that nothing names, months ago by its clock.
sweep: remove what nothing names.
The environment sets fault points.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONTENT = b"a planted sapphire"


async def pieces() -> AsyncIterator[bytes]:
    yield CONTENT


async def no_pause() -> None:
    return


async def run(verb: str, state_dir: Path) -> None:
    clock = ManualClock() if verb == "put" else SystemClock()
    opened = await open_journal(state_dir, JournalConfig(), clock)
    if verb == "put":
        await opened.artifacts.put(pieces(), owner="api:shop")
    else:
        await opened.artifacts.sweep(no_pause)
    await opened.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
