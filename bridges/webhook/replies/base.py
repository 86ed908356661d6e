"""What sends a bridge's replies, and the JSON calls that most of them make."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from bridges.webhook.fields import Fields
from clawd.bridge import NetworkConfig
from clawd.errors import BridgeNotReady, DeliveryError, DeliveryUnknown
from clawd.messages import BridgeCapabilities, Receipt
from clawd.network import without_proxy
from clawd.strict_json import BadJson, parse_object
from clawd.webhooks.addresses import is_loopback_host, is_public
from clawd.webhooks.answers import from_status
from clawd.webhooks.sending import WebhookClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.bridge import BridgeContext
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject, JsonValue
    from clawd.webhooks.sending import Answer

NOT_SENT: Final = "kept: no callback_url"
"""The remote id of a reply that nobody is to be sent; it stays in the journal."""


class Replies(Protocol):
    """Sends replies, and says what the other side can take.

    `connects`: it holds credentials that the service can refuse, so it is asked before anything is sent.
    """

    capabilities: BridgeCapabilities
    connects: bool

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message; raises DeliveryError."""
        ...

    async def check(self) -> str:
        """Return who answers there, in words for a person; raises BridgeError."""
        ...


class Kept:
    """Sends nothing: replies stay in the journal."""

    capabilities = BridgeCapabilities(text_limit=200_000, marks_repeats=False)
    connects = False

    async def send(self, _message: OutboundMessage) -> Receipt:
        """Return at once."""
        return Receipt(remote_id=NOT_SENT)

    async def check(self) -> str:
        """Say so."""
        return "no callback_url, so replies stay in the journal"


@dataclass(frozen=True, slots=True)
class Said:
    """A service's answer in JSON; `fields` of nothing where it was none."""

    status: int
    fields: Fields
    retry_after_s: float | None
    words: str


class JsonClient:
    """Calls one service that answers in JSON, whatever the outcome.

    Args:
        context: Of the bridge.
        network: The section that applies.
        url: One of the service's: an address on this machine that is written in the configuration is meant.
        allow_private: Whether any other private address is.
    """

    def __init__(
        self, context: BridgeContext, network: NetworkConfig, url: str, *, allow_private: bool = False
    ) -> None:
        self._name = context.name
        self._agent = f"clawd/{context.version}"
        self._client = client_of(context, network, url, allow_private=allow_private)

    async def post(self, url: str, content: JsonValue, headers: Mapping[str, str] | None = None) -> Said:
        """Return the answer to a POST.

        Raises:
            DeliveryError: there was none; DeliveryUnknown for 5xx, and for what is no JSON.
        """
        body = json.dumps(content, ensure_ascii=False).encode(errors="replace")
        sent = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": self._agent,
            **(headers or {}),
        }
        answer = await self._client.request("POST", url, sent, body, read=True)
        return self._said(answer)

    def _said(self, answer: Answer) -> Said:
        try:
            payload: JsonObject = parse_object(answer.body)
        except BadJson as error:
            if 200 <= answer.status < 300:
                raise DeliveryUnknown(
                    self._name, "the service's answer can't be read", why=str(error)
                ) from error
            raise from_status(self._name, answer.status, answer.retry_after_s, answer.words) from error
        if answer.status >= 500:
            raise from_status(self._name, answer.status, answer.retry_after_s, answer.words)
        return Said(answer.status, Fields(payload), answer.retry_after_s, answer.words)


def client_of(
    context: BridgeContext, network: NetworkConfig, url: str, *, allow_private: bool
) -> WebhookClient:
    """Return a client for this service: it follows no redirect, and no name into a private network."""
    free = allow_private or is_loopback_host(urlsplit(url).hostname or "")
    return WebhookClient(
        context.name,
        without_proxy(network, url),
        context.clock,
        allowed=None if free else lambda _, address: is_public(address),
    )


def not_ready(bridge: str, error: DeliveryError) -> BridgeNotReady:
    """Return a failed call as an outage: nothing was to be delivered by it."""
    wait_s = getattr(error, "retry_after_s", None)
    return BridgeNotReady(bridge, "the service can't be asked", why=error.why, retry_after_s=wait_s)
