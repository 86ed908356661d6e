"""The Telegram bridge sends to the fake Bot API: every failure ends in the word the outbox needs."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import (
    BridgeError,
    DeliveryError,
    DeliveryMoved,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)
from clawd.messages import Address, Preview
from clawd.testing import ManualClock
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.loop_clock import jump
from tests.fakes.telegram import outbound, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.telegram.bridge import TelegramBridge

CHAT = 7
GROUP = -1001


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "question")
        server.user_says(GROUP, "question", sender=42)
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url)
    yield bridge
    await bridge.close()


def methods(api: FakeBotApi) -> list[str]:
    return [call.method for call in api.log]


# --- what arrives -----------------------------------------------------------------------------------------


async def test_a_reply_arrives_formatted_in_one_call(api: FakeBotApi, bridge: TelegramBridge) -> None:
    receipt = await bridge.send(outbound("**Yes** 😀 `x`"))
    (message,) = api.sent(CHAT)
    assert receipt.remote_id == str(message.message_id)
    assert message.text == "Yes 😀 x"
    assert message.entities == [
        {"type": "bold", "offset": 0, "length": 3},
        {"type": "code", "offset": 7, "length": 1},
    ]
    assert methods(api) == ["sendMessage"]
    assert "parse_mode" not in api.log[0].params


async def test_in_a_group_the_reply_quotes_the_question_and_stays_in_its_topic(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.forum(GROUP, 5)
    await bridge.send(outbound("yes", chat=GROUP, thread=5, reference="1"))
    (message,) = api.sent(GROUP)
    assert (message.reply_to, message.thread) == (1, 5)


async def test_in_private_nothing_is_quoted(api: FakeBotApi, bridge: TelegramBridge) -> None:
    await bridge.send(outbound("yes", reference="1"))
    assert api.sent(CHAT)[0].reply_to is None


async def test_a_preview_is_sent_then_edited_then_replaced_by_the_reply(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    address = outbound("").address
    assert bridge.previews(address)
    first = await bridge.preview(Preview(address=address, text="One **tw"))
    again = await bridge.preview(Preview(address=address, text="One **two", remote_id=first.remote_id))
    last = await bridge.send(outbound("One **two**", edit_of=first.remote_id))
    assert first.remote_id == again.remote_id == last.remote_id
    (message,) = api.sent(CHAT)
    assert [text for _, text in message.history] == ["One **tw …", "One **two …", "One two"]


async def test_a_preview_never_grows_beyond_one_message(api: FakeBotApi, bridge: TelegramBridge) -> None:
    address = outbound("").address
    first = await bridge.preview(Preview(address=address, text="😀" * 3000))
    again = await bridge.preview(Preview(address=address, text="😀" * 4000, remote_id=first.remote_id))
    assert again.remote_id == first.remote_id
    (message,) = api.sent(CHAT)
    assert message.text == "😀" * 2047 + " …"
    assert api.calls("editMessageText")[0].outcome.startswith("400 Bad Request: message is not modified")


async def test_a_preview_of_a_message_that_is_gone_is_refused_and_the_reply_is_sent_anew(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    preview = Preview(address=outbound("").address, text="One", remote_id="99")
    with pytest.raises(DeliveryRejected):
        await bridge.preview(preview)
    assert api.sent(CHAT) == []
    receipt = await bridge.send(outbound("One two", edit_of="99"))
    assert [m.text for m in api.sent(CHAT)] == ["One two"]
    assert receipt.remote_id == str(api.sent(CHAT)[0].message_id)


async def test_no_previews_where_the_configuration_wants_none(api: FakeBotApi) -> None:
    bridge = telegram_bridge(api.url, stream=False)
    assert not bridge.previews(outbound("").address)
    await bridge.close()


async def test_typing_is_shown_and_its_failures_are_nobodys_business(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    address = outbound("").address
    await bridge.working(address)
    assert [action for _, action in api.typing(CHAT)] == ["typing"]
    for kind in ("429", "500", "401", "403", "reset", "garbage"):
        api.fault("sendChatAction", kind)
        await bridge.working(address)
    await bridge.working(Address(bridge="telegram", account="1", chat="nonsense"))
    await api.stop()
    await bridge.working(address)


QUESTION = "approval:abcd1234-7-12-3"


async def test_a_question_has_buttons_and_its_command_line_stays_data(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    await bridge.send(outbound("May I?\n````\nls *; **echo** ```\n````\n/deny", question=QUESTION))
    (message,) = api.sent(CHAT)
    line = "ls *; **echo** ```"
    assert message.text == f"May I?\n{line}\n/deny"
    assert message.entities == [{"type": "pre", "offset": 7, "length": len(line)}]
    assert [button["text"] for button in message.keyboard[0]] == ["Yes", "Always", "No"]


async def test_buttons_that_are_refused_cost_no_question(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.fault("sendMessage", "400", description="BUTTON_DATA_INVALID")
    await bridge.send(outbound("**May** I?", question=QUESTION))
    (message,) = api.sent(CHAT)
    assert (message.text, message.keyboard, len(message.entities)) == ("May I?", [], 1)


async def test_a_question_that_is_refused_for_its_formatting_keeps_its_buttons(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.fault("sendMessage", "400", description="can't parse entities")
    await bridge.send(outbound("**May** I?", question=QUESTION))
    (message,) = api.sent(CHAT)
    assert message.text == "**May** I?"
    assert message.keyboard


async def test_of_a_question_that_is_too_long_the_end_has_the_buttons(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    await bridge.send(outbound(" ".join(["word"] * 1000), question=QUESTION))
    first, second = api.sent(CHAT)
    assert (bool(first.keyboard), bool(second.keyboard)) == (False, True)


# --- the ladder -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "can't parse entities: unsupported start tag",
        "can't parse MessageEntity: invalid type",
        "ENTITY_BOUNDS_INVALID",
    ],
)
async def test_refused_formatting_goes_out_plain_once(
    api: FakeBotApi, bridge: TelegramBridge, words: str
) -> None:
    api.fault("sendMessage", "400", description=words)
    await bridge.send(outbound("**Yes**"))
    assert [m.text for m in api.sent(CHAT)] == ["**Yes**"]
    assert [len(call.params.get("entities", ())) for call in api.calls("sendMessage")] == [1, 0]


async def test_plain_text_that_is_refused_for_formatting_is_given_up(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.fault("sendMessage", "400", description="can't parse entities", count=5)
    with pytest.raises(DeliveryRejected) as caught:
        await bridge.send(outbound("**Yes**"))
    assert not caught.value.unreachable
    assert len(api.calls("sendMessage")) == 2


async def test_a_deleted_topic_falls_back_to_the_chat(api: FakeBotApi, bridge: TelegramBridge) -> None:
    await bridge.send(outbound("yes", chat=GROUP, thread=5))
    (message,) = api.sent(GROUP)
    assert message.thread is None


async def test_a_deleted_question_is_not_quoted(api: FakeBotApi, bridge: TelegramBridge) -> None:
    await bridge.send(outbound("yes", chat=GROUP, reference="77"))
    (message,) = api.sent(GROUP)
    assert message.reply_to is None


async def test_everything_gone_at_once_still_arrives(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.fault("sendMessage", "400", description="can't parse entities", nth=3)
    await bridge.send(outbound("**yes**", chat=GROUP, thread=5, reference="77", edit_of="99"))
    assert [m.text for m in api.sent(GROUP)] == ["**yes**"]


@pytest.mark.parametrize(
    "words", ["message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID"]
)
async def test_an_edit_that_is_impossible_becomes_a_new_message(
    api: FakeBotApi, bridge: TelegramBridge, words: str
) -> None:
    api.fault("editMessageText", "400", description=words)
    sent = await bridge.send(outbound("one"))
    receipt = await bridge.send(outbound("two", edit_of=sent.remote_id))
    assert receipt.remote_id != sent.remote_id
    assert [m.text for m in api.sent(CHAT)] == ["one", "two"]


async def test_an_edit_that_changes_nothing_is_done(api: FakeBotApi, bridge: TelegramBridge) -> None:
    sent = await bridge.send(outbound("one"))
    receipt = await bridge.send(outbound("one", edit_of=sent.remote_id))
    assert receipt == sent
    assert methods(api) == ["sendMessage", "editMessageText"]


async def test_a_text_that_is_too_long_is_cut_in_order(api: FakeBotApi, bridge: TelegramBridge) -> None:
    words = " ".join(f"word{n}" for n in range(2000))
    await bridge.send(outbound(words))
    parts = [m.text for m in api.sent(CHAT)]
    assert len(parts) > 2
    assert " ".join(parts) == words


async def test_half_a_message_is_no_longer_surely_unsent(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.fault("sendMessage", "429", nth=3, retry_after=60)  # too long, first half, second half
    with pytest.raises(DeliveryUnknown, match="first part"):
        await bridge.send(outbound("x " * 3000))
    assert len(api.sent(CHAT)) == 1


async def test_the_second_half_waits_out_a_short_limit(api: FakeBotApi) -> None:
    clock = ManualClock()
    bridge = telegram_bridge(api.url, clock=clock)
    api.fault("sendMessage", "429", nth=3, retry_after=9)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(bridge.send(outbound("x " * 3000)))
        await clock.sleeping()
        assert len(api.sent(CHAT)) == 1
        await clock.advance(9)
        await sending
    await bridge.close()
    assert len(api.sent(CHAT)) == 2


async def test_a_limit_is_kept_without_asking_again(api: FakeBotApi) -> None:
    clock = ManualClock()
    bridge = telegram_bridge(api.url, clock=clock)
    api.fault("sendMessage", "429", retry_after=20)
    for _ in range(3):
        with pytest.raises(DeliveryRetryLater) as caught:
            await bridge.send(outbound("later"))
        assert caught.value.retry_after_s == 20
    assert len(api.calls("sendMessage")) == 1
    await clock.advance(20)
    await bridge.send(outbound("later"))
    await bridge.close()
    assert [message.text for message in api.sent(CHAT)] == ["later"]


async def test_a_group_that_has_had_its_share_waits_and_shows_no_typing(api: FakeBotApi) -> None:
    bridge = telegram_bridge(api.url, clock=ManualClock())
    api.world.chat(-100)
    group = outbound("one more", chat=-100)
    for _ in range(20):
        await bridge.send(group)
    with pytest.raises(DeliveryRetryLater, match="share"):
        await bridge.send(group)
    await bridge.working(group.address)
    await bridge.close()
    assert len(api.sent(-100)) == 20
    assert not api.typing(-100)


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("500", DeliveryUnknown),
        ("502", DeliveryUnknown),
        ("garbage", DeliveryUnknown),
        ("reset", DeliveryUnknown),
        ("hang", DeliveryUnknown),
        ("401", DeliveryUnauthorized),
        ("403", DeliveryRejected),
        ("400", DeliveryRejected),
        ("429", DeliveryRetryLater),
        ("429-bare", DeliveryRetryLater),
    ],
)
async def test_each_failure_is_told_for_what_it_is_after_one_request(
    api: FakeBotApi, kind: str, error: type[DeliveryError], when: Any
) -> None:
    bridge = telegram_bridge(api.url)
    api.fault("sendMessage", kind, when=when, retry_after=3)

    async def time_out() -> None:
        await api.wait_until(lambda: api.calls("sendMessage"))
        jump(1000)

    async with asyncio.TaskGroup() as tasks:
        if kind == "hang":
            tasks.create_task(time_out())
        with pytest.raises(DeliveryError) as caught:
            await bridge.send(outbound("x"))
    assert type(caught.value) is error
    assert len(api.calls("sendMessage")) == 1
    if isinstance(caught.value, DeliveryRetryLater):
        assert caught.value.retry_after_s == (3 if kind == "429" else 1)
    if isinstance(caught.value, DeliveryRejected):
        assert caught.value.unreachable == (kind == "403")
    await bridge.close()


async def test_a_blocked_chat_is_unreachable(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.block(CHAT)
    with pytest.raises(DeliveryRejected, match="bot was blocked by the user") as caught:
        await bridge.send(outbound("x"))
    assert caught.value.unreachable


async def test_a_chat_that_does_not_exist_is_rejected(api: FakeBotApi, bridge: TelegramBridge) -> None:
    with pytest.raises(DeliveryRejected, match="chat not found"):
        await bridge.send(outbound("x", chat=999))


async def test_a_group_that_became_a_supergroup_names_its_new_id(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.migrate(-5, GROUP)
    with pytest.raises(DeliveryMoved) as caught:
        await bridge.send(outbound("x", chat=-5))
    assert caught.value.chat == str(GROUP)


async def test_a_refused_connection_is_surely_not_sent(api: FakeBotApi, bridge: TelegramBridge) -> None:
    await api.stop()
    with pytest.raises(DeliveryRetryLater, match="no connection"):
        await bridge.send(outbound("x"))
    await api.start()
    await bridge.send(outbound("x"))


@pytest.mark.parametrize("base", ["http://telegram.invalid", "https://127.0.0.1:{port}"])
async def test_neither_name_nor_tls_is_surely_not_sent(api: FakeBotApi, base: str) -> None:
    bridge = telegram_bridge(base.format(port=api.port))
    with pytest.raises(DeliveryRetryLater, match="no connection"):
        await bridge.send(outbound("x"))
    await bridge.close()


@pytest.mark.parametrize("text", ["", "   ", "\n"])
async def test_an_empty_text_is_rejected_without_a_request(
    api: FakeBotApi, bridge: TelegramBridge, text: str
) -> None:
    with pytest.raises(DeliveryRejected):
        await bridge.send(outbound(text))
    assert api.log == []


@pytest.mark.parametrize("chat", ["room", "", "7 7"])
async def test_an_address_that_is_none_of_telegrams_is_rejected(bridge: TelegramBridge, chat: str) -> None:
    with pytest.raises(DeliveryRejected, match="not an address"):
        await bridge.send(outbound("x", chat=chat))


async def test_replies_to_many_chats_go_out_side_by_side(api: FakeBotApi, bridge: TelegramBridge) -> None:
    chats = range(100, 120)
    for chat in chats:
        api.user_says(chat, "q")
    api.fault("sendMessage", "delay", chat=100, delay_s=5)
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(bridge.send(outbound("x", chat=100)))
        for chat in chats[1:]:
            tasks.create_task(bridge.send(outbound("x", chat=chat)))
        await api.wait_until(lambda: sum(len(api.sent(chat)) for chat in chats) == len(chats) - 1)
        assert not slow.done()
        slow.cancel()


# --- the token --------------------------------------------------------------------------------------------

_CALLS = ("send", "preview", "working", "probe")


async def call(bridge: TelegramBridge, what: str) -> None:
    match what:
        case "send":
            await bridge.send(outbound("x", edit_of="1"))
        case "preview":
            await bridge.preview(Preview(address=outbound("").address, text="x"))
        case "working":
            await bridge.working(outbound("").address)
        case _:
            await bridge.probe()


def everything_said(error: BaseException) -> str:
    """Return an error with all its causes and contexts, in each way it may be printed."""
    lines = traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        lines += [str(seen), repr(seen), repr(seen.args), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(lines)


@pytest.mark.parametrize("what", _CALLS)
@pytest.mark.parametrize("kind", ["401", "502", "garbage", "reset", "hang", "refused", "dns", "tls", "400"])
async def test_the_token_is_in_no_log_and_no_error(
    api: FakeBotApi, caplog: pytest.LogCaptureFixture, what: str, kind: str
) -> None:
    caplog.set_level(logging.DEBUG)
    bases = {"dns": "http://telegram.invalid", "tls": f"https://127.0.0.1:{api.port}"}
    bridge = telegram_bridge(bases.get(kind, api.url), request_timeout_s=0.2)
    if kind == "refused":
        await api.stop()
    elif kind not in bases:
        api.fault("*", kind, count=9)
    said = ""
    try:
        await call(bridge, what)
    except BridgeError as error:
        said = everything_said(error)
        logging.getLogger("test").exception("seen")
    await bridge.close()
    assert what == "working" or said
    secret = TOKEN.partition(":")[2]
    assert secret not in said + caplog.text
    assert secret not in repr(bridge) + repr(vars(bridge))
