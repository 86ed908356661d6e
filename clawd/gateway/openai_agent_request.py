"""A question to the agent as a message for the inbox. Pure.

Each request without a conversation begins one of its own: what the client tells of earlier goes with the message
as its context. With a conversation only the last message of the user is taken, as the journal has the others; behind a
`previous_response_id` all that is sent is new.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Final, assert_never

from clawd.gateway.messages import BRIDGE, sender_of
from clawd.gateway.openai_errors import OpenAIRefused, bad_field
from clawd.messages import Address, Earlier, InboundMessage, MessageId, Text, text_of
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.gateway.openai_question import Question
    from clawd.gateway.token import Token
    from clawd.models.base import ChatMessage

MAX_CONTEXT_CHARS: Final = 200_000

_CONVERSATION: Final = re.compile(r"[A-Za-z0-9_.:@+=~-]{1,128}")


def check_conversation(name: str, param: str) -> str:
    """Return the name of a conversation; raises RequestRefused (400)."""
    if not _CONVERSATION.fullmatch(name):
        raise bad_field(param, "has to be 1 to 128 characters of A-Z a-z 0-9 _ . : @ + = ~ -")
    return name


def to_inbound(
    question: Question,
    raw: bytes,
    *,
    token: Token,
    conversation: str | None,
    key: str | None,
    now: datetime,
) -> InboundMessage:
    """Return the message.

    Args:
        question: What the client asks.
        raw: The request's body.
        token: On whose behalf.
        conversation: To go on with; None begins one.
        key: `Idempotency-Key`.
        now: The time.

    Raises:
        RequestRefused: 400 for tools and output forms, which the agent does not take from clients, for
            a last message that is not the user's, and for too much context.
    """
    if question.tools:
        raise bad_field(
            "tools",
            "clawd has tools of its own and takes none from clients",
            code="unsupported_parameter",
            remedy="name a model to use yours",
        )
    if question.stop:
        raise bad_field("stop", "clawd says all that it has to say", code="unsupported_parameter")
    if question.schema is not None:
        raise bad_field(
            "response_format",
            "clawd answers in text",
            code="unsupported_parameter",
            remedy="name a model to get JSON",
        )
    *before, last = question.messages
    if not isinstance(last, UserMessage):
        raise bad_field("messages", "the last one has to be the user's")
    if not text_of(last.parts).strip() and all(isinstance(part, Text) for part in last.parts):
        raise bad_field("messages", "the last one is empty")
    if conversation is not None and question.previous is None:
        before = [message for message in before if question.instructed and isinstance(message, SystemMessage)]
    identity = f"openai:{key}" if key is not None else f"new:{secrets.token_hex(16)}"
    own = f"{token.conversations}c-{_name(token, identity)}"
    return InboundMessage(
        id=MessageId(f"{BRIDGE}:{token.name}:{identity}"),
        address=Address(bridge=BRIDGE, account=token.name, chat=conversation or own),
        sender=sender_of(token, None),
        parts=last.parts,
        sent_at=now,
        digest=hashlib.sha256(raw).hexdigest(),
        context=_context(before) or None,
    )


def _context(messages: Sequence[ChatMessage]) -> tuple[Earlier, ...]:
    found = tuple(said for message in messages if (said := _earlier(message)).text.strip())
    chars = sum(len(said.text) for said in found)
    if chars > MAX_CONTEXT_CHARS:
        raise OpenAIRefused(
            400,
            f"the messages before the last one have {chars:,} characters, and {MAX_CONTEXT_CHARS:,} is the most",
            param="messages",
            code="context_length_exceeded",
            remedy="leave out the oldest, or name a conversation",
        )
    return found


def _earlier(message: ChatMessage) -> Earlier:
    """Return what the agent's models are told of an earlier message; pictures are only mentioned."""
    match message:
        case SystemMessage(text=text):
            return Earlier(role="system", text=text)
        case UserMessage(parts=parts):
            words = [
                part.text if isinstance(part, Text) else f"[{type(part).__name__.lower()}]" for part in parts
            ]
            return Earlier(role="user", text="\n".join(words))
        case AssistantMessage(text=text):
            return Earlier(role="assistant", text=text)
        case ToolMessage(name=name, text=text):
            return Earlier(role="user", text=f"[result of {name}: {text}]")
        case _:
            assert_never(message)


def _name(token: Token, identity: str) -> str:
    return hashlib.sha256(f"{token.name}\0{identity}".encode()).hexdigest()[:20]
