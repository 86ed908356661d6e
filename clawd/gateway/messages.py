"""The body of `POST /v1/messages`, read into an inbound message; the answers to it. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from clawd.gateway.problems import RequestRefused, try_later
from clawd.gateway.requests import CONVERSATION, AudioPart, FilePart, ImagePart, MessageBody, TextPart
from clawd.gateway.validation import validate
from clawd.jsonable import moment
from clawd.messages import (
    Accepted,
    Address,
    Audio,
    Duplicate,
    File,
    Image,
    InboundMessage,
    MessageId,
    Refused,
    Replied,
    Sender,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from clawd.config.callbacks import CallbacksConfig
    from clawd.gateway.requests import Content
    from clawd.gateway.token import Token
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import TurnView
    from clawd.messages import AcceptResult, Part
    from clawd.response import JsonObject

BRIDGE: Final = "api"

_CONVERSATION: Final = re.compile(CONVERSATION)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_RATE_RETRY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a client sent, checked."""

    parts: tuple[Part, ...]  # files by https address, by id, or as data URLs
    conversation: str | None
    sender: str | None
    model: str | None = None
    callback_url: str | None = None


def read_submission(
    body: JsonObject, models: Collection[str], callbacks: CallbacksConfig | None = None
) -> Submission:
    """Return what the body of a request asks for.

    Args:
        body: Of the request.
        models: The names of models and routes that a message may ask for.
        callbacks: Which `callback_url` it may carry; None: none.

    Raises:
        RequestRefused: 400 for a field that is unknown, missing or of the wrong shape, and for a model that
            is not there; 403 for a `callback_url` that may not be called.
    """
    message = validate(MessageBody, body)
    submission = submission_of(message, message.conversation, models)
    if message.callback_url is None:
        return submission
    return replace(submission, callback_url=_callable(message.callback_url, callbacks))


def _callable(url: str, callbacks: CallbacksConfig | None) -> str:
    if callbacks is None:
        raise RequestRefused(
            403,
            "callback_url is not allowed: gateway.callbacks is not set",
            code="callback_not_allowed",
            remedy="set it, fetch the answer with GET /v1/messages/ID?wait=30, or use a webhook bridge",
        )
    try:
        return callbacks.destinations.check(url)
    except ValueError as error:
        raise RequestRefused(
            403,
            f"callback_url is not allowed: {error}",
            code="callback_not_allowed",
            remedy="gateway.callbacks says what may be called: allow, allow_http, allow_private",
        ) from error


def submission_of(content: Content, conversation: str | None, models: Collection[str]) -> Submission:
    """Return what is asked for by what was said; raises RequestRefused (400) for a model that is not there."""
    said = [TextPart(type="text", text=content.text)] if content.text is not None else content.parts or ()
    return Submission(
        parts=tuple(_part(part) for part in said),
        conversation=conversation,
        sender=content.sender,
        model=_known(content.model, models),
    )


def _part(part: TextPart | ImagePart | AudioPart | FilePart) -> Part:
    match part:
        case TextPart(text=text):
            return Text(text)
        case ImagePart():
            return Image(ref=part.ref, mime=part.mime, name=part.alt)
        case AudioPart():
            return Audio(ref=part.ref, mime=part.mime, name=part.name)
        case FilePart():
            return File(ref=part.ref, mime=part.mime, name=part.name)
        case _:
            assert_never(part)


def check_key(values: list[str]) -> str | None:
    """Return the one `Idempotency-Key`, None without any; raises RequestRefused (400)."""
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise _bad("Idempotency-Key has to be one value of 1 to 255 visible ASCII characters")
    return values[0]


def to_inbound(
    submission: Submission, raw: bytes, *, token: Token, key: str | None, now: datetime
) -> InboundMessage:
    """Return the message for the inbox.

    The token's name is the account, so that tokens never meet in a conversation, and begins the sender's
    id, so that no client can take an owner's. Without a conversation each message begins its own; with an
    `Idempotency-Key` its name follows from the key, so that a repeat is told the same one.
    """
    if key is None:
        named = secrets.token_hex(16)
        identity = f"new:{named}"
    else:
        named = hashlib.sha256(f"{token.name}\0{key}".encode()).hexdigest()
        identity = f"key:{key}"
    own = f"{token.conversations}c-{named[:20]}"
    return InboundMessage(
        id=MessageId(f"{BRIDGE}:{token.name}:{identity}"),
        address=Address(bridge=BRIDGE, account=token.name, chat=submission.conversation or own),
        sender=sender_of(token, submission.sender),
        parts=submission.parts,
        sent_at=now,
        digest=hashlib.sha256(raw).hexdigest(),
        model=submission.model,
        callback_url=submission.callback_url,
    )


def told_of(message: InboundMessage, result: AcceptResult) -> JsonObject:
    """Return what a client is told of its message: id of the turn, conversation, status.

    Raises:
        RequestRefused: 409 for a repeat with another body, 429 and 403 for a message that is not let in.
    """
    conversation = message.address.chat
    match result:
        case Accepted(turn=turn, position=position):
            return {"id": turn, "conversation": conversation, "status": "queued", "position": position}
        case Duplicate(same_body=False):
            raise RequestRefused(409, "this Idempotency-Key was used with another body")
        case Duplicate(turn=turn):
            return {"id": turn, "conversation": conversation, "status": "duplicate"}
        case Replied(text=text):
            reply: JsonObject = {"text": text, "parts": [{"type": "text", "text": text}]}
            return {"id": None, "conversation": conversation, "status": "answered", "replies": [reply]}
        case Refused(reason="rate", text=text):
            raise try_later(text or "too many messages", _RATE_RETRY_S, status=429)
        case Refused(text=text):
            raise RequestRefused(403, text or "this sender is not let in")
    assert_never(result)


def sender_of(token: Token, name: str | None) -> Sender:
    """Return who speaks: a person that the token's client names, or the client itself."""
    return Sender(id=f"{token.name}/{name}" if name else token.name)


def describe(view: TurnView, question: OpenQuestion | None = None, *, operator: bool) -> JsonObject:
    """Return a turn as a client sees it, with what it waits for; an operator also reads why it failed."""
    told: JsonObject = {"text": view.answer, "parts": [{"type": "text", "text": view.answer}]}
    spoken = bool(view.answer) and view.state in {"answered", "cancelled"}
    body: JsonObject = {
        "id": view.id,
        "conversation": view.conversation.chat,
        "status": view.state,
        "replies": [told] if spoken else [],
        "model": view.model,
        "usage": {"input_tokens": view.input_tokens, "output_tokens": view.output_tokens},
    }
    if view.notice:
        body["notice"] = view.notice
    if view.state == "queued":
        body["position"] = view.position
    if question is not None:
        body["question"] = {
            "id": question.id,
            "about": question.about,
            "tool": question.tool,
            "subject": question.subject,
            "deadline": moment(question.deadline),
        }
    if view.state in {"failed", "dead"}:
        error: JsonObject = {"code": f"turn_{view.state}", "message": view.answer or "the turn failed"}
        if operator:
            error["detail"] = view.error
        body["error"] = error
    return body


def _known(model: str | None, models: Collection[str]) -> str | None:
    if model is not None and model not in models:
        raise RequestRefused(
            400,
            f"there is no model {model[:64]}",
            code="unknown_model",
            remedy=f"models and routes: {', '.join(models)}",
        )
    return model


def read_conversation(value: str | None) -> str | None:
    """Return the conversation that a query names, None without one; raises RequestRefused (400)."""
    if value is not None and not _CONVERSATION.fullmatch(value):
        raise _bad("conversation has to be 1 to 128 characters of A-Z a-z 0-9 _ . : @ + = ~ -")
    return value


def _bad(what: str, remedy: str = "") -> RequestRefused:
    return RequestRefused(400, what, remedy=remedy)
