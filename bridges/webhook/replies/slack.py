"""Replies to Slack: by `chat.postMessage` with a bot's token, or by an incoming webhook.

Source: docs.slack.dev, method `chat.postMessage`, "Sending messages using incoming webhooks", "Rate limits".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from bridges.webhook.replies.base import not_ready
from clawd.errors import (
    BridgeAuthError,
    DeliveryError,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)
from clawd.messages import BridgeCapabilities, Receipt
from clawd.webhooks.answers import from_status

if TYPE_CHECKING:
    from bridges.webhook.replies.base import JsonClient
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject
    from clawd.webhooks.sending import WebhookClient

API_BASE: Final = "https://slack.com/api"

_AUTH: Final = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
)
_GONE: Final = frozenset({"channel_not_found", "not_in_channel", "is_archived", "user_not_found"})
_FAILED: Final = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_LOUD: Final = re.compile(r"<!(channel|here|everyone|subteam\^[A-Z0-9]+)(?:\|[^<>]*)?>")


def error_of(bridge: str, code: str, retry_after_s: float | None) -> DeliveryError:
    """Return what an answer with `ok: false` means."""
    if code in ("ratelimited", "rate_limited"):
        return DeliveryRetryLater(bridge, "Slack wants fewer messages", why=code, retry_after_s=retry_after_s)
    if code in _AUTH:
        return DeliveryUnauthorized(bridge, "Slack refuses the token", why=code)
    if code in _FAILED:
        return DeliveryUnknown(bridge, "Slack failed", why=code)
    return DeliveryRejected(bridge, "Slack refused the message", why=code, unreachable=code in _GONE)


class SlackApi:
    """A bot. Slack knows no repeats, so they are marked."""

    # 12,000 is the greatest `markdown_text`; a second between two messages of a channel is asked for.
    capabilities = BridgeCapabilities(text_limit=12_000)
    connects = True

    def __init__(self, bridge: str, client: JsonClient, base: str, token: str) -> None:
        self._bridge = bridge
        self._client = client
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def send(self, message: OutboundMessage) -> Receipt:
        """Post one message, in the thread of the conversation."""
        content: JsonObject = {"channel": message.address.chat, "markdown_text": quiet(message.text)}
        if message.address.thread is not None:
            content["thread_ts"] = message.address.thread
        said = await self._client.post(f"{self._base}/chat.postMessage", content, self._headers)
        if said.fields.may("/ok") != "true":
            raise error_of(
                self._bridge, said.fields.may("/error") or f"HTTP {said.status}", said.retry_after_s
            )
        return Receipt(remote_id=said.fields.may("/ts") or None)

    async def check(self) -> str:
        """Return who the token belongs to; raises BridgeAuthError, BridgeNotReady."""
        try:
            said = await self._client.post(f"{self._base}/auth.test", {}, self._headers)
        except DeliveryError as error:
            raise not_ready(self._bridge, error) from error
        if said.fields.may("/ok") == "true":
            return f"Slack knows the bot {said.fields.may('/user')} in {said.fields.may('/team')}"
        code = said.fields.may("/error") or f"HTTP {said.status}"
        meant = error_of(self._bridge, code, said.retry_after_s)
        if isinstance(meant, DeliveryUnauthorized):
            raise BridgeAuthError(
                self._bridge,
                "Slack refuses the token",
                why=code,
                remedy="set reply_token to the app's xoxb-… token",
            )
        raise not_ready(self._bridge, meant)


class SlackHook:
    """An incoming webhook, which leads to one channel whoever wrote."""

    capabilities = BridgeCapabilities(text_limit=4000)
    connects = False

    def __init__(self, bridge: str, client: WebhookClient, url: str) -> None:
        self._bridge = bridge
        self._client = client
        self._url = url

    async def send(self, message: OutboundMessage) -> Receipt:
        """Post one message; the answer is `ok` in plain text."""
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = json.dumps({"text": text}).encode()
        answer = await self._client.request("POST", self._url, {"Content-Type": "application/json"}, body)
        if not 200 <= answer.status < 300:
            raise from_status(self._bridge, answer.status, answer.retry_after_s, answer.words)
        return Receipt()

    async def check(self) -> str:
        """Say where replies go; an incoming webhook takes nothing but messages."""
        return "replies go to an incoming webhook, which can't be tried without a message"


def quiet(text: str) -> str:
    """Return the text without the marks that call everybody in a channel: a model must not."""
    return _LOUD.sub(lambda match: "@" + match[1].partition("^")[0], text)
