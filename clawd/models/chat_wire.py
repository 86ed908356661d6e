"""The OpenAI chat completions format: requests to JSON, JSON to events. Pure.

Source: OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; the
deviations tolerated here were seen in llama.cpp, vLLM, Ollama, OpenRouter, DeepSeek, Qwen and Gemini.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Text
from clawd.models.base import (
    AssistantMessage,
    ChatMessage,
    ModelEvent,
    ModelResponse,
    Progress,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from clawd.models.characters import Joiner, whole
from clawd.models.chat_config import ChatConfig
from clawd.models.tool_calls import sane_calls, sendable_arguments, sendable_name
from clawd.models.wire import MalformedAnswer, ProviderFault, bearer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.base import Secret
    from clawd.messages import Part
    from clawd.models.base import FinishReason, ModelRequest
    from clawd.response import JsonObject, JsonValue

_FINISH: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filtered",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


# --- request --------------------------------------------------------------------------------------------


class ChatFormat:
    """See `WireFormat` for what its methods promise."""

    path = ChatConfig.path
    accepts = "chat completion"

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        return bearer(key)

    def body(self, config: ChatConfig, request: ModelRequest) -> JsonObject:
        return request_body(config, request)

    def fold(self, config: ChatConfig) -> ChatFold:
        return ChatFold(config.name)


def request_body(config: ChatConfig, request: ModelRequest) -> JsonObject:
    """Return the body of one streaming request."""
    body: JsonObject = {
        "model": config.model_id,
        "messages": [_message(message) for message in request.messages],
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
    if max_tokens := request.max_tokens or config.max_tokens:
        body[config.max_tokens_field] = max_tokens
    temperature = config.temperature if request.temperature is None else request.temperature
    if temperature is not None:
        body["temperature"] = temperature
    return body


def _message(message: ChatMessage) -> JsonObject:
    match message:
        case SystemMessage(text=text):
            return {"role": "system", "content": text}
        case UserMessage(parts=parts):
            return {"role": "user", "content": "\n".join(_part(part) for part in parts)}
        case AssistantMessage(text=text, tool_calls=()):
            return {"role": "assistant", "content": text}
        case AssistantMessage(text=text, tool_calls=calls):
            return {"role": "assistant", "content": text or None, "tool_calls": [_call(c) for c in calls]}
        case ToolMessage(call_id=call_id, text=text):
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case _:
            assert_never(message)


def _call(call: ToolCall) -> JsonObject:
    function: JsonObject = {
        "name": sendable_name(call.name),
        "arguments": sendable_arguments(call.arguments),
    }
    return {"id": call.id, "type": "function", "function": function}


def _part(part: Part) -> str:
    # A reference is the platform's own and of no use to a model: it only learns that something was there.
    return part.text if isinstance(part, Text) else f"[{type(part).__name__.lower()}]"


# --- answer ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _CallInParts:
    """A tool call whose fragments are still coming."""

    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""


class ChatFold:
    """Collects the chunks of one answer.

    Args:
        model: The configured name of the model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._text: list[str] = []
        self._characters = Joiner()
        self._calls: list[_CallInParts] = []
        self._finish: str | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """Whether the answer itself is complete; only the usage may still come."""
        return self._finish is not None

    def add(self, _event: str, chunk: JsonValue) -> list[ModelEvent]:
        """Take one chunk, or a whole completion, and return the events it stands for.

        Raises:
            ProviderFault: the chunk is an error object.
            MalformedAnswer: the chunk is nothing of the format.
        """
        if not isinstance(chunk, dict):
            raise MalformedAnswer(f"a chunk is {_kind(chunk)} instead of an object")
        if chunk.get("error"):
            raise ProviderFault(chunk["error"])
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = read_usage(usage)
        choices = chunk.get("choices")
        if choices is None:
            return []
        if not isinstance(choices, list):
            raise MalformedAnswer(f"`choices` is {_kind(choices)} instead of a list")
        events: list[ModelEvent] = []
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                self._choice(choice, events)
        return events

    def response(self) -> ModelResponse:
        """Return what has come so far as a response."""
        calls = sane_calls(
            ToolCall(id=whole(c.id), name=whole(c.name), arguments=whole(c.arguments)) for c in self._calls
        )
        finish = _FINISH.get(self._finish or "", "stop")
        if finish in ("stop", "tool_calls"):
            # Servers disagree on the word; whether there are calls is what counts.
            finish = "tool_calls" if calls else "stop"
        return ModelResponse(
            model=self._model, text="".join(self._text), tool_calls=calls, finish=finish, usage=self._usage
        )

    def _choice(self, choice: JsonObject, events: list[ModelEvent]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            said = _text_of(delta.get("content")) + _text_of(delta.get("refusal"))
            if text := self._characters.feed(said):
                self._text.append(text)
                events.append(TextDelta(text))
            if delta.get("reasoning_content") or delta.get("reasoning"):
                events.append(Progress("thinking"))
            fragments = delta.get("tool_calls")
            for fragment in fragments if isinstance(fragments, list) else ():
                if isinstance(fragment, dict):
                    self._fragment(fragment)
                    events.append(Progress("tool_call"))
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self._finish = finish

    def _fragment(self, fragment: JsonObject) -> None:
        call = self._call_for(fragment)
        function = fragment.get("function")
        if not isinstance(function, dict):
            return
        if isinstance(name := function.get("name"), str) and not call.name:
            call.name = name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments += arguments
        elif isinstance(arguments, dict):
            call.arguments += json.dumps(arguments, ensure_ascii=False)

    def _call_for(self, fragment: JsonObject) -> _CallInParts:
        """Return the call that a fragment belongs to.

        The index decides; some servers number every call 0, or none at all, and then a new id begins
        a new call.
        """
        raw_index, raw_id = fragment.get("index"), fragment.get("id")
        index = raw_index if isinstance(raw_index, int) else None
        call_id = raw_id if isinstance(raw_id, str) else ""
        for call in reversed(self._calls):
            if (index is None or call.index == index) and call_id in ("", call.id):
                return call
            if index is not None and call.index == index and not call.id:
                call.id = call_id
                return call
        call = _CallInParts(index=index, id=call_id)
        self._calls.append(call)
        return call


def read_usage(usage: JsonObject) -> Usage:
    """Return the tokens counted; DeepSeek names cached ones differently."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(usage.get("prompt_cache_hit_tokens") if cached is None else cached),
    )


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text_of(content: JsonValue) -> str:
    """Return the text of `content`: a string, null, or (Mistral) a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def _kind(value: JsonValue) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
