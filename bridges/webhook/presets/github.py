"""GitHub's webhooks.

Source: docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads". Nothing signs the
time or the headers, so a delivery is known again by its id alone.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from bridges.webhook.envelope import (
    FORM,
    JSON,
    Envelope,
    Rejected,
    check_any,
    check_type,
    delivery_id,
    header,
    proof,
)
from bridges.webhook.github_events import told
from bridges.webhook.presets.base import Heard, Ignored, Sample
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject

_SIGNATURE: Final = "x-hub-signature-256"
_EVENT: Final = "x-github-event"
_DELIVERY: Final = "x-github-delivery"


class GitHub:
    """A repository or organization."""

    chat = False

    def __init__(self, bridge: str, keys: Sequence[bytes]) -> None:
        self._bridge = bridge
        self._keys = keys

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the event and its JSON, out of the form if it came in one."""
        kind = check_type(request, (JSON, FORM))
        (signature,) = proof(request, _SIGNATURE)
        check_any((_mac(key, request.body) for key in self._keys), signature)
        return Envelope(
            id=delivery_id(_DELIVERY, header(request, _DELIVERY)),
            timestamp=int(now.timestamp()),
            body=request.body if kind == JSON else _payload(request.body),
            kind=header(request, _EVENT),
        )

    def answer(self, envelope: Envelope, _payload: JsonObject) -> JsonObject | None:
        """Return the answer to GitHub's first knock."""
        return {"status": "pong"} if envelope.kind == "ping" else None

    def read(self, envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        """Return the event in words; those that are not told, and what bots do, are ignored."""
        event = told(envelope.kind, payload)
        if isinstance(event, str):
            return Ignored(event)
        return Heard(
            message=InboundMessage(
                id=MessageId(f"github:{self._bridge}:{envelope.id}"),
                address=Address(bridge=self._bridge, account="github", chat=event.place),
                sender=Sender(id=event.sender_id, name=event.sender),
                parts=(Text(event.text),),
                sent_at=datetime.fromtimestamp(envelope.timestamp or 0, UTC),
                group=True,
                digest=hashlib.sha256(envelope.body).hexdigest(),
                reference=envelope.id,
            )
        )

    def sample(self, payload: bytes, _now: datetime) -> Sample:
        """Return a signed `ping`."""
        headers = {
            "X-Hub-Signature-256": _mac(self._keys[0], payload),
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": "00000000-0000-0000-0000-000000000000",
            "Content-Type": JSON,
        }
        return Sample(headers=headers, body=payload)


def _mac(key: bytes, body: bytes) -> str:
    return "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def _payload(form: bytes) -> bytes:
    """Return the JSON of a body `payload=…`; raises Rejected (400)."""
    try:
        fields = parse_qsl(form.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=8)
    except ValueError as error:  # also for what is not ASCII or not UTF-8
        raise Rejected(400, "bad_request", "the body is not a form") from error
    payloads = [value for name, value in fields if name == "payload"]
    if len(payloads) != 1:
        raise Rejected(400, "bad_request", "the form has to have one field payload")
    return payloads[0].encode()
