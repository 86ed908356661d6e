"""aiogram without its cost at import: the one module here that imports it.

aiogram rebuilds the schemas of some 450 pydantic models while it is imported, which costs seconds of CPU
and over 100 MB, for a handful that are ever used. Here the rebuilds are put off until a model is first
used. If a self-test fails, because a later aiogram works differently, aiogram is imported as it comes.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, Optional, Union

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_DRIFT = (
    AttributeError,
    ImportError,
    NameError,
    TypeError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    ValidationError,
)
"""What a self-test meets when aiogram or pydantic changed under us."""

_BASES = (
    ("aiogram.types.base", "TelegramObject"),
    ("aiogram.methods.base", "TelegramMethod"),
    ("aiogram.methods.base", "Response"),
)
"""The classes from which aiogram's models descend."""


def _is_aiogram(name: str) -> bool:
    return name == "aiogram" or name.startswith("aiogram.")


def _import_deferred() -> None:
    """Import aiogram with rebuilds put off, and make each model rebuild itself at its first use."""
    stock = BaseModel.__dict__["model_rebuild"]

    def skip_aiogram(cls: type[BaseModel], /, **options: Any) -> bool | None:
        return None if _is_aiogram(cls.__module__) else stock.__func__(cls, **options)

    BaseModel.model_rebuild = classmethod(skip_aiogram)  # type: ignore[assignment,method-assign]
    try:
        types = importlib.import_module("aiogram.types")
    finally:
        BaseModel.model_rebuild = stock  # type: ignore[method-assign]

    # aiogram's own namespace for its forward references, as at the end of aiogram/types/__init__.py.
    names: dict[str, Any] = {name: getattr(types, name) for name in types.__all__}
    default = importlib.import_module("aiogram.client.default").Default
    names |= {"List": list, "Optional": Optional, "Union": Union, "Literal": Literal, "Default": default}

    def rebuild(cls: type[BaseModel], /, **options: Any) -> bool | None:
        # pydantic calls this when an unbuilt model is first used.
        if options.get("_types_namespace") is None:
            options["_types_namespace"] = names
        result: bool | None = stock.__func__(cls, **options)
        return result

    for place, name in _BASES:
        getattr(importlib.import_module(place), name).model_rebuild = classmethod(rebuild)


def _self_test() -> None:
    """Use aiogram in the ways this bridge does; raises one of `_DRIFT` when that no longer works."""
    from aiogram.methods import SendMessage
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity, Update

    entity = MessageEntity(type="bold", offset=0, length=1)
    button = InlineKeyboardButton(text="x", callback_data="y")
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[button]])
    send = SendMessage(chat_id=1, text="x", entities=[entity], reply_markup=keyboard)
    call = send.model_dump(warnings=False)
    if call["text"] != "x" or call["entities"][0]["type"] != "bold":
        raise TypeError("aiogram writes a message differently")
    if call["reply_markup"]["inline_keyboard"][0][0]["callback_data"] != "y":
        raise TypeError("aiogram writes buttons differently")
    chat = {"id": 1, "type": "private", "first_name": "x"}
    body = {"message_id": 1, "date": 1, "chat": chat, "text": "x", "new_field": 1}
    update = Update.model_validate({"update_id": 1, "message": body})
    if update.message is None or update.message.chat.id != 1:
        raise TypeError("aiogram reads a message differently")


def _load(self_test: Callable[[], None] = _self_test) -> bool:
    """Import aiogram the cheap way if it works; return whether it did."""
    if "aiogram" in sys.modules:  # somebody imported it before us, at full price
        return False
    try:
        _import_deferred()
        self_test()
    except _DRIFT as error:
        log.warning("aiogram_imported_whole", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
        for name in [name for name in sys.modules if _is_aiogram(name)]:
            del sys.modules[name]
        return False
    return True


DEFERRED = _load()
"""Whether the cheap import is in use."""

# Only now: these lines import aiogram as it comes where the cheap way did not work.
from aiogram import Bot  # noqa: E402
from aiogram.client.session.base import BaseSession  # noqa: E402
from aiogram.client.telegram import TelegramAPIServer  # noqa: E402
from aiogram.exceptions import (  # noqa: E402
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import (  # noqa: E402
    AnswerCallbackQuery,
    DeleteWebhook,
    EditMessageReplyMarkup,
    EditMessageText,
    GetFile,
    GetMe,
    GetUpdates,
    GetWebhookInfo,
    Response,
    SendAudio,
    SendChatAction,
    SendDocument,
    SendMessage,
    SendMessageDraft,
    SendPhoto,
    SendRichMessage,
    SendVoice,
    SetMessageReaction,
    SetMyCommands,
    SetWebhook,
    TelegramMethod,
)
from aiogram.types import Audio as Sound  # noqa: E402
from aiogram.types import (  # noqa: E402
    Chat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputRichMessage,
    LinkPreviewOptions,
    Message,
    MessageEntity,
    MessageGenerationStopped,
    ReactionTypeEmoji,
    ReplyParameters,
    Update,
    User,
)

__all__ = [
    "DEFERRED",
    "AiogramError",
    "AnswerCallbackQuery",
    "BaseSession",
    "Bot",
    "Chat",
    "ClientDecodeError",
    "DeleteWebhook",
    "EditMessageReplyMarkup",
    "EditMessageText",
    "GetFile",
    "GetMe",
    "GetUpdates",
    "GetWebhookInfo",
    "InlineKeyboardButton",
    "InlineKeyboardMarkup",
    "InputFile",
    "InputRichMessage",
    "LinkPreviewOptions",
    "Message",
    "MessageEntity",
    "MessageGenerationStopped",
    "ReactionTypeEmoji",
    "ReplyParameters",
    "Response",
    "SendAudio",
    "SendChatAction",
    "SendDocument",
    "SendMessage",
    "SendMessageDraft",
    "SendPhoto",
    "SendRichMessage",
    "SendVoice",
    "SetMessageReaction",
    "SetMyCommands",
    "SetWebhook",
    "Sound",
    "TelegramAPIError",
    "TelegramAPIServer",
    "TelegramBadRequest",
    "TelegramConflictError",
    "TelegramEntityTooLarge",
    "TelegramForbiddenError",
    "TelegramMethod",
    "TelegramMigrateToChat",
    "TelegramNetworkError",
    "TelegramNotFound",
    "TelegramRetryAfter",
    "TelegramServerError",
    "TelegramUnauthorizedError",
    "Update",
    "User",
]
