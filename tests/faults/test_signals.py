"""Signals at the moments that tests/integration/test_daemon_stopping.py leaves out."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crash.world import MARK, answer_to, world
from tests.fakes.openai_api import Reply
from tests.faults.house import logged


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_in_a_send_ends_at_once_and_the_repeat_is_marked(
    number: signal.Signals, state_dir: Path
) -> None:
    async with world(state_dir, shutdown={"grace_s": 600, "delivery_s": 600}) as here:
        here.telegram.fault("sendMessage", "hang", when="after")  # it arrives, and nobody says so
        await here.start()
        here.say(11, "hello")
        await here.telegram.wait_for_messages(11, 1)
        assert here.daemon is not None
        here.daemon.send_signal(number)
        await logged(here, "stopping")
        assert here.daemon.returncode is None
        here.daemon.send_signal(number)
        assert await here.wait_dead() == 0
        here.telegram.clear_faults()
        await here.start()
        here.say(11, "again")
        await here.all_answered()
        await here.settled()
        hello, again = answer_to("hello"), answer_to("again")
        assert here.answers(11) == [hello, f"{MARK}\n{hello}", again]
        assert here.paid_for("hello") == 1


@pytest.mark.timeout(300)
async def test_a_second_signal_in_a_turn_counts_no_attempt(state_dir: Path) -> None:
    hurry = {"grace_s": 600, "delivery_s": 600}
    async with world(state_dir, agent={"max_attempts": 1}, shutdown=hurry) as here:
        here.model.replies.extend([Reply(hang="headers")] * 2)
        here.say(11, "hello")
        for attempt in (1, 2):
            await here.start()
            await here.model.arrived(attempt)
            assert here.daemon is not None
            here.daemon.send_signal(signal.SIGTERM)
            await logged(here, "stopping", attempt)
            here.daemon.send_signal(signal.SIGTERM)
            assert await here.wait_dead() == 0
        await here.start()
        await here.all_answered()
        assert here.answers(11) == [answer_to("hello")]
