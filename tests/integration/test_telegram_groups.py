"""The bot in groups: it says once how to speak to it, and tells its owner what privacy mode hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.conformance import MemoryInbox
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEAM = -1001


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


def added(api: FakeBotApi, chat: int) -> int:
    """Let somebody add the bot to a group."""
    bot = api.world.bot_json()
    change = {
        "chat": api.world.chat(chat).as_json(),
        "from": api.world.person(42),
        "date": 1_790_000_000,
        "old_chat_member": {"status": "left", "user": bot},
        "new_chat_member": {"status": "member", "user": bot},
    }
    return api.push_update({"my_chat_member": change})


async def test_a_group_is_greeted_once_however_often_the_bot_is_added(api: FakeBotApi) -> None:
    inbox = MemoryInbox()
    bridge = telegram_bridge(api.url, groups=[TEAM])
    added(api, TEAM)
    added(api, -1002)
    async with running(bridge, inbox):
        await api.wait_for_messages(TEAM, 1)
        added(api, TEAM)
        api.user_says(7, "later")
        await inbox.wait_for(1)
        await api.wait_until(lambda: api.pending() == 0)
    assert ["@clawd_test_bot" in message.text for message in api.sent(TEAM)] == [True]
    assert api.sent(-1002) == []
    await bridge.close()


async def test_a_greeting_that_fails_holds_up_nothing(api: FakeBotApi) -> None:
    inbox = MemoryInbox()
    bridge = telegram_bridge(api.url)
    api.fault("sendMessage", "403")
    added(api, TEAM)
    async with running(bridge, inbox):
        await api.wait_for_calls("sendMessage", 1)
        api.user_says(7, "later")
        await inbox.wait_for(1)
    await bridge.close()


@pytest.mark.parametrize(("without_mention", "told"), [([TEAM], True), ([], False)])
async def test_the_probe_tells_what_privacy_mode_hides(
    api: FakeBotApi, without_mention: list[int], told: bool
) -> None:
    bridge = telegram_bridge(api.url, without_mention=without_mention)
    assert ("/setprivacy" in await bridge.probe()) == told
    await bridge.close()
