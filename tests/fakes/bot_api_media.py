"""Uploads, reactions, drafts and rich messages of the fake Bot API: what it accepts, with the real words.

Source: https://core.telegram.org/bots/api: sendPhoto, sendVoice, sendAudio, sendDocument, ReactionTypeEmoji,
sendRichMessage, sendMessageDraft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.fakes.bot_api_rules import TEXT_LIMIT, ApiError, bad, check_entities, utf16

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPTION_LIMIT: Final = 1024
UPLOAD_LIMIT: Final = 50 * 1000 * 1000
PHOTO_LIMIT: Final = 10 * 1000 * 1000
RICH_LIMIT: Final = 32_768
DRAFT_LIFE_S: Final = 30.0

FILES: Final = {
    "sendAudio": "audio",
    "sendDocument": "document",
    "sendPhoto": "photo",
    "sendVoice": "voice",
}
"""The methods that carry a file, and the field that it is in."""

REACTIONS: Final = frozenset(
    [
        "❤",
        "👍",
        "👎",
        "🔥",
        "🥰",
        "👏",
        "😁",
        "🤔",
        "🤯",
        "😱",
        "🤬",
        "😢",
        "🎉",
        "🤩",
        "🤮",
        "💩",
        "🙏",
        "👌",
        "🕊",
        "🤡",
        "🥱",
        "🥴",
        "😍",
        "🐳",
        "❤\u200d🔥",
        "🌚",
        "🌭",
        "💯",
        "🤣",
        "⚡",
        "🍌",
        "🏆",
        "💔",
        "🤨",
        "😐",
        "🍓",
        "🍾",
        "💋",
        "🖕",
        "😈",
        "😴",
        "😭",
        "🤓",
        "👻",
        "👨\u200d💻",
        "👀",
        "🎃",
        "🙈",
        "😇",
        "😨",
        "🤝",
        "✍",
        "🤗",
        "🫡",
        "🎅",
        "🎄",
        "☃",
        "💅",
        "🤪",
        "🗿",
        "🆒",
        "💘",
        "🙉",
        "🦄",
        "😘",
        "💊",
        "🙊",
        "😎",
        "👾",
        "🤷\u200d♂",
        "🤷",
        "🤷\u200d♀",
        "😡",
    ]
)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file of a multipart request."""

    name: str
    content: bytes


@dataclass(slots=True, kw_only=True)
class ShownDraft:
    """A draft as the person sees it."""

    draft_id: int
    text: str
    at: float  # wall time of the last showing
    can_stop: bool
    thread: int | None


def read_draft(params: Mapping[str, Any], now: float) -> ShownDraft:
    """Return what a sendMessageDraft shows; raises ApiError for what the server refuses."""
    text, entities = params.get("text", ""), params.get("entities") or []
    if params.get("parse_mode"):
        raise bad("can't parse entities: this server takes entities only")
    if utf16(text) > TEXT_LIMIT:
        raise bad("message is too long")
    check_entities(text, entities)
    number = params.get("draft_id", 0)
    if not number:
        raise bad("draft_id is invalid")
    return ShownDraft(
        draft_id=number,
        text=text,
        at=now,
        can_stop=bool(params.get("can_stop")),
        thread=params.get("message_thread_id"),
    )


def read_rich(rich: Any) -> str:
    """Return the Markdown of an InputRichMessage, the one form that this fake takes."""
    if not isinstance(rich, dict):
        raise bad("can't parse InputRichMessage JSON object")
    if rich.keys() - {"markdown", "is_rtl", "skip_entity_detection"}:
        raise bad("can't parse InputRichMessage: exactly one of html, markdown and blocks is needed")
    text = rich.get("markdown")
    if not isinstance(text, str) or not text.strip():
        raise bad("rich message is empty")
    if len(text) > RICH_LIMIT:
        raise bad("rich message is too long")
    return text.strip()


def read_file(method: str, params: Mapping[str, Any]) -> Uploaded:
    """Return the file of an upload; raises ApiError for one that this method does not take."""
    file = params.get(FILES[method])
    if not isinstance(file, Uploaded):
        raise bad(f"there is no {FILES[method]} in the request")
    if not file.content:
        raise bad("file must be non-empty")
    if len(file.content) > UPLOAD_LIMIT:
        raise ApiError(413, "Request Entity Too Large")
    head = file.content[:64]
    if method == "sendPhoto":
        _check_photo(file.content)
    if method == "sendVoice" and not (head.startswith(b"OggS") and b"OpusHead" in head):
        raise bad("VOICE_MESSAGE_FORMAT_INVALID")
    if method == "sendAudio" and not (head.startswith((b"ID3", b"\xff\xfb")) or head[4:8] == b"ftyp"):
        raise bad("AUDIO_FORMAT_INVALID")
    return file


def _check_photo(content: bytes) -> None:
    """Refuse what is no PNG of the allowed sides; other pictures are not read here."""
    if len(content) > PHOTO_LIMIT:
        raise bad("file is too big for a photo")
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or content[12:16] != b"IHDR":
        raise bad("IMAGE_PROCESS_FAILED")
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if not width or not height or width + height > 10_000 or max(width, height) > 20 * min(width, height):
        raise bad("PHOTO_INVALID_DIMENSIONS")


def read_caption(params: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return caption and entities; raises ApiError."""
    caption, entities = params.get("caption") or "", params.get("caption_entities") or []
    check_entities(caption, entities)
    if utf16(caption) > CAPTION_LIMIT:
        raise bad("message caption is too long")
    return caption, entities


def read_reaction(raw: Any) -> str:
    """Return the emoji of a reaction, "" for none; a bot may put one."""
    if raw in (None, []):
        return ""
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        raise bad("can't parse reaction types JSON object")
    if len(raw) > 1:
        raise bad("REACTIONS_TOO_MANY")
    (one,) = raw
    if one.keys() != {"type", "emoji"} or one["type"] != "emoji" or one["emoji"] not in REACTIONS:
        raise bad("REACTION_INVALID")
    return str(one["emoji"])
