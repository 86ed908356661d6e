"""Replies as WeChat takes them: plain text by bytes, XML for open requests, JSON for the API. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from bridges.wechat.plain import to_plain
from bridges.wechat.xml_body import writable, write_fields

if TYPE_CHECKING:
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject

MAX_BYTES: Final = 2047
"""Of one text, in UTF-8. WeChat documents 2048 and cuts at 2047."""

HINT_BYTES: Final = 120  # room for the line that says how to get the rest
SUCCESS: Final = b"success"
"""The answer that shows nothing and keeps WeChat from asking again. Never encrypted."""


def plain_text(message: OutboundMessage) -> str:
    """Return the text of a delivery as WeChat shows it."""
    # Where all of it is markup, that is what was meant.
    return writable(to_plain(message.text)).strip() or writable(message.text).strip()


def cut(text: str, limit: int = MAX_BYTES) -> tuple[str, str]:
    """Return the beginning of a text that fits, and the rest; cut at a line's or word's end if there is one.

    Args:
        text: Without surrounding white space.
        limit: Greatest beginning in bytes of UTF-8, at least 4.

    No character is cut, nor what a reader sees as one (skin tones, ZWJ, accents, flags) where that can be.
    """
    raw = text.encode()
    if len(raw) <= limit:
        return text, ""
    head = raw[:limit].decode("utf-8", "ignore")
    for separator in ("\n\n", "\n", " "):
        position = head.rfind(separator)
        if position >= len(head) // 3:  # a tiny part is worse than a plain cut
            return head[:position].rstrip(), text[position:].lstrip()
    end = len(head)
    while end > len(head) // 2 and _joined(text, end):
        end -= 1
    return head[:end], text[end:].lstrip("\n")


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place are one to the reader."""
    after, before = ord(text[at]), ord(text[at - 1])
    if _is_half_flag(after) and _is_half_flag(before):
        begin = at
        while begin and _is_half_flag(ord(text[begin - 1])):
            begin -= 1
        return (at - begin) % 2 == 1
    return (
        0x200D in (after, before)
        or 0xFE00 <= after <= 0xFE0F
        or 0x1F3FB <= after <= 0x1F3FF
        or 0x0300 <= after <= 0x036F
        or 0x20D0 <= after <= 0x20FF
    )


def _is_half_flag(code: int) -> bool:
    return 0x1F1E6 <= code <= 0x1F1FF


def text_reply(text: str, *, to: str, sender: str, now_s: int) -> str:
    """Return the XML of a text that answers an open request."""
    return write_fields(
        (
            ("ToUserName", to),
            ("FromUserName", sender),
            ("CreateTime", now_s),
            ("MsgType", "text"),
            ("Content", text),
        )
    )


def encrypted_reply(encrypted: str, *, signature: str, timestamp: int, nonce: str) -> str:
    """Return the XML around an encrypted reply."""
    return write_fields(
        (
            ("Encrypt", encrypted),
            ("MsgSignature", signature),
            ("TimeStamp", timestamp),
            ("Nonce", nonce),
        )
    )


def text_payload(to: str, text: str) -> JsonObject:
    """Return the body of a text by the customer-service API."""
    return {"touser": to, "msgtype": "text", "text": {"content": text}}


def media_payload(to: str, kind: str, media_id: str) -> JsonObject:
    """Return the body of an uploaded image or voice by the customer-service API."""
    return {"touser": to, "msgtype": kind, kind: {"media_id": media_id}}


def encoded(payload: JsonObject) -> bytes:
    """Return JSON in plain UTF-8: WeChat has shown escapes to people as they stand."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
