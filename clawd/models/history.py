"""Cutting a conversation to the size that a small context takes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Text, text_of
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

_PER_MESSAGE: Final = 24  # bytes for the marks around each message
_CUT: Final = " … "


def fit(messages: Sequence[ChatMessage], max_bytes: int) -> tuple[ChatMessage, ...]:
    """Return the newest messages that fit, behind the system messages, beginning with a user's.

    The last user message, and what follows it, always stays; when that alone is too long, the user's
    text loses its middle.

    Args:
        messages: In order, system messages first.
        max_bytes: Greatest size of all texts together, UTF-8.
    """
    system = [m for m in messages if isinstance(m, SystemMessage)]
    talk = [m for m in messages if not isinstance(m, SystemMessage)]
    asked = max((i for i, m in enumerate(talk) if isinstance(m, UserMessage)), default=0)
    rest = max_bytes - sum(_size(m) for m in system) - sum(_size(m) for m in talk[asked:])
    if rest < 0 and talk and isinstance(question := talk[asked], UserMessage):
        short = _shorten(text_of(question.parts), max(0, len(_bytes(question)) + rest))
        return (*system, UserMessage((Text(short),)), *talk[asked + 1 :])
    first = asked
    for index in range(asked - 1, -1, -1):
        rest -= _size(talk[index])
        if rest < 0:
            break
        if isinstance(talk[index], UserMessage):
            first = index
    return (*system, *talk[first:])


def _shorten(text: str, max_bytes: int) -> str:
    half = max(1, (max_bytes - len(_CUT.encode())) // 2)
    raw = text.encode("utf-8", "replace")
    head, tail = raw[:half].decode("utf-8", "ignore"), raw[-half:].decode("utf-8", "ignore")
    return f"{head}{_CUT}{tail}"


def _size(message: ChatMessage) -> int:
    return len(_bytes(message)) + _PER_MESSAGE


def _bytes(message: ChatMessage) -> bytes:
    match message:
        case UserMessage(parts=parts):
            text = text_of(parts)
        case AssistantMessage(text=said, tool_calls=calls):
            text = said + "".join(call.name + call.arguments for call in calls)
        case SystemMessage() | ToolMessage():
            text = message.text
        case _:
            assert_never(message)
    return text.encode("utf-8", "replace")
