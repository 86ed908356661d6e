"""The endurance run in short, with a real daemon: that it finds a leak, and that it finds none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.plugin import LEAK
from tests.soak.run import Plan, run
from tests.soak.samples import Limits

# Caches that fill cost more than a leak may: what a short run can tell is whether each turn keeps something.
SHORT = Limits(rss_mb=80.0)


@pytest.mark.timeout(120)
async def test_a_leak_of_memory_descriptors_and_tasks_is_found_and_every_message_is_answered_once(
    state_dir: Path,
) -> None:
    plan = Plan(turns=180, conversations=40, people=20, every_s=0.1, rest_s=0.5, limits=SHORT)
    told: list[str] = []
    result = await run(state_dir, plan, told.append, environ={LEAK: "1"})
    assert result.broken.keys() >= {"rss", "descriptors", "tasks"}, result.table()
    assert not result.broken.keys() & {"lost", "twice", "strange", "tools", "left"}, result.table()
    assert result.samples[-1].turns == plan.turns
    assert told
    assert "BROKEN descriptors" in result.table()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_thousand_turns_are_answered_once_and_leave_nothing(state_dir: Path) -> None:
    plan = Plan(turns=2000, conversations=200, every_s=0.5, rest_s=40.0, limits=SHORT)
    result = await run(state_dir, plan, lambda _: None)
    assert result.broken == {}, result.table()
