"""Standard Webhooks, and Svix's variant of them. Source: Standard Webhooks specification 1.0.0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridges.webhook.envelope import JSON, Envelope, check_type
from bridges.webhook.inbound import check_signature, message_of
from bridges.webhook.presets.base import Heard, Sample
from clawd.webhooks.sending import headers_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject


class Standard:
    """Any program that signs as Standard Webhooks say, with events of our own shape."""

    chat = False

    def __init__(self, bridge: str, keys: Sequence[bytes], tolerance_s: float) -> None:
        self._bridge = bridge
        self._keys = keys
        self._tolerance_s = tolerance_s

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the signed headers and the body."""
        check_type(request)
        return check_signature(request, self._keys, now=now, tolerance_s=self._tolerance_s)

    def answer(self, _envelope: Envelope, _payload: JsonObject) -> JsonObject | None:
        """Return None: every event is for the agent."""
        return None

    def read(self, envelope: Envelope, payload: JsonObject) -> Heard:
        """Return the message of an event `message.created`."""
        return Heard(message=message_of(self._bridge, envelope, payload))

    def sample(self, payload: bytes, now: datetime) -> Sample:
        """Return a request signed with every key."""
        signed = headers_of(
            "msg_test", payload, self._keys, timestamp=int(now.timestamp()), version="self-test"
        )
        return Sample(headers={**signed, "Content-Type": JSON}, body=payload)
