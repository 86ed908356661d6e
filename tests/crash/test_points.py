"""The real daemon is killed at every fault point of a message's way; the fakes say what came of it.

Each kill is followed by a start that is killed at the next point, so every start but the first is also a
recovery that dies; the last one is left alone and has to bring everything to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.crash.stage import stage
from tests.fakes.webhook_receiver import Fault

DOORS: Final = ("accept", "turn.finished", "outbox.take", "outbox.mark")
STEPS: Final = ("llm.intent", "llm.result", "tool.intent", "tool.result")
RECOVERY: Final = ("recover", "claim", "llm.result", "outbox.take", "outbox.mark")


def both(*kinds: str) -> tuple[str, ...]:
    """Return the points of these commits, before and after."""
    return tuple(f"journal.{moment}_commit:{kind}" for kind in kinds for moment in ("before", "after"))


KILLS_AT: Final = frozenset(both(*DOORS, *STEPS, *RECOVERY, "release"))


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_whichever_commit_of_a_message_dies(state_dir: Path) -> None:
    # A chat alone: there a repeat has no id that would make it harmless.
    async with stage(state_dir) as here:
        for number, point in enumerate(both(*DOORS)):
            await here.start(f"{point}:1:kill")
            here.write(11, here.wish())
            here.write(11, here.wish())
            here.write(12 + number, here.wish())
            await here.killed(point)
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.kills == len(both(*DOORS))
        assert verdict.marked >= 2, "before the request was made, and after it was answered"


@pytest.mark.timeout(300)
async def test_no_step_is_paid_for_or_acts_twice_whichever_commit_of_it_dies(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        for number, point in enumerate(both(*STEPS)):
            await here.start(f"{point}:1:kill")
            here.post(f"order-{number}", here.wish("once", "keyed+idempotent", "once+pure"))
            here.post("line", here.wish("once"))
            await here.killed(point)
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert (verdict.kills, verdict.same_id, verdict.marked) == (len(both(*STEPS)), 0, 0)
        await here.check_books()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_recovery_that_dies_again_and_again_loses_and_doubles_nothing(state_dir: Path) -> None:
    points = both(*RECOVERY)
    async with stage(state_dir, telegram=False) as here:
        await here.start("journal.after_commit:tool.intent:1:kill")
        for number in range(len(points)):
            here.post(f"order-{number}", here.wish("once+keyed"))
        await here.killed()
        for point in points:
            await here.start(f"{point}:1:kill")
            await here.killed(point)
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.kills == 1 + len(points)
        assert verdict.unknown, "a call was cut off"
        assert verdict.same_id, "a callback had arrived, and its receipt was not committed"
        await here.check_books()


@pytest.mark.timeout(300)
async def test_a_stop_that_dies_while_it_hands_a_turn_back_loses_nothing(state_dir: Path) -> None:
    shutdown = {"grace_s": 0.1, "delivery_s": 0.1}
    async with stage(state_dir, telegram=False, shutdown=shutdown) as here:
        here.script.delay_s = 600
        for point, asked in zip(both("release"), (2, 5), strict=True):
            await here.start(f"{point}:1:kill")
            here.post("order-1", here.wish())
            here.post(f"other-{asked}", here.wish())
            await here.model.arrived(asked)
            here.daemon.terminate()
            await here.killed(point)
        here.script.delay_s = 0
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert verdict.asked_again == 2 + 3
        assert await here.check_books() == 0, "what is handed back is possible spend"


@pytest.mark.timeout(300)
async def test_answers_that_had_to_wait_in_line_keep_their_order_over_kills(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        wait = Fault(status=429, headers={"Retry-After": "1"}, unseen=True)
        here.receiver.fault(wait, wait)
        await here.start("journal.after_commit:turn.finished:3:kill")
        for _ in range(3):
            here.post("order-1", here.wish())
        await here.killed()
        await here.start("journal.after_commit:outbox.take:1:kill")
        await here.killed()
        await here.start()
        await here.all_answered()
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
