"""Replies as signed callbacks of our own shape. Source: Standard Webhooks specification 1.0.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.webhook.outbound import body_of, headers_of
from clawd.messages import BridgeCapabilities, Receipt
from clawd.webhooks.answers import from_status
from clawd.webhooks.sending import RETRY_JITTER, RETRY_SCHEDULE_S, place_of, webhook_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import BridgeContext
    from clawd.messages import OutboundMessage
    from clawd.webhooks.sending import WebhookClient

CAPABILITIES: Final = BridgeCapabilities(
    text_limit=200_000,
    marks_repeats=False,  # a repeat carries the same id, and receivers drop ids they know
    retry_schedule_s=RETRY_SCHEDULE_S,
    retry_jitter=RETRY_JITTER,
)


class SignedCallback:
    """One URL; every key signs."""

    capabilities = CAPABILITIES
    connects = False

    def __init__(
        self, context: BridgeContext, client: WebhookClient, url: str, keys: Sequence[bytes]
    ) -> None:
        self._name = context.name
        self._clock = context.clock
        self._version = context.version
        self._client = client
        self._url = url
        self._keys = keys

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one reply; raises DeliveryError as `clawd.webhooks.answers` says."""
        body = body_of(message)
        now = int(self._clock.now().timestamp())
        headers = headers_of(message, body, self._keys, timestamp=now, version=self._version)
        answer = await self._client.request("POST", self._url, headers, body)
        if not 200 <= answer.status < 300:
            raise from_status(self._name, answer.status, answer.retry_after_s, answer.words)
        return Receipt(remote_id=webhook_id(message))

    async def check(self) -> str:
        """Return who answers at the callback; asks with HEAD, so the receiver sees no message."""
        return await knock(self._client, self._url, self._version)


async def knock(client: WebhookClient, url: str, version: str) -> str:
    """Return who answers at a URL; asks with HEAD. Raises BridgeError: it can't be reached."""
    answer = await client.request("HEAD", url, {"User-Agent": f"clawd/{version}"}, None)
    return f"the callback {place_of(url)} answers (HTTP {answer.status})"
