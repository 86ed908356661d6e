"""Replies in the shape that a section `reply` describes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bridges.webhook.envelope import FORM, JSON
from bridges.webhook.replies.callback import knock
from bridges.webhook.templates import NAMES, PLAIN_NAMES, TextTemplate, fill_structure
from clawd.errors import DeliveryRejected
from clawd.messages import BridgeCapabilities, Receipt
from clawd.webhooks.answers import from_status
from clawd.webhooks.sending import headers_of, webhook_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridges.webhook.reply_config import ReplyConfig
    from clawd.bridge import BridgeContext
    from clawd.messages import OutboundMessage
    from clawd.response import JsonValue
    from clawd.webhooks.sending import WebhookClient


class TemplateReplies:
    """A service of any shape.

    Args:
        context: Of the bridge.
        client: Makes the calls.
        config: The section.
        url: Where replies go, unless the section says it.
        keys: They sign as Standard Webhooks say; empty: nothing does.
    """

    connects = False

    def __init__(
        self,
        context: BridgeContext,
        client: WebhookClient,
        config: ReplyConfig,
        url: str,
        keys: Sequence[bytes],
    ) -> None:
        self._name = context.name
        self._clock = context.clock
        self._version = context.version
        self._client = client
        self._config = config
        self._url = TextTemplate.parse(config.url or url)
        self._headers = {
            name: TextTemplate.parse(secret.reveal(), PLAIN_NAMES) for name, secret in config.headers.items()
        }
        self._keys = keys
        self.capabilities = BridgeCapabilities(
            text_limit=config.text_limit, marks_repeats=not config.idempotent
        )

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one reply; raises DeliveryError as `clawd.webhooks.answers` says."""
        values = values_of(message)
        try:
            url = self._url.in_url(values)
        except ValueError as error:
            raise DeliveryRejected(self._name, "reply.url can't be filled in", why=str(error)) from error
        body = self._body(values)
        signed: Mapping[str, str] = {}
        if self._keys:
            now = int(self._clock.now().timestamp())
            signed = headers_of(webhook_id(message), body, self._keys, timestamp=now, version=self._version)
        headers = {
            **signed,
            "User-Agent": f"clawd/{self._version}",
            **{name: template.text(values) for name, template in self._headers.items()},
            "Content-Type": JSON if self._config.content_type == "json" else FORM,
        }
        answer = await self._client.request(self._config.method, url, headers, body)
        if not 200 <= answer.status < 300:
            raise from_status(self._name, answer.status, answer.retry_after_s, answer.words)
        return Receipt(remote_id=webhook_id(message))

    def _body(self, values: Mapping[str, JsonValue]) -> bytes:
        filled = fill_structure(self._config.body, values)
        if self._config.content_type == "json" or not isinstance(filled, dict):
            return json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return urlencode({k: _field(v) for k, v in filled.items()}, errors="replace").encode()

    async def check(self) -> str:
        """Return who answers there; asks with HEAD, with words in the place of what a reply would fill in."""
        return await knock(self._client, self._url.in_url(dict.fromkeys(NAMES, "test")), self._version)


def _field(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def values_of(message: OutboundMessage) -> Mapping[str, JsonValue]:
    """Return what a template's names stand for."""
    return {
        "text": message.text,
        "conversation": message.address.chat,
        "in_reply_to": message.reference,
        "seq": message.seq,
        "id": webhook_id(message),
        "part": message.part,
        "final": message.part == message.parts - 1,
        "type": "message.failed" if message.kind == "failed" else "message.reply",
    }
