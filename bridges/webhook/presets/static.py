"""A secret that is sent along as it is: in `Authorization: Bearer`, or in a header of the service's own.

Weaker than a signature: nothing speaks for the body or its time, and who reads one request can make others.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from bridges.webhook.envelope import JSON, Envelope, check_type, delivery_id, header, proof, unsigned
from bridges.webhook.inbound import message_of
from bridges.webhook.presets.base import Heard, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject

BEARER: Final = "authorization"
_ID_HEADERS: Final = ("idempotency-key", "webhook-id")


class Static:
    """Any program that sends the secret.

    Args:
        bridge: The name of the bridge.
        keys: The secrets, of which one has to come.
        name: The header that it comes in, in lower case; `authorization` is read as a bearer token.
        draw: Makes the id of a delivery that comes without one.
    """

    chat = False

    def __init__(self, bridge: str, keys: Sequence[bytes], name: str, draw: Callable[[], str]) -> None:
        self._bridge = bridge
        self._keys = keys
        self._name = name
        self._draw = draw

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the body, with the id that the headers give it."""
        check_type(request)
        (given,) = proof(request, self._name)
        if self._name == BEARER:
            scheme, _, given = given.partition(" ")
            if scheme.lower() != "bearer":
                raise unsigned("Authorization is not Bearer")
        # Digests have one length, so that not even the secret's own shows in the time taken.
        mark = hashlib.sha256(given.strip(" ").encode("utf-8", "surrogatepass")).digest()
        good = False
        for key in self._keys:
            good |= hmac.compare_digest(hashlib.sha256(key).digest(), mark)
        if not good:
            raise unsigned("another secret")
        ids = ((name, header(request, name)) for name in _ID_HEADERS)
        named = next(((name, value) for name, value in ids if value), None)
        return Envelope(
            id=delivery_id(*named) if named else None, timestamp=int(now.timestamp()), body=request.body
        )

    def answer(self, _envelope: Envelope, _payload: JsonObject) -> JsonObject | None:
        """Return None: every event is for the agent."""
        return None

    def read(self, envelope: Envelope, payload: JsonObject) -> Heard:
        """Return the message of an event `message.created`."""
        if envelope.id is None:
            envelope = Envelope(id=self._draw(), timestamp=envelope.timestamp, body=envelope.body)
        return Heard(message=message_of(self._bridge, envelope, payload))

    def sample(self, payload: bytes, _now: datetime) -> Sample:
        """Return a request with the first secret."""
        secret = self._keys[0].decode()
        value = f"Bearer {secret}" if self._name == BEARER else secret
        return Sample(headers={self._name: value, "Content-Type": JSON}, body=payload)
