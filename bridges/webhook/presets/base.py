"""What a preset is: how one kind of service signs its requests, and what they say. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bridges.webhook.envelope import Envelope
    from clawd.bridge import HttpRequest
    from clawd.messages import Cursor, InboundMessage
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message, and what is to be remembered in the same commit."""

    message: InboundMessage
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A good request that is no message for us; `why` is told to the sender."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request that this service could have sent."""

    headers: Mapping[str, str]
    body: bytes


class Preset(Protocol):
    """One service's scheme, with its keys.

    `chat`: people write there. Such a service wants a 2xx for whatever was signed well, strangers'
    messages included: it would send anything else again, and switch the connection off in the end.
    """

    chat: bool

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return what a request holds once it is known to be the service's; raises Rejected."""
        ...

    def answer(self, envelope: Envelope, payload: JsonObject) -> JsonObject | None:
        """Return what a request is answered that is there for its answer, such as a challenge; raises Rejected."""
        ...

    def read(self, envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        """Return the message of a payload of the service's own shape; raises Rejected."""
        ...

    def sample(self, payload: bytes, now: datetime) -> Sample:
        """Return a request with this JSON, signed."""
        ...
