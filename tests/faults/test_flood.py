"""Floods through the real door: fair to the quiet, bounded, and told once to who is too loud."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.world import answer_to, world
from tests.faults.house import rss_bytes

FLOOD = 10_000


@pytest.mark.timeout(300)
async def test_a_quiet_chat_is_answered_after_a_turn_or_two_of_a_flood(state_dir: Path) -> None:
    async with world(state_dir, journal={"max_queue": 2 * FLOOD}) as here:
        await here.start()
        for n in range(FLOOD):
            here.telegram.user_says(11, f"flood-{n}")
        await here.telegram.wait_until(lambda: here.telegram.pending() == 0, 60)
        assert len(here.answers(11)) < FLOOD // 2, "there is no flood left"
        before = len(here.answers(11))
        here.telegram.user_says(12, "quiet")
        await here.telegram.wait_until(lambda: here.answers(12), 30)
        assert here.answers(12) == [answer_to("quiet")]
        between = len(here.answers(11)) - before
        assert between <= 20, f"{between} of the flood went first"
        assert rss_bytes(here) < 200_000_000


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_chats_at_once_are_all_answered_in_order(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        for n in range(5):
            for chat in range(100, 200):
                here.say(chat, f"m-{chat}-{n}")
        await here.all_answered(60)
        assert not here.judge().broken
        assert rss_bytes(here) < 200_000_000


@pytest.mark.timeout(300)
async def test_who_writes_too_much_is_told_once(state_dir: Path) -> None:
    async with world(state_dir, access={"rate": "20/h"}) as here:
        await here.start()
        for n in range(200):
            here.telegram.user_says(11, f"m-{n}")
        here.say(12, "quiet")
        await here.all_answered()
        await here.telegram.wait_for_messages(11, 21, 30)
        await here.settled()
        told = [text for text in here.answers(11) if text.startswith("That was a lot of messages at once.")]
        assert (len(told), len(here.answers(11))) == (1, 21)
