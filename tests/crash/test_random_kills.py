"""Thirty kills at random, by time and at fault points, in two shapes of load; `make soak-kills` has a thousand."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.crash.events import Asked
from tests.crash.killing import LONG, SHORT, Killer
from tests.crash.stage import stage

if TYPE_CHECKING:
    from pathlib import Path

SHORT_KILLS: Final = 8
LONG_KILLS: Final = 22  # without Telegram, whose start costs another 0.6 s of CPU time
SEED: Final = 20261125


@pytest.mark.timeout(300)
async def test_short_turns_survive_a_series_of_kills(state_dir: Path) -> None:
    async with stage(state_dir) as here:
        await Killer(here, SHORT, random.Random(SEED)).series(SHORT_KILLS)
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.kills == SHORT_KILLS
        assert verdict.messages > SHORT_KILLS, "the load came through"
        await here.check_books()


@pytest.mark.timeout(300)
async def test_turns_that_no_process_lives_to_finish_get_on_by_their_committed_steps(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        killer = Killer(here, LONG, random.Random(SEED), telegram=False)
        await killer.kills(LONG_KILLS)
        finished = here.judge()
        lives = {e.word: set[int]() for e in here.notebook.events if isinstance(e, Asked)}
        for event in here.notebook.events:
            if isinstance(event, Asked):
                lives[event.word].add(event.life)
        await killer.come_to_rest()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.kills == LONG_KILLS
        await here.check_books()
        done = lives.keys() - set(finished.lost)
        assert done, "some turns came to their end between the kills"
        assert min(len(lives[word]) for word in done) > 1, "and no process did one alone"
