"""Reactions on people's messages: wanted only where asked for, and never in the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridges.telegram.reactions import EMOJI
from clawd.errors import ModelUnavailable
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.bot_api_media import REACTIONS
from tests.fakes.routing import router_over
from tests.fakes.telegram import telegram_bridge
from tests.fakes.telegram_talk import asked, chat_address, inside, pass_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridges.telegram.bridge import TelegramBridge

CHAT, OTHER = 7, 8


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    for chat in (CHAT, OTHER):
        api.user_says(chat, "question")
    bridge = telegram_bridge(api.url, reactions=True)
    yield bridge
    await bridge.close()


def test_every_sign_is_one_that_telegram_takes() -> None:
    assert set(EMOJI.values()) <= REACTIONS


async def test_nobody_gets_reactions_who_did_not_ask_for_them(api: FakeBotApi) -> None:
    assert not telegram_bridge(api.url).marks(chat_address(CHAT))


async def test_a_sign_takes_the_place_of_the_last(api: FakeBotApi, bridge: TelegramBridge) -> None:
    await bridge.mark(chat_address(CHAT), "1", "working")
    await bridge.mark(chat_address(CHAT), "1", "done")
    assert api.reactions(CHAT) == {1: ["👀", "👍"]}


@pytest.mark.parametrize("words", ["REACTION_INVALID", "not enough rights", "CHAT_ADMIN_REQUIRED"])
async def test_a_chat_that_takes_none_is_asked_once(
    api: FakeBotApi, bridge: TelegramBridge, words: str
) -> None:
    api.fault("setMessageReaction", "400", description=words)
    await bridge.mark(chat_address(CHAT), "1", "working")
    assert not bridge.marks(chat_address(CHAT))
    assert bridge.marks(chat_address(OTHER))


async def test_a_chat_that_allows_other_emoji_is_asked_once(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.allow_reactions(CHAT, "🔥")
    await bridge.mark(chat_address(CHAT), "1", "working")
    assert not bridge.marks(chat_address(CHAT))


async def test_a_server_without_reactions_is_asked_once(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.forget_method("setMessageReaction")
    await bridge.mark(chat_address(CHAT), "1", "working")
    assert not bridge.marks(chat_address(OTHER))


@pytest.mark.parametrize("kind", ["429", "502", "reset", "401", "garbage"])
async def test_other_trouble_harms_nobody_and_ends_nothing(
    api: FakeBotApi, bridge: TelegramBridge, kind: str
) -> None:
    api.fault("setMessageReaction", kind)
    await bridge.mark(chat_address(CHAT), "1", "working")
    await bridge.mark(chat_address(CHAT), "no number", "working")
    await bridge.mark(chat_address(CHAT), "99", "working")  # deleted meanwhile
    assert bridge.marks(chat_address(CHAT))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_message_that_takes_a_second_is_marked_until_its_turn_ends(
    api: FakeBotApi, state_dir: Path, fails: bool
) -> None:
    gate, clock = asyncio.Event(), ManualClock()
    down = ModelUnavailable("scripted", "down")
    model = ScriptedModel([gate, down if fails else "fine"], *([down] * 20))
    bridge = telegram_bridge(api.url, clock=clock, reactions=True, stream=False)
    async with inside(state_dir, bridge, router_over(model), clock) as inner:
        await asked(inner, api, model, CHAT)
        await pass_time(inner, clock, 1.1)
        assert api.reactions(CHAT) == {1: ["👀"]}
        gate.set()
        await api.wait_until(lambda: len(api.calls("setMessageReaction")) == 2 and api.reactions(CHAT)[1][1:])
        assert api.reactions(CHAT) == {1: ["👀", "💔" if fails else "👍"]}
    await bridge.close()


async def test_an_answer_within_a_second_takes_one_call(api: FakeBotApi, state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("fine")
    bridge = telegram_bridge(api.url, clock=clock, reactions=True)
    async with inside(state_dir, bridge, model, clock):
        api.user_says(CHAT, "question")
        await api.wait_for_messages(CHAT, 1)
        assert [call.method for call in api.calls(chat=CHAT)] == ["sendMessage"]
    await bridge.close()


async def test_by_default_a_short_answer_takes_two_calls_however_long_it_thinks(
    api: FakeBotApi, state_dir: Path
) -> None:
    gate, clock = asyncio.Event(), ManualClock()
    model = ScriptedModel([gate, "fine"])
    bridge = telegram_bridge(api.url, clock=clock)
    async with inside(state_dir, bridge, model, clock) as inner:
        await asked(inner, api, model, CHAT)
        await pass_time(inner, clock, 1.1)
        await pass_time(inner, clock, 15)
        gate.set()
        await api.wait_for_messages(CHAT, 1)
        assert [call.method for call in api.calls(chat=CHAT)] == ["sendMessageDraft", "sendMessage"]
    await bridge.close()
