"""OpenAI's Responses format: a request to JSON. Pure. The answer is read by responses_answer.py.

Nothing is kept at the provider (`store: false`): the whole conversation goes with each request, and what a
model reasoned on the way to its calls goes back encrypted.

Source: OpenAI API reference, "Create a model response"; guides "Reasoning" (items go back with the results
of calls) and "Structured outputs". Looked at in November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from clawd.messages import Image
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.pairs import paired
from clawd.models.pictures import picture_of, words_for
from clawd.models.responses_answer import ResponsesFold
from clawd.models.responses_config import ResponsesConfig
from clawd.models.thoughts import in_order, turn_start
from clawd.models.wire import bearer
from clawd.models.wire_schema import told
from clawd.response import Thinking, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.base import Secret
    from clawd.messages import Part
    from clawd.models.base import ChatMessage, ModelRequest, OutputSchema
    from clawd.response import JsonObject, JsonValue
    from clawd.tools.base import ToolSpec

REFUSED_REASONING: Final = (
    "encrypted content",  # … for item rs_1 could not be verified
    "items are not persisted when `store` is set to false",
    "of type 'reasoning' was provided without its required",
    "was provided without its required 'reasoning' item",
)
"""What the API says of reasoning that it does not take back, or misses; in lower case."""

_LEAST_OUTPUT: Final = 16  # tokens; the API refuses a smaller limit
_SILENCE: Final = "…"  # a request needs some input


class ResponsesFormat:
    """See `WireFormat` for what its methods promise."""

    path = ResponsesConfig.path
    accepts = "response"

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        return bearer(key)

    def body(self, config: ResponsesConfig, request: ModelRequest) -> JsonObject:
        return request_body(config, request)

    def fold(self, config: ResponsesConfig) -> ResponsesFold:
        return ResponsesFold(config.name)


def request_body(config: ResponsesConfig, request: ModelRequest) -> JsonObject:
    """Return the body of one streaming request."""
    body: JsonObject = {
        "model": config.model_id,
        "input": [*_input(config, paired(request.messages))],
        "stream": True,
        "store": False,
    }
    messages = request.messages
    if request.schema is not None and config.json_output != "schema":
        messages = told(messages, request.schema)
    system = "\n\n".join(m.text for m in messages if isinstance(m, SystemMessage) and m.text.strip())
    if system:
        body["instructions"] = system
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.must_call:
            body["tool_choice"] = _choice(request.must_call)
    if max_tokens := request.max_tokens or config.max_tokens:
        body["max_output_tokens"] = max(_LEAST_OUTPUT, max_tokens)
    temperature = config.temperature if request.temperature is None else request.temperature
    if temperature is not None and not config.reasons:
        body["temperature"] = temperature
    if (reasoning := config.reasoning) is not None:
        said = {"effort": reasoning.effort, "summary": reasoning.summary}
        body["reasoning"] = {name: value for name, value in said.items() if value is not None}
        if config.reasons:  # models that do not reason refuse to be asked for it
            body["include"] = ["reasoning.encrypted_content"]
    if request.schema is not None and config.json_output != "none":
        body["text"] = {"format": _format(config, request.schema)}
    return body


def _input(config: ResponsesConfig, messages: Sequence[ChatMessage]) -> list[JsonObject]:
    items: list[JsonObject] = []
    begun = turn_start(messages)
    for index, message in enumerate(messages):
        match message:
            case SystemMessage():
                pass  # goes as `instructions`
            case UserMessage(parts=parts):
                if content := [block for part in parts for block in _part(config, part)]:
                    items.append({"role": "user", "content": [*content]})
            case ToolMessage(call_id=call_id, text=text):
                items.append({"type": "function_call_output", "call_id": call_id, "output": text})
            case AssistantMessage():
                wanted = _thinking(config, message) if index >= begun else ()
                _say(items, message, wanted)
            case _:
                assert_never(message)
    return items or [{"role": "user", "content": [{"type": "input_text", "text": _SILENCE}]}]


def _thinking(config: ResponsesConfig, message: AssistantMessage) -> tuple[Thinking, ...]:
    """Return what of a message's reasoning this model will take back: its own, of items that came sealed."""
    if message.model != config.name:
        return ()
    sealed = {t.id for t in message.thinking if t.id and t.data}
    return tuple(t for t in message.thinking if t.id in sealed)


def _say(items: list[JsonObject], message: AssistantMessage, thinking: Sequence[Thinking]) -> None:
    """Add the items of one assistant message; several thoughts of one id are one item."""
    for piece in in_order(message, thinking):
        match piece:
            case str():
                if piece.strip():
                    items.append({"role": "assistant", "content": piece})
            case ToolCall(id=call_id, name=name, arguments=arguments):
                call: JsonObject = {"call_id": call_id, "name": name, "arguments": arguments}
                items.append({"type": "function_call", **call})
            case Thinking(id=item_id, text=text, data=data):
                if not (items and items[-1].get("id") == item_id):
                    items.append({"type": "reasoning", "id": item_id, "summary": []})
                item = items[-1]
                if data:
                    item["encrypted_content"] = data
                if text and isinstance(summary := item["summary"], list):
                    summary.append({"type": "summary_text", "text": text})
            case _:
                assert_never(piece)


def _part(config: ResponsesConfig, part: Part) -> list[JsonObject]:
    picture = picture_of(part) if config.vision and isinstance(part, Image) else None
    if picture is not None:
        return [{"type": "input_image", "image_url": picture.url, "detail": "auto"}]
    words = words_for(part)
    return [{"type": "input_text", "text": words}] if words.strip() else []


def _tool(tool: ToolSpec) -> JsonObject:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "strict": False,  # the API's default is true, and then optional parameters are refused
    }


def _choice(names: tuple[str, ...]) -> JsonValue:
    """Return what insists on a call; one of several is any of them."""
    return "required" if len(names) > 1 else {"type": "function", "name": names[0]}


def _format(config: ResponsesConfig, schema: OutputSchema) -> JsonObject:
    if config.json_output == "object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "name": schema.name,
        "schema": dict(schema.schema),
        "strict": schema.strict,
    }
