"""The body of `POST /v1/responses`, read into a question. Pure.

Source: OpenAI API reference, "Create a model response". Fields that are not named here are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.gateway.openai_chat_request import MOST_MESSAGES, conversation_of, model_of, offered
from clawd.gateway.openai_errors import bad_field
from clawd.gateway.openai_fields import count_of, flag_of, list_of, number_of, object_of, text_of
from clawd.gateway.openai_parts import name_of, parts_of, plain_text, schema_of
from clawd.gateway.openai_question import Question
from clawd.messages import Text
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from clawd.response import ToolCall

if TYPE_CHECKING:
    from clawd.models.base import ChatMessage
    from clawd.response import JsonObject, JsonValue

_REFUSED: Final = {
    "background": "is not taken; ask with stream, or use POST /v1/messages",
    "conversation": "is not taken; use metadata.conversation_id or previous_response_id",
    "prompt": "is not taken; there are no stored prompts",
}
"""Fields whose wish would go unnoticed: an answer that passes over it is worse than none."""


def read_responses(body: JsonObject) -> Question:
    """Return what the body asks for; raises RequestRefused (400) as `read_chat` does."""
    for name, why in _REFUSED.items():
        if body.get(name) is not None and body[name] is not False:  # 0 is equal to False
            raise bad_field(name, why, code="unsupported_parameter")
    instructions = body.get("instructions")
    system = (SystemMessage(text_of(instructions, "instructions")),) if instructions is not None else ()
    previous = body.get("previous_response_id")
    text = body.get("text")
    form = object_of(text, "text").get("format") if text is not None else None
    tools, must_call = offered(body.get("tools"), body.get("tool_choice"))
    return Question(
        model=model_of(body),
        messages=(*system, *_messages(body.get("input"))),
        last=_last(body.get("input")),
        tools=tools,
        must_call=must_call,
        schema=schema_of(form, "text.format"),
        max_tokens=count_of(body, "max_output_tokens"),
        temperature=number_of(body, "temperature", 0, 2),
        stream=flag_of(body, "stream"),
        conversation=conversation_of(body),
        previous=None if previous is None else text_of(previous, "previous_response_id"),
        instructed=True,
    )


def _messages(value: JsonValue) -> tuple[ChatMessage, ...]:
    if value is None:
        raise bad_field("input", "is missing", code="missing_required_parameter")
    if isinstance(value, str):
        return (UserMessage((Text(value),)),)
    items = list_of(value, "input", most=MOST_MESSAGES)
    if not items:
        raise bad_field("input", "is empty", code="empty_array")
    names: dict[str, str] = {}  # of the calls so far, by their ids
    found: list[ChatMessage] = []
    for index, item in enumerate(items):
        _add(found, object_of(item, f"input[{index}]"), f"input[{index}]", names)
    if not found:
        raise bad_field("input", "says nothing")  # thoughts alone
    return tuple(found)


def _last(value: JsonValue) -> str:
    """Return where the content of the last message stands; other items may follow it or stand between."""
    items = value if isinstance(value, list) else []
    said = (
        i
        for i, item in enumerate(items)
        if isinstance(item, dict) and item.get("type", "message") == "message"
    )
    return f"input[{max(said, default=0)}].content"


def _add(found: list[ChatMessage], item: JsonObject, param: str, names: dict[str, str]) -> None:
    """Add what an item says; the calls of one answer are one message."""
    match item.get("type", "message"):
        case "message":
            found.append(_said(item, param))
        case "function_call":
            call = ToolCall(
                id=text_of(item.get("call_id"), f"{param}.call_id"),
                name=name_of(item.get("name"), f"{param}.name"),
                arguments=text_of(item.get("arguments"), f"{param}.arguments"),
            )
            names[call.id] = call.name
            last = found[-1] if found else None
            if isinstance(last, AssistantMessage):
                found[-1] = AssistantMessage(text=last.text, tool_calls=(*last.tool_calls, call))
            else:
                found.append(AssistantMessage(text="", tool_calls=(call,)))
        case "function_call_output":
            call_id = text_of(item.get("call_id"), f"{param}.call_id")
            if call_id not in names:
                raise bad_field(f"{param}.call_id", "names no function_call of an earlier item")
            text = plain_text(item.get("output"), f"{param}.output")
            found.append(ToolMessage(call_id=call_id, name=names[call_id], text=text))
        case "reasoning":
            pass  # of a model that thought for its own answer; nothing here gives any out
        case kind:
            known = "message, function_call and function_call_output"
            raise bad_field(f"{param}.type", f"is {str(kind)[:40]!r}, and only {known} are taken")


def _said(item: JsonObject, param: str) -> ChatMessage:
    content = item.get("content")
    match item.get("role"):
        case "system" | "developer":
            return SystemMessage(plain_text(content, f"{param}.content"))
        case "user":
            return UserMessage(parts_of(content, f"{param}.content", pictures=True))
        case "assistant":
            return AssistantMessage(text=plain_text(content, f"{param}.content"))
        case role:
            raise bad_field(
                f"{param}.role", f"is {str(role)[:40]!r}, not system, developer, user or assistant"
            )
