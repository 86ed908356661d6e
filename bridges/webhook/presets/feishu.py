"""Feishu and Lark, event callbacks 2.0 with an Encrypt Key.

Source: open.feishu.cn, "Configure callbacks", "Signature verification", event `im.message.receive_v1`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bridges.webhook.envelope import (
    JSON,
    Envelope,
    Rejected,
    check_any,
    check_type,
    header,
    proof,
    seconds,
    unsigned,
)
from bridges.webhook.feishu_cipher import decrypt, encrypt
from bridges.webhook.feishu_text import text_of
from bridges.webhook.fields import Fields
from bridges.webhook.presets.base import Heard, Ignored, Sample
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject

_TIMESTAMP: Final = "x-lark-request-timestamp"
_NONCE: Final = "x-lark-request-nonce"
_SIGNATURE: Final = "x-lark-signature"
_CHALLENGE: Final = "url_verification"


class Feishu:
    """An app; `token` is its Verification Token, checked where it is set."""

    chat = True

    def __init__(self, bridge: str, keys: Sequence[bytes], tolerance_s: float, token: str | None) -> None:
        self._bridge = bridge
        self._keys = keys
        self._tolerance_s = tolerance_s
        self._token = token

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the event in the clear.

        The first request, which asks whether the address is ours, is not signed: it is let through when it
        was encrypted with our key.
        """
        check_type(request)
        if not header(request, _SIGNATURE):
            return Envelope(id=None, body=self._challenge(request.body), signed=False)
        timestamp, nonce, signature = proof(request, _TIMESTAMP, _NONCE, _SIGNATURE)
        sent = seconds(_TIMESTAMP, timestamp, now, self._tolerance_s)
        prefix = f"{timestamp}{nonce}".encode("utf-8", "surrogatepass")
        check_any((_digest(prefix, key, request.body) for key in self._keys), signature)
        try:
            return Envelope(id=None, timestamp=sent, body=self._open(request.body))
        except (BadJson, ValueError) as error:
            raise Rejected(400, "bad_request", str(error)) from error

    def _challenge(self, body: bytes) -> bytes:
        try:
            plain = self._open(body)
            if parse_object(plain).get("type") == _CHALLENGE:
                return plain
        except (BadJson, ValueError) as error:
            raise unsigned(f"without {_SIGNATURE}, and {error}") from error
        raise unsigned(f"without {_SIGNATURE}")

    def _open(self, body: bytes) -> bytes:
        encrypted = parse_object(body).get("encrypt")
        if not isinstance(encrypted, str):
            raise BadJson("it is not encrypted: set an Encrypt Key in Feishu's console")
        for key in self._keys[:-1]:
            try:
                plain = decrypt(key, encrypted)
                parse_object(plain)  # one in 256 wrong keys leaves a padding that looks right
            except (BadJson, ValueError):
                continue
            return plain
        return decrypt(self._keys[-1], encrypted)

    def answer(self, _envelope: Envelope, payload: JsonObject) -> JsonObject | None:
        """Return the answer to a challenge."""
        fields = Fields(payload)
        if self._token is not None:
            given = fields.may("/header/token") or fields.may("/token")
            if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode()):
                raise unsigned("another verification token")
        if payload.get("type") != _CHALLENGE:
            return None
        return {"challenge": fields.need("/challenge")}

    def read(self, _envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        """Return what a person wrote; a repeat carries the same message id."""
        event = Fields(payload)
        kind = event.may("/header/event_type")
        if kind != "im.message.receive_v1":
            return Ignored(f"{kind or 'this'} is no message")
        if event.may("/event/sender/sender_type") != "user":
            return Ignored("not written by a person")
        text, mentioned = text_of(payload)
        if not text:
            return Ignored(f"a message of the type {event.may('/event/message/message_type') or 'none'}")
        message_id = event.key("/event/message/message_id")
        private = event.may("/event/message/chat_type") == "p2p"
        threaded = bool(event.may("/event/message/thread_id"))
        return Heard(
            message=InboundMessage(
                id=MessageId(f"feishu:{self._bridge}:{message_id}"),
                address=Address(
                    bridge=self._bridge,
                    account=event.key("/header/app_id"),
                    chat=event.key("/event/message/chat_id"),
                    thread=event.key("/event/message/thread_id") if threaded else None,
                ),
                sender=Sender(id=event.key("/event/sender/sender_id/open_id")),
                parts=(Text(text),),
                sent_at=_moment(event.need("/event/message/create_time")),
                group=not private,
                addressed=private or mentioned,
                reference=message_id,
            )
        )

    def sample(self, payload: bytes, now: datetime) -> Sample:
        """Return an encrypted and signed request."""
        key = self._keys[0]
        body = json.dumps({"encrypt": encrypt(key, payload, secrets.token_bytes(16))}).encode()
        timestamp, nonce = str(int(now.timestamp())), secrets.token_hex(8)
        headers = {
            "X-Lark-Request-Timestamp": timestamp,
            "X-Lark-Request-Nonce": nonce,
            "X-Lark-Signature": _digest(f"{timestamp}{nonce}".encode(), key, body),
            "Content-Type": JSON,
        }
        return Sample(headers=headers, body=body)


def _digest(prefix: bytes, key: bytes, body: bytes) -> str:
    return hashlib.sha256(prefix + key + body).hexdigest()


def _moment(at_ms: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Rejected(400, "bad_request", "/event/message/create_time: a time was expected") from error
