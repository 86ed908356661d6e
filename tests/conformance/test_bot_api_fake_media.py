"""The fake Bot API takes drafts, rich messages, uploads and reactions as the real one does, seen by aiogram."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest
from aiogram import methods
from aiogram.exceptions import TelegramBadRequest, TelegramNotFound
from aiogram.types import (
    BufferedInputFile,
    InputRichMessage,
    MessageEntity,
    MessageGenerationStopped,
    ReactionTypeCustomEmoji,
    ReactionTypeEmoji,
)

from tests.conformance.test_bot_api_fake import StockBot
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.bot_api_media import FILES, REACTIONS
from tests.fakes.bot_api_rules import METHODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiogram import Bot

CHAT, GROUP = 7, -1001
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\2"
OPUS = b"OggS" + bytes(24) + b"OpusHead"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "hello")
        server.user_says(GROUP, "hello")
        yield server


@pytest.fixture
async def bot(api: FakeBotApi) -> AsyncIterator[Bot]:
    bot = StockBot(api.url)
    yield bot
    await bot.close_now()


@pytest.mark.parametrize("name", METHODS)
def test_every_field_that_the_fake_knows_is_one_of_aiograms(name: str) -> None:
    model = getattr(methods, name[0].upper() + name[1:])
    assert METHODS[name].keys() <= model.model_fields.keys()


async def test_a_draft_is_shown_again_and_its_button_names_it(bot: Bot, api: FakeBotApi) -> None:
    api.forum(CHAT, 5)
    with pytest.raises(LookupError):
        api.stop_draft(CHAT)
    for text in ("", "so far"):
        await bot.send_message_draft(CHAT, 77, message_thread_id=5, text=text, can_stop=True)
    api.stop_draft(CHAT)
    pressed = (await bot.get_updates(allowed_updates=["stopped_message_generation"]))[-1]
    assert pressed.stopped_message_generation is not None
    assert isinstance(pressed.stopped_message_generation, MessageGenerationStopped)
    stopped = pressed.stopped_message_generation
    assert (stopped.chat.id, stopped.draft_id, stopped.message_thread_id) == (CHAT, 77, 5)
    assert [draft.text for draft in api.drafts(CHAT)] == ["", "so far"]
    await bot.send_message(CHAT, "all", message_thread_id=5)
    with pytest.raises(LookupError):
        api.stop_draft(CHAT)


@pytest.mark.parametrize(
    "fields",
    [
        {"chat_id": GROUP, "draft_id": 1},
        {"chat_id": CHAT, "draft_id": 0},
        {"chat_id": CHAT, "draft_id": 1, "text": "x" * 4097},
        {"chat_id": CHAT, "draft_id": 1, "message_thread_id": 99},
        {"chat_id": CHAT, "draft_id": 1, "text": "x", "parse_mode": "HTML"},
        {
            "chat_id": CHAT,
            "draft_id": 1,
            "text": "x",
            "entities": [MessageEntity(type="bold", offset=0, length=2)],
        },
    ],
)
async def test_drafts_that_do_not_fit_are_refused(bot: Bot, fields: dict[str, Any]) -> None:
    with pytest.raises(TelegramBadRequest):
        await bot.send_message_draft(**fields)


async def test_a_rich_message_is_its_markdown_and_may_replace_a_text(bot: Bot, api: FakeBotApi) -> None:
    sent = await bot.send_message(CHAT, "one")
    rich = InputRichMessage(markdown="# two")
    await bot.edit_message_text(chat_id=CHAT, message_id=sent.message_id, rich_message=rich)
    await bot.send_rich_message(CHAT, rich)
    assert [message.rich for message in api.sent(CHAT)] == ["# two", "# two"]
    for wrong in (InputRichMessage(markdown=" "), InputRichMessage(html="x"), InputRichMessage()):
        with pytest.raises(TelegramBadRequest):
            await bot.send_rich_message(CHAT, wrong)
    with pytest.raises(TelegramBadRequest, match="too long"):
        await bot.send_rich_message(CHAT, InputRichMessage(markdown="x" * 32_769))


async def test_uploads_arrive_byte_for_byte(bot: Bot, api: FakeBotApi) -> None:
    await bot.send_photo(CHAT, BufferedInputFile(PNG, "a.png"), caption="see")
    await bot.send_voice(CHAT, BufferedInputFile(OPUS, "a.ogg"), duration=3)
    await bot.send_audio(CHAT, BufferedInputFile(b"ID3x", "a.mp3"))
    sent = await bot.send_document(CHAT, BufferedInputFile(b"\r\n--\0", "a.bin"))
    assert [(m.kind, m.file, m.text) for m in api.sent(CHAT)] == [
        ("photo", PNG, "see"),
        ("voice", OPUS, ""),
        ("audio", b"ID3x", ""),
        ("document", b"\r\n--\0", ""),
    ]
    assert sent.document is not None
    assert sent.document.file_name == "a.bin"
    with pytest.raises(TelegramBadRequest, match="no text in the message to edit"):
        await bot.edit_message_text("x", chat_id=CHAT, message_id=sent.message_id)


@pytest.mark.parametrize(
    ("method", "content", "caption"),
    [
        ("sendPhoto", b"GIF89a", ""),
        ("sendPhoto", PNG[:16] + (9999).to_bytes(4, "big") + (2).to_bytes(4, "big"), ""),
        ("sendPhoto", PNG + bytes(10_000_000), ""),
        ("sendVoice", b"OggS" + bytes(60), ""),
        ("sendAudio", b"RIFF", ""),
        ("sendDocument", b"", ""),
        ("sendDocument", b"x", "😀" * 513),
    ],
)
async def test_uploads_that_do_not_fit_are_refused(
    bot: Bot, api: FakeBotApi, method: str, content: bytes, caption: str
) -> None:
    model = getattr(methods, method[0].upper() + method[1:])
    file = {FILES[method]: BufferedInputFile(content, "a")}
    with pytest.raises(TelegramBadRequest):
        await bot(model(chat_id=CHAT, caption=caption or None, **file))
    assert not api.sent(CHAT)


async def test_a_reaction_is_one_of_the_list_on_a_message_that_is_there(bot: Bot, api: FakeBotApi) -> None:
    eyes = ReactionTypeEmoji(emoji="👀")
    await bot.set_message_reaction(CHAT, 1, reaction=[eyes])
    await bot.set_message_reaction(CHAT, 1, reaction=[])
    assert api.reactions(CHAT) == {1: ["👀", ""]}
    wrongs: list[list[Any]] = [
        [ReactionTypeEmoji(emoji="✅")],
        [ReactionTypeCustomEmoji(custom_emoji_id="1")],
        [eyes, eyes],
    ]
    for wrong in wrongs:
        with pytest.raises(TelegramBadRequest, match="REACTION"):
            await bot.set_message_reaction(CHAT, 1, reaction=wrong)
    with pytest.raises(TelegramBadRequest, match="not found"):
        await bot.set_message_reaction(CHAT, 99, reaction=[eyes])


def test_the_list_of_reactions_is_the_one_that_aiogram_quotes() -> None:
    quoted = (
        inspect.getsource(ReactionTypeEmoji).partition("Currently, it can be one of ")[2].partition("\n")[0]
    )
    assert set(re.findall(r'"([^"\s,]+)"', quoted)) == REACTIONS


async def test_a_method_can_be_newer_than_the_server(bot: Bot, api: FakeBotApi) -> None:
    api.forget_method("sendMessageDraft")
    with pytest.raises(TelegramNotFound):
        await bot.send_message_draft(CHAT, 1)
