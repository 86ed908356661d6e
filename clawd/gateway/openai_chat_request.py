"""The body of `POST /v1/chat/completions`, read into a question. Pure.

Source: OpenAI API reference, "Create chat completion". Fields that are not named here are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.gateway.openai_errors import bad_field
from clawd.gateway.openai_fields import count_of, flag_of, list_of, number_of, object_of, text_of
from clawd.gateway.openai_parts import name_of, parts_of, plain_text, schema_of, tools_of
from clawd.gateway.openai_question import Question
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from clawd.response import ToolCall

if TYPE_CHECKING:
    from clawd.models.base import ChatMessage
    from clawd.response import JsonObject, JsonValue
    from clawd.tools.base import ToolSpec

MOST_MESSAGES: Final = 2000

_REFUSED: Final = {
    "functions": "is no longer taken; use tools",
    "function_call": "is no longer taken; use tool_choice",
    "audio": "is not taken; answers are text",
}
"""Fields whose wish would go unnoticed: an answer that passes over it is worse than none."""


def read_chat(body: JsonObject) -> Question:
    """Return what the body asks for.

    Raises:
        RequestRefused: 400 with the field's name for one of the wrong shape, for n above 1, and for a field
            that asks for what nothing here does.
    """
    for name, why in _REFUSED.items():
        if body.get(name) is not None and body[name] not in ([], ""):
            raise bad_field(name, why, code="unsupported_parameter")
    if (count_of(body, "n") or 1) > 1:
        raise bad_field("n", "only one answer is made", code="unsupported_parameter")
    tools, must_call = offered(body.get("tools"), body.get("tool_choice"))
    options = body.get("stream_options")
    stream = flag_of(body, "stream")
    usage = flag_of(object_of(options, "stream_options"), "include_usage") if options is not None else False
    model, messages = model_of(body), _messages(body.get("messages"))
    return Question(
        model=model,
        messages=messages,
        last=f"messages[{len(messages) - 1}].content",
        tools=tools,
        must_call=must_call,
        stop=_stop(body.get("stop")),
        schema=schema_of(body.get("response_format"), "response_format"),
        max_tokens=count_of(body, "max_completion_tokens", "max_tokens"),
        temperature=number_of(body, "temperature", 0, 2),
        stream=stream,
        usage=usage,
        conversation=conversation_of(body),
    )


def model_of(body: JsonObject) -> str:
    """Return the name of who is asked."""
    if body.get("model") is None:
        raise bad_field("model", "is missing", code="missing_required_parameter")
    return text_of(body["model"], "model")


def conversation_of(body: JsonObject) -> str | None:
    """Return `metadata.conversation_id`; never `user`, which names a person."""
    metadata = body.get("metadata")
    value = object_of(metadata, "metadata").get("conversation_id") if metadata is not None else None
    return None if value is None else text_of(value, "metadata.conversation_id")


def offered(tools: JsonValue, choice: JsonValue) -> tuple[tuple[ToolSpec, ...], tuple[str, ...]]:
    """Return the tools that a model may use, and the names of those one of which it has to call.

    `tool_choice` is `auto`, `none` (nothing is offered), `required`, or names a function.
    """
    found = tools_of(tools)
    names = tuple(tool.name for tool in found)
    match choice:
        case None | "auto":
            return found, ()
        case "none":
            return (), ()
        case "required" if names:
            return found, names
        case {"type": "function", "function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            if name in names:
                return found, (name,)
        case _:
            pass
    raise bad_field("tool_choice", "has to be auto, none, required or a function that tools has")


def _stop(value: JsonValue) -> tuple[str, ...]:
    """Return the texts where the answer ends."""
    if value is None:
        return ()
    items = [value] if isinstance(value, str) else list_of(value, "stop", most=4)
    texts = tuple(text_of(item, "stop") for item in items)
    if any(not text or len(text) > 200 for text in texts):
        raise bad_field("stop", "has to be up to four texts of 1 to 200 characters")
    return texts


def _messages(value: JsonValue) -> tuple[ChatMessage, ...]:
    if value is None:
        raise bad_field("messages", "is missing", code="missing_required_parameter")
    items = list_of(value, "messages", most=MOST_MESSAGES)
    if not items:
        raise bad_field("messages", "is empty", code="empty_array")
    names: dict[str, str] = {}  # of the calls so far, by their ids
    found: list[ChatMessage] = []
    for index, item in enumerate(items):
        message = _message(object_of(item, f"messages[{index}]"), f"messages[{index}]", names)
        if isinstance(message, AssistantMessage):
            names |= {call.id: call.name for call in message.tool_calls}
        found.append(message)
    return tuple(found)


def _message(message: JsonObject, param: str, names: dict[str, str]) -> ChatMessage:
    content = message.get("content")
    match message.get("role"):
        case "system" | "developer":
            return SystemMessage(plain_text(content, f"{param}.content"))
        case "user":
            return UserMessage(parts_of(content, f"{param}.content", pictures=True))
        case "assistant":
            calls = _calls(message.get("tool_calls"), f"{param}.tool_calls")
            if content is None and not calls:
                raise bad_field(f"{param}.content", "is missing", code="missing_required_parameter")
            text = "" if content is None else plain_text(content, f"{param}.content")
            return AssistantMessage(text=text, tool_calls=calls)
        case "tool":
            call_id = text_of(message.get("tool_call_id"), f"{param}.tool_call_id")
            if call_id not in names:
                raise bad_field(f"{param}.tool_call_id", "names no call of an earlier message")
            return ToolMessage(
                call_id=call_id, name=names[call_id], text=plain_text(content, f"{param}.content")
            )
        case role:
            known = "system, developer, user, assistant or tool"
            raise bad_field(f"{param}.role", f"is {str(role)[:40]!r}, not {known}")


def _calls(value: JsonValue, param: str) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    return tuple(
        _call(object_of(item, f"{param}[{i}]"), f"{param}[{i}]")
        for i, item in enumerate(list_of(value, param, most=256))
    )


def _call(item: JsonObject, param: str) -> ToolCall:
    function = object_of(item.get("function"), f"{param}.function")
    return ToolCall(
        id=text_of(item.get("id"), f"{param}.id"),
        name=name_of(function.get("name"), f"{param}.function.name"),
        arguments=text_of(function.get("arguments"), f"{param}.function.arguments"),
    )
