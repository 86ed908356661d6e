"""The real daemon is killed around the row that keeps its breakers: no message is lost, and a kept state holds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.crash.stage import free_port, stage
from tests.crash.test_points import both
from tests.fakes.shell import Shell

KILLS_AT: Final = frozenset(both("breaker"))


@pytest.mark.timeout(300)
async def test_a_kept_breaker_holds_after_a_restart_and_a_lost_one_is_found_out_again(
    state_dir: Path,
) -> None:
    models = [
        {"name": "dead", "type": "chat", "base_url": f"http://127.0.0.1:{free_port()}/v1"},
        {"name": "main", "type": "chat", "base_url": "${MODEL_URL}", "model": "fake-1"},
    ]
    async with stage(state_dir, telegram=False, models=models) as here:
        for point in both("breaker"):
            await here.start(f"{point}:1:kill")
            here.post("order", here.wish())
            await here.killed(point)
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        listed = await Shell(state_dir)("models", "list", "--json")
        dead = listed.json["models"][0]
        assert (dead["breaker"]["state"], dead["calls"]) == ("rest", 0), "known from before the kill"
