"""The webhook bridge: signed requests in through the gateway, replies out by HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Final, assert_never

from bridges.webhook.building import new_id, preset_of, replies_of
from bridges.webhook.envelope import Rejected
from bridges.webhook.mapping import FieldMap, holds
from bridges.webhook.presets.base import Heard, Ignored
from bridges.webhook.samples import Samples
from clawd.bridge import HttpReply
from clawd.messages import Accepted, Duplicate, MessageId, Refused, Replied, Unreadable
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridges.webhook.config import WebhookConfig
    from bridges.webhook.envelope import Envelope
    from clawd.bridge import BridgeContext, HttpRequest, Inbox
    from clawd.bridge import Sample as HttpSample
    from clawd.messages import AcceptResult, BridgeCapabilities, OutboundMessage, Receipt
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

_RATE_RETRY_S: Final = 30


class WebhookBridge:
    """One endpoint at `/bridges/NAME`, and where its replies go."""

    def __init__(self, context: BridgeContext, config: WebhookConfig) -> None:
        self.name = context.name
        self.max_body_bytes = config.max_body_bytes
        self._clock = context.clock
        self._preset = preset_of(context.name, config)
        self._map = FieldMap(context.name, config.map) if config.map is not None else None
        self._ignore_when = config.ignore_when
        self._replies = replies_of(context, config, self._committed)
        self._samples = Samples(context.name, config, context.clock)
        self._inbox: Inbox | None = None

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What the service takes."""
        return self._replies.capabilities

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Be connected until cancelled: the gateway calls `handle`, there is nothing to fetch.

        Raises:
            BridgeAuthError: the service refuses the credentials that replies are sent with.
            BridgeNotReady: it can't be asked.
        """
        self._inbox = inbox
        if self._replies.connects:
            await self._replies.check()
        ready()
        await asyncio.Event().wait()

    async def _committed(self, key: str) -> str | None:
        """Return what was committed with a message under this key."""
        return await self._inbox.cursor(key) if self._inbox is not None else None

    # --- in ------------------------------------------------------------------------------------------

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one request: 202 (a chat service: 200) once its message is committed, else why not."""
        try:
            _check_method(request)
            envelope = self._preset.verify(request, self._clock.now())
            return await self._take(envelope, inbox)
        except Rejected as rejected:
            self._log(rejected, request)
            return _refusal(rejected)

    async def _take(self, envelope: Envelope, inbox: Inbox) -> HttpReply:
        """Answer a request that is the service's."""
        try:
            payload = _parse(envelope)
            if self._samples.take(payload):
                return _json(200, {"status": "test"})
            if (told := self._preset.answer(envelope, payload)) is not None:
                return _json(200, told)
            heard = self._read(envelope, payload)
        except Rejected as rejected:
            if not self._preset.chat or rejected.status != 400 or not envelope.signed:
                raise
            # Sent again it would be no better, so it is kept for the owner to look at.
            await inbox.accept([self._unreadable(envelope, rejected)])
            return _json(200, {"status": "unreadable", "why": rejected.message})
        if isinstance(heard, Ignored):
            return _json(200, {"status": "ignored", "why": heard.why})
        (result,) = await inbox.accept([heard.message], heard.cursor)
        if self._preset.chat:
            return _json(200, {"status": _STATUS[type(result)]})
        return _answer(heard.message.reference or heard.message.id, result)

    def _read(self, envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        if (pointer := holds(self._ignore_when, payload)) is not None:
            return Ignored(f"ignore_when {pointer.text}")
        if self._map is None:
            return self._preset.read(envelope, payload)
        return Heard(message=self._map.read(envelope, payload, new_id=new_id()))

    def _unreadable(self, envelope: Envelope, rejected: Rejected) -> Unreadable:
        digest = hashlib.sha256(envelope.body).hexdigest()
        return Unreadable(
            id=MessageId(f"webhook:{self.name}:unreadable:{digest}"),
            bridge=self.name,
            raw=envelope.body.decode("utf-8", "replace"),
            why=rejected.message,
        )

    def _log(self, rejected: Rejected, request: HttpRequest) -> None:
        log.info(
            "webhook_refused",
            extra={
                "bridge": self.name,
                "status": rejected.status,
                "why": rejected.why,
                "from": request.remote,
            },
        )

    # --- out -----------------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one reply; without a way to send one it is kept in the journal alone.

        Raises:
            DeliveryError: one of its kinds, as the service's answer means.
        """
        return await self._replies.send(message)

    async def probe(self) -> str:
        """Return where requests come in and who answers at the other side; nobody is sent a message.

        Raises:
            BridgeError: it can't be reached, or refuses us.
        """
        return f"takes signed requests at /bridges/{self.name}; {await self._replies.check()}"

    def samples(self) -> Sequence[HttpSample]:
        """Return requests to try this bridge with: one signed as the service signs, one by a wrong key."""
        return self._samples.make()


_STATUS: Final = {Accepted: "accepted", Duplicate: "duplicate", Replied: "replied", Refused: "refused"}


def _check_method(request: HttpRequest) -> None:
    if request.method != "POST":
        raise Rejected(405, "method_not_allowed", "only POST is possible here")


def _parse(envelope: Envelope) -> JsonObject:
    try:
        return parse_object(envelope.body)
    except BadJson as error:
        raise Rejected(400, "bad_json", str(error)) from error


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
