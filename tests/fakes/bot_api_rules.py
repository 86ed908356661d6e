"""What the Bot API accepts: methods, fields, texts and entities, with the real server's words.

Where the real server is lenient (it ignores unknown fields and bad offsets) this one refuses, so that a
mistake shows in a test and not as a missing bold word.

Source: https://core.telegram.org/bots/api
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_LIMIT: Final = 4096  # UTF-16 code units
QUERY_TEXT_LIMIT: Final = 200

FieldKind = Literal["chat", "int", "bool", "str", "json", "file"]

_MESSAGE_FIELDS: Final[dict[str, FieldKind]] = {
    "business_connection_id": "str",
    "entities": "json",
    "link_preview_options": "json",
    "parse_mode": "str",
    "reply_markup": "json",
    "text": "str",
}

_SEND_FIELDS: Final[dict[str, FieldKind]] = {
    "allow_paid_broadcast": "bool",
    "business_connection_id": "str",
    "chat_id": "chat",
    "disable_notification": "bool",
    "message_effect_id": "str",
    "message_thread_id": "int",
    "protect_content": "bool",
    "reply_markup": "json",
    "reply_parameters": "json",
}
_CAPTION_FIELDS: Final[dict[str, FieldKind]] = {
    "caption": "str",
    "caption_entities": "json",
    "parse_mode": "str",
}

METHODS: Final[dict[str, dict[str, FieldKind]]] = {
    "getMe": {},
    "getUpdates": {"offset": "int", "limit": "int", "timeout": "int", "allowed_updates": "json"},
    "setWebhook": {
        "url": "str",
        "ip_address": "str",
        "max_connections": "int",
        "allowed_updates": "json",
        "drop_pending_updates": "bool",
        "secret_token": "str",
    },
    "deleteWebhook": {"drop_pending_updates": "bool"},
    "getWebhookInfo": {},
    "getFile": {"file_id": "str"},
    "setMyCommands": {"commands": "json", "language_code": "str", "scope": "json"},
    "sendMessage": {
        **_MESSAGE_FIELDS,
        "allow_paid_broadcast": "bool",
        "chat_id": "chat",
        "disable_notification": "bool",
        "message_effect_id": "str",
        "message_thread_id": "int",
        "protect_content": "bool",
        "reply_parameters": "json",
    },
    "sendRichMessage": {**_SEND_FIELDS, "rich_message": "json"},
    "sendMessageDraft": {
        "can_stop": "bool",
        "chat_id": "int",
        "draft_id": "int",
        "entities": "json",
        "keep_on_stop": "bool",
        "message_thread_id": "int",
        "parse_mode": "str",
        "text": "str",
    },
    "sendPhoto": {
        **_SEND_FIELDS,
        **_CAPTION_FIELDS,
        "has_spoiler": "bool",
        "photo": "file",
        "show_caption_above_media": "bool",
    },
    "sendVoice": {**_SEND_FIELDS, **_CAPTION_FIELDS, "duration": "int", "voice": "file"},
    "sendAudio": {
        **_SEND_FIELDS,
        **_CAPTION_FIELDS,
        "audio": "file",
        "duration": "int",
        "performer": "str",
        "title": "str",
    },
    "sendDocument": {
        **_SEND_FIELDS,
        **_CAPTION_FIELDS,
        "disable_content_type_detection": "bool",
        "document": "file",
    },
    "setMessageReaction": {"chat_id": "chat", "is_big": "bool", "message_id": "int", "reaction": "json"},
    "editMessageText": {
        **_MESSAGE_FIELDS,
        "rich_message": "json",
        "chat_id": "chat",
        "inline_message_id": "str",
        "message_id": "int",
    },
    "editMessageReplyMarkup": {
        "business_connection_id": "str",
        "chat_id": "chat",
        "inline_message_id": "str",
        "message_id": "int",
        "reply_markup": "json",
    },
    "deleteMessage": {"chat_id": "chat", "message_id": "int"},
    "sendChatAction": {
        "action": "str",
        "business_connection_id": "str",
        "chat_id": "chat",
        "message_thread_id": "int",
    },
    "answerCallbackQuery": {
        "cache_time": "int",
        "callback_query_id": "str",
        "show_alert": "bool",
        "text": "str",
        "url": "str",
    },
}

ACTIONS: Final = frozenset(
    {
        "choose_sticker",
        "find_location",
        "record_video",
        "record_video_note",
        "record_voice",
        "typing",
        "upload_document",
        "upload_photo",
        "upload_video",
        "upload_video_note",
        "upload_voice",
    }
)

ENTITY_TYPES: Final = frozenset(
    {
        "blockquote",
        "bold",
        "bot_command",
        "cashtag",
        "code",
        "custom_emoji",
        "email",
        "expandable_blockquote",
        "hashtag",
        "italic",
        "mention",
        "phone_number",
        "pre",
        "spoiler",
        "strikethrough",
        "text_link",
        "text_mention",
        "underline",
        "url",
    }
)
_ENTITY_FIELDS: Final = frozenset({"type", "offset", "length", "url", "user", "language", "custom_emoji_id"})
_EXCLUSIVE: Final = frozenset({"code", "pre"})  # "can't contain other entities", nor lie in a style
_QUOTES: Final = frozenset({"blockquote", "expandable_blockquote"})  # "can't be nested"


class ApiError(Exception):
    """An answer with `ok: false`."""

    def __init__(self, status: int, description: str, parameters: dict[str, int] | None = None) -> None:
        super().__init__(status, description)
        self.status = status
        self.description = description
        self.parameters = parameters or {}


def bad(description: str) -> ApiError:
    """Return the error for a request that is wrong."""
    return ApiError(400, f"Bad Request: {description}")


def utf16(text: str) -> int:
    """Return the length in UTF-16 code units, the unit of every Bot API limit and offset."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def read_params(method: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with their types; raises ApiError for what the API does not know."""
    fields = METHODS.get(method)
    if fields is None:
        raise ApiError(404, "Not Found")
    params: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in fields:
            raise bad(f"{method} has no parameter {name}")
        params[name] = _typed(name, fields[name], value)
    return params


def _typed(name: str, kind: FieldKind, value: Any) -> Any:
    if kind == "str":
        if not isinstance(value, str):
            raise bad(f"{name} must be a string")
        return value
    if kind == "file":
        return value
    if kind == "bool":
        return str(value).lower() in {"true", "1", "yes"}
    if kind == "json":
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name} JSON object") from None
    try:
        return int(value)
    except (TypeError, ValueError):
        if kind == "chat":
            raise bad("chat not found") from None
        raise bad(f"{name} must be an integer") from None


def clean_text(params: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return text and entities as the server keeps them: white space trimmed, offsets shifted with it.

    Raises:
        ApiError: empty or too long text, or an entity that does not fit it.
    """
    if params.get("parse_mode"):
        raise bad("can't parse entities: this server takes entities only")
    text = params.get("text") or ""
    entities = params.get("entities") or []
    check_entities(text, entities)
    trimmed = text.strip()
    if not trimmed:
        raise bad("message text is empty")
    if utf16(trimmed) > TEXT_LIMIT:
        raise bad("message is too long")
    cut, size = utf16(text) - utf16(text.lstrip()), utf16(trimmed)
    kept = []
    for entity in entities:
        start = max(0, entity["offset"] - cut)
        end = min(size, entity["offset"] + entity["length"] - cut)
        if end > start:
            kept.append({**entity, "offset": start, "length": end - start})
    return trimmed, kept


def check_entities(text: str, entities: Any) -> None:
    """Raise ApiError unless every entity is known, lies inside the text and nests properly."""
    if not isinstance(entities, list):
        raise bad("can't parse entities JSON object")
    borders = _borders(text)
    spans: list[tuple[int, int, str]] = []
    for entity in entities:
        if not isinstance(entity, dict) or not entity.keys() <= _ENTITY_FIELDS:
            raise bad("can't parse MessageEntity: unknown field")
        kind, start, length = entity.get("type"), entity.get("offset"), entity.get("length")
        if kind not in ENTITY_TYPES:
            raise bad(f"can't parse MessageEntity: unsupported type {kind!r}")
        if not isinstance(start, int) or not isinstance(length, int) or length < 1:
            raise bad("can't parse MessageEntity: offset and length must be numbers, length above 0")
        if start not in borders or start + length not in borders:
            raise bad(f"can't parse entities: {kind} at {start}+{length} does not fit the text")
        if kind == "text_link" and not _is_link(entity.get("url")):
            raise bad("can't parse MessageEntity: text_link needs an HTTP URL")
        spans.append((start, start + length, kind))
    _check_nesting(sorted(spans, key=lambda span: (span[0], -span[1], span[2] in _EXCLUSIVE)))


def _borders(text: str) -> set[int]:
    """Return the offsets at which an entity may begin or end: never inside a surrogate pair."""
    at, borders = 0, {0}
    for char in text:
        at += 2 if ord(char) > 0xFFFF else 1
        borders.add(at)
    return borders


def _check_nesting(spans: list[tuple[int, int, str]]) -> None:
    open_spans: list[tuple[int, int, str]] = []
    for span in spans:
        while open_spans and open_spans[-1][1] <= span[0]:
            open_spans.pop()
        if open_spans and open_spans[-1][1] < span[1]:
            raise bad("can't parse entities: entities overlap")
        for outer in open_spans:
            if outer[2] in _EXCLUSIVE or (span[2] in _EXCLUSIVE and outer[2] not in _QUOTES):
                raise bad(f"can't parse entities: {span[2]} inside {outer[2]}")
            if outer[2] in _QUOTES and span[2] in _QUOTES:
                raise bad("can't parse entities: nested blockquotes")
        open_spans.append(span)


def _is_link(url: Any) -> bool:
    if not isinstance(url, str) or any(c.isspace() for c in url):
        return False
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "tg", "mailto"} and bool(parts.netloc or parts.path)
