"""Telegram's failures as ours; each row of the table of texts."""

from __future__ import annotations

import pytest

from bridges.telegram.errors import TROUBLES, Trouble, bridge_error, delivery_error, trouble
from bridges.telegram.lean import (
    ClientDecodeError,
    GetMe,
    SendMessage,
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
from bridges.telegram.session import NotSent
from clawd.errors import (
    BridgeAuthError,
    BridgeNotReady,
    ClawdError,
    DeliveryMoved,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)

CALL = SendMessage(chat_id=1, text="hush")
GARBAGE = ClientDecodeError("HTTP 200 without an answer of the Bot API", ValueError(), None)

# As the Bot API writes them.
REAL: list[tuple[str, Trouble]] = [
    ("Bad Request: message is not modified: specified new message content and reply markup are", "unchanged"),
    ("Bad Request: message to edit not found", "edit_gone"),
    ("Bad Request: message can't be edited", "edit_gone"),
    ("Bad Request: MESSAGE_ID_INVALID", "edit_gone"),
    ("Bad Request: message thread not found", "thread_gone"),
    ("Bad Request: TOPIC_DELETED", "thread_gone"),
    ("Bad Request: message to be replied not found", "reply_gone"),
    ("Bad Request: reply message not found", "reply_gone"),
    ("Bad Request: message caption is too long", "too_long"),
    ("Bad Request: PHOTO_INVALID_DIMENSIONS", "media"),
    ("Bad Request: IMAGE_PROCESS_FAILED", "media"),
    ("Bad Request: VOICE_MESSAGES_FORBIDDEN", "media"),
    ("Bad Request: BUTTON_DATA_INVALID", "buttons"),
    ("Bad Request: can't parse inline keyboard button: Text buttons are unallowed", "buttons"),
    ("Bad Request: file is too big", "file_too_big"),
    ("Bad Request: message is too long", "too_long"),
    ("Bad Request: MESSAGE_TOO_LONG", "too_long"),
    ("Bad Request: can't parse entities: unexpected end tag at byte offset 3", "entities"),
]


@pytest.mark.parametrize(("text", "kind"), REAL)
def test_a_400_is_understood_by_its_words(text: str, kind: Trouble) -> None:
    assert trouble(TelegramBadRequest(CALL, text)) == kind


def test_every_row_of_the_table_has_its_example() -> None:
    for part, kind in TROUBLES:
        assert [text for text, found in REAL if part in text.lower() and found == kind], part


def test_other_words_and_other_codes_are_no_trouble_that_can_be_mended() -> None:
    assert trouble(TelegramBadRequest(CALL, "Bad Request: chat not found")) == "other"
    assert trouble(TelegramNotFound(CALL, "Not Found")) == "unknown_method"
    assert trouble(TelegramEntityTooLarge(CALL, "Request Entity Too Large")) == "media"
    assert trouble(TelegramForbiddenError(CALL, "message is too long")) is None
    assert trouble(GARBAGE) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [  # no DeliveryParked: Telegram has no quota that the user's next message frees
        (TelegramRetryAfter(CALL, "x", 3), DeliveryRetryLater),
        (NotSent(CALL, "ClientConnectorError: refused"), DeliveryRetryLater),
        (TelegramMigrateToChat(CALL, "x", -1009), DeliveryMoved),
        (TelegramUnauthorizedError(CALL, "Unauthorized"), DeliveryUnauthorized),
        (TelegramNotFound(CALL, "Not Found"), DeliveryUnauthorized),
        (TelegramForbiddenError(CALL, "Forbidden: bot was blocked"), DeliveryRejected),
        (TelegramBadRequest(CALL, "Bad Request: chat not found"), DeliveryRejected),
        (TelegramEntityTooLarge(CALL, "Request Entity Too Large"), DeliveryRejected),
        (TelegramServerError(CALL, "HTTP 502"), DeliveryUnknown),
        (TelegramNetworkError(CALL, "no answer in time"), DeliveryUnknown),
        (TelegramAPIError(CALL, "Teapot"), DeliveryUnknown),
        (TelegramConflictError(CALL, "Conflict"), DeliveryUnknown),
        (GARBAGE, DeliveryUnknown),
    ],
)
def test_a_failed_delivery_gets_its_word(error: TelegramAPIError, kind: type[ClawdError]) -> None:
    result = delivery_error("tg", error)
    assert type(result) is kind
    assert result.bridge == "tg"
    assert "hush" not in str(result)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TelegramUnauthorizedError(GetMe(), "Unauthorized"), BridgeAuthError),
        (TelegramNotFound(GetMe(), "Not Found"), BridgeAuthError),
        (TelegramConflictError(GetMe(), "Conflict"), BridgeNotReady),
        (TelegramRetryAfter(GetMe(), "x", 3), BridgeNotReady),
        (TelegramServerError(GetMe(), "HTTP 502"), BridgeNotReady),
        (TelegramNetworkError(GetMe(), "no answer in time"), BridgeNotReady),
        (GARBAGE, BridgeNotReady),
    ],
)
def test_a_failed_connection_gets_its_word(error: TelegramAPIError, kind: type[ClawdError]) -> None:
    assert type(bridge_error("tg", error)) is kind
