"""Making messages shorter, visibly: what is taken out of their middle is told. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Text
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.pictures import words_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.models.tokens import TokenCounter

CUT: Final = "\n[… {left_out} characters are not shown …]\n"
_LEAST: Final = 24  # tokens that a message keeps at least, the note included


def shorten(message: ChatMessage, max_tokens: int, counter: TokenCounter) -> ChatMessage:
    """Return the message within this estimate, or as near as its marks allow."""
    over = counter.message(message) - max_tokens
    if over <= 0:
        return message
    match message:
        case SystemMessage(text=text):
            return SystemMessage(_cut(text, over, counter))
        case UserMessage(parts=parts):
            return UserMessage((Text(_cut("\n".join(map(words_for, parts)), over, counter)),))
        case ToolMessage(text=text):
            return replace(message, text=_cut(text, over, counter))
        case AssistantMessage(text=text, tool_calls=calls):
            if message.thinking:  # whole or not at all: it is sealed
                message = replace(message, thinking=())
                over = counter.message(message) - max_tokens
            if text and over > 0:
                message = replace(message, text=_cut(text, over, counter))
                over = counter.message(message) - max_tokens
            for number, call in enumerate(calls):
                if over <= 0:
                    break
                if counter.text(call.arguments) <= _LEAST:
                    continue
                said = json.dumps({"cut": _cut(call.arguments, over + 16, counter)}, ensure_ascii=False)
                if counter.text(said) < counter.text(call.arguments):
                    shorter = (*message.tool_calls[:number], replace(call, arguments=said))
                    message = replace(message, tool_calls=(*shorter, *message.tool_calls[number + 1 :]))
                    over = counter.message(message) - max_tokens
            return message
        case _:
            assert_never(message)


def _cut(text: str, over: int, counter: TokenCounter) -> str:
    """Return the text with about `over` tokens less."""
    return counter.cut(text, max(_LEAST, counter.text(text) - over), CUT)


def squeeze(messages: Sequence[ChatMessage], budget: int, counter: TokenCounter) -> tuple[ChatMessage, ...]:
    """Return the messages cut, the longest ones first, until they fit together.

    When there are too many for that, only the first (the instructions) and a text that tells of the
    others are left.

    Args:
        messages: In order, instructions first.
        budget: Greatest estimate of all together.
        counter: Of the model that reads them.
    """
    most = budget
    short = tuple(messages)
    while counter.messages(short) > budget and most > _LEAST:
        most = most * 3 // 4
        short = tuple(shorten(message, most, counter) for message in messages)
    if counter.messages(short) <= budget:
        return short
    head = shorten(messages[0], budget // 4, counter)
    told = UserMessage((Text("\n".join(render(message) for message in messages[1:])),))
    return (head, shorten(told, budget - counter.message(head), counter))


def render(message: ChatMessage) -> str:
    """Return a message as text for a model that reads about it instead of taking part."""
    match message:
        case SystemMessage(text=text):
            return f"system: {text}"
        case UserMessage(parts=parts):
            return "user: " + "\n".join(map(words_for, parts))
        case ToolMessage(name=name, text=text):
            return f"result of {name}: {text}"
        case AssistantMessage(text=text, tool_calls=calls):
            said = [f"assistant: {text}"] if text else []
            return "\n".join([*said, *(f"assistant calls {c.name}({c.arguments})" for c in calls)])
        case _:
            assert_never(message)
