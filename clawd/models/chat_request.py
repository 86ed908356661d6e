"""Requests for OpenAI chat completions, in the dialect that a model's section asks for. Pure.

Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Image
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.chat_thinking import details_of
from clawd.models.pictures import words_for
from clawd.models.tool_calls import sendable_arguments, sendable_name
from clawd.models.wire_schema import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clawd.messages import Part
    from clawd.models.base import ModelRequest, OutputSchema, ToolCall
    from clawd.models.chat_config import ChatConfig, JsonOutput
    from clawd.response import JsonObject, JsonValue, Thinking

_SENDABLE: Final = ("https:", "http:", "data:")
# Moonshot refuses a message of a thinking model without thoughts, and one whose thoughts are empty.
_NO_THOUGHT: Final = " "
# Source: Gemini API docs, "Thought signatures": for calls that another model made.
_NO_SIGNATURE: Final = "skip_thought_signature_validator"


def request_body(config: ChatConfig, request: ModelRequest) -> JsonObject:
    """Return the body of one streaming request."""
    messages = request.messages
    if request.schema is not None and config.json_output != "schema":
        messages = told(messages, request.schema)
    body: JsonObject = {
        "model": config.model_id,
        "messages": [*_messages(config, messages)],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
        if request.must_call:
            body["tool_choice"] = _choice(request.must_call)
        if config.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = config.parallel_tool_calls
    if request.stop:
        body["stop"] = list(request.stop)
    if max_tokens := request.max_tokens or config.max_tokens:
        body[config.max_tokens_field] = max_tokens
    temperature = config.temperature if request.temperature is None else request.temperature
    if temperature is not None:
        body["temperature"] = temperature
    if request.schema is not None and (form := response_format(config.json_output, request.schema)):
        body["response_format"] = form
    return body


def response_format(output: JsonOutput, schema: OutputSchema) -> JsonObject:
    """Return what asks for an answer of this form; empty where the server takes nothing of the kind."""
    match output:
        case "schema":
            named: JsonObject = {
                "name": schema.name,
                "schema": dict(schema.schema),
                "strict": schema.strict,
            }
            return {"type": "json_schema", "json_schema": named}
        case "object":
            return {"type": "json_object"}
        case "none":
            return {}
        case _:
            assert_never(output)


def _choice(names: tuple[str, ...]) -> JsonValue:
    """Return what insists on a call; one of several is any of them."""
    if len(names) > 1:
        return "required"
    return {"type": "function", "function": {"name": names[0]}}


# --- messages -------------------------------------------------------------------------------------------


def _messages(config: ChatConfig, messages: Sequence[ChatMessage]) -> list[JsonObject]:
    asked = max((i for i, m in enumerate(messages) if isinstance(m, UserMessage)), default=-1)
    sent = [_message(config, message, now=i > asked) for i, message in enumerate(messages)]
    return _joined(sent) if config.alternate_roles else sent


def _message(config: ChatConfig, message: ChatMessage, *, now: bool) -> JsonObject:
    match message:
        case SystemMessage(text=text):
            return {"role": config.system_role, "content": text}
        case UserMessage(parts=parts):
            return {"role": "user", "content": _content(parts, vision=config.vision)}
        case AssistantMessage(text=text, tool_calls=calls, thinking=thinking, model=model):
            mine = thinking if now and model == config.name else ()
            said: JsonObject = {"role": "assistant", "content": text, **_thoughts(config, mine)}
            if calls:
                said["content"] = text or None
                said["tool_calls"] = [*_calls(config, calls, mine)]
            return said
        case ToolMessage(call_id=call_id, text=text):
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case _:
            assert_never(message)


def _content(parts: Iterable[Part], *, vision: bool) -> JsonValue:
    """Return plain text, which every server takes, and only for pictures a list of parts."""
    found: list[JsonValue] = []
    words: list[str] = []
    for part in parts:
        if vision and isinstance(part, Image) and part.ref.lower().startswith(_SENDABLE):
            if words:
                found.append({"type": "text", "text": "\n".join(words)})
                words = []
            found.append({"type": "image_url", "image_url": {"url": part.ref}})
        else:
            # Another reference is the platform's own: the model only learns that something was there.
            words.append(words_for(part))
    if not found:
        return "\n".join(words)
    return [*found, {"type": "text", "text": "\n".join(words)}] if words else found


def _calls(config: ChatConfig, calls: Sequence[ToolCall], thinking: tuple[Thinking, ...]) -> list[JsonObject]:
    sent: list[JsonObject] = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": sendable_name(call.name),
                "arguments": sendable_arguments(call.arguments),
            },
        }
        for call in calls
    ]
    if config.reasoning_echo == "thought_signature":
        signatures = {thought.id: thought.signature for thought in thinking if thought.signature}
        if not any(call.id in signatures for call in calls):
            signatures = {calls[0].id: _NO_SIGNATURE}  # the first of parallel calls carries it
        for call, told_call in zip(calls, sent, strict=True):
            if signature := signatures.get(call.id):
                told_call["extra_content"] = {"google": {"thought_signature": signature}}
    return sent


def _thoughts(config: ChatConfig, thinking: tuple[Thinking, ...]) -> JsonObject:
    text = "".join(thought.text for thought in thinking)
    match config.reasoning_echo:
        case "reasoning_content":
            return {"reasoning_content": text or _NO_THOUGHT}
        case "reasoning_details":
            if details := details_of(thinking):
                return {"reasoning_details": details}
            return {"reasoning": text} if text else {}
        case "none" | "thought_signature":
            return {}
        case _:
            assert_never(config.reasoning_echo)


# --- templates that insist on roles taking turns ----------------------------------------------------------


def _joined(messages: list[JsonObject]) -> list[JsonObject]:
    """Return the messages with neighbours of one role made one; calls and their results stay as they are."""
    joined: list[JsonObject] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is None or last["role"] != message["role"] or not (_speaks(last) and _speaks(message)):
            joined.append(dict(message))
        else:
            last["content"] = _both(last["content"], message["content"])
    return joined


def _speaks(message: JsonObject) -> bool:
    return message["role"] != "tool" and "tool_calls" not in message


def _both(one: JsonValue, other: JsonValue) -> JsonValue:
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n\n{other}"
    return [*_parts(one), *_parts(other)]


def _parts(content: JsonValue) -> list[JsonValue]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
