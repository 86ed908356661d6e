"""A daemon process with two bots, and a group that becomes a supergroup before anything is sent there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.world import world
from tests.fakes.bot_api import FakeBotApi

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(90)

PERSON, GROUP, SUPERGROUP = 7, -5, -1005
SECOND = "987654321:BBFakeFakeFakeFakeFakeFakeFakeFake0"


async def test_two_bots_keep_their_people_apart_and_a_group_moves_with_its_memory(state_dir: Path) -> None:
    async with world(state_dir) as here, FakeBotApi(token=SECOND, username="second_bot") as second:
        first = here.telegram
        here.configure(
            bridges={
                name: {"type": "telegram", "token": api.token, "api_base": api.url, "allow": ["*"]}
                for name, api in (("work", first), ("home", second))
            }
        )
        await here.start()
        first.user_says(PERSON, "at work")
        second.user_says(PERSON, "at home")
        first.user_says(GROUP, f"@{first.username} in the group", sender=PERSON)
        await first.wait_for_messages(PERSON, 1)
        await first.wait_for_messages(GROUP, 1)
        await second.wait_for_messages(PERSON, 1)
        assert here.answers(PERSON) == ["you said: at work"]
        assert [message.text for message in second.sent(PERSON)] == ["you said: at home"]

        first.migrate(GROUP, SUPERGROUP)
        moved = first.world.posted(GROUP, sender=PERSON, thread=None)
        first.push_update({"message": moved | {"migrate_to_chat_id": SUPERGROUP}})
        first.user_says(SUPERGROUP, f"@{first.username} in the supergroup", sender=PERSON)
        await first.wait_for_messages(SUPERGROUP, 1)
        asked = here.model.requests[-1].body["messages"]
        assert any("in the group" in str(message["content"]) for message in asked[:-1])
        addresses = {c["address"] for c in (await here.control("conversations"))["conversations"]}
        bot = first.bot_id
        assert addresses == {f"work:{bot}:{PERSON}", f"work:{bot}:{SUPERGROUP}", f"home:987654321:{PERSON}"}
