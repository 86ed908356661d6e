"""A process that dies while it stores or removes a file: no row without its file, and leftovers are swept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.checking import check_state_dir
from clawd.journal.opening import open_journal
from tests.fakes.artifact_child import CONTENT
from tests.fakes.forked import fork_child

if TYPE_CHECKING:
    from pathlib import Path


async def child(verb: str, state_dir: Path, fault: str = "") -> int:
    process = await fork_child("tests.fakes.artifact_child", verb, str(state_dir), CLAWD_FAULT=fault)
    await process.stdout.read()
    return await process.wait()


async def no_pause() -> None:
    return


async def kept(state_dir: Path) -> tuple[int, list[bytes]]:
    """Return how many rows there are, and the contents of all files."""
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    ((rows,),) = await opened.store.read("SELECT count(*) FROM artifact")
    await opened.close()
    paths = [p for p in (state_dir / "artifacts").rglob("*") if p.is_file()]
    return rows, [path.read_bytes() for path in paths]


async def swept(state_dir: Path) -> None:
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    await opened.artifacts.sweep(no_pause)
    await opened.close()


@pytest.mark.parametrize(
    ("point", "rows"),
    [
        ("artifact.before:rename", 0),
        ("artifact.after:rename", 0),
        ("journal.before_commit:artifact", 0),
        ("journal.after_commit:artifact", 1),
    ],
)
async def test_a_kill_while_a_file_is_stored_leaves_no_row_without_it(
    state_dir: Path, point: str, rows: int
) -> None:
    assert await child("put", state_dir, f"{point}:1:kill") == -9
    assert await kept(state_dir) == (rows, [CONTENT])
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    await swept(state_dir)
    assert await kept(state_dir) == (0, [])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_while_a_file_is_removed_leaves_no_row_without_it(state_dir: Path, moment: str) -> None:
    assert await child("put", state_dir) == 0
    assert await child("sweep", state_dir, f"journal.{moment}_commit:artifact.forget:1:kill") == -9
    assert await kept(state_dir) == (int(moment == "before"), [CONTENT])
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    await swept(state_dir)
    assert await kept(state_dir) == (0, [])
