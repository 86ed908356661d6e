"""What of a model's earlier thinking goes back to it, and where it stood. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.base import ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.models.base import AssistantMessage, ChatMessage
    from clawd.response import Thinking, ToolCall


def turn_start(messages: Sequence[ChatMessage]) -> int:
    """Return where the turn under way begins: at the last user message that does not follow a result.

    One that does was merged into the turn between two steps, and the thinking before it is still wanted.
    """
    for index in range(len(messages) - 1, -1, -1):
        follows = index > 0 and isinstance(messages[index - 1], ToolMessage)
        if isinstance(messages[index], UserMessage) and not follows:
            return index
    return 0


def in_order(message: AssistantMessage, thinking: Sequence[Thinking]) -> Iterator[str | Thinking | ToolCall]:
    """Yield texts, thinking and calls of a message in the order in which the model gave them.

    Args:
        message: Its text and calls.
        thinking: Those of its thoughts that are wanted, in order.
    """
    text, calls = 0, 0
    for thought in thinking:
        if thought.after_text > text:
            yield message.text[text : thought.after_text]
            text = thought.after_text
        if thought.after_calls > calls:
            yield from message.tool_calls[calls : thought.after_calls]
            calls = thought.after_calls
        yield thought
    if message.text[text:]:
        yield message.text[text:]
    yield from message.tool_calls[calls:]
