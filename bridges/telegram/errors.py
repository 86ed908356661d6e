"""Telegram's failures as ours: one function per purpose, by type and status, and one table of texts."""

from __future__ import annotations

from typing import Final, Literal

from bridges.telegram.lean import (
    AiogramError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from bridges.telegram.session import NotSent
from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryError,
    DeliveryMoved,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)

CONFLICT_RETRY_S: Final = 7.0  # two pollers that both come back at once would only end each other

Trouble = Literal[
    "unchanged",
    "edit_gone",
    "thread_gone",
    "reply_gone",
    "entities",
    "buttons",
    "too_long",
    "media",
    "file_too_big",
    "unknown_method",
    "other",
]
"""`unknown_method`: the server is older than the method, or the token is refused; the next call tells."""

TROUBLES: Final[tuple[tuple[str, Trouble], ...]] = (
    ("message is not modified", "unchanged"),
    ("message to edit not found", "edit_gone"),
    ("message can't be edited", "edit_gone"),
    ("message_id_invalid", "edit_gone"),
    ("message thread not found", "thread_gone"),
    ("topic_deleted", "thread_gone"),
    ("message to be replied not found", "reply_gone"),
    ("reply message not found", "reply_gone"),
    ("message is too long", "too_long"),
    ("message_too_long", "too_long"),
    ("file is too big", "file_too_big"),
    ("caption is too long", "too_long"),
    ("photo_", "media"),  # "PHOTO_INVALID_DIMENSIONS", "PHOTO_SAVE_FILE_INVALID" …
    ("image_process_failed", "media"),
    ("voice_messages_forbidden", "media"),
    ("button", "buttons"),  # "BUTTON_DATA_INVALID", "can't parse inline keyboard button: …"
    ("entit", "entities"),  # "can't parse entities", "can't parse MessageEntity", "ENTITY_BOUNDS_INVALID" …
)
"""What a 400 is about: the Bot API tells it in words alone. Part of the description, in lower case."""


def trouble(error: AiogramError) -> Trouble | None:
    """Return what a 400, 404 or 413 complains about, `other` where that is not known; None for the rest."""
    if isinstance(error, TelegramEntityTooLarge):
        return "media"
    if isinstance(error, TelegramNotFound):
        return "unknown_method"
    if not isinstance(error, TelegramBadRequest):
        return None
    text = error.message.lower()
    return next((kind for part, kind in TROUBLES if part in text), "other")


def bridge_error(bridge: str, error: AiogramError) -> BridgeError:
    """Return what the supervisor should know: out of reach for now, or credentials refused."""
    match error:
        case TelegramUnauthorizedError() | TelegramNotFound():
            return BridgeAuthError(
                bridge,
                "Telegram refuses the bot token",
                why=error.message,
                remedy=f"get a new one from BotFather and set bridges.{bridge}.token",
            )
        case TelegramConflictError():
            return BridgeNotReady(
                bridge,
                "another poller or a webhook is active for this bot",
                why=error.message,
                retry_after_s=CONFLICT_RETRY_S,
            )
        case TelegramRetryAfter():
            wait = float(error.retry_after)
            return BridgeNotReady(bridge, "Telegram asks us to wait", why=f"{wait:.0f} s", retry_after_s=wait)
        case _:
            return BridgeNotReady(bridge, "Telegram is out of reach", why=_words(error))


def delivery_error(bridge: str, error: AiogramError) -> DeliveryError:
    """Return what the outbox should know: never, later, elsewhere, or nobody can tell."""
    match error:
        case TelegramRetryAfter():
            wait = float(error.retry_after)
            return DeliveryRetryLater(
                bridge, "Telegram asks us to wait", why=f"retry after {wait:.0f} s", retry_after_s=wait
            )
        case TelegramMigrateToChat():
            return DeliveryMoved(bridge, "the group became a supergroup", chat=str(error.migrate_to_chat_id))
        case NotSent():
            return DeliveryRetryLater(bridge, "no connection to Telegram", why=error.message)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return DeliveryUnauthorized(bridge, "Telegram refuses the bot token", why=error.message)
        case TelegramForbiddenError():
            return DeliveryRejected(bridge, "this chat can't be reached", why=error.message, unreachable=True)
        case TelegramBadRequest() | TelegramEntityTooLarge():
            return DeliveryRejected(bridge, "Telegram refuses the message", why=error.message)
        case _:
            return DeliveryUnknown(bridge, "Telegram gave no clear answer", why=_words(error))


def _words(error: AiogramError) -> str:
    """Return the error's own words; never `str` of one that may hold a request."""
    if isinstance(error, TelegramServerError):
        return f"server error: {error.message}"
    if isinstance(error, TelegramAPIError):
        return error.message
    return str(getattr(error, "message", "")) or type(error).__name__
