"""The fake Bot API refuses what the real one refuses, seen by aiogram's own client.

aiogram's session, methods and error classes are an independent reading of the same protocol.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetChat
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
    ReplyParameters,
)

from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.bot_api_remote import bot_api_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHAT = 7
LONG_POLL_S = 20


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "hello")
        yield server


class StockBot(Bot):
    """aiogram's client, pointed at the fake."""

    def __init__(self, url: str, token: str = TOKEN) -> None:
        super().__init__(token, session=AiohttpSession(api=TelegramAPIServer.from_base(url)))

    async def close_now(self) -> None:
        """Close without the quarter of a second that aiogram waits for TLS."""
        if (inner := self.session._session) is not None:  # type: ignore[attr-defined]
            await inner.close()


@pytest.fixture
async def bot(api: FakeBotApi) -> AsyncIterator[StockBot]:
    bot = StockBot(api.url)
    yield bot
    await bot.close_now()


async def raw(api: FakeBotApi, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{api.url}/bot{TOKEN}/{method}", json=params) as response,
    ):
        return response.status, await response.json()


# --- identity ---------------------------------------------------------------------------------------------


async def test_the_bot_is_told_who_it_is(bot: Bot, api: FakeBotApi) -> None:
    me = await bot.get_me()
    assert (me.id, me.username, me.is_bot) == (api.bot_id, api.username, True)


async def test_a_wrong_token_is_unauthorized(api: FakeBotApi) -> None:
    stranger = StockBot(api.url, "123456789:AAwrongwrongwrongwrongwrongwrongwro")
    with pytest.raises(TelegramUnauthorizedError, match="Unauthorized"):
        await stranger.get_me()
    await stranger.close_now()


async def test_a_malformed_token_is_not_found(api: FakeBotApi) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{api.url}/botnonsense/getMe") as response:
        assert response.status == 404
        assert (await response.json())["description"] == "Not Found"


async def test_a_revoked_token_is_unauthorized_until_it_is_valid_again(bot: Bot, api: FakeBotApi) -> None:
    api.revoke()
    with pytest.raises(TelegramUnauthorizedError):
        await bot.get_me()
    api.revoke(False)
    await bot.get_me()


# --- requests ---------------------------------------------------------------------------------------------


async def test_an_unknown_method_is_not_found(bot: Bot, api: FakeBotApi) -> None:
    with pytest.raises(TelegramNotFound):
        await bot(GetChat(chat_id=CHAT))
    assert (await raw(api, "sendPigeon"))[0] == 404


async def test_an_unknown_field_is_refused(api: FakeBotApi) -> None:
    status, body = await raw(api, "sendMessage", chat_id=CHAT, text="x", texd="y")
    assert status == 400
    assert "texd" in body["description"]


async def test_the_name_of_a_method_ignores_case_as_on_the_real_server(api: FakeBotApi) -> None:
    assert (await raw(api, "GETME"))[0] == 200


@pytest.mark.parametrize("text", ["", " \n\t "])
async def test_a_text_without_anything_to_read_is_refused(bot: Bot, text: str) -> None:
    with pytest.raises(TelegramBadRequest, match="message text is empty"):
        await bot.send_message(CHAT, text)


@pytest.mark.parametrize("text", ["x" * 4097, "😀" * 2049])
async def test_more_than_4096_utf16_units_are_refused(bot: Bot, text: str) -> None:
    with pytest.raises(TelegramBadRequest, match="message is too long"):
        await bot.send_message(CHAT, text)


@pytest.mark.parametrize("text", ["x" * 4096, "😀" * 2048, "字" * 4096])
async def test_exactly_4096_utf16_units_are_taken(bot: Bot, api: FakeBotApi, text: str) -> None:
    await bot.send_message(CHAT, text)
    assert api.sent(CHAT)[0].text == text


async def test_an_unknown_chat_is_not_found(bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(999, "x")
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message("@nobody", "x")


async def test_a_message_to_nobody_is_refused(api: FakeBotApi) -> None:
    assert (await raw(api, "sendMessage", text="x"))[1]["description"] == "Bad Request: chat_id is empty"


@pytest.mark.parametrize(
    "entities",
    [
        [{"type": "bold", "offset": 3, "length": 4}],
        [{"type": "bold", "offset": -1, "length": 2}],
        [{"type": "bold", "offset": 0, "length": 0}],
        [{"type": "bold", "offset": 1, "length": 1}],  # inside the surrogate pair of 😀
        [{"type": "shiny", "offset": 0, "length": 2}],
        [{"type": "text_link", "offset": 0, "length": 2}],
        [{"type": "text_link", "offset": 0, "length": 2, "url": "javascript:x"}],
        [{"type": "bold", "offset": 0, "length": 3}, {"type": "italic", "offset": 2, "length": 2}],
        [{"type": "code", "offset": 0, "length": 4}, {"type": "bold", "offset": 2, "length": 1}],
        [{"type": "code", "offset": 0, "length": 4}, {"type": "bold", "offset": 0, "length": 4}],
        [{"type": "bold", "offset": 0, "length": 4}, {"type": "code", "offset": 2, "length": 1}],
        [{"type": "blockquote", "offset": 0, "length": 5}, {"type": "blockquote", "offset": 0, "length": 2}],
        [{"type": "bold", "offset": 0, "length": 2, "colour": "red"}],
        {"type": "bold"},
        "nonsense",
    ],
)
async def test_entities_that_do_not_fit_are_refused(api: FakeBotApi, entities: Any) -> None:
    status, body = await raw(api, "sendMessage", chat_id=CHAT, text="😀abc", entities=entities)
    assert status == 400
    assert "entit" in body["description"].lower()
    assert api.sent(CHAT) == []


async def test_entities_move_with_the_white_space_that_the_server_cuts(bot: Bot, api: FakeBotApi) -> None:
    await bot.send_message(CHAT, "  ab ", entities=[MessageEntity(type="bold", offset=2, length=3)])
    (message,) = api.sent(CHAT)
    assert (message.text, message.entities) == ("ab", [{"type": "bold", "offset": 0, "length": 2}])


async def test_markup_in_the_text_is_refused_since_entities_are_the_rule(bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="can't parse entities"):
        await bot.send_message(CHAT, "*x", parse_mode="MarkdownV2")


async def test_a_reply_to_a_message_that_is_gone_is_refused_unless_it_may_go_without(
    bot: Bot, api: FakeBotApi
) -> None:
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await bot.send_message(CHAT, "x", reply_parameters=ReplyParameters(message_id=99))
    lenient = ReplyParameters(message_id=99, allow_sending_without_reply=True)
    await bot.send_message(CHAT, "x", reply_parameters=lenient)
    await bot.send_message(CHAT, "y", reply_parameters=ReplyParameters(message_id=1))
    assert [m.reply_to for m in api.sent(CHAT)] == [None, 1]


async def test_a_thread_that_is_gone_is_refused(bot: Bot, api: FakeBotApi) -> None:
    api.forum(CHAT, 5)
    await bot.send_message(CHAT, "x", message_thread_id=5)
    api.forum(CHAT)
    with pytest.raises(TelegramBadRequest, match="message thread not found"):
        await bot.send_message(CHAT, "x", message_thread_id=5)
    with pytest.raises(TelegramBadRequest, match="message thread not found"):
        await bot.send_chat_action(CHAT, "typing", message_thread_id=5)


async def test_a_blocked_chat_is_forbidden(bot: Bot, api: FakeBotApi) -> None:
    api.block(CHAT)
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(CHAT, "x")


async def test_a_migrated_group_names_its_new_id(bot: Bot, api: FakeBotApi) -> None:
    api.migrate(-5, -1005)
    with pytest.raises(TelegramMigrateToChat) as caught:
        await bot.send_message(-5, "x")
    assert caught.value.migrate_to_chat_id == -1005
    await bot.send_message(-1005, "x")


# --- edits, actions, queries ------------------------------------------------------------------------------


async def test_an_edit_is_kept_with_the_texts_before_it(bot: Bot, api: FakeBotApi) -> None:
    sent = await bot.send_message(CHAT, "one")
    await bot.edit_message_text("two", chat_id=CHAT, message_id=sent.message_id)
    (message,) = api.sent(CHAT)
    assert message.text == "two"
    assert [text for _, text in message.history] == ["one", "two"]


async def test_an_edit_that_changes_nothing_is_refused(bot: Bot) -> None:
    sent = await bot.send_message(CHAT, "one")
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_text("one", chat_id=CHAT, message_id=sent.message_id)


async def test_an_edit_of_nothing_or_of_somebody_elses_message_is_refused(bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=CHAT, message_id=99)
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await bot.edit_message_text("x", chat_id=CHAT, message_id=1)
    with pytest.raises(TelegramBadRequest, match="message identifier is not specified"):
        await bot.edit_message_text("x", chat_id=CHAT)


async def test_a_deleted_message_can_not_be_edited_or_deleted(bot: Bot) -> None:
    sent = await bot.send_message(CHAT, "one")
    await bot.delete_message(CHAT, sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to delete not found"):
        await bot.delete_message(CHAT, sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=CHAT, message_id=sent.message_id)


async def test_actions_are_noted_and_unknown_ones_refused(bot: Bot, api: FakeBotApi) -> None:
    await bot.send_chat_action(CHAT, "typing")
    assert [action for _, action in api.typing(CHAT)] == ["typing"]
    with pytest.raises(TelegramBadRequest, match="wrong parameter action"):
        await bot.send_chat_action(CHAT, "dancing")


async def test_a_query_can_be_answered_once(bot: Bot, api: FakeBotApi) -> None:
    query = api.press_raw(CHAT, "yes")
    with pytest.raises(TelegramBadRequest, match="MESSAGE_TOO_LONG"):
        await bot.answer_callback_query(query, text="x" * 201)
    await bot.answer_callback_query(query, text="x" * 200)
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(query)
    assert api.answers() == {query: "x" * 200}


async def test_a_query_can_be_too_old(bot: Bot, api: FakeBotApi) -> None:
    query = api.press_raw(CHAT, "yes")
    api.expire_queries()
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(query)


# --- buttons ----------------------------------------------------------------------------------------------

KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[
        [
            InlineKeyboardButton(text="Yes", callback_data="y"),
            InlineKeyboardButton(text="Look", url="https://example.org"),
        ]
    ]
)


@pytest.mark.parametrize(
    "button",
    [
        {"text": "", "callback_data": "x"},
        {"text": "  ", "callback_data": "x"},
        {"callback_data": "x"},
        {"text": "x"},
        {"text": "x", "callback_data": ""},
        {"text": "x", "callback_data": "x" * 65},
        {"text": "x", "callback_data": "字" * 22},
        {"text": "x", "callback_data": 5},
        {"text": "x", "callback_data": "x", "url": "https://example.org"},
        {"text": "x", "dance": "x"},
        "x",
    ],
)
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "editMessageReplyMarkup"])
async def test_buttons_that_nobody_could_press_are_refused(api: FakeBotApi, button: Any, method: str) -> None:
    _, sent = await raw(api, "sendMessage", chat_id=CHAT, text="x")
    place = {} if method == "sendMessage" else {"message_id": sent["result"]["message_id"]}
    words = {} if method == "editMessageReplyMarkup" else {"text": "y"}
    markup = {"inline_keyboard": [[button]]}
    status, body = await raw(api, method, chat_id=CHAT, reply_markup=markup, **place, **words)
    assert status == 400
    assert "button" in body["description"].lower()


@pytest.mark.parametrize(
    "markup", [{}, [], {"inline_keyboard": {}}, {"inline_keyboard": [[]]}, {"keyboard": []}]
)
async def test_other_markup_is_refused(api: FakeBotApi, markup: Any) -> None:
    status, body = await raw(api, "sendMessage", chat_id=CHAT, text="x", reply_markup=markup)
    assert status == 400
    assert "keyboard" in body["description"]


async def test_exactly_64_bytes_of_data_are_taken(api: FakeBotApi) -> None:
    markup = {"inline_keyboard": [[{"text": "x", "callback_data": "x" * 64}]]}
    assert (await raw(api, "sendMessage", chat_id=CHAT, text="x", reply_markup=markup))[0] == 200


async def test_a_press_brings_the_message_and_the_data_of_its_button(bot: Bot, api: FakeBotApi) -> None:
    sent = await bot.send_message(CHAT, "Well?", reply_markup=KEYBOARD)
    query = api.press(CHAT, sent.message_id, "Yes", sender=42)
    press = (await bot.get_updates())[-1].callback_query
    assert press is not None
    assert (press.id, press.data, press.from_user.id) == (query, "y", 42)
    assert press.message is not None
    assert (press.message.message_id, press.message.chat.id) == (sent.message_id, CHAT)
    assert isinstance(press.message, Message)
    assert press.message.reply_markup is not None
    assert press.message.reply_markup.model_dump() == KEYBOARD.model_dump()
    for label in ("No", "Look"):
        with pytest.raises(LookupError):
            api.press(CHAT, sent.message_id, label)


async def test_an_edit_of_the_text_takes_the_buttons_away_unless_it_names_them(
    bot: Bot, api: FakeBotApi
) -> None:
    sent = await bot.send_message(CHAT, "one", reply_markup=KEYBOARD)
    place: dict[str, Any] = {"chat_id": CHAT, "message_id": sent.message_id}
    await bot.edit_message_text("two", **place, reply_markup=KEYBOARD)
    assert api.sent(CHAT)[0].keyboard
    await bot.edit_message_text("two", **place)
    assert not api.sent(CHAT)[0].keyboard
    with pytest.raises(LookupError):
        api.press(CHAT, sent.message_id, "Yes")
    api.press(CHAT, sent.message_id, "Yes", stale=True)


async def test_the_buttons_alone_can_be_taken_away_once(bot: Bot, api: FakeBotApi) -> None:
    sent = await bot.send_message(CHAT, "one", reply_markup=KEYBOARD)
    await bot.edit_message_reply_markup(chat_id=CHAT, message_id=sent.message_id)
    (message,) = api.sent(CHAT)
    assert (message.text, message.keyboard) == ("one", [])
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_reply_markup(chat_id=CHAT, message_id=sent.message_id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_reply_markup(chat_id=CHAT, message_id=99)


async def test_an_album_is_one_message_for_each_photo_with_one_id(bot: Bot, api: FakeBotApi) -> None:
    ids = api.user_sends_album(CHAT, 3, caption="look")
    album = [update.message for update in (await bot.get_updates())[-3:]]
    assert len(ids) == 3
    assert [message.caption for message in album if message] == ["look", None, None]
    assert len({message.media_group_id for message in album if message}) == 1
    assert len({message.photo[-1].file_id for message in album if message and message.photo}) == 3


# --- updates ----------------------------------------------------------------------------------------------


async def test_updates_come_again_until_a_higher_offset_confirms_them(bot: Bot, api: FakeBotApi) -> None:
    second = api.user_says(CHAT, "again")
    first = second - 1
    for _ in range(2):
        assert [u.update_id for u in await bot.get_updates()] == [first, second]
    assert [u.update_id for u in await bot.get_updates(offset=second)] == [second]
    assert api.pending() == 1
    assert await bot.get_updates(offset=second + 1) == []
    assert await bot.get_updates() == []


async def test_a_limit_gives_the_oldest_and_a_negative_offset_forgets_all_but_the_newest(
    bot: Bot, api: FakeBotApi
) -> None:
    numbers = [api.user_says(CHAT, f"m{n}") for n in range(3)]
    assert len(await bot.get_updates(limit=2)) == 2
    assert [u.update_id for u in await bot.get_updates(offset=-1)] == numbers[-1:]
    assert api.pending() == 1


@pytest.mark.parametrize("limit", [101, -3])
async def test_a_limit_out_of_range_is_refused(bot: Bot, limit: int) -> None:
    with pytest.raises(TelegramBadRequest, match="limit"):
        await bot.get_updates(limit=limit)


async def test_a_long_poll_answers_at_the_first_update(bot: Bot, api: FakeBotApi) -> None:
    offset = api.world.next_update
    async with asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(bot.get_updates(offset=offset, timeout=LONG_POLL_S))
        await api.wait_until(lambda: [c for c in api.calls("getUpdates") if c.params])
        api.user_says(CHAT, "now")
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert [u.message.text for u in poll.result() if u.message] == ["now"]


async def test_a_second_poller_ends_the_first(bot: Bot, api: FakeBotApi) -> None:
    offset = api.world.next_update

    async def first() -> None:
        with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
            await bot.get_updates(offset=offset, timeout=LONG_POLL_S)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        await api.wait_until(lambda: [c for c in api.calls("getUpdates") if c.params])
        assert await bot.get_updates(offset=offset, timeout=0) == []


async def test_no_updates_while_a_webhook_is_set(bot: Bot, api: FakeBotApi) -> None:
    await bot.set_webhook("https://example.org/hook")
    assert (await bot.get_webhook_info()).pending_update_count == 1
    with pytest.raises(TelegramConflictError, match="webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook(drop_pending_updates=False)
    assert len(await bot.get_updates()) == 1


async def test_dropping_pending_updates_loses_them(bot: Bot) -> None:
    await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.get_updates() == []


async def test_the_kinds_asked_for_stay_asked_for(bot: Bot, api: FakeBotApi) -> None:
    api.press_raw(CHAT, "x")
    assert len(await bot.get_updates(allowed_updates=["message"])) == 1
    assert len(await bot.get_updates()) == 1  # sticky, as on the real server
    assert len(await bot.get_updates(allowed_updates=["message", "callback_query"])) == 2


async def test_commands_and_mentions_are_found_in_utf16_units(bot: Bot, api: FakeBotApi) -> None:
    api.user_says(CHAT, "😀 /new@clawd_test_bot and @someone")
    message = (await bot.get_updates())[-1].message
    assert message is not None
    found = [(e.type, e.extract_from(message.text or "")) for e in message.entities or []]
    assert found == [("bot_command", "/new@clawd_test_bot"), ("mention", "@someone")]


# --- faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", TelegramRetryAfter),
        ("500", TelegramServerError),
        ("502", ClientDecodeError),
        ("garbage", ClientDecodeError),
        ("401", TelegramUnauthorizedError),
        ("403", TelegramForbiddenError),
        ("400", TelegramBadRequest),
        ("reset", TelegramNetworkError),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_fault_strikes_once_before_or_after_the_effect(
    bot: Bot, api: FakeBotApi, kind: str, error: type[Exception], when: Any
) -> None:
    api.fault("sendMessage", kind, when=when, nth=2, retry_after=3)
    await bot.send_message(CHAT, "one")
    with pytest.raises(error):
        await bot.send_message(CHAT, "two")
    await bot.send_message(CHAT, "three")
    expected = ["one", "two", "three"] if when == "after" else ["one", "three"]
    assert [m.text for m in api.sent(CHAT)] == expected
    assert [c.effect for c in api.calls("sendMessage")] == [True, when == "after", True]
    assert api.calls("sendMessage")[1].outcome == kind


async def test_a_hanging_call_ends_with_the_server(bot: Bot, api: FakeBotApi) -> None:
    api.fault("sendMessage", "hang")

    async def send() -> None:
        with pytest.raises(TelegramNetworkError):
            await bot.send_message(CHAT, "x")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        await api.wait_until(lambda: api.calls("sendMessage"))
        await api.stop()
    assert api.sent(CHAT) == []


async def test_a_fault_for_one_chat_spares_the_others(bot: Bot, api: FakeBotApi) -> None:
    api.user_says(8, "hello")
    api.fault("sendMessage", "429", chat=8)
    await bot.send_message(CHAT, "x")
    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(8, "x")


async def test_a_stopped_server_refuses_and_remembers(bot: Bot, api: FakeBotApi) -> None:
    await bot.send_message(CHAT, "one")
    await api.stop()
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(CHAT, "two")
    await api.start()
    await bot.send_message(CHAT, "three")
    assert [m.text for m in api.sent(CHAT)] == ["one", "three"]


# --- its own process --------------------------------------------------------------------------------------


def test_the_same_script_works_on_a_process_of_its_own() -> None:
    with bot_api_process() as api:
        api.user_says(CHAT, "hi")

        async def answer() -> None:
            bot = StockBot(api.url)
            updates = await bot.get_updates()
            assert [u.message.text for u in updates if u.message] == ["hi"]
            await bot.send_message(CHAT, "hello")
            await bot.close_now()

        asyncio.run(answer())
        assert [m["text"] for m in api.wait_for_messages(CHAT, 1, timeout_s=5)] == ["hello"]
        assert [c["outcome"] for c in api.calls("sendMessage")] == ["ok"]
        with pytest.raises(TimeoutError):
            api.wait_for_messages(CHAT, 2, timeout_s=0.05)
