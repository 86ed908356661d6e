"""A sender of signed webhooks: signs with the `standardwebhooks` package, as a stranger's software would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from standardwebhooks import Webhook

from clawd.bridge import HttpRequest

if TYPE_CHECKING:
    from datetime import datetime

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ROTATED = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="


def event(text: str = "hi", **data: Any) -> bytes:
    """Return the body of a message."""
    value = {"type": "message.created", "timestamp": "2026-01-01T12:00:00Z", "data": {"text": text, **data}}
    return json.dumps(value, ensure_ascii=False).encode()


def signed(
    body: bytes, now: datetime, *, message_id: str = "msg_1", secret: str = SECRET, family: str = "webhook"
) -> dict[str, str]:
    """Return the headers of a request with this body."""
    return {
        f"{family}-id": message_id,
        f"{family}-timestamp": str(int(now.timestamp())),
        f"{family}-signature": Webhook(secret).sign(message_id, now, body.decode()),
        "content-type": "application/json",
    }


def request(
    body: bytes, headers: dict[str, str], *, method: str = "POST", repeated: frozenset[str] = frozenset()
) -> HttpRequest:
    """Return the request as the gateway hands it to a bridge."""
    return HttpRequest(
        method=method, headers=headers, repeated=repeated, query={}, body=body, remote="127.0.0.1"
    )
