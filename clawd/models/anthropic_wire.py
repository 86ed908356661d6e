"""Anthropic's Messages format: a request to JSON. Pure. The answer is read by anthropic_answer.py.

Source: Claude API reference, "Create a Message"; guides "Thinking" (what goes back with results, and that
a budget is refused where an earlier step of the turn came without thinking), "Structured outputs", "Prompt
caching". Looked at in November 2026.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal, assert_never

from clawd.messages import Image
from clawd.models.anthropic_answer import ANSWER_TOOL, AnthropicFold
from clawd.models.anthropic_config import MAX_TOKENS, AnthropicConfig
from clawd.models.anthropic_schema import accepted_schema
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.pairs import paired
from clawd.models.pictures import picture_of, words_for
from clawd.models.thoughts import in_order, turn_start
from clawd.models.wire_schema import told
from clawd.response import Thinking, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.base import Secret
    from clawd.messages import Part
    from clawd.models.base import ChatMessage, ModelRequest
    from clawd.response import JsonObject, JsonValue

VERSION: Final = "2023-06-01"

REFUSED_THINKING: Final = (
    "`signature` in `thinking`",  # not the API's own, or what stood before the block has changed
    "`data` in `redacted_thinking`",
    "blocks in the latest assistant message cannot be modified",
    "expected `thinking` or `redacted_thinking`",
)
"""What the API says of thinking that it does not take back, in lower case."""

_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_CACHE: Final[JsonObject] = {"type": "ephemeral"}
_SILENCE: Final = "…"  # where the API wants a user's turn and there is none


class AnthropicFormat:
    """See `WireFormat` for what its methods promise.

    Args:
        beta: Features that the API is asked for by header.
    """

    path = AnthropicConfig.path
    accepts = "Messages answer"

    def __init__(self, beta: Sequence[str] = ()) -> None:
        self._beta = ",".join(beta)

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        headers = {"anthropic-version": VERSION}
        if self._beta:
            headers["anthropic-beta"] = self._beta
        if key is not None:
            headers["x-api-key"] = key.reveal()
        return headers

    def body(self, config: AnthropicConfig, request: ModelRequest) -> JsonObject:
        return request_body(config, request)

    def fold(self, config: AnthropicConfig) -> AnthropicFold:
        return AnthropicFold(config.name)


def request_body(config: AnthropicConfig, request: ModelRequest) -> JsonObject:
    """Return the body of one streaming request."""
    talk = paired([m for m in request.messages if not isinstance(m, SystemMessage)])
    forced = bool(request.must_call) or (request.schema is not None and config.json_output == "tool")
    budget = config.thinking_tokens
    if budget is not None and (forced or not _thought_throughout(config, talk)):
        budget = None
    body: JsonObject = {"model": config.model_id, "max_tokens": _max_tokens(config, request, budget)}
    instructions = request.messages
    if request.schema is not None and config.json_output == "none":
        instructions = told(instructions, request.schema)
    system = "\n\n".join(m.text for m in instructions if isinstance(m, SystemMessage) and m.text.strip())
    if system:
        body["system"] = [{"type": "text", "text": system, **_marked(config)}]
    without_budget = config.thinking_tokens is not None and budget is None
    messages = _messages(config, talk, thoughts=not without_budget)
    if config.prompt_cache:
        _mark_last(messages)
    body["messages"] = [*messages]
    body["stream"] = True
    body.update(_tools(config, request, talk))
    body.update(_output(config, request))
    if budget is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif config.thinking is not None:
        body["thinking"] = {"type": config.thinking}
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    temperature = config.temperature if request.temperature is None else request.temperature
    if temperature is not None and not config.thinks:
        body["temperature"] = min(temperature, 1.0)
    return body


def _max_tokens(config: AnthropicConfig, request: ModelRequest, budget: int | None) -> int:
    """Return the longest answer; the API counts thinking as part of it, callers mean what comes after."""
    if request.max_tokens is not None:
        return request.max_tokens + (budget or 0)
    return config.max_tokens or MAX_TOKENS + (budget or 0)


# --- messages -------------------------------------------------------------------------------------------


class _Turns:
    """Messages whose roles alternate: what one role says in a row is one message."""

    def __init__(self) -> None:
        self.messages: list[JsonObject] = []
        self._blocks: list[JsonValue] = []

    def say(self, role: Literal["user", "assistant"], blocks: Sequence[JsonObject]) -> None:
        if not blocks:
            return
        if not self.messages or self.messages[-1]["role"] != role:
            self._blocks = []
            self.messages.append({"role": role, "content": self._blocks})
        self._blocks.extend(blocks)


def _messages(config: AnthropicConfig, talk: Sequence[ChatMessage], *, thoughts: bool) -> list[JsonObject]:
    turns = _Turns()
    begun = turn_start(talk)
    for index, message in enumerate(talk):
        match message:
            case UserMessage(parts=parts):
                turns.say("user", [block for part in parts for block in _part(config, part)])
            case ToolMessage(call_id=call_id, text=text):
                turns.say("user", [_result(call_id, text)])
            case AssistantMessage():
                wanted = _thinking(config, message) if thoughts and index >= begun else ()
                said = [b for piece in in_order(message, wanted) for b in _piece(piece)]
                if said and not turns.messages:
                    turns.say("user", [_text(_SILENCE)])
                turns.say("assistant", said)
            case SystemMessage():
                pass  # stands at the top of the request
            case _:
                assert_never(message)
    if not turns.messages or turns.messages[-1]["role"] == "assistant":
        turns.say("user", [_text(_SILENCE)])
    return turns.messages


def _thinking(config: AnthropicConfig, message: AssistantMessage) -> tuple[Thinking, ...]:
    """Return what of a message's thinking this model will take back: its own, with the API's seal."""
    if message.model != config.name:
        return ()
    return tuple(t for t in message.thinking if not t.id and (t.signature or t.data))


def _thought_throughout(config: AnthropicConfig, talk: Sequence[ChatMessage]) -> bool:
    """Whether every step of the turn under way comes with thinking that can go back."""
    steps = [m for m in talk[turn_start(talk) :] if isinstance(m, AssistantMessage) and m.tool_calls]
    return all(_thinking(config, step) for step in steps)


def _piece(piece: str | Thinking | ToolCall) -> list[JsonObject]:
    match piece:
        case str():
            return [_text(piece)] if piece.strip() else []
        case Thinking(data=data) if data:
            return [{"type": "redacted_thinking", "data": data}]
        case Thinking(text=text, signature=signature):
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        case ToolCall(id=call_id, name=name, arguments=arguments):
            # NaN and Infinity are Python's own and no JSON.
            value = json.loads(arguments, parse_constant=str)
            return [{"type": "tool_use", "id": call_id, "name": name, "input": value}]
        case _:
            assert_never(piece)


def _result(call_id: str, text: str) -> JsonObject:
    # An empty text block is refused, a result without content is not.
    content: JsonObject = {"content": text} if text.strip() else {}
    return {"type": "tool_result", "tool_use_id": call_id, **content}


def _part(config: AnthropicConfig, part: Part) -> list[JsonObject]:
    picture = picture_of(part) if config.vision and isinstance(part, Image) else None
    if picture is None or (picture.base64 and picture.mime not in _PICTURES):
        words = words_for(part)
        return [_text(words)] if words.strip() else []
    if not picture.base64:
        if not picture.url.lower().startswith("https:"):  # the API fetches from nowhere else
            return [_text(words_for(part))]
        return [{"type": "image", "source": {"type": "url", "url": picture.url}}]
    source: JsonObject = {"type": "base64", "media_type": picture.mime, "data": picture.base64}
    return [{"type": "image", "source": source}]


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


# --- cache ----------------------------------------------------------------------------------------------


def _marked(config: AnthropicConfig) -> JsonObject:
    """Return the mark behind which the request up to there is kept in the provider's cache."""
    return {"cache_control": dict(_CACHE)} if config.prompt_cache else {}


def _mark_last(messages: Sequence[JsonObject]) -> None:
    """Mark the ends of the last two user messages.

    The second last is where the request before this one ended: there its entry is found, however many
    blocks have come since. With the system text and the tools that makes the four that the API allows.
    """
    for message in [m for m in messages if m["role"] == "user"][-2:]:
        blocks = message["content"]
        if isinstance(blocks, list) and isinstance(last := blocks[-1], dict):
            last["cache_control"] = dict(_CACHE)


# --- tools and form of the answer -------------------------------------------------------------------------


def _tools(config: AnthropicConfig, request: ModelRequest, talk: Sequence[ChatMessage]) -> JsonObject:
    tools: list[JsonValue] = [_tool(t.name, t.description, dict(t.parameters)) for t in request.tools]
    choice: JsonObject | None = None
    if not tools and (
        names := {c.name for m in talk if isinstance(m, AssistantMessage) for c in m.tool_calls}
    ):
        # Calls in the history are refused where no tools are declared.
        tools = [_tool(name, "", {"type": "object"}) for name in sorted(names)]
        choice = {"type": "none"}
    if request.schema is not None and config.json_output == "tool":
        tools.append(_tool(ANSWER_TOOL, "Gives the answer.", dict(request.schema.schema)))
        choice = {"type": "any"} if request.tools else {"type": "tool", "name": ANSWER_TOOL}
    elif request.must_call:
        some = len(request.must_call) > 1
        choice = {"type": "any"} if some else {"type": "tool", "name": request.must_call[0]}
    if not tools:
        return {}
    if isinstance(last := tools[-1], dict):
        last.update(_marked(config))
    return {"tools": tools, **({"tool_choice": choice} if choice is not None else {})}


def _tool(name: str, description: str, schema: JsonObject) -> JsonObject:
    described: JsonObject = {"description": description} if description else {}
    return {"name": name, **described, "input_schema": schema}


def _output(config: AnthropicConfig, request: ModelRequest) -> JsonObject:
    output: JsonObject = {}
    if config.effort is not None:
        output["effort"] = config.effort
    if request.schema is not None and config.json_output == "schema":
        output["format"] = {"type": "json_schema", "schema": accepted_schema(dict(request.schema.schema))}
    return {"output_config": output} if output else {}
