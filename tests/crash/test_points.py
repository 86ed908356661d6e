"""The real daemon is killed at every fault point of a message's way; the fakes say what came of it.

Each kill is followed by a start that is killed at the next point, so every start but the first is also a
recovery that dies; the last one is left alone and has to bring everything to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.crash.stage import stage

DOORS: Final = ("accept", "claim", "turn.finished", "outbox.take", "outbox.mark")
STEPS: Final = ("llm.intent", "llm.result", "tool.intent", "tool.result")
RECOVERY: Final = ("recover", "claim", "llm.result", "outbox.take")


def both(*kinds: str) -> tuple[str, ...]:
    """Return the points of these commits, before and after."""
    return tuple(f"journal.{moment}_commit:{kind}" for kind in kinds for moment in ("before", "after"))


KILLS_AT: Final = frozenset(both(*DOORS, *STEPS, "recover", "release"))


@pytest.mark.timeout(120)
async def test_nothing_is_lost_or_doubled_whichever_commit_of_a_message_dies(state_dir: Path) -> None:
    async with stage(state_dir) as here:
        for number, point in enumerate(both(*DOORS)):
            await here.start(f"{point}:1:kill")
            here.write(11, here.wish())
            here.write(11, here.wish())
            here.write(12 + number, here.wish())
            here.post("order-1", here.wish())
            assert await here.died() == -9, point
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, here.daemon.tail()
        assert verdict.kills == len(both(*DOORS))


@pytest.mark.timeout(120)
async def test_no_step_is_paid_for_or_acts_twice_whichever_commit_of_it_dies(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        for number, point in enumerate(both(*STEPS)):
            await here.start(f"{point}:1:kill")
            here.post(f"order-{number}", here.wish("once", "keyed+idempotent", "once+pure"))
            here.post("line", here.wish("once"))
            assert await here.died() == -9, point
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, here.daemon.tail()
        assert (verdict.kills, verdict.same_id, verdict.marked) == (len(both(*STEPS)), 0, 0)
