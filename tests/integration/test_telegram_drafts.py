"""Drafts at Telegram: a reply grows apart from messages, and its button ends the turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.errors import DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.ids import TurnId, draft_id
from clawd.messages import Draft
from clawd.testing import ManualClock, ScriptedModel, Step
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import telegram_bridge
from tests.fakes.telegram_talk import asked, chat_address, heard, inside, pass_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridges.telegram.bridge import TelegramBridge

CHAT, OTHER, GROUP = 7, 8, -1001
TURN = TurnId("turn:x-1-1")


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        for chat in (CHAT, OTHER, GROUP):
            server.world.chat(chat)
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url)
    yield bridge
    await bridge.close()


def draft(text: str, *, chat: int = CHAT, thread: int | None = None) -> Draft:
    return Draft(address=chat_address(chat, thread), id=draft_id(TURN), text=text, turn=TURN)


async def test_a_draft_is_formatted_stays_in_its_topic_and_can_be_stopped(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.forum(CHAT, 5)
    await bridge.draft(draft("", thread=5))
    await bridge.draft(draft("so **far**", thread=5))
    assert [(shown.text, shown.thread, shown.can_stop) for shown in api.drafts(CHAT)] == [
        ("", 5, True),
        ("so far", 5, True),
    ]
    assert {shown.draft_id for shown in api.drafts(CHAT)} == {draft_id(TURN)}
    assert not api.sent(CHAT)


async def test_drafts_are_for_private_chats_and_for_those_who_want_a_stream(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    silent = telegram_bridge(api.url, stream=False)
    assert bridge.drafts(chat_address(CHAT))
    assert not bridge.drafts(chat_address(GROUP))
    assert not silent.drafts(chat_address(CHAT))
    assert bridge.previews(chat_address(GROUP))


async def test_a_server_that_knows_no_drafts_is_asked_once(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.forget_method("sendMessageDraft")
    with pytest.raises(DeliveryRejected):
        await bridge.draft(draft("x"))
    assert not bridge.drafts(chat_address(CHAT))
    assert not bridge.drafts(chat_address(OTHER))


async def test_a_chat_that_takes_no_drafts_is_asked_once(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.fault("sendMessageDraft", "400", description="DRAFT_FORBIDDEN")
    with pytest.raises(DeliveryRejected):
        await bridge.draft(draft("x"))
    assert not bridge.drafts(chat_address(CHAT))
    assert bridge.drafts(chat_address(OTHER))


async def test_a_draft_whose_formatting_is_refused_is_shown_plain(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.fault("sendMessageDraft", "400", description="can't parse entities")
    await bridge.draft(draft("so **far**"))
    assert [shown.text for shown in api.drafts(CHAT)] == ["so far"]


async def test_a_draft_keeps_a_limit_and_its_trouble_is_told(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.fault("sendMessageDraft", "429", retry_after=9)
    for _ in range(2):
        with pytest.raises(DeliveryRetryLater) as caught:
            await bridge.draft(draft("x"))
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s > 8
    assert len(api.calls("sendMessageDraft")) == 1
    api.fault("sendMessageDraft", "502")
    with pytest.raises(DeliveryUnknown):
        await bridge.draft(draft("x", chat=OTHER))
    assert bridge.drafts(chat_address(OTHER)), "it may work the next time"


# --- with everything behind it ----------------------------------------------------------------------------


async def test_a_reply_grows_as_a_draft_and_arrives_as_one_message(api: FakeBotApi, state_dir: Path) -> None:
    gate, clock = asyncio.Event(), ManualClock()
    model = ScriptedModel(["so **far**", gate, " so good"])
    bridge = telegram_bridge(api.url, clock=clock)
    async with inside(state_dir, bridge, model, clock) as inner:
        await asked(inner, api, model, CHAT)
        await heard(inner, chat_address(CHAT), "far**")
        await pass_time(inner, clock, 1.1)
        assert [shown.text for shown in api.drafts(CHAT)] == ["so far"]
        gate.set()
        await api.wait_for_messages(CHAT, 1)
        assert [message.text for message in api.sent(CHAT)] == ["so far so good"]
        shown = [c.method for c in api.calls(chat=CHAT)]
        assert shown == ["sendMessageDraft", "sendMessage"]
    await bridge.close()


@pytest.mark.parametrize("crash", [False, True])
async def test_the_button_of_a_draft_ends_its_turn_also_after_a_restart(
    api: FakeBotApi, state_dir: Path, crash: bool
) -> None:
    clock = ManualClock()
    script: list[Step] = ["half a story", asyncio.Event()]
    model = ScriptedModel(script, script)
    bridge = telegram_bridge(api.url, clock=clock)
    async with inside(state_dir, bridge, model, clock) as inner:
        turn = await asked(inner, api, model, CHAT)
        await heard(inner, chat_address(CHAT), "story")
        await pass_time(inner, clock, 1.1)
        if crash:
            await inner.crash()
        api.stop_draft(CHAT)
        if crash:
            await inner.start()
        assert (await inner.ended(turn)).state == "cancelled"
        await api.wait_for_messages(CHAT, 1)
        assert len(api.sent(CHAT)) == 1
    await bridge.close()


async def test_a_stop_that_comes_late_ends_no_other_turn(api: FakeBotApi, state_dir: Path) -> None:
    gates, clock = [asyncio.Event(), asyncio.Event()], ManualClock()
    model = ScriptedModel(["one", gates[0]], ["two", gates[1]])
    bridge = telegram_bridge(api.url, clock=clock)
    async with inside(state_dir, bridge, model, clock) as inner:
        await asked(inner, api, model, CHAT)
        await heard(inner, chat_address(CHAT), "one")
        await pass_time(inner, clock, 1.1)
        press = api.world.stopped(CHAT)
        gates[0].set()
        await api.wait_for_messages(CHAT, 1)
        await asked(inner, api, model, CHAT, 2)
        late = api.push_update({"stopped_message_generation": press})
        await api.wait_until(lambda: api.calls("getUpdates")[-1].params.get("offset", 0) > late)
        gates[1].set()
        await api.wait_for_messages(CHAT, 2)
        assert [message.text for message in api.sent(CHAT)] == ["one", "two"]
    await bridge.close()
