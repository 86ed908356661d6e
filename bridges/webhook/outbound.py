"""A reply as a signed callback. Pure; equal messages give equal bytes, so that a repeat is one to the receiver."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

from bridges.webhook.signing import sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject


def webhook_id(message: OutboundMessage) -> str:
    """Return the `webhook-id` of a delivery: `delivery:i7-12` becomes `msg_i7-12`. It never has a dot."""
    return "msg_" + message.id.removeprefix("delivery:").replace(".", "-")


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
    name = webhook_id(message)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, name, timestamp, body),
        "Content-Type": "application/json",
        "User-Agent": f"clawd/{version}",
    }
