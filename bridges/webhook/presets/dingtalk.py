"""DingTalk's robots of an app, in their HTTP mode.

Source: open.dingtalk.com, "Receive messages of a robot". The signature covers the time alone and not the
body: who reads one request can make others for an hour. So nothing in a body is trusted with more than words:
where replies go is checked against a list of hosts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bridges.webhook.envelope import JSON, Envelope, Rejected, check_any, check_type, proof, seconds
from bridges.webhook.fields import Fields
from bridges.webhook.presets.base import Heard, Ignored, Sample
from clawd.messages import Address, Cursor, InboundMessage, MessageId, Sender, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject


class DingTalk:
    """A robot.

    Args:
        bridge: The name of the bridge.
        keys: The app's secrets, of which one has to have signed.
        tolerance_s: Between DingTalk's clock and ours.
        may_answer_at: Whether a reply may go to this URL.
    """

    chat = True

    def __init__(
        self,
        bridge: str,
        keys: Sequence[bytes],
        tolerance_s: float,
        *,
        may_answer_at: Callable[[str], bool],
    ) -> None:
        self._bridge = bridge
        self._keys = keys
        self._tolerance_s = tolerance_s
        self._may_answer_at = may_answer_at

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the body of a request whose time is signed."""
        check_type(request)
        timestamp, signature = proof(request, "timestamp", "sign")
        sent = seconds("timestamp", timestamp, now, self._tolerance_s, per_second=1000)
        check_any((signature_of(key, timestamp) for key in self._keys), signature)
        return Envelope(id=None, timestamp=sent, body=request.body)

    def answer(self, _envelope: Envelope, _payload: JsonObject) -> JsonObject | None:
        """Return None: DingTalk asks nothing."""
        return None

    def read(self, envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        """Return what a person wrote, and where it may be answered."""
        event = Fields(payload)
        kind = event.may("/msgtype")
        text = _text(event, kind)
        if not text:
            return Ignored(f"a message of the type {kind or 'none'}")
        message_id, chat = event.key("/msgId"), event.key("/conversationId")
        private = event.may("/conversationType") == "1"
        message = InboundMessage(
            id=MessageId(f"dingtalk:{self._bridge}:{message_id}"),
            address=Address(
                bridge=self._bridge,
                account=event.key("/robotCode" if event.may("/robotCode") else "/chatbotUserId"),
                chat=chat,
            ),
            # Staff ids are the organization's own; people of others have none.
            sender=Sender(
                id=event.key("/senderStaffId" if event.may("/senderStaffId") else "/senderId"),
                name=event.may("/senderNick")[:128] or None,
            ),
            parts=(Text(text),),
            sent_at=datetime.fromtimestamp(envelope.timestamp or 0, UTC),
            group=not private,
            addressed=private or event.may("/isInAtList") == "true",
            reference=message_id,
        )
        return Heard(message=message, cursor=self._place(event, chat))

    def _place(self, event: Fields, chat: str) -> Cursor | None:
        """Return where this conversation can be answered for the next one and a half hours."""
        url = event.may("/sessionWebhook")
        if not url:
            return None
        if not self._may_answer_at(url):
            raise Rejected(400, "bad_request", "/sessionWebhook: not a host of DingTalk")
        until_ms = event.may("/sessionWebhookExpiredTime")
        if not (until_ms.isdigit() and until_ms.isascii() and len(until_ms) <= 14):
            raise Rejected(400, "bad_request", "/sessionWebhookExpiredTime: a time was expected")
        return Cursor(key=place_key(self._bridge, chat), value=json.dumps([url, int(until_ms)]))

    def sample(self, payload: bytes, now: datetime) -> Sample:
        """Return a request with a signed time."""
        timestamp = str(int(now.timestamp() * 1000))
        headers = {
            "timestamp": timestamp,
            "sign": signature_of(self._keys[0], timestamp),
            "Content-Type": JSON,
        }
        return Sample(headers=headers, body=payload)


_PLACE: Final = "dingtalk"


def place_key(bridge: str, chat: str) -> str:
    """Return under which key a conversation's reply address is kept."""
    return f"{_PLACE}:{bridge}:{chat}"


def signature_of(key: bytes, timestamp_ms: str) -> str:
    """Return the signature of a time: base64 of HMAC-SHA256 over time, line end and the key itself."""
    mac = hmac.new(key, timestamp_ms.encode() + b"\n" + key, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def _text(event: Fields, kind: str) -> str:
    match kind:
        case "text":
            return event.may("/text/content").strip()
        case "richText":
            pieces = (
                event.may(f"/content/richText/{n}/text") for n in range(event.count("/content/richText"))
            )
            return "".join(pieces).strip()
        case "audio":
            return event.may("/content/recognition").strip()
        case _:
            return ""
