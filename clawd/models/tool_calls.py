"""Tool calls as models really write them, made fit to work with. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd.messages import Text
from clawd.models.base import AssistantMessage, ChatMessage, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clawd.models.base import ModelRequest
    from clawd.response import ToolCall

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME: Final = 64


def sane_calls(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Return the calls with unique, non-empty ids, in order; calls without a name are left out.

    Arguments stay as the model wrote them, also when they are no JSON: whoever runs the call tells the
    model what is wrong with them.
    """
    taken: set[str] = set()
    sane: list[ToolCall] = []
    for number, call in enumerate(calls, start=1):
        if not call.name:
            continue
        wanted = call.id or f"call_{number}"
        unique, suffix = wanted, 2
        while unique in taken:
            unique, suffix = f"{wanted}_{suffix}", suffix + 1
        taken.add(unique)
        sane.append(replace(call, id=unique))
    return tuple(sane)


def is_object(arguments: str) -> bool:
    """Whether this is the whole text of a JSON object."""
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):  # the depth is what the model chose
        return False


def sendable_arguments(arguments: str) -> str:
    """Return arguments that a provider accepts in a request's history: the text of a JSON object.

    Several providers refuse a whole conversation that holds a call with broken JSON.
    """
    if is_object(arguments or "{}"):
        return arguments or "{}"
    return json.dumps({"not_json": arguments}, ensure_ascii=False)


def sendable_name(name: str) -> str:
    """Return a tool's name that a provider accepts in a request's history, however the model wrote it.

    Source: OpenAI API reference, "Create chat completion": a-z, A-Z, 0-9, underscores and dashes, at most 64.
    """
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME]


def without_tools(request: ModelRequest) -> ModelRequest:
    """Return the request for a model that knows no tools: none offered, earlier calls told as text."""
    messages: list[ChatMessage] = []
    for message in request.messages:
        match message:
            case AssistantMessage(tool_calls=calls) if calls:
                if message.text:
                    messages.append(AssistantMessage(text=message.text))
            case ToolMessage():
                messages.append(UserMessage((Text(f"[result of {message.name}: {message.text}]"),)))
            case _:
                messages.append(message)
    return replace(request, messages=tuple(messages), tools=(), must_call=())
