"""People join in, and the daemon dies: a question and its answer, a message that steers, a retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from clawd.texts import say
from tests.crash.events import Acted, Asked
from tests.crash.stage import stage
from tests.crash.test_points import both

if TYPE_CHECKING:
    from pathlib import Path

KILLS_AT: Final = frozenset(both("turn.waiting", "turn.resumed", "turn.merged", "session.undone"))

_QUESTION: Final = say("ask_approval", tool="note_asked")


def is_talk(text: str) -> bool:
    """Whether the daemon itself speaks about an approval."""
    return text.startswith(_QUESTION) or text == say("approved")


@pytest.mark.timeout(300)
async def test_a_question_and_its_answer_survive_whichever_commit_dies(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        for point in both("turn.waiting"):
            await here.start(f"{point}:1:kill")
            if here.daemon.starts == 1:
                here.post("order-1", here.wish("asked"))
            await here.killed(point)
        assert not here.effects.effects, "nobody has said yes"
        for point in both("turn.resumed"):
            await here.start(f"{point}:1:kill")
            if not any(map(is_talk, here.shown())):
                await here.notebook.wait_until(lambda: any(map(is_talk, here.shown())), 60)
                here.command("order-1", "/approve")
            await here.killed(point)
        assert not here.effects.effects
        await here.start()
        await here.all_answered()
        verdict = here.judge(aside=is_talk)
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.asked_again == 0
        assert sum(isinstance(seen, Acted) for seen in here.notebook.events) == 1
        assert sum(text.startswith(_QUESTION) for text in here.shown()) == 1


@pytest.mark.timeout(300)
async def test_a_message_that_steers_a_turn_is_part_of_it_once_whichever_commit_dies(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False, agent={"busy": "steer", "max_attempts": 1000}) as here:
        here.effects.released.clear()
        first, second = here.wish("once"), here.wish()
        for point in both("turn.merged"):
            await here.start(f"{point}:1:kill")
            if here.daemon.starts == 1:
                here.post("order-1", first)
                await here.notebook.wait_until(lambda: here.effects.effects, 60)
                here.post("order-1", second)
                await here.taken(second)
                here.effects.released.set()
            await here.killed(point)
        await here.start()
        await here.notebook.wait_until(lambda: second.word not in here.notebook.unanswered, 60)
        await here.daemon.settled()
        verdict = here.judge()
        assert verdict.broken == {"lost": [first.word]}, "one answer to both"
        assert (verdict.asked_again, verdict.unknown) == (0, 0)
        last = [seen for seen in here.notebook.events if isinstance(seen, Asked)][-1]
        assert here.effects.effects[0].receipt in last.contains


@pytest.mark.timeout(300)
async def test_a_retry_asks_once_more_and_only_once_whichever_commit_dies(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        for point in both("session.undone"):
            await here.start(f"{point}:1:kill")
            if here.daemon.starts == 1:
                here.post("order-1", here.wish())
                await here.all_answered()
                here.command("order-1", "/retry")
            await here.killed(point)
        await here.start()
        await here.notebook.wait_until(lambda: len(here.shown()) == 2, 60)
        await here.daemon.settled()
        asked = [seen for seen in here.notebook.events if isinstance(seen, Asked)]
        assert [(seen.word, seen.step, seen.contains) for seen in asked] == [("m1", 0, frozenset())] * 2
        assert here.shown() == [f"answer to m1: {seen.token} over and out" for seen in asked]
