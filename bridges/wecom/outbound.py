"""From replies to the bodies of frames: pure.

Source: developer.work.weixin.qq.com, documents 101031 and 101463: `content` is Markdown of at most 20,480 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.response import JsonObject

TEXT_LIMIT: Final = 20_480  # bytes of UTF-8
THINKING: Final = "<think></think>"
"""What the client shows as a thinking bubble: the first snapshot of a stream that has no text yet."""


def stream(stream_id: str, content: str, *, finish: bool) -> JsonObject:
    """Return a snapshot of a stream: the whole text so far, never a difference."""
    return {
        "msgtype": "stream",
        "stream": {"id": stream_id, "finish": finish, "content": cut(content)},
    }


def markdown(chat: str, content: str) -> JsonObject:
    """Return a message that answers nothing."""
    return {"chatid": chat, "msgtype": "markdown", "markdown": {"content": cut(content)}}


def template_card(chat: str, card: JsonObject) -> JsonObject:
    """Return a card that answers nothing."""
    return {"chatid": chat, "msgtype": "template_card", "template_card": card}


def media(chat: str, kind: str, media_id: str) -> JsonObject:
    """Return an uploaded file; `kind` is the one that it was uploaded as."""
    return {"chatid": chat, "msgtype": kind, kind: {"media_id": media_id}}


def welcome(text: str) -> JsonObject:
    """Return the answer to somebody who entered."""
    return {"msgtype": "text", "text": {"content": text}}


def update_card(user: str, card: JsonObject) -> JsonObject:
    """Return what replaces the card that this user pressed."""
    return {"response_type": "update_template_card", "userids": [user], "template_card": card}


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return the text, or its head that fits, cut between two characters."""
    raw = text.encode(errors="replace")
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore")
