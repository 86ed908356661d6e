"""An event for a program as the body of a signed call. Pure; equal events give equal bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject


def body_of(message: OutboundMessage) -> bytes:
    """Return the body of a delivery that carries a callback: JSON in UTF-8, the same for every attempt.

    `in_reply_to` and `turn` are what `POST /v1/messages` answered with as `id`; `seq` is the place of the
    message in its conversation.
    """
    event = message.callback
    assert event is not None  # noqa: S101 - what others carry is no event
    data: JsonObject = {
        "conversation": message.address.chat,
        "in_reply_to": message.turn,
        "turn": message.turn,
        "seq": message.seq,
        "status": event.status,
    }
    if event.question is not None:
        question = event.question
        data |= {
            "approval": question.id,
            "about": question.about,
            "tool": question.tool,
            "subject": question.subject,
            "deadline": _time(question.deadline),
        }
    else:
        data |= {"text": message.text, "attachments": []}
    if event.event == "message.received":
        data["sender"] = event.sender
    else:
        data["final"] = event.question is None
    told: JsonObject = {"type": event.event, "timestamp": _time(event.at), "data": data}
    # Half of a surrogate pair, as broken clients send, becomes a question mark.
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
