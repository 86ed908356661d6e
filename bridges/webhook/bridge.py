"""The webhook bridge: signed requests in through the gateway, signed callbacks out."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import urlsplit

import aiohttp

from bridges.webhook.addresses import is_loopback_host
from bridges.webhook.errors import from_exception, from_status, retry_after
from bridges.webhook.inbound import Rejected, check_signature, to_inbound
from bridges.webhook.outbound import body_of, headers_of, webhook_id
from bridges.webhook.resolver import PublicOnly
from clawd.bridge import HttpReply
from clawd.messages import Accepted, BridgeCapabilities, Duplicate, Receipt, Refused, Replied
from clawd.network import client_session, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from bridges.webhook.config import WebhookConfig
    from clawd.bridge import BridgeContext, HttpRequest, Inbox
    from clawd.messages import AcceptResult, InboundMessage, OutboundMessage
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

NOT_SENT: Final = "kept: no callback_url"
"""The remote id of a reply that nobody is to be sent; it stays in the journal."""

_CONNECT_TIMEOUT_S: Final = 5
_TOTAL_TIMEOUT_S: Final = 15
_ANSWER_TIMEOUT_S: Final = 2  # for the answer's body, of which only a few words are of use
_MAX_ANSWER_BYTES: Final = 64 * 1024
_RATE_RETRY_S: Final = 30

_CAPABILITIES: Final = BridgeCapabilities(
    text_limit=200_000,
    marks_repeats=False,  # a repeat carries the same id, and receivers drop ids they know
    retry_schedule_s=(5, 30, 300, 1800, 7200, 18_000, 36_000),
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
        self._network = config.network or context.network
        self._inbound_keys = config.inbound_keys
        self._outbound_keys = config.outbound_keys
        self._tls: ssl.SSLContext | None = None

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
            DeliveryError: as `bridges.webhook.errors` says.
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
        status, words, wait_s = await self._request("POST", url, headers, body)
        if not 200 <= status < 300:
            raise from_status(self.name, status, wait_s, words)
        return Receipt(remote_id=webhook_id(message))

    async def probe(self) -> str:
        """Return who answers at the callback; asks with HEAD, so the receiver sees no message.

        Raises:
            BridgeError: it can't be reached.
        """
        url = self._config.callback_url
        if url is None:
            return f"takes signed requests at /bridges/{self.name}; no callback_url, so replies stay in the journal"
        status, _, _ = await self._request("HEAD", url, {"User-Agent": f"clawd/{self._version}"}, None)
        return f"takes signed requests at /bridges/{self.name}; the callback {_place(url)} answers (HTTP {status})"

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, str, float | None]:
        """Return status, the answer's first words and its Retry-After; raises DeliveryError without an answer."""
        # A session for each request: deliveries go on after `run` was cancelled, so none could be closed.
        try:
            async with (
                await self._session() as session,
                session.request(
                    method, url, headers=headers, data=body, allow_redirects=False, ssl=self._tls or True
                ) as response,
            ):
                words = "" if response.ok else await _first_words(response)
                wait_s = retry_after(response.headers.get("Retry-After"), self._clock.now())
                return response.status, words, wait_s
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise from_exception(self.name, error, _place(url)) from error

    async def _session(self) -> aiohttp.ClientSession:
        network = self._network
        if network.ca_file and self._tls is None:
            self._tls = await asyncio.to_thread(tls_context, network.ca_file)  # reads a file
        options: dict[str, object] = {}
        if not (network.proxy or self._config.allow_private or self._stays_here):
            # Behind a proxy it is the proxy that resolves the callback's name.
            options["resolver"] = PublicOnly(aiohttp.ThreadedResolver())
        return client_session(
            network.model_copy(update={"ca_file": None}),
            timeout=aiohttp.ClientTimeout(total=_TOTAL_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S),
            auto_decompress=False,
            **options,
        )

    @property
    def _stays_here(self) -> bool:
        return is_loopback_host(urlsplit(self._config.callback_url or "").hostname or "")


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


async def _first_words(response: aiohttp.ClientResponse) -> str:
    """Return the first printable words of an answer, for the log; an answer that hangs or breaks has none."""
    raw = bytearray()
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            while len(raw) < _MAX_ANSWER_BYTES and (chunk := await response.content.read(_MAX_ANSWER_BYTES)):
                raw += chunk
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass  # the status says enough
    text = raw[:800].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _place(url: str) -> str:
    """Return scheme, host and port of a URL; its path and query may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
