"""A daemon that takes over an older version's unfinished work, and dies while it changes the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from clawd.store.schema import MIGRATIONS
from tests.crash import old_schema
from tests.crash.stage import stage
from tests.crash.test_points import both

if TYPE_CHECKING:
    from pathlib import Path

KILLS_AT: Final = frozenset(both("migration"))
NEWEST: Final = max(int(path.name.split("_")[0]) for path in MIGRATIONS.glob("[0-9]*.sql"))


@pytest.mark.timeout(300)
async def test_work_of_an_older_version_goes_on_although_the_migration_dies(state_dir: Path) -> None:
    database = state_dir / "state" / "clawd.db"
    old_schema.build(database)
    async with stage(state_dir, telegram=False) as here:
        here.goes_on_after(old_schema.seen(), words=old_schema.WORDS, tokens=old_schema.TOKENS)
        for point, schema in zip(both("migration"), (1, NEWEST), strict=True):
            await here.start(f"{point}:1:kill")
            await here.killed(point)
            assert old_schema.version(database) == schema, "all of it or nothing"
        await here.start()
        here.post("order-1", here.wish("once"))
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert (verdict.messages, verdict.kills) == (4, 3)
        assert (verdict.unknown, verdict.asked_again) == (1, 0), "no step that was committed is made again"


@pytest.mark.timeout(300)
async def test_a_first_start_that_dies_leaves_nothing_that_a_second_one_stumbles_over(
    state_dir: Path,
) -> None:
    async with stage(state_dir, telegram=False) as here:
        for point in both("migration"):
            await here.start(f"{point}:1:kill")
            await here.killed(point)
        await here.start()
        here.post("order-1", here.wish())
        await here.all_answered()
        assert not here.judge().broken
