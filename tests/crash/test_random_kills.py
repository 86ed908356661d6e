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

    from tests.crash.stage import Stage

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
        kills = LONG_KILLS
        while not (done := _done(here)) and kills < 3 * LONG_KILLS:
            await killer.kills(1)  # how far a life of half a second gets is up to the machine
            kills += 1
        lives = _lives(here)
        await killer.come_to_rest()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.kills == kills
        await here.check_books()
        assert done, "some turns came to their end between the kills"
        assert min(len(lives[word]) for word in done) > 1, "and no process did one alone"


def _lives(here: Stage) -> dict[str, set[int]]:
    """Return for each message the processes in which a model was asked about it."""
    lives: dict[str, set[int]] = {}
    for event in here.notebook.events:
        if isinstance(event, Asked):
            lives.setdefault(event.word, set()).add(event.life)
    return lives


def _done(here: Stage) -> set[str]:
    """Return the messages that a model was asked about, and that are answered."""
    return _lives(here).keys() - set(here.judge().lost)
