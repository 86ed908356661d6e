"""A request signed as Standard Webhooks say, checked and read into an inbound message. Pure."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridges.webhook.envelope import (
    ACCOUNT,
    DEFAULT_CONVERSATION,
    Envelope,
    Rejected,
    proof,
    seconds,
    unsigned,
)
from clawd.messages import Address, Audio, File, Image, InboundMessage, MessageId, Sender, Text
from clawd.strict_json import BadJson, parse_object
from clawd.webhooks.signing import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import HttpRequest
    from clawd.messages import Part
    from clawd.response import JsonObject

_ID: Final = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")  # visible ASCII without the dot that separates
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_FAMILIES: Final = ("webhook", "svix")  # svix is the same scheme under another name


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class _User(_Model):
    id: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
    name: Annotated[str, Field(max_length=200)] | None = None
    language: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,35}$")] | None = None


class _Attachment(_Model):
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)]
    name: Annotated[str, Field(max_length=255)] | None = None
    mime: Annotated[str, Field(max_length=127)] | None = None
    size: Annotated[int, Field(ge=0)] | None = None


class _Data(_Model):
    conversation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@+=~-]{1,128}$")] | None = None
    user: _User | None = None
    text: str | None = None
    attachments: Annotated[list[_Attachment], Field(max_length=32)] = []

    @model_validator(mode="after")
    def _says_something(self) -> _Data:
        if not (self.text or "").strip() and not self.attachments:
            raise ValueError("text or at least one attachment is needed")
        return self


class _Event(_Model):
    type: Literal["message.created"]
    timestamp: Annotated[AwareDatetime, Field(strict=False)] | None = None
    data: _Data


def check_signature(
    request: HttpRequest, keys: Sequence[bytes], *, now: datetime, tolerance_s: float
) -> Envelope:
    """Return the signed headers of a request that one of the keys has signed.

    Raises:
        Rejected: 400 for headers that come twice or can't be right, 401 (with one text for every reason)
            for a signature that is missing or wrong and for a time too far from `now`.
    """
    family = next((f for f in _FAMILIES if f"{f}-signature" in request.headers), _FAMILIES[0])
    names = [f"{family}-{field}" for field in ("id", "timestamp", "signature")]
    message_id, timestamp, signatures = proof(request, *names)
    if not _ID.fullmatch(message_id):
        raise Rejected(
            400, "bad_request", f"{names[0]} has to be 1 to 256 visible ASCII characters without a dot"
        )
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Rejected(400, "bad_request", f"{names[1]} has to be a whole number of seconds since 1970")
    sent = seconds(names[1], timestamp, now, tolerance_s)
    if not verify(keys, message_id, timestamp, request.body, signatures):
        raise unsigned("no signature fits")
    return Envelope(id=message_id, timestamp=sent, body=request.body)


def to_inbound(bridge: str, envelope: Envelope, body: bytes) -> InboundMessage:
    """Return the message in a body whose signature was found good; raises Rejected (400) when there is none."""
    try:
        payload = parse_object(body)
    except BadJson as error:
        raise Rejected(400, "bad_json", str(error)) from error
    return message_of(bridge, envelope, payload)


def message_of(bridge: str, envelope: Envelope, payload: JsonObject) -> InboundMessage:
    """Return the message in an event of our own shape.

    Without a `conversation` each user has one of their own, and without a user there is one for all.

    Raises:
        Rejected: 400 when it is not a message.
    """
    try:
        event = _Event.model_validate(payload)
    except ValidationError as error:
        raise Rejected(400, "bad_request", _first_problem(error)) from error
    data = event.data
    user = data.user or _User(id=ACCOUNT)
    own = f"user:{user.id}" if data.user else DEFAULT_CONVERSATION
    sent_at = event.timestamp or datetime.fromtimestamp(envelope.timestamp or 0, UTC)
    text = (Text(data.text),) if (data.text or "").strip() and data.text is not None else ()
    return InboundMessage(
        id=MessageId(f"webhook:{bridge}:{envelope.id}"),
        address=Address(bridge=bridge, account=ACCOUNT, chat=data.conversation or own),
        sender=Sender(id=user.id, name=user.name, language=user.language),
        parts=(*text, *map(_part, data.attachments)),
        sent_at=sent_at.astimezone(UTC),
        digest=hashlib.sha256(envelope.body).hexdigest(),
        reference=envelope.id,
    )


def _part(attachment: _Attachment) -> Part:
    kind = (attachment.mime or "").partition("/")[0].lower()
    if kind == "image":
        return Image(ref=attachment.url, mime=attachment.mime, size=attachment.size)
    if kind == "audio":
        return Audio(ref=attachment.url, mime=attachment.mime, size=attachment.size)
    return File(ref=attachment.url, name=attachment.name, mime=attachment.mime, size=attachment.size)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place or 'the body'}: {problem['msg'].removeprefix('Value error, ')}"
