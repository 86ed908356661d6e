"""Calls and their results, paired as strict providers want them. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd.messages import Text
from clawd.models.base import AssistantMessage, ToolMessage, UserMessage
from clawd.models.tool_calls import sendable_arguments, sendable_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.models.base import ChatMessage
    from clawd.response import ToolCall

_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_ID: Final = 64
_NO_RESULT: Final = "[no result]"


def paired(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the messages with one result for each call, right behind it and in the calls' order.

    A call without a result gets one that says so, a result without a call becomes a user's text. Ids are
    unique in the whole conversation, and ids, names and arguments are such that every provider takes them:
    an earlier part may come from another model, whose server wrote what it liked.

    Source: Anthropic, "Handle tool calls" (results directly behind, ids `^[A-Za-z0-9_-]+$`); OpenAI API
    reference, "Create a model response" (ids of at most 64 characters).
    """
    result: list[ChatMessage] = []
    taken: set[str] = set()
    open_calls: dict[str, ToolCall] = {}  # by the id that their results name
    results: dict[str, ToolMessage] = {}

    def close() -> None:
        for old, call in open_calls.items():
            told = results.get(old)
            text = told.text if told is not None else _NO_RESULT
            result.append(ToolMessage(call_id=call.id, name=call.name, text=text))
        open_calls.clear()
        results.clear()

    for message in messages:
        if isinstance(message, ToolMessage):
            if message.call_id in open_calls and message.call_id not in results:
                results[message.call_id] = message
            else:
                close()
                result.append(UserMessage((Text(f"[result of {message.name}: {message.text}]"),)))
            continue
        close()
        if isinstance(message, AssistantMessage) and message.tool_calls:
            open_calls.update({call.id: _sendable(call, taken) for call in message.tool_calls})
            result.append(replace(message, tool_calls=tuple(open_calls.values())))
        else:
            result.append(message)
    close()
    return result


def _sendable(call: ToolCall, taken: set[str]) -> ToolCall:
    """Return the call as it can be sent, with an id that is not taken yet; a good one stays."""
    wanted = _NOT_IN_IDS.sub("_", call.id)[:_MAX_ID] or "call"
    unique, number = wanted, 2
    while unique in taken:
        unique, number = f"{wanted[: _MAX_ID - 6]}_{number}", number + 1
    taken.add(unique)
    return replace(
        call,
        id=unique,
        name=sendable_name(call.name) or "_",
        arguments=sendable_arguments(call.arguments),
    )
