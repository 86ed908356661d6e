"""Broken saves of the configuration, one after the other, under a daemon that goes on with the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.world import World, world
from tests.faults.house import events


async def shown(here: World, holds: Callable[[str], bool]) -> None:
    """Return once the status shows such an error; empty when the file is good."""
    status: dict[str, Any] = await here.control("status")
    while not holds(status["config_error"] or ""):
        await asyncio.sleep(0.02)
        status = await here.control("status")


@pytest.mark.timeout(300)
async def test_each_broken_save_is_told_once_and_the_old_configuration_answers_on(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        good = here.config_path.read_text(encoding="utf-8")
        broken = {
            "config.yaml:": good[: len(good) // 2] + "\n  - [",  # as an editor that saves in pieces
            "whole number": good.replace("max_attempts: 200", "max_attempts: many"),
            "nobody": f"{good}routes:\n  default:\n    models: [nobody]\n",
            "no-such-secret": good.replace("model: fake-1", "api_key: {file: no-such-secret}"),
        }
        for n, (words, text) in enumerate(broken.items()):
            assert text != good
            here.config_path.write_text(text, encoding="utf-8")
            await shown(here, lambda error, words=words: words in error)  # type: ignore[misc] # bound now
            here.say(11, f"a-{n}")
            await here.all_answered()
            assert len(events(here, "config_refused")) == n + 1, "it is told once"
        fresh = here.config_path.with_suffix(".new")
        fresh.write_text(good, encoding="utf-8")
        fresh.rename(here.config_path)
        await shown(here, lambda error: not error)
        here.say(11, "the last")
        await here.all_answered()
        assert not here.judge().broken
        assert await here.stop() == 0
