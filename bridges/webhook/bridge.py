"""The webhook bridge: signed requests in through the gateway, signed callbacks out."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import urlsplit

from bridges.webhook.inbound import Rejected, check_signature, to_inbound
from bridges.webhook.outbound import body_of, headers_of
from clawd.bridge import HttpReply
from clawd.messages import Accepted, BridgeCapabilities, Duplicate, Receipt, Refused, Replied
from clawd.webhooks.addresses import is_loopback_host, is_public
from clawd.webhooks.answers import from_status
from clawd.webhooks.sending import RETRY_JITTER, RETRY_SCHEDULE_S, WebhookClient, place_of, webhook_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridges.webhook.config import WebhookConfig
    from clawd.bridge import BridgeContext, HttpRequest, Inbox
    from clawd.messages import AcceptResult, InboundMessage, OutboundMessage
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

NOT_SENT: Final = "kept: no callback_url"
"""The remote id of a reply that nobody is to be sent; it stays in the journal."""

_RATE_RETRY_S: Final = 30

_CAPABILITIES: Final = BridgeCapabilities(
    text_limit=200_000,
    marks_repeats=False,  # a repeat carries the same id, and receivers drop ids they know
    retry_schedule_s=RETRY_SCHEDULE_S,
    retry_jitter=RETRY_JITTER,
)


class WebhookBridge:
    """One signed endpoint at `/bridges/NAME`, and the callback for its replies.

    Source: Standard Webhooks specification 1.0.0.
    """

    def __init__(self, context: BridgeContext, config: WebhookConfig) -> None:
        self.name = context.name
        self.max_body_bytes = config.max_body_bytes
        self._config = config
        self._clock = context.clock
        self._version = context.version
        self._inbound_keys = config.inbound_keys
        self._outbound_keys = config.outbound_keys
        free = config.allow_private or is_loopback_host(urlsplit(config.callback_url or "").hostname or "")
        self._client = WebhookClient(
            context.name,
            config.network or context.network,
            context.clock,
            allowed=None if free else lambda _, address: is_public(address),
        )

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What a webhook can do: long texts, and repeats that need no mark."""
        return _CAPABILITIES

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Be connected until cancelled: the gateway calls `handle`, there is nothing to fetch."""
        ready()
        await asyncio.Event().wait()

    # --- in ------------------------------------------------------------------------------------------

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one request: 202 once its message is committed, else why not."""
        try:
            message_id, message = self._read(request)
            (result,) = await inbox.accept([message])
            return _answer(message_id, result)
        except Rejected as rejected:
            log.info(
                "webhook_refused",
                extra={
                    "bridge": self.name,
                    "status": rejected.status,
                    "why": rejected.why,
                    "from": request.remote,
                },
            )
            return _refusal(rejected)

    def _read(self, request: HttpRequest) -> tuple[str, InboundMessage]:
        """Return the sender's id of the message and the message; raises Rejected."""
        if request.method != "POST":
            raise Rejected(405, "method_not_allowed", "only POST is possible here")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Rejected(415, "unsupported_media_type", "the body has to be application/json")
        envelope = check_signature(
            request,
            self._inbound_keys,
            now=self._clock.now(),
            tolerance_s=self._config.tolerance_s,
        )
        return envelope.id, to_inbound(self.name, envelope, request.body)

    # --- out -----------------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one reply to the callback; without a `callback_url` it is kept in the journal alone.

        Raises:
            DeliveryError: as `clawd.webhooks.answers` says.
        """
        url = self._config.callback_url
        if url is None:
            return Receipt(remote_id=NOT_SENT)
        body = body_of(message)
        headers = headers_of(
            message,
            body,
            self._outbound_keys,
            timestamp=int(self._clock.now().timestamp()),
            version=self._version,
        )
        answer = await self._client.request("POST", url, headers, body)
        if not 200 <= answer.status < 300:
            raise from_status(self.name, answer.status, answer.retry_after_s, answer.words)
        return Receipt(remote_id=webhook_id(message))

    async def probe(self) -> str:
        """Return who answers at the callback; asks with HEAD, so the receiver sees no message.

        Raises:
            BridgeError: it can't be reached.
        """
        url = self._config.callback_url
        if url is None:
            return f"takes signed requests at /bridges/{self.name}; no callback_url, so replies stay in the journal"
        answer = await self._client.request("HEAD", url, {"User-Agent": f"clawd/{self._version}"}, None)
        place = place_of(url)
        return f"takes signed requests at /bridges/{self.name}; the callback {place} answers (HTTP {answer.status})"


def _answer(message_id: str, result: AcceptResult) -> HttpReply:
    match result:
        case Accepted(turn=turn):
            return _json(202, {"status": "accepted", "id": message_id, "event": turn})
        case Duplicate(same_body=False):
            raise Rejected(409, "conflict", "this id was used with another body")
        case Duplicate(turn=turn):
            return _json(200, {"status": "duplicate", "id": message_id, "event": turn})
        case Replied(text=text):
            return _json(200, {"status": "replied", "id": message_id, "event": None, "text": text})
        case Refused(reason="rate"):
            raise Rejected(429, "rate_limited", "too many messages of this user")
        case Refused(reason="stranger"):
            raise Rejected(403, "forbidden", "this user is not let in")
        case Refused(reason=reason):
            raise Rejected(400, "bad_request", "the message was not taken", why=reason)
        case _:
            assert_never(result)


def _refusal(rejected: Rejected) -> HttpReply:
    headers = {405: (("Allow", "POST"),), 429: (("Retry-After", str(_RATE_RETRY_S)),)}
    error: JsonObject = {"code": rejected.code, "message": rejected.message}
    return _json(rejected.status, {"error": error}, headers.get(rejected.status, ()))


def _json(status: int, body: JsonObject, headers: tuple[tuple[str, str], ...] = ()) -> HttpReply:
    return HttpReply(status=status, body=json.dumps(body).encode(), headers=headers)
