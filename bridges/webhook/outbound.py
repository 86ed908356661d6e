"""A reply as a signed callback. Pure; equal messages give equal bytes, so that a repeat is one to the receiver."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

from clawd.webhooks.sending import headers_of as signed_headers
from clawd.webhooks.sending import webhook_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject


def body_of(message: OutboundMessage) -> bytes:
    """Return the callback's body: JSON in UTF-8, the same for every attempt.

    `seq` is the place of the answered message in its conversation (null for what no message asked for),
    `part` counts from 0 when a long reply was cut, `final` is true for the last part.
    """
    data: JsonObject = {
        "conversation": message.address.chat,
        "in_reply_to": message.reference,
        "seq": message.seq,
        "part": message.part,
        "final": message.part == message.parts - 1,
        "text": message.text,
        "attachments": [],
    }
    event: JsonObject = {
        "type": "message.failed" if message.kind == "failed" else "message.reply",
        "timestamp": message.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(
    message: OutboundMessage, body: bytes, keys: Sequence[bytes], *, timestamp: int, version: str
) -> Mapping[str, str]:
    """Return the headers of one attempt; only the time and the signature differ between attempts."""
    return signed_headers(webhook_id(message), body, keys, timestamp=timestamp, version=version)
