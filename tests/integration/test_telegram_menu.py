"""The bot's menu of commands is said to Telegram in two languages, and again only when it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.commands import UnknownCommand, parse
from clawd.conformance import MemoryInbox
from clawd.errors import JournalUnavailable
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "telegram:123456789:commands"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


async def polled(api: FakeBotApi, inbox: MemoryInbox, *, commands: bool = True) -> None:
    """Run a bridge until it polls."""
    bridge = telegram_bridge(api.url, commands=commands)
    polls = len(api.calls("getUpdates"))
    async with running(bridge, inbox):
        await api.wait_until(lambda: len(api.calls("getUpdates")) > polls)
    await bridge.close()


async def test_the_menu_is_said_once_for_each_kind_of_chat_and_language(api: FakeBotApi) -> None:
    inbox = MemoryInbox()
    await polled(api, inbox)
    assert set(api.menu.shown) == {
        (scope, language) for scope in ("all_private_chats", "all_group_chats") for language in ("", "zh")
    }
    private = api.menu.shown["all_private_chats", ""]
    assert private["new"] == "Start a new conversation"
    assert api.menu.shown["all_private_chats", "zh"]["new"] == "开始新的对话"
    assert "lang" not in api.menu.shown["all_group_chats", ""]
    for name in private:
        assert not isinstance(parse(f"/{name}"), UnknownCommand), name
    await polled(api, inbox)
    assert len(api.calls("setMyCommands")) == 4


async def test_a_menu_that_is_not_the_one_that_was_said_is_said_again(api: FakeBotApi) -> None:
    inbox = MemoryInbox()
    inbox.cursors[KEY] = "of an older clawd"
    await polled(api, inbox)
    assert len(api.calls("setMyCommands")) == 4
    assert inbox.cursors[KEY] != "of an older clawd"


@pytest.mark.parametrize("kind", ["429", "502", "400", "reset"])
async def test_a_menu_that_fails_holds_up_nothing_and_is_tried_at_the_next_start(
    api: FakeBotApi, kind: str
) -> None:
    inbox = MemoryInbox()
    api.fault("setMyCommands", kind, nth=2, retry_after=3600)
    await polled(api, inbox)
    assert KEY not in inbox.cursors
    await polled(api, inbox)
    assert KEY in inbox.cursors
    assert len(api.menu.shown) == 4


async def test_a_menu_that_could_not_be_noted_is_said_again(api: FakeBotApi) -> None:
    inbox = MemoryInbox()
    inbox.refuse(JournalUnavailable("disk full", retry_after_s=1))
    await polled(api, inbox)
    await polled(api, inbox)
    assert len(api.calls("setMyCommands")) == 8


async def test_the_menu_of_somebody_else_can_be_left_alone(api: FakeBotApi) -> None:
    await polled(api, MemoryInbox(), commands=False)
    assert api.calls("setMyCommands") == []
